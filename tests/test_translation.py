"""Source systems' service codes become catalogue items by dated decisions, which reach what was loaded before them."""

from datetime import date

import pytest

from ingestion import archive
from ingestion.effect import effect_of
from ingestion.receiving import receive, undo
from ingestion.warehouse import open_warehouse
from settlement.instance import create_folders
from settlement.ledger.register import open_register

MAPPING = """
system: alfa
title: Alfa
files:
  - pattern: alfa_ydelser_*.csv
    dataset: ydelser
    title: Ydelser
    format: csv
    encoding: utf-8
    delimiter: ";"
    columns: {Nr: number, Pakke: package, Kode: own code, Navn: own name, Tilbud: offer, Start: first day, Slettet: 1 is gone}
    targets:
      ydelser:
        columns:
          ydelse_id: {template: "A-{Nr}"}
          pakke_id: Pakke
          ydelseskode: Kode
          kildens_navn: Navn
          tilbud_id: Tilbud
          startdato: Start
          slet: {column: Slettet, values: {"1": ja, "0": nej}}
"""
BASIS = {
    "katalogydelser.csv": "ydelseskode;navn;enhed;paragraf\nDAG;Aktivitetstilbud;doegn;104\nNAT;Natophold;doegn;107\n",
    "tilbud.csv": "tilbud_id;navn;ejerforhold;paragraf\nT1;Huset;egen;SEL § 104\n",
    "borgere.csv": "cpr;navn\n0101010000;Bo\n0202020000;Ida\n",
    "ydelsespakker.csv": "pakke_id;cpr;betalingskommune\nP1;0101010000;751\nP2;0202020000;751\n",
    "takster.csv": "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;100,00\nNAT;;01-01-2025;300,00\n",
}
HEADER = "kilde;kildekode;gyldig_fra;gyldig_til;ydelseskode;besluttet_af;begrundelse;slet\n"
LINES = "SELECT service_line_id, item_code, source_item_code FROM canonical.service_line WHERE NOT withdrawn ORDER BY ALL"
OPEN = "SELECT count(*) FROM quarantine.refused WHERE closed_by_load IS NULL"
WORKLIST = """SELECT source_system, source_code, source_name, waiting_rows, service_lines, citizens, first_start
    FROM quality.service_worklist ORDER BY ALL"""


@pytest.fixture
def opened(tmp_path):
    instance = create_folders(tmp_path / "instance", "461")
    own = instance.home / "sources" / "alfa" / "1.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(MAPPING, encoding="utf-8")
    with open_warehouse(instance) as con:
        yield instance, con, tmp_path


def _loader(opened, files: dict[str, str], day: str = "2025-02-01"):
    instance, con, folder = opened
    given = []
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        given.append((archive.LOADER, name, folder / name))
    return receive(con, instance, given, dated=day, received_by="test")[0]


def _alfa(opened, rows: str, day: str = "2025-01-31"):
    instance, con, folder = opened
    path = folder / f"alfa_ydelser_{day}.csv"
    path.write_text(f"Nr;Pakke;Kode;Navn;Tilbud;Start;Slettet\n{rows}", encoding="utf-8")
    return receive(con, instance, [("alfa", path.name, path)], dated=day, received_by="test")[0]


def _decide(opened, *rows: str, day: str = "2025-02-01"):
    return _loader(opened, {"ydelsesoversaettelser.csv": HEADER + "".join(f"{row}\n" for row in rows)}, day)


def _facts(con) -> dict[str, list]:
    tables = [f"{schema}.{table}" for schema in ("canonical", "history") for table in ("service_line", "service_translation")]
    return {table: sorted(map(repr, con.execute(f"FROM {table}").fetchall())) for table in (*tables, "quarantine.refused")}


def test_a_code_without_translation_waits_and_goes_in_with_the_decision(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;D01;Dagligt samvær;T1;2025-01-05;0\n2;P2;D01;Dagligt samvær;T1;2025-01-03;0\n3;P1;DAG;;T1;2025-01-01;0\n")
    assert con.execute(LINES).fetchall() == [("A-3", "DAG", "DAG")]
    assert con.execute(WORKLIST).fetchall() == [("alfa", "D01", "Dagligt samvær", 2, 0, 2, date(2025, 1, 3))]
    _decide(opened, "alfa;D01;01-01-2025;;DAG;anna;samme ydelse;")
    assert con.execute(LINES).fetchall() == [("A-1", "DAG", "D01"), ("A-2", "DAG", "D01"), ("A-3", "DAG", "DAG")]
    assert con.execute(OPEN).fetchone() == (0,) and con.execute(WORKLIST).fetchall() == []


def test_the_translation_in_force_on_the_start_date_counts(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _decide(opened, "alfa;D01;01-01-2025;31-01-2025;DAG;anna;;", "alfa;D01;01-03-2025;;NAT;anna;;")
    _alfa(opened, "1;P1;D01;;T1;2025-01-31;0\n2;P1;D01;;T1;2025-02-01;0\n3;P1;D01;;T1;2025-03-01;0\n", "2025-03-31")
    assert con.execute(LINES).fetchall() == [("A-1", "DAG", "D01"), ("A-3", "NAT", "D01")]
    assert con.execute(WORKLIST).fetchall() == [("alfa", "D01", None, 1, 0, 1, date(2025, 2, 1))]


def test_an_open_translation_ends_where_the_next_begins(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n2;P1;DAG;;T1;2025-02-01;0\n")
    _decide(opened, "alfa;DAG;01-01-2025;;NAT;anna;;")
    assert [item for _, item, _ in con.execute(LINES).fetchall()] == ["NAT", "NAT"]
    _decide(opened, "alfa;DAG;01-02-2025;;DAG;anna;;")
    assert [item for _, item, _ in con.execute(LINES).fetchall()] == ["NAT", "DAG"]


def test_only_the_system_named_is_translated(opened):
    _, con, _ = opened
    _loader(opened, BASIS | {"ydelser.csv": "ydelse_id;pakke_id;ydelseskode;startdato\nY1;P1;DAG;01-01-2025\n"})
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n")
    _decide(opened, "alfa;DAG;01-01-2025;;NAT;anna;;")
    assert con.execute(LINES).fetchall() == [("A-1", "NAT", "DAG"), ("Y1", "DAG", "DAG")]
    _decide(opened, "indlaesning;DAG;01-01-2025;;NAT;anna;;")
    assert con.execute(LINES).fetchall() == [("A-1", "NAT", "DAG"), ("Y1", "NAT", "DAG")]


def test_a_decision_is_a_new_version_with_the_lines_own_source_and_date(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n")
    before = con.execute("SELECT source_file, source_row, dated FROM canonical.service_line").fetchall()
    load_id = _decide(opened, "alfa;DAG;01-01-2025;;NAT;anna;;")
    assert con.execute("SELECT source_file, source_row, dated FROM canonical.service_line").fetchall() == before
    assert con.execute("SELECT load_id FROM canonical.service_line").fetchall() == [(load_id,)]
    history = "SELECT item_code, load_id, closed_by_load FROM history.service_line"
    assert con.execute(history).fetchall() == [("DAG", 2, load_id)]
    # Said again with a later date, the row says nothing new.
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n", "2025-03-31")
    assert con.execute("SELECT load_id, item_code FROM canonical.service_line").fetchall() == [(load_id, "NAT")]


def test_a_withdrawn_translation_gives_the_code_back_or_leaves_the_item_and_asks(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n2;P1;D01;;T1;2025-01-01;0\n")
    _decide(opened, "alfa;DAG;01-01-2025;;NAT;anna;;", "alfa;D01;01-01-2025;;NAT;anna;;")
    _decide(opened, "alfa;DAG;01-01-2025;;;;;ja", "alfa;D01;01-01-2025;;;;;ja", day="2025-02-02")
    assert con.execute(LINES).fetchall() == [("A-1", "DAG", "DAG"), ("A-2", "NAT", "D01")]
    assert con.execute(WORKLIST).fetchall() == [("alfa", "D01", None, 0, 1, 1, date(2025, 1, 1))]
    _decide(opened, "alfa;D01;01-01-2025;;DAG;anna;;", day="2025-02-03")
    assert con.execute(LINES).fetchall() == [("A-1", "DAG", "DAG"), ("A-2", "DAG", "D01")]


def test_a_translation_to_an_item_there_is_none_of_waits(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;D01;;T1;2025-01-01;0\n")
    _decide(opened, "alfa;D01;01-01-2025;;NY;anna;;")
    assert con.execute(OPEN).fetchone() == (2,) and con.execute(LINES).fetchall() == []
    _loader(opened, {"katalogydelser.csv": "ydelseskode;navn;enhed\nNY;Ny;doegn\n"}, "2025-03-01")
    assert con.execute(OPEN).fetchone() == (0,) and con.execute(LINES).fetchall() == [("A-1", "NY", "D01")]


def test_an_undone_decision_is_as_if_it_were_not_made(opened):
    instance, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;D01;;T1;2025-01-01;0\n2;P1;DAG;;T1;2025-01-01;0\n")
    decided = _decide(opened, "alfa;D01;01-01-2025;;DAG;anna;;", "alfa;DAG;01-01-2025;;NAT;anna;;")
    _alfa(opened, "3;P1;DAG;;T1;2025-01-01;0\n", "2025-02-28")
    undo(con, instance, decided, dated="2025-03-01", received_by="anna", reason="forkert")
    assert con.execute(LINES).fetchall() == [("A-2", "DAG", "DAG"), ("A-3", "DAG", "DAG")]
    assert con.execute(WORKLIST).fetchall() == [("alfa", "D01", None, 1, 0, 1, date(2025, 1, 1))]


def test_suggestions_say_why(opened):
    _, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;DAG1;Aktivitetstilbud, dag;T1;2025-01-01;0\n2;P1;DAG;;T1;2025-01-01;0\n3;P1;DAGL;;T1;2025-01-01;0\n")
    _decide(opened, "alfa;DAGL;01-01-2025;;DAG;anna;;")
    rows = con.execute(
        "SELECT place, item_code, reason FROM quality.service_suggestion WHERE source_code = 'DAG1' ORDER BY place"
    ).fetchall()
    assert rows[0] == (
        1, "DAG", "koden ligner; navnet ligner; tilbuddet er godkendt efter samme paragraf; 2 ydelser på samme tilbud er den; "
        "systemets kode DAGL er oversat til den",
    )  # fmt: skip


def test_the_effect_of_a_decision_is_told_in_kroner(opened):
    instance, con, folder = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;DAG;;T1;2025-01-01;0\n2;P1;D01;;T1;2025-01-01;0\n")
    path = folder / "ydelsesoversaettelser.csv"
    path.write_text(HEADER + "alfa;DAG;01-01-2025;;NAT;anna;;\nalfa;D01;01-01-2025;;NAT;anna;;\n", encoding="utf-8")
    effect = effect_of(
        con, instance, open_register(instance), through=date(2025, 1, 1), dated="2025-02-01",
        files=[(archive.LOADER, path.name, path)],
    )  # fmt: skip
    changed = {t.table: (t.new, t.changed, t.withdrawn) for t in effect.tables}
    assert changed == {"service_translation": (2, 0, 0), "service_line": (1, 1, 0)}
    assert [(p.before_oere, p.after_oere) for p in effect.processes] == [(31 * 100_00, 2 * 31 * 300_00)]
    assert con.execute(LINES).fetchall() == [("A-1", "DAG", "DAG")]


@pytest.mark.heavy
def test_a_rebuilt_warehouse_translates_the_same(opened):
    instance, con, _ = opened
    _loader(opened, BASIS)
    _alfa(opened, "1;P1;D01;;T1;2025-01-01;0\n2;P1;DAG;;T1;2025-01-01;0\n")
    _decide(opened, "alfa;D01;01-01-2025;;DAG;anna;;", "alfa;DAG;01-01-2025;;NAT;anna;;")
    _decide(opened, "alfa;DAG;01-01-2025;;;;;ja", day="2025-02-02")
    undo(con, instance, 3, dated="2025-03-01", received_by="anna", reason="prøve")
    before = _facts(con)
    con.close()
    instance.warehouse.unlink()
    with open_warehouse(instance) as again:
        assert _facts(again) == before
