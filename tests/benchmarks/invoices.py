"""What automatic matching says of the demo's invoices, against what they really are: a confusion table by the generator's truth.

    python tests/benchmarks/invoices.py SEED [invoices] [population]     (20,000 and 58,000 unless told)
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import duckdb

from ingestion import archive
from ingestion.demo import write_demo
from ingestion.landing import fetched, look
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.invoices import match_invoices
from settlement.instance import REFERENCE, create_folders
from settlement.invoices.reasons import OUTCOMES
from settlement.ledger.register import open_register

TRUTH = "read_csv('{home}/demo/{name}_sandhed.csv', delim = ';', all_varchar = true)"
SHOWN = (
    "godkendt_automatisk", "delvist", "afventer", "fejl_faktura", "fejl_registrering", "dublet", "over_disponering", "borger",
)  # fmt: skip


def confusion(con: duckdb.DuckDBPyConnection, home: Path) -> dict[tuple[str, bool], dict[str, int]]:
    """Documents by outcome, of each kind the truth knows and whether it is right; also what was approved of it line by line."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW truth AS FROM {TRUTH.format(home=home, name='fakturaer')}")
    con.execute(f"CREATE OR REPLACE TEMP VIEW line_truth AS FROM {TRUTH.format(home=home, name='fakturalinjer')}")
    found: dict[tuple[str, bool], dict[str, int]] = {}
    for kind, is_right, outcome, count in con.execute("""
        SELECT t.kind, t.is_right = '1', coalesce(o.outcome, 'ikke modtaget'), count(*)
        FROM truth AS t LEFT JOIN invoice_outcome AS o ON o.document_id = t.document_id GROUP BY ALL""").fetchall():
        found.setdefault((kind, is_right), {})[outcome] = count
    return found


def wrongly_paid(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Lines that the truth calls wrong and that would be paid, and lines paid for another service line than the truth's."""
    return con.execute("""
        SELECT count(*) FILTER (WHERE t.is_right = '0'), count(*) FILTER (WHERE t.is_right = '1' AND c.service_line_id NOT IN (
            SELECT x.service_line_id FROM line_truth AS x WHERE x.document_id = l.document_id AND x.line = l.line_number))
        FROM line_outcome AS l
        JOIN invoice_outcome AS o ON o.document_id = l.document_id AND o.outcome IN ('godkendt_automatisk', 'delvist')
        JOIN claim AS c ON c.charge_no = l.charge_no
        JOIN (SELECT document_id, line, min(is_right) AS is_right FROM line_truth GROUP BY ALL) AS t
            ON t.document_id = l.document_id AND t.line = l.line_number
        WHERE l.reason = ''""").fetchone()


def take_in(con, instance) -> None:
    seen = look(instance, settle=False)
    for dated, files in seen.deliveries.items():
        with fetched(instance, files) as delivery:
            receive(con, instance, delivery.files, dated=dated, received_by="måling")


def main() -> None:
    seed, count, population = (int(given) for given in (sys.argv[1:] + ["1", "20000", "58000"][len(sys.argv) - 1 :])[:3])
    with tempfile.TemporaryDirectory() as folder:
        instance = create_folders(Path(folder) / "instance", "661")
        engine = open_register(instance)
        started = time.perf_counter()
        write_demo(
            instance.landing, until="2026-10", population=population, seed=seed, invoices=count, reference=REFERENCE,
            progress=lambda told: None,
        )  # fmt: skip
        written, started = time.perf_counter() - started, time.perf_counter()
        with open_warehouse(instance) as con:
            take_in(con, instance)
            taken, started = time.perf_counter() - started, time.perf_counter()
            match_invoices(con, instance, engine)
            matched = time.perf_counter() - started
            table = confusion(con, instance.home)
            wrong_lines, other_lines = wrongly_paid(con)
            received = sum(len(load.files) for load in archive.loads(instance))
        engine.dispose()
    print(f"frø {seed}: {sum(sum(row.values()) for row in table.values())} dokumenter skrevet på {written:.0f} s, {received} filer "
          f"modtaget på {taken:.0f} s, matchet på {matched:.1f} s")  # fmt: skip
    print(f"{'sandhed':<28}" + "".join(f"{OUTCOMES[o][0][:13]:>15}" for o in SHOWN))
    for (kind, is_right), row in sorted(table.items(), key=lambda entry: (not entry[0][1], entry[0][0])):
        print(f"{'rigtig' if is_right else 'forkert'} {kind:<20}" + "".join(f"{row.get(o, 0):>15}" for o in SHOWN))
    right = sum(sum(row.values()) for (_, is_right), row in table.items() if is_right)
    approved = sum(row.get("godkendt_automatisk", 0) for (_, is_right), row in table.items() if is_right)
    wrong = sum(row.get("godkendt_automatisk", 0) for (_, is_right), row in table.items() if not is_right)
    duplicates = table.get(("duplicate", False), {})
    print(f"rigtige godkendt uden en person: {approved} af {right} ({100 * approved / max(right, 1):.2f} %)")
    print(f"forkerte godkendt automatisk: {wrong}; forkerte linjer, der ville blive betalt: {wrong_lines}")
    print(f"rette linjer, der nævner ingen og lige så godt kan være en andens, betalt på den andens ydelse: {other_lines}")
    print(f"dubletter fundet: {duplicates.get('dublet', 0)} af {sum(duplicates.values())}")


if __name__ == "__main__":
    main()
