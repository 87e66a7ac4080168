"""What loader.md demands of a load: which rows are stored, which are refused and why. Plain Python, row by row.

Written from loader.md alone, sharing no code with the platform: two independent readings of one text prove each other.
"""

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

UNITS = ("doegn", "hverdag", "uge", "maaned", "aar", "time", "leveret", "engang")
PRORATIONS = ("faktisk", "tredivedel", "hel")
PROCESSES = ("mellemkommunal", "intern", "faktura", "udbetaling", "personopkraevning", "beboerbetaling", "ingen")

# domain_rules.md §12.4: the 98 municipalities and the five regions.
MUNICIPALITIES = frozenset(
    """101 147 151 153 155 157 159 161 163 165 167 169 173 175 183 185 187 190 201 210 217 219 223 230 240 250 260 270
    400 253 259 265 269 306 316 320 326 329 330 336 340 350 360 370 376 390
    410 420 430 440 450 461 479 480 482 492 510 530 540 550 561 563 573 575 580 607 621 630
    615 657 661 665 671 706 707 710 727 730 740 741 746 751 756 760 766 779 791
    773 787 810 813 820 825 840 846 849 851 860 1081 1082 1083 1084 1085""".split()
)


# --- One reader per kind of value. Each raises ValueError for what cannot be read. -----------------------------------


def read_text(text):
    return text


def read_date(text):
    if match := re.fullmatch(r"(\d{2})-(\d{2})-(\d{4})", text):
        day, month, year = match.groups()
    elif match := re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text):
        year, month, day = match.groups()
    else:
        raise ValueError(text)
    return date(int(year), int(month), int(day))


def read_month(text):
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise ValueError(text)
    return text


def read_number(decimals, signed=False, highest=None):
    """A reader of exact numbers: decimal comma or point, no thousands separator, at most `decimals` decimals."""

    def read(text):
        match = re.fullmatch(r"(-?)(\d+)(?:[.,](\d+))?", text)
        if not match or len(match.group(3) or "") > decimals or (match.group(1) and not signed):
            raise ValueError(text)
        value = Fraction(text.replace(",", "."))
        if highest is not None and value > highest:
            raise ValueError(text)
        return value

    return read


def read_choice(*allowed):
    def read(text):
        if text not in allowed:
            raise ValueError(text)
        return text

    return read


def read_municipality(text):
    code = text.lstrip("0")
    if not text.isdigit() or code not in MUNICIPALITIES:
        raise ValueError(text)
    return code


def read_account(text):
    if not re.fullmatch(r"\d{5,16}", text):
        raise ValueError(text)
    return text


def read_cpr(text):
    if not re.fullmatch(r"\d{6}-?\d{4}", text):
        raise ValueError(text)
    return text.replace("-", "")


yes_no = read_choice("ja", "nej")
amount, signed_amount = read_number(2), read_number(2, signed=True)
quantity, signed_quantity = read_number(4), read_number(4, signed=True)
whole, percent = read_number(0), read_number(2, highest=100)


# --- The loader files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """One loader file: its key, a reader per column, what is required beside the key, defaults and parents."""

    key: tuple
    columns: dict
    required: tuple = ()
    defaults: dict = field(default_factory=dict)
    parents: dict = field(default_factory=dict)  # column -> the file that must know its value
    period: tuple = ()  # (from, to)
    may_be_empty: tuple = ()  # key columns


def texts(names):
    return dict.fromkeys(names.split(), read_text)


TABLES = {
    "katalogydelser": Table(
        ("ydelseskode",),
        texts("ydelseskode navn lov paragraf forretningsomraade funktion gruppering art dst_kode")
        | {"enhed": read_choice(*UNITS), "prorata": read_choice(*PRORATIONS), "fravaer_fulde_dage": whole}
        | {"fravaer_andel_pct": percent, "afrejsedag_betales": yes_no, "moms_pct": percent}
        | {"refusionsberettiget": yes_no},
        required=("enhed",),
        defaults={"prorata": "faktisk", "fravaer_fulde_dage": Fraction(0), "fravaer_andel_pct": Fraction(100)}
        | {"afrejsedag_betales": "ja", "moms_pct": Fraction(0)},
    ),
    "takster": Table(
        ("ydelseskode", "tilbud_id", "gyldig_fra"),
        texts("ydelseskode tilbud_id") | {"gyldig_fra": read_date, "gyldig_til": read_date, "pris": amount},
        required=("pris",),
        period=("gyldig_fra", "gyldig_til"),
        may_be_empty=("tilbud_id",),
    ),
    "tilbud": Table(
        ("tilbud_id",),
        texts("tilbud_id navn cvr p_nummer ean paragraf afdeling")
        | {"ejerforhold": read_choice("egen", "kommunal", "regional", "privat"), "kommunekode": read_municipality}
        | {"pladser": whole, "budgetteret_belaegning_pct": percent},
    ),
    "borgere": Table(
        ("cpr",),
        texts("navn adresse postnummer")
        | {"cpr": read_cpr, "kommunekode": read_municipality, "adressebeskyttet": yes_no, "vaerge_cpr": read_cpr},
    ),
    "ydelsespakker": Table(
        ("pakke_id",),
        texts("pakke_id afdeling sagsbehandler maalgruppe rekvisition")
        | {"cpr": read_cpr, "handlekommune": read_municipality, "betalingskommune": read_municipality}
        | {"bevilget_dato": read_date, "status": read_choice("ansoegt", "bevilget", "afsluttet", "annulleret")},
        required=("cpr",),
        defaults={"status": "bevilget"},
        parents={"cpr": "borgere"},
    ),
    "ydelser": Table(
        ("ydelse_id",),
        texts("ydelse_id pakke_id ydelseskode tilbud_id")
        | {"afregningsform": read_choice(*PROCESSES), "startdato": read_date, "slutdato": read_date}
        | {"antal": quantity, "forud_bagud": read_choice("forud", "bagud"), "konto": read_account}
        | {"krav": read_choice("takst", "refusion_9c")},
        required=("pakke_id", "ydelseskode", "startdato"),
        defaults={"antal": Fraction(1), "forud_bagud": "bagud", "krav": "takst"},
        parents={"ydelseskode": "katalogydelser", "pakke_id": "ydelsespakker"},
        period=("startdato", "slutdato"),
    ),
    "individuelle_takster": Table(
        ("ydelse_id", "gyldig_fra"),
        texts("ydelse_id") | {"gyldig_fra": read_date, "gyldig_til": read_date, "pris": amount},
        required=("pris",),
        parents={"ydelse_id": "ydelser"},
        period=("gyldig_fra", "gyldig_til"),
    ),
    "betalere": Table(
        ("pakke_id", "gyldig_fra"),
        texts("pakke_id") | {"gyldig_fra": read_date, "gyldig_til": read_date, "betalingskommune": read_municipality},
        required=("betalingskommune",),
        period=("gyldig_fra", "gyldig_til"),
    ),
    "kontoregler": Table(
        ("ydelse_id", "gyldig_fra"),
        texts("ydelse_id") | {"gyldig_fra": read_date, "gyldig_til": read_date, "konto": read_account},
        required=("konto",),
        parents={"ydelse_id": "ydelser"},
        period=("gyldig_fra", "gyldig_til"),
    ),
    "fravaer": Table(
        ("ydelse_id", "fra"),
        texts("ydelse_id aarsag") | {"fra": read_date, "til": read_date},
        parents={"ydelse_id": "ydelser"},
        period=("fra", "til"),
    ),
    "registreringer": Table(
        ("registrering_id",),
        texts("registrering_id ydelse_id") | {"dato": read_date, "antal": signed_quantity},
        required=("ydelse_id", "dato", "antal"),
        parents={"ydelse_id": "ydelser"},
    ),
    "udbetalingsvilkaar": Table(
        ("ydelse_id",),
        texts("ydelse_id frekvens dag modtager_id reg_nr konto_nr tekst")
        | {"modtagertype": read_choice("borger", "person", "leverandoer", "konto")},
        parents={"ydelse_id": "ydelser"},
    ),
    "opkraevningsvilkaar": Table(
        ("ydelse_id",),
        texts("ydelse_id betalingsservice_aftale tekst") | {"betaler_cpr": read_cpr},
        parents={"ydelse_id": "ydelser"},
    ),
    "aabningsposter": Table(
        ("proces", "ydelse_id", "leverancemaaned", "pris", "modpart", "konto"),
        texts("ydelse_id modpart bilag")
        | {"proces": read_choice(*PROCESSES), "leverancemaaned": read_month, "pris": amount, "konto": read_account}
        | {"antal": signed_quantity, "beloeb": signed_amount, "moms": signed_amount},
        required=("pris",),
        parents={"ydelse_id": "ydelser"},
    ),
}
DATED_LEVELS = ("takster", "individuelle_takster", "betalere", "kontoregler")


@dataclass
class Stored:
    values: dict
    alive: bool = True


@dataclass
class Row:
    """A row as delivered: where it stood, what could be read of it, and the cells that could not."""

    table: str
    number: int  # the header is row 1
    cells: dict
    values: dict
    unreadable: dict  # column -> cell
    key: tuple
    withdraws: bool
    reason: str = ""  # why it is refused; empty while it is good
    column: str = ""
    value: str = ""

    def refuse(self, reason, column="", value=""):
        if not self.reason:
            self.reason, self.column, self.value = reason, column, value


def read_row(table_name, number, cells):
    """Reads the known columns of one row; of a withdrawal only the key."""
    table = TABLES[table_name]
    cells = {column: cell.strip() for column, cell in cells.items()}
    withdraws = cells.get("slet", "") == "ja"
    wanted = [c for c in cells if c in table.columns and (c in table.key or not withdraws)]
    values, unreadable = {}, {}
    for column in wanted:
        try:
            values[column] = table.columns[column](cells[column]) if cells[column] else None
        except ValueError:
            unreadable[column] = cells[column]
    if cells.get("slet", "") not in ("", "ja", "nej"):
        unreadable["slet"] = cells["slet"]
    key = tuple(values.get(c) if c not in unreadable else ("?", unreadable[c]) for c in table.key)
    return Row(table_name, number, cells, values, unreadable, key, withdraws)


class Store:
    """All stored rows by file and key, and the quarantine, after any number of loads."""

    def __init__(self):
        self.rows = {name: {} for name in TABLES}
        self.quarantine = []
        self.reports = []

    def alive(self, table):
        return [stored.values for stored in self.rows[table].values() if stored.alive]

    def load(self, files):
        """Takes one load, {file name without ending: [row, …]}, each row {column: cell text}; judged together."""
        arrived = [read_row(t, n, cells) for t, rows in files.items() for n, cells in enumerate(rows, start=2)]
        self.report_unknown_columns(files)
        again = self.tried_again(arrived)
        load = self.without_duplicates(arrived) + again
        for row in load:
            self.refuse_unreadable(row)
            self.refuse_unfinished(row)
        self.refuse_unknown_parents(load)
        self.refuse_withdrawal_in_use(load)
        self.refuse_overlaps(load)
        for row in load:
            if not row.reason:
                self.accept(row)
        self.quarantine += [row for row in arrived + again if row.reason]

    def report_unknown_columns(self, files):
        for table, rows in files.items():
            for column in dict.fromkeys(c for cells in rows for c in cells):
                if column not in TABLES[table].columns and column != "slet":
                    self.reports.append(f"{table}: {column}")

    def without_duplicates(self, arrived):
        """The same key twice: identical rows count once; different ones, or one that cannot be read, are refused."""
        by_key = {}
        for row in arrived:
            by_key.setdefault((row.table, row.key), []).append(row)
        kept = []
        for twins in by_key.values():
            first = twins[0]
            same = all(t.values == first.values and t.withdraws == first.withdraws for t in twins)
            if len(twins) > 1 and (not same or any(t.unreadable for t in twins)):
                for twin in twins:
                    twin.refuse("dublet")
            else:
                kept.append(first)
        return kept

    def tried_again(self, arrived):
        """A row drops what stood in quarantine under its key; what waits for a parent is tried again."""
        keys = {(row.table, row.key) for row in arrived}
        self.quarantine = [row for row in self.quarantine if (row.table, row.key) not in keys]
        again = [row for row in self.quarantine if row.reason == "ukendt_noegle"]
        self.quarantine = [row for row in self.quarantine if row not in again]
        for row in again:
            row.reason = row.column = row.value = ""
        return again

    def refuse_unreadable(self, row):
        for column, cell in row.unreadable.items():
            row.refuse("ugyldig_vaerdi", column, cell)

    def merged(self, row):
        """The values the row leads to: a missing column keeps the stored value, an empty cell sets the default."""
        table, stored = TABLES[row.table], self.rows[row.table].get(row.key)
        values = dict(stored.values) if stored else {c: table.defaults.get(c) for c in table.columns}
        for column, value in row.values.items():
            values[column] = table.defaults.get(column) if value is None else value
        return values

    def refuse_unfinished(self, row):
        """Missing keys and required values; periods that end before they begin."""
        table, values = TABLES[row.table], self.merged(row)
        required = table.key if row.withdraws else (*table.key, *table.required)
        for column in required:
            if values[column] is None and column not in table.may_be_empty:
                row.refuse("ugyldig_vaerdi", column, "")
        if table.period and not row.withdraws and not row.reason:
            start, end = (values[column] for column in table.period)
            if end is not None and end < start:
                row.refuse("ugyldig_periode", table.period[1], row.cells.get(table.period[1], ""))

    def refuse_unknown_parents(self, load):
        """Known is what is stored, also withdrawn, and what this load brings; TABLES stands with parents first."""
        for name, table in TABLES.items():
            for row in (r for r in load if r.table == name and not r.reason and not r.withdraws):
                values = self.merged(row)
                for column, parent in table.parents.items():
                    key = (values[column],)
                    brought = any(r.table == parent and r.key == key and not r.reason and not r.withdraws for r in load)
                    if key not in self.rows[parent] and not brought:
                        row.refuse("ukendt_noegle", column, row.cells.get(column, ""))

    def refuse_withdrawal_in_use(self, load):
        """A catalogue item or an offer that a living line names, after this load, cannot be withdrawn."""
        lines = {key: stored.values for key, stored in self.rows["ydelser"].items() if stored.alive}
        for row in (r for r in load if r.table == "ydelser" and not r.reason):
            lines[row.key] = self.merged(row)
            if row.withdraws:
                del lines[row.key]
        for row in load:
            column = {"katalogydelser": "ydelseskode", "tilbud": "tilbud_id"}.get(row.table)
            if column and row.withdraws and any(line[column] == row.key[0] for line in lines.values()):
                row.refuse("ugyldig_vaerdi", "slet", "ja")

    def refuse_overlaps(self, load):
        """A given end that reaches another start of the level: the load's rows are refused until none is left."""
        while True:
            overlapping = []
            for name in DATED_LEVELS:
                mine = [r for r in load if r.table == name and not r.reason]
                rows = {key: (stored.values, None) for key, stored in self.rows[name].items() if stored.alive}
                rows |= {r.key: (self.merged(r), r) for r in mine}
                rows = [pair for key, pair in rows.items() if not (pair[1] and pair[1].withdraws)]
                for earlier, earlier_row in rows:
                    for later, later_row in rows:
                        same_level = level(name, earlier) == level(name, later)
                        if same_level and earlier["gyldig_fra"] < later["gyldig_fra"]:
                            end = earlier["gyldig_til"]
                            if end is not None and end >= later["gyldig_fra"]:
                                overlapping += [r for r in (earlier_row, later_row) if r]
            if not overlapping:
                return
            for row in overlapping:
                row.refuse("overlappende_takst")

    def accept(self, row):
        known = self.rows[row.table]
        if row.withdraws:
            if row.key in known:
                known[row.key].alive = False
        else:
            known[row.key] = Stored(self.merged(row))


def level(table, values):
    """What a dated row is dated for: its key without the start."""
    return tuple(values[column] for column in TABLES[table].key if column != "gyldig_fra")


def value_on(rows, day, column):
    """The column of the row in force on the day among one level's rows; None where none covers it.

    An open row ends the day before the next start of its level.
    """
    starts = sorted(row["gyldig_fra"] for row in rows)
    for row in rows:
        end = row["gyldig_til"]
        if end is None:
            later = [start for start in starts if start > row["gyldig_fra"]]
            end = later[0] - timedelta(days=1) if later else date.max
        if row["gyldig_fra"] <= day <= end:
            return row[column]
    return None
