"""Binds what matching of invoices reads (`matching.INPUTS`) to the canonical tables, the register and the terms."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from settlement.instance import Instance
from settlement.invoices import decisions
from settlement.invoices.terms import Terms, terms
from settlement.ledger.models import InvoicePayment, SettlementRun

_FROM_CANONICAL = {
    # An invoice was received on the day that its extract is dated, whenever the platform took it in; of a day, by the files' names.
    "invoice": """
        SELECT i.* EXCLUDE (withdrawn), i.dated AS received, coalesce(f.name, '') AS file_order
        FROM canonical.incoming_invoice AS i
        LEFT JOIN (SELECT DISTINCT ON (file_hash) file_hash, name FROM raw.file ORDER BY file_hash, load_id) AS f
            ON f.file_hash = i.source_file
        WHERE NOT i.withdrawn""",
    "invoice_line": "SELECT * FROM canonical.incoming_invoice_line WHERE NOT withdrawn",
    "offer_owner": "SELECT offer_id, cvr FROM canonical.offer WHERE cvr IS NOT NULL AND NOT withdrawn",
    "person": "SELECT cpr, name FROM canonical.citizen",
    # What is said of a citizen from a day on, until the next of the same kind.
    "citizen_state": """
        SELECT cpr, status, status_date AS from_date, lead(status_date) OVER (PARTITION BY cpr ORDER BY status_date) AS before
        FROM canonical.citizen_status WHERE NOT withdrawn
        UNION ALL
        SELECT cpr, CASE WHEN municipality = o.code THEN 'tilflyttet' ELSE 'fraflyttet' END, valid_from,
            lead(valid_from) OVER (PARTITION BY cpr ORDER BY valid_from)
        FROM canonical.citizen_residence, own_municipality AS o WHERE NOT withdrawn""",
    "account_alias": "SELECT account, alias FROM canonical.account WHERE alias IS NOT NULL AND NOT withdrawn",
    "department_ean": "SELECT department, ean FROM canonical.department WHERE ean IS NOT NULL AND NOT withdrawn",
}
_PAID = ("document_id", "line_number", "service_line_id", "delivery_month", "price_oere", "account", "amount_oere")
_TERMS_TYPES = [pa.string()] * 2 + [pa.date32()] * 2 + [pa.int64()] * 3 + [pa.string(), pa.int64()]


def bind_invoices(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, before: datetime = datetime.max
) -> None:
    """Binds every table of `matching.INPUTS` but `invalid`, after `engine_input.bind` on the same connection; with `before`
    (UTC without zone) of the register what was written before that moment."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE own_municipality AS SELECT '{instance.municipality}' AS code")
    for table, query in _FROM_CANONICAL.items():
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS {query}")
    with Session(engine) as session:
        decided = decisions.in_force(session, instance, before)
        rules = decisions.rules(session, before)
        paid = session.execute(
            select(*(getattr(InvoicePayment, name) for name in _PAID))
            .join(SettlementRun, SettlementRun.run_no == InvoicePayment.run_no).where(SettlementRun.booked_at < before)
        ).all()  # fmt: skip
    _table(con, "terms", [field.name for field in dataclasses.fields(Terms)], _TERMS_TYPES, [
        dataclasses.astuple(t) for t in terms(instance)
    ])  # fmt: skip
    _table(con, "match_rule", ["sender_cvr", "item_words", "item_code"], [pa.string()] * 3, [
        (r.sender_cvr, r.item_words, r.item_code) for r in rules
    ])  # fmt: skip
    chosen = ["document_id", "line_number", "service_line_id", "delivery_month"]
    _table(con, "chosen_line", chosen, [pa.string()] * 3 + [pa.date32()], [
        tuple(getattr(d, name) for name in chosen) for d in decided if d.action == "match"
    ])  # fmt: skip
    _table(con, "approved", ["document_id"], [pa.string()], [(d.document_id,) for d in decided if d.action == "godkend"])
    _table(con, "laid_aside", ["document_id", "line_number", "decision"], [pa.string()] * 3, [
        (d.document_id, d.line_number, "afvist" if d.action == "afvis" else "omtvistet")
        for d in decided if d.action in ("afvis", "omtvist")
    ])  # fmt: skip
    # A decision on the whole invoice is one on each of its lines.
    con.execute("""
        CREATE OR REPLACE TEMP TABLE set_aside AS
        SELECT l.document_id, l.line_number, a.decision FROM laid_aside AS a
        JOIN invoice_line AS l ON l.document_id = a.document_id AND a.line_number IN ('', l.line_number)""")
    types = [pa.string()] * 3 + [pa.date32(), pa.int64(), pa.string(), pa.int64()]
    _table(con, "paid_line", list(_PAID), types, [tuple(row) for row in paid])


def _table(con, name: str, columns: list[str], types: list[pa.DataType], rows: list[tuple]) -> None:
    values = list(zip(*rows, strict=True)) or [() for _ in columns]
    con.register("bound", pa.table([pa.array(v, t) for v, t in zip(values, types, strict=True)], names=columns))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM bound")
    con.unregister("bound")
