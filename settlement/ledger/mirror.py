"""The ledger as the engine reads it: one Parquet file per booked run in the archive, written once.

The register is the truth and the mirror its copy in columns: a country's ledger is compared in seconds, and a frozen input
names the files it read instead of copying them. `verify` lays every file beside the register.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select

from settlement.engine.settle import INPUTS
from settlement.instance import Instance
from settlement.ledger.models import LedgerLine, SettlementRun

COLUMNS = INPUTS["ledger_line"]
SCHEMA = pa.schema([
    ("line_number", pa.int64()), ("process", pa.string()), ("service_line_id", pa.string()), ("delivery_month", pa.date32()),
    ("price_oere", pa.int64()), ("counterparty", pa.string()), ("account", pa.string()), ("quantity_num", pa.int64()),
    ("quantity_den", pa.int64()), ("amount_oere", pa.int64()), ("vat_oere", pa.int64()), ("document_number", pa.string()),
])  # fmt: skip
BATCH = 100_000


def file_of(instance: Instance, run_no: int, run_hash: str) -> Path:
    """Where a run's lines are mirrored; a run's hash says which run of that number it is."""
    return instance.archive / "ledger" / f"{run_no}-{run_hash[:16]}.parquet"


def keep(con: duckdb.DuckDBPyConnection, relation: str, path: Path) -> None:
    """Writes a run's lines from a relation of `con` that has COLUMNS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    con.execute(
        f"COPY (SELECT {', '.join(COLUMNS)} FROM {relation} ORDER BY line_number) "
        f"TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
    )
    os.replace(unfinished, path)


def files(instance: Instance, engine: Engine, before: datetime = datetime.max) -> list[Path]:
    """The mirror of every run booked before that moment, in order; what is missing is written from the register."""
    run = SettlementRun
    with engine.connect() as connection:
        runs = connection.execute(
            select(run.run_no, run.hash).where(run.booked_at < before).order_by(run.sequence)
        ).all()
        for run_no, run_hash in runs:
            if not file_of(instance, run_no, run_hash).exists():
                with duckdb.connect() as con:
                    con.register("none_yet", SCHEMA.empty_table())
                    con.execute("CREATE TABLE of_run AS FROM none_yet")
                    for part in read_register(connection, run_no):
                        con.register("part", part)
                        con.execute("INSERT INTO of_run FROM part")
                        con.unregister("part")
                    keep(con, "of_run", file_of(instance, run_no, run_hash))
    return [file_of(instance, run_no, run_hash) for run_no, run_hash in runs]


def read_register(connection, run_no: int) -> Iterable[pa.Table]:
    """A run's lines as the register has them, in order, in parts."""
    table = LedgerLine.__table__
    query = select(*(table.c[column] for column in COLUMNS)).where(table.c.run_no == run_no).order_by(table.c.line_number)
    for rows in connection.execution_options(yield_per=BATCH).execute(query).partitions():
        columns = zip(*rows, strict=True)
        yield pa.table([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)


def bind(con: duckdb.DuckDBPyConnection, paths: list[Path], only_line: str | None = None) -> None:
    """Binds the engine's `ledger_line` to those files, and `ledger_file` to their names."""
    con.execute("CREATE OR REPLACE TEMP TABLE ledger_file (name VARCHAR)")
    if not paths:
        con.register("no_line", SCHEMA.empty_table())
        con.execute("CREATE OR REPLACE TEMP VIEW ledger_line AS FROM no_line")
        return
    con.executemany("INSERT INTO ledger_file VALUES (?)", [[path.name] for path in paths])
    names = ", ".join(f"'{path}'" for path in paths)
    chosen = " WHERE service_line_id = '{}'".format(only_line.replace("'", "''")) if only_line else ""
    con.execute(f"CREATE OR REPLACE TEMP VIEW ledger_line AS SELECT * FROM read_parquet([{names}]){chosen}")
