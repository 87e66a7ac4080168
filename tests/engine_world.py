"""The engine alone on rows in memory, beside the oracle: small worlds of single lines, settled in milliseconds.

Facts are loader files, judged by the oracle's own reading of loader.md; the ledger is a list of rows. A world is a list
of Specs, one service line each, and its history is three loads: the founding, a late change of every line, and for some
of them that change undone.
"""

import random
from collections import Counter
from dataclasses import dataclass, fields
from datetime import date, timedelta
from fractions import Fraction

import duckdb
import pyarrow as pa
from oracle import Oracle, last_day_of, months_later

from settlement.engine import settle

UNITS = ("doegn", "hverdag", "uge", "maaned faktisk", "maaned tredivedel", "maaned hel", "aar", "time", "leveret", "engang")
ABSENCES = ("none", "within", "before_line", "touching", "open", "over_month_edge")
PRICE_LEVELS = ("item", "offer", "line", "none_for_a_while")
CHANGES = (
    "rate_corrected", "end_late", "absence_late", "registration_late", "payer_changed", "account_changed",
    "package_annulled", "line_withdrawn", "line_alive_again", "quantity_changed", "unit_changed", "timing_changed",
)  # fmt: skip
DIMENSIONS = {"unit": UNITS, "absence": ABSENCES, "price_level": PRICE_LEVELS, "change": CHANGES}
OTHERS = {
    "full_days": ("0", "1", "5", "40"),
    "share": ("0", "33,33", "50", "100"),
    "departure_paid": ("ja", "nej"),
    "vat": ("0", "25", "12,5"),
    "quantity": ("0", "0,0001", "1", "2,5", "37,1234", "1000"),
    "price": ("0", "0,01", "99,95", "1234,56", "80000"),
    "new_price": ("0", "0,05", "333,33", "2888,83"),
    "registered": ("-1,5", "0", "0,25", "7"),
    "payer": ("751", "1084", "461", ""),
    "undone": (True, False),
    "start": tuple(date(y, m, d) for y, m, d in (
        (2023, 1, 30), (2023, 2, 27), (2023, 4, 28), (2023, 12, 31), (2024, 1, 1), (2024, 1, 31), (2024, 2, 1),
        (2024, 2, 28), (2024, 2, 29), (2024, 3, 20), (2025, 1, 29), (2025, 2, 3))),
    "length": (1, 2, 27, 28, 45, 75, 0),  # days; 0 has no end
}  # fmt: skip
OWN, CPR = "461", "0101801233"
RUNS = (("mellemkommunal", "bagud"), ("intern", "bagud"), ("mellemkommunal", "forud"), ("intern", "forud"))


@dataclass(frozen=True)
class Spec:
    """One service line, what it meets and what changes late. Texts stand as in the loader files."""

    unit: str
    absence: str
    price_level: str
    change: str
    full_days: str
    share: str
    departure_paid: str
    vat: str
    quantity: str
    price: str
    new_price: str
    registered: str
    payer: str
    undone: bool
    start: date
    length: int

    def pairs(self):
        """Every pair of values of different dimensions."""
        values = [(name, getattr(self, name)) for name in DIMENSIONS]
        return {(a, b) for i, a in enumerate(values) for b in values[i + 1 :]}


assert [f.name for f in fields(Spec)] == [*DIMENSIONS, *OTHERS]


def covering_worlds(worlds, lines, year, seen, seed=1):
    """Worlds of `lines` Specs of one year, such that the pairs of the four dimensions come evenly: of a dozen at a time the
    one with the rarest pairs. `seen` counts the worlds that have each pair."""
    dice = random.Random(seed)
    starts = [day for day in OTHERS["start"] if day.year == year]
    for _ in range(worlds):
        world, here = [], set()
        for _ in range(lines):
            best = None
            for _ in range(12):
                picked = {name: dice.choice(values) for name, values in (DIMENSIONS | OTHERS).items()}
                spec = Spec(**picked | {"start": dice.choice(starts)})
                need = sum(1 / (1 + seen[p]) ** 3 for p in spec.pairs() - here)
                if best is None or need > best[0]:
                    best = (need, spec)
            world.append(best[1])
            here |= best[1].pairs()
        seen.update(here)
        yield world


# --- A Spec as loader files ------------------------------------------------------------------------------------------


def text(day):
    return day.isoformat() if day else ""


class LineFacts:
    """The rows of one Spec: founding, change and, where `undone`, what takes the change back."""

    def __init__(self, spec, number, world):
        self.spec = spec
        self.line, self.item, self.package = (f"W{world}{kind}{number}" for kind in "YKP")
        self.end = spec.start + timedelta(days=spec.length - 1) if spec.length else None
        self.mid = spec.start + timedelta(days=9)

    def founding(self):
        spec = self.spec
        files = {
            "katalogydelser": [self.catalogue_item(spec.unit)],
            "takster": [],
            "individuelle_takster": [],
            "ydelsespakker": [self.package_row("bevilget")],
            "ydelser": [self.service_line()],
            "fravaer": [{"ydelse_id": self.line, "fra": text(a), "til": text(b)} for a, b in self.spells()],
            "registreringer": [self.registration(n, days, "2,5") for n, days in enumerate((0, 8, 40))],
        }
        early = text(date(2020, 1, 1))
        if spec.price_level == "none_for_a_while":
            files["takster"].append(self.rate(text(self.mid), spec.price))
        else:
            files["takster"].append(self.rate(early, "500,05"))
        if spec.price_level == "item":
            files["takster"].append(self.rate(text(self.mid), spec.price))
        if spec.price_level == "offer":
            files["takster"].append(self.rate(text(self.mid), spec.price, "T1", text(self.mid + timedelta(days=30))))
        if spec.price_level == "line":
            files["individuelle_takster"].append(
                {"ydelse_id": self.line, "gyldig_fra": text(self.mid), "gyldig_til": "", "pris": spec.price}
            )
        return files

    def catalogue_item(self, unit):
        unit, _, proration = unit.partition(" ")
        return {
            "ydelseskode": self.item, "enhed": unit, "prorata": proration, "fravaer_fulde_dage": self.spec.full_days,
            "fravaer_andel_pct": self.spec.share, "afrejsedag_betales": self.spec.departure_paid,
            "moms_pct": self.spec.vat,
        }  # fmt: skip

    def package_row(self, status):
        return {"pakke_id": self.package, "cpr": CPR, "betalingskommune": self.spec.payer, "status": status,
                "afdeling": "A1"}  # fmt: skip

    def service_line(self, **changed):
        row = {
            "ydelse_id": self.line, "pakke_id": self.package, "ydelseskode": self.item, "tilbud_id": "T1",
            "startdato": text(self.spec.start), "slutdato": text(self.end), "antal": self.spec.quantity,
            "forud_bagud": "bagud", "konto": "11111",
        }  # fmt: skip
        return row | changed

    def rate(self, start, price, offer="", end=""):
        return {"ydelseskode": self.item, "tilbud_id": offer, "gyldig_fra": start, "gyldig_til": end, "pris": price}

    def registration(self, number, days, quantity):
        day = self.spec.start + timedelta(days=days)
        return {"registrering_id": f"{self.line}-{number}", "ydelse_id": self.line, "dato": text(day), "antal": quantity}

    def spells(self):
        start, month_end = self.spec.start, last_day_of(f"{self.spec.start:%Y-%m}")
        day = timedelta(days=1)
        return {
            "none": [],
            "within": [(start + 3 * day, start + 20 * day)],
            "before_line": [(start - 12 * day, start + 4 * day)],
            "touching": [
                (start + 2 * day, start + 5 * day), (start + 6 * day, start + 13 * day),
                (start + 8 * day, start + 9 * day),
            ],
            "open": [(start + 6 * day, None)],
            "over_month_edge": [(month_end - 2 * day, month_end + 9 * day)],
        }[self.spec.absence]

    def changed(self):
        """(the files of the change, the files that take it back)."""
        spec, founding = self.spec, self.founding()
        line, package, item = founding["ydelser"], founding["ydelsespakker"], founding["katalogydelser"]
        middle = {"gyldig_fra": text(self.mid), "gyldig_til": ""}
        match spec.change:
            case "rate_corrected" if spec.price_level == "line":
                rows = founding["individuelle_takster"]
                return {"individuelle_takster": [rows[0] | {"pris": spec.new_price}]}, {"individuelle_takster": rows}
            case "rate_corrected" if spec.price_level == "none_for_a_while":
                row = self.rate(text(date(2020, 1, 1)), spec.new_price)
                return {"takster": [row]}, {"takster": [row | {"slet": "ja"}]}
            case "rate_corrected":
                row = founding["takster"][-1]
                return {"takster": [row | {"pris": spec.new_price}]}, {"takster": [row]}
            case "end_late":
                return {"ydelser": [self.service_line(slutdato=text(self.mid + timedelta(days=6)))]}, {"ydelser": line}
            case "absence_late":
                first, last = self.mid + timedelta(days=5), self.mid + timedelta(days=30)
                row = {"ydelse_id": self.line, "fra": text(first), "til": text(last)}
                return {"fravaer": [row]}, {"fravaer": [row | {"slet": "ja"}]}
            case "registration_late":
                rows = [self.registration(8, 9, spec.registered), self.registration(0, 0, spec.registered)]
                return {"registreringer": rows}, {"registreringer": [rows[0] | {"slet": "ja"}, founding["registreringer"][0]]}
            case "payer_changed":
                row = {"pakke_id": self.package, **middle, "betalingskommune": "461" if spec.payer == "751" else "561"}
                return {"betalere": [row]}, {"betalere": [row | {"slet": "ja"}]}
            case "account_changed":
                row = {"ydelse_id": self.line, **middle, "konto": "22222"}
                return {"kontoregler": [row]}, {"kontoregler": [row | {"slet": "ja"}]}
            case "package_annulled":
                return {"ydelsespakker": [self.package_row("annulleret")]}, {"ydelsespakker": package}
            case "line_withdrawn" | "line_alive_again":
                return {"ydelser": [line[0] | {"slet": "ja"}]}, {"ydelser": line}
            case "quantity_changed":
                return {"ydelser": [self.service_line(antal="1,75")]}, {"ydelser": line}
            case "unit_changed":
                other = UNITS[(UNITS.index(spec.unit) + 1 + len(spec.price)) % len(UNITS)]
                return {"katalogydelser": [self.catalogue_item(other)]}, {"katalogydelser": item}
            case "timing_changed":
                return {"ydelser": [self.service_line(forud_bagud="forud")]}, {"ydelser": line}
        raise AssertionError(spec.change)

    def loads(self):
        change, undo = self.changed()
        is_undone = self.spec.undone and self.spec.change != "line_withdrawn" or self.spec.change == "line_alive_again"
        return self.founding(), change, undo if is_undone else {}


def loads_of(specs, world=0):
    """The three loads of a world, the rows of all its lines together."""
    loads = [{"borgere": [{"cpr": CPR}], "tilbud": [{"tilbud_id": "T1", "ejerforhold": "egen"}]}, {}, {}]
    for number, spec in enumerate(specs):
        for load, files in zip(loads, LineFacts(spec, number, world).loads(), strict=True):
            for name, rows in files.items():
                load.setdefault(name, []).extend(rows)
    return loads


def world_of(line_id):
    return int(line_id[1:].partition("Y")[0])


def horizon_of(worlds):
    """The delivery month two months after the last line's start."""
    return months_later(f"{max(s.start for specs in worlds for s in specs):%Y-%m}", 3)


# --- The engine beside the oracle ------------------------------------------------------------------------------------

DATE, INT, BOOL, TEXT = pa.date32(), pa.int64(), pa.bool_(), pa.string()
TYPES = {
    name: DATE if name.endswith("_date") or name in ("valid_from", "valid_to", "date", "last_day", "delivery_month", "from_month")
    else BOOL if name in ("withdrawn", "departure_day_paid")
    else INT if name.endswith(("_oere", "_e4", "_e2", "_row", "_num", "_den", "_days")) or name == "line_number"
    else TEXT
    for columns in settle.INPUTS.values() for name in columns
}  # fmt: skip
# engine table → (loader file, column → loader column)
FROM_FILE = {
    "service_line": ("ydelser", {
        "service_line_id": "ydelse_id", "package_id": "pakke_id", "item_code": "ydelseskode", "offer_id": "tilbud_id",
        "process": "afregningsform", "start_date": "startdato", "end_date": "slutdato", "quantity_e4": "antal",
        "timing": "forud_bagud", "account": "konto", "claim_kind": "krav"}),
    "service_package": ("ydelsespakker", {
        "package_id": "pakke_id", "cpr": "cpr", "department": "afdeling", "paying_municipality": "betalingskommune",
        "status": "status", "requisition": "rekvisition"}),
    "catalogue_item": ("katalogydelser", {
        "item_code": "ydelseskode", "name": "navn", "unit": "enhed", "proration": "prorata",
        "absence_full_days": "fravaer_fulde_dage", "absence_pct_e2": "fravaer_andel_pct",
        "departure_day_paid": "afrejsedag_betales", "vat_pct_e2": "moms_pct", "function_code": "funktion",
        "grouping_code": "gruppering", "cost_type_code": "art"}),
    "offer": ("tilbud", {"offer_id": "tilbud_id", "owner_kind": "ejerforhold"}),
    "rate": ("takster", {"item_code": "ydelseskode", "offer_id": "tilbud_id", "valid_from": "gyldig_fra",
                         "valid_to": "gyldig_til", "price_oere": "pris"}),
    "individual_rate": ("individuelle_takster", {"service_line_id": "ydelse_id", "valid_from": "gyldig_fra",
                                                 "valid_to": "gyldig_til", "price_oere": "pris"}),
    "package_payer": ("betalere", {"package_id": "pakke_id", "valid_from": "gyldig_fra", "valid_to": "gyldig_til",
                                   "paying_municipality": "betalingskommune"}),
    "account_rule": ("kontoregler", {"service_line_id": "ydelse_id", "valid_from": "gyldig_fra",
                                     "valid_to": "gyldig_til", "account": "konto"}),
    "payout_terms": ("udbetalingsvilkaar", {"service_line_id": "ydelse_id", "payee_id": "modtager_id"}),
    "charge_terms": ("opkraevningsvilkaar", {"service_line_id": "ydelse_id", "payer_cpr": "betaler_cpr"}),
    "absence": ("fravaer", {"service_line_id": "ydelse_id", "from_date": "fra", "to_date": "til"}),
    "registration": ("registreringer", {"registration_id": "registrering_id", "service_line_id": "ydelse_id",
                                        "date": "dato", "quantity_e4": "antal"}),
}  # fmt: skip
SCALE = {"_e4": 10_000, "_e2": 100, "_oere": 100}


def inputs(*stores):
    """The engine's tables of what the oracle's loader has stored, of any number of worlds: table → rows."""
    rows = {table: {} for table in settle.INPUTS}
    for store in stores:
        for table, (file, names) in FROM_FILE.items():
            for number, (key, stored) in enumerate(store.rows[file].items(), start=2):
                of_file = {"withdrawn": not stored.alive, "source_file": file, "source_row": number}
                values = of_file | {column: stored.values[name] for column, name in names.items()}
                # The offer is the same in every world, and one row.
                rows[table][key] = tuple(as_cell(column, values[column]) for column in settle.INPUTS[table])
    return {table: list(of_key.values()) for table, of_key in rows.items()}


def as_cell(column, value):
    for ending, factor in SCALE.items():
        if column.endswith(ending) and value is not None:
            assert (value * factor).denominator == 1, (column, value)
            return int(value * factor)
    if column == "departure_day_paid":
        return value == "ja"
    return int(value) if isinstance(value, Fraction) else value


def month(text_or_day):
    return date.fromisoformat(f"{text_or_day}-01") if isinstance(text_or_day, str) else text_or_day


LINE = (
    "process", "service_line_id", "delivery_month", "price_oere", "counterparty", "account", "quantity_num", "quantity_den",
    "amount_oere", "vat_oere", "is_adjustment", "corrects",
)  # fmt: skip


class Engine:
    """The engine's SQL (or `rules` in its place) on one DuckDB connection, with a ledger that is only rows."""

    def __init__(self, rules=None, shuffled_by=None):
        self.con = duckdb.connect(config={"threads": 1})
        self.rules, self.dice = rules, shuffled_by
        self.ledger, self.runs, self.parked = [], Counter(), {}

    def bind(self, tables, through):
        """Takes the facts (`inputs`, and by hand any other table of settle.INPUTS) and computes what is entitled."""
        for table in settle.INPUTS:
            if table != "claim_deadline":
                self.give(table, tables.get(table, []))
        self.give("ledger_line", self.ledger)
        self.through = last_day_of(through)
        settle.entitle(self.con, own_municipality=OWN, through=self.through, rules=self.rules)
        months = [m for (m,) in self.con.execute("SELECT delivery_month FROM calendar_month").fetchall()]
        deadlines = {"takst": 12, "refusion_9c": 36}
        self.give("claim_deadline", tables.get("claim_deadline") or [
            (kind, m, last_day_of(months_later(f"{m:%Y-%m}", count))) for kind, count in deadlines.items() for m in months
        ])  # fmt: skip

    def give(self, table, rows):
        if self.dice:
            rows = self.dice.sample(rows, len(rows))
        columns = settle.INPUTS[table]
        arrays = [pa.array([row[i] for row in rows], TYPES[c]) for i, c in enumerate(columns)]
        self.con.register(table, pa.table(arrays, names=list(columns)))

    def settle(self, process="mellemkommunal", timing="bagud", booking_date=date(2025, 6, 1), book=False, **chosen):
        """The proposed lines as rows of LINE, in order; with `book` the ledger holds them afterwards."""
        settle.difference(
            self.con, process=process, timing=timing, booking_date=booking_date, rules=self.rules,
            **({"through": self.through, "settles_from": date(1, 1, 1)} | chosen),
        )  # fmt: skip
        lines = self.con.execute(f"SELECT {', '.join(LINE)} FROM proposed ORDER BY ALL").fetchall()
        self.parked[process, timing] = set(self.con.execute(
            "SELECT reason, service_line_id, strftime(delivery_month, '%Y-%m') FROM parked WHERE is_in_run "
            "UNION ALL SELECT 'for_sent', service_line_id, strftime(delivery_month, '%Y-%m') FROM late"
        ).fetchall())  # fmt: skip
        if book and lines:
            # Worlds on one connection know nothing of each other: each numbers its own runs.
            self.runs.update({world_of(line[1]) for line in lines})
            for line in lines:
                self.ledger.append((len(self.ledger) + 1, *line[:10], f"{self.runs[world_of(line[1])]}:{line[4]}"))
            self.give("ledger_line", self.ledger)
        return lines

    def pieces(self):
        """(process, line, month, price, counterparty, account) → (quantity, amount, VAT) of every piece."""
        rows = self.con.execute(f"SELECT {', '.join(LINE[:10])} FROM piece").fetchall()
        found = {row[:6]: (Fraction(row[6], row[7]), row[8], row[9]) for row in rows}
        assert len(found) == len(rows), "two pieces of one key"
        return found


def values(line):
    """An engine's line: key → (quantity, amount, VAT, is it an adjustment)."""
    return line[:6], (Fraction(line[6], line[7]), *line[8:11])


def as_engine_line(line):
    """The oracle's line in the same form."""
    price = line.price * 100
    key = (line.process, line.line_id, month(line.month), int(price), line.counterparty, line.account)
    return key, (line.worth.quantity, line.worth.amount_oere, line.worth.vat_oere, line.adjusts)


def assert_same(lines, demanded):
    """Tolerance 0: key, exact quantity, amount, VAT, adjustment, and the document it corrects."""
    assert dict(map(values, lines)) == dict(map(as_engine_line, demanded))
    corrects = {as_engine_line(line)[0]: {f"{run}:{who}" for run, who in line.corrects} or {""} for line in demanded}
    for line in lines:
        assert line[11] in corrects[line[:6]], line


def replay(worlds, booking_date=date(2025, 6, 1), runs=RUNS, shuffled_by=None, after_run=lambda engine, lines: None):
    """The engine, once for all, and an oracle per world through their histories, compared after every run; gives the engine."""
    engine, through = Engine(shuffled_by=shuffled_by), horizon_of(worlds)
    oracles = [Oracle(OWN) for _ in worlds]
    for loads in zip(*(loads_of(specs, number) for number, specs in enumerate(worlds)), strict=True):
        for oracle, files in zip(oracles, loads, strict=True):
            oracle.load(files)
            assert not oracle.store.quarantine, [(r.table, r.reason, r.cells) for r in oracle.store.quarantine]
        engine.bind(inputs(*(oracle.store for oracle in oracles)), through)
        for process, timing in runs:
            demanded = [line for o in oracles for line in o.settle(process, through, booking_date, timing, book=True)]
            lines = engine.settle(process, timing, booking_date, book=True)
            assert_same(lines, demanded)
            after_run(engine, lines)
        assert set().union(*engine.parked.values()) == set().union(*(p for o in oracles for p in o.parked.values()))
    return engine
