"""Documents that the tests of settlement.documents share: small, with every kind of line that occurs."""
from dataclasses import replace
from datetime import date

from settlement.documents.model import CREDIT_NOTE, INVOICE, Document, DocumentLine, Party, Posting

SUPPLIER = Party(
    "461", "Odense Kommune", "35209115", "5798006618606", "Flakhaven 2", "5000", "Odense C", "4711", "Afregning"
)
CUSTOMER = Party("751", "Aarhus Kommune", "55133018", "5798005770220", "Rådhuspladsen 2", "8000", "Aarhus C", "BT-88")

# 80.000 kr. for 13 of 31 days: the fraction that no short decimal holds (settlement.md § 5)
MONTH_PART = DocumentLine(
    number=1, service_line_id="Y00001", delivery_month="2026-10",
    item_name="Længerevarende botilbud med socialpædagogisk støtte", unit="maaned", quantity_num=13, quantity_den=31,
    price_oere=80_000_00, amount_oere=33_548_39, account="5320500190004500", package_id="P-1001", requisition="R-9",
)  # fmt: skip
# VAT 25 % on less than one krone, so that the tolerances of the official rules can be met from both sides
SMALL_VAT = DocumentLine(
    number=2, service_line_id="Y00002", delivery_month="2026-10", item_name="Kørsel", unit="leveret", quantity_num=1,
    quantity_den=1, price_oere=80, amount_oere=80, vat_oere=20, vat_pct_e2=2500, account="53205001",
)  # fmt: skip
FREE = DocumentLine(
    number=3, service_line_id="Y00003", delivery_month="2026-10", item_name="Prøveophold", unit="doegn",
    quantity_num=2, quantity_den=1, price_oere=0, amount_oere=0,
)  # fmt: skip
CORRECTION = DocumentLine(
    number=4, service_line_id="Y00004", delivery_month="2026-08", item_name="Botilbud", unit="doegn",
    quantity_num=-10, quantity_den=1, price_oere=2_100_50, amount_oere=-21_005_00, account="5320500190004500",
    is_adjustment=True, corrects="F2026-000017",
)  # fmt: skip

POSTINGS = (
    Posting("90540000", "Debet", 33_548_39, "Mellemkommunal afregning", "12-1", "F2026-000123"),
    Posting("5320500190004500", "Kredit", 33_548_39, "Mellemkommunal afregning", "12-1", "F2026-000123"),
)


def document(*lines: DocumentLine, kind: str = INVOICE, **changes) -> Document:
    """A document of these lines, numbered 1, 2, …, with a head that adds up."""
    lines = tuple(replace(line, number=number) for number, line in enumerate(lines, start=1))
    values = {
        "number": "F2026-000123", "kind": kind, "process": "mellemkommunal", "issue_date": date(2026, 11, 3),
        "due_date": date(2026, 12, 3), "supplier": SUPPLIER, "customer": CUSTOMER, "lines": lines,
        "total_oere": sum(line.amount_oere for line in lines), "vat_oere": sum(line.vat_oere for line in lines),
        "requisition": "", "run_no": 12, "run_head": "4f3c" * 16, "document_hash": "9a1b" * 16,
        "bank_registration": "1234", "bank_account": "0001234567",
    }  # fmt: skip
    return Document(**(values | changes))


def invoice(**changes) -> Document:
    return document(MONTH_PART, **changes)


def mixed_invoice(**changes) -> Document:
    """Two VAT categories, a line at price 0, and a line that corrects an earlier document."""
    return document(MONTH_PART, SMALL_VAT, FREE, CORRECTION, **changes)


def credit_note(**changes) -> Document:
    """Every line corrects the same document; one of them charges again."""
    back = replace(CORRECTION, quantity_num=1, amount_oere=2_100_50)
    return document(CORRECTION, back, kind=CREDIT_NOTE, number="K2026-000004", **changes)


def mixed_credit_note(**changes) -> Document:
    """Two VAT categories, a line at price 0, and a line that charges, with no document in common."""
    small = replace(SMALL_VAT, quantity_num=-1, amount_oere=-80, vat_oere=-20)
    charge = replace(MONTH_PART, quantity_num=1, amount_oere=2_580_65)
    return document(CORRECTION, small, FREE, charge, kind=CREDIT_NOTE, number="K2026-000005", **changes)


DOCUMENTS = {
    "invoice": invoice(),
    "mixed invoice": mixed_invoice(),
    "invoice with order": mixed_invoice(requisition="REKV-77"),
    "invoice to NemKonto": invoice(bank_registration="", bank_account=""),
    "invoice to CVR": invoice(customer=replace(CUSTOMER, ean="", street="", postal_code="", city="", contact_id="")),
    "credit note": credit_note(),
    "mixed credit note": mixed_credit_note(),
}
