"""Approval by another person, and booking: one database transaction, all or nothing (settlement.md § 8)."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby

from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import hashing
from settlement.ledger.gates import demand_green
from settlement.ledger.guards import booking_opened
from settlement.ledger.models import (
    Approval,
    ClosedPeriod,
    Document,
    LedgerLine,
    NumberSeries,
    OutboxItem,
    Posting,
    Proposal,
    ProposalLine,
    ProposalParty,
    SettlementRun,
)  # fmt: skip
from settlement.ledger.proposals import newest_hash
from settlement.ledger.register import MAY_BOOK, now, user_with_right
from settlement.processes import process as process_named
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


def book(instance: Instance, engine: Engine, proposal_id: int, user_name: str) -> SettlementRun | None:
    """Books an approved proposal: numbers, documents, lines, postings, chain and outbox in one transaction.

    Returns the run; None for an empty proposal, which makes no run. A proposal booked before gives its run again.
    Raises StateFault where rights, approval, ledger head, gates or accounting period forbid it.
    """
    with Session(engine.execution_options(immediate=True), expire_on_commit=False) as session, session.begin():
        if engine.dialect.name == "postgresql":
            session.execute(text("LOCK TABLE settlement_run IN EXCLUSIVE MODE"))
        user_with_right(session, user_name, MAY_BOOK, "bogføre afregninger")
        proposal = session.get(Proposal, proposal_id)
        if proposal is None:
            raise StateFault(f"Forslag {proposal_id} findes ikke. Lav et nyt forslag.")
        done = session.scalars(select(SettlementRun).where(SettlementRun.proposal_id == proposal_id)).first()
        if done:
            keep_heads(instance, engine)  # whoever booked it may have been stopped before the archive had it
            return done
        if proposal.line_count == 0:
            return None
        approval = _demand_bookable(session, proposal, user_name)
        run = _new_run(session, proposal, approval, user_name)
        with booking_opened(session, run.run_no):
            documents = _documents(session, instance, proposal, run)
            run.hash = hashing.run_hash(run, [d.hash for d in documents])
            session.add(run)
            session.flush()
            session.add_all(documents)
            session.flush()
            _insert_lines(session, proposal, run, documents)
            insert_postings(session, run, documents)
            _fill_outbox(session, run, documents)
    keep_heads(instance, engine)
    return run


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
    year, period = proposal.booking_date.year, proposal.booking_date.month
    if session.get(ClosedPeriod, (year, period)):
        raise StateFault(f"Regnskabsperioden {year}-{period:02d} er lukket. Vælg en bogføringsdato i en åben periode.")
    return approval


def _new_run(session: Session, proposal: Proposal, approval: Approval, user_name: str) -> SettlementRun:
    newest = session.scalar(select(func.max(SettlementRun.run_no)).where(SettlementRun.run_no > 0)) or 0
    return SettlementRun(
        run_no=newest + 1, sequence=next_sequence(session), proposal_id=proposal.proposal_id, process=proposal.process,
        timing=proposal.timing, through=proposal.through, booking_date=proposal.booking_date,
        accounting_year=proposal.booking_date.year, accounting_period=proposal.booking_date.month,
        booked_at=now(), booked_by=user_name, approved_by=approval.approved_by,
        engine_version=proposal.engine_version, input_hash=proposal.input_hash,
        lines_hash=proposal.lines_hash, amount_oere=proposal.amount_oere, vat_oere=proposal.vat_oere,
        previous_hash=newest_hash(session), hash_version=hashing.RUN_VERSION, hash="",
    )  # fmt: skip


def next_sequence(session: Session) -> int:
    """The place in the chain, from 1, of the next run."""
    return (session.scalar(select(func.max(SettlementRun.sequence))) or 0) + 1


def _documents(session: Session, instance: Instance, proposal: Proposal, run: SettlementRun) -> list[Document]:
    """One document per counterparty (its EAN is one), numbered without gaps per series and year."""
    parties = {
        p.counterparty: p
        for p in session.scalars(select(ProposalParty).where(ProposalParty.proposal_id == proposal.proposal_id))
    }
    line = ProposalLine
    rows = session.execute(
        select(line.counterparty, line.amount_oere, line.vat_oere, line.content_hash)
        .where(line.proposal_id == proposal.proposal_id)
        .order_by(line.counterparty, line.ordinal)
    )
    documents = []
    for counterparty, group in groupby(rows, key=lambda row: row.counterparty):
        lines = list(group)
        party = parties[counterparty]
        amount, vat = sum(row.amount_oere for row in lines), sum(row.vat_oere for row in lines)
        kind = kind_of(run.process, amount, vat)
        series, year = SERIES[kind], run.booking_date.year
        sequence = _next_number(session, series, year)
        document = Document(
            number=f"{series}{year}-{sequence:06d}", run_no=run.run_no, series=series, year=year, sequence=sequence,
            kind=kind, process=run.process, counterparty=counterparty, name=party.name, cvr=party.cvr,
            ean=party.ean, address=party.address, contact=party.contact, issue_date=run.booking_date,
            due_date=run.booking_date + timedelta(days=instance.payment_term_days), amount_oere=amount, vat_oere=vat,
        )  # fmt: skip
        document.hash = hashing.row_hash(document, hashing.DOCUMENT_FIELDS, [row.content_hash for row in lines])
        documents.append(document)
    return documents


def _next_number(session: Session, series: str, year: int) -> int:
    given = session.get(NumberSeries, (series, year))
    if given is None:
        given = NumberSeries(series=series, year=year, last=0)
        session.add(given)
    given.last += 1
    return given.last


def _insert_lines(session: Session, proposal: Proposal, run: SettlementRun, documents: list[Document]) -> None:
    """Exactly the proposed lines, copied inside the database."""
    first = session.scalar(select(func.max(LedgerLine.line_number))) or 0
    shared = [c.name for c in ProposalLine.__table__.c if c.name not in ("proposal_id", "ordinal")]
    source = (
        select(
            *(ProposalLine.__table__.c[name] for name in shared),
            (ProposalLine.ordinal + first).label("line_number"),
            Document.run_no,
            Document.number,
            Document.issue_date,
            Proposal.created_at,
        )  # fmt: skip
        .join(Document, (Document.counterparty == ProposalLine.counterparty) & (Document.run_no == run.run_no))
        .join(Proposal, Proposal.proposal_id == ProposalLine.proposal_id)
        .where(ProposalLine.proposal_id == proposal.proposal_id)
    )
    target = [*shared, "line_number", "run_no", "document_number", "booking_date", "recorded_at"]
    copied = insert(LedgerLine).from_select(target, source)
    booked = session.execute(copied, execution_options={"preserve_rowcount": True}).rowcount
    if booked != proposal.line_count:
        raise StateFault(
            f"Forslag {proposal.proposal_id} har {proposal.line_count} linjer, men {booked} fandt et bilag. Lav et nyt forslag."
        )


def insert_postings(session: Session, run: SettlementRun, documents: list[Document]) -> None:
    """The counterparty against the lines' accounts and VAT, per document; debit = credit = total."""
    day = run.booking_date
    counterpart, fallback, vat_account = (
        posting_account(run.process, role, day) for role in ("counterparty", "lines", "vat")
    )
    side = process_named(run.process).counterparty_side
    other = "kredit" if side == "debet" else "debet"
    line = LedgerLine
    by_account = session.execute(
        select(line.document_number, line.account, func.sum(line.amount_oere))
        .where(line.run_no == run.run_no)
        .group_by(line.document_number, line.account)
        .order_by(line.document_number, line.account)
    ).all()
    signed = [(d.number, side, counterpart, d.amount_oere + d.vat_oere) for d in documents]
    signed += [(number, other, account or fallback, int(amount)) for number, account, amount in by_account]
    signed += [(d.number, other, vat_account, d.vat_oere) for d in documents]
    first = session.scalar(select(func.max(Posting.posting_id))) or 0
    rows = [
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
    if rows:
        session.execute(insert(Posting), rows)


def _fill_outbox(session: Session, run: SettlementRun, documents: Iterable[Document]) -> None:
    """What leaves the house: an e-invoice and a PDF per document, the postings per run.

    An internal voucher is never sent; a document without delivery address waits.
    """
    items = []
    for d in documents if process_named(run.process).is_sent else ():
        items.append((f"{d.number}.pdf", d.number, "pdf", WAITING))
        if d.kind != "internbilag":
            items.append((f"{d.number}.xml", d.number, "oioubl", WAITING if d.ean else NO_ADDRESS))
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


def keep_heads(instance: Instance, engine: Engine) -> None:
    """Writes the heads booked since the last time to the archive, outside the database; one process at a time."""
    with heads_file(instance).open("a+b") as heads:
        fcntl.flock(heads, fcntl.LOCK_EX)
        heads.seek(0)
        content = heads.read()
        whole = content.rfind(b"\n") + 1
        heads.truncate(whole)  # of a process stopped while writing
        with Session(engine) as session:
            runs = session.execute(
                select(SettlementRun.run_no, SettlementRun.hash)
                .where(SettlementRun.sequence > content.count(b"\n"))
                .order_by(SettlementRun.sequence)
            ).all()
        for run_no, run_hash in runs:
            heads.write(json.dumps({"run_no": run_no, "hash": run_hash}).encode() + b"\n")
        heads.flush()
        os.fsync(heads.fileno())


def heads_file(instance: Instance):
    """Where the ledger's heads are kept, one line per run."""
    return instance.archive / "heads.jsonl"


def kept_heads(instance: Instance) -> list[str]:
    """The hash of every run's head in order, as the archive has it."""
    path = heads_file(instance)
    if not path.exists():
        return []
    # What follows the last line break is the beginning of a line that a stopped process did not finish.
    return [json.loads(line)["hash"] for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def file_digest(content: bytes) -> str:
    """SHA-256 of a delivered file."""
    return hashlib.sha256(content).hexdigest()
