"""Many rows at once between the register and DuckDB or Parquet, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, Select, Table
from sqlalchemy.orm import Session

BATCH = 50_000
_ARROW = {"VARCHAR": pa.string(), "DATE": pa.date32(), "DATETIME": pa.timestamp("us"), "BOOLEAN": pa.bool_()}


def read(connection: Connection, query: Select) -> Iterator[pa.Table]:
    """The rows of a query over columns of the register, in parts; at least one, which may be empty."""
    schema = pa.schema([(c.name, _ARROW.get(str(c.type), pa.int64())) for c in query.selected_columns])
    yield schema.empty_table()
    for rows in connection.execution_options(yield_per=BATCH).execute(query).partitions():
        columns = zip(*rows, strict=True)
        yield pa.table([pa.array(v, t) for v, t in zip(columns, schema.types, strict=True)], schema=schema)


def load(con: duckdb.DuckDBPyConnection, table: str, parts: Iterator[pa.Table]) -> int:
    """Makes a table of `con` of the parts; returns how many rows it has."""
    for number, part in enumerate(parts):
        con.register("part_read", part)
        con.execute(f"INSERT INTO {table} FROM part_read" if number else f"CREATE OR REPLACE TABLE {table} AS FROM part_read")
        con.unregister("part_read")
    return con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def insert(session: Session, con: duckdb.DuckDBPyConnection, table: Table, relation: str) -> int:
    """Inserts, in the session's transaction, every row of a relation of `con` that has the table's columns; returns how
    many."""
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
