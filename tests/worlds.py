"""Random worlds: loader files of a small municipality and the history that changes them. Same seed, same world.

A world is a list of loads; each load is {file: [row, …]} with Danish column names and cell texts, as in loader.md.
The first load founds the world, the later ones are what happens: prices and payers corrected back in time, end dates,
absence and registrations that arrive late, withdrawals, and, where the world is `faulty`, rows that must be refused.
"""

import random
from datetime import date, timedelta

FIRST_DAY, LAST_DAY = date(2023, 11, 10), date(2024, 12, 20)
PAYERS = ("751", "561", "0461", "1084")
OWN_OFFERS, OTHER_OFFERS = ("T1", "T2"), ("T3", "T4")
CPRS = ("0101801233", "1503924567", "2405657891")
STATED_FORMS = ("udbetaling", "personopkraevning", "beboerbetaling", "intern", "mellemkommunal", "ingen")
ITEMS = (
    # unit, proration, full days, share, departure day, VAT
    ("doegn", "", "", "", "", ""),
    ("doegn", "", "3", "50", "nej", ""),
    ("hverdag", "", "2", "0", "", "25"),
    ("uge", "", "0", "80", "nej", ""),
    ("maaned", "faktisk", "5", "25", "", ""),
    ("maaned", "tredivedel", "1", "0", "nej", ""),
    ("maaned", "hel", "", "", "nej", ""),
    ("aar", "", "0", "50", "", ""),
    ("time", "", "4", "0", "nej", "12,5"),
    ("leveret", "", "0", "0", "", "25"),
    ("engang", "", "", "", "nej", ""),
)


class World:
    """Builds the loads; keeps only what later events must know of earlier rows."""

    def __init__(self, seed, lines=24, events=4, faulty=True):
        self.random = random.Random(seed)
        self.opening_dice = random.Random(f"opening {seed}")
        self.faulty = faulty
        self.items = [f"K{n}" for n in range(len(ITEMS))]
        self.packages = [f"P{n}" for n in range(6)]
        self.lines = {}  # ydelse_id -> (item number, start, end or None)
        self.registrations = []
        self.sent = {}  # (file, key) -> the cells last sent
        self.loads = []
        self.loads.append(self.as_files(self.founding(lines)))
        for _ in range(events):
            self.loads.append(self.as_files(self.event()))

    # --- small dice ------------------------------------------------------------------------------------------------

    def chance(self, per_cent):
        return self.random.randrange(100) < per_cent

    def day(self, first=FIRST_DAY, last=LAST_DAY):
        """A day, often at a month's edge, where the mistakes live."""
        picked = first + timedelta(days=self.random.randrange((last - first).days + 1))
        if self.chance(30):
            picked = picked.replace(day=1)
            picked -= timedelta(days=1) if self.chance(50) else timedelta(0)
        return min(max(picked, first), last)

    def text(self, day):
        """A date in either of the forms loader.md accepts."""
        if day is None:
            return ""
        return f"{day:%d-%m-%Y}" if self.chance(70) else f"{day:%Y-%m-%d}"

    def price(self):
        return self.random.choice(("0,00", "0,01", "99,95", "333,33", "1000", "1234.56", "2888,83", "40000,00"))

    def some_line(self):
        return self.random.choice(list(self.lines))

    # --- the first load --------------------------------------------------------------------------------------------

    def founding(self, lines):
        files = {
            "borgere": [{"cpr": cpr, "navn": "Prøve Persson"} for cpr in CPRS],
            "tilbud": [{"tilbud_id": t, "ejerforhold": "egen"} for t in OWN_OFFERS]
            + [{"tilbud_id": t, "ejerforhold": e} for t, e in zip(OTHER_OFFERS, ("kommunal", "privat"), strict=True)],
            "katalogydelser": [self.catalogue_item(n) for n in range(len(ITEMS))],
            "takster": [row for n in range(len(ITEMS)) for row in self.rates(f"K{n}")],
            "ydelsespakker": [self.package(p) for p in self.packages],
            "ydelser": [self.new_line() for _ in range(lines)],
            "betalere": [self.payer(p) for p in self.packages if self.chance(50)],
            "individuelle_takster": [],
            "kontoregler": [],
            "fravaer": [],
            "registreringer": [],
            "udbetalingsvilkaar": [],
            "opkraevningsvilkaar": [],
        }
        for line_id in self.lines:
            self.expert_facts(files, line_id)
        files["aabningsposter"] = [self.opening_entry() for _ in range(5)]
        return one_row_per_key(files)

    def opening_entry(self):
        """What an earlier system charged for a line and month: often what is right, often not."""
        dice = self.opening_dice
        process, counterparty = dice.choice((("mellemkommunal", "751"), ("intern", "HANDICAP"), ("udbetaling", CPRS[0])))
        quantity, price, amount = dice.choice(
            (("31", "1000,00", "31000,00"), ("1", "1000,00", "1000,00"), ("-2,5", "99,95", "-249,88"), ("0,3333", "0,01", "0,00"))
        )
        return {
            "proces": process,
            "ydelse_id": dice.choice(list(self.lines)),
            "leverancemaaned": dice.choice(("2023-12", "2024-01", "2024-02")),
            "pris": price,
            "modpart": counterparty,
            "konto": "5281230000004001",
            "antal": quantity,
            "beloeb": amount,
            "moms": dice.choice(("", "", "12,50")),
            "bilag": dice.choice(("G-1", "G-2", "")),
        }

    def later_opening(self):
        """More of what the earlier system charged, also for months settled here; an entry withdrawn, one sent again."""
        dice = self.opening_dice
        yield self.opening_entry()
        known = [row for load in self.loads for row in load.get("aabningsposter", [])]
        yield dict(dice.choice(known)) | {"antal": "7", "slet": ""}
        yield dict(dice.choice(known)) | {"slet": "ja"}

    def as_files(self, files):
        """A file has one header: where its rows speak of different columns, each says again what it last said there."""
        whole = {}
        for name, rows in files.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            whole[name] = []
            for row in rows:
                before = self.sent.get((name, key_of(name, row)), {})
                whole[name].append({c: row.get(c, "" if c == "slet" else before.get(c, "")) for c in columns})
            for row in rows:
                self.sent.setdefault((name, key_of(name, row)), {}).update(row)
        return whole

    def catalogue_item(self, n):
        columns = "enhed prorata fravaer_fulde_dage fravaer_andel_pct afrejsedag_betales moms_pct".split()
        return {"ydelseskode": f"K{n}", **dict(zip(columns, ITEMS[n], strict=True))}

    def rates(self, code):
        """An open rate from the start for most items, a dated step, and sometimes one at an offer or with an end."""
        start = FIRST_DAY - timedelta(days=400) if self.chance(85) else date(2024, 2, 10)
        yield self.rate(code, "", start, None) | {"pris": "1000,00"}
        if self.chance(60):
            yield self.rate(code, "", date(2024, 1, 1), None)
        if self.chance(40):
            first = self.day()
            yield self.rate(code, "T1", first, first + timedelta(days=40) if self.chance(50) else None)

    def rate(self, code, offer, first, last):
        dates = {"gyldig_fra": self.text(first), "gyldig_til": self.text(last)}
        return {"ydelseskode": code, "tilbud_id": offer, **dates, "pris": self.price()}

    def package(self, package_id):
        return {
            "pakke_id": package_id,
            "cpr": self.random.choice(CPRS),
            "afdeling": "" if self.chance(8) else self.random.choice(("HANDICAP", "BØRN")),
            "betalingskommune": "" if self.chance(10) else self.random.choice(PAYERS),
            "status": "ansoegt" if self.chance(6) else "",
        }

    def payer(self, package_id):
        first = self.day()
        last = first + timedelta(days=self.random.randrange(60)) if self.chance(40) else None
        dates = {"gyldig_fra": self.text(first), "gyldig_til": self.text(last)}
        return {"pakke_id": package_id, **dates, "betalingskommune": self.random.choice(PAYERS)}

    def new_line(self):
        number, line_id = self.random.randrange(len(ITEMS)), f"Y{len(self.lines):03d}"
        start = self.day()
        end = None if self.chance(35) else min(start + timedelta(days=self.random.randrange(120)), LAST_DAY)
        self.lines[line_id] = (number, start, end)
        stated = self.random.choice(STATED_FORMS) if self.chance(35) else ""
        return {
            "ydelse_id": line_id,
            "pakke_id": self.random.choice(self.packages),
            "ydelseskode": f"K{number}",
            "tilbud_id": self.random.choice((*OWN_OFFERS, *OWN_OFFERS, *OTHER_OFFERS, "")),
            "afregningsform": stated,
            "startdato": self.text(start),
            "slutdato": self.text(end),
            "antal": self.random.choice(("", "1", "1", "2", "0,5", "7,25", "0,3333", "0")),
            "forud_bagud": "forud" if self.chance(15) else "",
            "konto": "" if self.chance(20) else "5281230000004001",
            "krav": "refusion_9c" if self.chance(15) else "",
        }

    def expert_facts(self, files, line_id):
        number, start, end = self.lines[line_id]
        if self.chance(20):
            first = self.day(start - timedelta(days=20), (end or LAST_DAY) + timedelta(days=5))
            last = first + timedelta(days=self.random.randrange(50)) if self.chance(50) else None
            dates = {"gyldig_fra": self.text(first), "gyldig_til": self.text(last)}
            files["individuelle_takster"].append({"ydelse_id": line_id, **dates, "pris": self.price()})
        if self.chance(20):
            rule = {"ydelse_id": line_id, "gyldig_fra": self.text(self.day()), "konto": "5281230000004002"}
            files["kontoregler"].append(rule)
        for _ in range(self.random.randrange(4)):
            files["fravaer"].append(self.absence(line_id))
        for _ in range(self.random.randrange(6) if ITEMS[number][0] == "leveret" else 0):
            files["registreringer"].append(self.registration(line_id))
        if self.chance(15):
            kind, payee = ("person", CPRS[1]) if self.chance(70) else ("borger", "")
            terms = {"ydelse_id": line_id, "modtagertype": kind, "modtager_id": payee}
            files["udbetalingsvilkaar"].append(terms)
        if self.chance(15):
            files["opkraevningsvilkaar"].append({"ydelse_id": line_id, "betaler_cpr": CPRS[2]})

    def absence(self, line_id):
        _, start, end = self.lines[line_id]
        first = self.day(start - timedelta(days=15), (end or LAST_DAY) + timedelta(days=3))
        last = None if self.chance(10) else first + timedelta(days=self.random.choice((0, 1, 2, 3, 5, 9, 33)))
        return {"ydelse_id": line_id, "fra": self.text(first), "til": self.text(last), "aarsag": "ferie"}

    def registration(self, line_id):
        _, start, end = self.lines[line_id]
        day = self.day(start - timedelta(days=4), (end or LAST_DAY) + timedelta(days=4))
        self.registrations.append(f"R{len(self.registrations):03d}")
        quantity = self.random.choice(("1", "2", "0,25", "0", "-1", "3.5"))
        names = {"registrering_id": self.registrations[-1], "ydelse_id": line_id}
        return names | {"dato": self.text(day), "antal": quantity}

    def event(self):
        """One load: a handful of changes, merged to files, and sometimes rows that must be refused."""
        happenings = [
            self.new_price,
            self.new_individual_price,
            self.new_payer,
            self.new_default_payer,
            self.new_end,
            self.new_absence,
            self.withdrawn_absence,
            self.new_registration,
            self.withdrawn_line,
            self.line_alive_again,
            self.package_status,
            self.other_unit,
            self.other_line_facts,
            self.later_line,
        ]
        files = {}
        for happens in self.random.sample(happenings, 7):
            for name, row in happens():
                files.setdefault(name, []).append(row)
        if self.faulty:
            for fault in self.random.sample(FAULTS, 4):
                for name, row in fault(self):
                    files.setdefault(name, []).append(row)
        if self.opening_dice.randrange(2):
            files["aabningsposter"] = list(self.later_opening())
        files = one_row_per_key(files)
        if self.faulty and self.chance(40):
            files["ydelser"] = files.get("ydelser", []) + twice_different(self)
        return files

    def new_price(self):
        code = self.random.choice(self.items)
        yield "takster", self.rate(code, self.random.choice(("", "", "T1")), self.day(), None)

    def new_individual_price(self):
        dates = {"gyldig_fra": self.text(self.day()), "gyldig_til": ""}
        yield "individuelle_takster", {"ydelse_id": self.some_line(), **dates, "pris": self.price()}

    def new_payer(self):
        yield "betalere", self.payer(self.random.choice(self.packages))

    def new_default_payer(self):
        package, payer = self.random.choice(self.packages), self.random.choice(PAYERS)
        yield "ydelsespakker", {"pakke_id": package, "betalingskommune": payer}

    def new_end(self):
        line_id = self.some_line()
        number, start, _ = self.lines[line_id]
        end = self.day(start, LAST_DAY)
        self.lines[line_id] = (number, start, end)
        yield "ydelser", {"ydelse_id": line_id, "slutdato": self.text(end)}

    def new_absence(self):
        for _ in range(3):
            yield "fravaer", self.absence(self.some_line())

    def withdrawn_absence(self):
        known = [row for load in self.loads for row in load.get("fravaer", [])]
        row = self.random.choice(known)
        yield "fravaer", {"ydelse_id": row["ydelse_id"], "fra": row["fra"], "slet": "ja"}

    def new_registration(self):
        delivered = [line_id for line_id, (number, _, _) in self.lines.items() if ITEMS[number][0] == "leveret"]
        for line_id in self.random.sample(delivered, min(2, len(delivered))):
            yield "registreringer", self.registration(line_id)

    def withdrawn_line(self):
        yield "ydelser", {"ydelse_id": self.some_line(), "slet": "ja"}

    def line_alive_again(self):
        yield "ydelser", {"ydelse_id": self.some_line()}

    def package_status(self):
        status = self.random.choice(("bevilget", "afsluttet", "annulleret", "ansoegt"))
        yield "ydelsespakker", {"pakke_id": self.random.choice(self.packages), "status": status}

    def other_unit(self):
        code = self.random.choice(self.items)
        unit, proration, full, share, departure, vat = self.random.choice(ITEMS)
        change = {"enhed": unit, "prorata": proration, "fravaer_fulde_dage": full, "fravaer_andel_pct": share}
        yield "katalogydelser", {"ydelseskode": code, **change, "afrejsedag_betales": departure, "moms_pct": vat}

    def other_line_facts(self):
        change = self.random.choice(
            (
                {"forud_bagud": "forud"},
                {"forud_bagud": ""},
                {"konto": "5281230000004003"},
                {"afregningsform": self.random.choice(STATED_FORMS)},
                {"afregningsform": ""},
                {"antal": "3"},
                {"tilbud_id": "T2"},
            )
        )
        yield "ydelser", {"ydelse_id": self.some_line(), **change}

    def later_line(self):
        row = self.new_line()
        yield "ydelser", row
        yield "fravaer", self.absence(row["ydelse_id"])


# --- Rows that must be refused, or wait ------------------------------------------------------------------------------


def unreadable_end(world):
    yield "ydelser", {"ydelse_id": world.some_line(), "slutdato": "snart"}


def end_before_start(world):
    line_id = world.some_line()
    yield "fravaer", {"ydelse_id": line_id, "fra": "20-01-2024", "til": "10-01-2024"}


def price_with_thousands(world):
    yield "takster", world.rate(world.random.choice(world.items), "", world.day(), None) | {"pris": "1.000,00"}


OF_AN_AWAITED_PACKAGE = {"ydelseskode": "K0", "tilbud_id": "T1", "startdato": "2024-03-01"}


def unknown_package_later_known(world):
    """A line whose package comes in a later load, or never; its absence waits with it."""
    name = f"{world.random.randrange(3)}"
    yield "ydelser", {"ydelse_id": f"YV{name}", "pakke_id": f"PV{name}", **OF_AN_AWAITED_PACKAGE}
    yield "fravaer", {"ydelse_id": f"YV{name}", "fra": "2024-03-10", "til": "2024-03-12"}


def awaited_package(world):
    name = f"PV{world.random.randrange(3)}"
    yield "ydelsespakker", {"pakke_id": name, "cpr": CPRS[0], "betalingskommune": "751", "afdeling": "BØRN"}


def twice_different(world):
    line_id = world.some_line()
    return [{"ydelse_id": line_id, "antal": quantity} for quantity in ("4", "5")]


def overlapping_payers(world):
    package = world.random.choice(world.packages)
    for first, last in (("2024-05-01", "2024-05-20"), ("2024-05-20", "2024-06-10")):
        dates = {"gyldig_fra": first, "gyldig_til": last}
        yield "betalere", {"pakke_id": package, **dates, "betalingskommune": "561"}


def used_item_withdrawn(world):
    number, _, _ = world.lines[world.some_line()]
    yield "katalogydelser", {"ydelseskode": f"K{number}", "slet": "ja"}


def payer_without_value(world):
    package = world.random.choice(world.packages)
    yield "betalere", {"pakke_id": package, "gyldig_fra": "2024-04-04", "betalingskommune": ""}


def corrected_line(world):
    """A good row for a line: whatever was refused under its key is replaced."""
    line_id = world.some_line()
    _, start, end = world.lines[line_id]
    yield "ydelser", {"ydelse_id": line_id, "startdato": world.text(start), "slutdato": world.text(end)}


FAULTS = (
    unreadable_end,
    end_before_start,
    price_with_thousands,
    unknown_package_later_known,
    awaited_package,
    overlapping_payers,
    used_item_withdrawn,
    payer_without_value,
    corrected_line,
)


# --- One row per key, so that a fault is one on purpose --------------------------------------------------------------

KEYS = {
    "takster": ("ydelseskode", "tilbud_id", "gyldig_fra"),
    "individuelle_takster": ("ydelse_id", "gyldig_fra"),
    "betalere": ("pakke_id", "gyldig_fra"),
    "kontoregler": ("ydelse_id", "gyldig_fra"),
    "fravaer": ("ydelse_id", "fra"),
    "aabningsposter": ("proces", "ydelse_id", "leverancemaaned", "pris", "modpart", "konto"),
}


def key_of(name, row):
    """The row's key, dates in one form; the first column is the key of every file not named in KEYS."""
    return tuple(one_form(row.get(column, "")) for column in KEYS.get(name, list(row)[:1]))


def one_form(text):
    parts = text.split("-")
    return "-".join(reversed(parts)) if len(parts) == 3 and len(parts[0]) == 2 else text


def one_row_per_key(files):
    """The first row of every key, and only files with rows."""
    kept = {}
    for name, rows in files.items():
        by_key = {}
        for row in rows:
            key = key_of(name, row)
            by_key.setdefault(key, row)
        if by_key:
            kept[name] = list(by_key.values())
    return kept
