"""A run's lines on their way into the register: numbered, hashed and inserted, in columns from the proposal to the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
MIRRORED = "(SELECT '{process}' AS process, * FROM line JOIN basis USING (basis_no))"
OF_MONTH = ("delivery_month", "quantity_num", "quantity_den", "amount_oere", "vat_oere")


def number(con: duckdb.DuckDBPyConnection, session: Session, run_no: int, *, lines: str, known: str) -> tuple[int, int, int]:
    """Leaves on `con` the tables `basis` and `line`, numbered on from the register's in the order of the ledger file (service
    line, month, price, counterparty, account); returns how many lines, their amount and VAT in øre.

    `lines` is a relation with OF_MONTH and what tells its rows' bases apart; `known` one row of each basis with BASIS, or the
    same relation where that has all.
    """
    last_basis = session.scalar(select(func.max(BookedBasis.basis_no))) or 0
    given = con.sql(f"FROM {lines} LIMIT 0").columns
    key = ", ".join(column for column in BASIS if column in given)
    bases = f"SELECT {'DISTINCT' if lines == known else ''} {', '.join(BASIS)} FROM {known}"
    con.execute(f"""
        CREATE OR REPLACE TABLE basis AS
        SELECT row_number() OVER (ORDER BY {key}) + {last_basis} AS basis_no, {run_no}::BIGINT AS run_no, * FROM ({bases})""")
    con.execute(f"""
        CREATE OR REPLACE TABLE unnumbered AS
        SELECT basis_no, {', '.join(OF_MONTH)} FROM {lines} JOIN basis USING ({key})
        ORDER BY service_line_id, delivery_month, basis_no""")
    count, amount, vat = con.execute(
        "SELECT count(*), coalesce(sum(amount_oere), 0)::BIGINT, coalesce(sum(vat_oere), 0)::BIGINT FROM unnumbered"
    ).fetchone()
    con.execute(
        f"CREATE OR REPLACE TABLE line AS SELECT rowid + {_first_line(session, run_no, count)} AS line_number, * FROM unnumbered"
    )
    return count, amount, vat


def _first_line(session: Session, run_no: int, count: int) -> int:
    """The number of the run's first line: after those of the newest run that has any, of an earlier system's lines before
    them."""
    is_opening = run_no <= 0
    # A payment run that only rejects has none.
    before = run_no + 1 if is_opening else select(func.max(BookedBasis.run_no)).scalar_subquery()
    furthest = func.min if is_opening else func.max
    # By the order of the table: lines have no index of their numbers.
    since = select(func.min(BookedBasis.basis_no)).where(BookedBasis.run_no == before).scalar_subquery()
    known = session.scalar(select(furthest(BookedLine.line_number)).where(BookedLine.basis_no >= since))
    if is_opening:
        return (1 if known is None or run_no == 0 else known) - count
    return (0 if known is None else known) + 1


def insert(
    session: Session, con: duckdb.DuckDBPyConnection, instance: Instance, run: SettlementRun, documents: Iterable[Document],
    postings: Iterable[Mapping[str, object]],
) -> Path:  # fmt: skip
    """Inserts the lines that `number` left and gives the documents, which lie above them and their `postings` in the hash
    tree, their hashes; returns the run's unfinished mirror (`mirror.keep`)."""
    posted = hashing.postings_by_document(postings)
    with ThreadPoolExecutor(1) as beside:  # DuckDB hashes on the other core while the register writes
        under = beside.submit(_hash, con.cursor(), run.hash_version)
        unfinished = beside.submit(mirror.write, instance, con.cursor(), MIRRORED.format(process=run.process))
        bulk.insert(session, BookedLine.__table__, con, "line")
        hashes = under.result()  # waited for also where there is no document
        for document in documents:
            document.hash = hashing.document_hash(
                document, hashes[document.number], run.hash_version, posted.get(document.number, ())
            )
        bulk.insert(session, BookedBasis.__table__, con, "hashed")
        return unfinished.result()


def _hash(con: duckdb.DuckDBPyConnection, version: int) -> dict[str, str]:
    """Leaves `hashed`: the bases with their hashes; returns by document number what its text ends with."""
    # In one sentence the two cost half as much again.
    con.execute(f"CREATE OR REPLACE TABLE months_of AS {hashing.months_sql('line')}")
    con.execute(f"""
        CREATE OR REPLACE TABLE hashed AS
        SELECT * EXCLUDE (months), {hashing.basis_hash_sql(version)} AS hash FROM basis LEFT JOIN months_of USING (basis_no)""")
    return {number: under for _, number, under in con.execute(hashing.children_sql("hashed")).fetchall()}
