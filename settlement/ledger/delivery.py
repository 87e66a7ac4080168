"""Delivery reads the outbox: each file is written once per id, retried safely, and identical when written again."""

from __future__ import annotations

import os
import re
from collections import Counter

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from settlement.documents.model import CREDIT, DEBIT, DocumentLine, Party
from settlement.documents.model import Document as Paper
from settlement.documents.model import Posting as Voucher
from settlement.documents.oioubl import invoice_xml
from settlement.documents.oioubl_rules import check
from settlement.documents.opus import reposting_csv
from settlement.documents.pdf import document_pdf
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.ledger.booking import DELIVERED, FAILED, WAITING, file_digest
from settlement.ledger.models import (
    Document,
    LedgerLine,
    OutboxItem,
    Posting,
    Proposal,
    ProposalParty,
    SettlementRun,
)  # fmt: skip
from settlement.ledger.register import now


def deliver(instance: Instance, engine: Engine) -> Counter[str]:
    """Writes every waiting or failed file to `outbox/<run>/`; returns how many files have each status afterwards.

    An e-invoice that breaks a rule of the official set is not written; the outbox says which rule.
    """
    with Session(engine) as session:
        waiting = session.scalars(select(OutboxItem.outbox_id).where(OutboxItem.status.in_((WAITING, FAILED)))).all()
    for outbox_id in waiting:
        with Session(engine) as session, session.begin():
            item = session.get(OutboxItem, outbox_id)
            item.attempts += 1
            try:
                content = render(instance, session, item)
            except (InputFault, ValueError) as fault:
                item.status, item.last_error = FAILED, str(fault)
                continue
            target = instance.outbox / outbox_id
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(".part")
            unfinished.write_bytes(content)
            os.replace(unfinished, target)
            item.status, item.last_error, item.path = DELIVERED, "", outbox_id
            item.sha256, item.delivered_at = file_digest(content), now()
    with Session(engine) as session:
        return Counter(session.scalars(select(OutboxItem.status)))


def render(instance: Instance, session: Session, item: OutboxItem) -> bytes:
    """The bytes of one outbox file. Raises InputFault where an e-invoice breaks a rule, ValueError where it lacks data."""
    if item.format == "opus":
        return reposting_csv(_vouchers(session, item.run_no))
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
    lines = session.scalars(
        select(LedgerLine)
        .where(LedgerLine.run_no == document.run_no, LedgerLine.document_number == document.number)
        .order_by(LedgerLine.line_number)
    ).all()
    return Paper(
        number=document.number, kind=document.kind, process=document.process, issue_date=document.issue_date,
        due_date=document.due_date, supplier=_party(instance.municipality, own), customer=_party(document.counterparty, document),
        lines=tuple(
            DocumentLine(
                number=i, service_line_id=x.service_line_id, delivery_month=f"{x.delivery_month:%Y-%m}", item_name=x.item_name,
                unit=x.unit, quantity_num=x.quantity_num, quantity_den=x.quantity_den, price_oere=x.price_oere,
                amount_oere=x.amount_oere, vat_oere=x.vat_oere, vat_pct_e2=x.vat_pct_e2, account=x.account,
                is_adjustment=x.is_adjustment, corrects=x.corrects, package_id=x.package_id, requisition=x.requisition,
            )
            for i, x in enumerate(lines, 1)
        ),
        total_oere=document.amount_oere, vat_oere=document.vat_oere,
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
