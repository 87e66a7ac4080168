"""Runs the engine's SQL: binds its inputs, computes what is owed and what a run would book.

All functions work on a DuckDB connection whose temporary schema holds the inputs named in INPUTS.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from settlement.engine.calendar import month_end, months_between, public_holidays
from settlement.faults import InputFault, ParameterMissing

VERSION = "3"
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
    "hold": ("service_line_id", "counterparty", "from_month"),
    "claim_deadline": ("claim_kind", "delivery_month", "last_day"),
    "ledger_line": (
        "line_number", "process", "service_line_id", "delivery_month", "price_oere", "counterparty", "account",
        "quantity_num", "quantity_den", "amount_oere", "vat_oere", "document_number",
    ),
}  # fmt: skip


# The engine's sentences in order: what is kept as a table is read often or small, what is larger is read through.
STEPS = ("dated", "span", "day_weight", "blocked", "piece", "parked", "overdue", "late", "difference", "proposed")
ENTITLED = STEPS[:5]
KEPT = {"dated", "span", "blocked", "parked", "overdue", "late", "difference"}
NONE_PARKED = """
    CREATE OR REPLACE TEMP TABLE parked (service_line_id VARCHAR, delivery_month DATE, reason VARCHAR, is_in_run BOOLEAN);"""
NONE_LATE = """
    CREATE OR REPLACE TEMP TABLE late (
        service_line_id VARCHAR, delivery_month DATE, counterparty VARCHAR, claim_kind VARCHAR, net_oere BIGINT, last_day DATE);"""


def sentences() -> dict[str, str]:
    """The SQL text of every step, and of a withdrawal: the rules as they are now."""
    return {step: (SQL / f"{step}.sql").read_text(encoding="utf-8") for step in (*STEPS, "withdrawn")}


def entitle(
    con: duckdb.DuckDBPyConnection,
    *,
    own_municipality: str,
    through: date,
    since: date = date.min,
    rules: Mapping[str, str] | None = None,
    holidays: Collection[date] | None = None,
    spark_master: str | None = None,
) -> None:
    """Computes what every service line is worth for every delivery month up to `through` (its last day), from `since` on:
    the first month that any run to follow compares.

    `rules` (SQL by step) and `holidays` are those a booked run kept; else those of now. With `spark_master` the kept
    steps, of `difference` on this connection too, are computed on that cluster; else by DuckDB. Their rows are the same.

    Leaves the temporary tables `dated`, `span` and `blocked` and the views `day_weight` and `piece` (grains in their
    SQL files). A piece whose amount does not fit in 64 bits is refused where it is read: `OVERFLOW`.
    """
    horizon = month_end(through)
    # `first_month` is read by the rules that runs booked by earlier versions have kept.
    con.execute("""
        CREATE OR REPLACE TEMP TABLE run (
            own_municipality VARCHAR, first_month BIGINT, first_day BIGINT, horizon_day BIGINT, process VARCHAR, timing VARCHAR,
            through DATE, booking_date DATE, settles_from DATE, only_counterparty VARCHAR)""")
    con.execute(
        "INSERT INTO run (own_municipality, first_month, first_day, horizon_day) VALUES (?, ?, ?, ?)",
        [own_municipality, since.year * 12 + since.month - 1, (since.replace(day=1) - EPOCH).days, (horizon - EPOCH).days],
    )
    _bind_calendar(con, first_month(con, horizon), horizon, holidays)
    con.execute("SET VARIABLE spark_master = ?", [spark_master])
    rules = rules or sentences()
    for step in ENTITLED:
        _compute(con, step, rules)


def first_month(con: duckdb.DuckDBPyConnection, horizon: date) -> date:
    """The first month that any line or booking touches, at the latest the horizon's."""
    first = con.execute("""
        SELECT min(d) FROM (SELECT min(start_date) AS d FROM service_line UNION ALL SELECT min(delivery_month) FROM ledger_line)
    """).fetchone()[0]
    return min(first or horizon, horizon).replace(day=1)


def rest(
    con: duckdb.DuckDBPyConnection,
    *,
    process: str,
    timing: str,
    through: date,
    booking_date: date,
    settles_from: date,
    only_counterparty: str | None = None,
    rules: Mapping[str, str] | None = None,
) -> None:
    """Computes what a run leaves out, after `entitle` of at least the months from `settles_from` through `through`.

    `settles_from` is the first delivery month the instance settles the process from; with `only_counterparty` the run
    books that one's lines alone. Leaves the temporary tables `parked` and `late`. Raises InputFault where an amount does
    not fit in 64 bits, ParameterMissing where a claim is raised whose deadline has no value in `claim_deadline`.
    """
    con.execute(
        "UPDATE run SET process = ?, timing = ?, through = ?, booking_date = ?, settles_from = ?, only_counterparty = ?",
        [process, timing, through.replace(day=1), booking_date, settles_from, only_counterparty],
    )
    rules = rules or sentences()
    _compute(con, "parked", rules)
    _compute(con, "overdue", rules)
    if con.execute("SELECT 1 FROM overdue LIMIT 1").fetchone():
        _compute(con, "late", rules)
    else:  # what every line is worth need not be read to see that none is late
        con.execute(NONE_LATE)
    unknown = con.execute("SELECT claim_kind, delivery_month FROM late WHERE last_day IS NULL LIMIT 1").fetchone()
    if unknown:
        raise ParameterMissing(
            f"Fristen for krav af arten {unknown[0]} har ingen værdi for {unknown[1]:%Y-%m}. "
            "Tilføj den i data/reference/parameters.csv."
        )


def difference(con: duckdb.DuckDBPyConnection, *, rules: Mapping[str, str] | None = None, to: Path | None = None, **run) -> None:
    """Computes what a run would book; `run` and faults are those of `rest`, which comes first.

    Leaves, beside what `rest` leaves, the temporary table `difference` (with `to`: that Parquet file, read through) and
    the view `proposed`: the lines with what is known of their service lines.
    """
    rules = rules or sentences()
    rest(con, rules=rules, **run)
    _compute(con, "difference", rules, to)
    _compute(con, "proposed", rules)


def withdraw(
    con: duckdb.DuckDBPyConnection, *, process: str, document_number: str, rules: Mapping[str, str] | None = None,
    to: Path | None = None,
) -> None:  # fmt: skip
    """Computes the counter-lines of a booked document; leaves the tables and views that `difference` leaves."""
    rules = rules or sentences()
    con.execute("CREATE OR REPLACE TEMP TABLE run AS SELECT ? AS process, ? AS document_number", [process, document_number])
    con.execute(NONE_PARKED + NONE_LATE)
    con.execute("SET VARIABLE spark_master = NULL")  # a document's lines are few
    _compute(con, "difference", {"difference": rules["withdrawn"]}, to)
    _compute(con, "proposed", rules)


def _compute(con, step: str, rules: Mapping[str, str], to: Path | None = None) -> None:
    """One step as a table or view; with `to` as that file, read through."""
    _forget(con, step)
    try:
        with _joined_as_written(con):
            on_cluster = step in KEPT and _computed_on_cluster(con, step, rules)
            if to:
                con.execute(f"COPY ({f'FROM {step}' if on_cluster else rules[step]}) TO '{to}' (FORMAT parquet, COMPRESSION zstd)")
                _forget(con, step)
                con.execute(f"CREATE TEMP VIEW {step} AS FROM read_parquet('{to}')")
            elif not on_cluster:
                con.execute(f"CREATE TEMP {'TABLE' if step in KEPT else 'VIEW'} {step} AS {rules[step]}")
    except (duckdb.OutOfRangeException, duckdb.ConversionException, OverflowError) as overflow:
        raise InputFault(overflow_sentence(con)) from overflow


def _forget(con, step: str) -> None:
    """Drops what a run computed before on this connection has left of a step."""
    for kind in ("TABLE", "VIEW"):
        with suppress(duckdb.CatalogException):  # it is of the other kind
            con.execute(f"DROP {kind} IF EXISTS temp.{step}")


def _computed_on_cluster(con, step: str, rules: Mapping[str, str]) -> bool:
    """Whether the instance has a cluster; then the step's table comes from there."""
    (spark_master,) = con.execute("SELECT getvariable('spark_master')").fetchone()
    if spark_master:
        from settlement.engine import spark  # an extra of the package

        spark.compute(con, spark_master, step, rules=rules, kept=KEPT, inputs=INPUTS)
    return bool(spark_master)


@contextmanager
def _joined_as_written(con) -> Iterator[None]:
    """The joins stand in the right order: many pieces against few facts. DuckDB cannot know how many months a span
    unnests to, and would build its hash tables of the pieces (five times slower, twice the memory)."""
    con.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    try:
        yield
    finally:
        con.execute("RESET disabled_optimizers")


def _bind_calendar(con, first: date, last: date, holidays: Collection[date] | None) -> None:
    """`calendar_day`: cumulative weights through each day, so that a period's weight is two look-ups.

    `calendar_month`: first and last day, weights, length, and a denominator that every unit's denominator divides.
    """
    months = months_between(first, last)
    if holidays is None:
        holidays = public_holidays(months[0].year, months[-1].year)
    days = {"day": [], "delivery_month": [], "month_number": [], "first_day": [], "last_day": [], "weekdays": [], "thirtieths": []}
    weekdays = thirtieths = 0
    # The day before the first month closes nothing and has no month of its own.
    rows = [((months[0] - EPOCH).days - 1, None, None, None, None, 0, 0)]
    for month in months:
        first_day, last_day = (month - EPOCH).days, (month_end(month) - EPOCH).days
        number = month.year * 12 + month.month - 1
        length = last_day - first_day + 1
        for day in range(length):
            weekdays += (first_day + day + 3) % 7 < 5 and month + timedelta(days=day) not in holidays
            thirtieths += 30 - (length - 1) if month.month == 2 and day + 1 == length else day < 30
            rows.append((first_day + day, month, number, first_day, last_day, weekdays, thirtieths))
    for column, values in zip(days.values(), zip(*rows, strict=True), strict=True):
        column.extend(values)
    con.register("calendar_rows", pa.table(days))
    con.execute("CREATE OR REPLACE TEMP TABLE calendar_day AS FROM calendar_rows")
    con.unregister("calendar_rows")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE calendar_month AS
        SELECT l.delivery_month, l.month_number, l.first_day, l.last_day, l.last_day - l.first_day + 1 AS days_in_month,
            l.weekdays - b.weekdays AS weekdays, l.thirtieths - b.thirtieths AS thirtieths,
            lcm(lcm(7, 30), 12 * (l.last_day - l.first_day + 1)) * 100000000 AS common_denominator
        FROM calendar_day AS l JOIN calendar_day AS b ON b.day = l.first_day - 1
        WHERE l.day = l.last_day""")


def overflow_sentence(con) -> str:
    worst = con.execute("""
        SELECT service_line_id, strftime(delivery_month, '%Y-%m') FROM day_weight WHERE price_oere IS NOT NULL
        ORDER BY abs(quantity_e4::DOUBLE * weight * absence_pct_e2 * price_oere) DESC LIMIT 1""").fetchone()
    if worst is None:  # nothing has a price now: it is the sum of what is booked
        return "Summen af de bogførte linjer for en ydelse og måned er for stor til at regnes nøjagtigt (64 bit)."
    return (
        f"Beløbet for ydelse {worst[0]} i {worst[1]} er for stort til at regnes nøjagtigt (64 bit). "
        "Ret antal, takst eller registrering på ydelsen."
    )
