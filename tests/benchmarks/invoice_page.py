"""How long Fakturabetaling takes to answer a controller in a real browser where the published marts hold a million invoice lines
matched against two million commitments. Prints seconds and peak memory; asserts nothing but that the page has no error.

    python tests/benchmarks/invoice_page.py [invoice lines] [commitments]     (1,000,000 and 2,000,000 unless told)

The canonical tables hold the world of matching.sql, which is matched as matching.py does; engine, marts and publication are the
pipeline's own. The files of the invoices that are opened lie in the archive.
"""

import re
import resource
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
from driver import Platform
from invoice_files import invoice_xml
from playwright.sync_api import sync_playwright
from published_sql import ask
from test_browser import CHROMIUM, open_page, served, settle, signed_in

from ingestion.warehouse import open_warehouse
from orchestration import dbt_build
from orchestration.invoices import KEPT
from orchestration.pipeline import dbt_variables, derive
from orchestration.publish import publish
from settlement.instance import open_instance
from settlement.invoices import matching
from settlement.invoices.reasons import OUTCOMES
from settlement.ledger.register import open_register

HORIZON = date(2025, 6, 1)
OPENED = 3  # invoices of each outcome, as the page lists them

# Canonical table → its rows, of matching.sql's tables. Every line has a rate of its own and ends with the year.
CANONICAL = {
    "service_line": """SELECT * EXCLUDE (withdrawn) REPLACE (DATE '2025-12-31' AS end_date), 10000 AS quantity_e4,
        'bagud' AS timing, '5281230000004001' AS account, 'takst' AS claim_kind FROM temp.service_line""",
    "service_package": "SELECT *, '657' AS paying_municipality, 'bevilget' AS status FROM temp.service_package",
    "citizen": "SELECT *, '657' AS residence_municipality, false AS address_protected FROM temp.person",
    "catalogue_item": """SELECT *, 'faktisk' AS proration, 0 AS absence_full_days, 10000 AS absence_pct_e2,
        true AS departure_day_paid, 0 AS vat_pct_e2 FROM temp.catalogue_item""",
    "offer": "SELECT *, 'Tilbud ' || offer_id AS name, 'privat' AS owner_kind FROM temp.offer_owner",
    "individual_rate": """SELECT DISTINCT service_line_id, DATE '2025-01-01' AS valid_from, price_oere FROM temp.piece""",
    "department": "SELECT *, 'Afdeling ' || department AS name FROM temp.department_ean",
}
# One invoice in five charges more than was agreed, one in seven names a citizen that nobody knows.
WRONG = """
    UPDATE temp.invoice_line SET price_e10 = 2 * price_e10, amount_oere = 2 * amount_oere WHERE hash(document_id) % 5 = 0;
    UPDATE temp.invoice_line SET note = 'Ukendt Borgersen', order_reference = NULL WHERE hash(document_id) % 7 = 0;
    UPDATE temp.invoice AS i SET (net_oere, payable_oere) = (s.net, s.net)
    FROM (SELECT document_id, sum(amount_oere) AS net FROM temp.invoice_line GROUP BY document_id) AS s
    WHERE s.document_id = i.document_id"""
INVOICES = {
    "incoming_invoice": """SELECT * EXCLUDE (received, file_order), received AS dated, 'oioubl-2' AS format,
        'Leverandør ' || sender_cvr AS sender_name, issue_date + 30 AS due_date FROM temp.invoice""",
    "incoming_invoice_line": """SELECT l.*, 'MON' AS unit_code, i.sender_cvr, i.kind, i.document_number
        FROM temp.invoice_line AS l JOIN temp.invoice AS i ON i.document_id = l.document_id""",
}


def make(home: Path, world: str) -> None:
    """The instance's published marts, with nothing booked; its register is made already."""
    instance = open_instance(home)
    with open_warehouse(instance) as con:
        con.execute(world)
        con.execute("INSERT INTO raw.load VALUES (1, 'måling', '2025-01-02', 'måling', '2025-01-02', NULL)")
        _fill(con, CANONICAL)
    with open_warehouse(instance) as con:
        derive(con, instance, open_register(instance), horizon=HORIZON)
    with open_warehouse(instance) as con:
        con.execute(world + WRONG)
        _fill(con, INVOICES)
        matching.match(con)
        for table, columns in KEPT.items():
            con.execute(f"CREATE OR REPLACE TABLE invoice.{table} AS SELECT {columns} FROM temp.{table}")
    variables = dbt_variables(instance, HORIZON)
    fault, failed = dbt_build.build(variables, instance.warehouse)
    if fault or failed:
        raise SystemExit(f"{fault} {failed}")
    with open_warehouse(instance) as con:
        publish(instance, con, variables["build_id"])


def _fill(con, tables: dict[str, str]) -> None:
    for table, rows in tables.items():
        con.execute(f"INSERT INTO canonical.{table} BY NAME SELECT *, false AS withdrawn, 1 AS load_id, 'måling' AS source_file "
                    f"FROM ({rows})")  # fmt: skip


def keep_files(home: Path) -> dict[str, list[str]]:
    """Puts the files of the first invoices of each outcome in the archive; returns their numbers as the page lists them."""
    first = ask(home, f"""
        SELECT outcome, document_id, document_number, sender_cvr, issue_date::VARCHAR FROM marts.invoice_payment
        QUALIFY row_number() OVER (PARTITION BY outcome ORDER BY received, due_date, sender_cvr, document_number) <= {OPENED}
        ORDER BY received, due_date, sender_cvr, document_number""")  # fmt: skip
    numbers: dict[str, list[str]] = {}
    for outcome, document, number, cvr, issued in first:
        numbers.setdefault(outcome, []).append(number)
        lines = ask(
            home,
            """SELECT item_name, quantity::BIGINT::VARCHAR, unit_price::DECIMAL(18, 2)::VARCHAR, note, order_reference
            FROM marts_person.invoice_line WHERE document_id = ? ORDER BY line_number""",
            document, file="afregning_person.duckdb",
        )  # fmt: skip
        path = open_instance(home).archived(document)
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = ("item", "quantity", "price", "note", "reference")
        path.write_bytes(invoice_xml(number, [dict(zip(keys, line, strict=True)) for line in lines], cvr=cvr, issued=issued))
    return numbers


def look(page, numbers: dict[str, list[str]]) -> None:
    """Prints the seconds of each answer."""

    def tell(what: str, seconds: float) -> None:
        print(f"  {what:<44}{seconds:>6.2f} s", flush=True)

    def answered(what: str, ask_page, shown: str) -> None:
        began = time.monotonic()
        ask_page()
        page.get_by_text(shown).first.wait_for()
        settle(page, begin_ms=0)
        assert page.locator('[data-testid="stException"]').count() == 0
        tell(what, time.monotonic() - began)

    tell("first open", open_page(page, "Fakturabetaling"))
    open_page(page, "Overblik")
    tell("second open", open_page(page, "Fakturabetaling"))
    shown_now = next(outcome for outcome, listed in numbers.items() if page.get_by_text(f"Faktura {listed[0]}").count())
    for outcome, listed in sorted(numbers.items(), key=lambda entry: entry[0] == shown_now):
        title = OUTCOMES[outcome][0]
        page.get_by_role("combobox", name="Udfald").click()
        choice = page.get_by_role("option", name=re.compile(rf"^{re.escape(title)} \("))
        answered(f"choosing «{title}»", choice.click, f"Faktura {listed[0]}")
        for n, number in enumerate(listed[1:], 2):
            answered(f"opening invoice {n} of them", lambda: page.keyboard.press("Alt+ArrowRight"), f"Faktura {number}")


def main() -> None:
    lines, commitments = (int(given) for given in (sys.argv[1:] + ["1000000", "2000000"][len(sys.argv) - 1 :])[:2])
    world = Path(__file__).with_name("matching.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        home = Path(folder) / "instance"
        Platform(home, environment).must("new", "--municipality", "657", "--with-demo-users")
        began = time.monotonic()
        make(home, world.replace("$commitments", str(commitments)).replace("$lines", str(lines)))
        ((documents, outcomes),) = ask(home, "SELECT count(*), count(DISTINCT outcome) FROM marts.invoice_payment")
        print(f"{lines:,} invoice lines of {documents:,} invoices ({outcomes} outcomes) against {commitments:,} commitments "
              f"published in {time.monotonic() - began:.0f} s, peak "
              f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB", flush=True)  # fmt: skip
        numbers = keep_files(home)
        with sync_playwright() as playwright, served(home, Path(folder) / "server.log") as address:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            look(signed_in(browser, address, "anna"), numbers)
            browser.close()


if __name__ == "__main__":
    main()
