"""Binds the engine's inputs and the counterparties' addresses to the canonical tables and the register."""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ingestion.known import bind_known, end_of_day, known_load
from settlement.engine.settle import INPUTS
from settlement.instance import Instance
from settlement.ledger import decisions, holds
from settlement.ledger.models import Decision, LedgerLine, SettlementRun
from settlement.reference import account_rules, municipality_names

FROM_ELSEWHERE = {"posting_account_rule", "refused_line", "allowed_late", "hold", "claim_deadline", "ledger_line"}
BATCH = 100_000

_LEDGER_TYPES = {
    "line_number": pa.int64(), "process": pa.string(), "service_line_id": pa.string(), "delivery_month": pa.date32(),
    "price_oere": pa.int64(), "counterparty": pa.string(), "account": pa.string(), "quantity_num": pa.int64(),
    "quantity_den": pa.int64(), "amount_oere": pa.int64(), "vat_oere": pa.int64(), "document_number": pa.string(),
}  # fmt: skip


def bind(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, only_line: str | None = None,
    known_on: date | None = None,
) -> None:  # fmt: skip
    """Binds every table of `settle.INPUTS`; with `only_line` the facts of that one service line, with `known_on` what was
    known at the end of that day."""
    canonical, refused, before = "canonical", "quarantine.refused", datetime.max
    if known_on:
        bind_known(con, known_load(con, known_on))
        canonical, refused, before = "known", "known.refused", end_of_day(known_on)
    for table, columns in INPUTS.items():
        if table not in FROM_ELSEWHERE:
            chosen = (
                f" WHERE service_line_id = {_quoted(only_line)}" if only_line and "service_line_id" in columns else ""
            )
            con.execute(
                f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT {', '.join(columns)} FROM {canonical}.{table}{chosen}"
            )
    rules = account_rules(instance)
    _bind_rows(con, "posting_account_rule", INPUTS["posting_account_rule"], [pa.date32()] * 2 + [pa.string()] * 4, [
        [getattr(rule, column) for column in INPUTS["posting_account_rule"]] for rule in rules
    ])  # fmt: skip
    with Session(engine) as session:
        held = holds.in_force(session, before)
        made = session.scalars(select(Decision).where(Decision.decided_at < before)).all()
    _bind_rows(con, "allowed_late", INPUTS["allowed_late"], [pa.string(), pa.date32(), pa.string()], [
        [d.service_line_id, d.delivery_month, d.counterparty] for d in made if d.kind == decisions.ALLOW_LATE
    ])  # fmt: skip
    _bind_rows(con, "set_aside", ("file_hash", "row"), [pa.string(), pa.int64()], [
        [d.file_hash, d.row] for d in made if d.kind == decisions.SET_ASIDE
    ])  # fmt: skip
    # A refused row of a stored line parks it until it is replaced or set aside (loader.md).
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE refused_line AS
        SELECT DISTINCT q.service_line_id FROM {refused} q
        JOIN {canonical}.service_line l ON l.service_line_id = q.service_line_id
        WHERE q.closed_by_load IS NULL
        AND NOT EXISTS (FROM set_aside s WHERE s.file_hash = q.file_hash AND s.row = q.row)""")
    _bind_rows(con, "held", ("service_line_id", "cpr", "counterparty", "from_month"), [pa.string()] * 3 + [pa.date32()], [
        [h.service_line_id, h.cpr, h.counterparty, h.from_month] for h in held
    ])  # fmt: skip
    # A citizen is held through every line of the citizen's packages.
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE hold AS
        SELECT nullif(service_line_id, '') AS service_line_id, nullif(counterparty, '') AS counterparty, from_month
        FROM held WHERE cpr = ''
        UNION ALL
        SELECT l.service_line_id, NULL, h.from_month FROM held h
        JOIN {canonical}.service_package p ON p.cpr = h.cpr
        JOIN {canonical}.service_line l ON l.package_id = p.package_id""")
    _bind_ledger(con, engine, only_line, before)


def bind_parties(con: duckdb.DuckDBPyConnection, instance: Instance, booking_date: date) -> None:
    """Binds `party`: every possible counterparty's name, numbers and address on the booking date.

    A municipality or region without a row in modparter has its name from the register and no delivery address.
    """
    names = municipality_names()
    _bind_rows(con, "municipality", ("code", "name"), [pa.string()] * 2, [list(pair) for pair in names.items()])
    con.execute(f"""
        CREATE OR REPLACE TEMP VIEW party AS
        WITH dated AS (
            SELECT *, row_number() OVER (PARTITION BY code ORDER BY valid_from DESC) AS newest
            FROM canonical.counterparty WHERE NOT withdrawn AND valid_from <= DATE '{booking_date.isoformat()}'
        ),
        known AS (
            SELECT code, CASE WHEN code = '{instance.municipality}' THEN 'egen' ELSE 'kommune' END AS kind, name, '' AS ean
            FROM municipality
            UNION ALL
            SELECT department, 'afdeling', coalesce(any_value(d.name), department), coalesce(any_value(d.ean), '')
            FROM canonical.service_package p LEFT JOIN canonical.department d USING (department)
            WHERE department IS NOT NULL AND department NOT IN (SELECT code FROM municipality) AND NOT coalesce(d.withdrawn, false)
            GROUP BY department
            UNION ALL
            SELECT cpr, 'borger', coalesce(name, cpr), '' FROM canonical.citizen
        )
        SELECT k.code AS counterparty, k.kind, coalesce(d.name, k.name) AS name, coalesce(d.cvr, '') AS cvr,
            coalesce(d.ean, k.ean) AS ean, coalesce(d.address, '') AS address, coalesce(d.contact, '') AS contact
        FROM known k LEFT JOIN dated d ON d.code = k.code AND d.newest = 1""")


def _bind_ledger(con, engine: Engine, only_line: str | None, before: datetime) -> None:
    table, run = LedgerLine.__table__, SettlementRun.__table__
    query = select(*(table.c[column] for column in _LEDGER_TYPES))
    if before != datetime.max:
        query = query.join(run, run.c.run_no == table.c.run_no).where(run.c.booked_at < before)
    if only_line:
        query = query.where(table.c.service_line_id == only_line)
    schema = pa.schema(_LEDGER_TYPES)
    con.register("ledger_rows", schema.empty_table())
    con.execute("CREATE OR REPLACE TEMP TABLE ledger_line AS FROM ledger_rows")
    con.unregister("ledger_rows")
    with engine.connect() as connection:
        for rows in connection.execution_options(yield_per=BATCH).execute(query).partitions():
            columns = zip(*rows, strict=True)
            arrow = pa.table([pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)], schema=schema)
            con.register("ledger_rows", arrow)
            con.execute("INSERT INTO ledger_line FROM ledger_rows")
            con.unregister("ledger_rows")


def _bind_rows(con, name: str, columns, types, rows: list[list]) -> None:
    values = list(zip(*rows, strict=True)) or [[] for _ in columns]
    arrow = pa.table([pa.array(v, t) for v, t in zip(values, types, strict=True)], names=list(columns))
    con.register("bound_rows", arrow)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM bound_rows")
    con.unregister("bound_rows")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
