"""Delivery reads the outbox: each file is written once per id, retried safely, and identical when written again."""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from settlement.documents.invoice_return import render as postings_file
from settlement.documents.invoice_return import returned_csv
from settlement.documents.model import CREDIT, DEBIT, Party
from settlement.documents.model import Document as Paper
from settlement.documents.model import Posting as Voucher
from settlement.documents.oioubl import invoice_xml
from settlement.documents.oioubl_rules import check
from settlement.documents.opus import reposting_csv
from settlement.documents.pdf import document_pdf
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.ledger import handover
from settlement.ledger.booking import DELIVERED, FAILED, WAITING, file_digest
from settlement.ledger.invoice_returns import PAID, RETURNED, postings_of, returned_of, spread, system_of
from settlement.ledger.models import (
    Document,
    OutboxItem,
    Posting,
    Proposal,
    ProposalParty,
    SettlementRun,
)  # fmt: skip
from settlement.ledger.printed_lines import printed_lines
from settlement.ledger.register import now, writing

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=24)


def deliver(instance: Instance, engine: Engine, *, at_once: bool = False) -> Counter[str]:
    """Writes the files that wait, and those that failed and are due again, to `outbox/<run>/`; returns how many files
    have each status afterwards.

    A failed file is tried again after 1, 2, 4 … minutes, at most a day later, or now with `at_once`, which also looks after what
    was delivered before and writes again what is lost. An e-invoice that
    breaks a rule of the official set is not written; the outbox says which rule. Of a run whose lines are not whole nothing
    is written, and a file that is not what was booked is not either, before or after. One process delivers at a time; a
    file gets its name when it is whole, and written again it has the same bytes.
    """
    with _delivering(instance):
        if at_once:
            with Session(engine) as session:
                runs = session.scalars(select(OutboxItem.run_no).where(OutboxItem.status == DELIVERED).distinct()).all()
            for run_no in runs:
                with writing(engine) as session:
                    _count_again(instance, session, run_no)
        with Session(engine) as session:
            due = session.execute(
                select(OutboxItem.run_no, OutboxItem.outbox_id).where(_is_due(at_once)).order_by(OutboxItem.outbox_id)
            ).all()
            not_whole = {run_no: handover.lacking(session, run_no) for run_no in sorted({run_no for run_no, _ in due})}
        for run_no, outbox_id in due:
            content, fault = (b"", not_whole[run_no]) if not_whole[run_no] else _write(instance, engine, outbox_id)
            with writing(engine) as session:
                _keep_outcome(session.get(OutboxItem, outbox_id), content, fault)
        for run_no in not_whole:
            with writing(engine) as session:
                _count_again(instance, session, run_no)
    with Session(engine) as session:
        return Counter(session.scalars(select(OutboxItem.status)))


def failed(session: Session) -> list[OutboxItem]:
    """What could not be delivered, by the moment it is due again."""
    return list(session.scalars(
        select(OutboxItem).where(OutboxItem.status == FAILED).order_by(OutboxItem.next_attempt_at, OutboxItem.outbox_id)
    ))  # fmt: skip


@contextmanager
def _delivering(instance: Instance) -> Iterator[None]:
    lock = os.open(instance.archive, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _is_due(at_once: bool):
    item = OutboxItem
    if at_once:
        return item.status.in_((WAITING, FAILED))
    # What failed before the outbox kept the next attempt has none.
    is_due_again = or_(item.next_attempt_at.is_(None), item.next_attempt_at <= now())
    return or_(item.status == WAITING, (item.status == FAILED) & is_due_again)


def _write(instance: Instance, engine: Engine, outbox_id: str) -> tuple[bytes, str]:
    """The content of the file now written, or why it is not, in a sentence."""
    try:
        with Session(engine) as session:
            item = session.get(OutboxItem, outbox_id)
            content = render(instance, session, item)
            if fault := handover.unlike(session, item, content):
                return b"", fault
    except (InputFault, ValueError) as fault:
        return b"", str(fault)
    target = instance.outbox / outbox_id
    unfinished = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    except OSError as fault:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return b"", f"Filen kunne ikke skrives i udbakken ({fault.strerror or type(fault).__name__}). Gør plads eller ret mappen."
    return content, ""


def _count_again(instance: Instance, session: Session, run_no: int) -> None:
    """What a run has handed over, counted and read back: a file that is not there or not whole has failed."""
    handed_over = select(OutboxItem).where(OutboxItem.run_no == run_no, OutboxItem.status == DELIVERED)
    for item in session.scalars(handed_over).all():
        if fault := handover.lost(instance, session, item):
            _keep_outcome(item, b"", fault)


def _keep_outcome(item: OutboxItem, content: bytes, fault: str) -> None:
    item.attempts += 1
    item.last_error = fault
    if fault:
        item.status = FAILED
        item.next_attempt_at = now() + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(item.attempts - 1, 20))
    else:
        item.status, item.path, item.next_attempt_at = DELIVERED, item.outbox_id, None
        item.sha256, item.delivered_at = file_digest(content), now()


def render(instance: Instance, session: Session, item: OutboxItem) -> bytes:
    """The bytes of one outbox file. Raises InputFault where an e-invoice breaks a rule, ValueError where it lacks data."""
    if item.format == "opus":
        return reposting_csv(_vouchers(session, item.run_no))
    if item.format == RETURNED:
        return returned_csv(returned_of(session, session.get(SettlementRun, item.run_no)))
    if item.format.startswith(PAID):
        postings = spread([item.format], postings_of(session, session.get(SettlementRun, item.run_no)))[item.format]
        return postings_file(
            system_of(item.format), postings, municipality=instance.municipality, machine_no=instance.invoices.machine_no,
            enveloped=instance.invoices.enveloped,
        )  # fmt: skip
    paper = paper_of(instance, session, session.get(Document, (item.run_no, item.document_number)))
    if item.format == "pdf":
        return document_pdf(paper)
    xml = invoice_xml(paper)
    if broken := check(xml):
        raise InputFault(f"{paper.number}: e-fakturaen bryder {broken[0].rule}: {broken[0].message}")
    return xml


def paper_of(instance: Instance, session: Session, document: Document) -> Paper:
    """The booked document as the renderers take it."""
    run = session.get(SettlementRun, document.run_no)
    own = session.get(ProposalParty, (run.proposal_id, instance.municipality))
    lines = printed_lines(session, document)
    return Paper(
        number=document.number, kind=document.kind, process=document.process, issue_date=document.issue_date,
        due_date=document.due_date, supplier=_party(instance.municipality, own), customer=_party(document.counterparty, document),
        lines=tuple(lines), total_oere=document.amount_oere, vat_oere=document.vat_oere,
        requisition=lines[0].requisition if len({x.requisition for x in lines}) == 1 else "",
        run_no=run.run_no, run_head=run.hash, document_hash=document.hash,
        bank_registration=instance.bank_registration, bank_account=instance.bank_account,
    )  # fmt: skip


def _party(code: str, known: ProposalParty | Document) -> Party:
    """An address is written «Vej 1, 1234 By»; what does not fit that stands as the street."""
    match = re.fullmatch(r"\s*(.*?)\s*,\s*(\d{4})\s+(.+?)\s*", known.address)
    street, postal_code, city = match.groups() if match else (known.address, "", "")
    return Party(
        code=code, name=known.name, cvr=known.cvr, ean=known.ean, street=street, postal_code=postal_code, city=city,
        contact_id=known.contact,
    )  # fmt: skip


def _vouchers(session: Session, run_no: int) -> list[Voucher]:
    rows = session.execute(
        select(Posting, Document.process, Proposal.through)
        .join(Document, (Document.run_no == Posting.run_no) & (Document.number == Posting.document_number))
        .join(SettlementRun, SettlementRun.run_no == Document.run_no)
        .join(Proposal, Proposal.proposal_id == SettlementRun.proposal_id)
        .where(Document.run_no == run_no)
        .order_by(Posting.posting_id)
    ).all()
    # The finance system takes amounts above 0: a negative one stands on the other side.
    return [
        Voucher(
            account=posting.account, debit_credit=DEBIT if (posting.side == "debet") == (posting.amount_oere > 0) else CREDIT,
            amount_oere=abs(posting.amount_oere),
            text=f"Afregning {process} {through:%Y-%m}", reference=posting.document_number, document_number=posting.document_number,
        )
        for posting, process, through in rows
    ]  # fmt: skip
