"""E-invoices and credit notes from private offers, holding only what a supplier knows.

Two suppliers in five never give a reference of ours, and no service of an extra kind (transport, meals, home care) comes
with one. What a line says of its citizen is the supplier's habit: initials and day of birth, name, CPR number or nothing.
The suppliers of a country would send more than anyone wants in a demo, so at most `SUPPLIERS` do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from lxml import etree

from ingestion.demo.case import Line
from ingestion.demo.catalogue import DEPARTMENTS, Item
from ingestion.demo.extracts import Extracts
from ingestion.demo.finance import Month
from ingestion.demo.offers import Offer, Offers, department_ean
from ingestion.demo.people import Municipalities, postal_code, street
from ingestion.demo.shares import Shares
from settlement.documents.model import CREDIT_NOTE, INVOICE, Document, DocumentLine, Party
from settlement.documents.oioubl import invoice_xml
from settlement.engine.calendar import public_holidays

SUPPLIERS, DOCUMENTS, LINES_PER_DOCUMENT = 110, 460, 60
# Of that many suppliers one invoices each citizen apart, two give no reference of ours.
PER_CITIZEN_OF, NO_REFERENCE_OF = 4, 5
# Out of 10,000 suppliers, who credits something.
CREDITS = 1700
UBL = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
AGGREGATE = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"


@dataclass(frozen=True)
class Served:
    """Whom a line is about: what the supplier was told when the service was ordered."""

    cpr: str
    name: str
    born: date
    requisition: str
    department: str
    worker: str


@dataclass(frozen=True)
class Charge:
    """One line: the quantity as a fraction, the price of the unit in øre."""

    served: Served
    quantity_num: int
    quantity_den: int
    price_oere: int

    @property
    def amount_oere(self) -> int:
        """Rounded half away from zero to whole øre."""
        size = (2 * abs(self.quantity_num * self.price_oere) + self.quantity_den) // (2 * self.quantity_den)
        return -size if self.quantity_num < 0 else size


class Invoices:
    """Gathers what the chosen suppliers have delivered in the month before each delivery's, and writes the documents."""

    def __init__(
        self, extracts: Extracts, offers: Offers, municipalities: Municipalities, months: list[Month], seed: int
    ) -> None:
        self._extracts, self._offers, self._municipalities, self._months = extracts, offers, municipalities, months
        self._rng = Random(f"{seed}:invoices")
        private = [offer for offer in offers.all if offer.owner == "privat" and offer.cvr]
        step = max(1, -(-len(private) // SUPPLIERS))
        self._chosen = {offer.number: offer for offer in private[::step]}
        # Month number → the delivery that brings its invoices.
        self._month_of = {len(months) - 3 + delivery: delivery for delivery in (0, 1) if len(months) - 3 + delivery >= 0}
        self._charges: dict[tuple[int, int], list[tuple[Item, Charge]]] = {}
        self._documents = 0

    def add(
        self, served: Served, offer: Offer, item: Item, month: int, quantity_num: int, quantity_den: int, price_oere: int
    ) -> None:
        """A quantity delivered in a month; what no chosen supplier has delivered is passed over."""
        if offer.number in self._chosen and month in self._month_of and quantity_num > 0 and price_oere:
            charge = Charge(served, quantity_num, quantity_den, price_oere)
            self._charges.setdefault((self._month_of[month], offer.number), []).append((item, charge))

    def add_line(self, served: Served, line: Line, end: date, prices: dict[int, int]) -> None:
        """A service line as its offer counts it, in whole months and days."""
        for number in self._month_of if line.offer and line.offer.number in self._chosen else ():
            month = self._months[number]
            first, last = max(line.start, month.first), min(end, month.last)
            if first <= last:
                num, den = _quantity(line, month, first, last)
                self.add(
                    served, line.offer, line.item, number, num * line.units_e4, den * 10_000, prices[month.first.year]
                )

    def finish(self) -> int:
        """Writes every document; returns their number."""
        month_of = {delivery: self._months[month] for month, delivery in self._month_of.items()}
        numbers: dict[int, int] = {}
        shares = Shares()
        first_invoice: dict[int, tuple[str, Item, Charge]] = {}
        for (delivery, offer_number), charges in sorted(self._charges.items(), key=lambda entry: entry[0]):
            offer = self._chosen[offer_number]
            for item, department, part in _documents(offer, charges):
                number = self._number(offer, numbers)
                self._write(delivery, offer, INVOICE, number, month_of[delivery], item, department, part)
                if not delivery:
                    first_invoice.setdefault(offer_number, (number, item, part[0]))
            if delivery and offer_number in first_invoice and shares.hit("credit", CREDITS):
                # A tenth of the first line of the month before turns out not to have been delivered.
                number, item, charge = first_invoice[offer_number]
                back = Charge(charge.served, -charge.quantity_num, charge.quantity_den * 10, charge.price_oere)
                if back.amount_oere:
                    new, department = self._number(offer, numbers), charge.served.department
                    self._write(1, offer, CREDIT_NOTE, new, month_of[0], item, department, [back], corrects=number)
        return self._documents

    @staticmethod
    def _number(offer: Offer, numbers: dict[int, int]) -> str:
        """The supplier's own running number."""
        numbers[offer.number] = numbers.get(offer.number, 0) + 1
        return f"{10 + offer.number % 90}{numbers[offer.number]:04d}"

    def _write(
        self, delivery: int, offer: Offer, kind: str, number: str, month: Month, item: Item, department: str,
        charges: list[Charge], corrects: str = "",
    ) -> None:  # fmt: skip
        if self._documents >= DOCUMENTS:
            return
        self._documents += 1
        received = self._extracts.dates[delivery]
        issued = received.replace(day=1) + timedelta(self._rng.randint(0, 9))
        lines = tuple(
            DocumentLine(
                i, f"{100 + offer.number % 800}", month.name, item.name, item.unit, charge.quantity_num,
                charge.quantity_den, charge.price_oere, charge.amount_oere, _vat(charge.amount_oere, item.vat_pct),
                item.vat_pct * 100, corrects=corrects,
            )
            for i, charge in enumerate(charges, start=1)
        )  # fmt: skip
        references = [charge.served.requisition if offer.number % NO_REFERENCE_OF > 1 else "" for charge in charges]
        document = Document(
            number, kind, "", issued, issued + timedelta(30), self._supplier(offer), self._customer(department, charges),
            lines, sum(line.amount_oere for line in lines), sum(line.vat_oere for line in lines),
            # Where the lines have references of their own, the document must have one too (F-INV142).
            requisition=(references[0] if len(lines) == 1 else "Samlefaktura") if any(references) else "",
            bank_registration=f"{1000 + offer.number * 37 % 9000}", bank_account=f"{int(offer.cvr) * 97 % 10**10:010d}",
        )  # fmt: skip
        content = _as_the_supplier_writes(invoice_xml(document), offer, month, charges, references)
        name = f"faktura_{received.isoformat()}_{self._documents:06d}.xml"
        self._extracts.write_document("fakturaer", name, content, len(lines))

    def _supplier(self, offer: Offer) -> Party:
        rng = Random(f"{offer.cvr}:address")
        place = next(m for m in self._municipalities.all if m.code == offer.municipality)
        return Party(
            offer.cvr, f"{offer.name} ApS", offer.cvr, offer.ean, street(rng), postal_code(rng, place.region), place.name
        )

    def _customer(self, department: str, charges: list[Charge]) -> Party:
        own = self._municipalities.own
        title = next(title for code, title, _ in DEPARTMENTS if code == department)
        return Party(
            own.code, f"{own.name} Kommune, {title}", self._offers.municipality_cvr[own.code], department_ean(department),
            contact_id=charges[0].served.worker,
        )  # fmt: skip


def _documents(offer: Offer, charges: list[tuple[Item, Charge]]):
    """(item, department, charges) of each of a supplier's documents of a month."""
    gathered: dict[tuple[str, str, str], tuple[Item, list[Charge]]] = {}
    for item, charge in charges:
        apart = charge.served.cpr if offer.number % PER_CITIZEN_OF == 0 and item.unit != "leveret" else ""
        gathered.setdefault((item.code, charge.served.department, apart), (item, []))[1].append(charge)
    for (_, department, _), (item, together) in sorted(gathered.items(), key=lambda entry: entry[0]):
        for i in range(0, len(together), LINES_PER_DOCUMENT):
            yield item, department, together[i : i + LINES_PER_DOCUMENT]


def _quantity(line: Line, month: Month, first: date, last: date) -> tuple[int, int]:
    """Units of a month as a fraction, before the line's own number of units; absence is not the supplier's to deduct."""
    item, days = line.item, (last - first).days + 1
    if last == line.end and not item.departure_day_paid and days > 1:
        days -= 1
    if item.unit == "hverdag":
        closed = public_holidays(first.year, last.year)
        every = (first + timedelta(n) for n in range(days))
        return sum(day.weekday() < 5 and day not in closed for day in every), 1
    if item.unit == "engang":
        return int(first == line.start), 1
    if item.unit == "maaned" and item.proration == "tredivedel":
        return (30 if days == month.days else min(days, 30)), 30
    if item.unit == "maaned" and item.proration == "hel":
        return 1, 1
    return days, {"doegn": 1, "uge": 7, "time": 7, "maaned": month.days, "aar": 12 * month.days}[item.unit]


def _vat(amount_oere: int, pct: int) -> int:
    size = (2 * abs(amount_oere) * pct + 100) // 200
    return -size if amount_oere < 0 else size


def _as_the_supplier_writes(
    xml: bytes, offer: Offer, month: Month, charges: list[Charge], references: list[str]
) -> bytes:
    """The document without what only the municipality knows, with the supplier's own words about each citizen."""
    root = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    root.find(f"{UBL}Note").text = f"Levering i {month.first:%m-%Y}"
    lines = [*root.iter(f"{AGGREGATE}InvoiceLine"), *root.iter(f"{AGGREGATE}CreditNoteLine")]
    for line, charge, reference in zip(lines, charges, references, strict=True):
        for ours in line.findall(f"{AGGREGATE}Item/{AGGREGATE}AdditionalItemProperty"):
            ours.getparent().remove(ours)
        if about := _about(offer, charge.served):
            note = etree.Element(f"{UBL}Note")
            note.text = about
            line.find(f"{UBL}ID").addnext(note)
        if reference and len(lines) > 1 and line.tag.endswith("InvoiceLine"):
            order_line = etree.Element(f"{AGGREGATE}OrderLineReference")
            etree.SubElement(order_line, f"{UBL}LineID").text = "1"
            order = etree.SubElement(order_line, f"{AGGREGATE}OrderReference")
            etree.SubElement(order, f"{UBL}ID").text = reference
            line.find(f"{AGGREGATE}TaxTotal").addprevious(order_line)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _about(offer: Offer, served: Served) -> str:
    """How this supplier names a citizen on a line."""
    initials = "".join(part[0] for part in served.name.split())
    habits = (f"{initials}, født {served.born:%d%m%y}", served.name, f"CPR {served.cpr[:6]}-{served.cpr[6:]}", "")
    return habits[offer.number // PER_CITIZEN_OF % len(habits)]
