"""Every standing rule of data quality finds what it should and leaves what lies beside it; severities, overrides, replay."""

import json
import re
import shutil

import pytest
from driver import csv_text
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ingestion import archive
from ingestion.engine_input import bind
from ingestion.receiving import receive, undo
from ingestion.rules import rules, set_facts, severities
from ingestion.warehouse import open_warehouse
from settlement.faults import InputFault, StateFault
from settlement.instance import create_folders, open_instance
from settlement.ledger import overrides
from settlement.ledger.register import add_user, open_register, writing

BO, EVA = "0101010000", "0202020000"
BASIS = {
    "katalogydelser": [
        {"ydelseskode": "BO", "enhed": "doegn", "lov": "SEL", "paragraf": "§ 107", "funktion": "5.38.52", "gruppering": "001",
         "art": "4.7", "afrejsedag_betales": "nej"},
        {"ydelseskode": "GAMMEL", "enhed": "maaned", "lov": "SEL", "paragraf": "52", "funktion": "5.28.21", "gruppering": "001",
         "art": "4.7"},
        {"ydelseskode": "UDEN", "enhed": "maaned"},
    ],
    "tilbud": [
        {"tilbud_id": "T1", "ejerforhold": "egen", "pladser": "1", "kommunekode": "461"},
        {"tilbud_id": "T2", "ejerforhold": "privat", "pladser": "9", "kommunekode": "751"},
    ],
    "borgere": [{"cpr": BO, "adressebeskyttet": "nej"}, {"cpr": EVA, "adressebeskyttet": "nej"}],
    "ydelsespakker": [
        {"pakke_id": "P1", "cpr": BO, "betalingskommune": "461", "afdeling": "VO", "bevilget_dato": "2024-01-01"},
        {"pakke_id": "P2", "cpr": EVA, "betalingskommune": "461", "afdeling": "VO", "bevilget_dato": "2024-01-01"},
    ],
    "ydelser": [
        {"ydelse_id": "Y1", "pakke_id": "P1", "ydelseskode": "BO", "tilbud_id": "T1", "startdato": "2024-06-01", "slutdato": ""},
    ],
    "takster": [
        {"ydelseskode": code, "gyldig_fra": "2024-01-01", "gyldig_til": "2025-12-31", "pris": "100,00"}
        for code in ("BO", "GAMMEL", "UDEN")
    ],
}  # fmt: skip
FAR, NEAR = {"tilbud_id": "T2"}, {"tilbud_id": "T1"}


def line(**cells):
    return {"ydelser": [BASIS["ydelser"][0] | {"ydelse_id": "Y2"} | cells]}


def event(art, cpr, dato, **more):
    """One event of the CPR feed, in its own layout."""
    return {"art": art, "person": {"cpr": cpr}, "dato": dato} | more


def cpr_feed(*events):
    return {"cpr": [{"haendelse_id": str(n), **e} for n, e in enumerate(events)]}


def status(cpr, day, code):
    return event("status", cpr, day, status=code)


def move(cpr, day, code):
    return event("flytning", cpr, day, adresse={"kommunekode": code})


# rule → (what is found, and where; what lies beside it and is not)
CASES = {
    "dobbelt_ophold": (
        ({**line(startdato="2025-01-10", **FAR)}, {"Y1", "Y2"}),
        # On the day of moving the first stay is not paid; a line of another unit is no stay.
        {"ydelser": [BASIS["ydelser"][0] | {"slutdato": "2025-01-10"},
                     *line(startdato="2025-01-10", **FAR)["ydelser"],
                     *line(ydelse_id="Y3", ydelseskode="UDEN", startdato="2025-01-01", konto="12345", **FAR)["ydelser"]]},
    ),
    "doed_borger": (
        (cpr_feed(status(BO, "2025-01-15", "90")), {"Y1"}),
        cpr_feed(status(BO, "2025-01-15", "90"), status(BO, "2025-01-16", "01"), status(EVA, "2025-01-15", "90")),
    ),
    "fraflyttet_borger": (
        (cpr_feed(move(BO, "2025-01-15", "0561")), {"Y1"}),
        cpr_feed(move(BO, "2025-01-15", "0561"), move(BO, "2025-01-20", "0461"), move(EVA, "2025-01-15", "0561")),
    ),
    "egen_betaler": (
        (line(afregningsform="mellemkommunal", startdato="2025-01-10", ydelseskode="GAMMEL", **FAR), {"Y2"}),
        # Another pays from before it began, or from the day it will begin.
        {"betalere": [{"pakke_id": "P1", "gyldig_fra": "2024-01-01", "betalingskommune": "561"},
                      {"pakke_id": "P2", "gyldig_fra": "2025-06-01", "betalingskommune": "561"}],
         "ydelser": [*line(afregningsform="mellemkommunal", startdato="2025-01-10", ydelseskode="GAMMEL", **FAR)["ydelser"],
                     *line(ydelse_id="Y3", pakke_id="P2", afregningsform="mellemkommunal", startdato="2025-06-01")["ydelser"]]},
    ),
    "mangler_takst": (
        ({"takster": [BASIS["takster"][0] | {"gyldig_til": "2025-01-30"}]}, {"Y1"}),
        {"takster": [BASIS["takster"][0] | {"gyldig_til": "2024-12-31"},
                     BASIS["takster"][0] | {"tilbud_id": "T1", "gyldig_fra": "2025-01-01", "gyldig_til": "2025-01-10"}],
         "individuelle_takster": [{"ydelse_id": "Y1", "gyldig_fra": "2025-01-11", "gyldig_til": "2025-01-31", "pris": "1"}]},
    ),
    "over_kapacitet": (
        (line(pakke_id="P2", startdato="2025-01-10"), {"T1"}),
        # The same citizen twice takes one place, and one who left makes room.
        {"ydelser": [BASIS["ydelser"][0] | {"slutdato": "2025-01-10"},
                     *line(startdato="2025-01-05", slutdato="2025-01-10")["ydelser"],
                     *line(ydelse_id="Y3", pakke_id="P2", startdato="2025-01-10")["ydelser"]]},
    ),
    "uden_bevilling": (
        ({"ydelsespakker": [BASIS["ydelsespakker"][0] | {"bevilget_dato": ""}]}, {"Y1"}),
        {"ydelsespakker": [BASIS["ydelsespakker"][1] | {"bevilget_dato": ""}]},
    ),
    "uden_konto": (
        (line(ydelseskode="UDEN"), {"Y2"}),
        {**line(ydelseskode="UDEN"), "kontoregler": [{"ydelse_id": "Y2", "gyldig_fra": "2024-01-01", "konto": "12345"}]},
    ),
    "paragraf_ikke_i_kraft": (
        (line(ydelseskode="GAMMEL", **FAR), {"Y2"}),
        line(ydelseskode="GAMMEL", startdato="2023-12-31", **FAR),
    ),
    "nedlagt_cpr": (
        (cpr_feed(event("personnummer", BO, "2025-01-15", nyt_cpr="0303030000")), {"P1"}),
        cpr_feed(event("personnummer", "0404040000", "2025-01-15", nyt_cpr=BO)),
    ),
    "adressebeskyttelse": (
        (cpr_feed(event("beskyttelse", BO, "2025-01-15")), {"borgere.csv:2"}),
        cpr_feed(event("beskyttelse", BO, "2024-01-01", til_dato="2025-01-30")),
    ),
}  # fmt: skip


class World:
    def __init__(self, instance, con, folder):
        self.instance, self.con, self.folder, self.loads = instance, con, folder, 0

    def load(self, files, dated="2025-01-31"):
        self.loads += 1
        given = []
        for name, rows in files.items():
            if name == "cpr":
                path = self.folder / f"{self.loads}-cpr.json"
                path.write_text(json.dumps({"data": {"haendelser": rows}}), encoding="utf-8")
                given.append(("cpr", f"cpr_haendelser_{dated}.json", path))
            else:
                path = self.folder / f"{self.loads}-{name}.csv"
                path.write_text(csv_text(rows), encoding="utf-8")
                given.append((archive.LOADER, f"{name}.csv", path))
        load_id, reports = receive(self.con, self.instance, given, dated=dated, received_by="test")
        assert load_id and not any(r.fault for r in reports), reports
        return load_id, reports

    def open(self, rule):
        """The keys of a rule's open findings; a row named by its file has the file's name in the place of its hash."""
        found = self.con.execute(
            """SELECT coalesce(replace(key, left(f.file_hash, 12), f.name), key)
            FROM quality.finding q LEFT JOIN raw.file f ON f.file_hash = q.file_hash AND starts_with(key, left(f.file_hash, 12))
            WHERE rule = ? AND closed_load IS NULL""", [rule]).fetchall()  # fmt: skip
        return {key for (key,) in found}

    def all_findings(self):
        return sorted(map(repr, self.con.execute("FROM quality.finding").fetchall()))

    def parked(self):
        bind(self.con, self.instance, self.register)
        return {key for (key,) in self.con.execute("FROM refused_line").fetchall()}

    @property
    def register(self):
        return open_register(self.instance)

    def ask(self, text):
        (self.instance.home / "quality.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def basis(tmp_path_factory):
    """The folder of an instance that has received BASIS; never written to by a test."""
    folder = tmp_path_factory.mktemp("basis")
    instance = create_folders(folder / "instance", "461")
    with open_warehouse(instance) as con:
        World(instance, con, folder).load(BASIS)
    return instance.home


@pytest.fixture
def world(basis, tmp_path):
    instance = open_instance(shutil.copytree(basis, tmp_path / "instance"))
    with open_warehouse(instance) as con:
        world = World(instance, con, tmp_path)
        world.loads = 1
        yield world


def test_every_standing_rule_has_its_case():
    assert set(CASES) == {rule.id for rule in rules().values() if not rule.each_load}
    assert all(rule.severity == "warn" for rule in rules().values())


def test_the_basis_is_clean(world):
    assert world.all_findings() == []


@pytest.mark.parametrize("rule", CASES)
def test_a_standing_rule_finds_it_and_only_it(world, rule):
    (files, found), _ = CASES[rule]
    load_id, _ = world.load(files)
    assert world.open(rule) == found
    assert world.con.execute("SELECT DISTINCT opened_load FROM quality.finding").fetchall() == [(load_id,)]
    assert not {BO, EVA} & set(re.findall(r"\d{10}", " ".join(world.all_findings())))


@pytest.mark.parametrize("rule", CASES)
def test_a_standing_rule_leaves_what_lies_beside(world, rule):
    world.load(CASES[rule][1])
    assert world.open(rule) == set()


def test_a_finding_is_opened_by_another_fact_and_closed_by_the_load_that_mends_it(world):
    world.load(cpr_feed(status(BO, "2025-01-15", "90")), "2025-02-10")
    opened = world.con.execute("SELECT key, opened_load, closed_load FROM quality.finding WHERE rule = 'doed_borger'")
    assert opened.fetchall() == [("Y1", 2, None)]
    world.load({"borgere": [{"cpr": BO, "navn": "Bo"}]}, "2025-02-20")  # changes nothing about it
    world.load({"ydelser": [BASIS["ydelser"][0] | {"slutdato": "2025-01-15"}]}, "2025-03-10")
    closed = world.con.execute("SELECT key, opened_load, closed_load FROM quality.finding WHERE rule = 'doed_borger'")
    assert closed.fetchall() == [("Y1", 2, 4)]


def test_time_alone_opens_a_finding(world):
    """The rate ends with 2025: a load of 2026 that says nothing of the line finds days without a price."""
    world.load({"afdelinger": [{"afdeling": "VO"}]}, "2025-12-31")
    assert world.open("mangler_takst") == set()
    world.load({"afdelinger": [{"afdeling": "BU"}]}, "2026-01-02")
    assert world.open("mangler_takst") == {"Y1"}


@pytest.mark.heavy
def test_a_rebuild_gives_the_same_findings_of_the_same_loads(world):
    for month, rule in enumerate(CASES, 1):
        world.load(CASES[rule][0][0], f"2025-{month:02d}-28")
    undo(world.con, world.instance, 3, dated="2025-11-01", received_by="test", reason="fejl")
    before = world.all_findings()
    assert len(before) > 12 and any(row[7] for row in world.con.execute("FROM quality.finding").fetchall())
    world.con.close()
    world.instance.warehouse.unlink()
    with open_warehouse(world.instance) as again:
        assert sorted(map(repr, again.execute("FROM quality.finding").fetchall())) == before
        again.execute("SET VARIABLE known_load = 2::BIGINT")
        assert {row[0] for row in again.execute("FROM known.finding").fetchall()} == {"dobbelt_ophold"}


# --- Severity -----------------------------------------------------------------------------------------------------------


def test_park_reports_before_its_day_and_parks_after_it_until_overridden(world):
    world.ask("doed_borger: {severity: park, from: 2025-03-01}")
    world.load(cpr_feed(status(BO, "2025-01-15", "90")), "2025-02-28")
    assert world.open("doed_borger") == {"Y1"} and world.parked() == set()
    world.load({"afdelinger": [{"afdeling": "VO"}]}, "2025-03-01")
    assert world.parked() == {"Y1"}
    with writing(world.register) as session:
        for name in ("anna", "bo"):
            add_user(session, name, "controller")
    with writing(world.register) as session:
        made = overrides.place(session, user_name="anna", rule="doed_borger", finding_key="Y1", reason="Huslejen løber ud")
        with pytest.raises(StateFault, match="En anden"):
            overrides.confirm(session, user_name="anna", override_id=made.override_id)
        with pytest.raises(StateFault, match="allerede"):
            overrides.place(session, user_name="bo", rule="doed_borger", finding_key="Y1", reason="igen")
    assert world.parked() == {"Y1"}
    with writing(world.register) as session:
        overrides.confirm(session, user_name="bo", override_id=1)
        assert "anna" in overrides.trace(session, overrides.in_force(session)[0])
    assert world.parked() == set()
    with writing(world.register) as session:
        overrides.lift(session, user_name="bo", override_id=1, reason="Boligen er tom")
        overrides.confirm(session, user_name="anna", override_id=2)
    assert world.parked() == {"Y1"}


def test_a_parked_finding_keeps_the_line_out_of_the_proposal(platform):
    from test_holds import FILES, settled

    platform.load(FILES)
    assert settled(platform) == {"Y1", "Y2", "Y3"}
    second = {"ydelseskode": "K2", "enhed": "maaned", "lov": "SEL", "paragraf": "3"}
    platform.load({"katalogydelser": [second], "ydelser": [FILES["ydelser"][0] | {"ydelse_id": "Y4", "ydelseskode": "K2"}],
                   "takster": [{"ydelseskode": "K2", "gyldig_fra": "2024-01-01", "pris": "10,00"}]})  # fmt: skip
    assert settled(platform) == {"Y1", "Y2", "Y3", "Y4"}
    (platform.home / "quality.yaml").write_text("paragraf_ikke_i_kraft: {severity: park, from: 2025-01-01}")
    assert settled(platform) == {"Y1", "Y2", "Y3"}
    assert ("Y4", "afventer_rettelse") in {(e["ydelse_id"], e["aarsag"]) for e in platform.exceptions()}
    assert "paragraf_ikke_i_kraft: Paragraffen gælder ikke; park fra 01-01-2025; 1 åbne" in platform.must("quality", "list")
    made = platform.must("quality", "override", "paragraf_ikke_i_kraft", "Y4", "--by", "anna", "--reason", "Aftalt")
    assert "Tilsidesættelse 1 venter" in made and platform.run("quality", "confirm", "1", "--by", "anna")[0] == 1
    platform.must("quality", "confirm", "1", "--by", "bo")
    assert settled(platform) == {"Y1", "Y2", "Y3", "Y4"}
    assert "anna" in platform.must("quality", "list")
    assert platform.run("quality", "override", "paragraf_ikke_i_kraft", "Y1", "--by", "anna", "--reason", "x")[0] == 1


def test_refuse_warns_before_its_day_and_refuses_after_it(world):
    world.ask("citizen_cpr: {severity: refuse, from: 2025-03-01}\nparagraf_ikke_i_kraft: {severity: refuse, from: 2025-03-01}")
    citizen = {"borgere": [{"cpr": "0101800001"}]}
    _, (before,) = world.load(citizen, "2025-02-28")
    assert (before.rows_accepted, before.rows_warned) == (1, 1)
    _, (after,) = world.load({"borgere": [{"cpr": "0101800002"}, {"cpr": "0101801233"}]}, "2025-03-01")
    assert (after.rows_accepted, after.rows_quarantined) == (1, 1)
    world.load(line(ydelseskode="GAMMEL"), "2025-03-02")
    refused = world.con.execute("SELECT loader_file, column_name, message FROM quarantine.refused").fetchall()
    assert refused == [("borgere", "cpr", rules()["citizen_cpr"].message),
                       ("ydelser", "ydelseskode", rules()["paragraf_ikke_i_kraft"].message)]  # fmt: skip


def test_a_new_refusal_takes_effect_on_what_is_replayed(world):
    world.load({"borgere": [{"cpr": "0101800001"}]}, "2025-03-05")
    world.con.close()
    world.ask("citizen_cpr: {severity: refuse, from: 2025-03-01}")
    with open_warehouse(world.instance) as again:
        assert again.execute("SELECT count(*) FROM quarantine.refused").fetchone() == (1,)
        assert again.execute("SELECT severity, bites_from::VARCHAR FROM quality.rule WHERE rule = 'citizen_cpr'").fetchall() == [
            ("refuse", "2025-03-01")
        ]


@pytest.mark.parametrize("asked, told", [
    ("dobbelt_ophold: {severity: refuse, from: 2025-03-01}", "kan ikke afvise en række.*ydelser.*Brug park"),
    ("nedlagt_cpr: {severity: park, from: 2025-03-01}", "kan ikke parkere"),
    ("citizen_cpr: {severity: park, from: 2025-03-01}", "Brug refuse"),
    ("ukendt: {severity: park, from: 2025-03-01}", "findes ikke"),
    ("doed_borger: {severity: park}", "skal stå som"),
    ("doed_borger: {severity: stop, from: 2025-03-01}", "skal stå som"),
    ("doed_borger: {severity: park, from: i morgen}", "skal stå som"),
    ("- doed_borger", "en linje pr. regel"),
    ("{", "kan ikke læses"),
])  # fmt: skip
def test_a_settings_file_that_asks_for_what_cannot_be_is_told(world, asked, told):
    world.ask(asked)
    with pytest.raises(StateFault, match=told):
        severities(world.instance)


def test_overrides_are_never_changed(world):
    with writing(world.register) as session:
        add_user(session, "anna", "controller")
        add_user(session, "rita", "revisor")
    with writing(world.register) as session:
        overrides.place(session, user_name="anna", rule="doed_borger", finding_key="Y1", reason="x")
        with pytest.raises(StateFault, match="ret til"):
            overrides.place(session, user_name="rita", rule="doed_borger", finding_key="Y2", reason="x")
        with pytest.raises(InputFault, match="begrundelse"):
            overrides.place(session, user_name="anna", rule="doed_borger", finding_key="Y2", reason=" ")
    for sentence in ("UPDATE quality_override SET reason = 'y'", "DELETE FROM quality_override"):
        with Session(world.register) as session, pytest.raises(DBAPIError, match="never"):
            session.execute(text(sentence))


def test_every_warning_rule_can_be_asked(world):
    """Each rule's SQL binds, also on tables that no test row reaches."""
    set_facts(world.con, world.instance)
    for rule in rules().values():
        world.con.execute(f"SELECT count(*) FROM canonical.{rule.table} r WHERE {rule.when.replace('r.load_id', '0')}")
