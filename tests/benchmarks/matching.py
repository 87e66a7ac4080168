"""How fast invoice lines are matched with commitments on two cores, step by step, with the peak memory and how long the page's
own questions take of the marts that come of it. Prints figures; asserts nothing.

    python tests/benchmarks/matching.py [invoice lines] [commitments]     (1,000,000 and 2,000,000 unless told)
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from settlement.invoices import matching

# As the page Fakturabetaling asks them of the published marts (dashboards/views/invoices.py).
QUESTIONS = {
    "sums by outcome": "SELECT outcome, count(*), sum(pay_oere) FROM published.invoice_outcome GROUP BY outcome",
    "500 of one outcome": """
        SELECT * FROM published.invoice_outcome JOIN published.invoice USING (document_id)
        WHERE outcome = 'godkendt_automatisk' AND contains(lower(document_number), lower(''))
        ORDER BY received, sender_cvr, document_number LIMIT 500""",
    "one invoice's lines": "SELECT * FROM published.line_outcome WHERE document_id = 'D0-7-1' ORDER BY line_number",
    "its services": """
        SELECT c.* FROM published.claim AS c JOIN published.line_outcome AS l USING (charge_no) WHERE l.document_id = 'D0-7-1'""",
}


def main() -> None:
    lines, commitments = (int(given) for given in (sys.argv[1:] + ["1000000", "2000000"][len(sys.argv) - 1 :])[:2])
    made = Path(__file__).with_name("matching.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        with duckdb.connect(f"{folder}/warehouse.duckdb", config={"threads": 2, "memory_limit": "2500MB"}) as con:
            con.execute(made.replace("$commitments", str(commitments)).replace("$lines", str(lines)))
            counted = [con.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("invoice_line", "piece")]
            started = time.perf_counter()
            con.execute(matching.MACROS)
            for step, sql in matching.sentences().items():
                begun = time.perf_counter()
                con.execute(f"CREATE OR REPLACE TEMP TABLE {step} AS {sql}")
                print(f"  {step:<16}{time.perf_counter() - begun:>8.2f} s", flush=True)
            print(f"{counted[0]:,} invoice lines against {counted[1]:,} commitments: {time.perf_counter() - started:.1f} s, peak "
                  f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")  # fmt: skip
            print(*con.execute("SELECT outcome, count(*) FROM invoice_outcome GROUP BY outcome").fetchall())
            con.execute(f"ATTACH '{folder}/published.duckdb' AS published")
            for table in ("invoice_outcome", "line_outcome", "claim", "invoice"):
                con.execute(f"CREATE TABLE published.{table} AS FROM temp.{table}")
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{folder}/published.duckdb' AS published (READ_ONLY)")
            for name, question in QUESTIONS.items():
                begun = time.perf_counter()
                con.execute(question).fetchall()
                print(f"  {name:<22}{1000 * (time.perf_counter() - begun):>8.0f} ms")


if __name__ == "__main__":
    main()
