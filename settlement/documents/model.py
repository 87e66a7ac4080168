"""What a booked document looks like to whoever renders it: plain frozen values, no database and no clock.

Every amount is integer øre and signed as booked: a charge is positive, a credit negative. Quantities are the ledger's
exact fractions. No field is meant for a citizen's name or CPR number, and no renderer prints `Party.code`, which for a
citizen charge is one.
"""
from __future__ import annotations

from dataclasses import dataclass
from datetime import date

INVOICE = "faktura"
CREDIT_NOTE = "kreditnota"
INTERNAL_VOUCHER = "internbilag"
PAYOUT_ORDER = "udbetaling"
CITIZEN_CHARGE = "opkraevning"
KINDS = (INVOICE, CREDIT_NOTE, INTERNAL_VOUCHER, PAYOUT_ORDER, CITIZEN_CHARGE)

DEBIT = "Debet"
CREDIT = "Kredit"


@dataclass(frozen=True)
class Party:
    """One side of a document: an organisation, or (in citizen charges) a counterparty without cvr and ean.

    Any of `cvr` (8 digits), `ean` (GLN, 13 digits) and the address fields may be ''; the e-invoice refuses what it
    needs and does not have, the PDF leaves it out. `contact_id` is the reference at the receiver (OIOUBL Contact/ID).
    """

    code: str
    name: str
    cvr: str = ""
    ean: str = ""
    street: str = ""
    postal_code: str = ""
    city: str = ""
    contact_id: str = ""
    contact_name: str = ""


@dataclass(frozen=True)
class DocumentLine:
    """One ledger line as printed: one piece (service line, delivery month, unit price, counterparty, account).

    `quantity_num / quantity_den` is the exact quantity in `unit` (the loader's `enhed`), `quantity_den` > 0 and the
    sign in the numerator. `amount_oere` and `vat_oere` are signed as booked. `vat_pct_e2` is hundredths of a per cent
    (25 % is 2500). `corrects` is the number of the document that an adjustment points to, '' where there is none.
    """

    number: int
    service_line_id: str
    delivery_month: str
    item_name: str
    unit: str
    quantity_num: int
    quantity_den: int
    price_oere: int
    amount_oere: int
    vat_oere: int = 0
    vat_pct_e2: int = 0
    account: str = ""
    is_adjustment: bool = False
    corrects: str = ""
    package_id: str = ""
    requisition: str = ""


@dataclass(frozen=True)
class Document:
    """One booked document: one counterparty, process, EAN and run.

    `total_oere` is the signed sum of the lines without VAT and `vat_oere` the signed sum of their VAT; both are checked
    here, as is that there are lines (ValueError), for a document that does not add up must never leave. A credit
    note's net total is below 0, an invoice's is not. `run_head` is the hash of the run printed on the document,
    `document_hash` the document's own.
    """

    number: str
    kind: str
    process: str
    issue_date: date
    due_date: date
    supplier: Party
    customer: Party
    lines: tuple[DocumentLine, ...]
    total_oere: int
    vat_oere: int
    requisition: str = ""
    run_no: int = 0
    run_head: str = ""
    document_hash: str = ""
    bank_registration: str = ""
    bank_account: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(self.lines))
        if self.kind not in KINDS:
            raise ValueError(f"Document {self.number}: kind {self.kind!r} is unknown; use one of {', '.join(KINDS)}")
        if not self.lines:
            raise ValueError(f"Document {self.number} has no lines; a document is made of at least one booked line")
        net = sum(line.amount_oere for line in self.lines)
        vat = sum(line.vat_oere for line in self.lines)
        if (net, vat) != (self.total_oere, self.vat_oere):
            raise ValueError(
                f"Document {self.number}: its lines sum to {net} øre and {vat} øre VAT, but its head says "
                f"{self.total_oere} and {self.vat_oere}; build the head from the booked lines"
            )

    @property
    def payable_oere(self) -> int:
        """Total including VAT in øre, signed as booked."""
        return self.total_oere + self.vat_oere


@dataclass(frozen=True)
class Posting:
    """One side of a balanced posting for the municipality's own ledger system.

    `debit_credit` is `Debet` or `Kredit` and `amount_oere` is above 0: the side carries the sign (else ValueError).
    """

    account: str
    debit_credit: str
    amount_oere: int
    text: str
    reference: str
    document_number: str

    def __post_init__(self) -> None:
        if self.debit_credit not in (DEBIT, CREDIT):
            raise ValueError(
                f"Posting of document {self.document_number}: side {self.debit_credit!r} is not {DEBIT} or {CREDIT}"
            )
        if self.amount_oere <= 0:
            raise ValueError(
                f"Posting of document {self.document_number} on account {self.account}: {self.amount_oere} øre; "
                "the amount must be above 0, turn the side instead"
            )
