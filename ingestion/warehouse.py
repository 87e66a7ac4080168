"""The warehouse: raw and canonical tables in one DuckDB file with one writer, derived from the archive.

It is no truth of its own: `catch_up` replays every load of the manifest that the file does not hold yet, so a
deleted warehouse comes back the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from ingestion import archive, conflicts, rules, translating
from ingestion.applying import apply_load
from ingestion.contract import contracts
from settlement.faults import StateFault
from settlement.instance import Instance

# A country's facts are judged within this; what is more goes to a file beside the warehouse. Python needs some besides.
MEMORY = "2500MB"

SCHEMA = """
CREATE SCHEMA raw;
CREATE SCHEMA canonical;
CREATE SCHEMA history;
CREATE SCHEMA known;
CREATE SCHEMA quarantine;
CREATE TABLE raw.load (
    load_id BIGINT PRIMARY KEY, system VARCHAR, received_at TIMESTAMP, received_by VARCHAR, dated DATE,
    undoes BIGINT);
CREATE TABLE raw.file (
    load_id BIGINT, file_hash VARCHAR, name VARCHAR, system VARCHAR, dataset VARCHAR, rows_read BIGINT,
    columns VARCHAR[], unknown_columns VARCHAR[], mapping VARCHAR, extract VARCHAR, remarks VARCHAR[]);
CREATE TABLE quarantine.refused (
    load_id BIGINT, table_name VARCHAR, loader_file VARCHAR, file_hash VARCHAR, file_name VARCHAR, row BIGINT,
    reason VARCHAR, column_name VARCHAR, value VARCHAR, message VARCHAR, key VARCHAR[], service_line_id VARCHAR,
    cells JSON, closed_by_load BIGINT);
CREATE TABLE quarantine.warned (
    load_id BIGINT, table_name VARCHAR, file_hash VARCHAR, row BIGINT, warning VARCHAR, column_name VARCHAR,
    message VARCHAR);
CREATE TABLE quarantine.file_count (
    load_id BIGINT, file_hash VARCHAR, name VARCHAR, rows_read BIGINT, rows_accepted BIGINT, rows_quarantined BIGINT,
    rows_outdated BIGINT, rows_unmapped BIGINT, rows_warned BIGINT, rows_withdrawn BIGINT);
-- Check digits by modulus 11 (CVR, CPR) and GS1 (EAN), domain_rules.md §12
CREATE OR REPLACE MACRO cvr_valid(x) AS regexp_full_match(x, '[1-9][0-9]{7}') AND list_sum(list_transform(
    [2, 7, 6, 5, 4, 3, 2, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 11 = 0;
CREATE OR REPLACE MACRO cpr_checks(x) AS list_sum(list_transform(
    [4, 3, 2, 7, 6, 5, 4, 3, 2, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 11 = 0;
CREATE OR REPLACE MACRO ean_valid(x) AS regexp_full_match(x, '[0-9]{13}') AND list_sum(list_transform(
    [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 10 = 0;
-- The load whose knowledge the tables of `known` show; known.bind_known sets it on the connection.
CREATE OR REPLACE MACRO known_load() AS coalesce(getvariable('known_load'), error('known_load is not set: bind_known'));
CREATE VIEW known.refused AS
    SELECT * REPLACE (CAST(NULL AS BIGINT) AS closed_by_load) FROM quarantine.refused
    WHERE load_id <= known_load() AND (closed_by_load IS NULL OR closed_by_load > known_load());
"""

# The canonical row in force, the versions before it with the load that replaced each, and both as of a load. `dated` is the
# newest extract date that said so, and no part of what was known at a load; a row withdrawn because a whole extract had it
# not has no source row.
CANONICAL = """
CREATE TABLE canonical.{table} (
    {columns}, withdrawn BOOLEAN NOT NULL, source_file VARCHAR, source_row BIGINT, load_id BIGINT, dated DATE);
CREATE TABLE history.{table} AS SELECT *, load_id AS closed_by_load FROM canonical.{table};
CREATE VIEW known.{table} AS
    SELECT * EXCLUDE (dated) FROM canonical.{table} WHERE load_id <= known_load()
    UNION ALL
    SELECT * EXCLUDE (dated, closed_by_load) FROM history.{table}
    WHERE load_id <= known_load() AND closed_by_load > known_load();
"""

AFTER_TABLES = """
CREATE OR REPLACE MACRO chart_is_known() AS EXISTS (FROM canonical.account);
CREATE OR REPLACE MACRO in_chart(x) AS EXISTS (FROM canonical.account k WHERE k.account = x AND NOT k.withdrawn);
"""


@contextmanager
def open_warehouse(instance: Instance) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse for writing, holding every load of the archive.

    Raises StateFault where another process writes it.
    """
    try:
        con = duckdb.connect(str(instance.warehouse))
    except duckdb.IOException as busy:
        raise StateFault(
            "Datalageret bruges af en anden kørsel netop nu. Vent, til den er færdig, og prøv igen."
        ) from busy
    try:
        con.execute("SET preserve_insertion_order = true")
        con.execute(f"SET memory_limit = '{MEMORY}'")
        _lay_out(con, instance)
        rules.write_rules(con, instance)
        catch_up(con, instance)
        yield con
    finally:
        con.close()


def _layout(instance: Instance) -> tuple[str, str]:
    """The SQL that lays an empty warehouse out, and its hash: the layout's version. It covers
    the rules of quality, which source comes first, and what of the instance's settings they depend on."""
    tables = [
        CANONICAL.format(table=c.table, columns=", ".join(f"{column.name} {column.duckdb_type}" for column in c.stored))
        for c in contracts().values()
    ]
    beside = ["CREATE SCHEMA IF NOT EXISTS quality;", conflicts.layout(instance), translating.VIEWS]
    sql = "".join([SCHEMA, *tables, AFTER_TABLES, rules.layout(instance), *beside])
    return sql, hashlib.sha256(sql.encode()).hexdigest()


def _lay_out(con: duckdb.DuckDBPyConnection, instance: Instance) -> None:
    """Lays the warehouse out. One of another layout, an earlier version's, is emptied: the archive fills it again."""
    sql, version = _layout(instance)
    found = con.execute("SELECT comment FROM duckdb_tables() WHERE schema_name = 'raw' AND table_name = 'load'").fetchone()
    if found == (version,):
        return
    schemas = con.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal").fetchall()
    con.execute("BEGIN")
    for (schema,) in schemas:
        con.execute(f"DROP SCHEMA {schema} CASCADE")
    con.execute(sql)
    con.execute(f"COMMENT ON TABLE raw.load IS '{version}'")
    con.execute("COMMIT")


def catch_up(con: duckdb.DuckDBPyConnection, instance: Instance) -> list[int]:
    """Judges and applies the loads of the manifest that the warehouse does not hold; returns their ids."""
    done = con.execute("SELECT coalesce(max(load_id), 0) FROM raw.load").fetchone()[0]
    fresh = [load for load in archive.loads(instance) if load.load_id > done]
    for load in fresh:
        con.execute("BEGIN")
        try:
            apply_load(con, instance, load)
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")
    return [load.load_id for load in fresh]
