"""Commitments (disponering): what is granted is worth month by month, and what has changed in it, with each change's cause.

Computed on a DuckDB connection by the engine's own pieces, as known now and as known at the end of the month before.
Amounts in øre without VAT, unsigned by who pays whom: the process says that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import duckdb

from settlement.ledger.changes import FACTS, MACROS

UNCHANGED = "uaendret"

# Grain: one piece (settlement.md § 5); a projected one is of units that nobody has delivered yet.
COMMITTED = """
SELECT process, service_line_id, package_id, delivery_month, price_oere, coalesce(counterparty, '') AS counterparty,
    coalesce(account, '') AS account, quantity_num, quantity_den, amount_oere, {is_projected} AS is_projected
FROM piece WHERE process <> 'ingen'"""

# Grain: service line × delivery month × process × account of a month that the engine parks for want of a price or a payer
# (blocked.sql). What is known of such a month is among the pieces: the days that have a price.
BLOCKED = """
SELECT DISTINCT process, service_line_id, delivery_month, coalesce(account, '') AS account, reason, {is_projected} AS is_projected
FROM day_weight JOIN blocked USING (process, service_line_id, delivery_month) WHERE process <> 'ingen'"""

# Grain: one service line whose pieces are not the same pieces as before; most have not moved.
_MOVED_LINE = """
CREATE OR REPLACE TEMP TABLE moved_line AS
WITH print AS (
    SELECT *, hash(process, delivery_month, price_oere, counterparty, account, quantity_num, quantity_den, amount_oere)::HUGEINT
        AS print
    FROM settlement.commitment
    UNION ALL
    SELECT *, -hash(process, delivery_month, price_oere, counterparty, account, quantity_num, quantity_den, amount_oere)::HUGEINT
    FROM settlement.commitment_before
)
SELECT service_line_id FROM print GROUP BY service_line_id HAVING sum(print) <> 0"""

# Grain: service line × month × process × counterparty × account, of the lines where anything differs. Quantities as
# numerators over the month's common denominator (difference.sql).
_BESIDE = """
CREATE OR REPLACE TEMP TABLE committed_beside AS
WITH side AS (
    SELECT *, amount_oere AS now_oere, quantity_num::HUGEINT * (common(delivery_month) // quantity_den) AS now_num,
        0 AS before_oere, 0::HUGEINT AS before_num
    FROM settlement.commitment SEMI JOIN moved_line USING (service_line_id)
    UNION ALL
    SELECT *, 0, 0, amount_oere, quantity_num::HUGEINT * (common(delivery_month) // quantity_den)
    FROM settlement.commitment_before SEMI JOIN moved_line USING (service_line_id)
),
priced AS (
    SELECT service_line_id, delivery_month, process, counterparty, account, price_oere, bool_or(is_projected) AS is_projected,
        sum(now_oere)::BIGINT AS now_oere, sum(before_oere)::BIGINT AS before_oere, sum(now_num) AS now_num,
        sum(before_num) AS before_num, sum(now_num) <> 0 AS is_now, sum(before_num) <> 0 AS is_before
    FROM side GROUP BY ALL
)
SELECT service_line_id, delivery_month, process, counterparty, account, bool_or(is_projected) AS is_projected,
    sum(now_oere)::BIGINT AS now_oere, sum(before_oere)::BIGINT AS before_oere, sum(now_num) AS now_num,
    sum(before_num) AS before_num, bool_or(is_now) AS has_now, bool_or(is_before) AS has_before,
    min(price_oere) FILTER (is_now) AS low_now, max(price_oere) FILTER (is_now) AS high_now,
    min(price_oere) FILTER (is_before) AS low_before, max(price_oere) FILTER (is_before) AS high_before
FROM priced GROUP BY ALL"""

# Grain: as above. `takst_oere` is what the new price makes of today's quantity against the old price.
_MOVED = """
CREATE OR REPLACE TEMP TABLE committed_moved AS
WITH whole AS (
    SELECT service_line_id, delivery_month, bool_or(has_now) AS line_now, bool_or(has_before) AS line_before,
        bool_or(has_now <> has_before) AS is_rekeyed,
        list_sort(list(DISTINCT concat(process, ':', counterparty)) FILTER (has_now))
        <> list_sort(list(DISTINCT concat(process, ':', counterparty)) FILTER (has_before)) AS is_repaid
    FROM committed_beside GROUP BY service_line_id, delivery_month
)
SELECT b.*, w.line_now, w.line_before, w.is_rekeyed, coalesce(w.is_repaid, false) AS is_repaid,
    CASE
        WHEN NOT (b.has_now AND b.has_before) OR (b.low_now = b.low_before AND b.high_now = b.high_before) THEN 0
        WHEN before_num = 0 THEN 0
        WHEN low_before = high_before
            THEN now_oere - half_away(low_before::HUGEINT * now_num, common(delivery_month)::HUGEINT)
        ELSE now_oere - half_away(before_oere::HUGEINT * now_num * sign(before_num)::HUGEINT, abs(before_num))
    END AS takst_oere
FROM committed_beside AS b JOIN whole AS w USING (service_line_id, delivery_month)"""

# Grain: service line × year of delivery × process × account × cause × whether the months were over when it was not yet known.
# What is untouched of a moved line, and all of the others, stands as unchanged: opening and closing are whole.
_CHANGE = f"""
CREATE OR REPLACE TABLE settlement.commitment_change AS
WITH told AS (
    SELECT m.*, l.unit, l.end_date, l.is_living, coalesce(f.facts, []) AS facts, last_day(m.delivery_month) AS month_end,
        t.service_line_id IS NOT NULL AS is_known, c.cpr IS NOT NULL AS is_known_citizen,
        t.quantity_e4 <> l.quantity_e4 AS is_amended
    FROM committed_moved AS m JOIN line_of_commitment AS l USING (service_line_id)
    LEFT JOIN line_of_commitment_before AS t ON t.service_line_id = m.service_line_id AND t.is_living
    LEFT JOIN (SELECT DISTINCT cpr FROM line_of_commitment_before WHERE is_living) AS c ON c.cpr = l.cpr
    LEFT JOIN committed_fact AS f ON f.service_line_id = m.service_line_id AND f.delivery_month = m.delivery_month
),
caused AS (
    SELECT *, now_oere - before_oere - takst_oere AS rest_oere, CASE
        WHEN NOT is_known THEN CASE WHEN is_known_citizen THEN 'ny_ydelse' ELSE 'ny_borger' END
        WHEN NOT is_living OR end_date < delivery_month THEN 'ophoert'
        WHEN is_repaid AND line_now AND line_before THEN 'betaler'
        WHEN is_rekeyed AND line_now AND line_before THEN 'kontering'
        WHEN list_contains(facts, 'registreringer') THEN 'antal'
        WHEN list_contains(facts, 'ydelser') AND abs(now_oere) < abs(before_oere) AND end_date <= month_end THEN 'ophoert'
        WHEN list_contains(facts, 'fravær') THEN 'fravaer'
        WHEN list_contains(facts, 'ydelser') THEN CASE WHEN is_amended THEN 'antal' ELSE 'periode' END
        WHEN list_contains(facts, 'betalere') OR list_contains(facts, 'ydelsespakker') THEN 'betaler'
        WHEN list_contains(facts, 'katalogydelser') THEN 'regler'
        WHEN list_contains(facts, 'takster') OR list_contains(facts, 'individuelle takster') THEN 'takst'
        WHEN unit = 'leveret' THEN 'antal'
        ELSE 'andet' END AS cause
    FROM told
),
split AS (
    SELECT service_line_id, delivery_month, process, account,
        CASE WHEN rest_oere = 0 THEN '{UNCHANGED}' ELSE cause END AS cause, before_oere AS opening_oere, rest_oere AS change_oere
    FROM caused WHERE rest_oere <> 0 OR takst_oere = 0
    UNION ALL
    SELECT service_line_id, delivery_month, process, account, 'takst',
        CASE WHEN rest_oere = 0 THEN before_oere ELSE 0 END, takst_oere
    FROM caused WHERE takst_oere <> 0
    UNION ALL
    SELECT service_line_id, delivery_month, process, account, '{UNCHANGED}', amount_oere, 0
    FROM settlement.commitment ANTI JOIN moved_line USING (service_line_id)
)
SELECT service_line_id, year(delivery_month)::INTEGER AS delivery_year, process, account, cause,
    cause <> '{UNCHANGED}' AND delivery_month <= getvariable('known_month') AS is_late,
    sum(opening_oere)::BIGINT AS opening_oere, sum(change_oere)::BIGINT AS change_oere
FROM split GROUP BY ALL"""

_LINE = """
CREATE OR REPLACE TEMP TABLE {name} AS
SELECT l.service_line_id, l.package_id, l.item_code, l.offer_id, l.quantity_e4, coalesce(l.end_date, DATE '9999-12-31') AS end_date,
    p.cpr, i.unit, i.function_code, i.grouping_code, i.cost_type_code,
    NOT l.withdrawn AND NOT p.withdrawn AND p.status IN ('bevilget', 'afsluttet') AS is_living
FROM service_line AS l JOIN service_package AS p USING (package_id) JOIN catalogue_item AS i USING (item_code)"""


def last_month(horizon: date) -> date:
    """The last month that is committed: December of the year after next, seen from the last month that is over."""
    return date(horizon.year + 2, 12, 1)


def keep(con: duckdb.DuckDBPyConnection, table: str, *, is_projected: bool = False) -> None:
    """Keeps what the engine has computed last as `settlement.<table>`; what is projected is added to it."""
    _keep(con, table, COMMITTED, is_projected)


def keep_blocked(con: duckdb.DuckDBPyConnection, *, is_projected: bool = False) -> None:
    """Keeps the months the engine could not price, or find a payer of, last as `settlement.commitment_blocked`; those of what
    is projected are added to it."""
    _keep(con, "commitment_blocked", BLOCKED, is_projected)


def _keep(con: duckdb.DuckDBPyConnection, table: str, query: str, is_projected: bool) -> None:
    makes = f"INSERT INTO settlement.{table}" if is_projected else f"CREATE OR REPLACE TABLE settlement.{table} AS"
    con.execute(f"{makes} {query.format(is_projected=is_projected)}")


def keep_lines(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Keeps the service lines that are bound, as the lines of `settlement.<table>`."""
    con.execute(_LINE.format(name=f"line_of_{table}"))


def compare(con: duckdb.DuckDBPyConnection, *, known_month: date, changed: Iterable[str]) -> None:
    """Leaves `settlement.commitment_change`: service line × year × process × account × cause × is_late, with opening and
    change in øre. Opening sums to `settlement.commitment_before`, opening and change to `settlement.commitment`.

    Needs what `keep` and `keep_lines` leave of both, and of each of the tables `changed` as `changed_<table>` the rows that
    came or went since the end of `known_month`, a month's first day. A change in months through that one is late.
    """
    con.execute(MACROS)
    con.execute("SET VARIABLE known_month = ?", [known_month])
    con.execute(_MOVED_LINE)
    con.execute(_BESIDE)
    con.execute(_MOVED)
    con.execute("CREATE OR REPLACE TEMP TABLE touched_line (service_line_id VARCHAR, first_day DATE, last_day DATE, fact VARCHAR)")
    for table in changed:
        name, _, finds, days = FACTS[table]
        con.execute(f"""
            INSERT INTO touched_line SELECT l.service_line_id, {days}, '{name}' FROM changed_{table} AS f
            JOIN (FROM line_of_commitment SEMI JOIN moved_line USING (service_line_id)) AS l ON {finds}""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE committed_fact AS
        SELECT service_line_id, delivery_month, list(DISTINCT fact) AS facts
        FROM (SELECT DISTINCT service_line_id, delivery_month FROM committed_moved WHERE now_oere <> before_oere)
        JOIN touched_line USING (service_line_id)
        WHERE first_day <= last_day(delivery_month) AND last_day >= delivery_month GROUP BY ALL""")
    con.execute(_CHANGE)
    for table in (
        "moved_line", "committed_beside", "committed_moved", "touched_line", "committed_fact", "line_of_commitment",
        "line_of_commitment_before",
    ):  # fmt: skip
        con.execute(f"DROP TABLE temp.{table}")
