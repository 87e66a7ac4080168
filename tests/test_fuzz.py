"""Damaged files: whatever the bytes, a reader gives rows or one sentence that names the file, and rows before the damage are as
they were. `-m heavy` tries 10,000 inputs of each reader and kind of damage, the fast suite some hundred."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
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
Rows = list[tuple]


def _csv(rows=ROWS) -> bytes:
    return "".join(";".join(row) + "\n" for row in [COLUMNS, *rows]).encode()


def _xlsx(rows=ROWS) -> bytes:
    book, out = Workbook(), io.BytesIO()
    for row in [COLUMNS, *rows]:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


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
    "csv, mapped": ("x.csv", _csv, lambda path: read_csv(path, ";", "windows-1252")),
    "xlsx": ("x.xlsx", _xlsx, lambda path: read_xlsx(path)),
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
            return [], ""
        for batch in table.batches:
            *cells, numbers, faults = (column.to_pylist() for column in batch.columns)
            found += [(n, list(c), bool(f)) for n, f, c in zip(numbers, faults, zip(*cells, strict=True), strict=True)]
    except InputFault as fault:
        said = str(fault)
        assert said.startswith(path.name) and said.endswith(".") and "Traceback" not in said and "\n" not in said, said
        return found, said
    return found, ""


def _damage(chance: random.Random, content: bytes) -> tuple[bytes, int]:
    """The bytes with one to three faults, and the place of the first."""
    first = len(content)
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
        first = min(first, at)
    return content, first


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.heavy)], ids=["few", "many"])
def tries(request):
    return request.param


@pytest.mark.parametrize("kind", READERS)
def test_damaged_bytes_give_rows_or_a_sentence(tmp_path, kind, tries):
    name, write, reader = READERS[kind]
    chance, good = random.Random(f"{SEED} {kind}"), write()
    path, told = tmp_path / name, 0
    path.write_bytes(good)
    before, none = _read(reader, path)
    assert not none and (kind == "zip" or len(before) == len(ROWS))
    for number in range(tries):
        content, first = _damage(chance, good)
        path.write_bytes(content)
        try:
            found, sentence = _read(reader, path)
        except BaseException as undeclared:
            raise AssertionError(f"{kind}, input {number} of seed {SEED}: {content[:2000]!r}") from undeclared
        told += bool(sentence)
        # A line may have become part of another character set, so that the text is another; rows stay where they were.
        whole = content[:first].count(b"\n") - 1
        if kind == "csv, loader" and whole > 0 and _utf8(content) and b"\x00" not in content and b"\r" not in content:
            if found or not sentence:
                assert found[:whole] == before[:whole], (number, content)
    print(f"{kind}: {tries} damaged files, {told} told in a sentence, seed {SEED}")
    assert 0 < told < tries or kind == "zip"


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
    for number in range(tries if kind != "xlsx" else min(tries, 2_000)):
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
    path, loads, refused = tmp_path / "ydelser.csv", max(LOADS, tries // 40), 0
    with open_warehouse(instance) as con:
        for name, content in BASIS.items():
            (tmp_path / name).write_text(content)
        receive(con, instance, [(archive.LOADER, name, tmp_path / name) for name in BASIS], dated="2025-01-01", received_by="t")
        for _ in range(loads):
            path.write_bytes(_damage(chance, LINES.encode())[0])
            before = _known(con)
            load, (report,) = receive(con, instance, [(archive.LOADER, path.name, path)], dated="2025-02-01", received_by="t")
            if load is None:
                refused += 1
                assert report.fault.startswith(path.name) and _known(con) == before
            else:
                assert report.rows_read == report.rows_accepted + report.rows_quarantined and not report.fault
    print(f"{loads} damaged loads, {refused} not taken, seed {SEED}")
    assert 0 < refused < loads
