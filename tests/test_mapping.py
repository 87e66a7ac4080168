"""Source mappings and the XML reader: every way to fill a column, every mistake in a mapping file, bounded memory."""

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
import yaml

from ingestion.contract import contract_for_file
from ingestion.layouts import target_select
from ingestion.mapping import MappingError, load_mappings
from settlement.faults import InputFault

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


def _mapping(home: Path, text: str, version: str = "1"):
    """The system of an instance's own mapping file."""
    path = home / "sources" / "prøve" / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_mappings(SimpleNamespace(home=home))["prøve"]


def _file(home: Path, text: str, filename: str):
    return _mapping(home, text).candidates(filename)[0]


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
    file = _file(tmp_path, GOOD, "proeve_ydelser_2026-01-31.csv")
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
    target = _file(tmp_path, GOOD, "proeve_ydelser_x.csv").targets["ydelser"]
    con.execute(target_select(target, '"raw x"', [c for c in COLUMNS if c not in ("Id", "Form")]))
    names = [column[0] for column in con.description]
    assert names == ["pakke_id", "ydelseskode", "startdato", "krav", "_file", "_row"]


def test_a_missing_column_that_chooses_rows_is_said(tmp_path):
    target = _file(tmp_path, GOOD, "proeve_ydelser_x.csv").targets["udbetalingsvilkaar"]
    with pytest.raises(MappingError, match="'Form' mangler i udtrækket"):
        target_select(target, "raw", ["Id"])


def test_file_names(tmp_path):
    mapping = _mapping(tmp_path, GOOD)
    assert [f.dataset for f in mapping.candidates("PROEVE_Ydelser_2026-01-31.CSV")] == ["ydelser"]
    assert mapping.candidates("proeve_borgere_2026-01-31.csv") == []
    assert mapping.choose("proeve_borgere_2026-01-31.csv", lambda layout: []) is None


@pytest.mark.parametrize(
    ("good", "bad", "place", "sentence"),
    [
        ("system: prøve", "system: andet", "prøve/1.yaml", "Giv mappe og system samme navn"),
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
        ("{value: takst}", "{file: md5}", "columns.krav.file", "'md5' kendes ikke"),
        ("{value: takst}", "{joined: Kode}", "columns.krav.joined", "liste af tekster"),
        ("{value: takst}", "{joined: [Kode, Slut]}", "columns.krav", "'Slut' er ikke beskrevet"),
        ("{value: takst}", "{joined: [Kode], without_prefix: DK}", "columns.krav", "fyldes ikke på én måde"),
        ("{value: takst}", "{column: Kode, without_prefix: DK, values: {A: B}}", "columns.krav", "kan ikke bruges sammen"),
        ("{value: takst}", "{column: Kode, per: Id}", "columns.krav", "er ikke et tal"),
        ("pris: \"Sær'pris\"", "pris: {column: \"Sær'pris\", less: Slut}", "columns.pris", "'Slut' er ikke beskrevet"),
        ("format: csv\n", "format: csv\n    root: Ydelser\n", "files[1].root", "kun XML har et rodelement"),
        ("{value: takst}", "{value: 7}", "columns.krav", "Sæt tal og ja/nej i anførselstegn"),
        ("values: {U: udbetaling", "values: {1: udbetaling", "afregningsform.values", "Sæt tal og ja/nej"),
        ("{column: Form, equals: U}", "{column: Type, equals: U}", "udbetalingsvilkaar.when", "'Type' er ikke"),
        ("{column: Form, equals: U}", "{column: Form}", "udbetalingsvilkaar.when", "rækkevalget er uklart"),
        ("{column: Form, equals: U}", "{column: Form, equals: 1}", "udbetalingsvilkaar.when", "ikke tekst"),
        ("{column: Form, equals: U}", "{column: Form, in: U}", "udbetalingsvilkaar.when.in", "liste af tekster"),
        ("{column: Form, equals: U}", "{column: Form, equals: U, in: [U]}", "udbetalingsvilkaar.when", "er uklart"),
        ("    title: Ydelser\n", "    title: Ydelser\n    extract: alt\n", "files[1].extract", "Brug whole, delta, event"),
        ("Id: number", "Id: {type: text}", "files[1].columns.Id", "'meaning' mangler"),
        ("Id: number", "Id: {meaning: x, type: tal}", "columns.Id.type", "'tal' kendes ikke"),
        ("Id: number", "Id: {meaning: x, optional: ja}", "columns.Id.optional", "true eller false"),
        ("Id: number", "Id: {meaning: x, values: {A: b}}", "columns.Id.values", "liste af tekster"),
        ("{value: takst}", "{first_of: Kode}", "columns.krav.first_of", "liste af tekster"),
        ("{value: takst}", "{first_of: [Kode, Slut]}", "columns.krav", "'Slut' er ikke beskrevet"),
        ("{value: takst}", "{first_of: [Kode], values: {A: b}}", "columns.krav", "fyldes ikke på én måde"),
        ("{value: takst}", "{value: takst, date: '%Y'}", "columns.krav", "fyldes ikke på én måde"),
        ("{value: takst}", "{column: Kode, values: {A: b}, part: {from: 1, length: 2}}", "columns.krav", "ikke bruges sammen"),
        ("{value: takst}", "{column: Kode, part: {from: 0, length: 2}}", "columns.krav.part", "stykket er uklart"),
        ("{value: takst}", "{column: Kode, divide_by: '60'}", "columns.krav", "indlæsningskolonnen er ikke et tal"),
        ("startdato: Start", "startdato: {column: Start, date: '%Y%m'}", "startdato.date", "siger ikke år, måned og dag"),
        ("startdato: Start", "startdato: {column: Start, date: '%Y%j'}", "startdato.date", "'%j' kendes ikke"),
        ("startdato: Start", "startdato: {column: Start, date: '%Y%-m%-d'}", "startdato.date", "på flere måder"),
        ("startdato: Start", "startdato: {column: Start, month: '%Y%m'}", "startdato.month", "er ikke en måned"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, date: '%Y%m%d'}", "columns.pris.date", "er ikke en dato"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, divide_by: '0'}", "pris.divide_by", "er ikke et tal over 0"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, divide_by: 60}", "columns.pris", "Sæt tal og ja/nej i anførselstegn"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, divide_by: '6', multiply_by: '7'}", "columns.pris", "ikke bruges sammen"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, multiply_by: '123456.7891'}", "columns.pris", "for mange cifre"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, number: {decimal: x}}", "pris.number", "tegnene kan ikke bruges"),
        ("pris: \"Sær'pris\"", "pris: {column: Kode, negative_when: {column: DK, equals: K}}", "negative_when", "'DK' er ikke"),
    ],
)
def test_a_bad_mapping_says_file_place_and_remedy(tmp_path, good, bad, place, sentence):
    assert good in GOOD
    with pytest.raises(MappingError) as error:
        _mapping(tmp_path, GOOD.replace(good, bad, 1))
    assert "prøve/1.yaml" in str(error.value) and place in str(error.value) and sentence in str(error.value)
    assert re.search(r"\. [A-ZÆØÅ].+\.$", str(error.value)), "the error says what to do"


RICH = GOOD.replace("startdato: Start", 'startdato: {column: Start, date: "%d.%m.%Y"}').replace(
    "pris: \"Sær'pris\"",
    "pris: {column: \"Sær'pris\", number: {decimal: ',', thousands: '.'}, divide_by: '100', "
    "negative_when: {column: Form, equals: K}}\n          gyldig_til: {first_of: [Start, Kode]}",
).replace("pakke_id: Pakke", "pakke_id: {column: Pakke, part: {from: 1, length: 2}}")  # fmt: skip


def _places(node, path=()):
    yield path
    for key, below in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _places(below, (*path, key))


@pytest.mark.parametrize("wrong", [None, 5, 1.5, True, "", "x", [], ["x"], {}, {"x": "y"}, {5: 5}, [[]]], ids=repr)
def test_whatever_stands_in_a_mapping_file_it_is_read_or_refused_with_a_sentence(tmp_path, wrong):
    for path in _places(yaml.safe_load(RICH)):
        if not path:
            continue
        document = yaml.safe_load(RICH)
        node = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = wrong
        try:
            _mapping(tmp_path, yaml.safe_dump(document))
        except MappingError as error:
            assert "prøve/1.yaml, " in str(error)


def test_a_data_set_is_one_file_of_a_version(tmp_path):
    twice = GOOD + GOOD[GOOD.index("  - pattern") :]
    with pytest.raises(MappingError, match=r"prøve/1.yaml, files\[2\].dataset: 'ydelser' står to gange"):
        _mapping(tmp_path, twice)


def test_columns_say_what_they_hold(tmp_path):
    told = GOOD.replace("Id: number", "Id: {meaning: number, optional: true}").replace(
        "Form: how it is paid", "Form: {meaning: how it is paid, values: [U]}"
    )
    file = _file(tmp_path, told.replace("Start: first day", "Start: {meaning: x, type: date}"), "proeve_ydelser_1.csv")
    kinds = {name: (column.type, column.optional, column.values) for name, column in file.columns.items()}
    assert kinds["Id"] == ("text", True, ())
    assert kinds["Form"] == ("code", False, ("U",))
    assert kinds["Start"] == ("date", False, ())
    assert file.missing(["Pakke", "Kode", "Form", "Sær'pris"]) == ["Start"]


NEWER = GOOD.replace("Kode", "Ydelsestype").replace("Start", "Fra").replace(" delimiter: \";\"", ' delimiter: "|"')


def test_the_header_tells_the_version(tmp_path):
    _mapping(tmp_path, GOOD, "1")
    _mapping(tmp_path, NEWER, "2")
    both = _mapping(tmp_path, GOOD.replace("Kode: kind", "Kode: {meaning: kind, optional: true}"), "10")
    name = "proeve_ydelser_2026.csv"
    assert [file.number for file in both.candidates(name)] == [10, 2, 1]
    old, new = COLUMNS, ["Id", "Pakke", "Ydelsestype", "Form", "Fra", "Sær'pris"]
    for columns, version in [
        (old, "prøve/10"),  # 1 and 10 know it all: the highest
        (new, "prøve/2"),
        (reversed(new), "prøve/2"),
        ([c for c in old if c != "Kode"], "prøve/10"),  # 1 lacks one that 10 does not ask for
        ([*new, "Ekstra"], "prøve/2"),
        (new[:-1], "prøve/2"),
        (None, "prøve/10"),
    ]:
        seen = columns if columns is None else list(columns)
        assert both.choose(name, lambda layout, seen=seen: seen).version == version

    def only_by_pipes(layout):
        if layout.delimiter != "|":
            raise InputFault("kan ikke læses")
        return ["noget", "helt", "andet"]

    assert both.choose(name, only_by_pipes).version == "prøve/2"
    assert both.datasets["ydelser"].version == "prøve/10"


def test_a_version_is_a_number(tmp_path):
    with pytest.raises(MappingError, match="prøve/ny.yaml: filen har intet versionsnummer"):
        _mapping(tmp_path, GOOD, "ny")


def test_an_instance_s_own_versions_stand_instead_and_are_read_again_when_edited(tmp_path):
    own = SimpleNamespace(home=tmp_path)
    path = tmp_path / "sources" / "sensum" / "3.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD.replace("system: prøve", "system: sensum"), encoding="utf-8")
    mappings = load_mappings(own)
    assert {file.version for file in mappings["sensum"].files} == {"sensum/3"}
    assert mappings["opus"] == load_mappings()["opus"]
    assert load_mappings()["sensum"].files[0].version == "sensum/1"
    before = mappings["sensum"].files[0].fingerprint
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    path.write_text(path.read_text(encoding="utf-8").replace("first day", "day one"), encoding="utf-8")
    edited = load_mappings(own)["sensum"].files[0]
    assert edited.columns["Start"].meaning == "day one" and edited.fingerprint != before


def test_our_own_mappings_reach_every_key():
    """Every target fills its table's whole key and all required columns."""
    mappings = load_mappings()
    assert mappings.keys() >= {"cpr", "cura", "dubu", "fakturaer", "loen", "oes", "opus", "prisme", "sensum", "tilbud"}
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
            for column, declared in file.columns.items():
                assert f"| `{column}` | {declared.meaning} |" in page, (file.pattern, column)
