"""What settlement.md demands, day by day: one function per sentence, exact fractions, no hurry.

Given the loader files of a sequence of loads and a sequence of settle runs it gives the ledger lines, the proposals and
the exceptions that the platform must produce. Written from settlement.md and loader.md alone.
"""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from oracle_loader import Store, value_on

MONTHS_TO_CLAIM = {"takst": 12, "refusion_9c": 36}  # § 7; domain_rules.md §1.2
SETTLED = ("mellemkommunal", "intern", "udbetaling", "personopkraevning", "beboerbetaling")


# --- The calendar ----------------------------------------------------------------------------------------------------


def easter_sunday(year):
    """Gauss' and Meeus' rule for the Gregorian calendar."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = b // 4, b % 4
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    lam = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * lam) // 451
    month, day = divmod(h + lam - 7 * m + 114, 31)
    return date(year, month, day + 1)


def is_public_holiday(day):
    """The holidays of Danish law on the date itself; Store bededag up to and including 2023."""
    after_easter = (day - easter_sunday(day.year)).days
    movable = {-3, -2, 0, 1, 39, 49, 50} | ({26} if day.year <= 2023 else set())
    return after_easter in movable or (day.month, day.day) in {(1, 1), (12, 25), (12, 26)}


def days_in_month(day):
    return monthrange(day.year, day.month)[1]


def month_of(day):
    return f"{day:%Y-%m}"


def last_day_of(month):
    year, number = map(int, month.split("-"))
    return date(year, number, monthrange(year, number)[1])


def months_later(month, count):
    year, number = map(int, month.split("-"))
    number += count - 1
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def days(first, last):
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# --- § 3: weights, departure, absence --------------------------------------------------------------------------------


def weight(day, line, item):
    """The unit's weight of one calendar day of the line's period, before absence."""
    if leaves_unpaid(day, line, item):
        return Fraction(0)
    dim = days_in_month(day)
    match item["enhed"]:
        case "doegn":
            return Fraction(1)
        case "hverdag":
            return Fraction(int(day.weekday() < 5 and not is_public_holiday(day)))
        case "uge" | "time":
            return Fraction(1, 7)
        case "maaned":
            return month_weight(day, line, item["prorata"])
        case "aar":
            return Fraction(1, 12 * dim)
        case "engang":
            return Fraction(int(day == line["startdato"]))
    raise AssertionError(item["enhed"])


def month_weight(day, line, prorata):
    dim = days_in_month(day)
    if prorata == "hel":
        return Fraction(int(day == max(line["startdato"], day.replace(day=1))))
    if prorata == "tredivedel":
        if day.month == 2 and day.day == dim:
            return Fraction(30 - (dim - 1), 30)
        return Fraction(0 if day.day == 31 else 1, 30)
    return Fraction(1, dim)


def leaves_unpaid(day, line, item):
    """The end date is not paid where the item says so, unless it is also the first day."""
    return item["afrejsedag_betales"] == "nej" and day == line["slutdato"] and day != line["startdato"]


def merged_spells(spells):
    """Touching or overlapping spells are one; an open end is open."""
    merged = []
    for first, last in sorted((s["fra"], s["til"] or date.max) for s in spells):
        if merged and (merged[-1][1] == date.max or first <= merged[-1][1] + timedelta(days=1)):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def absence_share(day, spells, item):
    """1 for a day present or within the full days of its spell, else the item's per cent."""
    if item["enhed"] in ("leveret", "engang") or (item["enhed"] == "maaned" and item["prorata"] == "hel"):
        return Fraction(1)
    for first, last in spells:
        if first <= day <= last and (day - first).days >= item["fravaer_fulde_dage"]:
            return item["fravaer_andel_pct"] / 100
    return Fraction(1)


# --- § 5: amounts ----------------------------------------------------------------------------------------------------


def half_away_from_zero(value):
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return size if value >= 0 else -size


def oere(kroner):
    return half_away_from_zero(kroner * 100)


@dataclass(frozen=True)
class Portion:
    """What one day, or one registration, adds to a line-month."""

    process: str
    price: Fraction | None
    counterparty: str | None
    account: str
    quantity: Fraction


@dataclass
class Worth:
    quantity: Fraction = Fraction(0)
    amount_oere: int = 0
    vat_oere: int = 0

    def plus(self, other, sign=1):
        return Worth(
            self.quantity + sign * other.quantity,
            self.amount_oere + sign * other.amount_oere,
            self.vat_oere + sign * other.vat_oere,
        )

    def is_nothing(self):
        return self.quantity == 0 and self.amount_oere == 0 and self.vat_oere == 0


@dataclass
class LedgerLine:
    """One row of the ledger-lines CSV.

    `document` and `corrects` are names of documents, not numbers: (run, counterparty), of run 0 (0, voucher).
    """

    run: int | None
    process: str
    line_id: str
    month: str
    price: Fraction
    counterparty: str
    account: str
    worth: Worth
    package_id: str = ""
    cpr: str = ""
    booked_on: date | None = None
    adjusts: bool = False
    corrects: set = field(default_factory=set)
    document: tuple | None = None
    document_type: str = ""

    def key(self):
        return (self.process, self.line_id, self.month, self.price, self.counterparty, self.account)

    def order(self):
        return (self.line_id, self.month, self.price, self.counterparty, self.account)


class Oracle:
    """One instance: its stored rows, its ledger, and what was parked by the latest run of each process and timing."""

    def __init__(self, municipality="461"):
        self.municipality = municipality
        self.store = Store()
        self.ledger = []
        self.runs = 0
        self.parked = {}
        self.portions_by_line = {}

    # --- loading ---------------------------------------------------------------------------------------------------

    def load(self, files):
        self.store.load(files)
        self.portions_by_line = {}
        self.book_opening_entries()

    def book_opening_entries(self):
        """What an earlier system has charged is booked once, as run 0."""
        booked = {line.key() for line in self.ledger if line.run == 0}
        for entry in self.store.alive("aabningsposter"):
            worth = Worth(entry["antal"] or Fraction(0), oere(entry["beloeb"] or 0), oere(entry["moms"] or 0))
            line = LedgerLine(
                0,
                entry["proces"],
                entry["ydelse_id"],
                entry["leverancemaaned"],
                entry["pris"],
                entry["modpart"],
                entry["konto"],
                worth,
                document=(0, entry["bilag"]),
            )
            if line.key() not in booked:
                line.package_id, line.cpr = self.package_and_cpr(line.line_id)
                self.ledger.append(line)

    # --- facts of a line -------------------------------------------------------------------------------------------

    def line(self, line_id):
        return self.store.rows["ydelser"][(line_id,)].values

    def package(self, line):
        return self.store.rows["ydelsespakker"][(line["pakke_id"],)]

    def item(self, line):
        return self.store.rows["katalogydelser"][(line["ydelseskode"],)].values

    def of_line(self, table, line):
        return [row for row in self.store.alive(table) if row["ydelse_id"] == line["ydelse_id"]]

    def package_and_cpr(self, line_id):
        line = self.line(line_id)
        return line["pakke_id"], self.package(line).values["cpr"]

    def is_entitled(self, line_id):
        """§ 6: applied-for and annulled packages, withdrawn lines and packages are entitled to nothing."""
        stored = self.store.rows["ydelser"][(line_id,)]
        package = self.package(stored.values)
        return stored.alive and package.alive and package.values["status"] not in ("ansoegt", "annulleret")

    # --- § 4: price, payer, account --------------------------------------------------------------------------------

    def price_on(self, day, line):
        """The most specific level with a price that day: the line, the item at the offer, the item."""
        rates = [r for r in self.store.alive("takster") if r["ydelseskode"] == line["ydelseskode"]]
        at_offer = [r for r in rates if r["tilbud_id"] and r["tilbud_id"] == line["tilbud_id"]]
        everywhere = [r for r in rates if not r["tilbud_id"]]
        for level in (self.of_line("individuelle_takster", line), at_offer, everywhere):
            price = value_on(level, day, "pris")
            if price is not None:
                return price
        return None

    def payer_on(self, day, line):
        package = self.package(line).values
        dated = [r for r in self.store.alive("betalere") if r["pakke_id"] == line["pakke_id"]]
        return value_on(dated, day, "betalingskommune") or package["betalingskommune"]

    def account_on(self, day, line):
        """An instance without posting rules has only the line's own accounts; an empty account is settled."""
        return value_on(self.of_line("kontoregler", line), day, "konto") or line["konto"] or ""

    def process_on(self, day, line):
        """The process stated on the line, else derived from that day's facts in the order of loader.md."""
        if line["afregningsform"]:
            return line["afregningsform"]
        offer = self.store.rows["tilbud"].get((line["tilbud_id"],))
        owner = offer.values["ejerforhold"] if offer else None
        payer = self.payer_on(day, line)
        if owner == "egen" and payer and payer != self.municipality:
            return "mellemkommunal"
        if owner == "egen" and payer:
            return "intern"
        if owner and owner != "egen":
            return "faktura"
        if not payer:
            return "mellemkommunal"
        return "ingen"

    def counterparty_on(self, day, line, process):
        """None where the day has no payer: no paying municipality, or internal without a department."""
        package = self.package(line).values
        payer = self.payer_on(day, line)
        if not payer:
            return None
        if process == "intern":
            return package["afdeling"]
        if process == "udbetaling":
            terms = self.of_line("udbetalingsvilkaar", line)
            return (terms and terms[0]["modtager_id"]) or package["cpr"]
        if process in ("personopkraevning", "beboerbetaling"):
            terms = self.of_line("opkraevningsvilkaar", line)
            return (terms and terms[0]["betaler_cpr"]) or package["cpr"]
        return payer

    # --- entitled --------------------------------------------------------------------------------------------------

    def portions(self, line_id, through):
        """The line's portions by delivery month, up to and including `through`."""
        if (line_id, through) not in self.portions_by_line:
            by_month = {}
            if self.is_entitled(line_id):
                line = self.line(line_id)
                deliver = self.registered if self.item(line)["enhed"] == "leveret" else self.by_day
                for day, quantity in deliver(line, through):
                    process = self.process_on(day, line)
                    portion = Portion(
                        process,
                        self.price_on(day, line),
                        self.counterparty_on(day, line, process),
                        self.account_on(day, line),
                        quantity,
                    )
                    by_month.setdefault(month_of(day), []).append(portion)
            self.portions_by_line[line_id, through] = by_month
        return self.portions_by_line[line_id, through]

    def by_day(self, line, through):
        """(day, quantity) of every day that weighs, also where absence empties it: such a day can still park."""
        item, spells = self.item(line), merged_spells(self.of_line("fravaer", line))
        last = min(line["slutdato"] or date.max, last_day_of(through))
        for day in days(line["startdato"], last):
            if heavy := weight(day, line, item):
                yield day, line["antal"] * heavy * absence_share(day, spells, item)

    def registered(self, line, through):
        """(day, quantity) of every registration other than 0 within the line's period."""
        last = min(line["slutdato"] or date.max, last_day_of(through))
        for registration in self.of_line("registreringer", line):
            if registration["antal"] and line["startdato"] <= registration["dato"] <= last:
                yield registration["dato"], registration["antal"]

    def pieces(self, line_id, month, process, through):
        """§ 5: quantity by price, counterparty and account, its amount rounded once; no piece of quantity 0."""
        line, quantities = self.line(line_id), {}
        for p in self.portions(line_id, through).get(month, []):
            if p.process == process:
                where = (p.price, p.counterparty, p.account)
                quantities[where] = quantities.get(where, Fraction(0)) + p.quantity
        pieces = {}
        for (price, counterparty, account), quantity in quantities.items():
            if quantity:
                amount = oere((price or 0) * quantity)
                vat = half_away_from_zero(amount * self.item(line)["moms_pct"] / 100)
                pieces[process, line_id, month, price, counterparty, account] = Worth(quantity, amount, vat)
        return pieces

    # --- parking ---------------------------------------------------------------------------------------------------

    def lines_awaiting_correction(self):
        """Stored lines that a refused row names, of ydelser or of any file with a ydelse_id."""
        named = set()
        for row in self.store.quarantine:
            stored = self.store.rows[row.table].get(row.key)
            line_id = row.cells.get("ydelse_id") or (stored and stored.values.get("ydelse_id"))
            if line_id and (line_id,) in self.store.rows["ydelser"]:
                named.add(line_id)
        return named

    def reason_to_park(self, line_id, month, process, through):
        """One reason per line and month, the first that holds."""
        portions = self.portions(line_id, through).get(month, [])
        entitled_to_something = bool(self.pieces(line_id, month, process, through))
        booked = any(e.process == process and e.line_id == line_id and e.month == month for e in self.ledger)
        if entitled_to_something and not booked and line_id in self.lines_awaiting_correction():
            return "afventer_rettelse"
        if any(p.price is None for p in portions):
            return "mangler_takst"
        if any(p.counterparty is None for p in portions):
            return "mangler_betaler"
        return None

    # --- § 6 and § 7: the difference, and what comes too late --------------------------------------------------------

    def settle(self, process, through, booking_date, timing="bagud", book=False):
        """The proposal: entitled minus booked per key. With `book`, the ledger holds it afterwards."""
        proposal, parked = {}, set()
        for (line_id,), stored in self.store.rows["ydelser"].items():
            if stored.values["forud_bagud"] != timing:
                continue
            booked = [e for e in self.ledger if e.line_id == line_id and e.process == process and e.month <= through]
            entitled_months = {
                month
                for month, portions in self.portions(line_id, through).items()
                if any(p.process == process for p in portions)
            }
            for month in entitled_months | {e.month for e in booked}:
                if reason := self.reason_to_park(line_id, month, process, through):
                    parked.add((reason, line_id, month))
                else:
                    proposal |= self.difference(line_id, month, process, through, booked)
        if process == "mellemkommunal":
            proposal, late = self.without_late_claims(proposal, booking_date)
            parked |= late
        self.parked[process, timing] = parked
        lines = [self.as_line(key, worth, booking_date) for key, worth in proposal.items()]
        lines.sort(key=LedgerLine.order)
        self.name_documents(lines)
        if book and lines:
            self.runs += 1
            for line in lines:
                line.run, line.booked_on, line.document = self.runs, booking_date, (self.runs, line.counterparty)
            self.ledger += lines
        return lines

    def difference(self, line_id, month, process, through, booked):
        difference = self.pieces(line_id, month, process, through)
        for entry in booked:
            if entry.month == month:
                difference[entry.key()] = difference.get(entry.key(), Worth()).plus(entry.worth, sign=-1)
        return {key: worth for key, worth in difference.items() if not worth.is_nothing()}

    def without_late_claims(self, proposal, booking_date):
        """A group (line, month, counterparty) with a positive net after the deadline is parked whole."""
        net = {}
        for (_, line_id, month, _, counterparty, _), worth in proposal.items():
            group = (line_id, month, counterparty)
            net[group] = net.get(group, 0) + worth.amount_oere
        late = set()
        for (line_id, month, counterparty), amount in net.items():
            last_month = months_later(month, MONTHS_TO_CLAIM[self.line(line_id)["krav"]])
            if amount > 0 and booking_date > last_day_of(last_month):
                late.add((line_id, month, counterparty))
        kept = {key: worth for key, worth in proposal.items() if (key[1], key[2], key[4]) not in late}
        return kept, {("for_sent", line_id, month) for line_id, month, _ in late}

    def as_line(self, key, worth, booking_date):
        line = LedgerLine(None, *key, worth)
        line.package_id, line.cpr = self.package_and_cpr(line.line_id)
        earlier = [e for e in self.ledger if (e.line_id, e.month) == (line.line_id, line.month)]
        same_key = [e for e in earlier if e.key() == key]
        line.adjusts = bool(earlier)
        latest = max((e.run for e in same_key or earlier), default=None)
        line.corrects = {e.document for e in same_key or earlier if e.run == latest}
        return line

    def name_documents(self, lines):
        """§ 8: one document per counterparty; below 0 a credit note, net and VAT 0 an internal voucher."""
        for line in lines:
            of_document = [other.worth for other in lines if other.counterparty == line.counterparty]
            net, vat = sum(w.amount_oere for w in of_document), sum(w.vat_oere for w in of_document)
            line.document_type = document_type(line.process, net, vat)

    # --- what stands outside ---------------------------------------------------------------------------------------

    def exceptions(self):
        """(parked, quarantined): parked (reason, ydelse_id, month); quarantined rows as the loader refused them."""
        return set().union(*self.parked.values()) if self.parked else set(), list(self.store.quarantine)


def document_type(process, net, vat):
    if net + vat < 0:
        return "kreditnota"
    if net == 0 and vat == 0:
        return "internbilag"
    names = {"intern": "faktura", "udbetaling": "udbetaling", "mellemkommunal": "faktura"}
    return names.get(process, "opkraevning")
