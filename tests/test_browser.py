"""Every page in a real browser against the real server: figures and filtered figures equal SQL, nothing fails."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from published_sql import ask, ask_one

from dashboards import format as fmt

pytest_plugins = ["demo_instance"]

ROOT = Path(__file__).parent.parent
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
PATIENCE_MS = 30_000


@contextmanager
def served(home, log):
    """The pages' address while the server runs on a free port; its output goes to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port),
             "--server.address", "127.0.0.1", "--server.headless", "true"],
            cwd=ROOT / "dashboards", env=os.environ | {"AFREGNING_HOME": str(home)}, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            for _ in range(300):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


def signed_in(browser, address, name):
    """A new Danish browser window, signed in."""
    page = browser.new_context(locale="da-DK", viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.get_by_role("combobox", name="Bruger").click()
    page.get_by_role("option", name=re.compile(f"^{name} ")).click()
    page.get_by_role("button", name="Log ind").click()
    page.locator("[data-figure]").first.wait_for()
    settle(page)
    return page


def settle(page, begin_ms=150):
    """Waits until the server has no more to draw; `begin_ms` is the time it is given to begin."""
    page.wait_for_timeout(begin_ms)
    page.wait_for_function(
        "document.querySelector('[data-testid=\"stApp\"]').getAttribute('data-test-script-state') === 'notRunning'"
    )


def open_page(page, title):
    """Opens a page by its link and returns the seconds until its head and all its content stand there."""
    began = time.monotonic()
    page.get_by_role("link", name=title, exact=True).click()
    page.locator(".afr-head h1", has_text=title).wait_for()
    settle(page)
    assert page.locator('[data-testid="stException"]').count() == 0
    return time.monotonic() - began


def expect_figure(page, name, text):
    expect(page.locator(f'[data-figure="{name}"] .afr-value')).to_have_text(text, timeout=PATIENCE_MS)


def expect_rows(page, table, number_of):
    expect(page.locator(f'[data-table="{table}"] tbody tr')).to_have_count(number_of, timeout=PATIENCE_MS)


def pick(page, label, option):
    field = page.get_by_role("combobox", name=label).first
    field.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # a list that opens while the page still scrolls closes again
    field.click()
    page.get_by_role("option", name=option).first.click()
    page.keyboard.press("Escape")
    settle(page, begin_ms=500)


@pytest.fixture(scope="module")
def visit(browser, demo_home, tmp_path_factory):
    """(page of a signed-in controller, the instance's folder); the server's log is read when all is done."""
    log = tmp_path_factory.mktemp("browser") / "server.log"
    # A copy: looking a citizen up writes in the access log.
    home = shutil.copytree(demo_home, tmp_path_factory.mktemp("visited") / "instance", symlinks=True)
    with served(home, log) as address:
        yield signed_in(browser, address, "anna"), home
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said and "Error" not in said, said


def test_the_page_speaks_danish_and_hides_the_tool(visit):
    page, _ = visit
    assert page.evaluate("document.documentElement.lang") == "da"
    assert not page.get_by_text("Deploy", exact=True).is_visible()
    assert (
        page.locator('[data-testid="stMainMenu"]').count() == 0
        or not page.locator('[data-testid="stMainMenu"]').is_visible()
    )


def test_overview(visit):
    page, home = visit
    open_page(page, "Overblik")
    horizon = ask_one(home, "SELECT horizon FROM marts.build")
    cost = ask_one(
        home,
        """SELECT sum(entitled_dkk) FROM marts.cost_month
        WHERE month = ? AND process IN ('faktura', 'intern', 'udbetaling')""",
        horizon,
    )
    expect_figure(page, "udgift", fmt.millions(cost))
    page.get_by_text("Opkrævet hos andre", exact=True).first.click()
    page.locator('[data-table="cost-month"] caption', has_text="Opkrævet").wait_for()
    claimed = ask_one(
        home, "SELECT sum(entitled_dkk) FROM marts.cost_month WHERE month = ? AND process = 'mellemkommunal'", horizon
    )
    newest = page.locator('[data-table="cost-month"] tbody tr').first
    assert newest.locator("td").first.inner_text() == fmt.month(horizon)
    assert newest.locator("td").last.inner_text() == fmt.number(claimed)
    assert page.locator("canvas, svg.marks").first.is_visible()


def test_budget_follow_up(visit):
    page, home = visit
    open_page(page, "Budgetopfølgning")
    year = ask_one(home, "SELECT year(horizon) FROM marts.build")
    query = "SELECT sum(expected_dkk) FROM marts.budget_follow_up WHERE year(month) = ? {}"
    expect_figure(page, "expected", fmt.whole_kroner(ask_one(home, query.format(""), year)))
    department, name = ask(
        home,
        """SELECT department, any_value(department_name) FROM marts.budget_follow_up WHERE year(month) = ?
        AND department_name IS NOT NULL GROUP BY department ORDER BY abs(sum(expected_dkk)) DESC LIMIT 1""",
        year,
    )[0]
    pick(page, "Afdelinger", name)
    one = ask_one(home, query.format("AND department = ?"), year, department)
    expect_figure(page, "expected", fmt.whole_kroner(one))


def test_occupancy(visit):
    page, home = visit
    open_page(page, "Belægning")
    first = ask_one(
        home,
        "SELECT greatest(min(month), (SELECT horizon FROM marts.build) - INTERVAL 11 MONTH) FROM marts.occupancy_offer",
    )
    query = "SELECT sum(enrolled_days) FROM marts.occupancy_offer WHERE month >= ? AND owner_kind = 'egen' {}"
    expect_figure(page, "enrolled_days", fmt.number(ask_one(home, query.format(""), first)))
    offer, name = ask(
        home,
        """SELECT offer_id, any_value(offer_name) FROM marts.occupancy_offer WHERE owner_kind = 'egen' AND month >= ?
        GROUP BY offer_id HAVING sum(enrolled_days) > 0 ORDER BY 1 LIMIT 1""",
        first,
    )[0]
    pick(page, "Tilbud", name)
    expect_figure(page, "enrolled_days", fmt.number(ask_one(home, query.format("AND offer_id = ?"), first, offer)))
    page.get_by_text("Pr. betalingskommune", exact=True).click()
    page.locator('[data-table="occupancy-municipality"]').wait_for()
    days = ask_one(
        home,
        "SELECT sum(enrolled_days) FROM marts.occupancy_municipality WHERE month >= ? AND offer_id = ?",
        first,
        offer,
    )
    expect_figure(page, "days", fmt.number(days))


def test_settlement(visit):
    page, home = visit
    open_page(page, "Afregning")
    parked, late = ask(
        home,
        """SELECT count(*), count(*) FILTER (WHERE reason = 'for_sent') FROM marts.parked_line
        WHERE process = 'mellemkommunal' AND timing = 'bagud'""",
    )[0]
    pick(page, "Forslag", re.compile("^Mellemkommunal, bagud"))
    expect_figure(page, "parked", fmt.number(parked))
    pick(page, "Årsag", "Rejst for sent")
    expect_rows(page, "parked", min(late, 200))
    caption = page.locator('[data-table="parked"] caption').inner_text()
    assert late <= 200 or f"af {fmt.number(late)}" in caption
    page.get_by_text("Bogførte kørsler", exact=True).click()
    page.get_by_text("Ingen bogførte kørsler").wait_for()


def test_citizen(visit):
    page, home = visit
    open_page(page, "Borger")
    cpr, name, total = ask(
        home,
        """SELECT c.cpr, any_value(c.name), sum(m.entitled_dkk) FILTER (WHERE m.delivery_month = last.month)
        FROM marts_person.citizen c JOIN marts_person.service_line_month m USING (cpr)
        JOIN (SELECT cpr, max(delivery_month) AS month FROM marts_person.service_line_month
            GROUP BY cpr) last USING (cpr)
        WHERE c.name <> '' GROUP BY c.cpr HAVING sum(m.entitled_dkk) FILTER (WHERE m.delivery_month = last.month) > 0
        ORDER BY c.cpr LIMIT 1""",
        file="afregning_person.duckdb",
    )[0]
    page.get_by_label("CPR-nummer").fill(cpr)
    page.get_by_label("Formål med opslaget").fill("Prøve i browser")
    page.get_by_role("button", name="Slå op").click()
    page.get_by_text(name).first.wait_for()
    settle(page)
    expect_figure(page, "month", fmt.kroner(total))
    assert cpr not in page.url


def test_data_quality(visit):
    page, home = visit
    open_page(page, "Datakvalitet")
    expect_figure(page, "rows_read", fmt.number(ask_one(home, "SELECT sum(rows_read) FROM marts.file_quality")))
    warnings = ask_one(home, "SELECT count(*) FROM marts.quality_finding WHERE kind = 'advarsel' AND is_open")
    pick(page, "Type", "Advarsel")
    page.locator('[data-table="findings"] caption', has_text=f"{warnings} fund").wait_for()
    expect_rows(page, "findings", min(warnings, 200))
