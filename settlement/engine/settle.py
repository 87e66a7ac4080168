"""Runs the engine's SQL: binds its inputs, computes what is owed and what a run would book.

All functions work on a DuckDB connection whose temporary schema holds the inputs named in INPUTS.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from settlement.engine.calendar import month_end, months_between, public_holidays
from settlement.faults import InputFault

VERSION = "1"
SQL = Path(__file__).parent / "sql"
EPOCH = date(1970, 1, 1)

# What the engine reads: table → columns. A run's frozen input holds exactly these.
INPUTS: dict[str, tuple[str, ...]] = {
    "service_line": (
        "service_line_id", "package_id", "item_code", "offer_id", "process", "start_date", "end_date", "quantity_e4",
        "timing", "account", "claim_kind", "withdrawn", "source_file", "source_row",
    ),
    "service_package": (
        "package_id", "cpr", "department", "paying_municipality", "status", "requisition", "withdrawn",
    ),
    "catalogue_item": (
        "item_code", "name", "unit", "proration", "absence_full_days", "absence_pct_e2", "departure_day_paid",
        "vat_pct_e2", "function_code", "grouping_code", "cost_type_code",
    ),
    "offer": ("offer_id", "owner_kind"),
    "rate": (
        "item_code", "offer_id", "valid_from", "valid_to", "price_oere", "withdrawn", "source_file", "source_row",
    ),
    "individual_rate": (
        "service_line_id", "valid_from", "valid_to", "price_oere", "withdrawn", "source_file", "source_row",
    ),
    "package_payer": ("package_id", "valid_from", "valid_to", "paying_municipality", "withdrawn"),
    "account_rule": ("service_line_id", "valid_from", "valid_to", "account", "withdrawn"),
    "payout_terms": ("service_line_id", "payee_id", "withdrawn"),
    "charge_terms": ("service_line_id", "payer_cpr", "withdrawn"),
    "absence": ("service_line_id", "from_date", "to_date", "withdrawn"),
    "registration": ("registration_id", "service_line_id", "date", "quantity_e4", "withdrawn"),
    "posting_account_rule": (
        "valid_from", "valid_to", "function_code", "grouping_code", "cost_type_code", "account",
    ),
    "refused_line": ("service_line_id",),
    "allowed_late": ("service_line_id", "delivery_month", "counterparty"),
    "ledger_line": (
        "line_number", "process", "service_line_id", "delivery_month", "price_oere", "counterparty", "account",
        "quantity_num", "quantity_den", "amount_oere", "vat_oere", "document_number",
    ),
}  # fmt: skip


def entitle(con: duckdb.DuckDBPyConnection, *, own_municipality: str, through: date) -> None:
    """Computes what every service line is worth for every delivery month up to `through` (its last day).

    Leaves the temporary tables `span`, `day_weight`, `blocked` and `piece` (grains in their SQL files).
    Raises InputFault where an amount does not fit in 64 bits.
    """
    horizon = month_end(through)
    con.execute("""
        CREATE OR REPLACE TEMP TABLE run (
            own_municipality VARCHAR, horizon_day BIGINT, process VARCHAR, timing VARCHAR, through DATE, booking_date DATE,
            settles_from DATE)""")
    con.execute("INSERT INTO run (own_municipality, horizon_day) VALUES (?, ?)", [own_municipality, (horizon - EPOCH).days])
    first = con.execute(
        "SELECT min(d) FROM (SELECT min(start_date) AS d FROM service_line UNION ALL SELECT min(delivery_month) FROM ledger_line)"
    ).fetchone()[0]
    _bind_calendar(con, min(first or horizon, horizon), horizon)
    for step in ("span", "day_weight", "blocked"):
        _compute(con, step)
    try:
        _compute(con, "piece")
    except duckdb.OutOfRangeException as overflow:
        raise InputFault(_overflow_sentence(con)) from overflow


def difference(
    con: duckdb.DuckDBPyConnection,
    *,
    process: str,
    timing: str,
    through: date,
    booking_date: date,
    settles_from: date,
    deadlines: Callable[[str, date], date],
) -> None:
    """Computes what a run would book, after `entitle` through at least `through`.

    `settles_from` is the first delivery month the instance settles the process from.
    `deadlines(claim_kind, delivery_month)` gives the last day a claim can be raised. Leaves the temporary tables
    `parked` and `proposed` (a proposed line each, late claims left out) and `late`.
    """
    con.execute(
        "UPDATE run SET process = ?, timing = ?, through = ?, booking_date = ?, settles_from = ?",
        [process, timing, through.replace(day=1), booking_date, settles_from],
    )
    _compute(con, "parked")
    _compute(con, "difference")
    claims = []
    if process == "mellemkommunal":
        claims = con.execute(
            "SELECT DISTINCT claim_kind, delivery_month FROM difference WHERE amount_oere > 0"
        ).fetchall()
    con.execute("CREATE OR REPLACE TEMP TABLE claim_deadline (claim_kind VARCHAR, delivery_month DATE, last_day DATE)")
    for kind, month in claims:
        con.execute("INSERT INTO claim_deadline VALUES (?, ?, ?)", [kind, month, deadlines(kind, month)])
    _compute(con, "late")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE proposed AS SELECT d.* FROM difference d LEFT JOIN late t
        ON t.service_line_id = d.service_line_id AND t.delivery_month = d.delivery_month AND t.counterparty = d.counterparty
        WHERE t.service_line_id IS NULL
        ORDER BY d.service_line_id, d.delivery_month, d.price_oere, d.counterparty, d.account""")


def _compute(con, step: str) -> None:
    con.execute(f"CREATE OR REPLACE TEMP TABLE {step} AS {(SQL / f'{step}.sql').read_text(encoding='utf-8')}")


def _bind_calendar(con, first: date, last: date) -> None:
    """`calendar_day`: cumulative weights through each day, so that a period's weight is two look-ups.

    `calendar_month`: first and last day, length, and a denominator that every unit's denominator divides.
    """
    months = months_between(first, last)
    holidays = public_holidays(months[0].year, months[-1].year)
    rows = {"day": [], "weekdays": [], "thirtieths": []}
    weekdays = thirtieths = 0
    day = months[0] - timedelta(days=1)
    rows_add = [rows["day"].append, rows["weekdays"].append, rows["thirtieths"].append]
    while day <= month_end(months[-1]):
        if day >= months[0]:
            weekdays += day.weekday() < 5 and day not in holidays
            length = month_end(day).day
            thirtieths += 30 - (length - 1) if day.month == 2 and day.day == length else day.day <= 30
        for add, value in zip(rows_add, ((day - EPOCH).days, weekdays, thirtieths), strict=True):
            add(value)
        day += timedelta(days=1)
    con.register("calendar_rows", pa.table(rows))
    con.execute("CREATE OR REPLACE TEMP TABLE calendar_day AS FROM calendar_rows")
    con.unregister("calendar_rows")
    con.execute("""CREATE OR REPLACE TEMP TABLE calendar_month (
        delivery_month DATE, first_day BIGINT, last_day BIGINT, days_in_month BIGINT, common_denominator BIGINT)""")
    con.executemany(
        "INSERT INTO calendar_month VALUES (?, ?, ?, ?, lcm(lcm(7, 30), 12 * ?::BIGINT) * 100000000)",
        [(m, (m - EPOCH).days, (month_end(m) - EPOCH).days, month_end(m).day, month_end(m).day) for m in months],
    )


def _overflow_sentence(con) -> str:
    worst = con.execute("""
        SELECT service_line_id, strftime(delivery_month, '%Y-%m') FROM day_weight WHERE price_oere IS NOT NULL
        ORDER BY abs(quantity_e4::DOUBLE * weight * absence_pct_e2 * price_oere) DESC LIMIT 1""").fetchone()
    return (
        f"Beløbet for ydelse {worst[0]} i {worst[1]} er for stort til at regnes nøjagtigt (64 bit). "
        "Ret antal, takst eller registrering på ydelsen."
    )
