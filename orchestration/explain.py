"""How one service line's amount in one delivery month came about, in Danish sentences (loader.md, `explain`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ingestion.engine_input import bind
from settlement.engine import settle
from settlement.engine.calendar import month_end
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.ledger.lines_file import money_text, quantity_text
from settlement.ledger.models import LedgerLine, SettlementRun

UNITS = {
    "doegn": "døgn", "hverdag": "hverdage", "uge": "uger", "maaned": "måneder", "aar": "år", "time": "timer",
    "leveret": "leverede enheder", "engang": "engangsbeløb",
}  # fmt: skip


def explain(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, service_line_id: str, month: date
) -> Iterator[str]:
    """The days and their weight, price, payer and account with sources, the rounding, and what is booked.

    Raises InputFault where the line is not known.
    """
    bind(con, instance, engine, only_line=service_line_id)
    line = con.execute("""
        SELECT l.*, i.name AS item_name, i.unit, i.proration, i.vat_pct_e2, p.status
        FROM service_line l JOIN service_package p USING (package_id) JOIN catalogue_item i USING (item_code)""")
    names = [column[0] for column in line.description]
    row = line.fetchone()
    if row is None:
        raise InputFault(f"Ydelsen {service_line_id} findes ikke. Kontrollér ydelse_id i ydelser.")
    known = dict(zip(names, row, strict=True))
    settle.entitle(con, own_municipality=instance.municipality, through=month)
    ends = f"{known['end_date']:%d-%m-%Y}" if known["end_date"] else "åben"
    yield (
        f"Ydelse {service_line_id}: {known['item_name'] or known['item_code']} ({known['unit']}"
        f"{', ' + known['proration'] if known['unit'] == 'maaned' else ''}), {known['start_date']:%d-%m-%Y} – {ends}, "
        f"antal {quantity_text(known['quantity_e4'], 10_000)}. Kilde: {_source(con, known['source_file'], known['source_row'])}."
    )
    if known["withdrawn"] or known["status"] in ("ansoegt", "annulleret"):
        yield f"Ydelsen er trukket tilbage, eller pakken er {known['status']}: den giver ret til 0."
    yield from _days(con, month)
    yield from _amounts(con, month)
    yield from _booked(engine, service_line_id, month)


def _days(con, month: date) -> Iterator[str]:
    rows = con.execute(
        "SELECT from_day, to_day, weight, basis, absence_pct_e2, price_oere, payer, account, process, rate_source_file, "
        "rate_source_row FROM day_weight WHERE delivery_month = ? ORDER BY from_day", [month],
    ).fetchall()  # fmt: skip
    if not rows:
        yield f"Ingen dag i {month:%Y-%m} har vægt."
    for first, last, weight, basis, absence, price, payer, account, process, file, number in rows:
        price_text = f"{money_text(price)} kr. ({_source(con, file, number)})" if price is not None else "ingen takst"
        yield (
            f"{_day(first)} – {_day(last)}: vægt {weight}/{basis}"
            f"{f', fravær afregnes med {quantity_text(absence, 100)[:-2]} pct.' if absence != 10_000 else ''}, takst {price_text}, "
            f"betaler {payer or 'mangler'}, konto {account or 'ingen'}, {process}."
        )
    for (reason,) in con.execute("SELECT DISTINCT reason FROM blocked WHERE delivery_month = ?", [month]).fetchall():
        yield f"Måneden er parkeret: {reason}."


def _amounts(con, month: date) -> Iterator[str]:
    pieces = con.execute(
        "SELECT process, counterparty, price_oere, quantity_num, quantity_den, amount_oere, vat_oere, vat_pct_e2 FROM piece "
        "WHERE delivery_month = ? ORDER BY process, price_oere, counterparty", [month],
    ).fetchall()  # fmt: skip
    for process, counterparty, price, numerator, denominator, amount, vat, vat_pct in pieces:
        vat_text = f" Moms {quantity_text(vat_pct, 100)[:-2]} pct.: {money_text(vat)} kr." if vat else ""
        yield (
            f"{process}, modpart {counterparty or '–'}: {money_text(price)} kr. × {numerator}/{denominator} "
            f"({quantity_text(numerator, denominator)}) = {money_text(amount)} kr., afrundet én gang til hele øre.{vat_text}"
        )


def _booked(engine: Engine, service_line_id: str, month: date) -> Iterator[str]:
    with Session(engine) as session:
        rows = session.execute(
            select(LedgerLine, SettlementRun)
            .join(SettlementRun, SettlementRun.run_no == LedgerLine.run_no)
            .where(LedgerLine.service_line_id == service_line_id, LedgerLine.delivery_month == month)
            .order_by(LedgerLine.line_number)
        ).all()
        for line, run in rows:
            yield (
                f"Bogført i kørsel {run.run_no}, bilag {line.document_number}, {line.booking_date:%d-%m-%Y}: "
                f"{quantity_text(line.quantity_num, line.quantity_den)} × {money_text(line.price_oere)} kr. = "
                f"{money_text(line.amount_oere)} kr. til {line.counterparty}"
                f"{f', regulering af {line.corrects}' if line.is_adjustment else ''}. "
                f"Bogført af {run.booked_by}, godkendt af {run.approved_by}, regelversion {run.engine_version}."
            )
        total = sum(line.amount_oere for line, _ in rows)
    yield f"I alt bogført for {month:%Y-%m} (til og med {month_end(month):%d-%m-%Y}): {money_text(total)} kr."


def _source(con, file_hash: str | None, row: int | None) -> str:
    name = con.execute("SELECT any_value(name) FROM raw.file WHERE file_hash = ?", [file_hash]).fetchone()[0]
    return f"{name}, række {row}" if name else "ukendt kilde"


def _day(number: int) -> str:
    return f"{date(1970, 1, 1) + timedelta(days=number):%d-%m-%Y}"
