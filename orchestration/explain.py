"""`afregning explain`: one service line's month from the facts of the warehouse, now or as known on a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
from sqlalchemy import Engine

from ingestion.engine_input import bind
from settlement.engine import settle
from settlement.engine.calendar import public_holidays
from settlement.explain import entitled_and_booked, with_difference
from settlement.explanation import sentences
from settlement.faults import UsageFault
from settlement.instance import Instance
from settlement.ledger import proposals
from settlement.processes import ON_DEMAND, PROCESSES


def explain(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, service_line_id: str, month: date,
    *, known_on: date | None = None,
) -> Iterator[str]:  # fmt: skip
    """The days and their weight, price, payer and account with sources, the rounding, what is booked and the difference.

    With `known_on` after what was known at the end of that day. Raises InputFault where the line is not known, UsageFault
    for a day that has not come.
    """
    if known_on and known_on > date.today():
        raise UsageFault(f"{known_on:%d-%m-%Y} er ikke kommet endnu. Vælg i dag eller en tidligere dag med --known-on.")
    bind(con, instance, engine, only_line=service_line_id, known_on=known_on)
    settle.entitle(con, own_municipality=instance.municipality, through=month)
    day = known_on or date.today()
    told = entitled_and_booked(
        con, instance, engine, service_line_id, month,
        basis=f"Grundlag: det, der var kendt {day:%d-%m-%Y}." if known_on else "Grundlag: det, der er kendt nu.",
        holidays=public_holidays(month.year, month.year),
    )  # fmt: skip
    (timing,) = con.execute("SELECT timing FROM service_line WHERE service_line_id = ?", [service_line_id]).fetchone()
    for process in sorted({s.process for s in told.stretches} | {b.process for b in told.bookings}):
        if process in PROCESSES | ON_DEMAND:
            proposals.differ(con, instance, process=process, timing=timing, through=month, booking_date=day)
            told = with_difference(con, told)
    yield from sentences(told)
