"""The page Indlæsning in a real browser against the real server and the real program."""

import os
import re
import shutil
import zipfile
from datetime import date

import pytest
from playwright.sync_api import expect
from published_sql import ask
from test_browser import CHROMIUM, PATIENCE_MS, browser, expect_rows, open_page, pick, served, settle, signed_in  # noqa: F401

from dashboards import format as fmt
from dashboards import program
from ingestion import archive
from ingestion.contract import contracts
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import ingest
from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import extracts
from settlement.ledger.register import open_register, writing

pytest_plugins = ["demo_instance"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
PROGRAM_MS = 120_000  # the program starts, judges and computes
CHART = "opus_kontoplan_{}.csv"


@pytest.fixture(scope="module")
def home(demo_home, tmp_path_factory):
    """A copy of the demo instance where a chart of accounts that lost six accounts is held back."""
    home = shutil.copytree(demo_home, tmp_path_factory.mktemp("intake") / "instance", symlinks=True)
    (chart,) = (home / "landing" / "opus").glob(CHART.format("*"))
    header, *accounts = chart.read_bytes().splitlines(keepends=True)
    (chart.parent / CHART.format("2099-01-31")).write_bytes(header + b"".join(accounts[6:]))
    instance = open_instance(home)
    with open_warehouse(instance) as con:
        ingest(con, instance, open_register(instance), lambda sentence: None, through=date(2026, 1, 1))
    return home


@pytest.fixture(scope="module")
def visit(browser, home, tmp_path_factory):  # noqa: F811
    """(page of a signed-in controller, the address); afterwards the server has left nothing behind and said nothing."""
    folder = tmp_path_factory.mktemp("server")
    scratch = folder / "scratch"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", str(scratch))
        with served(home, folder / "server.log") as address:
            yield signed_in(browser, address, "anna"), address
    assert list(scratch.glob("afregning-*")) == []
    said = (folder / "server.log").read_text(encoding="utf-8")
    assert "Traceback" not in said and "Error" not in said, said


def view(page, title):
    page.get_by_role("radio", name=title).or_(page.get_by_role("button", name=title, exact=True)).first.click()
    settle(page, begin_ms=500)


def cells(page, table):
    rows = page.locator(f'[data-table="{table}"] tbody tr')
    return [rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())]


def send(page, *paths):
    view(page, "Indlæs filer")
    page.locator("input[type=file]").set_input_files([str(path) for path in paths])
    page.get_by_role("button", name="Se, hvad det ændrer").click(timeout=PATIENCE_MS)


def in_use(home, table="rate"):
    """(item, offer, first day, price in øre) of a rate that many lines have."""
    with open_warehouse(open_instance(home)) as con:
        return con.execute(
            "SELECT r.item_code, r.offer_id, r.valid_from, r.price_oere FROM canonical.rate r "
            "JOIN canonical.service_line l USING (item_code, offer_id) WHERE NOT r.withdrawn AND NOT l.withdrawn "
            "GROUP BY ALL ORDER BY r.valid_from DESC, count(*) DESC, 1, 2 LIMIT 1"
        ).fetchone()


def price_now(home, item, offer, day):
    with open_warehouse(open_instance(home)) as con:
        return con.execute(
            "SELECT price_oere FROM canonical.rate WHERE item_code = ? AND offer_id = ? AND valid_from = ?", [item, offer, day]
        ).fetchone()[0]


def test_files_are_looked_at_loaded_and_undone(visit, home, tmp_path):
    page, _ = visit
    item, offer, day, price = in_use(home)
    rows = f"ydelseskode;tilbud_id;gyldig_fra;pris\n{item};{offer};{day};{price // 100 + 10},00\n{item};{offer};31-02-2026;1,00\n"
    (tmp_path / "takster.csv").write_text(rows, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "flere.zip", "w") as packed:
        packed.writestr("katalogydelser.csv", "ydelseskode;navn;enhed\nNY-1;Ny ydelse;doegn\n")
    (tmp_path / "brev.pdf").write_bytes(b"%PDF")
    before = len(archive.loads(open_instance(home)))

    open_page(page, "Indlæsning")
    send(page, tmp_path / "takster.csv", tmp_path / "flere.zip", tmp_path / "brev.pdf")
    page.locator('[data-table="intake-money"]').wait_for(timeout=PROGRAM_MS)
    settle(page)
    read = [row[:4] for row in cells(page, "intake-files")]
    assert read == [["katalogydelser.csv", "1", "1", "0"], ["takster.csv", "2", "1", "1"]]
    assert cells(page, "intake-tables") == [["katalogydelser", "1", "0", "0"], ["takster", "0", "1", "0"]]
    ((name, number, reason, column, message),) = cells(page, "intake-refused")
    assert (name, number, reason, column) == ("takster.csv", "1", "Ugyldig værdi", "gyldig_fra") and "en dato" in message
    page.get_by_text("brev.pdf: navnet hører ikke til nogen indlæsningsfil").wait_for()
    assert len(archive.loads(open_instance(home))) == before and price_now(home, item, offer, day) == price
    total = page.locator('[data-table="intake-money"] tfoot td').nth(2).inner_text()
    assert total.startswith("+")

    page.get_by_role("button", name="Indlæs", exact=True).click()
    page.get_by_text(f"Indlæsning {before + 1} er gennemført.").wait_for(timeout=PROGRAM_MS)
    settle(page)
    assert page.locator('[data-table="intake-money"]').count() == 0
    load = archive.loads(open_instance(home))[-1]
    assert (load.received_by, [file.name for file in load.files]) == ("anna", ["takster.csv", "katalogydelser.csv"])
    assert price_now(home, item, offer, day) == (price // 100 + 10) * 100

    view(page, "Seneste indlæsninger")
    newest, *built = cells(page, "loads")
    assert newest[:3] == [str(before + 1), "netop nu", "anna"] and newest[5:9] == ["2", "3", "2", "1"]
    published = ask(home, "SELECT load_id, received_by, rows_read, rows_accepted FROM marts.load ORDER BY load_id DESC")
    assert [(int(row[0]), row[2], row[6], row[7]) for row in built] == [
        (load_id, who, fmt.number(read), fmt.number(accepted)) for load_id, who, read, accepted in published
    ]
    page.get_by_role("button", name="Se, hvad en fortrydelse ændrer").click()
    page.get_by_label("Begrundelse").wait_for(timeout=PROGRAM_MS)
    settle(page)
    assert page.locator('[data-table="intake-money"] tfoot td').nth(2).inner_text() == total.replace("+", "-")
    page.get_by_label("Begrundelse").fill("Forkert fil")
    page.get_by_role("button", name="Fortryd", exact=True).click()
    page.get_by_text(f"Indlæsning {before + 1} er fortrudt i indlæsning {before + 2}.").wait_for(timeout=PROGRAM_MS)
    settle(page)
    assert [row[10:] for row in cells(page, "loads")[:2]] == [[str(before + 1), "–"], ["–", str(before + 2)]]
    assert price_now(home, item, offer, day) == price
    undone = archive.loads(open_instance(home))[-1]
    assert (undone.undoes, undone.reason, undone.received_by) == (before + 1, "Forkert fil", "anna")


@pytest.mark.heavy
def test_a_busy_warehouse_is_told_as_a_sentence(visit, home, tmp_path):
    page, _ = visit
    (tmp_path / "katalogydelser.csv").write_text("ydelseskode;enhed\nNY-2;doegn\n", encoding="utf-8")
    open_page(page, "Indlæsning")
    with open_warehouse(open_instance(home)):
        send(page, tmp_path / "katalogydelser.csv")
        page.get_by_text("Datalageret bruges af en anden kørsel netop nu.").wait_for(timeout=PROGRAM_MS)
    assert page.get_by_role("button", name="Indlæs", exact=True).count() == 0


def test_templates_are_explained_and_downloaded(visit, tmp_path):
    page, _ = visit
    open_page(page, "Indlæsning")
    view(page, "Skabeloner")
    page.locator('[data-table="template-columns"]').wait_for(timeout=PROGRAM_MS)
    pick(page, "Indlæsningsfil", re.compile("^Takster"))
    expect(page.locator('[data-table="template-columns"] caption')).to_contain_text("takster", timeout=PATIENCE_MS)
    assert [row[0] for row in cells(page, "template-columns")] == [
        "ydelseskode", "tilbud_id", "gyldig_fra", "gyldig_til", "pris", "slet",
    ]  # fmt: skip
    for button in ("Hent takster.xlsx", "Hent takster.csv", "Hent alle (zip)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    header = (tmp_path / "takster.csv").read_text(encoding="utf-8-sig").strip()
    assert header == "ydelseskode;tilbud_id;gyldig_fra;gyldig_til;pris;slet"
    with zipfile.ZipFile(tmp_path / "skabeloner.zip") as packed:
        assert len(packed.namelist()) == 2 * sum(contract.public for contract in contracts().values())
        assert packed.read("takster.xlsx") == (tmp_path / "takster.xlsx").read_bytes()


def test_who_may_not_only_looks(visit, browser, home):  # noqa: F811
    _, address = visit
    page = signed_in(browser, address, "rita")
    open_page(page, "Indlæsning")
    page.get_by_text("Rollen revisor kan ikke indlæse filer.").wait_for()
    view(page, "Seneste indlæsninger")
    assert page.get_by_text("Fortryd en indlæsning").count() == 0
    view(page, "Holdt tilbage")
    expect_rows(page, "held", 1)
    page.get_by_text("Rollen revisor kan ikke frigive udtræk.").wait_for()


def test_a_held_extract_is_released(visit, home):
    page, _ = visit
    open_page(page, "Indlæsning")
    page.get_by_text("1 udtræk er holdt tilbage og venter på en beslutning.").wait_for()
    view(page, "Holdt tilbage")
    expect_rows(page, "held", 1)
    with writing(open_register(open_instance(home))) as session:
        ((held, _),) = extracts.waiting(session)
    (row,) = cells(page, "held")
    moved = fmt.kroner_figure(fmt.oere(held.moved_oere))
    assert row[0] == CHART.format("2099-01-31") and row[4:7] == ["6", fmt.number(held.rows_living), moved]
    page.get_by_label("Begrundelse").fill("Seks konti er nedlagt")
    page.get_by_role("button", name="Frigiv").click()
    page.get_by_text("er frigivet af anna og tages ind ved næste kørsel.").wait_for(timeout=PATIENCE_MS)
    settle(page)
    assert cells(page, "held")[0][8] == "anna: Seks konti er nedlagt"
    page.get_by_text("Ingen udtræk er holdt tilbage.").wait_for()
    instance = open_instance(home)
    with open_warehouse(instance) as con:
        ingest(con, instance, open_register(instance), lambda sentence: None, through=date(2026, 1, 1))
        assert con.execute("SELECT count(*) FROM canonical.account WHERE withdrawn").fetchone() == (6,)


def test_what_is_sent_is_written_under_safe_names_and_goes_away():
    sent = [
        ("../../etc/takster.csv", b"a"), ("..\\takster.csv", b"b"), (".skjult\n<x>.csv", b"c"), ("\u202e/", b"d"),
        ("å" * 300 + ".csv", b"e"),
    ]  # fmt: skip
    with program.written(sent) as paths:
        assert [path.read_bytes() for path in paths] == [content for _, content in sent]
        assert len({path.parent.parent for path in paths}) == 1 and len(set(paths)) == len(sent)
        assert [path.name for path in paths[:4]] == ["takster.csv", "takster.csv", "skjult__x_.csv", "_"]
        assert paths[4].name.endswith("å.csv") and len(os.fsencode(paths[4].name)) <= 255
        scratch = paths[0].parent.parent
        assert scratch.stat().st_mode & 0o077 == 0
    assert not scratch.exists()


@pytest.mark.heavy
def test_a_fault_of_the_program_is_its_sentence(home, tmp_path):
    instance = open_instance(home)
    with pytest.raises(StateFault, match="Indlæsning 999 findes ikke"):
        program.ask(instance, "undo", "999", "--preview")
    with pytest.raises(StateFault, match="/dev/null/x kan ikke læses eller skrives"):
        program.ask(instance, "templates", "--out", "/dev/null/x")
    shutil.copy(home / "settings.toml", tmp_path)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "manifest.jsonl").write_text("ingen json\n")
    with pytest.raises(StateFault, match="standsede uventet"):
        program.ask(open_instance(tmp_path), "undo", "999", "--preview")
