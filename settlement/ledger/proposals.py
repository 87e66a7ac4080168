"""Proposals: what a run would book, computed by the engine and kept in the register, immutable."""

from __future__ import annotations

import hashlib
from datetime import date

import duckdb
from sqlalchemy import Engine, desc, func, insert, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.engine.calendar import add_months, month_end, months_between, public_holidays
from settlement.faults import ParameterMissing
from settlement.instance import Instance
from settlement.ledger import hashing
from settlement.ledger.frozen import freeze
from settlement.ledger.models import ParkedLine, Proposal, ProposalLine, ProposalParty, SettlementRun
from settlement.ledger.register import now
from settlement.reference import parameter

BATCH = 20_000
CLAIM_KINDS = ("takst", "refusion_9c")


def propose(
    instance: Instance,
    engine: Engine,
    con: duckdb.DuckDBPyConnection,
    *,
    process: str,
    timing: str,
    through: date,
    booking_date: date,
    created_by: str,
    last_load_id: int,
    only_counterparty: str | None = None,
) -> Proposal:
    """Computes and keeps the proposal of one run.

    `con` holds the engine's inputs (`settle.INPUTS`), what `settle.entitle` computed of them through at least
    `through`, and `party` (counterparty, kind, name, cvr, ean, address, contact). The same facts proposed again give
    the proposal there is already. Raises ParameterMissing where a dated parameter has no value on a day it is needed.
    """
    compute(
        con, instance, process=process, timing=timing, through=through, booking_date=booking_date,
        only_counterparty=only_counterparty,
    )  # fmt: skip
    keep_parties(con)
    with Session(engine) as session:
        head = newest_hash(session, process)
    settings = {
        "own_municipality": instance.municipality, "process": process, "timing": timing,
        "through": through.isoformat(), "booking_date": booking_date.isoformat(),
        "settles_from": settles_from(instance, process).isoformat(),
    }  # fmt: skip
    if only_counterparty:
        settings["only_counterparty"] = only_counterparty
    input_hash = freeze(con, instance.archive, settings, _holidays(con, through))
    proposal = Proposal(
        process=process, timing=timing, through=through, booking_date=booking_date, created_at=now(),
        created_by=created_by, engine_version=settle.VERSION, last_load_id=last_load_id,
        input_hash=input_hash, head_hash=head, lines_hash=lines_hash(con),
    )  # fmt: skip
    proposal.line_count, proposal.amount_oere, proposal.vat_oere = con.execute(
        "SELECT count(*), coalesce(sum(amount_oere), 0)::BIGINT, coalesce(sum(vat_oere), 0)::BIGINT FROM proposal_line"
    ).fetchone()
    proposal.hash = hashing.row_hash(proposal, hashing.PROPOSAL_FIELDS)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        same = session.scalars(
            select(Proposal).where(Proposal.hash == proposal.hash).order_by(desc(Proposal.proposal_id)).limit(1)
        ).first()
        if same:
            return same
        session.add(proposal)
        session.flush()
        for model, table in (
            (ProposalLine, "proposal_line"),
            (ProposalParty, "proposal_party"),
            (ParkedLine, "parked_line"),
        ):
            cursor = con.execute(f"SELECT {proposal.proposal_id} AS proposal_id, * FROM {table}")
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(BATCH):
                session.execute(insert(model), [dict(zip(names, row, strict=True)) for row in rows])
    return proposal


def compute(
    con, instance: Instance, *, process: str, timing: str, through: date, booking_date: date, only_counterparty: str | None = None
) -> None:
    """Leaves the temporary tables `proposal_line` and `parked_line` of one run, after `settle.entitle`."""
    _bind_claim_deadlines(con, through)
    settle.difference(
        con, process=process, timing=timing, through=through, booking_date=booking_date,
        settles_from=settles_from(instance, process), only_counterparty=only_counterparty,
    )  # fmt: skip
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE proposal_line AS
        SELECT
            row_number() OVER (ORDER BY service_line_id, delivery_month, price_oere, counterparty, account) AS ordinal,
            *, {hashing.line_hash_sql()} AS content_hash
        FROM proposed ORDER BY ordinal""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE parked_line AS
        SELECT service_line_id, delivery_month, '' AS counterparty, reason FROM parked WHERE is_in_run
        UNION ALL SELECT service_line_id, delivery_month, counterparty, 'for_sent' FROM late""")


def keep_parties(con: duckdb.DuckDBPyConnection) -> None:
    """Leaves `proposal_party`: the counterparties of `proposal_line` and the own municipality, from `party`."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE proposal_party AS
        FROM party WHERE kind = 'egen' OR counterparty IN (SELECT counterparty FROM proposal_line)""")
    # A payee that no register names (a company by its CVR number) stands under its number.
    con.execute("""
        INSERT INTO proposal_party BY NAME
        SELECT DISTINCT counterparty, 'øvrig' AS kind, counterparty AS name, '' AS cvr, '' AS ean, '' AS address, '' AS contact
        FROM proposal_line WHERE counterparty NOT IN (SELECT counterparty FROM proposal_party)""")


def lines_hash(con: duckdb.DuckDBPyConnection) -> str:
    """The hash over all proposed lines in order."""
    whole = hashlib.sha256()
    cursor = con.execute("SELECT content_hash FROM proposal_line ORDER BY ordinal")
    while rows := cursor.fetchmany(BATCH):
        whole.update("".join(row[0] for row in rows).encode())
    return whole.hexdigest()


def settles_from(instance: Instance, process: str) -> date:
    """The first delivery month the process is settled from; the beginning of time where the settings name none."""
    return instance.settles_from.get(process, date.min)


def _bind_claim_deadlines(con: duckdb.DuckDBPyConnection, through: date) -> None:
    """`claim_deadline`: the last day a claim of a delivery month can be raised (settlement.md § 7), by the parameter in
    force on the month's last day; empty where none is. Frozen with the run, for parameters change."""
    first = con.execute("SELECT min(delivery_month) FROM calendar_month").fetchone()[0]
    con.execute("CREATE OR REPLACE TEMP TABLE claim_deadline (claim_kind VARCHAR, delivery_month DATE, last_day DATE)")
    con.executemany("INSERT INTO claim_deadline VALUES (?, ?, ?)", [
        (kind, month, _claim_deadline(kind, month)) for kind in CLAIM_KINDS for month in months_between(first, through)
    ])  # fmt: skip


def _holidays(con: duckdb.DuckDBPyConnection, through: date) -> list[date]:
    """The public holidays the run counted with."""
    first = con.execute("SELECT min(delivery_month) FROM calendar_month").fetchone()[0]
    return sorted(public_holidays(first.year, through.year))


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
    """The newest proposal of every process and timing, where it has lines and is not booked."""
    booked = select(SettlementRun.proposal_id)
    return [p for p in newest_proposals(session) if p.line_count and p.proposal_id not in set(session.scalars(booked))]


def newest_proposals(session: Session) -> list[Proposal]:
    """The newest proposal of every process and timing."""
    newest: dict[tuple[str, str], Proposal] = {}
    for proposal in session.scalars(select(Proposal).order_by(Proposal.proposal_id)):
        newest[proposal.process, proposal.timing] = proposal
    return list(newest.values())


def lines_without_account(session: Session, proposal_id: int) -> int:
    """How many proposed lines have no account: they are settled, but the finance system gets a collecting account."""
    line = ProposalLine
    return session.scalar(select(func.count()).where(line.proposal_id == proposal_id, line.account == ""))
