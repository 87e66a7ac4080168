"""Ledger lines and proposals as the public CSV or Parquet file (loader.md, commands)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import Engine, case, select
from sqlalchemy.orm import Session

from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.ledger.booking import kind_of
from settlement.ledger.models import Document, LedgerLine, Proposal
from settlement.ledger.proposals import opened
from settlement.spreadsheet import as_text

HEADER = (
    "koersel", "proces", "bilag", "bilagsart", "bogfoert_dato", "ydelse_id", "pakke_id", "cpr", "leverancemaaned", "antal",
    "pris", "beloeb", "moms", "modpart", "konto", "regulering", "retter",
)  # fmt: skip
SORTED = ("service_line_id", "delivery_month", "price_oere", "counterparty", "account")


def quantity_text(numerator: int, denominator: int) -> str:
    """A quantity with 4 decimals, rounded half away from zero."""
    tenthousandths = (2 * abs(numerator) * 10_000 + denominator) // (2 * denominator)
    sign = "-" if numerator < 0 and tenthousandths else ""
    return f"{sign}{tenthousandths // 10_000},{tenthousandths % 10_000:04d}"


def money_text(oere: int) -> str:
    """An amount in kroner with 2 decimals."""
    return f"{'-' if oere < 0 else ''}{abs(oere) // 100},{abs(oere) % 100:02d}"


def booked_rows(engine: Engine, run_no: int | None = None, process: str | None = None) -> Iterator[tuple[str, ...]]:
    """Ledger lines as text, of all runs or one, of all processes or one. All opening runs are shown as run 0."""
    line = LedgerLine
    shown = case((line.run_no < 0, 0), else_=line.run_no)
    query = (
        select(LedgerLine, shown, Document.kind)
        .join(Document, (Document.run_no == line.run_no) & (Document.number == line.document_number))
        .order_by(shown, *(getattr(line, name) for name in SORTED))
    )
    if run_no is not None:
        query = query.where(shown == run_no)
    if process:
        query = query.where(line.process == process)
    with Session(engine) as session:
        for booked, run, kind in session.execute(query.execution_options(yield_per=10_000)):
            yield _row(booked, str(run), booked.document_number, kind, booked.booking_date.isoformat())


def proposed_rows(instance: Instance, proposal: Proposal) -> Iterator[tuple[str, ...]]:
    """A proposal's lines as text, with run, document and booking date empty."""
    with opened(instance, proposal) as con:
        totals = con.execute(
            "SELECT counterparty, sum(amount_oere)::BIGINT, sum(vat_oere)::BIGINT FROM difference GROUP BY counterparty"
        ).fetchall()
        kinds = {counterparty: kind_of(proposal.process, amount, vat) for counterparty, amount, vat in totals}
        cursor = con.execute(f"SELECT * FROM proposed ORDER BY {', '.join(SORTED)}")
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(10_000):
            for row in rows:
                line = SimpleNamespace(**dict(zip(names, row, strict=True)))
                yield _row(line, "", "", kinds[line.counterparty], "")


def _row(line, run: str, document: str, kind: str, booked: str) -> tuple[str, ...]:
    return (
        run, line.process, document, kind, booked, line.service_line_id, line.package_id, line.cpr,
        f"{line.delivery_month:%Y-%m}", quantity_text(line.quantity_num, line.quantity_den), money_text(line.price_oere),
        money_text(line.amount_oere), money_text(line.vat_oere), line.counterparty, line.account,
        "ja" if line.is_adjustment else "nej", line.corrects,
    )  # fmt: skip


def write_rows(path: Path, header: tuple[str, ...], rows: Iterator[tuple[str, ...]], *, for_people: bool = False) -> int:
    """Writes rows as CSV (`;`, UTF-8) or Parquet by the file's ending; returns how many.

    A CSV `for_people` holds no cell that a spreadsheet would run. Ledger lines are for programs that join on their cells, so
    those are as they were delivered. In Parquet antal is DECIMAL(18,4) and money DECIMAL(18,2). Raises InputFault for another
    ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        written = 0
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(_EndedByNewline(handle), delimiter=";", lineterminator="\r\n")
            writer.writerow(header)
            for written, row in enumerate(rows, 1):  # noqa: B007, the count is what is returned
                writer.writerow([as_text(cell) for cell in row] if for_people else row)
        return written
    if path.suffix == ".parquet":
        return _write_parquet(path, header, rows)
    raise InputFault(f"{path.name}: filen skal ende på .csv eller .parquet.")


class _EndedByNewline:
    """Python 3.11's writer quotes a carriage return only where it ends its lines; unquoted, it would end a row in a cell."""

    def __init__(self, handle) -> None:
        self._handle = handle

    def write(self, row: str) -> None:
        self._handle.write(row.removesuffix("\r\n") + "\n")


def _write_parquet(path: Path, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> int:
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    decimals = {
        "antal": pa.decimal128(18, 4),
        "pris": pa.decimal128(18, 2),
        "beloeb": pa.decimal128(18, 2),
        "moms": pa.decimal128(18, 2),
    }
    schema = pa.schema([(name, decimals.get(name, pa.string())) for name in header])
    gathered = list(rows)
    columns = list(zip(*gathered, strict=True)) or [()] * len(header)
    arrays = [
        pa.array(
            [Decimal(v.replace(",", ".")) for v in values] if name in decimals else values, schema.field(name).type
        )
        for name, values in zip(header, columns, strict=True)
    ]
    pq.write_table(pa.table(arrays, schema=schema), path)
    return len(gathered)
