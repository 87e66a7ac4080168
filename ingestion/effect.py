"""What files, or the undoing of a load, would change: in rows and in kroner, before it is done. Nothing is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
from sqlalchemy import Engine

from ingestion import archive
from ingestion.applying import UnreadableFiles, apply_load
from ingestion.contract import contracts
from ingestion.engine_input import bind
from ingestion.receiving import FileReport, reports, unreadable_reports
from settlement.engine import settle
from settlement.instance import Instance


@dataclass(frozen=True)
class TableEffect:
    """Rows of one canonical table that would be new, changed or withdrawn."""

    table: str
    new: int
    changed: int
    withdrawn: int


@dataclass(frozen=True)
class ProcessEffect:
    """What one process's services are worth through the month, in øre, before and after, and how many service lines × months
    would change."""

    process: str
    before_oere: int
    after_oere: int
    line_months: int


@dataclass(frozen=True)
class Refused:
    """How many rows of a file would be refused for one reason in one column; `message` says what to do and quotes no cell."""

    name: str
    reason: str
    column: str
    message: str
    rows: int


@dataclass(frozen=True)
class Effect:
    """All that would change; `files` as the load itself would report them."""

    files: tuple[FileReport, ...]
    refused: tuple[Refused, ...]
    tables: tuple[TableEffect, ...]
    processes: tuple[ProcessEffect, ...]

    @property
    def moved_oere(self) -> int:
        """The sum of the differences, each counted positive."""
        return sum(abs(p.after_oere - p.before_oere) for p in self.processes)


def effect_of(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, through: date, dated: str,
    files: Sequence[tuple[str, str, Path]] = (), undoes: int = 0,
) -> Effect:  # fmt: skip
    """What taking `files`, as (system, name, place), in or undoing the load `undoes` would change, for delivery months up to
    the one of `through`. A file that cannot be read is reported with its fault, the others counted without it."""
    looked_at = [archive.keep(instance, system, name, path) for system, name, path in files]
    try:
        return _effect(con, instance, engine, through, dated, list(looked_at), undoes)
    finally:
        archive.forget(instance, looked_at)


def _effect(con, instance: Instance, engine: Engine, through: date, dated: str, kept: list, undoes: int) -> Effect:
    unreadable: list[FileReport] = []
    _worth(con, instance, engine, through, "worth_before")
    while True:
        con.execute("BEGIN")
        try:
            load = archive.next_load(instance, "", dated, kept, undoes)
            apply_load(con, instance, load)
            tables = tuple(table_effects(con, load.load_id))
            refused = tuple(Refused(*row) for row in con.execute(_REFUSED, [load.load_id]).fetchall())
            _worth(con, instance, engine, through, "worth_after")
            processes = tuple(ProcessEffect(*row) for row in con.execute(_PROCESSES).fetchall())
            return Effect((*reports(con, load.load_id), *unreadable), refused, tables, processes)
        except UnreadableFiles as found:
            unreadable += unreadable_reports(found)
            kept = [file for file in kept if file not in found.sentences]
        finally:
            con.execute("ROLLBACK")


_REFUSED = """
    SELECT file_name, reason, column_name, message, count(*) FROM quarantine.refused WHERE load_id = ? AND closed_by_load IS NULL
    GROUP BY ALL ORDER BY file_name, count(*) DESC, reason, column_name"""

_PROCESSES = """
    WITH compared AS (
        SELECT coalesce(b.process, a.process) AS process, coalesce(b.amount_oere, 0) AS before, coalesce(a.amount_oere, 0) AS after
        FROM worth_before b FULL JOIN worth_after a USING (process, service_line_id, delivery_month)
    )
    SELECT process, sum(before)::BIGINT, sum(after)::BIGINT, count(*) FILTER (before <> after)
    FROM compared GROUP BY process HAVING count(*) FILTER (before <> after) > 0 ORDER BY process"""


def _worth(con, instance: Instance, engine: Engine, through: date, name: str) -> None:
    """Grain of the table made: process × service line × delivery month, with its worth in øre."""
    bind(con, instance, engine)
    settle.entitle(con, own_municipality=instance.municipality, through=through)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT process, service_line_id, delivery_month, "
        "sum(amount_oere)::BIGINT AS amount_oere FROM piece GROUP BY ALL"
    )


def table_effects(con: duckdb.DuckDBPyConnection, load_id: int) -> Iterator[TableEffect]:
    """What a load that is applied has changed."""
    for contract in contracts().values():
        table = contract.table
        same = " AND ".join(f"s.{k} IS NOT DISTINCT FROM h.{k}" for k in contract.key)
        new, changed, withdrawn = con.execute(f"""
            SELECT count(*) FILTER (NOT s.withdrawn AND coalesce(h.withdrawn, true)),
                count(*) FILTER (NOT s.withdrawn AND NOT h.withdrawn), count(*) FILTER (s.withdrawn)
            FROM canonical.{table} s LEFT JOIN history.{table} h ON {same} AND h.closed_by_load = {load_id:d}
            WHERE s.load_id = {load_id:d}""").fetchone()
        if new or changed or withdrawn:
            yield TableEffect(table, new, changed, withdrawn)
