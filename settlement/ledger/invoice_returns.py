"""What goes back to the finance system of a payment run: the postings of what is paid, and the invoices that are not."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.documents.invoice_posting import AUTOMATIC, InvoicePosting, kroner, with_creditor
from settlement.documents.invoice_return import DIVIDED, ReturnedInvoice, file_name
from settlement.engine.calendar import month_end
from settlement.ledger.models import Document, InvoiceDecision, InvoicePayment, InvoiceReturn, SettlementRun
from settlement.reference import posting_account

# The outbox's formats of a payment run; PAID is followed by the finance system it is written for, and of several by the part.
PAID, RETURNED = "fakturabetaling_", "afviste_fakturaer"


def postings_of(session: Session, run: SettlementRun) -> list[InvoicePosting]:
    """The run's postings per voucher, invoice line, account and delivery month, VAT on its own account, and the creditor's.

    Accrual follows the delivery month, cash the run's booking date.
    """
    vat, fallback, creditor = (
        posting_account(run.process, role, run.booking_date) for role in ("vat", "lines", "counterparty")
    )
    documents = {d.number: d for d in session.scalars(select(Document).where(Document.run_no == run.run_no))}
    deciders = _deciders(session, run)
    lines, creditor_alias = [], ""
    for paid in session.scalars(
        select(InvoicePayment).where(InvoicePayment.run_no == run.run_no)
        .order_by(InvoicePayment.document_number, InvoicePayment.line_number, InvoicePayment.part_no)
    ):  # fmt: skip
        document, creditor_alias = documents[paid.document_number], paid.creditor_alias
        deviation = "" if paid.amount_oere == paid.agreed_oere else f"aftalt {kroner(paid.agreed_oere)} kr."
        parts = ((paid.account or fallback, paid.account_alias, paid.amount_oere), (vat, paid.vat_alias, paid.vat_oere))
        for account, alias, amount in parts:
            if amount:
                lines.append(InvoicePosting(
                    voucher=document.number, supplier_cvr=document.counterparty, invoice_number=document.contact, account=account,
                    account_alias=alias, amount_oere=amount, posting_date=run.booking_date, accounting_year=run.accounting_year,
                    line_number=paid.line_number, delivery_from=paid.delivery_month, delivery_to=month_end(paid.delivery_month),
                    text=f"Faktura {document.contact}", approved_by=deciders.get((paid.document_id, paid.line_number), AUTOMATIC),
                    difference=deviation,
                ))  # fmt: skip
    return with_creditor(lines, creditor, creditor_alias)


def paid_files(session: Session, run: SettlementRun, finance_system: str) -> dict[str, str]:
    """The outbox's format → the name of each file of a run's postings: one, or as many as the finance system must have them in."""
    divide = DIVIDED.get(finance_system)
    count = len(divide(postings_of(session, run))) if divide else 1
    if count == 1:
        return {f"{PAID}{finance_system}": file_name(finance_system, run.run_no, run.booking_date)}
    return {
        f"{PAID}{finance_system}_{part}": file_name(finance_system, run.run_no, run.booking_date, part)
        for part in range(1, count + 1)
    }


def system_of(item_format: str) -> str:
    """The finance system that a file of postings is written for."""
    return item_format.removeprefix(PAID).partition("_")[0]


def spread(formats: Iterable[str], postings: list[InvoicePosting]) -> dict[str, list[InvoicePosting]]:
    """The outbox's format → the postings that file has of a run's; none where it is of a part that there is not."""
    found, parts = {}, {}
    for item_format in formats:
        system, _, part = item_format.removeprefix(PAID).partition("_")
        if part and not parts:
            parts = dict(enumerate(DIVIDED[system](postings), 1))
        found[item_format] = parts.get(int(part), []) if part else postings
    return found


def returned_of(session: Session, run: SettlementRun) -> list[ReturnedInvoice]:
    """The rejections that the payment run tells of, with the reason people gave; what comes of one later changes nothing."""
    query = select(InvoiceDecision).join(InvoiceReturn, InvoiceReturn.decision_id == InvoiceDecision.decision_id)
    return [
        ReturnedInvoice(d.sender_cvr, d.document_number, "afvist", d.reason)
        for d in session.scalars(query.where(InvoiceReturn.run_no == run.run_no).order_by(InvoiceDecision.decision_id))
    ]


def _deciders(session: Session, run: SettlementRun) -> dict[tuple[str, str], str]:
    """Who decided that a line be paid; a decision on the whole invoice holds for each of its lines."""
    found = {}
    paid = session.execute(
        select(InvoicePayment.document_id, InvoicePayment.line_number).where(InvoicePayment.run_no == run.run_no).distinct()
    ).all()
    made: dict[tuple[str, str], str] = {}
    for d in session.scalars(
        select(InvoiceDecision)
        .where(InvoiceDecision.decided_at <= run.booked_at, InvoiceDecision.action.in_(("match", "godkend")))
        .order_by(InvoiceDecision.decision_id)
    ):
        made[d.document_id, d.line_number] = d.decided_by
    for document_id, line_number in paid:
        if by := made.get((document_id, line_number)) or made.get((document_id, "")):
            found[document_id, line_number] = by
    return found
