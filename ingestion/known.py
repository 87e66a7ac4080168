"""Recorded time: what the platform knew at the end of a day.

A fact is known from the moment its load was received (the archive's manifest), a decision or a booking from the moment
the register wrote it. A day ends at midnight in Denmark; moments are kept in UTC.

The tables of the warehouse's schema `known` have the columns and rows the canonical tables, and `known.refused` those
the quarantine, had when the load given to `bind_known` was the newest.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb

DENMARK = ZoneInfo("Europe/Copenhagen")


def end_of_day(day: date) -> datetime:
    """The first moment after a day in Denmark, in UTC without zone, as loads and the register keep moments."""
    midnight = datetime.combine(day + timedelta(days=1), time(), DENMARK)
    return midnight.astimezone(UTC).replace(tzinfo=None)


def known_load(con: duckdb.DuckDBPyConnection, day: date) -> int:
    """The id of the newest load received by the end of a day, 0 where there was none."""
    received = con.execute("SELECT max(load_id) FROM raw.load WHERE received_at < ?", [end_of_day(day)])
    return received.fetchone()[0] or 0


def bind_known(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Lets the tables of `known`, read on this connection, show what was known when that load was the newest."""
    con.execute(f"SET VARIABLE known_load = {load_id:d}::BIGINT")
