"""The command `worklist` and the page «Ydelsesoversættelse» in a real browser: a code decided is a load, and goes in."""

import json
import os
import re
import subprocess
import sys
from datetime import date

import pytest
from playwright.sync_api import expect
from test_browser import CHROMIUM, ROOT, browser, expect_figure, expect_rows, open_page, served, settle, signed_in  # noqa: F401
from test_conflicts import MAPPING as CITIZENS
from test_translation import BASIS, MAPPING

NEEDS_BROWSER = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")


@pytest.fixture
def delivered(platform):
    """An instance where the system alfa has delivered a code that nobody knows, and differs from beta on an address."""
    for system, mapping in (("alfa", MAPPING), ("beta", CITIZENS.format(system="beta", extract="delta"))):
        own = platform.home / "sources" / system / "1.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(mapping, encoding="utf-8")
    landing = platform.home / "landing"
    files = {
        "alfa/alfa_ydelser_2026-01-31.csv": "Nr;Pakke;Kode;Navn;Tilbud;Start;Slettet\n1;P1;DAG1;Dagtilbud;T1;2026-01-01;0\n"
        "2;P2;DAG1;Dagtilbud;T1;2026-01-01;0\n",
        "beta/beta_borgere_2026-01-31.csv": "CPR;Navn;Adresse;Slettet\n0101010000;Bodil;Gade 1;0\n",
    }
    platform.files.joinpath("basis").mkdir()
    for name, content in BASIS.items():
        (platform.files / "basis" / name).write_text(content, encoding="utf-8")
    platform.must("load", platform.files / "basis")
    for name, content in files.items():
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_text(content, encoding="utf-8")
    return platform


def test_a_decision_by_command(delivered):
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import ingest
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    instance = open_instance(delivered.home)
    with open_warehouse(instance) as con:
        ingest(con, instance, open_register(instance), lambda sentence: None, through=date(2026, 1, 1))
    listed = delivered.must("worklist")
    assert "alfa DAG1 (Dagtilbud): 2 rækker venter; 2 borgere" in listed and "  DAG Aktivitetstilbud: koden ligner" in listed
    decide = ("worklist", "decide", "alfa", "DAG1", "DAG", "--from", "01-01-2026", "--reason", "samme ydelse")
    assert "Ydelser: 2 nye, 0 ændrede." in delivered.must(*decide, "--by", "anna", "--preview")
    assert "alfa DAG1" in delivered.must("worklist")
    assert "indlæsning 3, 2 ydelser er nye eller ændrede" in delivered.must(*decide, "--by", "anna")
    assert delivered.must("worklist") == "Alle kildernes ydelseskoder er i kataloget eller oversat.\n"
    assert json.loads(delivered.must("worklist", "--json")) == []
    with open_warehouse(instance) as con:
        decided = con.execute("SELECT decided_by, reason FROM canonical.service_translation").fetchall()
    assert decided == [("anna", "samme ydelse")]


@pytest.mark.parametrize("change, told", [
    ({"--by": "ukendt"}, "ukendt"),
    ({"--reason": " "}, "skal have en begrundelse"),
    ({"item": "NY"}, "Ydelseskoden NY er ikke i kataloget"),
    ({"system": "gamma"}, "Kilden gamma har ikke leveret noget"),
])  # fmt: skip
def test_a_decision_that_cannot_be_is_refused_with_a_sentence(delivered, change, told):
    given = {"system": "indlaesning", "item": "DAG", "--by": "anna", "--reason": "prøve"} | change
    code, screen = delivered.run(
        "worklist", "decide", given["system"], "DAG1", given["item"], "--from", "01-01-2026", "--by", given["--by"],
        "--reason", given["--reason"],
    )  # fmt: skip
    assert code == 1 and told in screen


@pytest.mark.heavy
@NEEDS_BROWSER
def test_a_decision_on_the_page(delivered, browser, tmp_path):  # noqa: F811
    # Run by a process of its own, as a person would: dbt keeps the warehouse open as long as its process lives.
    environment = os.environ | {"AFREGNING_HOME": str(delivered.home)}
    subprocess.run([sys.executable, "-m", "orchestration.cli", "run"], cwd=ROOT, env=environment, check=True, capture_output=True)
    log = tmp_path / "server.log"
    with served(delivered.home, log) as address:
        page = signed_in(browser, address, "anna")
        open_page(page, "Ydelsesoversættelse")
        expect_figure(page, "codes", "1")
        expect_figure(page, "waiting_rows", "2")
        expect_figure(page, "conflicts", "1")
        expect_rows(page, "conflicts", 2)
        conflict = page.locator('[data-table="conflicts"]')
        expect(conflict).not_to_contain_text("0101010000")
        expect(conflict).not_to_contain_text("Bodil")
        expect(page.locator('[data-table="suggestions"]')).to_contain_text("koden ligner")
        page.get_by_role("textbox", name="Begrundelse").fill("samme ydelse")
        page.get_by_role("button", name="Se, hvad det ændrer").click()
        expect(page.locator('[data-sentences="worklist-preview"]')).to_contain_text("2 ydelser ville gå ind", timeout=60_000)
        page.get_by_role("button", name="Beslut", exact=True).click()
        page.get_by_text(re.compile("DAG1 er DAG fra 01-01-2026: indlæsning 3, 2 ydelser")).wait_for(timeout=60_000)
        settle(page)
        expect_figure(page, "codes", "0")
        page.context.close()
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert "Alle kildernes ydelseskoder" in delivered.must("worklist")
