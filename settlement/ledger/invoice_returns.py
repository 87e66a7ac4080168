"""What goes back to the finance system of a payment run: the postings of what is paid, and the invoices that are not."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from settlement.documents.invoice_posting import AUTOMATIC, InvoicePosting, kroner, with_creditor
from settlement.documents.invoice_return import ReturnedInvoice
from settlement.engine.calendar import month_end
from settlement.ledger.models import Document, InvoiceDecision, InvoicePayment, SettlementRun
from settlement.processes import INVOICES
from settlement.reference import posting_account

# The outbox's formats of a payment run; PAID is followed by the finance system it is written for.
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


def returned_of(session: Session, run: SettlementRun) -> list[ReturnedInvoice]:
    """The invoices that people have rejected since the payment run before, with the reason they gave."""
    before = session.scalar(
        select(func.max(SettlementRun.booked_at)).where(
            SettlementRun.process == INVOICES.name, SettlementRun.run_no < run.run_no, SettlementRun.run_no > 0
        )
    )
    query = select(InvoiceDecision).where(
        InvoiceDecision.action == "afvis", InvoiceDecision.withdraws.is_(None), InvoiceDecision.decided_at <= run.booked_at,
        InvoiceDecision.decision_id.not_in(select(InvoiceDecision.withdraws).where(InvoiceDecision.withdraws.is_not(None))),
    )  # fmt: skip
    if before:
        query = query.where(InvoiceDecision.decided_at > before)
    return [
        ReturnedInvoice(d.sender_cvr, d.document_number, "afvist", d.reason)
        for d in session.scalars(query.order_by(InvoiceDecision.decision_id))
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
