"""Source mappings and the XML reader: every way to fill a column, every mistake in a mapping file, bounded memory."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ingestion.contract import contract_for_file
from ingestion.mapping import MappingError, load_mappings, target_select
from ingestion.xml_records import read_xml

GOOD = """
system: prøve
title: Et prøvesystem
files:
  - pattern: proeve_ydelser_*.csv
    dataset: ydelser
    title: Ydelser
    format: csv
    encoding: utf-8
    delimiter: ";"
    columns: {Id: number, Pakke: package, Kode: kind, Form: how it is paid, Start: first day, "Sær'pris": own price}
    targets:
      ydelser:
        columns:
          ydelse_id: {template: "PR-{Id}"}
          pakke_id: Pakke
          ydelseskode: Kode
          afregningsform: {column: Form, values: {U: udbetaling, "": ""}}
          startdato: Start
          krav: {value: takst}
      individuelle_takster:
        when: {column: "Sær'pris", not_empty: true}
        columns:
          ydelse_id: {template: "PR-{Id}"}
          gyldig_fra: Start
          pris: "Sær'pris"
      udbetalingsvilkaar:
        when: {column: Form, equals: U}
        columns:
          ydelse_id: {template: "PR-{Id}"}
          tekst: {template: "{Kode}/{Start}"}
"""


def _mapping(folder: Path, text: str):
    (folder / "prøve.yaml").write_text(text, encoding="utf-8")
    return load_mappings(folder)["prøve"]


@pytest.fixture
def con():
    connection = duckdb.connect()
    connection.execute(
        """CREATE TABLE "raw x" AS SELECT * FROM (VALUES
        ('1', 'A', 'K', 'U', '2026-01-01', '', 'f', 2),
        ('2', 'A', 'K', 'Z', '2026-01-02', '10,5', 'f', 3),
        (NULL, 'B', 'K ', ' U ', '', NULL, 'f', 4))
        v("Id", "Pakke", "Kode", "Form", "Start", "Sær'pris", _file, _row)"""
    )
    return connection


COLUMNS = ["Id", "Pakke", "Kode", "Form", "Start", "Sær'pris"]


def test_every_way_to_fill_a_column(tmp_path, con):
    file = _mapping(tmp_path, GOOD).file_for("proeve_ydelser_2026-01-31.csv")
    rows = con.execute(target_select(file.targets["ydelser"], '"raw x"', COLUMNS) + " ORDER BY _row").fetchall()
    assert rows == [
        ("PR-1", "A", "K", "udbetaling", "2026-01-01", "takst", "f", 2),
        # A code without translation passes through, and the gate refuses it.
        ("PR-2", "A", "K", "Z", "2026-01-02", "takst", "f", 3),
        # A key is not made from its prefix alone.
        ("", "B", "K", "udbetaling", "", "takst", "f", 4),
    ]
    prices = con.execute(target_select(file.targets["individuelle_takster"], '"raw x"', COLUMNS)).fetchall()
    assert prices == [("PR-2", "2026-01-02", "10,5", "f", 3)]
    terms = con.execute(target_select(file.targets["udbetalingsvilkaar"], '"raw x"', COLUMNS) + " ORDER BY _row")
    assert terms.fetchall() == [("PR-1", "K/2026-01-01", "f", 2), ("", "", "f", 4)]


def test_a_missing_column_is_left_out(tmp_path, con):
    target = _mapping(tmp_path, GOOD).file_for("proeve_ydelser_x.csv").targets["ydelser"]
    con.execute(target_select(target, '"raw x"', [c for c in COLUMNS if c not in ("Id", "Form")]))
    names = [column[0] for column in con.description]
    assert names == ["pakke_id", "ydelseskode", "startdato", "krav", "_file", "_row"]


def test_a_missing_column_that_chooses_rows_is_said(tmp_path):
    target = _mapping(tmp_path, GOOD).file_for("proeve_ydelser_x.csv").targets["udbetalingsvilkaar"]
    with pytest.raises(MappingError, match="'Form' mangler i udtrækket"):
        target_select(target, "raw", ["Id"])


def test_file_names(tmp_path):
    mapping = _mapping(tmp_path, GOOD)
    assert mapping.file_for("PROEVE_Ydelser_2026-01-31.CSV").dataset == "ydelser"
    assert mapping.file_for("proeve_borgere_2026-01-31.csv") is None


@pytest.mark.parametrize(
    ("good", "bad", "place", "sentence"),
    [
        ("system: prøve", "system: andet", "prøve.yaml", "Giv fil og system samme navn"),
        ("title: Et", "titel: Et", "øverst", "'titel' kendes ikke"),
        ("files:\n", "files: [\n", "øverst", "kan ikke læses som YAML"),
        ("    title: Ydelser\n", "", "files[1]", "'title' mangler"),
        ("format: csv", "format: txt", "files[1].format", "'txt' kendes ikke"),
        ('    delimiter: ";"\n', "", "files[1]", "'delimiter' mangler"),
        ("      udbetalingsvilkaar:", "      udbetalinger:", "targets.udbetalinger", "indlæsningsfilen kendes ikke"),
        ("pakke_id: Pakke", "pakkeid: Pakke", "targets.ydelser.columns", "ingen kolonne 'pakkeid'"),
        ("pakke_id: Pakke", "pakke_id: Paket", "ydelser.columns.pakke_id", "'Paket' er ikke beskrevet"),
        ('{template: "{Kode}/{Start}"}', '{template: "{Kode}/{Slut}"}', "columns.tekst", "'Slut' er ikke beskrevet"),
        ('{template: "{Kode}/{Start}"}', '{template: "fast"}', "columns.tekst", "nævner ingen kolonne"),
        ("{value: takst}", "{value: takst, column: Kode}", "columns.krav", "fyldes ikke på én måde"),
        ("{value: takst}", "{value: 7}", "columns.krav", "Sæt tal og ja/nej i anførselstegn"),
        ("values: {U: udbetaling", "values: {1: udbetaling", "afregningsform.values", "Sæt tal og ja/nej"),
        ("{column: Form, equals: U}", "{column: Type, equals: U}", "udbetalingsvilkaar.when", "'Type' er ikke"),
        ("{column: Form, equals: U}", "{column: Form}", "udbetalingsvilkaar.when", "rækkevalget er uklart"),
        ("{column: Form, equals: U}", "{column: Form, equals: 1}", "udbetalingsvilkaar.when", "ikke tekst"),
    ],
)
def test_a_bad_mapping_says_file_place_and_remedy(tmp_path, good, bad, place, sentence):
    assert good in GOOD
    with pytest.raises(MappingError) as error:
        _mapping(tmp_path, GOOD.replace(good, bad, 1))
    assert "prøve.yaml" in str(error.value) and place in str(error.value) and sentence in str(error.value)
    assert re.search(r"\. [A-ZÆØÅ].+\.$", str(error.value)), "the error says what to do"


def test_our_own_mappings_reach_every_key():
    """Every target fills its table's whole key and all required columns."""
    mappings = load_mappings()
    assert sorted(mappings) == ["dubu", "opus", "sensum", "tilbud"]
    filled = set()
    for mapping in mappings.values():
        for file in mapping.files:
            for name, target in file.targets.items():
                filled.add(name)
                needed = {c.loader for c in contract_for_file(name).columns if c.required}
                needed |= {c.loader for c in contract_for_file(name).key_columns}
                assert needed <= set(target.columns), (file.pattern, name)
    assert {"ydelser", "takster", "borgere", "kontoplan", "posteringer", "opkraevningsvilkaar"} <= filled


def test_the_page_about_the_extracts_tells_every_column():
    page = (Path(__file__).parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    for mapping in load_mappings().values():
        for file in mapping.files:
            assert f"### `{file.pattern}`: {file.title}" in page
            for column, meaning in file.columns.items():
                assert f"| `{column}` | {meaning} |" in page, (file.pattern, column)


def test_xml_records(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<u xmlns="urn:x"><!-- c --><head><r2/></head>'
        "<r><a> æ&amp;ø </a><sted><navn>Å</navn></sted></r><r><sted/></r><r><a/><b>1</b></r></u>",
        encoding="latin-1",
    )
    assert list(read_xml(path, "r", ["a", "sted/navn", "b"])) == [["æ&ø", "Å", ""], ["", "", ""], ["", "", "1"]]


def test_xml_fetches_nothing(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hemmelig")
    path = tmp_path / "a.xml"
    path.write_text(f'<!DOCTYPE u [<!ENTITY e SYSTEM "{secret.as_uri()}">]><u><r><a>x&e;</a></r></u>')
    assert "hemmelig" not in str(list(read_xml(path, "r", ["a"])))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read a process's peak memory")
def test_xml_is_read_in_bounded_memory(tmp_path):
    """A file of some 60 MB adds far less than itself to the process."""
    path = tmp_path / "big.xml"
    with path.open("w") as file:
        file.write("<u>")
        file.writelines(f"<r><a>{i}</a><s><b>{'x' * 200}</b></s></r>\n" for i in range(250_000))
        file.write("</u>")
    code = f"""
from pathlib import Path
from ingestion.xml_records import read_xml
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
before = peak()
rows = sum(1 for row in read_xml(Path({str(path)!r}), "r", ["a", "s/b"]) if len(row[1]) == 200)
print(rows, peak() - before)
"""
    root = Path(__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    rows, grown_mib = map(int, out.split())
    assert rows == 250_000
    assert path.stat().st_size > 55_000_000 and grown_mib < 16
