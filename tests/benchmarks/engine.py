"""How fast the engine goes from canonical tables to a proposal's lines on disk, beside the time DuckDB needs merely to
copy them, and how fast it finds the difference against a ledger that holds them. Prints figures; asserts nothing.
`make bench`, or `python tests/benchmarks/engine.py 20000 200000`.

A country in small: packages of two lines, sixty items at five thousand offers with a rate a year, one line in ten with
a rate of its own, one in five with an absence, one package in twenty with a dated payer.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import pandas  # noqa: F401, what would else be loaded while the time is taken
import pyarrow.dataset  # noqa: F401

from settlement.engine import settle
from settlement.engine.calendar import public_holidays

MONTHS = 12
CANONICAL = Path(__file__).parent / "canonical.sql"
LEDGER = """
    COPY (
        SELECT row_number() OVER () AS line_number, 'mellemkommunal' AS process, *, 'F2026-000001' AS document_number
        FROM '{lines}'
    ) TO '{ledger}' (FORMAT parquet, COMPRESSION zstd)"""


def measure(lines: int) -> dict:
    """One run in this process: pieces and seconds to the proposal on disk, seconds to copy it, seconds and rows of the
    difference when a ledger holds it all and one rate in sixty has changed, peak memory in GiB."""
    public_holidays(2024, 2025)  # loads its library
    with tempfile.TemporaryDirectory() as folder:
        limits = {"temp_directory": folder, "memory_limit": "2300MB", "threads": 2}
        con = duckdb.connect(f"{folder}/warehouse.duckdb", config=limits)
        con.execute(CANONICAL.read_text(encoding="utf-8").replace("$lines", str(lines)))
        con.execute("CREATE SCHEMA canonical")
        for table in settle.INPUTS:  # canonical tables lie on disk; the engine reads them through views
            con.execute(f"CREATE TABLE canonical.{table} AS FROM temp.{table}; DROP TABLE temp.{table}")
            con.execute(f"CREATE TEMP VIEW {table} AS FROM canonical.{table}")
        con.execute("CHECKPOINT")
        taken, rows = _settle(con, Path(folder) / "lines.parquet")
        start = time.perf_counter()
        con.execute(f"COPY (FROM '{folder}/lines.parquet') TO '{folder}/copy.parquet' (FORMAT parquet, COMPRESSION zstd)")
        copy = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        con.execute(LEDGER.format(lines=f"{folder}/lines.parquet", ledger=f"{folder}/ledger.parquet"))
        con.execute(f"CREATE OR REPLACE TEMP VIEW ledger_line AS FROM '{folder}/ledger.parquet'")
        con.execute("UPDATE canonical.rate SET price_oere = price_oere + 100 WHERE item_code = 'K7'")
        again, changed = _settle(con, Path(folder) / "changed.parquet")
        con.close()
    return {"rows": rows, "seconds": taken, "copy": copy, "again": again, "changed": changed, "peak": peak}


def _settle(con, to: Path) -> tuple[float, int]:
    start = time.perf_counter()
    settle.entitle(con, own_municipality="461", through=date(2025, 12, 1), since=date(2025, 1, 1))
    settle.difference(
        con, process="mellemkommunal", timing="bagud", through=date(2025, 12, 1), booking_date=date(2026, 1, 5),
        settles_from=date(2025, 1, 1), to=to,
    )  # fmt: skip
    return time.perf_counter() - start, con.execute("SELECT count(*) FROM difference").fetchone()[0]


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 200_000, 2_000_000]
    print(f"Median of three, {MONTHS} months")
    print(
        f"{'lines':>10} {'pieces':>11} {'seconds':>8} {'pieces/s':>10} {'× copy':>7} {'peak GiB':>9} "
        f"{'again, with a ledger: s':>24} {'changed':>9}"
    )
    for lines in sizes:
        runs = [
            json.loads(subprocess.run([sys.executable, __file__, "--once", str(lines)], capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"{lines:>10,} {middle['rows']:>11,.0f} {middle['seconds']:>8.2f} {middle['rows'] / middle['seconds']:>10,.0f} "
            f"{middle['seconds'] / middle['copy']:>7.1f} {max(run['peak'] for run in runs):>9.2f} "
            f"{middle['again']:>24.2f} {middle['changed']:>9,.0f}", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main()
