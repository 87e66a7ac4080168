"""What an earlier system has already charged (loader.md, aabningsposter): booked once as run 0 and never sent."""

from __future__ import annotations

import hashlib
from datetime import date
from itertools import groupby

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.instance import Instance
from settlement.ledger import hashing
from settlement.ledger.booking import insert_postings, keep_heads, kind_of, next_sequence
from settlement.ledger.guards import booking_opened, one_at_a_time
from settlement.ledger.models import Document, LedgerLine, SettlementRun
from settlement.ledger.proposals import newest_hash
from settlement.ledger.register import now, writing

BOOKED_BY = "platformen"
KEY = {
    "process": pa.string(), "service_line_id": pa.string(), "delivery_month": pa.date32(), "price_oere": pa.int64(),
    "counterparty": pa.string(), "account": pa.string(),
}  # fmt: skip
# Grain: one living opening entry that no run holds, as the ledger line it becomes.
UNBOOKED = f"""
    WITH entry AS (
        SELECT
            * REPLACE (coalesce(account, '') AS account), coalesce(quantity_e4, 0) AS quantity,
            coalesce(document_number, '') AS document
        FROM canonical.opening_entry WHERE NOT withdrawn
    ),
    line AS (
        SELECT
            e.process, e.service_line_id, l.package_id, p.cpr, e.delivery_month,
            e.quantity // gcd(e.quantity, 10000) AS quantity_num, 10000 // gcd(e.quantity, 10000) AS quantity_den,
            e.price_oere, coalesce(e.amount_oere, 0) AS amount_oere, coalesce(e.vat_oere, 0) AS vat_oere, i.vat_pct_e2,
            e.counterparty, e.account, false AS is_adjustment, '' AS corrects, coalesce(i.name, i.item_code) AS item_name,
            i.unit, coalesce(p.requisition, '') AS requisition,
            concat(left(e.source_file, 16), ':', e.source_row) AS line_source, '' AS rate_source, e.document AS document_number
        FROM (FROM entry ANTI JOIN already_booked USING ({", ".join(KEY)})) AS e
        JOIN canonical.service_line AS l ON l.service_line_id = e.service_line_id
        JOIN canonical.service_package AS p ON p.package_id = l.package_id
        JOIN canonical.catalogue_item AS i ON i.item_code = l.item_code
    )
    SELECT *, {hashing.line_hash_sql()} AS content_hash FROM line
    ORDER BY process, document_number, service_line_id, delivery_month, price_oere, counterparty, account"""


def book_opening_entries(
    instance: Instance, engine: Engine, con: duckdb.DuckDBPyConnection, *, booking_date: date
) -> list[SettlementRun]:
    """Books every living opening entry whose key no opening run holds, one run per process; returns the runs.

    `con` is the warehouse: it reads `canonical.opening_entry` and what an entry's line belongs to. The first run is 0,
    later ones −1, −2 …. Nobody proposes or approves, nothing goes to the outbox, and a closed accounting period is no
    hindrance: the money was charged and posted by the earlier system.
    """
    if not con.execute("SELECT 1 FROM canonical.opening_entry WHERE NOT withdrawn LIMIT 1").fetchone():
        return []
    with writing(engine) as session:
        one_at_a_time(session)
        lines = _unbooked(session, con)
        runs = [
            _book(session, process, list(group), booking_date)
            for process, group in groupby(lines, key=lambda line: line["process"])
        ]
    if runs:
        keep_heads(instance, engine)
    return runs


def _unbooked(session: Session, con: duckdb.DuckDBPyConnection) -> list[dict]:
    booked = session.execute(select(*(getattr(LedgerLine, name) for name in KEY)).where(LedgerLine.run_no <= 0)).all()
    columns = zip(*booked, strict=True) if booked else [()] * len(KEY)
    con.register("already_booked", pa.table([pa.array(c, t) for c, t in zip(columns, KEY.values(), strict=True)], names=list(KEY)))
    cursor = con.execute(UNBOOKED)
    names = [column[0] for column in cursor.description]
    lines = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    con.unregister("already_booked")
    return lines


def _book(session: Session, process: str, lines: list[dict], booking_date: date) -> SettlementRun:
    """One run of one process's lines, which come sorted by document."""
    lowest = session.scalar(select(func.min(SettlementRun.run_no)).where(SettlementRun.run_no <= 0))
    booked_at = now()
    run = SettlementRun(
        run_no=0 if lowest is None else lowest - 1, sequence=next_sequence(session), proposal_id=None, process=process,
        timing="", through=max(line["delivery_month"] for line in lines), booking_date=booking_date,
        accounting_year=booking_date.year, accounting_period=booking_date.month, booked_at=booked_at, booked_by=BOOKED_BY,
        approved_by="", engine_version=settle.VERSION, input_hash="",
        lines_hash=hashlib.sha256("".join(line["content_hash"] for line in lines).encode()).hexdigest(),
        amount_oere=sum(line["amount_oere"] for line in lines), vat_oere=sum(line["vat_oere"] for line in lines),
        previous_hash=newest_hash(session), hash_version=hashing.RUN_VERSION, hash="",
    )  # fmt: skip
    documents = [
        _document(run, number, list(group)) for number, group in groupby(lines, key=lambda line: line["document_number"])
    ]
    run.hash = hashing.run_hash(run, [document.hash for document in documents])
    lowest_line = session.scalar(select(func.min(LedgerLine.line_number)).where(LedgerLine.run_no <= 0))
    first = (1 if lowest_line is None else lowest_line) - len(lines)
    with booking_opened(session, run.run_no):
        session.add(run)
        session.flush()
        session.add_all(documents)
        session.flush()
        common = {"run_no": run.run_no, "booking_date": booking_date, "recorded_at": booked_at}
        session.execute(insert(LedgerLine), [line | common | {"line_number": n} for n, line in enumerate(lines, first)])
        insert_postings(session, run, documents)
    return run


def _document(run: SettlementRun, number: str, lines: list[dict]) -> Document:
    """The earlier system's document, or the part of it that this run brings: its number as given, outside the series."""
    amount, vat = sum(line["amount_oere"] for line in lines), sum(line["vat_oere"] for line in lines)
    document = Document(
        run_no=run.run_no, number=number, series=None, year=None, sequence=None, kind=kind_of(run.process, amount, vat),
        process=run.process, counterparty="", name="", cvr="", ean="", address="", contact="", issue_date=run.booking_date,
        due_date=run.booking_date, amount_oere=amount, vat_oere=vat,
    )  # fmt: skip
    document.hash = hashing.row_hash(document, hashing.DOCUMENT_FIELDS, [line["content_hash"] for line in lines])
    return document
