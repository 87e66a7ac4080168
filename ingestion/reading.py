"""Files to rows of text: CSV (UTF-8 with or without BOM, Windows-1252) and XLSX.

Rows are numbered as a spreadsheet shows them: the header is row 1, the first data row is row 2. Memory is bounded by a
block of the file, whatever its size.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv

from ingestion.packed import demand_reasonable
from settlement.faults import InputFault

BATCH_ROWS = 10_000
BLOCK_BYTES = 1 << 23
ROW, FAULT = "_row", "_fault"
csv.field_size_limit(1 << 24)

NumberedRow = tuple[int, list[str | None], str | None]


@dataclass
class Table:
    """A file's rows as text. Each batch has a text column per name in `columns`, in that order and named by its place
    (`0`, `1` …), then `_row`, the row's number, and `_fault`, a sentence where the row does not fit the header.

    A cell is null only where the file has no such element (XML, JSON). `remark` is what a person should know of the file;
    `unfinished` says that its last line has no end, as one cut off has not.
    """

    columns: list[str]
    batches: Iterator[pa.Table]
    remark: str = ""
    unfinished: bool = False


def read_csv(path: Path, delimiter: str = ";", encoding: str | None = None, name: str = "") -> Table:
    """A CSV file. It is read as UTF-8 where it is valid as such or says so by its first bytes, else as `encoding` (Windows-1252
    where none is given, and then with a remark).

    Raises InputFault where the file is no CSV of that kind; while the batches are read, too.
    """
    name, shape = name or path.name, _shape(path)
    declared = codecs.lookup(encoding or "cp1252").name
    actual, remark = declared, ""
    if shape.utf8 or shape.marked_utf8:
        actual = "utf-8-sig"
        if encoding and shape.beyond_ascii and not declared.startswith("utf-8"):
            remark = f"{name}: tegnsættet er UTF-8, men opsætningen siger {encoding}. Filen er læst som UTF-8."
    elif not encoding:
        remark = (
            f"{name}: er ikke UTF-8 (byte 0x{shape.bad_byte:02X} i linje {shape.bad_line}) og er læst som Windows-1252. "
            "Er Æ, Ø eller Å forkerte, så gem filen som UTF-8, og send den igen."
        )
    handle = path.open(encoding=actual, newline="")
    try:
        rows = csv.reader(handle, delimiter=delimiter, strict=True)
        header = next(rows)
    except StopIteration:
        handle.close()
        raise InputFault(f"{name}: filen er tom. Den skal have en overskriftsrække.") from None
    except (csv.Error, UnicodeError) as broken:
        handle.close()
        raise InputFault(f"{name}: overskriften kan ikke læses ({_said(broken)}).") from broken
    if not header:
        handle.close()
        raise InputFault(f"{name}: filens første række er tom. Den skal have overskrifter.")
    columns = _header(name, header)
    if shape.plain and len(header) > 1:
        handle.close()
        return Table(columns, _plain_batches(name, path, delimiter, actual, len(header)), remark, shape.unfinished)
    batches = arrow_batches(_csv_rows(name, handle, rows, len(header)), len(header))
    return Table(columns, batches, remark, shape.unfinished)


def read_xlsx(path: Path, name: str = "") -> Table:
    """The first sheet of a workbook; dates become yyyy-mm-dd and numbers their shortest decimal text. A row with a
    formula is at fault, for the workbook may show another value than it holds.

    Raises InputFault where the file is no workbook.
    """
    from openpyxl import load_workbook

    name = name or path.name
    demand_reasonable(path, name)
    try:
        # By handle, for openpyxl judges a path by its ending and archived files have none.
        rows = _sheet_rows(load_workbook(path.open("rb"), read_only=True).worksheets[0])
        number, cells = next(rows, (1, []))
        if number > 1:
            raise InputFault(f"{name}: arkets første række er tom. Den skal have overskrifter.")
        header, _ = _spread(cells)
    except InputFault:
        raise
    except Exception as broken:  # openpyxl raises many kinds for a file that is no workbook
        raise InputFault(f"{name}: kan ikke læses som XLSX ({type(broken).__name__}). Gem den igen.") from broken
    while header and not header[-1]:
        header.pop()
    if not header:
        raise InputFault(f"{name}: arkets første række er tom. Den skal have overskrifter.")
    return Table(_header(name, header), arrow_batches(_xlsx_rows(name, rows, len(header)), len(header)))


class ShortNumbers:
    """A handle of bytes whose reading raises InputFault at a number of more digits than Python makes an integer of: where one
    comes (4,301 digits), ijson's C parser ends the process or fails at random. For `ijson.basic_parse`."""

    MOST_DIGITS = 4_000

    def __init__(self, handle: IO[bytes], name: str) -> None:
        self._handle, self._name, self._before = handle, name, b""

    def read(self, size: int = -1) -> bytes:
        chunk = self._handle.read(size)
        if _TOO_MANY_DIGITS.search(self._before + chunk):
            raise InputFault(f"{self._name}: indeholder et tal på mere end {self.MOST_DIGITS} cifre. Bestil udtrækket igen.")
        self._before = (self._before + chunk)[-self.MOST_DIGITS :]
        return chunk


_TOO_MANY_DIGITS = re.compile(rb"[0-9]{%d}" % (ShortNumbers.MOST_DIGITS + 1))


def arrow_batches(rows: Iterable[NumberedRow], width: int) -> Iterator[pa.Table]:
    """Numbered rows of `width` texts in batches of at most BATCH_ROWS."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        numbers, values, faults = zip(*batch, strict=True)
        cells = zip(*values, strict=True) if width else ()
        yield _batch([pa.array(column, pa.string()) for column in cells], pa.array(numbers), pa.array(faults, pa.string()))


def _batch(cells: list, numbers: pa.Array, faults: pa.Array) -> pa.Table:
    return pa.table([*cells, numbers, faults], names=[*map(str, range(len(cells))), ROW, FAULT])


@dataclass(frozen=True)
class _Shape:
    """What a look at the bytes tells: `plain` is without quotes and with the line breaks of one system, so that every
    line break ends a row; `unfinished`, that the last line has no end; where it is no UTF-8, the first byte that is not and
    its line."""

    utf8: bool
    marked_utf8: bool
    beyond_ascii: bool
    plain: bool
    unfinished: bool
    bad_byte: int = 0
    bad_line: int = 0


def _shape(path: Path) -> _Shape:
    decoder = codecs.getincrementaldecoder("utf-8")()
    marked, beyond_ascii, plain, before, lines, bad = False, False, True, b"", 1, None
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            marked = marked or (not before and chunk.startswith(codecs.BOM_UTF8))
            plain = plain and b'"' not in chunk and not _lone_return(before[-1:] + chunk)
            beyond_ascii = beyond_ascii or not chunk.isascii()
            if bad is None:
                bad = _bad_byte(decoder, chunk, lines)
                lines += chunk.count(b"\n")
            before = chunk
    bad = bad or _bad_byte(decoder, b"", lines, final=True)
    unfinished = not before.endswith((b"\n", b"\r"))
    return _Shape(bad is None, marked, beyond_ascii, plain and not before.endswith(b"\r"), unfinished, *(bad or ()))


def _bad_byte(decoder, chunk: bytes, line: int, *, final: bool = False) -> tuple[int, int] | None:
    """The first byte that is no UTF-8, and its line, where the chunk begins in `line`."""
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as broken:  # of what the decoder had left of the chunk before, too, but no line ends there
        return broken.object[broken.start], line + broken.object[: broken.start].count(b"\n")
    return None


def _lone_return(chunk: bytes) -> bool:
    return chunk.count(b"\r") - chunk.endswith(b"\r") != chunk.count(b"\r\n")


def _plain_batches(name: str, path: Path, delimiter: str, encoding: str, width: int) -> Iterator[pa.Table]:
    """Block by block at the speed of a column reader; a block with a blank or an ill-fitting row is read row by row."""
    number = 1
    for block in _whole_lines(path):
        try:
            text = block.decode(encoding if number == 1 else encoding.removesuffix("-sig"))
        except UnicodeError as broken:
            raise _unreadable(name, number, broken) from broken
        if number == 1:  # the header is read already
            text, number = text.partition("\n")[2], 2
        lines = text.count("\n") + (not text.endswith("\n") and text != "")
        table = _columns(text, delimiter, width) if lines else None
        if table is not None and table.num_rows == lines:
            yield _batch(table.columns, pa.array(range(number, number + lines), pa.int64()), pa.nulls(lines, pa.string()))
        else:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            yield from arrow_batches(_fitted_rows(name, rows, width, number), width)
        number += lines


def _columns(text: str, delimiter: str, width: int) -> pa.Table | None:
    """The block's columns, None where it has a row that is not of that width or is blank."""
    # A byte order mark is one at the file's beginning alone; the column reader takes each block for a file.
    if text.startswith(("\n", "\r\n", "\ufeff")) or "\n\n" in text or "\n\r\n" in text:
        return None
    names = [str(i) for i in range(width)]
    try:
        return pyarrow.csv.read_csv(
            pa.py_buffer(text.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES * 4),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The file in blocks that end where a line does."""
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            yield block + (b"" if block.endswith(b"\n") else handle.readline())


def _csv_rows(name: str, handle, rows, width: int) -> Iterator[NumberedRow]:
    with handle:
        yield from _fitted_rows(name, rows, width, 2)


def _fitted_rows(name: str, rows, width: int, first: int) -> Iterator[NumberedRow]:
    number = first - 1
    try:
        for number, values in enumerate(rows, start=first):
            if values:  # a blank line carries nothing
                yield number, *_fitted(values, width)
    except (csv.Error, UnicodeError) as broken:
        raise _unreadable(name, number, broken) from broken


def _unreadable(name: str, row: int, broken: Exception) -> InputFault:
    return InputFault(
        f"{name}: kan ikke læses efter række {row} ({_said(broken)}). Ret anførselstegn og tegnsæt, og send filen igen."
    )


def _said(broken: Exception) -> str:
    """What went wrong, without the file's content."""
    if isinstance(broken, UnicodeDecodeError):
        return f"tegnet på plads {broken.start} hører ikke til {broken.encoding}"
    return str(broken)


def _sheet_rows(sheet) -> Iterator[tuple[int, list[dict]]]:
    """(number, cells) of each row that the sheet holds. Not openpyxl's own iter_rows: that believes the size the sheet says
    it has, drops rows out of order without a word and makes up all between row 2 and a row numbered a thousand million."""
    from openpyxl.worksheet._reader import WorkSheetParser

    book = sheet.parent
    with sheet._get_source() as content:
        yield from WorkSheetParser(
            content, sheet._shared_strings, epoch=book.epoch, date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        ).parse()  # fmt: skip


def _spread(cells: list[dict]) -> tuple[list[str], str | None]:
    """A row's texts by column, '' where it has no cell, and what is wrong with the row."""
    columns = [cell["column"] for cell in cells]
    if len(set(columns)) < len(columns):
        return [], "Rækken har to celler i samme kolonne. Gem arket igen i et regneark, og send rækken igen."
    values = [""] * max(columns, default=0)
    for cell in cells:
        values[cell["column"] - 1] = _cell_text(cell["value"])
    if any(cell["data_type"] == "f" for cell in cells):
        return values, "Rækken indeholder en formel. Gem arket med værdier i stedet for formler, og send rækken igen."
    return values, None


def _xlsx_rows(name: str, rows, width: int) -> Iterator[NumberedRow]:
    before = 1
    try:
        for number, cells in rows:
            if number <= before:
                raise InputFault(
                    f"{name}: række {number} står efter række {before}. Gem arket igen i et regneark, så rækkerne står i orden."
                )
            values, wrong = _spread(cells)
            before = number
            while len(values) > width and not values[-1]:
                values.pop()
            values += [""] * (width - len(values))  # a sheet leaves out trailing empty cells
            if any(values) or wrong:
                fitted, fault = _fitted(values, width)
                yield number, fitted, wrong or fault
    except InputFault:
        raise
    except Exception as broken:  # a workbook that breaks off on the way
        raise InputFault(f"{name}: kan ikke læses til ende som XLSX ({type(broken).__name__}). Gem den igen.") from broken


def _header(name: str, header: list[str]) -> list[str]:
    columns = [column.strip() for column in header]
    folded = [column.lower() for column in columns if column]
    twice = sorted({column for column in folded if folded.count(column) > 1})
    if twice:
        raise InputFault(f"{name}: kolonnen «{twice[0]}» står to gange i overskriften. Behold kun den ene.")
    return columns


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
