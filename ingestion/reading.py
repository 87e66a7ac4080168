"""Files to rows of text: CSV (UTF-8 with or without BOM, Windows-1252), XLSX, and zips and folders of them.

Rows are numbered as a spreadsheet shows them: the header is row 1, the first data row is row 2.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import itertools
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from settlement.faults import InputFault

BATCH_ROWS = 50_000
csv.field_size_limit(1 << 24)


@dataclass
class Table:
    """A file's rows as text. `batches` yields lists of (row number, values, fault): `values` has one text per
    column, `fault` is a sentence where the row does not fit the header, else None."""

    columns: list[str]
    batches: Iterator[list[tuple[int, list[str], str | None]]]


def find_files(path: Path, scratch: Path) -> list[tuple[str, Path]]:
    """(name, place) of every CSV and XLSX in a file, folder or zip; zips are unpacked into `scratch`.

    Raises InputFault where the path does not exist or the zip is broken.
    """
    if not path.exists():
        raise InputFault(f"{path}: findes ikke. Angiv en fil, en mappe eller en zip med indlæsningsfiler.")
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        return list(itertools.chain.from_iterable(find_files(p, scratch) for p in inside))
    if path.suffix.lower() == ".zip":
        target = scratch / path.stem
        try:
            with zipfile.ZipFile(path) as packed:
                packed.extractall(target)
        except (zipfile.BadZipFile, OSError) as broken:
            raise InputFault(f"{path.name}: zip-filen kan ikke læses ({broken}). Pak den igen.") from broken
        return find_files(target, scratch)
    return [(path.name, path)]


def read_csv(path: Path, delimiter: str = ";", encoding: str | None = None) -> Table:
    """A CSV file; without `encoding` it is UTF-8 where it is valid as such, else Windows-1252.

    Raises InputFault where the file is no CSV of that kind; while the batches are read, too.
    """
    encoding = encoding or ("utf-8-sig" if _is_utf8(path) else "cp1252")
    handle = path.open(encoding=encoding, newline="")
    rows = csv.reader(handle, delimiter=delimiter, strict=True)
    try:
        header = next(rows)
    except StopIteration:
        raise InputFault(f"{path.name}: filen er tom. Den skal have en overskriftsrække.") from None
    except (csv.Error, UnicodeError) as broken:
        raise InputFault(f"{path.name}: overskriften kan ikke læses ({broken}).") from broken
    return Table(_header(path.name, header), _csv_batches(path.name, handle, rows, len(header)))


def read_xlsx(path: Path) -> Table:
    """The first sheet of a workbook; dates become yyyy-mm-dd and numbers their shortest decimal text.

    Raises InputFault where the file is no workbook.
    """
    from openpyxl import load_workbook

    try:
        # By handle, for openpyxl judges a path by its ending and archived files have none.
        rows = load_workbook(path.open("rb"), read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
        header = [_cell_text(value) for value in next(rows)]
    except StopIteration:
        raise InputFault(f"{path.name}: arket er tomt. Det skal have en overskriftsrække.") from None
    except Exception as broken:  # openpyxl raises many kinds for a file that is no workbook
        raise InputFault(f"{path.name}: kan ikke læses som XLSX ({type(broken).__name__}). Gem den igen.") from broken
    while header and not header[-1]:
        header.pop()
    return Table(_header(path.name, header), _xlsx_batches(rows, len(header)))


def batched(rows: Iterable[tuple[int, list[str], str | None]]) -> Iterator[list[tuple[int, list[str], str | None]]]:
    """Rows in lists of at most BATCH_ROWS."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        yield batch


def _header(name: str, header: list[str]) -> list[str]:
    columns = [column.strip() for column in header]
    folded = [column.lower() for column in columns]
    twice = sorted({column for column in folded if folded.count(column) > 1})
    if twice:
        raise InputFault(f"{name}: kolonnen «{twice[0]}» står to gange i overskriften. Behold kun den ene.")
    return columns


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as handle:
        try:
            while chunk := handle.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _csv_batches(name, handle, rows, width):
    def numbered():
        number = 1
        try:
            for number, values in enumerate(rows, start=2):
                if values:  # a blank line carries nothing
                    yield number, *_fitted(values, width)
        except (csv.Error, UnicodeError) as broken:
            raise InputFault(
                f"{name}: kan ikke læses efter række {number} ({broken}). Ret anførselstegn og tegnsæt, og send filen igen."
            ) from broken
        finally:
            handle.close()

    return batched(numbered())


def _xlsx_batches(rows, width):
    def numbered():
        for number, cells in enumerate(rows, start=2):
            values = [_cell_text(value) for value in cells]
            while len(values) > width and not values[-1]:
                values.pop()
            values += [""] * (width - len(values))  # a sheet leaves out trailing empty cells
            if any(values):
                yield number, *_fitted(values, width)

    return batched(numbered())


def _fitted(values: list[str], width: int) -> tuple[list[str], str | None]:
    if len(values) == width:
        return values, None
    fault = f"Rækken har {len(values)} felter, men overskriften har {width}. Ret rækken, og send den igen."
    return (values + [""] * width)[:width], fault


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "ja" if value else "nej"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        # A workbook keeps 15 significant digits; more would show the float, not the figure that was typed.
        text = format(value, ".15g")
        return text if "e" not in text else format(int(value), "d") if value.is_integer() else text
    return str(value)
