"""Many rows at once from DuckDB into a table of the register, within the session's transaction."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from sqlalchemy import Table
from sqlalchemy.orm import Session

BATCH = 50_000


def insert(session: Session, con: duckdb.DuckDBPyConnection, table: Table, relation: str) -> int:
    """Inserts every row of a relation of `con` that has the table's columns; returns how many."""
    columns = [column.name for column in table.c]
    copy = _copy if session.get_bind().dialect.name == "postgresql" else _executemany
    return copy(session, con, table.name, columns, relation)


def _executemany(session: Session, con, table: str, columns: list[str], relation: str) -> int:
    """SQLite, through the driver: dates and moments as the texts that SQLAlchemy writes."""
    chosen = ", ".join(_as_sqlite(con, relation, column) for column in columns)
    cursor = session.connection().connection.cursor()
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    count = 0
    for batch in con.sql(f"SELECT {chosen} FROM {relation} ORDER BY line_number").to_arrow_reader(BATCH):
        cursor.executemany(statement, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        count += batch.num_rows
    return count


def _as_sqlite(con, relation: str, column: str) -> str:
    kind = str(con.sql(f"SELECT {column} FROM {relation} LIMIT 0").types[0])
    if kind == "DATE":
        return f"strftime({column}, '%Y-%m-%d') AS {column}"
    if kind == "TIMESTAMP":
        return f"strftime({column}, '%Y-%m-%d %H:%M:%S.%f') AS {column}"
    return f"{column}::INTEGER AS {column}" if kind == "BOOLEAN" else column


def _copy(session: Session, con, table: str, columns: list[str], relation: str) -> int:
    """PostgreSQL, by COPY: every value quoted, so that an empty text is no missing one."""
    cursor = session.connection().connection.cursor()
    with TemporaryDirectory(prefix="afregning-") as folder:  # which its owner alone can read
        path = Path(folder) / "rows.csv"
        con.execute(f"COPY (SELECT {', '.join(columns)} FROM {relation}) TO '{path}' (FORMAT csv, HEADER false, FORCE_QUOTE *)")
        with path.open("rb") as rows, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)") as copy:
            while block := rows.read(1 << 20):
                copy.write(block)
    return cursor.rowcount
