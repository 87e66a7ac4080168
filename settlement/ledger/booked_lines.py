"""A run's lines on their way into the register: numbered, hashed and inserted, in columns from the proposal to the database."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from settlement.instance import Instance
from settlement.ledger import bulk, hashing, mirror
from settlement.ledger.models import BookedBasis, BookedLine, Document, SettlementRun

# What lines share, first what they are numbered by.
BASIS = (
    "service_line_id", "price_oere", "counterparty", "account", "document_number", "package_id", "cpr", "vat_pct_e2",
    "is_adjustment", "corrects", "item_name", "unit", "requisition", "line_source", "rate_source",
)  # fmt: skip
MIRRORED = "(SELECT '{process}' AS process, * FROM booked JOIN basis USING (basis_no))"
OF_MONTH = ("delivery_month", "quantity_num", "quantity_den", "amount_oere", "vat_oere")


def number(con: duckdb.DuckDBPyConnection, session: Session, run_no: int, *, lines: str, known: str) -> tuple[int, int, int]:
    """Leaves on `con` the tables `basis` and `line`, numbered on from the register's in the order of the ledger file (service
    line, month, price, counterparty, account); returns how many lines, their amount and VAT in øre.

    `known` is a relation with BASIS and OF_MONTH; `lines` the same or one with OF_MONTH and what tells its rows' bases apart.
    """
    first_basis = (session.scalar(select(func.max(BookedBasis.basis_no))) or 0) + 1
    con.execute(f"""
        CREATE OR REPLACE TABLE basis AS
        SELECT *, {hashing.hash_sql(hashing.BASIS_FIELDS)} AS hash FROM (
            SELECT row_number() OVER (ORDER BY {', '.join(BASIS)}) + {first_basis - 1} AS basis_no, {run_no}::BIGINT AS run_no, *
            FROM (SELECT DISTINCT {', '.join(BASIS)} FROM {known})
        ) ORDER BY basis_no""")
    given = con.sql(f"FROM {lines} LIMIT 0").columns
    con.execute(f"""
        CREATE OR REPLACE TABLE unnumbered AS
        SELECT basis_no, {', '.join(OF_MONTH)} FROM {lines} JOIN basis USING ({', '.join(c for c in BASIS if c in given)})
        ORDER BY service_line_id, delivery_month, basis_no""")
    count, amount, vat = con.execute(
        "SELECT count(*), coalesce(sum(amount_oere), 0)::BIGINT, coalesce(sum(vat_oere), 0)::BIGINT FROM unnumbered"
    ).fetchone()
    con.execute(
        f"CREATE OR REPLACE VIEW line AS SELECT rowid + {_first_line(session, run_no, count)} AS line_number, * FROM unnumbered"
    )
    return count, amount, vat


def _first_line(session: Session, run_no: int, count: int) -> int:
    """The number of the run's first line: after those of the run before, of an earlier system's lines before them."""
    is_opening = run_no <= 0
    before = run_no + 1 if is_opening else run_no - 1
    furthest = func.min if is_opening else func.max
    # By the order of the table: lines have no index of their numbers.
    since = select(func.min(BookedBasis.basis_no)).where(BookedBasis.run_no == before).scalar_subquery()
    known = session.scalar(select(furthest(BookedLine.line_number)).where(BookedLine.basis_no >= since))
    if is_opening:
        return (1 if known is None or run_no == 0 else known) - count
    return (0 if known is None else known) + 1


def insert(
    session: Session, con: duckdb.DuckDBPyConnection, instance: Instance, run: SettlementRun, documents: Iterable[Document]
) -> Path:
    """Inserts the lines that `number` left and gives the documents, which lie under them in the hash tree, their hashes;
    returns the run's unfinished mirror (`mirror.keep`).

    Leaves on `con` the table `booked`: the lines with their hashes.
    """
    with ThreadPoolExecutor(1) as beside:  # DuckDB hashes on the other core while the register writes
        hashed = beside.submit(_hash, con.cursor())
        bulk.insert(session, BookedBasis.__table__, con, "basis")
        hashed.result()
        children = beside.submit(_children, con.cursor())
        unfinished = beside.submit(mirror.write, instance, con.cursor(), MIRRORED.format(process=run.process))
        bulk.insert(session, BookedLine.__table__, con, "booked")
        for document in documents:
            document.hash = hashing.document_hash(document, children.result()[document.number], run.hash_version)
        return unfinished.result()


def _hash(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"""
        CREATE OR REPLACE TABLE booked AS
        SELECT *, {hashing.hash_sql(hashing.MONTH_FIELDS)} AS hash FROM line ORDER BY line_number""")


def _children(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return {number: under for _, number, under in con.execute(hashing.children_sql("basis", "booked")).fetchall()}
