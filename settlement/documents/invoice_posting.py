"""Postings of paid supplier invoices, as they go back to the finance system: plain frozen values, and what every layout demands.

One posting is one account × delivery month of one line of a paid invoice; VAT is a posting of its own on the VAT account. Each
voucher balances by a posting on the creditor account. No field is meant for a citizen's name or CPR number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from settlement.documents.model import CREDIT, DEBIT
from settlement.faults import InputFault

AUTOMATIC = "automatisk"
Posted = dict[str, tuple[int, int]]  # «debet» and «kredit»: how many, and their sum in øre


@dataclass(frozen=True)
class InvoicePosting:
    """What is posted on `account` of one line of the supplier's invoice, or (without line and days) on the creditor account.

    `voucher` is our number of the paid invoice. `amount_oere` above 0 is debit, below 0 credit, and never 0. Delivery follows
    `delivery_from` and `delivery_to`, days of one month; cash follows `posting_date`. `account_alias` is the finance system's own
    number of the account where it has another. `difference` says why another amount than the agreed was paid.
    Raises InputFault where it does not hold together.
    """

    voucher: str
    supplier_cvr: str
    invoice_number: str
    account: str
    amount_oere: int
    posting_date: date
    accounting_year: int
    line_number: str = ""
    delivery_from: date | None = None
    delivery_to: date | None = None
    text: str = ""
    approved_by: str = AUTOMATIC
    difference: str = ""
    account_alias: str = ""

    def __post_init__(self) -> None:
        if not self.account.isascii() or not self.account.isdigit():
            raise self._fault(f"kontoen «{self.account}» er ikke cifre", "Ret posteringsreglen, der gav den")
        if self.amount_oere == 0:
            raise self._fault(f"posteringen på konto {self.account} er på 0 øre", "Udelad den")
        days = (self.delivery_from, self.delivery_to)
        if (None in days) != (not self.line_number) or (None in days and days != (None, None)):
            raise self._fault("fakturalinje og leverancedage følges ikke ad", "Angiv alle tre, eller ingen ved kreditorkontoen")
        if self.delivery_from and not (
            self.delivery_from <= self.delivery_to and f"{self.delivery_from:%Y%m}" == f"{self.delivery_to:%Y%m}"
        ):
            raise self._fault(
                f"leverancen {self.delivery_from:%d-%m-%Y} til {self.delivery_to:%d-%m-%Y} er ikke dage i én måned", "Del den op"
            )

    def _fault(self, found: str, remedy: str) -> InputFault:
        return InputFault(f"Bilag {self.voucher}: {found}. {remedy}.")

    @property
    def side(self) -> str:
        """`Debet` or `Kredit`."""
        return DEBIT if self.amount_oere > 0 else CREDIT

    @property
    def is_creditor(self) -> bool:
        return not self.line_number


def with_creditor(postings: Iterable[InvoicePosting], account: str, account_alias: str = "") -> list[InvoicePosting]:
    """The postings of paid lines, and of each voucher its counter-posting on the creditor account (none where it is 0)."""
    postings = list(postings)
    vouchers: dict[str, list[InvoicePosting]] = defaultdict(list)
    for posting in postings:
        vouchers[posting.voucher].append(posting)
    for lines in vouchers.values():
        if owed := sum(line.amount_oere for line in lines):
            postings.append(replace(
                lines[0], account=account, account_alias=account_alias, amount_oere=-owed, line_number="", delivery_from=None,
                delivery_to=None, difference="",
            ))  # fmt: skip
    return postings


def ordered(postings: Iterable[InvoicePosting]) -> list[InvoicePosting]:
    """The postings as every layout writes them, the same whatever order they come in: by voucher, invoice line and month, the
    creditor last. Raises InputFault where there are none, or a voucher does not balance or has two dates, years or suppliers."""
    found = sorted(postings, key=_place)
    if not found:
        raise InputFault("Der er ingen posteringer at sende til økonomisystemet. Lav ingen fil af en kørsel uden betalinger.")
    vouchers: dict[str, list[InvoicePosting]] = defaultdict(list)
    for posting in found:
        vouchers[posting.voucher].append(posting)
    for voucher, lines in vouchers.items():
        if difference := sum(line.amount_oere for line in lines):
            raise InputFault(
                f"Bilag {voucher} stemmer ikke: debet er {kroner(difference)} kr. fra kredit. Tag alle bilagets posteringer med."
            )
        if len({(x.posting_date, x.accounting_year, x.supplier_cvr, x.invoice_number) for x in lines}) > 1:
            raise InputFault(
                f"Bilag {voucher} har flere posteringsdatoer, regnskabsår eller fakturaer. Lav et bilag for hver faktura."
            )
    return found


def _place(x: InvoicePosting) -> tuple:
    # Every field, so that postings of the same place that differ at all have an order.
    days = (x.delivery_from or date.max, x.delivery_to or date.max)
    line = (x.is_creditor, len(x.line_number), x.line_number)
    head = (x.posting_date, x.accounting_year, x.supplier_cvr, x.invoice_number)
    rest = (x.account_alias, x.text, x.difference, x.approved_by, *head)
    return (len(x.voucher), x.voucher, *line, *days, x.account, x.amount_oere, *rest)


def posted(postings: Iterable[tuple[str, int]]) -> Posted:
    """Count and sum by side of (`Debet` or `Kredit`, øre)."""
    counts, sums = Counter(), Counter()
    for side, amount in postings:
        counts[side] += 1
        sums[side] += amount
    return {side.lower(): (counts[side], sums[side]) for side in (DEBIT, CREDIT)}


def one_line(text: str) -> str:
    """A text without line breaks and other control characters, which no layout has room for."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def kroner(oere: int) -> str:
    """Kroner with decimal comma and nothing between the thousands."""
    return f"{'-' * (oere < 0)}{abs(oere) // 100},{abs(oere) % 100:02d}"
