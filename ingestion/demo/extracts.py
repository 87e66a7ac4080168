"""Writers of the demo's extract files: their names, columns, formats and encodings come from the mapping files.

Two deliveries: a full extract at the first date, and what is new, changed or deleted since at the second.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from openpyxl import Workbook

from ingestion.mapping import FileMapping, load_mappings

Row = dict[str, Any]
FIXED_TIME = "2000-01-01T00:00:00Z"


class CsvExtract:
    """A CSV file written row by row."""

    def __init__(self, path: Path, mapping: FileMapping, columns: Sequence[str], extract_date: date) -> None:
        self.path = path
        self._file = path.open("w", encoding=mapping.encoding, newline="")
        self._writer = csv.writer(self._file, delimiter=mapping.delimiter, lineterminator="\r\n")
        self._writer.writerow(columns)

    def write(self, cells: Iterable[Any]) -> None:
        self._writer.writerow([f"{c:%d-%m-%Y}" if isinstance(c, date) else c for c in cells])

    def close(self) -> None:
        self._file.close()


class XmlExtract:
    """An XML file written record by record; a column `a/b` becomes the element b inside a."""

    def __init__(self, path: Path, mapping: FileMapping, columns: Sequence[str], extract_date: date) -> None:
        self.path = path
        self._file = path.open("w", encoding=mapping.encoding, newline="\n")
        self._record = mapping.record
        before, after = self._tags(columns)
        self._tags = list(zip(before, after, strict=True))
        system = quoteattr(path.parent.name.upper())
        self._file.write(f'<?xml version="1.0" encoding="{mapping.encoding.upper()}"?>\n')
        self._file.write(f'<extract system={system} extract_date="{extract_date}">\n')

    @staticmethod
    def _tags(columns: Sequence[str]) -> tuple[list[str], list[str]]:
        paths = [column.split("/") for column in columns]
        parents = [path[:-1] for path in paths]
        before, after = [], []
        for i, (path, parent) in enumerate(zip(paths, parents, strict=True)):
            opens = parent if i == 0 or parents[i - 1] != parent else []
            closes = parent if i + 1 == len(paths) or parents[i + 1] != parent else []
            before.append("".join(f"<{tag}>" for tag in opens) + f"<{path[-1]}>")
            after.append(f"</{path[-1]}>" + "".join(f"</{tag}>" for tag in reversed(closes)))
        return before, after

    def write(self, cells: Iterable[Any]) -> None:
        body = "".join(
            f"{before}{escape(str(cell))}{after}" for (before, after), cell in zip(self._tags, cells, strict=True)
        )
        self._file.write(f"<{self._record}>{body}</{self._record}>\n")

    def close(self) -> None:
        self._file.write("</extract>\n")
        self._file.close()


class XlsxExtract:
    """A spreadsheet with one sheet, for lists that stay small; its bytes do not depend on the clock."""

    def __init__(self, path: Path, mapping: FileMapping, columns: Sequence[str], extract_date: date) -> None:
        self.path = path
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet(mapping.dataset.capitalize())
        self._sheet.append(list(columns))

    def write(self, cells: Iterable[Any]) -> None:
        self._sheet.append([None if cell == "" else cell for cell in cells])

    def close(self) -> None:
        written = io.BytesIO()
        self._book.save(written)
        with zipfile.ZipFile(written) as source, zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as target:
            for entry in source.namelist():
                content = source.read(entry)
                if entry == "docProps/core.xml":
                    content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", FIXED_TIME.encode(), content)
                target.writestr(zipfile.ZipInfo(entry), content, zipfile.ZIP_DEFLATED)


class JsonExtract:
    """A JSON file written object by object into the array at the mapping's record; a column `a/b` is b inside a."""

    def __init__(self, path: Path, mapping: FileMapping, columns: Sequence[str], extract_date: date) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._paths = [column.split("/") for column in columns]
        head = json.dumps({"system": path.parent.name.upper(), "extract_date": extract_date.isoformat()})
        opening = ": {".join(json.dumps(step) for step in mapping.record.split("/"))
        self._end = "\n]" + "}" * (mapping.record.count("/") + 1) + "\n"
        self._file.write(f"{head[:-1]}, {opening}: [")
        self._between = "\n"

    def write(self, cells: Iterable[Any]) -> None:
        record: dict[str, Any] = {}
        for path, cell in zip(self._paths, cells, strict=True):
            if cell != "":
                place = record
                for step in path[:-1]:
                    place = place.setdefault(step, {})
                place[path[-1]] = cell.isoformat() if isinstance(cell, date) else cell
        self._file.write(self._between + json.dumps(record, ensure_ascii=False))
        self._between = ",\n"

    def close(self) -> None:
        self._file.write(self._end)
        self._file.close()


WRITERS = {"csv": CsvExtract, "xml": XmlExtract, "xlsx": XlsxExtract, "json": JsonExtract}


class Extracts:
    """Both deliveries of every extract file of the chosen systems; counts the rows of each file."""

    def __init__(
        self, landing: Path, first: date, second: date, systems: Sequence[str],
        extra_columns: dict[tuple[str, str], tuple[str, ...]],
    ) -> None:  # fmt: skip
        self.dates = (first, second)
        self.rows: dict[str, int] = {}
        self.landing = landing
        self._packs: dict[str, zipfile.ZipFile] = {}
        self._files: dict[tuple[str, str, int], tuple[str, Any, list[str], set[str]]] = {}
        mappings = load_mappings()
        for system in systems:
            folder = landing / system
            folder.mkdir(parents=True, exist_ok=True)
            for file in mappings[system].datasets.values():
                columns = [*file.columns, *extra_columns.get((system, file.dataset), ())]
                for delivery, day in enumerate(self.dates):
                    path = folder / file.pattern.replace("*", day.isoformat())
                    writer = WRITERS[file.format](path, file, columns, day)
                    name = f"{system}/{path.name}"
                    self.rows[name] = 0
                    self._files[system, file.dataset, delivery] = (name, writer, columns, set(columns))

    def name(self, system: str, dataset: str, delivery: int) -> str:
        """The file's place below landing."""
        return self._files[system, dataset, delivery][0]

    def write(self, system: str, dataset: str, delivery: int, row: Row) -> None:
        """Adds a row to the first (0) or the second (1) delivery; columns left out are empty."""
        name, writer, columns, known = self._files[system, dataset, delivery]
        if not row.keys() <= known:
            raise KeyError(f"{name} har ingen kolonne {sorted(row.keys() - known)}")
        writer.write([row.get(column, "") for column in columns])
        self.rows[name] += 1

    def write_cells(self, system: str, dataset: str, delivery: int, row: Row, change: int) -> None:
        """A CSV row with `change` fields too many (positive) or too few (negative)."""
        name, writer, columns, _ = self._files[system, dataset, delivery]
        cells = [row.get(column, "") for column in columns]
        writer.write(cells + ["?"] * change if change > 0 else cells[:change])
        self.rows[name] += 1

    def deliver(self, system: str, dataset: str, before: Row | None, now: Row | None) -> None:
        """A record as the system knew it at the first date and at the second; an unchanged one is not sent again."""
        if before is not None:
            self.write(system, dataset, 0, before)
        if now is not None and now != before:
            self.write(system, dataset, 1, now)

    def write_document(self, system: str, name: str, content: bytes, rows: int, pack: str = "") -> None:
        """A whole file of its own, such as an invoice with that many lines, or one member of the zip `pack`."""
        (self.landing / system).mkdir(parents=True, exist_ok=True)
        file = f"{system}/{pack or name}"
        if not pack:
            (self.landing / file).write_bytes(content)
        else:
            if file not in self._packs:
                self._packs[file] = zipfile.ZipFile(self.landing / file, "w")
            self._packs[file].writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        self.rows[file] = self.rows.get(file, 0) + rows

    def close(self) -> None:
        """Ends every file; one without rows is not delivered."""
        for packed in self._packs.values():
            packed.close()
        for name, writer, _, _ in self._files.values():
            writer.close()
            if not self.rows[name]:
                writer.path.unlink()
                del self.rows[name]
