"""Binds the engine's inputs and the counterparties' addresses to the canonical tables and the register."""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ingestion import rules as quality_rules
from ingestion.known import bind_known, end_of_day, known_load
from settlement.engine.settle import INPUTS
from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import decisions, holds, manual, mirror, overrides
from settlement.ledger.changes import FACTS
from settlement.ledger.models import Decision
from settlement.reference import account_rules, municipality_names

FROM_ELSEWHERE = {"posting_account_rule", "refused_line", "allowed_late", "hold", "claim_deadline", "ledger_line"}

# A manual line is a service line, its kind of service and its price in one (settlement/ledger/manual.py).
_MANUAL = {
    "service_line": """
        SELECT service_line_id, package_id, service_line_id AS item_code, CAST(NULL AS VARCHAR) AS offer_id, process,
            delivery_month AS start_date, delivery_month AS end_date,
            CAST(10000 * sign(amount_oere) AS BIGINT) AS quantity_e4, 'bagud' AS timing, account, 'takst' AS claim_kind,
            withdrawn, source_file, source_row
        FROM manual_line""",
    "catalogue_item": """
        SELECT service_line_id AS item_code, item_name AS name, 'engang' AS unit, 'faktisk' AS proration,
            CAST(0 AS BIGINT) AS absence_full_days, CAST(10000 AS BIGINT) AS absence_pct_e2, true AS departure_day_paid,
            CAST(0 AS BIGINT) AS vat_pct_e2, CAST(NULL AS VARCHAR) AS function_code,
            CAST(NULL AS VARCHAR) AS grouping_code, CAST(NULL AS VARCHAR) AS cost_type_code
        FROM manual_line""",
    "individual_rate": """
        SELECT service_line_id, delivery_month AS valid_from, delivery_month AS valid_to, abs(amount_oere) AS price_oere,
            false AS withdrawn, source_file, source_row
        FROM manual_line""",
}
_MANUAL_TYPES = {
    "service_line_id": pa.string(), "package_id": pa.string(), "process": pa.string(), "delivery_month": pa.date32(),
    "amount_oere": pa.int64(), "item_name": pa.string(), "account": pa.string(), "withdrawn": pa.bool_(),
    "source_file": pa.string(), "source_row": pa.int64(),
}  # fmt: skip


def bind(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, only_line: str | None = None,
    known_on: date | None = None, before: datetime = datetime.max,
) -> None:  # fmt: skip
    """Binds every table of `settle.INPUTS`; with `only_line` the facts of that one service line, with `known_on` what was
    known at the end of that day, with `before` (UTC without zone) of the register what was written before that moment."""
    canonical, refused, finding, through_load = "canonical", "quarantine.refused", "quality.finding", None
    if known_on:
        through_load = known_load(con, known_on)
        bind_known(con, through_load)
        canonical, refused, finding, before = "known", "known.refused", "known.finding", end_of_day(known_on)
    _bind_manual(con, engine, canonical, before)
    for table, columns in INPUTS.items():
        if table not in FROM_ELSEWHERE:
            chosen = (
                f" WHERE service_line_id = {_quoted(only_line)}" if only_line and "service_line_id" in columns else ""
            )
            manual_too = f" UNION ALL BY NAME FROM ({_MANUAL[table]}){chosen}" if table in _MANUAL else ""
            con.execute(
                f"CREATE OR REPLACE TEMP VIEW {table} AS "
                f"SELECT {', '.join(columns)} FROM {canonical}.{table}{chosen}{manual_too}"
            )
    rules = account_rules(instance)
    _bind_rows(con, "posting_account_rule", INPUTS["posting_account_rule"], [pa.date32()] * 2 + [pa.string()] * 4, [
        [getattr(rule, column) for column in INPUTS["posting_account_rule"]] for rule in rules
    ])  # fmt: skip
    with Session(engine) as session:
        held = holds.in_force(session, before)
        made = session.scalars(select(Decision).where(Decision.decided_at < before)).all()
        overridden = overrides.in_force(session, before)
    _bind_rows(con, "allowed_late", INPUTS["allowed_late"], [pa.string(), pa.date32(), pa.string()], [
        [d.service_line_id, d.delivery_month, d.counterparty] for d in made if d.kind == decisions.ALLOW_LATE
    ])  # fmt: skip
    _bind_rows(con, "set_aside", ("file_hash", "row"), [pa.string(), pa.int64()], [
        [d.file_hash, d.row] for d in made if d.kind == decisions.SET_ASIDE
    ])  # fmt: skip
    _bind_rows(con, "overridden", ("rule", "key"), [pa.string()] * 2, [[o.rule, o.finding_key] for o in overridden])
    parking = [[rule] for rule in quality_rules.parking(con, instance, through_load)]
    _bind_rows(con, "parking_rule", ("rule",), [pa.string()], parking)
    # A refused row of a stored line parks it until it is replaced or set aside (loader.md); so does an open finding of a
    # rule that the municipality lets park, until it is overridden.
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE refused_line AS
        SELECT DISTINCT q.service_line_id FROM {refused} q
        JOIN {canonical}.service_line l ON l.service_line_id = q.service_line_id
        WHERE q.closed_by_load IS NULL
        AND NOT EXISTS (FROM set_aside s WHERE s.file_hash = q.file_hash AND s.row = q.row)
        UNION
        SELECT f.service_line_id FROM {finding} f SEMI JOIN parking_rule p ON p.rule = f.rule
        WHERE f.closed_load IS NULL AND NOT EXISTS (FROM overridden o WHERE o.rule = f.rule AND o.key = f.key)""")
    holds.bind(con, held, "hold")
    mirror.bind(con, mirror.files(instance, engine, before), only_line)


def bind_projected(con: duckdb.DuckDBPyConnection, *, horizon: date) -> None:
    """Binds in place of what `bind` bound the lines of delivered units that are open after the horizon's month, and of
    registrations one per such line and coming month through the engine's last (`calendar_month`): nobody has made them, so they
    are of no proposal and no match.

    The quantity is what was registered in the line's last three whole months through the horizon's (fewer where the line is
    younger; the horizon's own where it has no whole one yet), divided by their number and rounded half away from zero to
    ten-thousandths; less what the coming month has of registrations already. Nothing registered, nothing projected.
    """
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE projected_registration AS
        WITH delivered AS (
            SELECT l.service_line_id, l.start_date, l.end_date, g.quantity_e4, date_trunc('month', g.date)::DATE AS month,
                least(month_of_horizon, greatest(month_of_horizon - INTERVAL 2 MONTH,
                    date_trunc('month', l.start_date + INTERVAL 1 MONTH - INTERVAL 1 DAY)))::DATE AS first_month, month_of_horizon
            FROM (SELECT DATE '{horizon.replace(day=1).isoformat()}' AS month_of_horizon)
            JOIN service_line AS l ON coalesce(l.end_date, DATE '9999-12-31') > last_day(month_of_horizon) AND NOT l.withdrawn
            JOIN catalogue_item AS i ON i.item_code = l.item_code AND i.unit = 'leveret'
            JOIN registration AS g ON g.service_line_id = l.service_line_id AND NOT g.withdrawn
                AND g.date BETWEEN l.start_date AND coalesce(l.end_date, DATE '9999-12-31')
        ),
        usual AS (
            SELECT service_line_id, start_date, end_date, sum(quantity_e4)::BIGINT AS total_e4,
                date_diff('month', first_month, month_of_horizon) + 1 AS months
            FROM delivered WHERE month BETWEEN first_month AND month_of_horizon
            GROUP BY ALL HAVING sum(quantity_e4) > 0
        ),
        coming AS (
            SELECT u.service_line_id, greatest(m.delivery_month, u.start_date) AS date,
                (2 * u.total_e4 + u.months) // (2 * u.months)
                - coalesce((SELECT sum(d.quantity_e4) FROM delivered AS d
                    WHERE d.service_line_id = u.service_line_id AND d.month = m.delivery_month), 0)::BIGINT AS quantity_e4
            FROM usual AS u JOIN calendar_month AS m ON m.delivery_month > DATE '{horizon.isoformat()}'
                AND m.delivery_month BETWEEN date_trunc('month', u.start_date) AND coalesce(u.end_date, DATE '9999-12-31')
        )
        SELECT concat('fremskrevet ', service_line_id, ' ', date) AS registration_id, service_line_id, date, quantity_e4,
            false AS withdrawn
        FROM coming WHERE quantity_e4 > 0""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE projected_line AS
        SELECT * FROM service_line SEMI JOIN projected_registration USING (service_line_id);
        CREATE OR REPLACE TEMP VIEW service_line AS FROM projected_line;
        CREATE OR REPLACE TEMP VIEW registration AS FROM projected_registration""")


def bind_changed(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Binds, by the name `changed_<table>`, the rows of the engine's inputs that came or went since the load that `bind` was
    last given by `known_on`; returns the tables. Where a row was read from makes no difference."""
    tables = [table for table in FACTS if table not in FROM_ELSEWHERE]
    for table in tables:
        came, went = (
            f"(SELECT {FACTS[table][1]} FROM (SELECT {', '.join(INPUTS[table])} FROM {rows}))"
            for rows in (
                f"canonical.{table} WHERE load_id > known_load()",
                f"history.{table} WHERE load_id <= known_load() AND closed_by_load > known_load()",
            )
        )
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW changed_{table} AS ({came} EXCEPT {went}) UNION ALL ({went} EXCEPT {came})"
        )
    return tables


def bind_parties(con: duckdb.DuckDBPyConnection, instance: Instance, booking_date: date) -> None:
    """Binds `party`: every possible counterparty's name, numbers and address on the booking date.

    A municipality or region without a row in modparter has its name from the register and no delivery address.
    """
    names = municipality_names()
    _bind_rows(con, "municipality", ("code", "name"), [pa.string()] * 2, [list(pair) for pair in names.items()])
    con.execute(f"""
        CREATE OR REPLACE TEMP VIEW party AS
        WITH dated AS (
            SELECT *, row_number() OVER (PARTITION BY code ORDER BY valid_from DESC) AS newest
            FROM canonical.counterparty WHERE NOT withdrawn AND valid_from <= DATE '{booking_date.isoformat()}'
        ),
        known AS (
            SELECT code, CASE WHEN code = '{instance.municipality}' THEN 'egen' ELSE 'kommune' END AS kind, name, '' AS ean
            FROM municipality
            UNION ALL
            SELECT department, 'afdeling', coalesce(any_value(d.name), department), coalesce(any_value(d.ean), '')
            FROM canonical.service_package p LEFT JOIN canonical.department d USING (department)
            WHERE department IS NOT NULL AND department NOT IN (SELECT code FROM municipality) AND NOT coalesce(d.withdrawn, false)
            GROUP BY department
            UNION ALL
            SELECT cpr, 'borger', coalesce(name, cpr), '' FROM canonical.citizen
        )
        SELECT k.code AS counterparty, k.kind, coalesce(d.name, k.name) AS name, coalesce(d.cvr, '') AS cvr,
            coalesce(d.ean, k.ean) AS ean, coalesce(d.address, '') AS address, coalesce(d.contact, '') AS contact
        FROM known k LEFT JOIN dated d ON d.code = k.code AND d.newest = 1""")


def _bind_manual(con, engine: Engine, canonical: str, before: datetime) -> None:
    """`manual_line`: people's one-off lines confirmed by then, also withdrawn ones, each with its own service line id.

    Raises StateFault where a source has given a line or a kind of service the same id.
    """
    with Session(engine) as session:
        rows = [
            [manual.service_line_id(line.manual_id), line.package_id, line.process, line.delivery_month, line.amount_oere,
             line.item_name, line.account, withdrawn, manual.SOURCE, line.manual_id]
            for line, withdrawn in manual.in_force(session, before)
        ]  # fmt: skip
    _bind_rows(con, "manual_line", list(_MANUAL_TYPES), list(_MANUAL_TYPES.values()), rows)
    taken = rows and con.execute(f"""
        SELECT service_line_id FROM {canonical}.service_line SEMI JOIN manual_line USING (service_line_id)
        UNION ALL
        SELECT item_code FROM {canonical}.catalogue_item
        SEMI JOIN (SELECT service_line_id AS item_code FROM manual_line) USING (item_code)""").fetchone()
    if taken:
        raise StateFault(
            f"{taken[0]} er både en manuel linje og en ydelse eller katalogydelse fra en kilde. Giv kildens et andet id."
        )


def _bind_rows(con, name: str, columns, types, rows: list[list]) -> None:
    values = list(zip(*rows, strict=True)) or [[] for _ in columns]
    arrow = pa.table([pa.array(v, t) for v, t in zip(values, types, strict=True)], names=list(columns))
    con.register("bound_rows", arrow)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM bound_rows")
    con.unregister("bound_rows")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
