"""Incoming invoices, step by step: matched with what is known now, kept for the marts, and paid."""

from __future__ import annotations

from datetime import date, datetime

import duckdb
from sqlalchemy import Engine

from ingestion.engine_input import bind
from ingestion.invoice_input import bind_invoices
from orchestration.pipeline import last_load_id
from settlement.engine import settle
from settlement.instance import Instance
from settlement.invoices import matching, payment
from settlement.ledger.models import SettlementRun

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


def pay_invoices(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, booking_date: date, user_name: str
) -> SettlementRun | None:
    """Matches anew and pays what is approved; None where nothing is. Raises what `payment.pay` raises."""
    head = payment.matched_head(engine)
    match_invoices(con, instance, engine)
    return payment.pay(
        instance, engine, con, head=head, booking_date=booking_date, user_name=user_name, last_load_id=last_load_id(instance)
    )
