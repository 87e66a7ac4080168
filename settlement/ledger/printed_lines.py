"""A booked document's lines as they are printed: each ledger line, or two where it is the difference between VAT rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.documents.model import DocumentLine
from settlement.ledger.models import Document, LedgerLine

# What tells a piece from others (settlement.md § 6).
KEY = ("service_line_id", "delivery_month", "price_oere", "counterparty", "account")


def printed_lines(session: Session, document: Document) -> list[DocumentLine]:
    """The lines of a booked document, numbered from 1; their sums are the document's.

    § 6 books the difference in amount and VAT. Where the VAT rate has changed since, that difference is of no rate: an
    e-invoice that says one is refused (F-LIB401). What was booked is then taken back whole with the rate it had, and all
    charged with the rate it has.
    """
    line = LedgerLine
    booked = session.scalars(
        select(line).where(line.run_no == document.run_no, line.document_number == document.number).order_by(line.line_number)
    ).all()
    of_no_rate = [x for x in booked if x.is_adjustment and _is_of_no_rate(x)]
    earlier = _earlier(session, document, of_no_rate, booked[0].line_number) if of_no_rate else {}
    split = {x.line_number for x in of_no_rate}
    printed = [part for x in booked for part in _parts(x, earlier.get(_key(x), ()) if x.line_number in split else ())]
    return [replace(part, number=i) for i, part in enumerate(printed, 1)]


def _is_of_no_rate(x: LedgerLine) -> bool:
    """Whether the VAT is another than its rate makes of the amount; one øre is the difference of two roundings. Only then is
    the ledger searched: it is read through, for it is found by documents, not by service lines."""
    return abs(x.vat_oere * 10_000 - x.amount_oere * x.vat_pct_e2) > 10_000


def _earlier(session: Session, document: Document, adjusted: list, first_line: int) -> dict[tuple, list]:
    """By key: what earlier runs booked of the adjusted lines' service lines, the latest last."""
    line, found = LedgerLine, defaultdict(list)
    service_lines = sorted({x.service_line_id for x in adjusted})
    for start in range(0, len(service_lines), 500):  # a database takes only so many values in a statement
        of_these = line.service_line_id.in_(service_lines[start : start + 500])
        before = select(line).where(line.process == document.process, line.line_number < first_line, of_these)
        for x in session.scalars(before.order_by(line.line_number)):
            found[_key(x)].append(x)
    return found


def _parts(x: LedgerLine, earlier: list) -> Iterator[DocumentLine]:
    if not earlier or earlier[-1].vat_pct_e2 == x.vat_pct_e2:
        yield _as_booked(x)
        return
    # All that is booked of a key is of the rate it had at the end.
    rate = earlier[-1].vat_pct_e2
    amount, vat = sum(e.amount_oere for e in earlier), sum(e.vat_oere for e in earlier)
    quantity = sum(Fraction(e.quantity_num, e.quantity_den) for e in earlier)
    for part_quantity, part_amount, part_vat, part_rate in (
        (-quantity, -amount, -vat, rate),
        (quantity + Fraction(x.quantity_num, x.quantity_den), amount + x.amount_oere, vat + x.vat_oere, x.vat_pct_e2),
    ):
        if part_quantity or part_amount or part_vat:
            yield replace(
                _as_booked(x), quantity_num=part_quantity.numerator, quantity_den=part_quantity.denominator,
                amount_oere=part_amount, vat_oere=part_vat, vat_pct_e2=part_rate,
            )  # fmt: skip


def _key(x: LedgerLine) -> tuple:
    return tuple(getattr(x, name) for name in KEY)


def _as_booked(x: LedgerLine) -> DocumentLine:
    return DocumentLine(
        number=0, service_line_id=x.service_line_id, delivery_month=f"{x.delivery_month:%Y-%m}", item_name=x.item_name,
        unit=x.unit, quantity_num=x.quantity_num, quantity_den=x.quantity_den, price_oere=x.price_oere,
        amount_oere=x.amount_oere, vat_oere=x.vat_oere, vat_pct_e2=x.vat_pct_e2, account=x.account,
        is_adjustment=x.is_adjustment, corrects=x.corrects, package_id=x.package_id, requisition=x.requisition,
    )  # fmt: skip
