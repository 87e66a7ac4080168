"""The page «Disponering» in a real browser beside SQL on the marts, and dbt's exposures beside what the pages read."""

import re
from pathlib import Path

import pytest
from published_sql import ask, ask_one
from test_browser import CHROMIUM, browser, expect_figure, expect_rows, open_page, pick, served, settle, signed_in  # noqa: F401

from dashboards import format as fmt
from orchestration import dbt_build
from settlement.engine.calendar import month_end
from settlement.impact import cause_text

pytest_plugins = ["demo_instance"]

NEEDS_BROWSER = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
DASHBOARDS = Path(__file__).parent.parent / "dashboards"


def test_exposures_name_the_marts_that_pages_read():
    said = {}
    for exposure in dbt_build.manifest()["exposures"].values():
        said[exposure["label"]] = {node.rpartition(".")[2] for node in exposure["depends_on"]["nodes"]}
    read = {}
    for view, title in re.findall(r'st\.Page\(\s*"(views/\w+\.py)", title="(\w+)"', (DASHBOARDS / "app.py").read_text()):
        text = (DASHBOARDS / view).read_text(encoding="utf-8")
        marts = set(re.findall(r"marts(?:_person)?\.([a-z_]+)", text))
        if marts:
            read[title] = marts | {"build"}
    assert "Disponering" in read
    assert said == read


def expect_blocked(page, home, year, department=None):
    """The lines without a rate or a payer, from that year on, are those of the mart."""
    rows = ask(
        home,
        """SELECT service_line_id, process, reason, count(DISTINCT month) FROM marts.commitment_blocked
        WHERE year(month) >= ? AND coalesce(department = ?, true) GROUP BY ALL""",
        year, department,
    )  # fmt: skip
    if not rows:
        page.get_by_text("har en takst og en betaler").wait_for()
        return
    expect_rows(page, "commitment-blocked", len({reason for _, _, reason, _ in rows}))
    expect_rows(page, "commitment-blocked-lines", min(len(rows), 200))
    shown = page.locator('[data-table="commitment-blocked-lines"] tbody tr').evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    expected = {(line, fmt.label(process), fmt.label(reason), str(months)) for line, process, reason, months in rows}
    found = {(cells[0], cells[3], cells[4], cells[7]) for cells in shown}
    assert len(found) == len(shown) and found <= expected


@NEEDS_BROWSER
def test_figures_filters_and_causes_equal_sql(demo_home, browser, tmp_path):  # noqa: F811
    horizon = ask_one(demo_home, "SELECT horizon FROM marts.build")
    log = tmp_path / "server.log"
    with served(demo_home, log) as address:
        page = signed_in(browser, address, "rita")
        open_page(page, "Disponering")
        query = "SELECT sum({}) FROM marts.commitment_month WHERE year(month) = ? {}"
        for figure in ("expected", "realised", "remaining"):
            expect_figure(page, figure, fmt.whole_kroner(ask_one(demo_home, query.format(f"{figure}_dkk", ""), horizon.year)))
        changed = "SELECT sum(change_dkk) FROM marts.commitment_change WHERE delivery_year = ? {}"
        whole = ask_one(demo_home, changed.format(""), horizon.year)
        expect_figure(page, "change", fmt.whole_kroner(whole, signed=True))
        assert whole and page.locator("canvas, svg.marks").first.is_visible()

        lacking = ask(
            demo_home,
            """SELECT reason, count(DISTINCT service_line_id), count(DISTINCT (service_line_id, month))
            FROM marts.commitment_blocked WHERE year(month) = ? GROUP BY reason ORDER BY reason DESC""",
            horizon.year,
        )  # fmt: skip
        assert lacking  # which of the two depends on the month the demo ends in
        head = page.locator(".afr-head").inner_text()
        sentences = {"mangler_takst": "Hertil kommer {} uden takst i {}.", "mangler_betaler": "{} er uden betaler i {}."}
        for reason, lines, months in lacking:
            counted = fmt.count_of(lines, "ydelse", "ydelser"), fmt.count_of(months, "måned", "måneder")
            assert sentences[reason].format(*counted) in head
        expect_blocked(page, demo_home, horizon.year)

        department, name = ask(
            demo_home,
            """SELECT department, concat(department, ' ', any_value(department_name)) FROM marts.commitment_month
            WHERE year(month) = ? AND department_name <> '' GROUP BY department ORDER BY abs(sum(expected_dkk)) DESC LIMIT 1""",
            horizon.year,
        )[0]
        pick(page, "Afdelinger", name)
        one = ask_one(demo_home, query.format("expected_dkk", "AND department = ?"), horizon.year, department)
        assert one != ask_one(demo_home, query.format("expected_dkk", ""), horizon.year)
        expect_figure(page, "expected", fmt.whole_kroner(one))
        expect_figure(page, "change", fmt.whole_kroner(
            ask_one(demo_home, changed.format("AND department = ?"), horizon.year, department), signed=True
        ))  # fmt: skip
        expect_blocked(page, demo_home, horizon.year, department)
        page.get_by_text("Måned", exact=True).first.click()
        settle(page)
        expect_rows(page, "commitment-group", 12)

        cause, is_late, amount = ask(
            demo_home,
            """SELECT cause, is_late, sum(change_dkk) FROM marts.commitment_change
            WHERE delivery_year = ? AND department = ? AND cause <> 'uaendret' GROUP BY ALL ORDER BY abs(sum(change_dkk)) DESC, 1, 2
            LIMIT 1""",
            horizon.year, department,
        )[0]  # fmt: skip
        table = page.locator('[data-table="commitment-cause"]')
        assert table.locator("tbody tr").first.locator("td").first.inner_text() == cause_text(cause, is_late)
        assert fmt.number(amount, 2, signed=True) in table.locator("tbody tr").first.inner_text()
        lines = ask_one(
            demo_home,
            """SELECT count(*) FROM marts.commitment_change_line
            WHERE delivery_year = ? AND department = ? AND cause = ? AND is_late = ?""",
            horizon.year, department, cause, is_late,
        )  # fmt: skip
        expect_rows(page, "commitment-lines", min(lines, 200))
        assert fmt.day(month_end(horizon)) in page.locator(".afr-head").inner_text()
        page.context.close()
    assert "Traceback" not in log.read_text(encoding="utf-8")
