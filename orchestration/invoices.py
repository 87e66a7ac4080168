"""Incoming invoices judged by their standard, matched with what is known now, and kept for the marts."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Engine

from ingestion.engine_input import bind
from ingestion.invoice_input import bind_invoices
from settlement.documents.incoming_verdict import broken_rules, edition
from settlement.engine import settle
from settlement.faults import StateFault
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
    _bind_invalid(con, instance)
    (last,) = con.execute("""
        SELECT max(greatest(l.period_to, i.received)) FROM invoice_line AS l JOIN invoice AS i ON i.document_id = l.document_id
    """).fetchone()
    settle.entitle(con, own_municipality=instance.municipality, through=(last or date.today()).replace(day=1))
    matching.match(con)


def _bind_invalid(con: duckdb.DuckDBPyConnection, instance: Instance) -> None:
    """Binds `invalid` of the verdicts, which are kept by document and edition of the rules: only a document that has none of
    this edition, and a line that is not paid, is read."""
    folder = Path(instance.invoices.schematron) if instance.invoices.schematron else None
    by = edition(folder)
    con.execute("""
        CREATE SCHEMA IF NOT EXISTS quality;
        CREATE TABLE IF NOT EXISTS quality.invoice_verdict (document_id VARCHAR, edition VARCHAR, rules VARCHAR)""")
    unjudged = con.execute("""
        SELECT DISTINCT l.document_id FROM invoice_line AS l
        ANTI JOIN paid_line AS p ON p.document_id = l.document_id AND p.line_number = l.line_number
        ANTI JOIN quality.invoice_verdict AS v ON v.document_id = l.document_id AND v.edition = ?
        ORDER BY l.document_id""", [by]).fetchall()  # fmt: skip
    judged = [(document, by, ", ".join(broken_rules(_received(instance, document), folder))) for (document,) in unjudged]
    if judged:
        con.register("verdicts", pa.table(dict(zip(("document_id", "edition", "rules"), zip(*judged, strict=True), strict=True))))
        con.execute("DELETE FROM quality.invoice_verdict WHERE edition <> ?", [by])
        con.execute("INSERT INTO quality.invoice_verdict BY NAME FROM verdicts")
        con.unregister("verdicts")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE invalid AS
        SELECT document_id, rules FROM quality.invoice_verdict WHERE edition = '{by}' AND rules <> ''""")


def _received(instance: Instance, document: str) -> bytes:
    try:
        return instance.archived(document).read_bytes()
    except OSError as fault:
        raise StateFault(f"Fakturaen {document[:16]}… kan ikke læses i arkivet. Hent arkivet fra en sikkerhedskopi.") from fault


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
