-- Grain: one span × one delivery month: how much weight its days carry (§ 3), in parts of `basis`.
-- For delivered units the weight is the registered quantity in ten-thousandths, one row per registration.
-- `is_whole`: one span covers the month, so that no other row can be of the same service line and delivery month.
WITH
whole_month AS (
    SELECT s.*, unnest(generate_series(s.first_whole, s.last_whole)) AS month_number
    FROM span AS s WHERE s.unit <> 'leveret' AND s.first_whole <= s.last_whole
),
whole_weighed AS (
    SELECT
        s.*, m.delivery_month, m.first_day AS a, m.last_day AS b, m.days_in_month,
        CASE
            WHEN s.unit = 'hverdag' THEN m.weekdays
            WHEN s.unit = 'maaned' AND s.proration = 'tredivedel' THEN m.thirtieths
            WHEN s.unit = 'maaned' AND s.proration = 'hel' THEN 1
            ELSE m.days_in_month
        END AS weight
    FROM whole_month AS s JOIN calendar_month AS m ON m.month_number = s.month_number
),
cut_month AS (
    SELECT s.*, s.cut_first AS month_number FROM span AS s WHERE s.unit <> 'leveret' AND s.cut_first IS NOT NULL
    UNION ALL
    SELECT s.*, s.cut_last FROM span AS s WHERE s.unit <> 'leveret' AND s.cut_last IS NOT NULL
),
cut AS (
    SELECT
        s.*, m.delivery_month, m.first_day, m.days_in_month,
        greatest(s.from_day, m.first_day) AS a, least(s.to_day, m.last_day) AS b
    FROM cut_month AS s JOIN calendar_month AS m ON m.month_number = s.month_number
),
cut_weighed AS (
    SELECT
        s.*,
        CASE
            WHEN s.unit = 'hverdag' THEN through_b.weekdays - before_a.weekdays
            WHEN s.unit = 'maaned' AND s.proration = 'tredivedel' THEN through_b.thirtieths - before_a.thirtieths
            WHEN s.unit = 'maaned' AND s.proration = 'hel' THEN
                CASE WHEN s.a = greatest(s.start_day, s.first_day) THEN 1 ELSE 0 END
            ELSE s.b - s.a + 1
        END AS weight
    FROM cut AS s
    JOIN calendar_day AS before_a ON before_a.day = s.a - 1
    JOIN calendar_day AS through_b ON through_b.day = s.b
),
weighed AS (
    SELECT
        service_line_id, package_id, timing, claim_kind, process, delivery_month, a, b, payer, counterparty, department, account,
        price_oere, vat_pct_e2, quantity_e4, absence_pct_e2, rate_source, unit, proration, days_in_month, weight, true AS is_whole
    FROM whole_weighed
    UNION ALL
    SELECT
        service_line_id, package_id, timing, claim_kind, process, delivery_month, a, b, payer, counterparty, department, account,
        price_oere, vat_pct_e2, quantity_e4, absence_pct_e2, rate_source, unit, proration, days_in_month, weight, false
    FROM cut_weighed WHERE weight <> 0
),
delivered AS (
    SELECT s.*, d.delivery_month, g.quantity_e4 AS registered_e4
    FROM span AS s
    JOIN registration AS g ON g.service_line_id = s.service_line_id AND NOT g.withdrawn
        AND date_diff('day', DATE '1970-01-01', g.date) BETWEEN s.from_day AND s.to_day
    JOIN calendar_day AS d ON d.day = date_diff('day', DATE '1970-01-01', g.date)
    WHERE s.unit = 'leveret'
)
SELECT
    process, service_line_id, package_id, timing, claim_kind, delivery_month, a AS from_day, b AS to_day, payer, counterparty,
    department, account, price_oere, vat_pct_e2, quantity_e4, absence_pct_e2, weight,
    CASE
        WHEN unit IN ('uge', 'time') THEN 7
        WHEN unit = 'aar' THEN 12 * days_in_month
        WHEN unit = 'maaned' AND proration = 'tredivedel' THEN 30
        WHEN unit = 'maaned' AND proration = 'faktisk' THEN days_in_month
        ELSE 1
    END AS basis,
    rate_source, is_whole
FROM weighed
UNION ALL
-- A line's own quantity is not used for delivered units, nor absence: both count as 1 here.
SELECT
    process, service_line_id, package_id, timing, claim_kind, delivery_month, from_day, to_day, payer, counterparty,
    department, account, price_oere, vat_pct_e2, 10000, 10000, registered_e4, 10000, rate_source, false
FROM delivered WHERE registered_e4 <> 0
