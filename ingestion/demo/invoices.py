"""E-invoices and credit notes from private offers, holding only what a supplier knows, and beside them what each really is.

Suppliers and months are as many as the documents asked for need. The truth is written to `demo/` beside the landing folder
and names no citizen: `fakturaer_sandhed.csv` has one row per document, `fakturalinjer_sandhed.csv` one per line, service
line and delivery month.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from random import Random

from ingestion.demo.bill_errors import KINDS, BillErrors
from ingestion.demo.bill_formats import document_xml
from ingestion.demo.bills import (
    PER_WEEK,
    Bill,
    Delivered,
    Served,
    bills_of,
    natural_level,
    numbered,
)
from ingestion.demo.case import Line
from ingestion.demo.catalogue import DEPARTMENTS, Item
from ingestion.demo.extracts import Extracts
from ingestion.demo.finance import Month
from ingestion.demo.offers import Offer, Offers, department_ean, late_rate, rate_starts
from ingestion.demo.people import CprNumbers, Municipalities, name, postal_code, street
from ingestion.demo.quantities import Spell, part_of, units_by_part
from settlement.documents.model import Party

__all__ = ["DOCUMENTS", "LARGEST", "Invoices", "Served"]

DOCUMENTS, LARGEST = 460, 100_000
# Up to so many documents each is a file of its own, and of the latest months; more lie in one zip per delivery.
FILES_OF_THEIR_OWN, LATEST_MONTHS = 1_000, 3
SUPPLIERS, DOCUMENTS_PER_SUPPLIER = 110, 60
# Suppliers in a hundred that keep billing by the month where others bill by the week to make documents enough.
STAY_MONTHLY_PCT = 25
# No more of a hundred documents come from suppliers that give our reference.
REFERRING_PCT = 45
# Months put together make fewer documents of many; what is too many in the end is left out.
TO_BEGIN_WITH_PCT = 106
MONTHS_AFTER_END = 2
DOCUMENT_COLUMNS = (
    "file", "member", "document_id", "sender_cvr", "number", "document_kind", "format", "has_reference", "kind", "is_right",
    "duplicate_of",
)  # fmt: skip
LINE_COLUMNS = ("file", "member", "document_id", "line", "service_line_id", "delivery_month", "amount_oere", "is_right")


class Invoices:
    """Gathers what the chosen suppliers have delivered, and writes their documents and the truth of them."""

    def __init__(
        self, extracts: Extracts, offers: Offers, municipalities: Municipalities, cpr: CprNumbers, months: list[Month],
        documents: int, seed: int,
    ) -> None:  # fmt: skip
        self._extracts, self._offers, self._municipalities, self._cpr = extracts, offers, municipalities, cpr
        self._wanted, self._rng = documents, Random(f"{seed}:invoices")
        private = [offer for offer in offers.all if offer.owner == "privat" and offer.cvr]
        step = max(1, -(-len(private) // max(SUPPLIERS, documents // DOCUMENTS_PER_SUPPLIER)))
        self._chosen = {offer.number: offer for offer in private[::step]} if documents else {}
        self._months = months if documents > FILES_OF_THEIR_OWN else months[-LATEST_MONTHS:]
        self._month_of = {month.first: month for month in self._months}
        self._history_start = months[0].first
        self._delivered: dict[int, list[Delivered]] = {number: [] for number in self._chosen}
        self._after_end: list[Delivered] = []
        self._prices: dict[tuple[int, date], int] = {}

    # What has been delivered

    def add_line(self, served: Served, line: Line, system: str, spells: list[Spell]) -> None:
        """A service line that is entitled by the day, with its absences."""
        if not line.offer or line.offer.number not in self._chosen:
            return
        end, billed_on = line.end_at(self._extracts.dates[1]), 0
        for month in self._months:
            parts = units_by_part(line, end, month, spells)
            if any(parts):
                present = sum(units_by_part(line, None, month, []), Fraction(0)) if end or spells else sum(parts)
                self._add(served, line, f"{system}-{line.number}", month, parts, present)
            elif end and end < month.first and line.item.unit != "engang" and billed_on < MONTHS_AFTER_END:
                billed_on += 1
                parts = units_by_part(line, None, month, [])
                self._add(served, line, f"{system}-{line.number}", month, parts, sum(parts), has_left=True)

    def add_registrations(
        self, served: Served, offer: Offer | None, item: Item, service_line_id: str, units_e4: dict[date, int]
    ) -> None:
        """Delivered units in ten-thousandths by day, as registered."""
        if not offer or offer.number not in self._chosen:
            return
        by_month: dict[date, list[int]] = {}
        for day, units in units_e4.items():
            parts = by_month.setdefault(day.replace(day=1), [0, 0, 0, 0])
            parts[part_of(day)] += units
        line = Line(0, item, offer, date.min, None, date.min, date.min)
        for first, parts in sorted(by_month.items()):
            if first in self._month_of and sum(parts) > 0:
                units = tuple(Fraction(part, 10_000) for part in parts)
                self._add(served, line, service_line_id, self._month_of[first], units, sum(units))

    def _add(
        self, served: Served, line: Line, service_line_id: str, month: Month, parts: tuple[Fraction, ...], present: Fraction,
        has_left: bool = False,
    ) -> None:  # fmt: skip
        offer = line.offer
        price = line.own_price_oere or self._price(offer, month)
        delivered = Delivered(served, offer, line.item, service_line_id, month, parts, price, present)
        (self._after_end if has_left else self._delivered[offer.number]).append(delivered)

    def _price(self, offer: Offer, month: Month) -> int:
        """The offer's price of its item as it stands after the second delivery."""
        key = (offer.number, month.first)
        if key not in self._prices:
            price, today = self._offers.price(offer.item, offer, month.first.year), self._extracts.dates[1]
            start = rate_starts(self._history_start, today)[-1]
            latest = self._offers.price(offer.item, offer, max(start.year, self._history_start.year))
            late = late_rate(offer, start, latest, today)
            self._prices[key] = late[1] if late and late[0] <= month.first else price
        return self._prices[key]

    # The documents

    def finish(self) -> dict[str, object]:
        """Writes every document and the truth. Returns the mix: {"documents", "suppliers", "without_reference",
        "kinds": by kind, "formats": by format}."""
        stranger = self._strangers()
        levels, referring = self._habits()
        for number in self._delivered.keys() - referring:
            self._delivered[number] = [_without_reference(delivered) for delivered in self._delivered[number]]
        self._after_end = [d if d.offer.number in referring else _without_reference(d) for d in self._after_end]
        bills = [each for number, level in levels.items() for each in self._bills(number, level)]
        expected = min(self._wanted, len(bills))
        last_day = self._extracts.dates[1]
        errors = BillErrors(
            self._rng, bills, self._after_end, self._delivered, levels, referring, stranger, last_day, expected
        )  # fmt: skip
        bills = self._cut_down(errors.draw())
        numbered(bills)
        bills.sort(key=lambda b: (b.received, b.offer.number, bool(b.copy_of), b.number))
        self._write(bills)
        return {
            "documents": len(bills),
            "suppliers": len({each.offer.number for each in bills}),
            "without_reference": sum(not each.gives_reference for each in bills),
            "kinds": {kind: count for kind in KINDS if (count := sum(each.kind == kind for each in bills))},
            "formats": dict(sorted(Counter(each.format for each in bills).items())),
        }

    def _habits(self) -> tuple[dict[int, int], set[int]]:
        """How often each supplier bills, for documents as many as wanted where there are deliveries enough; and who of
        them give our reference."""
        wanted = self._wanted * TO_BEGIN_WITH_PCT // 100
        numbers = sorted(number for number, delivered in self._delivered.items() if delivered)
        self._rng.shuffle(numbers)
        levels = {number: natural_level(self._chosen[number]) for number in numbers}
        bills = {number: self._bills(number, levels[number]) for number in numbers}
        total = sum(map(len, bills.values()))
        stay = len(numbers) * STAY_MONTHLY_PCT // 100
        for number in numbers[stay:] + numbers[:stay]:
            if total < wanted:
                levels[number], before = PER_WEEK, len(bills[number])
                bills[number] = self._bills(number, PER_WEEK)
                total += len(bills[number]) - before
        for number in reversed(numbers):
            if total - len(bills[number]) >= wanted:
                total -= len(bills.pop(number))
        referring, documents = set(), 0
        for number, each in bills.items():
            with_reference = sum(document.gives_reference for document in each)
            if (documents + with_reference) * 100 <= total * REFERRING_PCT:
                referring.add(number)
                documents += with_reference
        return {number: levels[number] for number in bills}, referring

    def _bills(self, number: int, level: int) -> list[Bill]:
        found = bills_of(self._chosen[number], self._delivered[number], level, self._rng)
        return [each for each in found if each.received <= self._extracts.dates[1]]

    def _strangers(self) -> Callable[[], Served]:
        """Citizens by turns: another supplier's, and another municipality's, whom we do not know at all."""
        rng = self._rng
        known = [delivered.served for number in sorted(self._delivered) for delivered in self._delivered[number]]

        def stranger() -> Served:
            if rng.random() < 0.6:
                return rng.choice(known)
            born = self._extracts.dates[1] - timedelta(rng.randint(7_000, 30_000))
            other = self._municipalities.another(rng)
            return Served(
                self._cpr.new(born), name(rng), born, f"{other.code}-{rng.randint(0, 999_999):06d}", "",
                "".join(rng.choice("ABCDEFGHKLMNPRST") for _ in range(3)),
            )  # fmt: skip

        return stranger

    def _cut_down(self, bills: list[Bill]) -> list[Bill]:
        """No more than wanted: right documents go that nothing else builds on."""
        spare = [each for each in bills if each.kind in ("right", "no_reference") and not each.is_needed]
        surplus = min(len(spare), max(0, len(bills) - self._wanted))
        gone = set(map(id, self._rng.sample(spare, surplus)))
        return [each for each in bills if id(each) not in gone]

    # The files

    def _write(self, bills: list[Bill]) -> None:
        truth = self._extracts.landing.parent / "demo"
        truth.mkdir(parents=True, exist_ok=True)
        with (
            (truth / "fakturaer_sandhed.csv").open("w", encoding="utf-8", newline="") as documents,
            (truth / "fakturalinjer_sandhed.csv").open("w", encoding="utf-8", newline="") as lines,
        ):
            document_rows, line_rows = (csv.writer(f, delimiter=";", lineterminator="\n") for f in (documents, lines))
            document_rows.writerow(DOCUMENT_COLUMNS)
            line_rows.writerow(LINE_COLUMNS)
            for sequence, each in enumerate(bills, start=1):
                file, member = self._write_document(each, sequence)
                document_rows.writerow((
                    file, member, each.sent, each.offer.cvr, each.number, each.document_kind, each.format,
                    int(each.gives_reference), each.kind, int(each.is_right), each.copy_of.sent if each.copy_of else "",
                ))  # fmt: skip
                for number, line in enumerate(each.lines, start=1):
                    for owed in line.owed:
                        line_rows.writerow((
                            file, member, each.sent, number, owed.service_line_id, owed.delivery_month, owed.amount_oere,
                            int(line.is_right),
                        ))  # fmt: skip

    def _write_document(self, each: Bill, sequence: int) -> tuple[str, str]:
        """(file, member of the zip) where the document lies."""
        delivery = int(each.received > self._extracts.dates[0])
        day = self._extracts.dates[delivery].isoformat()
        content = document_xml(each, self._supplier(each.offer), self._customer(each))
        each.sent = hashlib.sha256(content).hexdigest()
        document, pack = f"faktura_{day}_{sequence:06d}.xml", f"fakturaer_{day}.zip"
        if self._wanted <= FILES_OF_THEIR_OWN:
            pack = ""
        self._extracts.write_document("fakturaer", document, content, len(each.lines), pack)
        return (pack, document) if pack else (document, "")

    def _supplier(self, offer: Offer) -> Party:
        rng = Random(f"{offer.cvr}:address")
        place = next(m for m in self._municipalities.all if m.code == offer.municipality)
        return Party(
            offer.cvr, f"{offer.name} ApS", offer.cvr, offer.ean, street(rng), postal_code(rng, place.region), place.name
        )

    def _customer(self, each: Bill) -> Party:
        own = self._municipalities.own
        title = next(title for code, title, _ in DEPARTMENTS if code == each.department)
        rng = Random(f"{own.code}:town hall")
        return Party(
            own.code, f"{own.name} Kommune, {title}", self._offers.municipality_cvr[own.code],
            department_ean(each.department), street(rng), postal_code(rng, own.region), own.name,
            contact_id=each.lines[0].served[0].worker,
        )  # fmt: skip


def _without_reference(delivered: Delivered) -> Delivered:
    return replace(delivered, served=replace(delivered.served, requisition=""))
