"""Drives the platform through its public contract, files and commands, and lays its answers beside the oracle's."""

import contextlib
import csv
import io
import zipfile
from decimal import Decimal
from pathlib import Path

from openpyxl import Workbook
from oracle_loader import TABLES, read_date


class Platform:
    """One instance, run by the command line in process; every command first points AFREGNING_HOME at its folder."""

    def __init__(self, home, environment):
        self.home = home
        self.environment = environment
        self.files = home.parent / "files"
        self.files.mkdir(exist_ok=True)
        self.loads = 0

    def run(self, *arguments):
        """(exit code, everything written to the screen) of one command."""
        from orchestration.cli import main

        self.environment.setenv("AFREGNING_HOME", str(self.home))
        screen = io.StringIO()
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            code = main([str(a) for a in arguments])
        return code, screen.getvalue()

    def must(self, *arguments):
        code, screen = self.run(*arguments)
        assert code == 0, f"afregning {' '.join(map(str, arguments))} gave {code}:\n{screen}"
        return screen

    def load(self, files, form="csv"):
        self.loads += 1
        folder = self.files / str(self.loads)
        folder.mkdir()
        return self.must("load", write_files(folder, files, form))

    def settle(self, process, through, booking_date, timing="bagud", book=False):
        """The rows of the proposal, or with `book` the same rows as booked."""
        out = self.files / "forslag.csv"
        out.unlink(missing_ok=True)
        command = ["settle", process, "--through", through, "--timing", timing, "--date", booking_date, "--out", out]
        self.must(*command, *(["--book", "--by", "anna", "--approved-by", "bo"] if book else []))
        return read_csv(out)

    def lines(self):
        self.must("lines", "--out", self.files / "linjer.csv")
        return read_csv(self.files / "linjer.csv")

    def exceptions(self):
        self.must("exceptions", "--out", self.files / "undtagelser.csv")
        return read_csv(self.files / "undtagelser.csv")


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


# --- Writing loader files in every form that loader.md allows --------------------------------------------------------


def write_files(folder, files, form):
    """Writes {table: rows} into the folder and returns what to load: the folder, or the zip made of it."""
    for table, rows in files.items():
        if form in ("xlsx", "xlsx-typed"):
            write_xlsx(folder / f"{table}.xlsx", table, rows, typed=form == "xlsx-typed")
        else:
            encoding = {"utf-8-bom": "utf-8-sig", "windows-1252": "cp1252"}.get(form, "utf-8")
            (folder / f"{table}.csv").write_bytes(csv_text(rows).encode(encoding))
    if form != "zip":
        return folder
    packed = folder.parent / f"{folder.name}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return packed


def columns_of(rows):
    return list(dict.fromkeys(column for row in rows for column in row))


def csv_text(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), delimiter=";", restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_xlsx(path, table, rows, typed):
    """Cells as text, or as the dates and numbers that a spreadsheet makes of them."""
    book = Workbook()
    sheet = book.active
    sheet.append(columns_of(rows))
    for row in rows:
        sheet.append([as_cell(table, c, row.get(c, "")) if typed else row.get(c, "") for c in columns_of(rows)])
    book.save(path)


def as_cell(table, column, text):
    reader = TABLES[table].columns.get(column)
    if not text or column == "konto":
        return text or None
    if reader is read_date:
        return read_date(text)
    with contextlib.suppress(ValueError, TypeError):
        if not isinstance(reader(text), str):
            return float(text.replace(",", "."))  # a spreadsheet holds doubles; the reader must make them exact again
    return text


# --- Laying answers beside each other --------------------------------------------------------------------------------


def decimal(text):
    return Decimal(text.replace(",", "."))


def iso_date(text):
    return read_date(text).isoformat() if text else ""


def four_decimals(fraction):
    """Half away from zero, as screens and CSV show a quantity."""
    size = (2 * abs(fraction.numerator) * 10000 + fraction.denominator) // (2 * fraction.denominator)
    return Decimal(size if fraction >= 0 else -size) / 10000


def kroner(oere):
    return Decimal(oere) / 100


NAMES = ("proces", "bilagsart", "ydelse_id", "pakke_id", "cpr", "leverancemaaned", "modpart", "konto", "regulering")
FIGURES = ("antal", "pris", "beloeb", "moms")


def of_platform(row):
    """A CSV row as values; run and booking date are empty in a proposal."""
    run = {"koersel": row["koersel"], "dato": iso_date(row["bogfoert_dato"])}
    return {c: row[c] for c in NAMES} | {c: decimal(row[c]) for c in FIGURES} | run


def of_oracle(line):
    """An oracle's ledger line in the columns of the CSV."""
    return {
        "proces": line.process,
        "bilagsart": line.document_type,
        "ydelse_id": line.line_id,
        "pakke_id": line.package_id,
        "cpr": line.cpr,
        "leverancemaaned": line.month,
        "antal": four_decimals(line.worth.quantity),
        "pris": kroner(int(line.price * 100)),
        "beloeb": kroner(line.worth.amount_oere),
        "moms": kroner(line.worth.vat_oere),
        "modpart": line.counterparty,
        "konto": line.account,
        "regulering": "ja" if line.adjusts else "nej",
        "koersel": "" if line.run is None else str(line.run),
        "dato": line.booked_on.isoformat() if line.booked_on else "",
    }


def assert_same_lines(rows, oracle_lines, documents=None):
    """Equal rows, tolerance 0. With `documents` (of all booked lines) also the documents and what they correct."""
    mine, theirs = [of_oracle(line) for line in oracle_lines], [of_platform(row) for row in rows]
    for row in [*mine, *theirs]:
        if row["koersel"] == "0":  # an opening entry's kind and date of booking are the earlier system's
            row["bilagsart"] = row["dato"] = ""
    only_oracle = [row for row in mine if row not in theirs]
    only_platform = [row for row in theirs if row not in mine]
    assert not only_oracle and not only_platform and len(mine) == len(theirs), (
        f"the oracle demands {show(only_oracle)}\nthe platform has {show(only_platform)}"
    )
    if documents is not None:
        assert_same_documents(rows, oracle_lines, documents)


def assert_same_documents(rows, oracle_lines, documents):
    """The platform's numbers and the oracle's documents stand in one-to-one relation, and `retter` follows it."""
    for row, line in paired(rows, oracle_lines):
        if line.document:
            assert documents.setdefault(line.document, row["bilag"]) == row["bilag"], f"{row} against {line}"
    assert len(set(documents.values())) == len(documents), f"one number for two documents: {documents}"
    for row, line in paired(rows, oracle_lines):
        expected = {documents[d] for d in line.corrects} or {""}
        assert row["retter"] in expected, f"retter is {row['retter']!r}, not one of {expected}: {row}"


def paired(rows, oracle_lines):
    """Each CSV row with the oracle's line of the same run and key."""
    lines = {identity(of_oracle(line)): line for line in oracle_lines}
    return [(row, lines[identity(of_platform(row))]) for row in rows]


def identity(values):
    key = ("koersel", "proces", "ydelse_id", "leverancemaaned", "pris", "modpart", "konto")
    return tuple(values[column] for column in key)


def show(rows):
    return "nothing" if not rows else "".join(f"\n  {'; '.join(f'{k}={v}' for k, v in row.items())}" for row in rows)


def parked_of(exceptions):
    return {(e["aarsag"], e["ydelse_id"], e["leverancemaaned"]) for e in exceptions if e["type"] == "parkeret"}


def quarantined_of(exceptions):
    """(file, row number, reason, column, value); column and value of the reasons that point to one cell."""
    return sorted(
        quarantine_entry(Path(e["fil"]).stem, int(e["raekke"]), e["aarsag"], e["kolonne"], e["vaerdi"])
        for e in exceptions
        if e["type"] == "karantaene"
    )


def quarantine_entry(table, number, reason, column, value):
    points = reason in ("ugyldig_vaerdi", "ukendt_noegle")
    personal = "cpr" in column  # a CPR number may be hidden on the list
    return (table, number, reason, column if points else "", value if points and not personal else "")


def assert_same_exceptions(exceptions, oracle, parked=True):
    expected_parked, rows = oracle.exceptions()
    expected = sorted(quarantine_entry(r.table, r.number, r.reason, r.column, r.value) for r in rows)
    assert quarantined_of(exceptions) == expected
    if parked:
        assert parked_of(exceptions) == expected_parked

