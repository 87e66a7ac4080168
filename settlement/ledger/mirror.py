"""The ledger as the engine reads it: one Parquet file per booked run in the archive, written once.

The register is the truth and the mirror its copy in columns: a country's ledger is compared in seconds, and a frozen input
names the files it read instead of copying them. `verify` lays every file beside the register.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from threading import get_ident

import duckdb
from sqlalchemy import Engine, Select, select

from settlement.engine.settle import INPUTS
from settlement.instance import Instance
from settlement.ledger import bulk
from settlement.ledger.models import LedgerLine, SettlementRun

COLUMNS = INPUTS["ledger_line"]
NONE = """
    CREATE OR REPLACE TEMP VIEW ledger_line AS SELECT
        0::BIGINT AS line_number, '' AS process, '' AS service_line_id, NULL::DATE AS delivery_month, 0::BIGINT AS price_oere,
        '' AS counterparty, '' AS account, 0::BIGINT AS quantity_num, 0::BIGINT AS quantity_den, 0::BIGINT AS amount_oere,
        0::BIGINT AS vat_oere, '' AS document_number
    WHERE false"""


def file_of(instance: Instance, run_no: int, run_hash: str) -> Path:
    """Where a run's lines are mirrored; a run's hash says which run of that number it is."""
    return instance.archive / "ledger" / f"{run_no}-{run_hash[:16]}.parquet"


def write(instance: Instance, con: duckdb.DuckDBPyConnection, relation: str) -> Path:
    """Writes a run's lines from a relation of `con` that has COLUMNS; the file is the run's when it is kept."""
    folder = instance.archive / "ledger"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{os.getpid()}-{get_ident()}.part"
    con.execute(
        f"COPY (SELECT {', '.join(COLUMNS)} FROM {relation} ORDER BY line_number) "
        f"TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return unfinished


def keep(unfinished: Path, instance: Instance, run_no: int, run_hash: str) -> None:
    """Gives a written file its run's name."""
    os.replace(unfinished, file_of(instance, run_no, run_hash))


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
                    bulk.load(con, "of_run", bulk.read(connection, lines_of(run_no)))
                    keep(write(instance, con, "of_run"), instance, run_no, run_hash)
    return [file_of(instance, run_no, run_hash) for run_no, run_hash in runs]


def lines_of(run_no: int) -> Select:
    """A run's lines as the register has them, in order."""
    line = LedgerLine
    return select(*(getattr(line, column) for column in COLUMNS)).where(line.run_no == run_no).order_by(line.line_number)


def bind(con: duckdb.DuckDBPyConnection, paths: list[Path], only_line: str | None = None) -> None:
    """Binds the engine's `ledger_line` to those files, and `ledger_file` to their names."""
    con.execute("CREATE OR REPLACE TEMP TABLE ledger_file (name VARCHAR)")
    if not paths:
        con.execute(NONE)
        return
    con.executemany("INSERT INTO ledger_file VALUES (?)", [[path.name] for path in paths])
    names = ", ".join(f"'{path}'" for path in paths)
    chosen = " WHERE service_line_id = '{}'".format(only_line.replace("'", "''")) if only_line else ""
    con.execute(f"CREATE OR REPLACE TEMP VIEW ledger_line AS SELECT * FROM read_parquet([{names}]){chosen}")
