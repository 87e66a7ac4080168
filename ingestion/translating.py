"""Source systems' service codes translated to catalogue items, by dated decisions (`ydelsesoversaettelser`).

A service line gets the item that the code of its system is translated to on its start date; without a translation the code is
the item, as in a loader file. The code stays on the line, so that a decision reaches what was loaded before it.
"""

from __future__ import annotations

import duckdb

TRANSLATED = "service_line"

# The dated translations without overlap: an open one ends the day before the next begins.
VIEWS = """
CREATE VIEW quality.translation AS
    SELECT source_system, source_code, item_code, valid_from, least(
        coalesce(valid_to, DATE '9999-12-31'),
        coalesce(lead(valid_from) OVER (PARTITION BY source_system, source_code ORDER BY valid_from) - 1, DATE '9999-12-31')
    ) AS last_day
    FROM canonical.service_translation WHERE NOT withdrawn;
-- A service whose code is no catalogue item and is not translated on its start date: a refused row that waits, or a line that
-- keeps the item of a translation that is no more.
CREATE VIEW quality.without_item AS
    WITH service AS (
        SELECT file.system AS source_system, cells ->> 'item_code' AS source_code, cells ->> 'source_item_name' AS source_name,
            cells ->> 'offer_id' AS offer_id, cells ->> 'package_id' AS package_id, service_line_id, refused.load_id,
            true AS waits, coalesce(
                CAST(try_strptime(cells ->> 'start_date', '%d-%m-%Y') AS DATE),
                CAST(try_strptime(cells ->> 'start_date', '%Y-%m-%d') AS DATE)
            ) AS start_date
        FROM quarantine.refused AS refused
        JOIN (SELECT file_hash, arg_min(system, (load_id, system)) AS system FROM raw.file GROUP BY file_hash) AS file
            USING (file_hash)
        WHERE table_name = 'service_line' AND reason = 'ukendt_noegle' AND closed_by_load IS NULL
        UNION ALL
        SELECT source_system, source_item_code, source_item_name, offer_id, package_id, service_line_id, load_id, false, start_date
        FROM canonical.service_line WHERE NOT withdrawn AND item_code <> source_item_code
    )
    SELECT * FROM service
    WHERE source_code <> '' AND source_code NOT IN (SELECT item_code FROM canonical.catalogue_item)
        AND NOT EXISTS (
            FROM quality.translation AS t WHERE t.source_system = service.source_system AND t.source_code = service.source_code
            AND service.start_date BETWEEN t.valid_from AND t.last_day
        );
CREATE VIEW quality.service_worklist AS
    SELECT source_system, source_code, max(nullif(source_name, '')) AS source_name, count(*) FILTER (waits) AS waiting_rows,
        count(*) FILTER (NOT waits) AS service_lines, count(DISTINCT package.cpr) AS citizens, min(start_date) AS first_start,
        max(start_date) AS last_start, min(load_id) AS first_load, min(load.received_at) AS first_seen
    FROM quality.without_item
    JOIN raw.load AS load USING (load_id)
    LEFT JOIN canonical.service_package AS package USING (package_id)
    GROUP BY source_system, source_code;
-- Every sign counts up to a weight; together they are the points a suggestion is ranked by.
CREATE VIEW quality.service_suggestion AS
    WITH code AS (
        SELECT source_system, source_code, max(nullif(source_name, '')) AS source_name, list(DISTINCT offer_id) AS offers,
            list(DISTINCT regexp_extract(offer.paragraph, '[0-9]+[a-z]?')) AS paragraphs,
            bool_or(registration.service_line_id IS NOT NULL) AS is_registered
        FROM quality.without_item AS w
        LEFT JOIN canonical.offer AS offer USING (offer_id)
        LEFT JOIN (SELECT DISTINCT service_line_id FROM quarantine.refused WHERE table_name = 'registration') AS registration
            USING (service_line_id)
        GROUP BY source_system, source_code
    ),
    used AS (
        SELECT at_offer.source_system, source_code, l.item_code, count(*) AS service_lines
        FROM (SELECT source_system, source_code, unnest(offers) AS offer_id FROM code) AS at_offer
        JOIN canonical.service_line AS l ON l.offer_id = at_offer.offer_id AND NOT l.withdrawn
        GROUP BY ALL
    ),
    other AS (
        SELECT code.source_system, code.source_code, t.item_code,
            arg_max(t.source_code, jaro_winkler_similarity(upper(code.source_code), upper(t.source_code))) AS other_code,
            max(jaro_winkler_similarity(upper(code.source_code), upper(t.source_code))) AS likeness
        FROM code JOIN quality.translation AS t ON t.source_system = code.source_system AND t.source_code <> code.source_code
        GROUP BY ALL
    ),
    sign AS (
        SELECT code.source_system, code.source_code, item.item_code, item.name AS item_name,
            jaro_winkler_similarity(upper(code.source_code), upper(item.item_code)) AS code_likeness,
            jaro_winkler_similarity(lower(coalesce(code.source_name, code.source_code)), lower(coalesce(item.name, '')))
                AS name_likeness,
            coalesce(list_contains(code.paragraphs, regexp_extract(item.paragraph, '[0-9]+[a-z]?')) AND item.paragraph <> '', false)
                AS has_paragraph,
            code.is_registered AND item.unit IN ('leveret', 'time') AS has_unit,
            coalesce(used.service_lines, 0) AS service_lines, other.other_code, coalesce(other.likeness, 0) AS other_likeness
        FROM code CROSS JOIN canonical.catalogue_item AS item
        LEFT JOIN used USING (source_system, source_code, item_code)
        LEFT JOIN other USING (source_system, source_code, item_code)
        WHERE NOT item.withdrawn
    ),
    told AS (
        SELECT source_system, source_code, item_code, item_name, list_filter([
            CASE WHEN code_likeness >= 0.8 THEN {points: round(40 * code_likeness), why: 'koden ligner'} END,
            CASE WHEN name_likeness >= 0.8 THEN {points: round(40 * name_likeness), why: 'navnet ligner'} END,
            CASE WHEN has_paragraph THEN {points: 15, why: 'tilbuddet er godkendt efter samme paragraf'} END,
            CASE WHEN has_unit THEN {points: 10, why: 'enheden passer: der er registreringer af leverancer'} END,
            CASE WHEN service_lines > 0 THEN
                {points: 20, why: service_lines || ' ydelser på samme tilbud er den'} END,
            CASE WHEN other_likeness >= 0.8 THEN
                {points: round(20 * other_likeness), why: 'systemets kode ' || other_code || ' er oversat til den'} END
        ], lambda s: s IS NOT NULL) AS signs
        FROM sign
    )
    SELECT source_system, source_code,
        row_number() OVER (
            PARTITION BY source_system, source_code ORDER BY list_sum([s.points for s in signs]) DESC, item_code
        ) AS place,
        item_code, item_name, CAST(list_sum([s.points for s in signs]) AS INTEGER) AS points,
        array_to_string([s.why for s in signs], '; ') AS reason
    FROM told WHERE len(signs) > 0
    QUALIFY place <= 5;
"""

# `beside` (gate.py) with the item of each line by its code. A line told of again without its code keeps its item, where the
# code is none: a translation that is withdrawn moves nothing before another is decided.
ITEM = """
    SELECT b.* REPLACE (
        CASE WHEN b._withdraw THEN b.item_code WHEN t.item_code IS NOT NULL THEN t.item_code
            WHEN b.k_item_code > 0 OR b.source_item_code IN (SELECT item_code FROM canonical.catalogue_item) THEN b.source_item_code
            ELSE b.item_code END AS item_code)
    FROM (SELECT * REPLACE (CASE WHEN k_item_code > 0 AND NOT _withdraw THEN _system ELSE source_system END AS source_system)
        FROM beside) b
    LEFT JOIN quality.translation t ON t.source_system = b.source_system AND t.source_code = b.source_item_code
        AND b.start_date BETWEEN t.valid_from AND t.last_day"""


def translate_again(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Gives lines loaded before the item they now have, where load `load_id` brought, changed or withdrew a translation.

    A line that changes is a new version of that load; its file, row and extract date stay. One whose code has no item any more
    keeps the one it has, and is on the worklist.
    """
    decided = "EXISTS (FROM canonical.{} WHERE load_id = $load)"
    parameters = {"load": load_id}
    asked = " OR ".join(decided.format(table) for table in ("service_translation", "catalogue_item"))
    if not con.execute(f"SELECT {asked}", parameters).fetchone()[0]:
        return
    con.execute(
        """CREATE OR REPLACE TEMP TABLE translated AS
        SELECT s.service_line_id, s.load_id = $load AS is_new, coalesce(t.item_code, s.source_item_code) AS item_code
        FROM canonical.service_line s
        LEFT JOIN quality.translation t ON t.source_system = s.source_system AND t.source_code = s.source_item_code
            AND s.start_date BETWEEN t.valid_from AND t.last_day
        WHERE NOT s.withdrawn AND coalesce(t.item_code, s.source_item_code) <> s.item_code
            AND coalesce(t.item_code, s.source_item_code) IN (SELECT item_code FROM canonical.catalogue_item)""",
        parameters,
    )
    con.execute(
        """INSERT INTO history.service_line BY NAME SELECT s.*, $load::BIGINT AS closed_by_load
        FROM canonical.service_line s SEMI JOIN (FROM translated WHERE NOT is_new) t USING (service_line_id)""",
        parameters,
    )
    con.execute(
        """UPDATE canonical.service_line s SET item_code = t.item_code, load_id = $load
        FROM translated t WHERE t.service_line_id = s.service_line_id""",
        parameters,
    )
