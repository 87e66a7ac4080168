"""The demo's offers, their owners, prices and counterparties, and the lists the municipality's staff keep of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import ceil
from random import Random

from ingestion.demo.catalogue import (
    CARES,
    DEPARTMENTS,
    ITEMS,
    Care,
    Item,
    price_in,
    scaled,
)
from ingestion.demo.extracts import Extracts
from ingestion.demo.people import CprNumbers, Municipalities, cvr_numbers, ean, name, place_names, postal_code, street

# Other municipalities' and private offers house many besides ours; this many of our citizens share one.
CITIZENS_PER_FOREIGN_OFFER = 4
LINES_PER_SUPPLIER = 300
SUPPLIED = ("SEL104-KØR", "SEL112")
OCCUPANCY_PCT = (91, 102)
# One team of the own home care, and one private supplier of each kind of help, per that many inhabitants.
HOME_CARE, INHABITANTS_PER_TEAM = "SEL83-PLEJE", 8_000
INHABITANTS_PER_SUPPLIER = {"SEL83-PLEJE": 30_000, "SEL83-PRAK": 12_000, "SEL83-MAD": 60_000}


@dataclass
class Offer:
    """One offer; `enrolled_days` gathers while cases are written and gives an own offer's places at the end."""

    number: int
    name: str
    item: Item
    owner: str
    municipality: str
    cvr: str
    ean: str
    department: str
    places: int | None
    price_oere: int
    parent_cpr: str = ""
    enrolled_days: int = 0

    @property
    def id(self) -> str:
        return f"T{self.number:06d}"

    @property
    def own(self) -> bool:
        return self.owner == "egen"


class Offers:
    """Every offer of the demo. Grows with the number of offers (one in some 400 inhabitants), never with the cases."""

    def __init__(
        self, population: int, municipalities: Municipalities, cpr: CprNumbers, seed: int, today: date
    ) -> None:
        self._rng = Random(f"{seed}:offers")
        self._names, self._cvr = place_names(), cvr_numbers()
        self._municipalities, self._cpr, self._today = municipalities, cpr, today
        self.municipality_cvr = {m.code: next(self._cvr) for m in municipalities.all}
        self.region_cvr = {code: next(self._cvr) for code in sorted({m.region for m in municipalities.all})}
        self.all: list[Offer] = []
        self.own: dict[str, list[Offer]] = {}
        self.others: dict[str, list[Offer]] = {}
        extras = self._extras(population)
        for care in CARES:
            if care.offer_size:
                self._add_care(care, population, extras.get(care.item, 0))
        for code in SUPPLIED:
            count = max(1, extras[code] // LINES_PER_SUPPLIER)
            self.others[code] = [self._add(ITEMS[code], "privat", "", None) for _ in range(count)]
        self._add_home_care(population)
        self._prices: dict[tuple[str, int, int], int] = {}

    @staticmethod
    def _extras(population: int) -> dict[str, int]:
        wanted: dict[str, int] = {}
        for care in CARES:
            for item, pct in care.extras:
                wanted[item] = wanted.get(item, 0) + scaled(care.stock, population) * pct // 100
        return wanted

    def _add_care(self, care: Care, population: int, extra: int) -> None:
        item = ITEMS[care.item]
        residents, elsewhere = residents_of(care, population)
        if residents:
            count = max(1, round((residents + extra) / care.offer_size))
            department = "DRIFT-BU" if care.system == "dubu" else "DRIFT-VO"
            self.own[care.item] = [self._add(item, "egen", department, None) for _ in range(count)]
        per_offer = care.offer_size if care.elsewhere == ("plejefamilie",) else CITIZENS_PER_FOREIGN_OFFER
        self.others[care.item] = [
            self._add(
                item, care.elsewhere[i % len(care.elsewhere)], "", care.offer_size if care.counts_places else None
            )
            for i in range(ceil(elsewhere / per_offer))
        ]

    def _add_home_care(self, population: int) -> None:
        teams = range(max(1, population // INHABITANTS_PER_TEAM))
        self.own[HOME_CARE] = [self._add(ITEMS[HOME_CARE], "egen", "DRIFT-AE", None) for _ in teams]
        for team in self.own[HOME_CARE]:
            team.name = f"Hjemmeplejen {team.name}"
        for code, inhabitants in INHABITANTS_PER_SUPPLIER.items():
            suppliers = range(max(1, population // inhabitants))
            self.others[code] = [self._add(ITEMS[code], "privat", "", None) for _ in suppliers]

    def _add(self, item: Item, owner: str, department: str, places: int | None) -> Offer:
        rng, number = self._rng, len(self.all) + 1
        place = next(self._names)
        home = self._municipalities.own if owner in ("egen", "plejefamilie") else self._municipalities.another(rng)
        parent, ean_number = "", ean(1_000_000 + number)
        if owner == "plejefamilie":
            born = date(self._today.year - rng.randint(32, 62), rng.randint(1, 12), rng.randint(1, 28))
            parent, place, owner, cvr, ean_number = self._cpr.new(born), f"Plejefamilien {place}", "privat", "", ""
        elif owner == "privat":
            cvr = next(self._cvr)
        else:
            cvr = self.region_cvr[home.region] if owner == "regional" else self.municipality_cvr[home.code]
        price = item.price_oere * rng.randint(880, 1120) // 1000 // 100 * 100
        offer = Offer(number, place, item, owner, home.code, cvr, ean_number, department, places, price, parent)
        self.all.append(offer)
        return offer

    def price(self, item: Item, offer: Offer | None, year: int) -> int:
        """Price in øre of an item in a year: the offer's own, else the catalogue's."""
        at_offer = offer is not None and offer.item is item
        key = (item.code, offer.number if at_offer else 0, year)
        if key not in self._prices:
            self._prices[key] = price_in(year, offer.price_oere if at_offer else item.price_oere)
        return self._prices[key]

    def settle_places(self, days: int) -> None:
        """Gives own offers the places that make their occupancy over the period a usual one."""
        counting = {care.item for care in CARES if care.counts_places}
        for offer in self.all:
            if offer.own and offer.item.code in counting:
                average = offer.enrolled_days / days
                offer.places = max(1, round(average * 100 / self._rng.randint(*OCCUPANCY_PCT)))


def department_ean(code: str) -> str:
    """The EAN number that invoices to one of the municipality's departments are sent to."""
    return ean(500_001 + [department for department, _, _ in DEPARTMENTS].index(code))


def residents_of(care: Care, population: int) -> tuple[int, int]:
    """(residents of own offers on a day, own citizens with other owners' offers) of a kind of case.

    As many citizens of others live here as own ones live elsewhere, where the care says so; at least one resident.
    """
    stock = scaled(care.stock, population)
    at_home = -(-stock * care.own_pct // 100)
    residents = -(-at_home * 100 // (100 - care.foreign_pct)) if care.offer_size else 0
    return residents, stock - at_home


def rate_starts(history_start: date, today: date) -> list[date]:
    """First days of the yearly prices; the first lies well before the oldest case."""
    return [date(history_start.year - 12, 1, 1)] + [
        date(y, 1, 1) for y in range(history_start.year + 1, today.year + 1)
    ]


def late_rate(offer: Offer, start: date, price_oere: int, today: date) -> tuple[date, int] | None:
    """(first day, price) that comes with the second delivery, given the offer's latest price and its first day."""
    turn = offer.number - 1
    if turn % 25 == 3:  # corrected backwards: the year's price was wrong all along
        return start, price_oere + price_oere * (2 + turn % 3) // 100
    if turn % 40 == 5:  # a new price from the first of this month
        return today.replace(day=1), price_oere + 25_00
    return None


def write_lists(extracts: Extracts, offers: Offers, municipalities: Municipalities, history_start: date) -> None:
    """The staff's lists: catalogue, offers, prices, departments; late corrections come with the second delivery."""
    starts = rate_starts(history_start, extracts.dates[1])
    _write_catalogue(extracts)
    for offer in offers.all:
        row = {
            "Tilbudsnr.": offer.id, "Navn": offer.name, "Ejerforhold": offer.owner, "CVR-nr.": offer.cvr,
            "EAN-nr.": offer.ean,
            "Beliggenhedskommune": offer.municipality, "Paragraf": f"{offer.item.law} § {offer.item.paragraph}",
            "Pladser": "" if offer.places is None else offer.places, "Afdeling": offer.department,
            "Budgetteret belægning": 97 if offer.own and offer.places else "",
        }  # fmt: skip
        extracts.write("tilbud", "oversigt", 0, row)
    for item in ITEMS.values():
        if item.price_oere:
            _write_rates(
                extracts,
                item,
                "",
                [(start, price_in(_year(start, history_start), item.price_oere)) for start in starts],
            )
    for offer in offers.all:
        rates = [(start, offers.price(offer.item, offer, _year(start, history_start))) for start in starts]
        _write_rates(extracts, offer.item, offer.id, rates)
        if late := late_rate(offer, *rates[-1], extracts.dates[1]):
            _write_rates(extracts, offer.item, offer.id, [late], delivery=1)
    for code, title, above in DEPARTMENTS:
        row = {"Afdeling": code, "Navn": title, "EAN-nr.": department_ean(code), "Kommune": municipalities.own.code}
        extracts.write("tilbud", "afdelinger", 0, row | {"Hører under": above})
    _write_counterparties(extracts, offers, municipalities)


def _year(start: date, history_start: date) -> int:
    """The first price is the one of the year the history begins in, however early it starts."""
    return max(start.year, history_start.year)


def _write_rates(
    extracts: Extracts, item: Item, offer_id: str, rates: list[tuple[date, int]], delivery: int = 0
) -> None:
    ends = [start - timedelta(1) for start, _ in rates[1:]] + [""]
    for (start, price), end in zip(rates, ends, strict=True):
        row = {"Ydelseskode": item.code, "Tilbudsnr.": offer_id, "Gælder fra": start, "Gælder til": end}
        extracts.write("tilbud", "takster", delivery, row | {"Pris": Decimal(price) / 100})


def _write_catalogue(extracts: Extracts) -> None:
    for item in ITEMS.values():
        row = {
            "Ydelseskode": item.code, "Navn": item.name, "Lov": item.law, "Paragraf": item.paragraph,
            "Forretningsområde": item.area, "Enhed": item.unit, "Prorata": item.proration,
            "Fulde fraværsdage": item.absence_full_days, "Fraværsprocent": item.absence_pct,
            "Afrejsedag betales": "ja" if item.departure_day_paid else "nej", "Momsprocent": item.vat_pct,
            "Funktion": item.function, "Gruppering": item.grouping, "Art": item.kind,
            "Statsrefusion": "ja" if item.law in ("BL", "SEL") and item.kind != "7.1" else "nej",
        }  # fmt: skip
        extracts.write("tilbud", "katalog", 0, row)


def _write_counterparties(extracts: Extracts, offers: Offers, municipalities: Municipalities) -> None:
    rng = Random(f"{municipalities.own.code}:counterparties")
    # Two municipalities have not told where invoices go: one we surely bill, and the smallest.
    by_size = sorted(municipalities.others, key=lambda m: (m.region == municipalities.own.region, m.population))
    unknown = {by_size[-3].code, min(municipalities.others, key=lambda m: m.population).code}
    regions = {m.region: m.region_name for m in municipalities.all}
    public = [
        (m.code, f"{m.name} Kommune", offers.municipality_cvr[m.code], m.region, m.name) for m in municipalities.all
    ]
    public += [
        (code, title, offers.region_cvr[code], code, title.removeprefix("Region "))
        for code, title in sorted(regions.items())
    ]
    for number, (code, title, cvr, region, town) in enumerate(public, start=1):
        row = {
            "Kode": code, "Gælder fra": date(2007, 1, 1), "Navn": title, "CVR-nr.": cvr,
            "EAN-nr.": "" if code in unknown else ean(100_000 + number),
            "Adresse": f"{street(rng)}, {postal_code(rng, region)} {town}", "Kontakt": "Mellemkommunal afregning",
        }  # fmt: skip
        extracts.write("tilbud", "modparter", 0, row)
    for offer in offers.all:
        if offer.owner == "privat" and offer.cvr:
            region = next(m.region for m in municipalities.all if m.code == offer.municipality)
            row = {
                "Kode": offer.cvr, "Gælder fra": date(2015, 1, 1), "Navn": f"{offer.name} ApS", "CVR-nr.": offer.cvr,
                "EAN-nr.": offer.ean, "Adresse": f"{street(rng)}, {postal_code(rng, region)}", "Kontakt": name(rng),
            }  # fmt: skip
            extracts.write("tilbud", "modparter", 0, row)
