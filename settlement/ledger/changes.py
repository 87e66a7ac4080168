"""What a proposal changes, and why: every changed line with one cause, from its own facts and those of the run before.

The run's newest delivery month is laid beside the month before it, both as entitled (booked + proposed); every earlier
month it touches, an adjustment of a late fact, beside what was booked of it. Where the run before has settled the newest
month too, that is an earlier month like the others.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.engine.calendar import add_months
from settlement.instance import Instance
from settlement.ledger import bulk
from settlement.ledger.frozen import demand_kept, kept
from settlement.ledger.models import ParkedLine, Proposal, SettlementRun

# Code → what a person reads; the sum over all causes is the whole change.
CAUSES = {
    "ny_borger": "Ny borger", "ny_ydelse": "Ny ydelse", "ophoert": "Ophørt", "takst": "Takst", "moms": "Momssats (kun moms)",
    "fravaer": "Fravær",
    "antal": "Antal", "dage": "Månedens dage", "betaler": "Betaler skiftet", "kontering": "Kontering", "periode": "Periode rettet",
    "regler": "Katalog eller regler", "parkeret": "Parkeret eller genoptaget", "foerste": "Første kørsel",
    "tilbagekaldt": "Bilag tilbagekaldt", "andet": "Andet",
}  # fmt: skip

# Engine input → its name for a person, its columns that mean something (not where they were read), how a changed row of it
# finds its service lines, and the days it is about.
_ALWAYS = "DATE '0001-01-01' AS first_day, DATE '9999-12-31' AS last_day"
_DATED = "f.valid_from AS first_day, coalesce(f.valid_to, DATE '9999-12-31') AS last_day"
_LINE, _PACKAGE, _ITEM = (f"f.{key} = l.{key}" for key in ("service_line_id", "package_id", "item_code"))
FACTS = {
    "service_line": ("ydelser", "* EXCLUDE (source_file, source_row)", _LINE, _ALWAYS),
    "service_package": ("ydelsespakker", "* EXCLUDE (cpr, requisition)", _PACKAGE, _ALWAYS),
    "catalogue_item": ("katalogydelser", "* EXCLUDE (name)", _ITEM, _ALWAYS),
    "offer": ("tilbud", "*", "f.offer_id = l.offer_id", _ALWAYS),
    "rate": (
        "takster", "* EXCLUDE (source_file, source_row)", f"{_ITEM} AND (f.offer_id IS NULL OR f.offer_id = l.offer_id)", _DATED,
    ),
    "individual_rate": ("individuelle takster", "* EXCLUDE (source_file, source_row)", _LINE, _DATED),
    "package_payer": ("betalere", "*", _PACKAGE, _DATED),
    "account_rule": ("kontoregler", "*", _LINE, _DATED),
    "posting_account_rule": (
        "konteringsregler", "*",
        "(f.function_code, f.grouping_code, f.cost_type_code) = (l.function_code, l.grouping_code, l.cost_type_code)", _DATED,
    ),
    "payout_terms": ("udbetalingsvilkår", "*", _LINE, _ALWAYS),
    "charge_terms": ("opkrævningsvilkår", "*", _LINE, _ALWAYS),
    "absence": (
        "fravær", "*", _LINE, "f.from_date AS first_day, coalesce(f.to_date, DATE '9999-12-31') AS last_day",
    ),
    "registration": ("registreringer", "*", _LINE, "f.date AS first_day, f.date AS last_day"),
}  # fmt: skip

# A month's common denominator of quantities (difference.sql), and a quotient rounded half away from zero.
MACROS = """
    CREATE OR REPLACE TEMP MACRO common(month) AS lcm(210, 12 * day(last_day(month))) * 100000000;
    CREATE OR REPLACE TEMP MACRO half_away(n, d) AS (sign(n) * ((2 * abs(n) + d) // (2 * d)))::BIGINT;"""

# Grain: service line × month laid beside another × counterparty × account. `booked_oere`: of `before_oere`, what the ledger
# holds. Quantities as numerators over the month's common denominator (difference.sql).
_BESIDE = """
CREATE OR REPLACE TEMP TABLE beside AS
WITH proposed_line AS (
    SELECT d.*, quantity_num::HUGEINT * (common(delivery_month) // quantity_den) AS numerator FROM difference AS d
),
booked_line AS (
    SELECT g.*, g.quantity_num::HUGEINT * (common(g.delivery_month) // g.quantity_den) AS numerator
    FROM ledger_line AS g JOIN compared AS c ON c.process = g.process AND g.delivery_month <= c.month
        AND (c.only_counterparty = '' OR c.only_counterparty = g.counterparty)
    JOIN service_line AS l ON l.service_line_id = g.service_line_id AND l.timing = c.timing
),
touched AS (
    SELECT DISTINCT service_line_id, delivery_month FROM difference JOIN compared AS c ON delivery_month < c.month OR NOT c.is_fresh
),
side AS (
    SELECT service_line_id, delivery_month, counterparty, account, price_oere, amount_oere AS now_oere, vat_oere AS now_vat,
        numerator AS now_num, 0 AS before_oere, 0 AS before_vat, 0::HUGEINT AS before_num, 0 AS booked_oere
    FROM proposed_line
    UNION ALL
    SELECT service_line_id, c.month, counterparty, account, price_oere, 0, 0, 0, amount_oere, vat_oere, numerator, 0
    FROM proposed_line JOIN compared AS c ON c.is_fresh AND delivery_month = c.month_before
    UNION ALL
    SELECT service_line_id, c.month, counterparty, account, price_oere, amount_oere, vat_oere, numerator, 0, 0, 0, 0
    FROM booked_line JOIN compared AS c ON c.is_fresh AND delivery_month = c.month
    UNION ALL
    SELECT service_line_id, c.month, counterparty, account, price_oere, 0, 0, 0, amount_oere, vat_oere, numerator, amount_oere
    FROM booked_line JOIN compared AS c ON c.is_fresh AND delivery_month = c.month_before
    UNION ALL
    SELECT service_line_id, delivery_month, counterparty, account, price_oere, amount_oere, vat_oere, numerator, amount_oere,
        vat_oere, numerator, amount_oere
    FROM booked_line SEMI JOIN touched USING (service_line_id, delivery_month)
),
priced AS (
    SELECT service_line_id, delivery_month, counterparty, account, price_oere, sum(now_oere)::BIGINT AS now_oere,
        sum(before_oere)::BIGINT AS before_oere, sum(now_vat)::BIGINT AS now_vat, sum(before_vat)::BIGINT AS before_vat,
        sum(booked_oere)::BIGINT AS booked_oere, sum(now_num) AS now_num,
        sum(before_num) AS before_num, sum(now_num) <> 0 OR sum(now_oere) <> 0 AS is_now,
        sum(before_num) <> 0 OR sum(before_oere) <> 0 AS is_before
    FROM side GROUP BY service_line_id, delivery_month, counterparty, account, price_oere
)
SELECT service_line_id, delivery_month, counterparty, account, sum(now_oere)::BIGINT AS now_oere,
    sum(before_oere)::BIGINT AS before_oere, sum(now_vat)::BIGINT AS now_vat, sum(before_vat)::BIGINT AS before_vat,
    sum(booked_oere)::BIGINT AS booked_oere, sum(now_num) AS now_num, sum(before_num) AS before_num,
    bool_or(is_now) AS has_now, bool_or(is_before) AS has_before,
    min(price_oere) FILTER (is_now) AS low_now, max(price_oere) FILTER (is_now) AS high_now,
    min(price_oere) FILTER (is_before) AS low_before, max(price_oere) FILTER (is_before) AS high_before
FROM priced WHERE is_now OR is_before OR booked_oere <> 0 GROUP BY service_line_id, delivery_month, counterparty, account"""

# Grain: as `beside`, of what changed. `takst_oere` is what the new price makes of today's quantity against the old price; of
# several old prices, against the nearest that they could have made of it. `moms_oere` is the VAT that is not in step with the
# amount: another rate's. Less than a krone is rounding.
_MOVED = """
CREATE OR REPLACE TEMP TABLE moved AS
WITH uneven AS (SELECT DISTINCT service_line_id, delivery_month FROM beside WHERE has_now <> has_before),
whole AS (
    SELECT service_line_id, delivery_month, bool_or(has_now) AS line_now, bool_or(has_before) AS line_before,
        bool_or(has_now <> has_before) AS is_rekeyed,
        min(counterparty) FILTER (has_now) <> min(counterparty) FILTER (has_before)
        OR max(counterparty) FILTER (has_now) <> max(counterparty) FILTER (has_before) AS is_repaid
    FROM beside SEMI JOIN uneven USING (service_line_id, delivery_month) GROUP BY service_line_id, delivery_month
),
taxed AS (
    SELECT *, CASE WHEN has_now AND has_before AND abs(moved_vat) > 100 THEN moved_vat ELSE 0 END AS moms_oere FROM (
        SELECT *, CASE WHEN before_oere <> 0 THEN now_vat - half_away(
            before_vat::HUGEINT * now_oere * sign(before_oere)::HUGEINT, abs(before_oere::HUGEINT)) END AS moved_vat
        FROM beside
    )
),
priced AS (
    SELECT b.*, coalesce(w.line_now, b.has_now) AS line_now, coalesce(w.line_before, b.has_before) AS line_before,
        coalesce(w.is_rekeyed, false) AS is_rekeyed, coalesce(w.is_repaid, false) AS is_repaid,
        b.delivery_month < c.month OR NOT c.is_fresh AS is_late,
        b.has_now AND b.has_before AND (b.low_now <> b.low_before OR b.high_now <> b.high_before) AS is_repriced,
        common(b.delivery_month)::HUGEINT AS now_den
    FROM taxed AS b JOIN compared AS c ON true LEFT JOIN whole AS w USING (service_line_id, delivery_month)
    WHERE b.now_oere <> b.before_oere OR b.low_now <> b.low_before OR b.high_now <> b.high_before OR b.moms_oere <> 0
),
repriced AS (
    SELECT * EXCLUDE (now_den), half_away(low_before::HUGEINT * now_num, now_den) AS one_end,
        half_away(high_before::HUGEINT * now_num, now_den) AS other_end
    FROM priced
)
SELECT * EXCLUDE (one_end, other_end), CASE WHEN is_repriced
    THEN now_oere - greatest(least(one_end, other_end), least(greatest(one_end, other_end), now_oere)) ELSE 0 END AS takst_oere
FROM repriced"""

# Grain: service line × month × counterparty × account × cause.
_CHANGE = """
CREATE OR REPLACE TEMP TABLE change AS
WITH line AS (
    SELECT l.service_line_id, l.item_code, l.start_date, coalesce(l.end_date, DATE '9999-12-31') AS end_date, i.unit, p.cpr,
        NOT l.withdrawn AND NOT p.withdrawn AND p.status IN ('bevilget', 'afsluttet') AS is_living
    FROM service_line AS l JOIN service_package AS p USING (package_id) JOIN catalogue_item AS i USING (item_code)
),
citizen AS (SELECT cpr, min(start_date) AS first_day FROM line GROUP BY cpr),
told AS (
    SELECT m.*, l.item_code, l.unit, l.start_date, l.end_date, l.is_living, c.month, c.month_before, c.has_run, c.is_withdrawal,
        last_day(m.delivery_month) AS month_end, coalesce(f.facts, []) AS facts,
        k.service_line_id IS NOT NULL AS is_known, kc.cpr IS NOT NULL AS is_known_citizen,
        z.first_day > c.month_before AS is_fresh_citizen,
        r.service_line_id IS NOT NULL AS rests, rb.service_line_id IS NOT NULL AS rests_before,
        rt.service_line_id IS NOT NULL AS rested, a.service_line_id IS NOT NULL AS is_absent
    FROM moved AS m JOIN compared AS c ON true JOIN line AS l USING (service_line_id) JOIN citizen AS z ON z.cpr = l.cpr
    LEFT JOIN known_line AS k ON k.service_line_id = m.service_line_id
    LEFT JOIN known_citizen AS kc ON kc.cpr = l.cpr
    LEFT JOIN resting AS r ON r.service_line_id = m.service_line_id AND r.delivery_month = m.delivery_month
    LEFT JOIN resting AS rb ON rb.service_line_id = m.service_line_id AND rb.delivery_month = c.month_before
    LEFT JOIN rested AS rt ON rt.service_line_id = m.service_line_id AND rt.delivery_month = m.delivery_month
    LEFT JOIN fact_change AS f ON f.service_line_id = m.service_line_id AND f.delivery_month = m.delivery_month
    LEFT JOIN (
        SELECT DISTINCT service_line_id FROM absence JOIN compared AS c ON NOT withdrawn AND from_date <= last_day(c.month)
            AND coalesce(to_date, c.month) >= c.month_before
    ) AS a ON a.service_line_id = m.service_line_id
),
caused AS (
    SELECT *, CASE
        WHEN is_withdrawal THEN 'tilbagekaldt'
        WHEN is_repaid AND line_now AND line_before THEN 'betaler'
        WHEN is_rekeyed AND line_now AND line_before THEN 'kontering'
        WHEN NOT is_late AND (NOT line_before AND rests_before OR NOT line_now AND rests) THEN 'parkeret'
        WHEN NOT is_late AND start_date > month_before AND now_oere > before_oere THEN
            CASE WHEN is_fresh_citizen THEN 'ny_borger' ELSE 'ny_ydelse' END
        WHEN NOT is_late AND now_oere < before_oere AND (NOT is_living OR end_date <= month_end OR unit = 'engang') THEN 'ophoert'
        WHEN NOT is_late AND unit IN ('leveret', 'engang') THEN 'antal'
        WHEN NOT is_late AND is_absent THEN 'fravaer'
        -- A line that lives and does not rest, but is worth something in one of the months alone: another process's payer.
        WHEN NOT is_late THEN CASE WHEN line_now AND line_before THEN 'dage' ELSE 'betaler' END
        WHEN NOT has_run THEN 'foerste'
        WHEN NOT line_before AND rested THEN 'parkeret'
        WHEN NOT line_before AND NOT is_known THEN CASE WHEN is_known_citizen THEN 'ny_ydelse' ELSE 'ny_borger' END
        WHEN NOT line_now AND (NOT is_living OR end_date < month_end) THEN 'ophoert'
        WHEN list_contains(facts, 'registreringer') THEN 'antal'
        WHEN list_contains(facts, 'fravær') THEN 'fravaer'
        WHEN list_contains(facts, 'ydelser') THEN CASE WHEN is_amended THEN 'antal' WHEN now_oere < before_oere AND
            (NOT is_living OR end_date <= month_end) THEN 'ophoert' ELSE 'periode' END
        WHEN list_contains(facts, 'betalere') OR list_contains(facts, 'ydelsespakker') THEN 'betaler'
        WHEN list_contains(facts, 'katalogydelser') OR rules_differ THEN 'regler'
        WHEN list_contains(facts, 'takster') OR list_contains(facts, 'individuelle takster') THEN 'takst'
        ELSE 'andet' END AS cause
    FROM told LEFT JOIN amended_line AS q USING (service_line_id) JOIN (SELECT rules_differ FROM compared) ON true
)
SELECT service_line_id, item_code, delivery_month, counterparty, account, is_late, array_to_string(facts, ', ') AS facts, cause,
    now_oere - before_oere - takst_oere AS amount_oere, 0 AS moms_oere, before_oere, booked_oere
FROM caused WHERE now_oere - before_oere <> takst_oere
UNION ALL
SELECT service_line_id, item_code, delivery_month, counterparty, account, is_late, array_to_string(facts, ', '), 'takst',
    takst_oere, 0, before_oere, booked_oere
FROM caused WHERE takst_oere <> 0
UNION ALL
SELECT service_line_id, item_code, delivery_month, counterparty, account, is_late, array_to_string(facts, ', '), 'moms',
    0, moms_oere, before_oere, booked_oere
FROM caused WHERE moms_oere <> 0"""


def run_before(session: Session, proposal: Proposal) -> SettlementRun | None:
    """The latest booked ordinary run of the same process and timing before the proposal: what it is laid beside."""
    run = SettlementRun
    return session.scalars(
        select(run).join(Proposal, Proposal.proposal_id == run.proposal_id)
        .where(
            run.process == proposal.process, run.timing == proposal.timing, Proposal.only_counterparty == "",
            Proposal.withdraws == "", run.proposal_id < proposal.proposal_id,
        )
        .order_by(run.sequence.desc()).limit(1)
    ).first()  # fmt: skip


def compute(con: duckdb.DuckDBPyConnection, instance: Instance, session: Session, proposal: Proposal) -> None:
    """Leaves on a connection that holds the opened proposal the tables `beside` (service line × month × counterparty ×
    account: entitled now and before, øre) and `change` (the same × cause: the change in øre, without VAT; `moms_oere` is
    what another VAT rate moves, by the cause `moms` alone).

    In `change`, `is_late` tells a late fact about an earlier month, `facts` what was changed, added or withdrawn since
    the run before; `booked_oere` is what the ledger holds of the side before. Raises StateFault where the archived facts of
    the run before are missing.
    """
    before = run_before(session, proposal)
    month = proposal.through.replace(day=1)
    con.execute(MACROS + """
        CREATE OR REPLACE TEMP TABLE compared (process VARCHAR, timing VARCHAR, only_counterparty VARCHAR, month DATE,
            month_before DATE, is_fresh BOOLEAN, has_run BOOLEAN, is_withdrawal BOOLEAN, rules_differ BOOLEAN)""")
    now_kept, then_kept = (kept(instance.archive, p.input_hash) if p else {} for p in (proposal, before))
    con.execute("INSERT INTO compared VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [
        proposal.process, proposal.timing, proposal.only_counterparty, month, add_months(month, -1),
        not proposal.withdraws and (before is None or before.through < month), before is not None,
        bool(proposal.withdraws), bool(then_kept) and now_kept["rules"] != then_kept["rules"],
    ])  # fmt: skip
    for statement in (_BESIDE, _MOVED):
        con.execute(statement)
    # What parks explains why a line is worth nothing in the newest month or the one beside it, or was not before in another.
    _bind_parked(con, session, "resting", proposal, [month, add_months(month, -1)])
    late = con.execute("SELECT DISTINCT delivery_month FROM moved WHERE is_late AND NOT line_before").fetchall()
    _bind_parked(con, session, "rested", before, [delivery_month for (delivery_month,) in late])
    _bind_fact_changes(con, instance.archive, now_kept, then_kept)
    con.execute(_CHANGE)


def _bind_parked(con, session: Session, table: str, proposal: Proposal | SettlementRun | None, months: list[date]) -> None:
    """The line-months of `months` that the proposal, or the one a run booked, left out."""
    parked = select(ParkedLine.service_line_id, ParkedLine.delivery_month).where(
        ParkedLine.proposal_id == (proposal.proposal_id if proposal else None), ParkedLine.delivery_month.in_(months)
    )
    bulk.load(con, table, bulk.read(session.connection(), parked.distinct()))


def _bind_fact_changes(con, archive: Path, now_kept: dict, then_kept: dict) -> None:
    """`fact_change` (service line × late month: the names of the facts changed since), and what the run before knew:
    `known_line`, `known_citizen`, `amended_line` (its quantity is another). Only tables with other content are read."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE late AS SELECT DISTINCT service_line_id, delivery_month FROM moved WHERE is_late;
        CREATE OR REPLACE TEMP TABLE late_line AS
        SELECT l.*, i.function_code, i.grouping_code, i.cost_type_code FROM service_line AS l
        JOIN catalogue_item AS i USING (item_code) SEMI JOIN late USING (service_line_id);
        CREATE OR REPLACE TEMP TABLE touched_fact (service_line_id VARCHAR, first_day DATE, last_day DATE, fact VARCHAR);
        CREATE OR REPLACE TEMP TABLE known_line (service_line_id VARCHAR);
        CREATE OR REPLACE TEMP TABLE known_citizen (cpr VARCHAR);
        CREATE OR REPLACE TEMP TABLE amended_line (service_line_id VARCHAR, is_amended BOOLEAN)""")
    if then_kept and con.execute("FROM late LIMIT 1").fetchone():
        then = {table: _file(archive, table, digest) for table, digest in then_kept["tables"].items()}
        for table, (name, columns, finds, days) in FACTS.items():
            if now_kept["tables"][table] == then_kept["tables"][table]:
                continue
            now_rows, then_rows = f"SELECT {columns} FROM {table}", f"SELECT {columns} FROM {then[table]}"
            con.execute(f"""
                INSERT INTO touched_fact
                WITH f AS (({now_rows} EXCEPT {then_rows}) UNION ALL ({then_rows} EXCEPT {now_rows}))
                SELECT l.service_line_id, {days}, '{name}' FROM f JOIN late_line AS l ON {finds}""")
        con.execute(f"""
            INSERT INTO known_line SELECT service_line_id FROM {then['service_line']} SEMI JOIN late_line USING (service_line_id);
            INSERT INTO known_citizen
            SELECT DISTINCT p.cpr FROM {then['service_package']} AS p JOIN {then['service_line']} USING (package_id);
            INSERT INTO amended_line SELECT l.service_line_id, l.quantity_e4 <> t.quantity_e4
            FROM late_line AS l JOIN {then['service_line']} AS t USING (service_line_id)""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE fact_change AS
        SELECT service_line_id, delivery_month, list_sort(list(DISTINCT fact)) AS facts
        FROM late JOIN touched_fact USING (service_line_id)
        WHERE first_day <= last_day(delivery_month) AND last_day >= delivery_month GROUP BY ALL""")


def _file(archive: Path, table: str, digest: str) -> str:
    path = archive / "inputs" / f"{digest}.parquet"
    demand_kept(path, digest, table)
    return f"read_parquet('{path}')"
