"""Files to rows of text: whatever the bytes, the documented rows or one sentence, in bounded memory."""

import csv
import datetime as dt
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import ijson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from ingestion import reading
from ingestion.packed import find_files
from ingestion.reading import read_csv, read_xlsx
from ingestion.records import read_json, read_xml
from settlement.faults import InputFault

ROOT = Path(__file__).parent.parent


def _rows(table) -> list[tuple]:
    """(number, fault?, cells) of every row."""
    found = []
    for batch in table.batches:
        *cells, numbers, faults = (column.to_pylist() for column in batch.columns)
        found += [(n, bool(f), list(c)) for n, f, c in zip(numbers, faults, zip(*cells, strict=True), strict=True)]
    return found


def _expected(content: str, width: int) -> list[tuple]:
    """What Python's own reader makes of it, row by row."""
    rows = []
    for number, values in enumerate(csv.reader(io.StringIO(content, newline=""), delimiter=";", strict=True), start=1):
        if values and number > 1:
            rows.append((number, len(values) != width, (values + [""] * width)[:width]))
    return rows


CELL = st.text("aæ1, .\x0b\x0c\u2028\x85\ufeff", max_size=4)
LINE = st.lists(CELL, min_size=0, max_size=4).map(";".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.integers(1, 40))
@example(["1;2", "", "3;4"], "\n", False, 16)
@example(["1;2"], "\r", True, 16)
def test_the_block_reader_gives_the_rows_of_the_row_reader(tmp_path_factory, lines, end, ended, block):
    content = end.join(["a;b", *lines]) + (end if ended else "")
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(content.encode())
    before, reading.BLOCK_BYTES = reading.BLOCK_BYTES, block
    try:
        table = read_csv(path)
        assert _rows(table) == _expected(content, 2)
        assert table.unfinished == (not content.endswith(("\n", "\r")))
    finally:
        reading.BLOCK_BYTES = before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "filen er tom"),
        (b"a;a\n1;2\n", "står to gange"),
        (b'a;b\n"x"y;2\n', "efter række 1"),
        (b'a;b\n1;"2\n3;4\n', "efter række"),
        (b"a;b\n\x81;1\n", "tegnet på plads"),
        (b"\xef\xbb\xbfa;b\n\xe6;1\n", "tegnet på plads"),
        (b"\na;b\n1;2\n", "første række er tom"),
    ],
)
def test_a_csv_that_cannot_be_read_is_told_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputFault, match=sentence):
        _rows(read_csv(path))


def test_a_utf8_file_of_a_windows_1252_system_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a;b\næ;ø\n", encoding="utf-8")
    table = read_csv(path, encoding="windows-1252")
    assert _rows(table) == [(2, False, ["æ", "ø"])] and "UTF-8" in table.remark
    path.write_text("a;b\næ;ø\n", encoding="cp1252")
    table = read_csv(path, encoding="windows-1252")
    assert _rows(table) == [(2, False, ["æ", "ø"])] and not table.remark
    with pytest.raises(InputFault):
        _rows(read_csv(path, encoding="utf-8-sig"))


def test_one_byte_that_is_no_utf8_is_told_of(tmp_path, monkeypatch):
    """The whole file is then Windows-1252 (loader.md); what was meant is for a person to say."""
    path = tmp_path / "x.csv"
    path.write_bytes("a;b\n1;æ\n\n2;".encode() + b"\xe5;\xe6\n")
    table = read_csv(path)
    assert table.remark.startswith("x.csv: er ikke UTF-8 (byte 0xE5 i linje 4) og er læst som Windows-1252. ")
    assert [cells for _, _, cells in _rows(table)] == [["1", "Ã¦"], ["2", "å"]]
    # More than is looked at at a time, with a sign cut over at the end.
    path.write_bytes(b"a\n" * 600_000 + "ø\n".encode() + b"\xc3")
    assert "(byte 0xC3 i linje 600002)" in read_csv(path).remark
    path.write_bytes(b"a\n" * 600_000 + "ø\n".encode())
    assert not read_csv(path).remark


SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{}</worksheet>'


def _workbook(path: Path, sheet: str) -> Path:
    """A workbook whose first sheet is that XML."""
    out = io.BytesIO()
    Workbook().save(out)
    with zipfile.ZipFile(out) as made, zipfile.ZipFile(path, "w") as packed:
        for part in made.namelist():
            packed.writestr(part, SHEET.format(sheet) if part.endswith("sheet1.xml") else made.read(part))
    return path


def test_a_sheet_holds_what_its_rows_say_whatever_size_it_says_it_has(tmp_path):
    """Some systems write the same size in every sheet; and a row may lie far down."""
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="B{n}"><v>0.5</v></c></row>' for n in (1, 2, 3, 1_000_000_000))
    for size in ("A1", "A1:B2", "A1:XFD1048576"):
        path = _workbook(tmp_path / "x.xlsx", f'<dimension ref="{size}"/><sheetData>{rows}</sheetData>')
        assert _rows(read_xlsx(path)) == [(n, False, [str(n), "0.5"]) for n in (2, 3, 1_000_000_000)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ('<row r="3"><c r="A3"><v>1</v></c></row><row r="2"><c r="A2"><v>2</v></c></row>', "række 2 står efter række 3"),
        ('<row r="2"><c r="A2"><v>1</v></c></row><row r="2"><c r="A2"><v>2</v></c></row>', "række 2 står efter række 2"),
        ('<row r="2"><c r="A2"><v>1</v></c>', "kan ikke læses"),
    ],
)
def test_a_sheet_whose_rows_would_be_lost_is_refused(tmp_path, rows, sentence):
    path = _workbook(tmp_path / "x.xlsx", f'<sheetData><row r="1"><c r="A1"><v>7</v></c></row>{rows}</sheetData>')
    with pytest.raises(InputFault, match=sentence):
        _rows(read_xlsx(path))


def test_two_cells_of_one_column_are_at_fault(tmp_path):
    cells = '<row r="1"><c r="A1"><v>7</v></c></row><row r="2"><c r="A2"><v>1</v></c><c r="A2"><v>2</v></c></row>'
    path = _workbook(tmp_path / "x.xlsx", f'<sheetData>{cells}<row r="3"><c r="A3"><v>3</v></c></row></sheetData>')
    assert [(n, fault) for n, fault, _ in _rows(read_xlsx(path))] == [(2, True), (3, False)]


def test_a_formula_in_a_sheet_is_at_fault_and_the_other_rows_go_on(tmp_path):
    book = Workbook()
    for row in (["a", "b"], [1, "=A2*2"], [2.50, None], [True, "x"]):
        book.active.append(row)
    book.save(tmp_path / "x.xlsx")
    rows = _rows(read_xlsx(tmp_path / "x.xlsx"))
    assert [(n, fault) for n, fault, _ in rows] == [(2, True), (3, False), (4, False)]
    assert [cells for _, _, cells in rows[1:]] == [["2.5", ""], ["ja", "x"]]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no workbook"])
def test_what_is_no_workbook_is_told_so(tmp_path, content):
    (tmp_path / "x.xlsx").write_bytes(content)
    with pytest.raises(InputFault, match=r"x\.xlsx: kan ikke læses"):
        read_xlsx(tmp_path / "x.xlsx")


def test_a_zip_gives_its_files_by_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("mappe/takster.csv", "a\n")
        packed.writestr("tilbud.csv", "b\n")
        packed.writestr("__MACOSX/._x", "")
    found = find_files(tmp_path / "a.zip", tmp_path)
    assert [(name, path.read_text()) for name, path in found] == [("takster.csv", "a\n"), ("tilbud.csv", "b\n")]


@pytest.mark.parametrize(
    "name", ["../takster.csv", "/etc/takster.csv", "a/../../takster.csv", "..\\takster.csv", "C:\\takster.csv"]
)
def test_a_zip_that_reaches_outside_its_folder_is_refused(tmp_path, name):
    scratch = tmp_path / "in" / "scratch"
    scratch.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(name, "x")
    with pytest.raises(InputFault, match="uden for sin egen mappe"):
        find_files(tmp_path / "a.zip", scratch)
    assert list((tmp_path / "in").rglob("*")) == [scratch]


def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed, packed.open("takster.csv", "w") as file:
        for _ in range(200):
            file.write(b"0" * (1 << 20))
    with pytest.raises(InputFault, match="for meget"):
        find_files(tmp_path / "a.zip", tmp_path)
    (tmp_path / "a.xlsx").write_bytes((tmp_path / "a.zip").read_bytes())
    with pytest.raises(InputFault, match="for meget"):
        read_xlsx(tmp_path / "a.xlsx")


def test_a_zip_that_lies_of_its_sizes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("takster.csv", "x" * 1000)
    content = (tmp_path / "a.zip").read_bytes().replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputFault):
        find_files(tmp_path / "a.zip", tmp_path)


def test_a_zip_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("b.zip", "x")
    with pytest.raises(InputFault, match="indeholder en zip-fil"):
        find_files(tmp_path / "a.zip", tmp_path)


def test_xml_records(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<u xmlns="urn:x"><!-- c --><head><id>7</id><r2/></head>'
        "<r><a> æ&amp;ø </a><sted><navn>Å</navn></sted></r><r><sted/></r><r><a/><b>1</b></r></u>",
        encoding="latin-1",
    )
    found = [cells for _, _, cells in _rows(read_xml(path, "r|q", ["a", "sted/navn", "b", "/head/id"]))]
    assert found == [["æ&ø", "Å", None, "7"], [None, None, None, "7"], ["", None, "1", "7"]]


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE u [<!ENTITY e "x">]><u><r><a>&e;</a></r></u>',
        '<!DOCTYPE u SYSTEM "file:///etc/passwd"><u><r><a>1</a></r></u>',
        "<u><r><a>1</a></r>",
        "<u><r><a>&e;</a></r></u>",
        "",
        "<r>" * 5000,
    ],
)
def test_xml_that_cannot_be_trusted_is_refused_with_a_sentence(tmp_path, content):
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(InputFault, match=r"^a\.xml: "):
        _rows(read_xml(path, "r", ["a"]))


def test_xml_fetches_nothing(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hemmelig")
    path = tmp_path / "a.xml"
    path.write_text(f'<!DOCTYPE u [<!ENTITY e SYSTEM "{secret.as_uri()}">]><u><r><a>x&e;</a></r></u>')
    with pytest.raises(InputFault) as refused:
        _rows(read_xml(path, "r", ["a"]))
    assert "hemmelig" not in str(refused.value)


def test_json_records(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"dato":"2025-01-01","data":{"r":[{"a":{"b":1.50},"c":null,"d":true,"e":[1,"x"]},{"a":{"b":-3}},{}],"n":1}}')
    found = [cells for _, _, cells in _rows(read_json(path, "data/r", ["a/b", "c", "d", "e", "/dato"]))]
    assert found == [["1.50", "", "ja", "1 x", "2025-01-01"], ["-3", None, None, None, "2025-01-01"], [None] * 4 + ["2025-01-01"]]
    path.write_bytes(b'\xef\xbb\xbf[{"a": 1}]')
    assert _rows(read_json(path, "", ["a"])) == [(1, False, ["1"])]


@pytest.mark.parametrize(
    "content", ['{"data":{"r":[{"a":1', '{"data":1}', "", "[" * 100_000, '{"data":{"r":[{"a":"\ud800"}]}}', "nul"]
)
def test_json_that_cannot_be_read_is_told_in_a_sentence(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputFault, match=r"^a\.json: "):
        _rows(read_json(path, "data/r", ["a"]))


@pytest.mark.parametrize("digits", [4_000, 4_001, 5_000, 200_000])
def test_a_number_that_would_end_the_process_is_refused_first(digits):
    content = b'{"a": [1, "x", ' + b"9" * digits + b", 2.50]}"
    for size in (7, 1000, 1 << 16):  # over the bounds of what is read at a time
        events = ijson.basic_parse(reading.ShortNumbers(io.BytesIO(content), "a.json"), buf_size=size)
        if digits > 4_000:
            with pytest.raises(InputFault, match=r"^a\.json: indeholder et tal på mere end 4000 cifre\."):
                list(events)
        else:
            assert len(list(events)) == 9


BIG = {
    "xml": ("<u>", "<r><a>{}</a><s><b>{}</b></s></r>\n", "</u>", 'read_xml(path, "r", ["a", "s/b"])'),
    "json": ('{"r":[{}', ',{{"a":{},"s":{{"b":"{}"}}}}', "]}", 'read_json(path, "r", ["a", "s/b"])'),
    "csv": ("a;b\n", "{};{}\n", "", "read_csv(path)"),
    "csv-quoted": ("a;b\n", '{};"{}"\n', "", "read_csv(path)"),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read a process's peak memory")
@pytest.mark.heavy
@pytest.mark.parametrize("form", BIG)
def test_a_big_file_is_read_in_bounded_memory(tmp_path, form):
    """A file of more than 100 MB adds far less than itself to the process."""
    begin, record, end, reader = BIG[form]
    path = tmp_path / f"big.{form[:4].rstrip('-')}"
    with path.open("w") as file:
        file.write(begin)
        file.writelines(record.format(i, "x" * 1000) for i in range(120_000))
        file.write(end)
    code = f"""
from pathlib import Path
from ingestion.reading import read_csv
from ingestion.records import read_json, read_xml
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
path, before = Path({str(path)!r}), peak()
print(sum(batch.num_rows for batch in {reader}.batches), peak() - before)
"""
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows, grown_mib = map(int, out.split())
    assert rows >= 120_000
    assert path.stat().st_size > 110_000_000 and grown_mib < 200


LARGE, FREE, MOST_MEMORY = 2_000_000_000, 12 << 30, 4 << 30  # bytes


def _write_large(path: Path) -> tuple[int, int]:
    """A registreringer.csv of 2 GB, most of it a column that is only kept: (rows, rows whose date is none)."""
    days = [f"{dt.date(2025, 1, 1) + dt.timedelta(day):%d-%m-%Y}" for day in range(365)]
    note, rows = "bemærkning til den leverede ydelse, " * 10, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("registrering_id;ydelse_id;dato;antal;bemaerkning\n")
        while file.tell() < LARGE:
            file.write(f"R{rows};Y{rows % 1000};31-02-2025;1;\n")
            numbers = range(rows + 1, rows + 20_000)
            file.writelines(f"R{i};Y{i % 1000};{days[i % 365]};{i % 9},5;{i * 7919 % 1_000_003} {note}\n" for i in numbers)
            rows += 20_000
    return rows, rows // 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in other units elsewhere")
@pytest.mark.heavy
def test_a_csv_of_two_gigabytes_is_taken_in_within_four(new_instance, tmp_path):
    """Through the command, in a process of its own: every row is accepted or quarantined."""
    if shutil.disk_usage(tmp_path).free < FREE:
        pytest.skip(f"needs {FREE >> 30} GiB of free disk: the file, its copy in the archive and the warehouse")
    home = shutil.copytree(new_instance, tmp_path / "instance")
    environment = os.environ | {"AFREGNING_HOME": str(home)}

    def load(path: Path, output: Path) -> int:
        """Loads, and gives the peak memory in bytes."""
        with output.open("w") as out:
            child = subprocess.Popen([sys.executable, "-m", "orchestration.cli", "load", str(path)], cwd=ROOT, env=environment,
                                     stdout=out, stderr=subprocess.STDOUT)  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert not child.returncode, output.read_text()
        return used.ru_maxrss * 1024

    try:
        basis = tmp_path / "basis"
        basis.mkdir()
        (basis / "katalogydelser.csv").write_text("ydelseskode;navn;enhed\nDAG;Dagtilbud;leveret\n")
        (basis / "borgere.csv").write_text("cpr;navn\n0101010000;Bo\n")
        (basis / "ydelsespakker.csv").write_text("pakke_id;cpr;betalingskommune\nP1;0101010000;751\n")
        lines = "".join(f"Y{i};P1;DAG;01-01-2025\n" for i in range(1000))
        (basis / "ydelser.csv").write_text("ydelse_id;pakke_id;ydelseskode;startdato\n" + lines)
        load(basis, tmp_path / "basis.txt")
        large = tmp_path / "registreringer.csv"
        rows, wrong = _write_large(large)
        peak = load(large, tmp_path / "large.txt")
        said = (tmp_path / "large.txt").read_text()
    finally:
        shutil.rmtree(home, ignore_errors=True)
        (tmp_path / "registreringer.csv").unlink(missing_ok=True)
    print(f"{rows:,} rows of 2 GB taken in with {peak >> 20} MiB at the most")
    assert re.search(f"registreringer.csv: {rows} rækker læst, {rows - wrong} modtaget, {wrong} i karantæne", said), said
    assert peak < MOST_MEMORY
