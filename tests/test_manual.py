"""A manual line is settled like any other, by two people, until two people withdraw it; and it is told as what it is."""

import shutil
from datetime import date

import duckdb
import pytest
from driver import Platform
from postgres import POSTGRESQL, SQLITE
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from settlement.instance import open_instance
from settlement.ledger.register import open_register

FILES = {
    "borgere": [{"cpr": "0101801233"}, {"cpr": "1503924567"}],
    "tilbud": [{"tilbud_id": "T1", "ejerforhold": "egen"}],
    "katalogydelser": [{"ydelseskode": "K", "enhed": "doegn"}],
    "takster": [{"ydelseskode": "K", "gyldig_fra": "2024-01-01", "pris": "1000,00"}],
    "ydelsespakker": [
        {"pakke_id": "P1", "cpr": "0101801233", "betalingskommune": "751", "afdeling": "VO"},
        {"pakke_id": "P2", "cpr": "1503924567"},
    ],
    "ydelser": [{"ydelse_id": "Y1", "pakke_id": "P1", "ydelseskode": "K", "tilbud_id": "T1", "startdato": "2025-01-01"}],
}
MANUAL = "MANUEL-1"


def with_files(platform):
    platform.load(FILES)


@pytest.fixture
def world(make_platform):
    return make_platform(with_files)


def add(world, *, amount="-1.234,50", package="P1", month="2025-01", process="mellemkommunal", by="anna"):
    world.must(
        "manual", "add", "--process", process, "--package", package, "--month", month, f"--amount={amount}",
        "--text", "Forlig om december", "--account", "5385201", "--reason", "Aftale af 3. marts", "--by", by,
    )  # fmt: skip


def settled(world, book=False, process="mellemkommunal", day="2025-03-05", through="2025-01"):
    """{service line: (amount, quantity, price, counterparty, account, VAT, adjustment)} of a proposal."""
    return {
        row["ydelse_id"]: tuple(row[c] for c in ("beloeb", "antal", "pris", "modpart", "konto", "moms", "regulering"))
        for row in world.settle(process, through, day, book=book)
    }


def test_it_is_settled_when_another_confirms_it_and_credited_when_it_is_withdrawn(world):
    add(world)
    assert set(settled(world)) == {"Y1"}
    assert "har selv besluttet" in world.run("manual", "confirm", "1", "--by", "anna")[1]
    world.must("manual", "confirm", "1", "--by", "bo")
    line = ("-1234,50", "-1,0000", "1234,50", "751", "5385201", "0,00", "nej")
    assert settled(world, book=True)[MANUAL] == line
    assert settled(world) == {}
    world.must("manual", "withdraw", "1", "--reason", "Forliget faldt", "--by", "bo")
    assert settled(world) == {}
    world.must("manual", "confirm", "2", "--by", "anna")
    assert settled(world, book=True) == {MANUAL: ("1234,50", "1,0000", "1234,50", "751", "5385201", "0,00", "ja")}
    assert settled(world) == {}
    assert "gælder ikke" in world.run("manual", "withdraw", "1", "--reason", "x", "--by", "bo")[1]
    screen = world.must("manual", "list")
    assert "1 trukket tilbage: mellemkommunal, pakke P1, 2025-01, -1234,50 kr., konto 5385201, Forlig om december" in screen
    world.must("verify")
    for run in ("1", "2"):
        assert "alle ens" in world.must("reproduce", run)


def test_payer_hold_and_deadline_are_those_of_any_line(world):
    for package, month, amount in (("P2", "2025-01", "10,00"), ("P1", "2025-01", "20,00"), ("P1", "2023-01", "30,00")):
        add(world, package=package, month=month, amount=amount)
    for number in ("1", "2", "3"):
        world.must("manual", "confirm", number, "--by", "bo")
    world.must("hold", "place", "--citizen", "0101801233", "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    world.must("hold", "confirm", "1", "--by", "bo")
    assert settled(world) == {}
    parked = {(e["ydelse_id"], e["aarsag"]) for e in world.exceptions() if e["type"] == "parkeret"}
    assert parked == {
        ("MANUEL-1", "mangler_betaler"), ("MANUEL-2", "tilbageholdt"), ("MANUEL-3", "for_sent"), ("Y1", "tilbageholdt"),
    }  # fmt: skip
    world.load({"betalere": [{"pakke_id": "P2", "gyldig_fra": "2025-01-01", "betalingskommune": "561"}]})
    assert settled(world)["MANUEL-1"][0] == "10,00"
    # An internal line is charged to the package's department.
    add(world, process="intern", amount="5,00")
    world.must("manual", "confirm", "4", "--by", "bo")
    world.must("hold", "release", "1", "--reason", "Afgjort", "--by", "anna")
    world.must("hold", "confirm", "2", "--by", "bo")
    assert settled(world, process="intern")["MANUEL-4"][3] == "VO"


def test_explain_says_who_decided_it_and_why_and_who_holds_it(world):
    add(world)
    world.must("manual", "confirm", "1", "--by", "bo")
    said = world.must("explain", MANUAL, "2025-01")
    assert "Forlig om december (engangsbeløb)" in said and "Kilde: manuel linje 1." in said
    today = f"{date.today():%d-%m-%Y}"
    decided = f"besluttet {today} af anna, bekræftet {today} af bo, fordi «Aftale af 3. marts»."
    assert f"Manuel linje 1: {decided}" in said
    assert "1234,50 kr. × -1/1 (-1,0000) = -1234,500000 kr." in said
    assert "Trukket tilbage" not in said and "Tilbageholdelse" not in said
    # Yesterday nobody knew of it.
    assert "findes ikke" in world.run("explain", MANUAL, "2025-01", "--known-on", "2025-03-05")[1]
    world.must("hold", "place", "--citizen", "0101801233", "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    world.must("hold", "confirm", "1", "--by", "bo")
    world.must("manual", "withdraw", "1", "--reason", "Forliget faldt", "--by", "bo")
    world.must("manual", "confirm", "2", "--by", "anna")
    for line in (MANUAL, "Y1"):
        held = world.must("explain", line, "2025-01")
        whose = f"Tilbageholdelse 1 af borgeren fra 2025-01: besluttet {today} af anna, bekræftet {today} af bo, fordi «Klage»."
        assert (whose in held) == (line == "Y1"), "what is withdrawn and not booked is not held"
        assert "Tilbageholdelse" not in world.must("explain", line, "2024-12")
    withdrawn = f"Trukket tilbage: besluttet {today} af bo, bekræftet {today} af anna, fordi «Forliget faldt»."
    assert withdrawn in world.must("explain", MANUAL, "2025-01")


def test_wrong_words_are_told(world):
    given = ["--process", "mellemkommunal", "--package", "P1", "--month", "2025-01", "--amount", "10,00", "--text", "Rest",
             "--account", "5385201", "--reason", "Aftale", "--by", "anna"]  # fmt: skip
    for word, value, code, says in (
        ("--package", "P9", 1, "Pakken P9 findes ikke"), ("--amount", "0", 1, "hverken være 0"),
        ("--amount", "10,5", 2, "intet beløb"), ("--account", "53", 1, "ikke en konto"), ("--text", " ", 1, "mangler en tekst"),
        ("--reason", " ", 1, "mangler en begrundelse"), ("--process", "faktura", 2, "kan ikke afregnes"),
        ("--by", "ukendt", 1, "findes ikke"),
    ):  # fmt: skip
        changed = list(given)
        changed[changed.index(word) + 1] = value
        found, said = world.run("manual", "add", *changed)
        assert found == code and says in said, said
    for action in ("withdraw", "confirm"):
        reason = ["--reason", "x"] if action == "withdraw" else []
        assert world.run("manual", action, "9", *reason, "--by", "anna")[0] == 1
    assert world.must("manual", "list") == ""


def test_a_source_that_takes_its_id_is_told(world):
    add(world)
    world.must("manual", "confirm", "1", "--by", "bo")
    world.load({"ydelser": [FILES["ydelser"][0] | {"ydelse_id": MANUAL}]})
    code, said = world.run("settle", "mellemkommunal", "--through", "2025-01")
    assert code == 1 and "MANUEL-1 er både en manuel linje og en ydelse" in said


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_neither_lines_nor_confirmations_are_changed(make_platform_on, database):
    platform = make_platform_on(database)
    platform.load(FILES)
    add(platform)
    platform.must("manual", "confirm", "1", "--by", "bo")
    assert settled(platform, book=True)[MANUAL][0] == "-1234,50"
    engine = open_register(open_instance(platform.home))
    for statement in (
        "UPDATE manual_line SET amount_oere = 1", "DELETE FROM manual_line_confirmation",
        "UPDATE manual_line_confirmation SET confirmed_by = 'anna'", "DELETE FROM manual_line",
    ):  # fmt: skip
        with pytest.raises(DBAPIError, match="never"), engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.heavy
def test_the_marts_hold_it_too(new_instance, tmp_path):
    from ingestion.warehouse import open_warehouse
    from orchestration import dbt_build
    from orchestration.pipeline import dbt_variables, derive

    shutil.copytree(new_instance, tmp_path / "instance")
    with pytest.MonkeyPatch.context() as environment:
        platform = Platform(tmp_path / "instance", environment)
        platform.load(FILES)
        add(platform)
        platform.must("manual", "confirm", "1", "--by", "bo")
        settled(platform, book=True)
        add(platform, amount="7,00")
        platform.must("manual", "confirm", "2", "--by", "bo")
    instance = open_instance(tmp_path / "instance")
    with open_warehouse(instance) as con:
        derive(con, instance, open_register(instance), horizon=date(2025, 1, 1))
    assert dbt_build.build(dbt_variables(instance, date(2025, 1, 1)), instance.warehouse) == ("", [])
    with duckdb.connect(str(instance.warehouse)) as con:
        lines = con.execute(
            "SELECT service_line_id, item_name, amount_dkk::VARCHAR, department FROM marts.settlement_line ORDER BY 1"
        ).fetchall()
        assert lines == [(MANUAL, "Forlig om december", "-1234.50", "VO"), ("Y1", "K", "31000.00", "VO")]
        months = con.execute("""
            SELECT service_line_id, entitled_dkk::VARCHAR, booked_dkk::VARCHAR FROM marts_person.service_line_month
            WHERE service_line_id LIKE 'MANUEL-%' ORDER BY 1""").fetchall()
        assert months == [(MANUAL, "-1234.50", "-1234.50"), ("MANUEL-2", "7.00", "0.00")]
        # January's cost has them; movements and stays do not.
        cost = con.execute(
            "SELECT sum(entitled_dkk)::VARCHAR, sum(booked_dkk)::VARCHAR FROM marts.cost_month WHERE month = DATE '2025-01-01'"
        ).fetchall()
        assert cost == [("29772.50", "29765.50")]
        assert con.execute("SELECT sum(entries) FROM marts.movement").fetchall() == [(1,)]
