"""Approval by another person, and booking: one database transaction, all or nothing (settlement.md § 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta

import duckdb
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import booked_lines, bounds, hashing, heads, holds, manual, mirror, periods
from settlement.ledger.gates import demand_green
from settlement.ledger.guards import booking_opened, one_at_a_time
from settlement.ledger.models import (
    Approval,
    Document,
    NumberSeries,
    OutboxItem,
    Posting,
    Proposal,
    ProposalParty,
    SettlementRun,
)  # fmt: skip
from settlement.ledger.proposals import newest_hash, opened
from settlement.ledger.register import MAY_BOOK, now, user_with_right, writing
from settlement.processes import booked_process as process_named
from settlement.reference import posting_account

SERIES = {"faktura": "F", "kreditnota": "K", "internbilag": "I", "udbetaling": "U", "opkraevning": "O"}
WAITING, NO_ADDRESS, DELIVERED, FAILED = "venter", "mangler_adresse", "leveret", "fejlet"


def kind_of(process: str, amount_oere: int, vat_oere: int) -> str:
    """What a document of that net and VAT is: below 0 a credit note, nothing at all an internal voucher."""
    if amount_oere == 0 and vat_oere == 0:
        return "internbilag"
    return "kreditnota" if (amount_oere or vat_oere) < 0 else process_named(process).document_kind


def approve(session: Session, proposal_id: int, proposal_hash: str, user_name: str) -> None:
    """Another person's approval of exactly this proposal.

    Raises StateFault without the right, for one's own proposal, or where the hash is another's.
    """
    user_with_right(session, user_name, MAY_BOOK, "godkende afregninger")
    proposal = session.get(Proposal, proposal_id)
    if proposal is None or proposal.hash != proposal_hash:
        raise StateFault(f"Forslag {proposal_id} er ikke det, der blev vist. Hent det igen, og godkend det på ny.")
    if proposal.created_by == user_name:
        raise StateFault(f"«{user_name}» har selv lavet forslag {proposal_id}. En anden skal godkende det.")
    if session.get(Approval, proposal_id) is None:
        session.add(
            Approval(proposal_id=proposal_id, proposal_hash=proposal_hash, approved_by=user_name, approved_at=now())
        )


def book(
    instance: Instance, engine: Engine, proposal_id: int, user_name: str, accounting_period: tuple[int, int] | None = None
) -> SettlementRun | None:
    """Books an approved proposal: numbers, documents, lines, postings, chain and outbox in one transaction.

    `accounting_period` (year, period) may be the open supplementary period of the year before; else the booking date's.
    Returns the run; None for an empty proposal, which makes no run. A proposal booked before gives its run again.
    Raises StateFault where rights, approval, ledger head, gates or accounting period forbid it.
    """
    with Session(engine) as session:
        heads.complete(instance, session)  # of a chain that was cut, what follows would say what is beside the point
        proposal, run = _asked(session, proposal_id, user_name)
        is_to_be_booked = run is None and proposal.line_count > 0
        if is_to_be_booked:
            _demand_bookable(session, proposal, user_name)
    if is_to_be_booked:
        with opened(instance, proposal) as con:
            # What moves booked money is read before the ledger is held: it depends on what the proposal has frozen alone.
            with Session(engine) as session:
                mass = bounds.mass_changes_of(con, instance, session, proposal)
            run = _booked(instance, engine, con, proposal_id, user_name, accounting_period, mass)
    with Session(engine) as session:
        heads.complete(instance, session)
    return run


def _booked(
    instance: Instance, engine: Engine, con: duckdb.DuckDBPyConnection, proposal_id: int, user_name: str,
    accounting_period: tuple[int, int] | None, mass: list[bounds.MassChange],
) -> SettlementRun:  # fmt: skip
    """The transaction of `book`: all that others may have changed meanwhile is judged again under the ledger's lock."""
    with writing(engine) as session:
        one_at_a_time(session)
        heads.complete(instance, session)
        proposal, done = _asked(session, proposal_id, user_name)
        if done:
            return done
        approval = _demand_bookable(session, proposal, user_name)
        period = periods.demand_open(session, proposal.booking_date, accounting_period, proposal.through)
        run = new_run(session, proposal, approval.approved_by, user_name, period)
        with booking_opened(session, run.run_no):
            if not proposal.withdraws and (holds.have_changed(con, session) or manual.have_changed(con, session)):
                raise StateFault(
                    f"En tilbageholdelse eller en manuel linje er bekræftet, siden forslag {proposal_id} blev lavet. "
                    "Lav et nyt forslag."
                )
            bounds.demand_released(mass, instance, session, proposal, approval)
            documents = _documents(con, session, instance, proposal, run)
            _number(con, session, proposal, run, documents)
            insert_run(session, con, instance, run, documents)
            _fill_outbox(session, run, documents)
    return run


def _asked(session: Session, proposal_id: int, user_name: str) -> tuple[Proposal, SettlementRun | None]:
    """The proposal a person with the right wants booked, and the run that has booked it already."""
    user_with_right(session, user_name, MAY_BOOK, "bogføre afregninger")
    proposal = session.get(Proposal, proposal_id)
    if proposal is None:
        raise StateFault(f"Forslag {proposal_id} findes ikke. Lav et nyt forslag.")
    return proposal, session.scalars(select(SettlementRun).where(SettlementRun.proposal_id == proposal_id)).first()


def _demand_bookable(session: Session, proposal: Proposal, user_name: str) -> Approval:
    approval = session.get(Approval, proposal.proposal_id)
    if approval is None or approval.proposal_hash != proposal.hash:
        raise StateFault(
            f"Forslag {proposal.proposal_id} er ikke godkendt. En anden skal godkende det, før det bogføres."
        )
    if approval.approved_by == user_name:
        raise StateFault(f"«{user_name}» har godkendt forslag {proposal.proposal_id}. En anden skal bogføre det.")
    if newest_hash(session, proposal.process) != proposal.head_hash:
        raise StateFault(
            f"Der er bogført i {proposal.process}, siden forslag {proposal.proposal_id} blev lavet. Lav et nyt forslag."
        )
    demand_green(session, proposal.last_load_id)
    return approval


def new_run(
    session: Session, proposal: Proposal, approved_by: str, user_name: str, accounting_period: tuple[int, int]
) -> SettlementRun:
    """The run that books a proposal, next in the chain; its hash is given when its lines are in (`insert_run`)."""
    newest = session.scalar(select(func.max(SettlementRun.run_no)).where(SettlementRun.run_no > 0)) or 0
    return SettlementRun(
        run_no=newest + 1, sequence=next_sequence(session), proposal_id=proposal.proposal_id, process=proposal.process,
        timing=proposal.timing, through=proposal.through, booking_date=proposal.booking_date,
        accounting_year=accounting_period[0], accounting_period=accounting_period[1],
        booked_at=now(), booked_by=user_name, approved_by=approved_by,
        engine_version=proposal.engine_version, input_hash=proposal.input_hash,
        lines_hash=proposal.lines_hash, amount_oere=proposal.amount_oere, vat_oere=proposal.vat_oere,
        previous_hash=newest_hash(session), hash_version=hashing.RUN_VERSION, hash="",
    )  # fmt: skip


def next_sequence(session: Session) -> int:
    """The place in the chain, from 1, of the next run."""
    return (session.scalar(select(func.max(SettlementRun.sequence))) or 0) + 1


def _documents(
    con: duckdb.DuckDBPyConnection, session: Session, instance: Instance, proposal: Proposal, run: SettlementRun
) -> list[Document]:
    """One document per counterparty (its EAN is one), numbered without gaps per series and year."""
    parties = {
        p.counterparty: p
        for p in session.scalars(select(ProposalParty).where(ProposalParty.proposal_id == proposal.proposal_id))
    }
    totals = con.execute("""
        SELECT counterparty, sum(amount_oere)::BIGINT, sum(vat_oere)::BIGINT FROM difference
        GROUP BY counterparty ORDER BY counterparty""").fetchall()
    documents = []
    for counterparty, amount, vat in totals:
        party, kind = parties[counterparty], kind_of(run.process, amount, vat)
        series, year = SERIES[kind], run.booking_date.year
        sequence = next_number(session, series, year)
        documents.append(Document(
            number=f"{series}{year}-{sequence:06d}", run_no=run.run_no, series=series, year=year, sequence=sequence,
            kind=kind, process=run.process, counterparty=counterparty, name=party.name, cvr=party.cvr,
            ean=party.ean, address=party.address, contact=party.contact, issue_date=run.booking_date,
            due_date=run.booking_date + timedelta(days=instance.payment_term_days), amount_oere=amount, vat_oere=vat,
        ))  # fmt: skip
    return documents


def next_number(session: Session, series: str, year: int) -> int:
    """The next document number of a series and year, given in this transaction."""
    given = session.get(NumberSeries, (series, year))
    if given is None:
        given = NumberSeries(series=series, year=year, last=0)
        session.add(given)
    given.last += 1
    return given.last


def _number(
    con: duckdb.DuckDBPyConnection, session: Session, proposal: Proposal, run: SettlementRun, documents: list[Document]
) -> None:
    """Exactly the proposed lines, each on its document, as `booked_lines.insert` takes them."""
    con.execute("CREATE TEMP TABLE document (counterparty VARCHAR, document_number VARCHAR)")
    con.executemany("INSERT INTO document VALUES (?, ?)", [[d.counterparty, d.number] for d in documents])
    # What is known is looked up once a basis: `proposed` reads `difference`, which has one line of each from here on.
    shared = ", ".join(column for column in booked_lines.BASIS if column in con.table("difference").columns)
    con.execute("ALTER VIEW difference RENAME TO proposed_line")
    con.execute(f"CREATE TEMP VIEW difference AS SELECT DISTINCT ON ({shared}) * FROM proposed_line")
    con.execute("CREATE TEMP VIEW known AS FROM proposed JOIN document USING (counterparty)")
    numbered = booked_lines.number(con, session, run.run_no, lines="proposed_line", known="known")
    proposed = (proposal.line_count, proposal.amount_oere, proposal.vat_oere)
    if numbered != proposed:
        raise StateFault(
            f"Forslag {proposal.proposal_id} har {proposed[0]} linjer på {bounds.kroner(proposed[1])} kr. og "
            f"{bounds.kroner(proposed[2])} kr. moms, men {numbered[0]} på {bounds.kroner(numbered[1])} kr. og "
            f"{bounds.kroner(numbered[2])} kr. moms fandt et bilag. Lav et nyt forslag."
        )


def insert_run(
    session: Session, con: duckdb.DuckDBPyConnection, instance: Instance, run: SettlementRun, documents: list[Document]
) -> None:
    """A run with its documents, the lines that `booked_lines.number` left on `con`, and their postings, hashed together."""
    postings = _postings(session, con, run, documents)
    mirrored = booked_lines.insert(session, con, instance, run, documents, postings)
    run.hash = hashing.run_hash(run, [d.hash for d in sorted(documents, key=lambda d: (d.counterparty, d.number))])
    session.add(run)
    session.flush()
    session.add_all(documents)
    session.flush()
    if postings:
        session.execute(insert(Posting), postings)
    # Before the commit: where this process is stopped, the file lies under the hash of a run that never was.
    mirror.keep(mirrored, instance, run.run_no, run.hash)


def _postings(
    session: Session, con: duckdb.DuckDBPyConnection, run: SettlementRun, documents: list[Document]
) -> list[dict[str, object]]:
    """The counterparty against the lines' accounts and VAT, per document; debit = credit = total."""
    day = run.booking_date
    counterpart, fallback, vat_account = (
        posting_account(run.process, role, day) for role in ("counterparty", "lines", "vat")
    )
    side = process_named(run.process).counterparty_side
    other = "kredit" if side == "debet" else "debet"
    by_account = con.execute("""
        SELECT document_number, account, sum(amount_oere)::BIGINT FROM line JOIN basis USING (basis_no)
        GROUP BY document_number, account""").fetchall()
    signed = [(d.number, side, counterpart, d.amount_oere + d.vat_oere) for d in documents]
    signed += [(number, other, account or fallback, amount) for number, account, amount in by_account]
    signed += [(d.number, other, vat_account, d.vat_oere) for d in documents]
    first = session.scalar(select(func.max(Posting.posting_id))) or 0
    return [
        {
            "posting_id": first + i,
            "run_no": run.run_no,
            "document_number": number,
            "side": side,
            "account": account,
            "amount_oere": amount,
        }
        for i, (number, side, account, amount) in enumerate((row for row in sorted(signed) if row[3]), 1)
    ]


def _fill_outbox(session: Session, run: SettlementRun, documents: Iterable[Document]) -> None:
    """What leaves the house: an e-invoice and a PDF per document, the postings per run.

    An internal voucher is never sent; a document without delivery address (EAN, else CVR number) waits.
    """
    items = []
    for d in documents if process_named(run.process).is_sent else ():
        items.append((f"{d.number}.pdf", d.number, "pdf", WAITING))
        if d.kind != "internbilag":
            items.append((f"{d.number}.xml", d.number, "oioubl", WAITING if d.ean or d.cvr else NO_ADDRESS))
    items.append((f"koersel-{run.run_no}-omposteringsbilag.csv", None, "opus", WAITING))
    session.execute(
        insert(OutboxItem),
        [
            {
                "outbox_id": f"{run.run_no}/{name}",
                "run_no": run.run_no,
                "document_number": number,
                "format": form,
                "status": status,
            }
            for name, number, form, status in items
        ],
    )


def file_digest(content: bytes) -> str:
    """SHA-256 of a delivered file."""
    return hashlib.sha256(content).hexdigest()
