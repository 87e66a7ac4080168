"""Extract and loader files of every kind as rows that a test can change, written again in the format of their layout."""

from __future__ import annotations

import csv
import io
import json
import xml.sax.saxutils as sax
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from openpyxl import Workbook

from ingestion import archive
from ingestion.contract import TYPES, Column, Contract, contract_for_file
from ingestion.contract_check import loader_layout
from ingestion.expressions import DECIMALS
from ingestion.extracts import read_extract
from ingestion.layouts import FileMapping, TargetMapping

Row = dict[str, str | None]
EASY = ("text", "date", "cpr", "cvr", "account")  # the types of keys that are easiest made new


@dataclass
class Sheet:
    """A file of one kind: rows by column name, and how many of them, counted from the end, have a key nobody knows."""

    layout: FileMapping
    rows: list[Row]
    columns: list[str] = field(default_factory=list)
    new: int = 0

    def __post_init__(self) -> None:
        self.columns = self.columns or list(self.layout.columns)

    @property
    def system(self) -> str:
        return self.layout.version.partition("/")[0]

    @property
    def kind(self) -> str:
        return f"{self.system}/{self.layout.dataset}.{self.layout.format}"

    @property
    def encoding(self) -> str:
        return self.layout.encoding or "utf-8"

    def name(self, mark: str) -> str:
        loader = self.system == archive.LOADER
        return self.layout.pattern if loader else self.layout.pattern.replace("*", mark)

    def copy(self) -> Sheet:
        return Sheet(self.layout, [dict(row) for row in self.rows], list(self.columns), self.new)

    def taken(self, row: Row) -> list[TargetMapping]:
        """The targets that a row fills."""
        return [
            t for t in self.layout.targets.values()
            if t.when is None or (row.get(t.when.column) or "").strip() in (t.when.among or (row.get(t.when.column) or "-",))
        ]  # fmt: skip

    def content(self, encoding: str = "") -> bytes:
        return {"csv": self._csv, "xlsx": self._xlsx, "xml": self._xml, "json": self._json}[self.layout.format](encoding)

    def _csv(self, encoding: str) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.layout.delimiter, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([row.get(column) or "" for column in self.columns] for row in self.rows)
        return out.getvalue().encode(encoding or self.encoding)

    def _xlsx(self, _: str) -> bytes:
        book, out = Workbook(), io.BytesIO()
        for row in [self.columns, *([row.get(column) or "" for column in self.columns] for row in self.rows)]:
            book.active.append(row)
        book.save(out)
        return out.getvalue()

    def _xml(self, encoding: str) -> bytes:
        record = self.layout.record.split("|")[0]
        root = "extract"
        if self.layout.root:  # of an invoice the root, its lines and their quantity go by one name
            root = self.rows[0]["/"] if self.rows else self.layout.root.split("|")[0]
            record = next(name for name in self.layout.record.split("|") if name.startswith(root))
        outside = {c[1:]: self.rows[0].get(c) for c in self.columns if c.startswith("/") and c != "/" and self.rows}
        inside = [{c: row.get(c) for c in self.columns if not c.startswith("/")} for row in self.rows]
        records = "".join(f"<{record}>{_elements(row)}</{record}>\n" for row in inside)
        declared = f'<?xml version="1.0" encoding="{self.encoding}"?>\n'
        return f"{declared}<{root}>{_elements(outside)}\n{records}</{root}>\n".encode(encoding or self.encoding)

    def _json(self, encoding: str) -> bytes:
        document: dict = {"system": self.system}
        *above, last = self.layout.record.split("/")
        place = document
        for step in above:
            place = place.setdefault(step, {})
        place[last] = [_nested({c: row.get(c) for c in self.columns if row.get(c) is not None}) for row in self.rows]
        return json.dumps(document, ensure_ascii=False, indent=1).encode(encoding or self.encoding)


def _nested(row: Row) -> dict:
    found: dict = {}
    for path, value in row.items():
        *above, last = path.split("/")
        place = found
        for step in above:
            place = place.setdefault(step, {})
        place[last] = value
    return found


def _elements(row: Row) -> str:
    """The elements of paths, those with attributes (`a/@b`) included."""
    row = {path.removesuffix("*"): value for path, value in row.items() if value is not None}
    attributes = {path: value for path, value in row.items() if "/@" in path}

    def written(tree: dict, above: str) -> str:
        out = ""
        for step, below in tree.items():
            path = f"{above}{step}"
            own = "".join(f" {p.split('/@')[1]}={sax.quoteattr(v)}" for p, v in attributes.items() if p.startswith(f"{path}/@"))
            inner = written(below, f"{path}/") if isinstance(below, dict) else sax.escape(below)
            out += f"<{step}{own}>{inner}</{step}>"
        return out

    return written(_nested({path: value for path, value in row.items() if path not in attributes}), "")


def read_sheet(path: Path, layout: FileMapping) -> list[tuple[int, Row]]:
    """A file's rows by row number, those that do not fit the header left out."""
    table, found = read_extract(path, path.name, layout), []
    for batch in table.batches:
        *cells, numbers, faults = (column.to_pylist() for column in batch.columns)
        for number, fault, row in zip(numbers, faults, zip(*cells, strict=True), strict=True):
            if not fault:
                found.append((number, dict(zip(table.columns, row, strict=True))))
    return found


# Kinds of files that no demo delivers: rows made up.
UNDELIVERED: dict[str, list[Row]] = {
    "opus/kvitteringer.csv": [
        {"Kvitteringsnr.": "1", "Referencenøgle": "B2026-000001", "Status": "Bogført", "Bilagsnummer": "4900001",
         "Bogføringsdato": "03-10-2026", "Beløb": "1250,50", "Meddelelse": ""},
        {"Kvitteringsnr.": "2", "Referencenøgle": "B2026-000002", "Status": "Afvist", "Bilagsnummer": "", "Bogføringsdato": "",
         "Beløb": "99,00", "Meddelelse": "Kontoen er spærret"},
        {"Kvitteringsnr.": "3", "Referencenøgle": "B2026-000003", "Status": "Bogført", "Bilagsnummer": "4900002",
         "Bogføringsdato": "04-10-2026", "Beløb": "-10,00", "Meddelelse": ""},
    ],
    "prisme/kvitteringer.csv": [
        {"Kvitteringsnr": "1", "EksternReference": "B2026-000001", "Svar": "OK", "Voucher": "4900001", "TransDate": "20261003",
         "Beloeb": "000000125050", "Fejltekst": ""},
        {"Kvitteringsnr": "2", "EksternReference": "B2026-000002", "Svar": "FEJL", "Voucher": "", "TransDate": "",
         "Beloeb": "000000009900", "Fejltekst": "Kontoen er spærret"},
        {"Kvitteringsnr": "3", "EksternReference": "B2026-000003", "Svar": "OK", "Voucher": "4900002", "TransDate": "20261004",
         "Beloeb": "000000001000-", "Fejltekst": ""},
    ],
    "oes/kvitteringer.csv": [
        {"Kvittering": "1", "Jeres bilag": "B2026-000001", "Resultat": "Bogført", "Bilag": "4900001",
         "Posteringsdato": "2026-10-03", "Beløb": "1,250.50", "Årsag": ""},
        {"Kvittering": "2", "Jeres bilag": "B2026-000002", "Resultat": "Afvist", "Bilag": "", "Posteringsdato": "",
         "Beløb": "99.00", "Årsag": "Kontoen er spærret"},
        {"Kvittering": "3", "Jeres bilag": "B2026-000003", "Resultat": "Bogført", "Bilag": "4900002",
         "Posteringsdato": "2026-10-04", "Beløb": "-10.00", "Årsag": ""},
    ],
}  # fmt: skip


def loader_sheet(con, contract: Contract, ending: str, most: int) -> Sheet:
    """A loader file of living canonical rows; where there are none, of one row made up."""
    columns = contract.columns
    listed = ", ".join(c.name for c in columns)
    found = con.execute(
        f"SELECT {listed} FROM canonical.{contract.table} WHERE NOT withdrawn ORDER BY {', '.join(contract.key)} LIMIT {most}"
    ).fetchall()
    rows = [{c.loader: _told(c, value) for c, value in zip(columns, row, strict=True)} for row in found]
    return Sheet(loader_layout(contract, ending), rows or [_made_up(con)[contract.table]])


def _made_up(con) -> dict[str, Row]:
    """What no demo delivers."""
    line, account = con.execute("SELECT min(service_line_id), min(account) FROM canonical.service_line").fetchone()
    item = con.execute("SELECT min(item_code) FROM canonical.catalogue_item").fetchone()[0]
    return {
        "opening_entry": {
            "proces": "mellemkommunal", "ydelse_id": line, "leverancemaaned": "2026-01", "pris": "100,00", "modpart": "751",
            "konto": account, "antal": "1", "beloeb": "100,00", "moms": "0,00", "bilag": "B1",
        },
        "service_translation": {
            "kilde": "sensum", "kildekode": "X1", "gyldig_fra": "01-01-2026", "gyldig_til": "", "ydelseskode": item,
            "besluttet_af": "anna", "begrundelse": "aftalt",
        },
    }  # fmt: skip


def _told(column: Column, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "ja" if value else "nej"
    if isinstance(value, date):
        return value.strftime("%Y-%m" if column.type == "month" else "%d-%m-%Y")
    places = DECIMALS.get(column.type, 0)
    if places:
        sign, digits = "-" * (value < 0), str(abs(value)).rjust(places + 1, "0")
        return f"{sign}{digits[:-places]},{digits[-places:]}"
    return str(value)


def fresh_row(sheet: Sheet) -> Row | None:
    """The last row under keys that nobody knows; None where they name a parent alone, so that there can be none."""
    row, mark = dict(sheet.rows[-1]), f"NY{sheet.layout.dataset}"
    for target in sheet.taken(row):
        own = [c for c in contract_for_file(target.loader_file).key_columns if c.loader in target.columns and not c.parent]
        own = [c for c in own if target.columns[c.loader].needs]  # a document's own key is made of its bytes
        if not own:
            continue
        column = min(own, key=lambda c: EASY.index(c.type) if c.type in EASY else len(EASY))
        rule = target.columns[column.loader]
        row[rule.needs[0]] = {
            "text": mark, "date": date(2031, 1, 1).strftime(rule.date or "%Y-%m-%d"), "cpr": "0101019991", "year": "2031",
            "cvr": "DK12345674", "counterparty": "12345674", "account": "9" * len(row[rule.needs[0]] or ""),
        }[column.type]  # fmt: skip
        for end in ("gyldig_til", "til", "slutdato"):
            if column.type == "date" and end in target.columns:
                row[target.columns[end].needs[0]] = ""
    return row if row != sheet.rows[-1] else None


def key_texts(sheet: Sheet, target: TargetMapping, row: Row) -> tuple:
    """What a row's key in a target is made of."""
    contract = contract_for_file(target.loader_file)
    rules = [target.columns[c.loader] for c in contract.key_columns if c.loader in target.columns]
    return tuple(row.get(column) for rule in rules for column in rule.needs)


def unlike(sheet: Sheet, most: int) -> Sheet:
    """At most so many rows whose keys all differ, the latest word on each."""
    if sheet.layout.root:  # every line tells the document's own facts
        documents: dict[tuple, list[Row]] = {}
        for row in sheet.rows:
            documents.setdefault(tuple(row[c] for c in sheet.columns if c.startswith("/")), []).append(row)
        return replace(sheet, rows=max(documents.values(), key=len)[:most])
    seen: set[tuple] = set()
    rows = []
    for row in reversed(sheet.rows):
        keys = {(t.loader_file, *key_texts(sheet, t, row)) for t in sheet.taken(row)} or {("", *row.values())}
        if not keys & seen and len(rows) < most:
            rows.append(row)
            seen |= keys
    return replace(sheet, rows=rows[::-1])


def typed(column: Column) -> bool:
    """Whether the gate can find a cell of it unreadable."""
    return TYPES[column.type].read != "{x}"
