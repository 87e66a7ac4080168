-- Grain: one layer of dated facts × key × stretch of days; a key's stretches cover every day from the first month compared
-- through the horizon, empty where no fact does.
-- Days are numbered from 1970-01-01; -719162 is 0001-01-01 and 2932896 is 9999-12-31: no beginning and no end.
WITH
-- § 3 Absence: touching or overlapping spells are one spell, counted from its own first day.
spell AS (
    SELECT
        service_line_id,
        date_diff('day', DATE '1970-01-01', from_date) AS from_day,
        coalesce(date_diff('day', DATE '1970-01-01', to_date), 2932896) AS to_day
    FROM absence WHERE NOT withdrawn
),
spell_start AS (
    SELECT *, CASE WHEN from_day <= 1 + max(to_day) OVER (
        PARTITION BY service_line_id ORDER BY from_day, to_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) THEN 0 ELSE 1 END AS begins
    FROM spell
),
spell_number AS (
    SELECT *, sum(begins) OVER (PARTITION BY service_line_id ORDER BY from_day, to_day) AS number FROM spell_start
),
merged_spell AS (
    SELECT service_line_id, min(from_day) AS from_day, max(to_day) AS to_day
    FROM spell_number GROUP BY service_line_id, number
),
-- § 3 Absence: the first full days of a spell count in full, later days with the item's per cent.
reduced_days AS (
    SELECT s.service_line_id, s.from_day + i.absence_full_days AS from_day, s.to_day, i.absence_pct_e2
    FROM merged_spell AS s
    JOIN service_line AS l ON l.service_line_id = s.service_line_id
    JOIN catalogue_item AS i ON i.item_code = l.item_code
    WHERE s.from_day + i.absence_full_days <= s.to_day
    AND (i.unit IN ('doegn', 'hverdag', 'uge', 'aar', 'time') OR (i.unit = 'maaned' AND i.proration <> 'hel'))
),
-- § 4: what is dated, by the key it is found under.
fact AS (
    SELECT
        'line_price' AS layer, service_line_id AS key, date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        date_diff('day', DATE '1970-01-01', valid_to) AS to_day, price_oere, CAST(NULL AS BIGINT) AS absence_pct_e2,
        CAST(NULL AS VARCHAR) AS payer, CAST(NULL AS VARCHAR) AS account,
        concat(left(source_file, 16), ':', source_row) AS source
    FROM individual_rate WHERE NOT withdrawn
    UNION ALL
    SELECT
        CASE WHEN offer_id IS NULL THEN 'item_price' ELSE 'offer_price' END,
        CASE WHEN offer_id IS NULL THEN item_code ELSE concat(item_code, chr(31), offer_id) END,
        date_diff('day', DATE '1970-01-01', valid_from), date_diff('day', DATE '1970-01-01', valid_to), price_oere, NULL, NULL,
        NULL, concat(left(source_file, 16), ':', source_row)
    FROM rate WHERE NOT withdrawn
    UNION ALL
    SELECT
        'payer', package_id, date_diff('day', DATE '1970-01-01', valid_from), date_diff('day', DATE '1970-01-01', valid_to),
        NULL, NULL, paying_municipality, NULL, NULL
    FROM package_payer WHERE NOT withdrawn
    UNION ALL
    SELECT
        'line_account', service_line_id, date_diff('day', DATE '1970-01-01', valid_from),
        date_diff('day', DATE '1970-01-01', valid_to), NULL, NULL, NULL, account, NULL
    FROM account_rule WHERE NOT withdrawn
    UNION ALL
    SELECT
        'item_account', concat(function_code, chr(31), grouping_code, chr(31), cost_type_code),
        date_diff('day', DATE '1970-01-01', valid_from), date_diff('day', DATE '1970-01-01', valid_to), NULL, NULL, NULL, account, NULL
    FROM posting_account_rule
    UNION ALL
    SELECT 'absence', service_line_id, from_day, to_day, NULL, absence_pct_e2, NULL, NULL, NULL FROM reduced_days
),
-- loader.md: of several starts at one level an open one ends the day before the next.
followed AS (
    SELECT *, coalesce(lead(from_day) OVER (PARTITION BY layer, key ORDER BY from_day) - 1, 2932896) AS before_next FROM fact
),
stretch AS (
    SELECT
        layer, key, from_day, coalesce(to_day, before_next) AS to_day, price_oere, absence_pct_e2, payer, account, source
    FROM followed
    UNION ALL
    SELECT layer, key, to_day + 1, before_next, NULL, NULL, NULL, NULL, NULL FROM followed WHERE to_day < before_next
    UNION ALL
    SELECT layer, key, -719162, min(from_day) - 1, NULL, NULL, NULL, NULL, NULL FROM followed GROUP BY layer, key
)
SELECT s.* FROM stretch AS s CROSS JOIN run AS r WHERE s.to_day >= r.first_day AND s.from_day <= r.horizon_day
