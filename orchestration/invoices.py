"""Incoming invoices matched with what is known now, and kept for the marts."""

from __future__ import annotations

from datetime import date, datetime

import duckdb
from sqlalchemy import Engine

from ingestion.engine_input import bind
from ingestion.invoice_input import bind_invoices
from settlement.engine import settle
from settlement.instance import Instance
from settlement.invoices import matching

# What the marts read of a matching: table of `matching.STEPS` → its columns kept.
KEPT = {
    "invoice_outcome": "*",
    "line_outcome": "*",
    "claim": "* EXCLUDE (commitment_no)",
    "fit": "* EXCLUDE (commitment_no)",
    "charged": "charge_no, document_id, line_number, from_date, to_date, item_words",
    "remaining": "*",
}


def match_invoices(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, before: datetime = datetime.max
) -> None:
    """Matches every invoice with what is known now; leaves the temporary tables of `matching.STEPS`."""
    bind(con, instance, engine, before=before)
    bind_invoices(con, instance, engine, before=before)
    (last,) = con.execute("""
        SELECT max(greatest(l.period_to, i.received)) FROM invoice_line AS l JOIN invoice AS i ON i.document_id = l.document_id
    """).fetchone()
    settle.entitle(con, own_municipality=instance.municipality, through=(last or date.today()).replace(day=1))
    matching.match(con)


def keep_matches(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, before: datetime = datetime.max
) -> dict[str, int]:
    """Matches, and writes what the marts read of it to the schema `invoice`; returns rows by table."""
    match_invoices(con, instance, engine, before=before)
    con.execute("CREATE SCHEMA IF NOT EXISTS invoice")
    rows = {}
    for table, columns in KEPT.items():
        con.execute(f"CREATE OR REPLACE TABLE invoice.{table} AS SELECT {columns} FROM temp.{table}")
        (rows[f"invoice.{table}"],) = con.execute(f"SELECT count(*) FROM invoice.{table}").fetchone()
    return rows
