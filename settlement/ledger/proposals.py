"""Proposals: what a run would book, computed by the engine; immutable, its lines in the archive by the hash of their file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
from sqlalchemy import Engine, desc, insert, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.engine.calendar import add_months, month_end, months_between, public_holidays
from settlement.faults import InputFault, ParameterMissing, StateFault, UsageFault
from settlement.instance import Instance
from settlement.ledger import hashing
from settlement.ledger.frozen import file_hash, freeze, thaw
from settlement.ledger.models import Document, ParkedLine, Proposal, ProposalParty, SettlementRun
from settlement.ledger.register import now, writing, written
from settlement.processes import INVOICES
from settlement.reference import parameter

BATCH = 20_000
CLAIM_KINDS = ("takst", "refusion_9c")
PARKED_LINE = """
    CREATE OR REPLACE TEMP TABLE parked_line AS
    SELECT service_line_id, delivery_month, '' AS counterparty, reason FROM parked WHERE is_in_run
    UNION ALL SELECT service_line_id, delivery_month, counterparty, 'for_sent' FROM late"""


def propose(
    instance: Instance,
    engine: Engine,
    con: duckdb.DuckDBPyConnection,
    *,
    process: str,
    throughs: Mapping[str, date],
    booking_date: date,
    created_by: str,
    last_load_id: int,
    only_counterparty: str | None = None,
) -> list[Proposal]:
    """Computes and keeps the proposals of one process: by timing, the last delivery month of its run.

    `con` holds the engine's inputs (`settle.INPUTS`), and `party` (counterparty, kind, name, cvr, ean, address, contact).
    The same facts proposed again give the proposal there is already, without a computation. Raises ParameterMissing where
    a dated parameter has no value on a day it is needed.
    """
    horizon = max(throughs.values())
    first = settle.first_month(con, horizon)
    _bind_claim_deadlines(con, first, horizon)
    holidays = sorted(public_holidays(first.year, horizon.year))
    with Session(engine) as session:
        head = newest_hash(session, process)
    proposals, is_entitled = [], False
    for timing, through in throughs.items():
        settings = {
            "own_municipality": instance.municipality, "process": process, "timing": timing,
            "through": through.isoformat(), "booking_date": booking_date.isoformat(),
            "settles_from": settles_from(instance, process).isoformat(),
        }  # fmt: skip
        if only_counterparty:
            settings["only_counterparty"] = only_counterparty
        proposal = Proposal(
            process=process, timing=timing, through=through, booking_date=booking_date, created_at=now(),
            created_by=created_by, engine_version=settle.VERSION, last_load_id=last_load_id, head_hash=head,
            input_hash=freeze(con, instance.archive, settings, holidays), only_counterparty=only_counterparty or "", withdraws="",
        )  # fmt: skip
        same = _same(instance, engine, proposal)
        if same is None:
            if not is_entitled:
                settle.entitle(
                    con, own_municipality=instance.municipality, through=horizon, since=settles_from(instance, process),
                    spark_master=instance.spark_master,
                )  # fmt: skip
                is_entitled = True
            _compute(con, instance, proposal)
            _keep(engine, con, proposal)
        proposals.append(same or proposal)
    return proposals


def propose_withdrawal(
    instance: Instance, engine: Engine, con: duckdb.DuckDBPyConnection, *, document_number: str, reason: str,
    booking_date: date, created_by: str, last_load_id: int,
) -> Proposal:  # fmt: skip
    """The proposal that withdraws a booked document by its counter-document: every line with the opposite sign.

    Approved and booked as any other; afterwards the next run finds nothing booked of those lines and proposes what they
    are worth, unless they are held. `con` holds what `propose` needs. Raises InputFault for a document that is not there,
    UsageFault without a reason, StateFault where it is withdrawn already or is a payment to a supplier.
    """
    missing = "Angiv en begrundelse for at trække bilaget tilbage."
    if not reason.strip():
        raise UsageFault(missing)
    reason = written(reason, missing)
    with Session(engine) as session:
        found = session.execute(
            select(SettlementRun)
            .join(Document, Document.run_no == SettlementRun.run_no)
            .where(Document.number == document_number, SettlementRun.run_no > 0)
        ).scalar()
        if found is None:
            raise InputFault(f"Bilag {document_number} er ikke bogført her. Find nummeret på siden Bogførte kørsler.")
        if found.process == INVOICES.name:  # the supplier has the money: its credit note brings it back
            raise StateFault(f"Bilag {document_number} er en betalt faktura. Bed leverandøren om en kreditnota.")
        earlier = session.scalars(
            select(SettlementRun)
            .join(Proposal, Proposal.proposal_id == SettlementRun.proposal_id)
            .where(Proposal.withdraws == document_number)
        ).first()
        if earlier:
            raise StateFault(f"Bilag {document_number} er allerede trukket tilbage i kørsel {earlier.run_no}.")
        head = newest_hash(session, found.process)
    settings = {
        "own_municipality": instance.municipality, "process": found.process, "timing": found.timing,
        "through": found.through.isoformat(), "booking_date": booking_date.isoformat(),
        "settles_from": settles_from(instance, found.process).isoformat(), "withdraws": document_number,
    }  # fmt: skip
    first = settle.first_month(con, found.through)
    _bind_claim_deadlines(con, first, found.through)
    proposal = Proposal(
        process=found.process, timing=found.timing, through=found.through, booking_date=booking_date, created_at=now(),
        created_by=created_by, engine_version=settle.VERSION, last_load_id=last_load_id, head_hash=head,
        input_hash=freeze(con, instance.archive, settings, sorted(public_holidays(first.year, found.through.year))),
        only_counterparty="", withdraws=document_number, reason=reason,
    )  # fmt: skip
    _compute(con, instance, proposal)
    _keep(engine, con, proposal)
    return proposal


def _same(instance: Instance, engine: Engine, proposal: Proposal) -> Proposal | None:
    """The newest proposal of the same facts, rules and ledger, where its lines are still there."""
    fields = ("input_hash", "head_hash", "engine_version", "last_load_id")
    with Session(engine) as session:
        same = session.scalars(
            select(Proposal)
            .where(*(getattr(Proposal, field) == getattr(proposal, field) for field in fields))
            .order_by(desc(Proposal.proposal_id))
            .limit(1)
        ).first()
    return same if same and lines_file(instance, same).exists() else None


def _compute(con: duckdb.DuckDBPyConnection, instance: Instance, proposal: Proposal) -> None:
    """The run's lines into the archive, their hash, number and sums into the proposal; leaves `parked_line` and
    `proposal_party`."""
    folder = instance.archive / "proposals"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{os.getpid()}.part"
    if proposal.withdraws:
        settle.withdraw(con, process=proposal.process, document_number=proposal.withdraws, to=unfinished)
    else:
        settle.difference(
            con, process=proposal.process, timing=proposal.timing, through=proposal.through,
            booking_date=proposal.booking_date, settles_from=settles_from(instance, proposal.process),
            only_counterparty=proposal.only_counterparty or None, to=unfinished,
        )  # fmt: skip
    proposal.line_count, proposal.amount_oere, proposal.vat_oere = con.execute(
        "SELECT count(*), coalesce(sum(amount_oere), 0)::BIGINT, coalesce(sum(vat_oere), 0)::BIGINT FROM difference"
    ).fetchone()
    con.execute(PARKED_LINE)
    con.execute("""
        CREATE OR REPLACE TEMP TABLE proposal_party AS
        FROM party WHERE kind = 'egen' OR counterparty IN (SELECT counterparty FROM difference)""")
    # A payee that no register names (a company by its CVR number) stands under its number.
    con.execute("""
        INSERT INTO proposal_party BY NAME
        SELECT DISTINCT counterparty, 'øvrig' AS kind, counterparty AS name, '' AS cvr, '' AS ean, '' AS address, '' AS contact
        FROM difference WHERE counterparty NOT IN (SELECT counterparty FROM proposal_party)""")
    proposal.lines_hash = file_hash(unfinished)
    os.replace(unfinished, lines_file(instance, proposal))
    proposal.hash = hashing.row_hash(proposal, hashing.PROPOSAL_FIELDS)


def _keep(engine: Engine, con: duckdb.DuckDBPyConnection, proposal: Proposal) -> None:
    with writing(engine) as session:
        session.add(proposal)
        session.flush()
        for model in (ProposalParty, ParkedLine):
            cursor = con.execute(f"SELECT {proposal.proposal_id} AS proposal_id, * FROM {model.__tablename__}")
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(BATCH):
                session.execute(insert(model), [dict(zip(names, row, strict=True)) for row in rows])


def lines_file(instance: Instance, proposal: Proposal) -> Path:
    """Where a proposal's lines lie."""
    return instance.archive / "proposals" / f"{proposal.lines_hash}.parquet"


def has_same_lines(instance: Instance, proposal: Proposal, earlier: Proposal | None) -> bool:
    """Whether two proposals would book the same lines. The hash does not say: a file's rows stand in no order."""
    if earlier is None or any(
        getattr(proposal, what) != getattr(earlier, what) for what in ("line_count", "amount_oere", "vat_oere")
    ):
        return False
    files = [lines_file(instance, p) for p in (proposal, earlier)]
    if files[0] == files[1]:
        return True
    with duckdb.connect() as con:
        other = f"SELECT 1 FROM (FROM read_parquet('{files[0]}') EXCEPT ALL FROM read_parquet('{files[1]}')) LIMIT 1"
        return files[1].exists() and con.execute(other).fetchone() is None


@contextmanager
def opened(instance: Instance, proposal: Proposal) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose view `proposed` holds the proposal's lines, with what was known of their service lines
    (hashing.LINE_FIELDS), beside the facts it was made of (`settle.INPUTS`).

    Raises StateFault where the lines or the facts are missing or changed.
    """
    path = lines_file(instance, proposal)
    if file_hash(path) != proposal.lines_hash:
        raise StateFault(
            f"Linjerne i forslag {proposal.proposal_id} mangler i arkivet eller er ændret. Lav et nyt forslag."
        )
    with duckdb.connect() as con:
        kept = thaw(con, instance.archive, proposal.input_hash)
        con.execute("CREATE TEMP TABLE run AS SELECT ? AS process", [proposal.process])
        con.execute(f"CREATE TEMP VIEW difference AS FROM read_parquet('{path}')")
        con.execute(f"CREATE TEMP VIEW proposed AS {kept.rules['proposed']}")
        yield con


def differ(
    con: duckdb.DuckDBPyConnection, instance: Instance, *, process: str, timing: str, through: date, booking_date: date
) -> None:
    """What a run would book now, for reading alone, after `settle.entitle` on the same connection (`settle.difference`)."""
    settle.difference(con, **_run_now(con, instance, process, timing, through, booking_date))


def park(
    con: duckdb.DuckDBPyConnection, instance: Instance, *, process: str, timing: str, through: date, booking_date: date
) -> None:
    """What a run would leave out now, after `settle.entitle` on the same connection: leaves `parked_line`."""
    settle.rest(con, **_run_now(con, instance, process, timing, through, booking_date))
    con.execute(PARKED_LINE)


def _run_now(con, instance: Instance, process: str, timing: str, through: date, booking_date: date) -> dict:
    _bind_claim_deadlines(con, settle.first_month(con, through), through)
    return {
        "process": process, "timing": timing, "through": through, "booking_date": booking_date,
        "settles_from": settles_from(instance, process),
    }  # fmt: skip


def settles_from(instance: Instance, process: str) -> date:
    """The first delivery month the process is settled from; the beginning of time where the settings name none."""
    return instance.settles_from.get(process, date.min)


def _bind_claim_deadlines(con: duckdb.DuckDBPyConnection, first: date, through: date) -> None:
    """`claim_deadline`: the last day a claim of a delivery month can be raised (settlement.md § 7), by the parameter in
    force on the month's last day; empty where none is. Frozen with the run, for parameters change."""
    con.execute("CREATE OR REPLACE TEMP TABLE claim_deadline (claim_kind VARCHAR, delivery_month DATE, last_day DATE)")
    con.executemany("INSERT INTO claim_deadline VALUES (?, ?, ?)", [
        (kind, month, _claim_deadline(kind, month)) for kind in CLAIM_KINDS for month in months_between(first, through)
    ])  # fmt: skip


def _claim_deadline(claim_kind: str, delivery_month: date) -> date | None:
    try:
        months = parameter(f"claim_deadline_{claim_kind}", month_end(delivery_month))
    except ParameterMissing:
        return None
    return month_end(add_months(delivery_month, months))


def newest_hash(session: Session, process: str | None = None) -> str:
    """The hash of the newest booked run, of a process or of all."""
    query = select(SettlementRun.hash).order_by(desc(SettlementRun.sequence)).limit(1)
    if process:
        query = query.where(SettlementRun.process == process)
    return session.scalars(query).first() or ""


def open_proposals(session: Session) -> list[Proposal]:
    """What can be approved and booked: the newest ordinary proposals, and the newest urgent one of a counterparty or
    withdrawal of a document since its process was last booked; those that have lines and are not booked."""
    proposals = {p.proposal_id: p for p in newest_proposals(session)}
    unusual = session.scalars(
        select(Proposal)
        .where((Proposal.only_counterparty != "") | (Proposal.withdraws != ""))
        .order_by(Proposal.proposal_id)
    ).all()
    heads = {process: newest_hash(session, process) for process in {p.process for p in unusual}}
    special = {(p.process, p.timing, p.only_counterparty, p.withdraws): p for p in unusual if p.head_hash == heads[p.process]}
    proposals |= {p.proposal_id: p for p in special.values()}
    booked = set(session.scalars(select(SettlementRun.proposal_id)))
    return [p for p in proposals.values() if p.line_count and p.proposal_id not in booked]


def newest_proposals(session: Session) -> list[Proposal]:
    """The newest ordinary proposal of every process and timing."""
    newest: dict[tuple[str, str], Proposal] = {}
    ordinary = select(Proposal).where(Proposal.only_counterparty == "", Proposal.withdraws == "")
    for proposal in session.scalars(ordinary.order_by(Proposal.proposal_id)):
        newest[proposal.process, proposal.timing] = proposal
    return list(newest.values())


def lines_without_account(instance: Instance, proposal: Proposal) -> int:
    """How many proposed lines have no account: they are settled, but the finance system gets a collecting account."""
    with opened(instance, proposal) as con:
        return con.execute("SELECT count(*) FROM difference WHERE account = ''").fetchone()[0]
