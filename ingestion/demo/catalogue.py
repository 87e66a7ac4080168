"""What the demo municipality grants, and how much of it: catalogue items, departments, accounts, calibration figures.

Stocks are the municipality's own citizens on a day, for 58,000 inhabitants: Statistics Denmark's national figures
(2018–2023) scaled by population: 139 placed children (63 % foster families, 17 % institutions, 14 % residences, 6 %
other), 437 supportive measures, 103 children with disabilities, and in a quarter 783 adults (of them 84 in § 107, 55 in
§ 108, 146 in housing like it, 462 with § 85 at home) with 1.34 services each.
Prices are near published ones of 2024 and regulated yearly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CALIBRATION_POPULATION = 58_000
# 39 % of the residents of a place come from another municipality than the one it lies in, and as many live elsewhere.
ELSEWHERE_PCT = 39
PRICE_LEVEL_YEAR = 2024
# Satsregulering in per mille by year; years without a published figure follow the average of those known.
REGULATION_PER_MILLE = {2021: 20, 2022: 12, 2023: 27, 2024: 32, 2025: 36, 2026: 45}
AVERAGE_REGULATION_PER_MILLE = 29


@dataclass(frozen=True)
class Item:
    """One catalogue item. `price_oere` is the price of 2024, or 0 where no price has been set; `private_grouping` where
    a private supplier chosen by the citizen is booked on a grouping of its own."""

    code: str
    name: str
    law: str
    paragraph: str
    area: str
    unit: str
    price_oere: int
    function: str
    grouping: str
    kind: str
    proration: str = ""
    absence_full_days: int = 0
    absence_pct: int = 100
    departure_day_paid: bool = True
    vat_pct: int = 0
    private_grouping: str = ""

    @property
    def account(self) -> str:
        return account(self.function, self.grouping, self.kind)


@dataclass(frozen=True)
class Care:
    """A kind of case: one main service, and how many have it.

    `stock`: own citizens on a day per 58,000 inhabitants. `own_pct`: how many of them are served by an own offer; the
    rest by other owners in `elsewhere` (by turns). `foreign_pct`: residents of own offers whom another municipality
    pays for. `offer_size`: residents per own offer, 0 where no offer delivers. `paid_to`: who gets the money of a
    payout. `extras`: further services of the same citizen, with per cent that have them.
    """

    item: str
    system: str
    dataset: str
    department: str
    stock: int
    ages: tuple[int, int]
    mean_stay_days: int
    own_pct: int = 100
    foreign_pct: int = 0
    elsewhere: tuple[str, ...] = ()
    offer_size: int = 0
    counts_places: bool = False
    paid_to: str = ""
    extras: tuple[tuple[str, int], ...] = field(default=())


CHILDREN, ADULTS, DISABLED, ELDERLY = "Udsatte børn og unge", "Udsatte voksne", "Handicap", "Ældre"
ITEMS = {
    item.code: item
    for item in (
        Item("BL43-PLEJE", "Plejefamilie", "BL", "43", CHILDREN, "maaned", 39_167_00, "5.28.22", "001", "1.0"),
        Item("BL43-INST", "Døgninstitution", "BL", "43", CHILDREN, "doegn", 3_178_00, "5.28.23", "001", "4.7"),
        Item("BL43-OPH", "Opholdssted", "BL", "43", CHILDREN, "maaned", 86_141_00, "5.28.20", "001", "4.0",
             "tredivedel"),
        Item("BL43-KOST", "Kost- og efterskole", "BL", "43", CHILDREN, "aar", 298_500_00, "5.28.20", "003", "4.0"),
        Item("BL43-LOMME", "Lommepenge", "BL", "43", CHILDREN, "uge", 143_00, "5.28.22", "004", "5.2"),
        Item("BL43-ETABL", "Etablering i plejefamilie", "BL", "43", CHILDREN, "engang", 12_500_00, "5.28.22", "005",
             "5.2"),
        Item("BL32-KONT", "Fast kontaktperson", "BL", "32", CHILDREN, "time", 437_50, "5.28.21", "001", "4.0"),
        Item("BL32-FAM", "Familiebehandling", "BL", "32", CHILDREN, "maaned", 9_850_00, "5.28.21", "002", "4.0"),
        Item("BL32-PRAK", "Praktisk og pædagogisk støtte", "BL", "32", CHILDREN, "time", 393_76, "5.28.21", "003",
             "4.0"),
        Item("BL32-AFL", "Støtteophold", "BL", "32", CHILDREN, "doegn", 2_832_00, "5.28.21", "004", "4.7",
             departure_day_paid=False),
        Item("BL114-EFT", "Ungestøtte, døgnophold", "BL", "114", CHILDREN, "maaned", 41_300_00, "5.28.20", "002", "4.7",
             "tredivedel"),
        Item("BL83-DAG", "Særligt dagtilbud", "BL", "83", DISABLED, "hverdag", 1_335_00, "5.28.25", "001", "4.7",
             absence_full_days=10, absence_pct=50),
        Item("BL84-KLUB", "Særlig klub", "BL", "84", DISABLED, "hverdag", 520_00, "5.28.25", "002", "4.7"),
        Item("BL86-MER", "Merudgifter til barn", "BL", "86", DISABLED, "maaned", 3_200_00, "5.57.72", "009", "5.2",
             "hel"),
        Item("BL87-TAF", "Tabt arbejdsfortjeneste", "BL", "87", DISABLED, "maaned", 14_200_00, "5.57.72", "010", "5.2",
             "tredivedel"),
        Item("BL89-LED", "Ledsagelse til unge", "BL", "89", DISABLED, "leveret", 285_00, "5.28.21", "005", "4.0"),
        Item("BL90-AFL", "Aflastning", "BL", "90", DISABLED, "uge", 5_950_00, "5.28.21", "006", "4.7",
             absence_full_days=7, absence_pct=0),
        Item("SEL82-NY", "Indsats uden fastsat takst", "SEL", "82", ADULTS, "maaned", 0, "5.38.38", "009", "4.0"),
        Item("SEL107", "Midlertidigt botilbud", "SEL", "107", ADULTS, "doegn", 2_394_00, "5.38.52", "001", "4.7",
             absence_full_days=30, absence_pct=80),
        Item("SEL108", "Længerevarende botilbud", "SEL", "108", DISABLED, "doegn", 2_778_00, "5.38.50", "001", "4.7",
             absence_full_days=14, absence_pct=90, departure_day_paid=False),
        Item("ABL105", "Støtte i botilbudslignende bolig", "SEL", "85", DISABLED, "doegn", 1_696_00, "5.38.51",
             "001", "4.7"),
        Item("SEL85", "Socialpædagogisk støtte i eget hjem", "SEL", "85", ADULTS, "time", 458_00, "5.38.38", "003",
             "4.0",
             absence_full_days=14, absence_pct=0),
        Item("SEL96", "Borgerstyret personlig assistance", "SEL", "96", DISABLED, "maaned", 62_000_00, "5.38.38",
             "002", "5.2"),
        Item("SEL97", "Ledsageordning", "SEL", "97", DISABLED, "leveret", 285_00, "5.38.53", "001", "4.0"),
        Item("SEL100", "Merudgifter til voksne", "SEL", "100", DISABLED, "maaned", 1_138_00, "5.57.72", "011", "5.2",
             "hel"),
        Item("SEL103", "Beskyttet beskæftigelse", "SEL", "103", DISABLED, "hverdag", 419_00, "5.38.58", "001", "4.7"),
        Item("SEL104", "Aktivitets- og samværstilbud", "SEL", "104", DISABLED, "hverdag", 637_00, "5.38.59", "001",
             "4.7",
             absence_full_days=5, absence_pct=0),
        Item("SEL104-KØR", "Kørsel til dagtilbud", "SEL", "105", DISABLED, "leveret", 145_00, "5.38.59", "002", "4.9",
             vat_pct=25),
        Item("SEL110", "Forsorgshjem", "SEL", "110", ADULTS, "doegn", 1_241_00, "5.38.42", "001", "4.7",
             departure_day_paid=False),
        Item("SEL112", "Hjælpemiddel", "SEL", "112", DISABLED, "engang", 18_500_00, "5.38.41", "001", "2.9",
             vat_pct=25),
        Item("SEL83-PLEJE", "Personlig pleje", "SEL", "83", ELDERLY, "leveret", 482_00, "5.30.26", "001", "1.0",
             private_grouping="002"),
        Item("SEL83-PRAK", "Praktisk hjælp", "SEL", "83", ELDERLY, "leveret", 426_00, "5.30.26", "001", "1.0",
             private_grouping="002"),
        Item("SEL83-MAD", "Madservice, døgnkost", "SEL", "83", ELDERLY, "leveret", 68_00, "5.30.26", "003", "1.0",
             private_grouping="004"),
        Item("SEL83A-REHAB", "Rehabiliteringsforløb", "SEL", "83 a", ELDERLY, "leveret", 512_00, "5.30.26", "005",
             "1.0"),
        Item("SUL138-SYGE", "Hjemmesygepleje", "SUL", "138", ELDERLY, "leveret", 598_00, "5.30.28", "001", "1.0"),
        Item("EGB-BOLIG", "Beboerbetaling for bolig", "SEL", "163", DISABLED, "maaned", 2_550_00, "5.38.50", "092",
             "7.1", "hel"),
        Item("EGB-MAD", "Madservice, leveret hovedret", "SEL", "83 b", ADULTS, "leveret", 61_00, "5.38.37", "092",
             "7.2"),
    )
}  # fmt: skip

OWNERS = ("kommunal", "regional", "privat", "kommunal")
HOME = (("SEL104", 55), ("SEL103", 12), ("SEL97", 22), ("SEL104-KØR", 20))
CARES = (
    Care("BL43-PLEJE", "dubu", "anbringelser", "BU-ANB", 87, (0, 17), 2200, 0, 0, ("plejefamilie",), 2, True,
         "plejeforælder",
         (("BL43-LOMME", 80), ("BL43-ETABL", 60))),
    Care("BL43-INST", "dubu", "anbringelser", "BU-ANB", 24, (6, 17), 1100, 61, 39, ("kommunal", "regional"), 12, True),
    Care("BL43-OPH", "dubu", "anbringelser", "BU-ANB", 20, (12, 17), 1000, 0, 0, ("privat",), 8, True),
    Care("BL43-KOST", "dubu", "anbringelser", "BU-ANB", 8, (14, 17), 700, 0, 0, ("privat",), 8),
    Care("BL32-KONT", "dubu", "stoette", "BU-FAM", 135, (6, 17), 270, 60, 0, ("privat",), 60),
    Care("BL32-FAM", "dubu", "stoette", "BU-FAM", 140, (0, 17), 270, 100, 0, (), 70),
    Care("BL32-PRAK", "dubu", "stoette", "BU-FAM", 97, (0, 17), 270, 50, 0, ("privat",), 60),
    Care("BL32-AFL", "dubu", "stoette", "BU-FAM", 50, (2, 17), 270, 61, 39, ("kommunal", "privat"), 30),
    Care("BL114-EFT", "dubu", "stoette", "BU-FAM", 15, (18, 22), 400, 61, 39, ("kommunal", "privat"), 10, True),
    Care("BL83-DAG", "dubu", "stoette", "BU-HAN", 18, (1, 9), 1100, 80, 20, ("kommunal",), 12, True),
    Care("BL84-KLUB", "dubu", "stoette", "BU-HAN", 9, (10, 17), 1100, 100, 0, (), 10, True),
    Care("BL86-MER", "dubu", "stoette", "BU-HAN", 26, (0, 17), 1500, 100, 0, (), 0, False, "forælder", (("BL87-TAF",
         35),)),
    Care("BL89-LED", "dubu", "stoette", "BU-HAN", 6, (12, 17), 1100, 100, 0, (), 40),
    Care("BL90-AFL", "dubu", "stoette", "BU-HAN", 44, (2, 17), 1100, 61, 39, ("kommunal", "privat"), 30),
    Care("SEL107", "sensum", "ydelser", "VO-BO", 80, (18, 52), 900, 61, 39, OWNERS, 14, True, "",
         (("SEL104", 45), ("SEL104-KØR", 15), ("EGB-BOLIG", 20))),
    Care("SEL108", "sensum", "ydelser", "VO-BO", 55, (25, 75), 4000, 61, 39, OWNERS, 14, True, "",
         (("SEL104", 60), ("SEL104-KØR", 40), ("EGB-BOLIG", 95))),
    Care("ABL105", "sensum", "ydelser", "VO-BO", 146, (22, 75), 3200, 61, 39, OWNERS, 16, True, "", HOME),
    Care("SEL85", "sensum", "ydelser", "VO-HJ", 425, (18, 79), 1100, 80, 0, ("privat",), 90, False, "",
         (("SEL97", 6), ("SEL103", 8), ("SEL100", 4), ("SEL112", 4), ("EGB-MAD", 4))),
    Care("SEL96", "sensum", "ydelser", "VO-HJ", 6, (20, 64), 3000, 100, 0, (), 0, False, "borger"),
    Care("SEL97", "sensum", "ydelser", "VO-HJ", 4, (18, 66), 1500, 100, 0, (), 80),
    Care("SEL100", "sensum", "ydelser", "VO-HJ", 6, (18, 66), 1500, 100, 0, (), 0, False, "borger"),
    Care("SEL103", "sensum", "ydelser", "VO-AK", 10, (18, 64), 1800, 80, 20, ("kommunal",), 24, True),
    Care("SEL104", "sensum", "ydelser", "VO-AK", 6, (18, 75), 1800, 80, 20, ("kommunal",), 24, True),
    Care("SEL110", "sensum", "ydelser", "VO-BO", 6, (20, 65), 110, 61, 39, ("kommunal",), 12, True),
)  # fmt: skip

# Department, name, department above.
DEPARTMENTS = (
    ("SOC", "Social og Familie", ""),
    ("BU-ANB", "Familie og Unge, anbringelser", "SOC"),
    ("BU-FAM", "Familie og Unge, støttende indsatser", "SOC"),
    ("BU-HAN", "Børnehandicap", "SOC"),
    ("VO-BO", "Handicap og Psykiatri, botilbud", "SOC"),
    ("VO-HJ", "Handicap og Psykiatri, støtte i eget hjem", "SOC"),
    ("VO-AK", "Handicap og Psykiatri, aktivitet og beskæftigelse", "SOC"),
    ("DRIFT-BU", "Egne tilbud, børn og unge", "SOC"),
    ("DRIFT-VO", "Egne tilbud, voksne", "SOC"),
    ("AE", "Ældre og Sundhed", ""),
    ("AE-VIS", "Visitation og hjælp i hjemmet", "AE"),
    ("DRIFT-AE", "Egen hjemmepleje", "AE"),
)
COST_CENTRE, PROJECT_COST_CENTRE = "4100", "4200"


def account(function: str, grouping: str, kind: str, cost_centre: str = COST_CENTRE) -> str:
    """The 16 digits of the authorised chart: function 5, dranst 1 (running costs), ejerforhold 1 (own), cost centre 4,
    grouping 3, kind 2."""
    return f"{function.replace('.', '')}11{cost_centre}{grouping}{kind.replace('.', '')}"


def income_account(item: Item) -> str:
    """Where another municipality's payment for the service is booked: kind 7.7, income from municipalities."""
    return account(item.function, item.grouping, "7.7")


def private_account(item: Item) -> str:
    """Where a private supplier chosen by the citizen is booked: kind 4.0, services without VAT."""
    return account(item.function, item.private_grouping, "4.0")


def scaled(stock: int, population: int) -> int:
    """The stock of a municipality with that many inhabitants, at least 1, halves up."""
    return max(1, (2 * stock * population + CALIBRATION_POPULATION) // (2 * CALIBRATION_POPULATION))


def price_in(year: int, price_oere: int) -> int:
    """A price of 2024 regulated to another year, to whole øre."""
    step = 1 if year > PRICE_LEVEL_YEAR else -1
    for y in range(PRICE_LEVEL_YEAR, year, step):
        rate = 1000 + REGULATION_PER_MILLE.get(max(y, y + step), AVERAGE_REGULATION_PER_MILLE)
        price_oere = price_oere * rate // 1000 if step > 0 else price_oere * 1000 // rate
    return price_oere
