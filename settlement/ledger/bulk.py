"""Many rows at once between the register and DuckDB or Parquet, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, Table
from sqlalchemy.orm import Session

BATCH = 100_000
ROWS_PER_STATEMENT = 100  # SQLite takes this many at once in three quarters of the time it takes them one by one
_ARROW = {
    "VARCHAR": pa.string(), "DATE": pa.date32(), "DATETIME": pa.timestamp("us"), "BOOLEAN": pa.bool_(), "BLOB": pa.binary(),
}  # fmt: skip
# What SQLite's driver gives in place of it.
_IN_SQLITE = {pa.date32(): pa.string(), pa.timestamp("us"): pa.string(), pa.bool_(): pa.int64()}
_COPY_BEGIN, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_DAYS_TO_2000 = 10_957  # PostgreSQL counts days from 2000-01-01


def read(connection: Connection, query: Select) -> Iterator[pa.Table]:
    """The rows of a query over columns of the register, in parts; at least one, which may be empty."""
    schema = pa.schema([(c.name, _ARROW.get(str(c.type), pa.int64())) for c in query.selected_columns])
    types = [_IN_SQLITE.get(t, t) if connection.dialect.name == "sqlite" else t for t in schema.types]
    yield schema.empty_table()
    # From the driver itself: what SQLAlchemy makes of every value costs more than reading it.
    statement = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
    driver = connection.connection
    with closing(driver.cursor(name="many_rows") if connection.dialect.name == "postgresql" else driver.cursor()) as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(BATCH):
            columns = zip(*rows, strict=True)
            part = pa.table([pa.array(v, t) for v, t in zip(columns, types, strict=True)], names=schema.names)
            yield part.cast(schema)


def load(con: duckdb.DuckDBPyConnection, table: str, parts: Iterator[pa.Table]) -> int:
    """Makes a table of `con` of the parts; returns how many rows it has."""
    for number, part in enumerate(parts):
        con.register("part_read", part)
        con.execute(f"INSERT INTO {table} FROM part_read" if number else f"CREATE OR REPLACE TABLE {table} AS FROM part_read")
        con.unregister("part_read")
    return con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def insert(session: Session, table: Table, con: duckdb.DuckDBPyConnection, source: str) -> int:
    """Inserts, in the session's transaction, every row of a table of `con`, in its order, with the columns that both tables
    have; returns how many."""
    put = _copy if session.get_bind().dialect.name == "postgresql" else _insert
    columns = [column.name for column in table.c if column.name in con.table(source).columns]
    cursor = session.connection().connection.cursor()
    return put(cursor, table.name, columns, _parts(con, source, columns))


def _parts(con, source: str, columns: list[str]) -> Iterator[pa.Table]:
    """By row number: DuckDB computes a part on all cores, but hands a whole result over on one."""
    # Read to its end: while it is not, `con` sees nothing that its other cursors make.
    ((count,),) = con.execute(f"SELECT count(*) FROM {source}").fetchall()
    for first in range(0, count, BATCH):
        yield con.sql(
            f"SELECT {', '.join(columns)} FROM {source} WHERE rowid >= {first} AND rowid < {first + BATCH} ORDER BY rowid"
        ).to_arrow_table()


def _insert(cursor, table: str, columns: list[str], parts: Iterator[pa.Table]) -> int:
    """SQLite, many rows a statement."""
    row = f"({', '.join('?' * len(columns))})"
    begin, wide, count = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ", len(columns) * ROWS_PER_STATEMENT, 0
    for part in parts:
        values = [None] * (part.num_rows * len(columns))
        for place, column in enumerate(part.columns):
            values[place :: len(columns)] = _as_sqlite(column)
        whole = len(values) - len(values) % wide
        cursor.executemany(begin + ", ".join([row] * ROWS_PER_STATEMENT), (values[i : i + wide] for i in range(0, whole, wide)))
        if rest := values[whole:]:
            cursor.execute(begin + ", ".join([row] * (len(rest) // len(columns))), rest)
        count += part.num_rows
    return count


def _as_sqlite(column: pa.ChunkedArray) -> list:
    """A column's values as SQLAlchemy writes them: dates as text, truth as 0 and 1."""
    if pa.types.is_date(column.type):
        days = column.combine_chunks().dictionary_encode()  # months are few
        texts = [str(day) for day in days.dictionary.to_pylist()]
        return [texts[i] for i in days.indices.to_numpy().tolist()]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy().tolist() if pa.types.is_integer(column.type) else column.to_pylist()


def _copy(cursor, table: str, columns: list[str], parts: Iterator[pa.Table]) -> int:
    """PostgreSQL, by its binary COPY."""
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_COPY_BEGIN)
        for part in parts:
            copy.write(_as_copy(part.combine_chunks()))
        copy.write(_COPY_END)
    return cursor.rowcount


def _as_copy(part: pa.Table) -> memoryview:
    """Rows as PostgreSQL's binary COPY has them: the number of fields, then of every field its length and its bytes."""
    pieces, fixed = [], [np.full(part.num_rows, part.num_columns, ">i2")]
    for column in part.columns:
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_integer(column.type):
            fixed += [np.full(len(column), 8, ">i4"), column.to_numpy().astype(">i8")]
        elif pa.types.is_date(column.type):
            fixed += [np.full(len(column), 4, ">i4"), (column.cast(pa.int32()).to_numpy() - _DAYS_TO_2000).astype(">i4")]
        elif pa.types.is_boolean(column.type):
            fixed += [np.full(len(column), 1, ">i4"), column.cast(pa.uint8()).to_numpy()]
        else:
            column = column.cast(pa.large_binary())
            fixed.append(pc.fill_null(pc.binary_length(column), -1).to_numpy().astype(">i4"))
            pieces += [_side_by_side(fixed), column.fill_null(b"")]
            fixed = []
    if fixed:
        pieces.append(_side_by_side(fixed))
    rows = pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))
    _, offsets, content = rows.buffers()
    return memoryview(content)[: np.frombuffer(offsets, np.int64)[len(rows)]]


def _side_by_side(columns: list[np.ndarray]) -> pa.Array:
    """Columns of fixed width as one of bytes."""
    rows = np.empty(len(columns[0]), [(f"f{place}", column.dtype) for place, column in enumerate(columns)])
    for place, column in enumerate(columns):
        rows[f"f{place}"] = column
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.dtype.itemsize
    return pa.Array.from_buffers(pa.large_binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])
