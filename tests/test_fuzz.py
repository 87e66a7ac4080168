"""Damaged files: whatever the bytes, a reader gives rows or one sentence that names the file, and rows the damage did not touch
are as they were, or the whole file is refused. `-m heavy` tries 10,000 inputs of each reader and kind of damage, the fast suite
some hundred."""

from __future__ import annotations

import io
import os
import random
import re
import zipfile
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path

import pytest
from openpyxl import Workbook

from ingestion import archive
from ingestion.packed import find_files
from ingestion.reading import read_csv, read_xlsx
from ingestion.receiving import receive
from ingestion.records import read_json, read_xml
from ingestion.warehouse import open_warehouse
from settlement.faults import InputFault
from settlement.instance import create_folders

SEED, FEW, MANY, LOADS = 20261123, 300, 10_000, 40
COLUMNS = ["id", "navn", "dato", "beloeb"]
ROWS = [[f"R{i}", f"Ærø «{i}»", "2025-01-31", f"{i},50"] for i in range(1, 13)]
ODD = [b"\x00", b"\xff", b"\xfe\xff", b"\x81", b"\r", b"\n", b'"', b"'", b";", b",", b"<", b">", b"&", b"]]>", b"{", b"}", b"[",
       b"]", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"PK\x03\x04", b"9" * 400, b"1e999999999", b"<!DOCTYPE a>", b"&#0;",
       b"\\u0000", b"\\ud800", b"=1+1", b"-" * 50]  # fmt: skip
SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
Rows = list[tuple]


def _csv(rows=ROWS) -> bytes:
    return "".join(";".join(row) + "\n" for row in [COLUMNS, *rows]).encode()


def _mapped(rows=ROWS) -> bytes:
    return _csv(rows).decode().encode("cp1252", "replace")


@cache
def _book() -> dict[str, bytes]:
    """The parts of a workbook as openpyxl writes one: with shared strings, and a date and an amount by their styles."""
    book, out = Workbook(), io.BytesIO()
    for row in [COLUMNS, *ROWS]:
        book.active.append(row)
    book.save(out)
    with zipfile.ZipFile(out) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _packed(sheet: bytes | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, part in _book().items():
            packed.writestr(name, sheet if sheet and name.endswith("sheet1.xml") else part)
    return out.getvalue()


def _sheet(rows=ROWS) -> bytes:
    """A sheet's XML, written by hand: openpyxl takes fifteen times as long."""
    cells = [
        "".join(f'<c r="{chr(65 + j)}{i}" t="inlineStr"><is><t>{escape(c)}</t></is></c>' for j, c in enumerate(row))
        for i, row in enumerate([COLUMNS, *rows], 1)
    ]  # fmt: skip
    data = "".join(f'<row r="{i}">{row}</row>\n' for i, row in enumerate(cells, 1))
    return f'<worksheet xmlns="{SPREADSHEET}"><dimension ref="A1:D13"/><sheetData>{data}</sheetData></worksheet>'.encode()


def _xml(rows=ROWS) -> bytes:
    records = ("".join(f"<{c}>{cell}</{c}>" for c, cell in zip(COLUMNS, row, strict=False)) for row in rows)
    return ("<?xml version='1.0' encoding='utf-8'?>\n<u><h>7</h>" + "".join(f"<r>{r}</r>\n" for r in records) + "</u>").encode()


def _json(rows=ROWS) -> bytes:
    records = (",".join(f'"{c}":"{cell}"' for c, cell in zip(COLUMNS, row, strict=False)) for row in rows)
    return ('{"h":7,"d":{"r":[' + ",\n".join(f"{{{r}}}" for r in records) + "]}}").encode()


def _zip(rows=ROWS) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("takster.csv", _csv(rows))
        packed.writestr("mappe/tilbud.csv", _csv(rows[:2]))
    return out.getvalue()


def _unpack(path: Path):
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    found = find_files(path, scratch)
    assert all(place.resolve().is_relative_to(scratch.resolve()) for _, place in found)
    assert not [p for p in path.parent.iterdir() if p not in (path, scratch)]
    return found


READERS: dict[str, tuple[str, Callable, Callable]] = {
    "csv, loader": ("x.csv", _csv, lambda path: read_csv(path)),
    "csv, mapped": ("x.csv", _mapped, lambda path: read_csv(path, ";", "windows-1252")),
    "xlsx": ("x.xlsx", lambda rows=None: _packed(rows and _sheet(rows)), lambda path: read_xlsx(path)),
    "xml": ("x.xml", _xml, lambda path: read_xml(path, "r", [*COLUMNS, "/h"])),
    "json": ("x.json", _json, lambda path: read_json(path, "d/r", [*COLUMNS, "/h"])),
    "zip": ("x.zip", _zip, _unpack),
}


def _read(reader: Callable, path: Path) -> tuple[Rows, str]:
    """(number, cells, at fault?) of every row that came, and the sentence it ended with."""
    found: Rows = []
    try:
        table = reader(path)
        if isinstance(table, list):
            return [(0, place.read_bytes(), False) for _, place in table], ""
        for batch in table.batches:
            *cells, numbers, faults = (column.to_pylist() for column in batch.columns)
            found += [(n, list(c), bool(f)) for n, f, c in zip(numbers, faults, zip(*cells, strict=True), strict=True)]
    except InputFault as fault:
        said = str(fault)
        assert said.startswith(path.name) and said.endswith(".") and "Traceback" not in said and "\n" not in said, said
        return found, said
    return found, ""


def _damage(chance: random.Random, content: bytes) -> bytes:
    """The bytes with one to three faults."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(content)) if content else 0
        length = chance.choice((1, 1, 2, 8, 40, 400))
        match chance.randrange(5):
            case 0:
                flipped = bytes(b ^ (1 << chance.randrange(8)) for b in content[at : at + min(length, 8)])
                content = content[:at] + flipped + content[at + len(flipped) :]
            case 1:
                content = content[:at]
            case 2:
                content = content[:at] + content[at + length :]
            case 3:
                content = content[:at] + chance.choice((*ODD, chance.randbytes(length))) + content[at:]
            case _:
                content = content[:at] + content[at : at + length] * chance.randint(2, 5) + content[at + length :]
    return content


RECORDS = {"csv": rb"(?<=\n)[^\n]+\n", "xml": rb"<r>.*?</r>", "json": rb'\{"id".*?\}', "xlsx": rb'<row r="(?!1")\d+">.*?</row>'}


def _spans(kind: str, good: bytes) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(RECORDS[kind.split(",")[0]], good)]


def _untouched(kind: str, good: bytes, content: bytes) -> list[int]:
    """Records whose bytes all stand before the first fault; behind the last one, too, where nothing before says otherwise."""
    spans = _spans(kind, good)
    begin = len(os.path.commonprefix([good, content]))
    end = len(os.path.commonprefix([good[::-1], content[::-1]]))
    end = len(good) - min(end, len(content) - begin)
    if begin < spans[0][0] or (kind.startswith("csv") and b'"' in content):  # what says how to read, or opens a cell of many lines
        end = len(good)
    return [i for i, (first, last) in enumerate(spans) if last <= begin or first > end]


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.heavy)], ids=["few", "many"])
def tries(request):
    return request.param


@pytest.mark.parametrize("kind", READERS)
def test_damaged_bytes_give_rows_or_a_sentence(tmp_path, kind, tries):
    name, write, reader = READERS[kind]
    chance, good = random.Random(f"{SEED} {kind}"), write()
    path, told, untouched = tmp_path / name, 0, 0
    path.write_bytes(good)
    before, none = _read(reader, path)
    assert not none and len(before) == (2 if kind == "zip" else len(ROWS))
    for number in range(tries):
        content = _damage(chance, good)
        path.write_bytes(content)
        try:
            found, sentence = _read(reader, path)
        except BaseException as undeclared:
            raise AssertionError(f"{kind}, input {number} of seed {SEED}: {content[:2000]!r}") from undeclared
        told += bool(sentence)
        if sentence and not found:
            continue
        if kind in ("xlsx", "zip"):  # each part has a checksum: all of a part or nothing
            assert all(row in before for row in found) and (kind == "zip" or sentence or found == before), (number, content)
        elif kind != "csv, loader" or _utf8(content):  # not UTF-8 any more: read as another character set, with a remark
            cells = [cells for _, cells, fault in found if not fault]
            kept = _untouched(kind, good, content)
            untouched += len(kept)
            assert all(before[i][1] in cells for i in kept), (number, content)
    print(f"{kind}: {tries} damaged files, {told} told in a sentence, {untouched} untouched rows as before, seed {SEED}")
    assert 0 < told < tries or kind == "zip"
    assert untouched or kind in ("xlsx", "zip")


def _utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("kind", ["csv, loader", "csv, mapped", "xlsx", "xml", "json"])
def test_a_damaged_row_leaves_the_others_as_they_were(tmp_path, kind, tries):
    """Cells, rows and elements too many, too few, or of strange content, in a file that is whole."""
    name, write, reader = READERS[kind]
    chance, path = random.Random(f"{SEED} rows {kind}"), tmp_path / name
    path.write_bytes(write())
    before = {cells[0]: cells for _, cells, _ in _read(reader, path)[0]}
    strange = ["", " ", "x" * 5000, "=1+1", "@SUM(A1)", "\u200b", "9" * 40, "31-02-2025", "\ufeff", "ja", "NULL", "🙂", "-", "'"]
    for number in range(tries):
        rows = [list(row) for row in ROWS]
        hit = chance.randrange(len(rows))
        match chance.randrange(4):
            case 0:
                rows[hit][chance.randrange(4)] = chance.choice(strange)
            case 1:
                rows[hit] = rows[hit][: chance.randrange(4)]
            case 2:
                rows[hit] = rows[hit] + [chance.choice(strange)] * chance.randint(1, 3)
            case _:
                rows.insert(hit, [chance.choice(strange) for _ in COLUMNS])
                hit = -1
        path.write_bytes(write(rows))
        found, sentence = _read(reader, path)
        assert not sentence, (kind, number, sentence)
        cells = {cells[0]: cells for _, cells, fault in found if not fault}
        assert all(cells.get(row[0]) == before[row[0]] for i, row in enumerate(ROWS) if i != hit), (kind, number, rows)
    print(f"{kind}: {tries} files with a damaged row, seed {SEED}")


# Pieces of a format that stand where none belongs, or say what cannot be.
PIECES = {
    "xml": ["<r>", "</r>", "<id/>", "<id>X</id>", "<x><y>1</y></x>", "<r><id>X</id></r>", "</r><r>", "<!-- -->", "<?p i?>",
            "<![CDATA[<r>]]>", "&amp;", "&#0;", "&e;", "<!DOCTYPE a>", '<id a="1" a="2"/>', '<y xmlns="urn:y">1</y>', "<p:y/>",
            "\ufffe"],
    "json": ["{", "}", "[", "]", ",", ":", '"a"', '"x":1,', '"id":"X",', '"id":{"id":["X"]},', '{"id":"X"},', '],"r":[', "},{",
             "null", "NaN", "-", "1e999999999", "9" * 5000, '"\\ud800"', '"\\u0000"', "[" * 100, "// x\n", "'x'", "\ufeff"],
    "xlsx": ['<c r="E3"><v>1e999</v></c>', '<c t="s"><v>99999</v></c>', '<c t="s"><v>-99</v></c>', '<c t="b"><v>x</v></c>',
             '<c t="d"><v>2025-99-99</v></c>', '<c s="999"><v>1</v></c>', '<c r="AAAA1"/>', '<c r="XFD3"><v>1</v></c>',
             '<c r="A0"/>', '<c><f>1+1</f><v>2</v></c>', '<c><f t="shared" si="7"/></c>', '<c t="e"><v>#REF!</v></c>', "<c>",
             "</c>", "<row>", "</row>", '</row><row r="99">', '</row><row r="1000000000"/><row r="1000000001">', "<v>7</v>",
             '</row><row r="2">', '<row r="2"/>', '</row><row r="-1">', '</row><row r="x">', '<dimension ref="A1"/>',
             "<is><r><t>X</t></r></is>", '<mergeCells><mergeCell ref="A1:D9"/></mergeCells>', "<!DOCTYPE a>", "&#0;", "&e;"],
}  # fmt: skip
TOKEN = {"xml": r"<[^>]*>|[^<]+", "xlsx": r"<[^>]*>|[^<]+", "json": r'"[^"]*"|[{}\[\],:]|[^"{}\[\],:]+'}


@pytest.mark.parametrize("kind", PIECES)
def test_a_record_of_broken_structure_leaves_the_others_as_they_were(tmp_path, kind, tries):
    """Elements, brackets and cells lost, doubled, exchanged and out of place within one record: the others are read as before,
    or the file is refused."""
    name, write, reader = READERS[kind]
    chance, path = random.Random(f"{SEED} structure {kind}"), tmp_path / name
    good, pack = (_sheet(), _packed) if kind == "xlsx" else (write(), bytes)
    path.write_bytes(pack(good))
    before, _ = _read(reader, path)
    spans, told = _spans(kind, good), 0
    assert len(before) == len(spans) == len(ROWS)
    for number in range(tries):
        hit = chance.randrange(len(spans))
        begin, end = spans[hit]
        tokens = re.findall(TOKEN[kind], good[begin:end].decode())
        for _ in range(chance.randint(1, 3)):
            at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
            match chance.randrange(5):
                case 0 if len(tokens) > 1:
                    del tokens[at]
                case 1:
                    tokens.insert(at, tokens[other])
                case 2:
                    tokens[at], tokens[other] = tokens[other], tokens[at]
                case 3:
                    tokens[at] = chance.choice(PIECES[kind])
                case _:
                    tokens.insert(at, chance.choice(PIECES[kind]))
        path.write_bytes(pack(good[:begin] + "".join(tokens).encode() + good[end:]))
        try:
            found, sentence = _read(reader, path)
        except BaseException as undeclared:
            raise AssertionError(f"{kind}, input {number} of seed {SEED}: {tokens}") from undeclared
        told += bool(sentence)
        if found or not sentence:
            cells = [cells for _, cells, fault in found if not fault]
            assert all(row[1] in cells for i, row in enumerate(before) if i != hit), (number, tokens)
    print(f"{kind}: {tries} files with a broken record, {told} told in a sentence, seed {SEED}")
    assert 0 < told < tries


BASIS = {
    "katalogydelser.csv": "ydelseskode;navn;enhed\nDAG;Dagtilbud;doegn\n",
    "borgere.csv": "cpr;navn\n0101010000;Bo\n",
    "ydelsespakker.csv": "pakke_id;cpr;betalingskommune\nP1;0101010000;751\n",
}
LINES = "ydelse_id;pakke_id;ydelseskode;startdato\n" + "".join(f"Y{i};P1;DAG;01-01-2025\n" for i in range(6))


def _known(con) -> list:
    tables = ["canonical.service_line", "quarantine.refused", "raw.file", "raw.load"]
    return [sorted(map(repr, con.execute(f"FROM {table}").fetchall())) for table in tables]


def test_a_damaged_load_is_taken_whole_or_not_at_all(tmp_path, tries):
    instance, chance = create_folders(tmp_path / "instance", "461"), random.Random(f"{SEED} load")
    path, loads, refused, untouched = tmp_path / "ydelser.csv", max(LOADS, tries // 40), 0, 0
    with open_warehouse(instance) as con:
        for name, content in BASIS.items():
            (tmp_path / name).write_text(content)
        receive(con, instance, [(archive.LOADER, name, tmp_path / name) for name in BASIS], dated="2025-01-01", received_by="t")
        for _ in range(loads):
            content = _damage(chance, LINES.encode())
            path.write_bytes(content)
            before = _known(con)
            load, (report,) = receive(con, instance, [(archive.LOADER, path.name, path)], dated="2025-02-01", received_by="t")
            if load is None:
                refused += 1
                assert report.fault.startswith(path.name) and _known(con) == before
            else:
                assert report.rows_read == report.rows_accepted + report.rows_quarantined and not report.fault
                # A row that the damage did not touch is accepted, where the damage has not made another of its key.
                kept = {f"Y{i}" for i in _untouched("csv", LINES.encode(), content) if content.count(b"Y%d" % i) == 1}
                asked = f"FROM quarantine.refused WHERE load_id = {load}"
                assert not kept & {key for (key,) in con.execute(f"SELECT service_line_id {asked}").fetchall()}, content
                untouched += len(kept)
    print(f"{loads} damaged loads, {refused} not taken, {untouched} untouched rows accepted, seed {SEED}")
    assert 0 < refused < loads < untouched
