"""What a private supplier has delivered and how it bills it: documents before they are written, with the truth of each.

A supplier knows whom it was asked to serve, what it delivered and the price agreed; how it says so is its habit. Most
never give a reference of ours, and no service of an extra kind (transport, meals, home care) comes with one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from random import Random

from ingestion.demo.catalogue import Item
from ingestion.demo.finance import Month
from ingestion.demo.offers import Offer
from ingestion.demo.quantities import PART_STARTS
from settlement.documents.model import INVOICE

LINES_PER_DOCUMENT = 60
OIOUBL_2, OIOUBL_3, PEPPOL = "oioubl-2", "oioubl-3", "peppol-bis3"
COLLECTIVE, PER_CITIZEN, PER_WEEK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Served:
    """Whom a line is about: what the supplier was told when the service was ordered. `requisition` is our reference, empty
    where the supplier was given none or does not write it."""

    cpr: str
    name: str
    born: date
    requisition: str
    department: str
    worker: str


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """What one service line is worth in one month by the facts as they stand at the last delivery.

    `parts` are the units in each part of the month, `present` the units had the citizen been there on all its days.
    """

    served: Served
    offer: Offer
    item: Item
    service_line_id: str
    month: Month
    parts: tuple[Fraction, ...]
    price_oere: int
    present: Fraction

    @property
    def units(self) -> Fraction:
        return sum(self.parts, Fraction(0))


@dataclass(frozen=True, slots=True)
class Owed:
    """The truth of a line: what may be paid of it, for one service line and delivery month."""

    service_line_id: str
    delivery_month: str
    amount_oere: int


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line as billed; `delivered` is what it is about, empty where the supplier has delivered nothing of the kind."""

    served: tuple[Served, ...]
    item: Item
    first: date
    last: date
    units: Fraction
    price_oere: int
    owed: tuple[Owed, ...]
    delivered: tuple[Delivered, ...] = ()
    is_right: bool = True

    @property
    def amount_oere(self) -> int:
        return rounded(self.units * self.price_oere)

    @property
    def vat_oere(self) -> int:
        return rounded(Fraction(self.amount_oere * self.item.vat_pct, 100))


@dataclass(eq=False)
class Bill:
    """One document. `kind` is what it really is, empty until that is drawn; `is_needed` where another one builds on it."""

    offer: Offer
    department: str
    lines: list[BillLine]
    issued: date
    received: date
    format: str
    document_kind: str = INVOICE
    kind: str = ""
    number: str = ""
    corrects: Bill | None = None
    copy_of: Bill | None = None
    changes_number: bool = False
    is_needed: bool = False
    sent: str = field(default="", repr=False)  # sha256 of the file, once it is written

    @property
    def is_right(self) -> bool:
        return all(line.is_right for line in self.lines)

    @property
    def gives_reference(self) -> bool:
        return any(served.requisition for line in self.lines for served in line.served)


def rounded(value: Fraction) -> int:
    """Half away from zero."""
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return -size if value < 0 else size


# A supplier's habits


def about(offer: Offer, served: Served, item: Item) -> str:
    """How this supplier names a citizen on a line; one that says nothing mostly gives our reference instead."""
    initials = "".join(part[0] for part in served.name.split())
    habits = (f"{initials}, født {served.born:%d%m%y}", served.name, f"CPR {served.cpr[:6]}-{served.cpr[6:]}", "")
    habit = offer.number // 4 % len(habits)
    told = served.requisition or (offer.number % 3 == 0 and item.unit != "leveret")
    return habits[habit] or ("" if told else habits[0])


def is_told(offer: Offer, served: Served, item: Item) -> bool:
    """Whether a line says at all whom it is about."""
    return bool(served.requisition or about(offer, served, item))


def format_of(offer: Offer) -> str:
    return {3: OIOUBL_3, 5: PEPPOL}.get(offer.number % 7, OIOUBL_2)


def natural_level(offer: Offer) -> int:
    """One supplier in four bills each citizen apart, the others all of a department together."""
    return PER_CITIZEN if offer.number % 4 == 0 else COLLECTIVE


# From deliveries to documents


def bills_of(offer: Offer, deliveries: list[Delivered], level: int, rng: Random) -> list[Bill]:
    """A supplier's documents: a month together, each citizen apart, or each citizen's month in parts (where its parts
    add up to the whole, to the øre)."""
    gathered: dict[tuple[str, str, str, str], list[Delivered]] = {}
    for delivered in deliveries:
        apart = delivered.service_line_id if level and delivered.item.unit != "leveret" else ""
        key = (delivered.month.name, delivered.item.code, delivered.served.department, apart)
        gathered.setdefault(key, []).append(delivered)
    found = []
    for (_, _, department, apart), together in sorted(gathered.items(), key=lambda entry: entry[0]):
        if level == PER_WEEK and apart and (pieces := in_parts(together[0], [(0, 1), (1, 2), (2, 3), (3, 4)])):
            found += [bill(offer, department, [line], rng, by_part=True) for line in pieces]
            continue
        for i in range(0, len(together), LINES_PER_DOCUMENT):
            lines = [whole_month(delivered) for delivered in together[i : i + LINES_PER_DOCUMENT]]
            found.append(bill(offer, department, lines, rng))
    return found


def bill(offer: Offer, department: str, lines: list[BillLine], rng: Random, *, by_part: bool = False) -> Bill:
    """Sent soon after what it charges for was delivered, and received within days."""
    issued = max(line.last for line in lines) + timedelta(1 + rng.randint(0, 4 if by_part else 9))
    return Bill(offer, department, lines, issued, issued + timedelta(rng.randint(0, 2)), format_of(offer))


def whole_month(delivered: Delivered) -> BillLine:
    month, units = delivered.month, delivered.units
    return line_of(delivered, month.first, month.last, units)


def line_of(delivered: Delivered, first: date, last: date, units: Fraction) -> BillLine:
    owed = Owed(delivered.service_line_id, delivered.month.name, rounded(units * delivered.price_oere))
    return BillLine(
        (delivered.served,), delivered.item, first, last, units, delivered.price_oere, (owed,), (delivered,)
    )  # fmt: skip


def in_parts(delivered: Delivered, spans: list[tuple[int, int]]) -> list[BillLine]:
    """A line for each span of the month's parts that has units; none at all where they do not add up to the month."""
    lines = [
        line_of(delivered, *days_of(delivered.month, span), sum(delivered.parts[slice(*span)], Fraction(0)))
        for span in spans
    ]
    adds_up = sum(line.amount_oere for line in lines) == whole_month(delivered).amount_oere
    return [line for line in lines if line.units] if adds_up and all(line.units >= 0 for line in lines) else []


def days_of(month: Month, span: tuple[int, int]) -> tuple[date, date]:
    """First and last day of some of a month's parts."""
    first = month.first.replace(day=PART_STARTS[span[0]])
    return first, month.last if span[1] == len(PART_STARTS) else month.first.replace(day=PART_STARTS[span[1]] - 1)


def numbered(bills: list[Bill]) -> None:
    """Gives every document the supplier's own running number; a copy has its original's, written otherwise or not."""
    latest: dict[int, int] = {}
    for each in sorted((b for b in bills if not b.copy_of), key=lambda b: (b.offer.number, b.issued)):
        count = latest[each.offer.number] = latest.get(each.offer.number, 0) + 1
        number = each.offer.number
        forms = (f"{10 + number % 90}{count:04d}", f"{each.issued.year}-{count:05d}", f"F{count:06d}")
        each.number = forms[number % len(forms)]
    for each in bills:
        if each.copy_of:
            each.number = _rewritten(each.copy_of.number) if each.changes_number else each.copy_of.number


def _rewritten(number: str) -> str:
    """The same number as another system would write it."""
    if "-" in number:
        return number.replace("-", "")
    return f"{number[0]}-{number[1:]}" if number[0] == "F" else f"{int(number):09d}"
