"""Several systems speak of one citizen: each is remembered, the setting decides, and what they disagree of is shown."""

import pytest

from ingestion.receiving import receive, undo
from ingestion.warehouse import open_warehouse
from settlement.faults import StateFault
from settlement.instance import create_folders, open_instance

MAPPING = """
system: {system}
title: {system}
files:
  - pattern: {system}_borgere_*.csv
    dataset: borgere
    title: Borgere
    extract: {extract}
    format: csv
    encoding: utf-8
    delimiter: ";"
    columns: {{CPR: number, Navn: name, Adresse: street, Slettet: 1 where withdrawn}}
    targets:
      borgere:
        columns: {{cpr: CPR, navn: Navn, adresse: Adresse, slet: {{column: Slettet, values: {{"1": ja, "0": nej}}}}}}
"""
BO, IDA = "0101010000", "0202020000"
CITIZENS = "SELECT cpr, name, address FROM canonical.citizen WHERE NOT withdrawn ORDER BY cpr"
CONFLICTS = """SELECT key, column_name, system, value, is_chosen FROM quality.source_conflict
    ORDER BY key, column_name, is_chosen DESC, system"""


@pytest.fixture
def made(tmp_path):
    instance = create_folders(tmp_path / "instance", "461")
    for system, extract in (("alfa", "delta"), ("beta", "delta"), ("cpr", "delta"), ("hel", "whole")):
        own = instance.home / "sources" / system / "1.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(MAPPING.format(system=system, extract=extract), encoding="utf-8")
    return instance, tmp_path


def _send(made, con, day: str, **rows: str):
    """One load of a file per system."""
    instance, folder = made
    given = []
    for system, text in rows.items():
        path = folder / f"{system}_borgere_{day}.csv"
        path.write_text(f"CPR;Navn;Adresse;Slettet\n{text}", encoding="utf-8")
        given.append((system, path.name, path))
    return receive(con, open_instance(instance.home), given, dated=day, received_by="test")


def _facts(con, *without: str) -> dict[str, list]:
    left_out = f"EXCLUDE ({', '.join(without)})" if without else ""
    tables = ("canonical.citizen", "quality.said") if without else ("canonical.citizen", "history.citizen", "quality.said")
    return {t: sorted(map(repr, con.execute(f"SELECT * {left_out} FROM {t}").fetchall())) for t in tables}


def _set(instance, line: str) -> None:
    path = instance.home / "settings.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[kilder]\n", f"[kilder]\n{line}\n"), encoding="utf-8")


def test_one_system_alone_keeps_nothing(made):
    with open_warehouse(made[0]) as con:
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n")
        _send(made, con, "2025-02-01", alfa=f"{BO};Bo;Vej 2;0\n", beta=f"{IDA};Ida;Gade 1;0\n")
        assert con.execute("SELECT count(*) FROM quality.said").fetchone() == (0,)
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Vej 2"), (IDA, "Ida", "Gade 1")]


def test_the_newest_word_holds_and_the_other_is_shown_until_they_agree(made):
    with open_warehouse(made[0]) as con:
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n")
        _send(made, con, "2025-02-01", beta=f"{BO};Bo;Gade 9;0\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Gade 9")]
        assert con.execute(CONFLICTS).fetchall() == [
            (BO, "address", "beta", "Gade 9", True), (BO, "address", "alfa", "Vej 1", False),
        ]  # fmt: skip
        _send(made, con, "2025-03-01", alfa=f"{BO};Bo;Gade 9;0\n")
        assert con.execute(CONFLICTS).fetchall() == []
        assert con.execute("SELECT load_id FROM canonical.citizen").fetchone() == (2,), "nothing new was said"


def test_the_cpr_register_comes_first_of_a_citizen(made):
    with open_warehouse(made[0]) as con:
        _send(made, con, "2025-02-01", alfa=f"{BO};Bo;Vej 1;0\n")
        _, (report,) = _send(made, con, "2025-01-01", cpr=f"{BO};Bo Bo;;0\n")
        assert (report.rows_accepted, report.rows_outdated) == (1, 0)
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo Bo", "Vej 1")], "an empty cell outdoes nobody"
        _send(made, con, "2025-03-01", alfa=f"{BO};Bob;Vej 2;0\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo Bo", "Vej 2")]


def test_the_setting_decides_the_field_and_is_noticed(made):
    instance, _ = made
    with open_warehouse(instance) as con:
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n")
        _send(made, con, "2025-02-01", beta=f"{BO};Bob;Gade 9;0\n")
    _set(instance, '"borgere.adresse" = ["alfa", "beta"]')
    with open_warehouse(open_instance(instance.home)) as con:
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bob", "Vej 1")]
        _send(made, con, "2025-03-01", beta=f"{BO};Bob;Gade 10;0\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bob", "Vej 1")]
        _send(made, con, "2025-04-01", alfa=f"{BO};;;1\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bob", "Gade 10")]


@pytest.mark.parametrize("line", ['"borgere.hus" = ["alfa"]', '"borgere.adresse" = "alfa"', '"borgere.cpr" = ["alfa"]'])
def test_a_setting_that_says_nothing_is_refused(made, line):
    _set(made[0], line)
    with pytest.raises(StateFault, match=r"\[kilder\].*(Ret linjen|Skriv et af: borgere.navn)"):
        with open_warehouse(open_instance(made[0].home)):
            pass


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_the_order_of_arrival_does_not_matter(made, order):
    deliveries = [
        ("2025-01-01", {"alfa": f"{BO};Bo;Vej 1;0\n{IDA};Ida;Vej 3;0\n"}),
        ("2025-02-01", {"beta": f"{BO};Bob;Gade 9;0\n"}),
        ("2025-03-01", {"alfa": f"{BO};Bo;Vej 2;0\n", "cpr": f"{IDA};Ida Is;Vej 4;0\n"}),
    ]
    with open_warehouse(made[0]) as con:
        for number in order:
            day, files = deliveries[number]
            _send(made, con, day, **files)
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Vej 2"), (IDA, "Ida Is", "Vej 4")]
        assert {(k, c, s, v) for k, c, s, v, _ in con.execute(CONFLICTS).fetchall()} == {
            (BO, "name", "alfa", "Bo"), (BO, "name", "beta", "Bob"),
            (BO, "address", "alfa", "Vej 2"), (BO, "address", "beta", "Gade 9"),
            (IDA, "name", "alfa", "Ida"), (IDA, "name", "cpr", "Ida Is"),
            (IDA, "address", "alfa", "Vej 3"), (IDA, "address", "cpr", "Vej 4"),
        }  # fmt: skip


def test_two_systems_in_one_load_are_no_double(made):
    with open_warehouse(made[0]) as con:
        _, reports = _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n", beta=f"{BO};Bob;Gade 9;0\n")
        assert [(r.rows_accepted, r.rows_quarantined) for r in reports] == [(1, 0), (1, 0)]
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Vej 1")], "of the same date, the first by name"
        assert len(con.execute(CONFLICTS).fetchall()) == 4
        _, (report,) = _send(made, con, "2025-02-01", alfa=f"{BO};Bo;Vej 1;0\n{BO};Bo;Vej 2;0\n")
        assert report.rows_quarantined == 2, "but one system that contradicts itself is"


def test_a_systems_older_word_is_outdated_by_its_own_only(made):
    with open_warehouse(made[0]) as con:
        _send(made, con, "2025-03-01", alfa=f"{BO};Bo;Vej 3;0\n")
        _send(made, con, "2025-02-01", beta=f"{BO};Bo;Gade 2;0\n")
        for system, day, outdated in (("alfa", "2025-02-15", 1), ("beta", "2025-01-15", 1), ("beta", "2025-02-15", 0)):
            _, (report,) = _send(made, con, day, **{system: f"{BO};Bo;Anden {day};0\n"})
            assert report.rows_outdated == outdated, (system, day)
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Vej 3")]


def test_a_citizen_lives_while_any_system_has_him(made):
    with open_warehouse(made[0]) as con:
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n", beta=f"{BO};Bo;Gade 9;0\n")
        _send(made, con, "2025-02-01", alfa=f"{BO};;;1\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Gade 9")] and con.execute(CONFLICTS).fetchall() == []
        _send(made, con, "2025-01-15", alfa=f"{BO};Bo;Vej 2;0\n")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Gade 9")], "older than the withdrawal"
        _send(made, con, "2025-03-01", beta=f"{BO};;;1\n")
        assert con.execute(CITIZENS).fetchall() == []


def test_a_whole_extract_withdraws_its_own_word_only(made):
    with open_warehouse(made[0]) as con:
        many = "".join(f"{n:010d};N{n};V;0\n" for n in range(100))
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n")
        _send(made, con, "2025-02-01", hel=f"{BO};Bo;Hel 1;0\n{many}")
        _, (report,) = _send(made, con, "2025-03-01", hel=many)
        assert not report.held and con.execute(f"{CITIZENS} DESC LIMIT 1").fetchall() == [(BO, "Bo", "Vej 1")]


def test_undone_words_are_unsaid(made):
    instance, _ = made
    with open_warehouse(instance) as con:
        _send(made, con, "2025-01-01", alfa=f"{BO};Bo;Vej 1;0\n")
        load_id, _ = _send(made, con, "2025-02-01", beta=f"{BO};Bob;Gade 9;0\n")
        undo(con, instance, load_id, dated="2025-03-01", received_by="anna", reason="forkert")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bo", "Vej 1")] and con.execute(CONFLICTS).fetchall() == []
        undo(con, instance, 3, dated="2025-03-02", received_by="anna", reason="alligevel ikke")
        assert con.execute(CITIZENS).fetchall() == [(BO, "Bob", "Gade 9")] and len(con.execute(CONFLICTS).fetchall()) == 4


@pytest.mark.heavy
def test_a_rebuilt_warehouse_has_heard_the_same(made):
    instance, _ = made
    with open_warehouse(instance) as con:
        _send(made, con, "2025-02-01", alfa=f"{BO};Bo;Vej 1;0\n{IDA};Ida;Vej 3;0\n")
        _send(made, con, "2025-01-01", beta=f"{BO};Bob;Gade 9;0\n", cpr=f"{BO};Bo Bo;;0\n")
        _send(made, con, "2025-03-01", alfa=f"{BO};Bo;Vej 2;0\n", beta=f"{IDA};;;1\n")
        undo(con, instance, 3, dated="2025-03-01", received_by="anna", reason="prøve")
        before = _facts(con)
    instance.warehouse.unlink()
    with open_warehouse(instance) as again:
        assert _facts(again) == before
