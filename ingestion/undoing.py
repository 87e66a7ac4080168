"""A load undone as a new fact: what it changed stands again as before it, and both stay in the history.

What a later load has changed since is left as that load has it.
"""

from __future__ import annotations

import duckdb

from ingestion import conflicts
from ingestion.contract import Contract, contracts
from ingestion.gate import USED_BY_LINES


def undo_load(con: duckdb.DuckDBPyConnection, load_id: int, undone: int, dated: str) -> None:
    """Restores every canonical row and every refused row that load `undone` changed, as load `load_id` of that date.

    The caller holds the transaction. A row that `undone` brought is withdrawn; a catalogue item or offer that service lines
    still use stays. Lines are restored before what they name.
    """
    for contract in reversed(contracts().values()):
        _restore(con, contract, load_id, undone, dated)
    conflicts.take_back(con, load_id, undone)
    _reopen(con, load_id, undone)


def left(con: duckdb.DuckDBPyConnection, undone: int) -> int:
    """How many rows a load changed that a later one has changed since: an undoing leaves them."""
    counts = (f"(SELECT count(*) FROM history.{table} WHERE load_id = {undone:d})" for table in contracts())
    return con.execute(f"SELECT {' + '.join(counts)}").fetchone()[0]


def _restore(con, contract: Contract, load_id: int, undone: int, dated: str) -> None:
    table = contract.table
    same = " AND ".join(f"s.{k} IS NOT DISTINCT FROM h.{k}" for k in contract.key)
    in_use = "false"
    if table in USED_BY_LINES:
        lines = f"canonical.service_line l WHERE NOT l.withdrawn AND l.{USED_BY_LINES[table]} = s.{contract.key[0]}"
        in_use = f"h.load_id IS NULL AND EXISTS (FROM {lines})"
    values = ", ".join(
        f"s.{name}" if name in contract.key else f"CASE WHEN h.load_id IS NULL THEN s.{name} ELSE h.{name} END AS {name}"
        for name in (c.name for c in contract.stored)
    )
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE restored AS
        SELECT {values}, coalesce(h.withdrawn, true) AS withdrawn, coalesce(h.source_file, s.source_file) AS source_file,
            CASE WHEN h.load_id IS NULL THEN s.source_row ELSE h.source_row END AS source_row,
            {load_id:d}::BIGINT AS load_id, DATE '{dated}' AS dated
        FROM canonical.{table} s LEFT JOIN history.{table} h ON {same} AND h.closed_by_load = {undone:d}
        WHERE s.load_id = {undone:d} AND NOT ({in_use})""")
    same = " AND ".join(f"s.{k} IS NOT DISTINCT FROM r.{k}" for k in contract.key)
    con.execute(
        f"INSERT INTO history.{table} BY NAME SELECT s.*, {load_id:d}::BIGINT AS closed_by_load "
        f"FROM canonical.{table} s SEMI JOIN restored r ON {same}"
    )
    con.execute(f"DELETE FROM canonical.{table} s USING restored r WHERE {same}")
    con.execute(f"INSERT INTO canonical.{table} BY NAME FROM restored")


def _reopen(con, load_id: int, undone: int) -> None:
    """Rows that the load refused are closed; those it closed are open again, but where a later load has their key."""
    con.execute(f"UPDATE quarantine.refused SET closed_by_load = {load_id:d} WHERE load_id = {undone:d} AND closed_by_load IS NULL")
    for contract in contracts().values():
        same_key = " AND ".join(
            f"q.key[{i}] = coalesce(s.{k}::VARCHAR, '')" for i, k in enumerate(contract.key, 1)
        )
        con.execute(f"""
            INSERT INTO quarantine.refused BY NAME
            SELECT q.* REPLACE ({load_id:d} AS load_id, NULL AS closed_by_load) FROM quarantine.refused q
            WHERE q.table_name = '{contract.table}' AND q.closed_by_load = {undone:d} AND q.load_id < {undone:d}
            AND NOT EXISTS (FROM canonical.{contract.table} s
                WHERE s.load_id > {undone:d} AND s.load_id < {load_id:d} AND {same_key})""")
