"""Files to rows of text: whatever the bytes, the documented rows or one sentence, in bounded memory."""

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

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
