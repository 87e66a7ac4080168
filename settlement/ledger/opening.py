"""What an earlier system has already charged (loader.md, aabningsposter): booked once as run 0 and never sent."""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.instance import Instance
from settlement.ledger import booked_lines, bulk, hashing, heads
from settlement.ledger.booking import insert_run, kind_of, next_sequence
from settlement.ledger.bounds import kroner
from settlement.ledger.guards import booking_opened, one_at_a_time
from settlement.ledger.models import Document, LedgerLine, SettlementRun
from settlement.ledger.proposals import newest_hash
from settlement.ledger.register import now, writing

BOOKED_BY = "platformen"
KEY = ("process", "service_line_id", "delivery_month", "price_oere", "counterparty", "account")
LINES_HASH = f"SELECT sha256(string_agg(line, chr(10) ORDER BY line)) FROM (SELECT {hashing.text_sql()} AS line FROM of_process)"
# Grain: one living opening entry that no run holds, as the ledger line it becomes.
UNBOOKED = f"""
    WITH entry AS (
        SELECT
            * REPLACE (coalesce(account, '') AS account), coalesce(quantity_e4, 0) AS quantity,
            coalesce(document_number, '') AS document
        FROM canonical.opening_entry WHERE NOT withdrawn
    )
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
    JOIN canonical.catalogue_item AS i ON i.item_code = l.item_code"""


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
    with writing(engine) as session, duckdb.connect() as columns:
        one_at_a_time(session)
        heads.complete(instance, session)
        bulk.load(columns, "unbooked", iter([_unbooked(session, con)]))
        processes = columns.execute("SELECT DISTINCT process FROM unbooked ORDER BY process").fetchall()
        runs = [_book(session, instance, columns, process, booking_date) for (process,) in processes]
    with Session(engine) as session:
        heads.complete(instance, session)
    return runs


def changed_since(con: duckdb.DuckDBPyConnection, engine: Engine) -> list[str]:
    """A sentence for each opening entry that is another now, or withdrawn, than it was booked: it is booked once, so a person
    must see to the difference. `con` is the warehouse."""
    booked = select(
        *(LedgerLine.__table__.c[name] for name in KEY), LedgerLine.amount_oere, LedgerLine.vat_oere
    ).where(LedgerLine.run_no <= 0)  # fmt: skip
    with engine.connect() as connection:
        con.register("booked_entry", pa.concat_tables(bulk.read(connection, booked)))
    found = con.execute(f"""
        SELECT service_line_id, delivery_month, b.amount_oere + b.vat_oere AS booked_oere,
            CASE WHEN withdrawn THEN 0 ELSE coalesce(e.amount_oere, 0) + coalesce(e.vat_oere, 0) END AS now_oere
        FROM (SELECT * REPLACE (coalesce(account, '') AS account) FROM canonical.opening_entry) AS e
        JOIN booked_entry AS b USING ({", ".join(KEY)}) WHERE booked_oere <> now_oere ORDER BY ALL""").fetchall()
    con.unregister("booked_entry")
    return [
        f"Åbningsposten for ydelse {line}, {month:%Y-%m}, er nu {kroner(now_oere)} kr. med moms, men bogført med "
        f"{kroner(booked_oere)} kr. i kørsel 0; den bogføres ikke igen. Ret forskellen med en manuel linje."
        for line, month, booked_oere, now_oere in found
    ]


def _unbooked(session: Session, con: duckdb.DuckDBPyConnection) -> pa.Table:
    booked = bulk.read(session.connection(), select(*(LedgerLine.__table__.c[name] for name in KEY)).where(LedgerLine.run_no <= 0))
    con.register("already_booked", pa.concat_tables(booked))
    lines = con.sql(UNBOOKED).to_arrow_table()
    con.unregister("already_booked")
    return lines


def _book(
    session: Session, instance: Instance, con: duckdb.DuckDBPyConnection, process: str, booking_date: date
) -> SettlementRun:
    """One run of one process's lines of `unbooked`."""
    lowest = session.scalar(select(func.min(SettlementRun.run_no)).where(SettlementRun.run_no <= 0))
    run_no = 0 if lowest is None else lowest - 1
    con.execute(f"CREATE OR REPLACE VIEW of_process AS FROM unbooked WHERE process = '{process}'")
    _, amount, vat = booked_lines.number(con, session, run_no, lines="of_process", known="of_process")
    run = SettlementRun(
        run_no=run_no, sequence=next_sequence(session), proposal_id=None, process=process, timing="",
        through=con.execute("SELECT max(delivery_month) FROM of_process").fetchone()[0], booking_date=booking_date,
        accounting_year=booking_date.year, accounting_period=booking_date.month, booked_at=now(), booked_by=BOOKED_BY,
        approved_by="", engine_version=settle.VERSION, input_hash="", lines_hash=con.execute(LINES_HASH).fetchone()[0],
        amount_oere=amount, vat_oere=vat, previous_hash=newest_hash(session), hash_version=hashing.RUN_VERSION, hash="",
    )  # fmt: skip
    totals = con.execute("""
        SELECT document_number, sum(amount_oere)::BIGINT, sum(vat_oere)::BIGINT FROM of_process GROUP BY document_number
        ORDER BY document_number""").fetchall()
    with booking_opened(session, run_no):
        insert_run(session, con, instance, run, [_document(run, *total) for total in totals])
    return run


def _document(run: SettlementRun, number: str, amount: int, vat: int) -> Document:
    """The earlier system's document, or the part of it that this run brings: its number as given, outside the series."""
    return Document(
        run_no=run.run_no, number=number, series=None, year=None, sequence=None, kind=kind_of(run.process, amount, vat),
        process=run.process, counterparty="", name="", cvr="", ean="", address="", contact="", issue_date=run.booking_date,
        due_date=run.booking_date, amount_oere=amount, vat_oere=vat,
    )  # fmt: skip
