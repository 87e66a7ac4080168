"""How fast extracts become canonical tables, all guards on: rows per second beside DuckDB's own bare read of the same files.

    python tests/benchmarks/intake.py [service lines] [registrations]     (1,000,000 and 10,000,000 unless told)
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from ingestion import archive
from ingestion.quality import judge_loads
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from settlement.instance import create_folders
from settlement.ledger.register import open_register

FILES = {
    "katalogydelser": """SELECT 'K' || i AS ydelseskode, 'Støtte ' || i AS navn, 'SEL' AS lov, '85' AS paragraf,
        CASE WHEN i % 3 = 0 THEN 'leveret' ELSE 'doegn' END AS enhed, 'doegn' AS art FROM range(200) t(i)""",
    "takster": """SELECT 'K' || i AS ydelseskode, '' AS tilbud_id, '01-01-2024' AS gyldig_fra, '' AS gyldig_til,
        (300 + i) || ',50' AS pris FROM range(200) t(i)""",
    "tilbud": """SELECT 'T' || i AS tilbud_id, 'Tilbud ' || i AS navn, 'egen' AS ejerforhold, '461' AS kommunekode
        FROM range(2000) t(i)""",
    "borgere": """SELECT lpad((i % 28 + 1)::VARCHAR, 2, '0') || lpad((i // 28 % 12 + 1)::VARCHAR, 2, '0') ||
        lpad((i // 336 % 100)::VARCHAR, 2, '0') || lpad((i // 33600)::VARCHAR, 4, '0') AS cpr, 'Borger ' || i AS navn,
        '461' AS kommunekode FROM range($lines // 2) t(i)""",
    "ydelsespakker": """SELECT 'P' || i AS pakke_id,
        lpad((i % 28 + 1)::VARCHAR, 2, '0') || lpad((i // 28 % 12 + 1)::VARCHAR, 2, '0')
        || lpad((i // 336 % 100)::VARCHAR, 2, '0') || lpad((i // 33600)::VARCHAR, 4, '0') AS cpr, 'SOC' AS afdeling,
        '461' AS betalingskommune, '01-01-2024' AS bevilget_dato FROM range($lines // 2) t(i)""",
    "ydelser": """SELECT 'Y' || i AS ydelse_id, 'P' || (i // 2) AS pakke_id, 'K' || (i % 200) AS ydelseskode,
        'T' || (i % 2000) AS tilbud_id, '01-' || lpad((i % 12 + 1)::VARCHAR, 2, '0') || '-2024' AS startdato, '' AS slutdato,
        '1' AS antal FROM range($lines) t(i)""",
    "registreringer": """SELECT 'R' || i AS registrering_id, 'Y' || (i % $lines) AS ydelse_id,
        lpad((i % 28 + 1)::VARCHAR, 2, '0') || '-' || lpad((i // 28 % 12 + 1)::VARCHAR, 2, '0') || '-2025' AS dato,
        (i % 7) || ',5' AS antal FROM range($registrations) t(i)""",
}


def write_files(folder: Path, lines: int, registrations: int) -> dict[str, int]:
    """Writes the loader files; returns rows by file."""
    rows = {}
    with duckdb.connect() as con:
        for name, select in FILES.items():
            select = select.replace("$lines", str(lines)).replace("$registrations", str(registrations))
            rows[name] = con.execute(f"COPY ({select}) TO '{folder / name}.csv' (DELIMITER ';', HEADER)").fetchone()[0]
    return rows


def main() -> None:
    lines, registrations = [int(size) for size in sys.argv[1:]] or [1_000_000, 10_000_000]
    with tempfile.TemporaryDirectory(prefix="afregning-bench-") as scratch:
        folder = Path(scratch) / "files"
        folder.mkdir()
        rows = sum(write_files(folder, lines, registrations).values())
        start = time.perf_counter()
        with duckdb.connect(str(Path(scratch) / "bare.duckdb")) as con:
            for path in folder.iterdir():
                con.execute(f"CREATE TABLE {path.stem} AS FROM read_csv('{path}', delim = ';', all_varchar = true)")
        bare = time.perf_counter() - start
        instance = create_folders(Path(scratch) / "instance", "461")
        engine = open_register(instance)
        files = [(archive.LOADER, path.name, path) for path in sorted(folder.iterdir())]
        start = time.perf_counter()
        with open_warehouse(instance) as con:
            load_id, reports = receive(con, instance, files, dated="2026-01-01", received_by="bench")
            received = time.perf_counter() - start
            judge_loads(con, instance, engine, [load_id])
        whole = time.perf_counter() - start
        accepted = sum(report.rows_accepted for report in reports)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"{rows:,} rows, {accepted:,} accepted, on {os.cpu_count()} cores")
    print(f"received {received:6.1f} s, judged {whole - received:5.1f} s: {rows / whole:>11,.0f} rows/s; peak {peak:.2f} GiB")
    print(f"DuckDB's bare read {bare:6.1f} s: {rows / bare:>11,.0f} rows/s; ratio {whole / bare:.1f}")


if __name__ == "__main__":
    main()
