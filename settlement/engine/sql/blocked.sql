-- Grain: one service line × delivery month that parks for want of a price or a payer (§ 4), per process it has days in.
-- A line that is nobody's (`ingen`) parks too: what was booked of it, when it was somebody's, rests until it has a price.
WITH
unpriced_or_unpaid AS (
    SELECT
        service_line_id, delivery_month,
        max(CASE WHEN price_oere IS NULL THEN 1 ELSE 0 END) AS lacks_price
    FROM day_weight
    WHERE price_oere IS NULL OR payer IS NULL OR (process = 'intern' AND department IS NULL)
    GROUP BY service_line_id, delivery_month
)
SELECT DISTINCT
    w.process, w.timing, w.service_line_id, w.delivery_month,
    CASE WHEN u.lacks_price = 1 THEN 'mangler_takst' ELSE 'mangler_betaler' END AS reason
FROM day_weight AS w
JOIN unpriced_or_unpaid AS u ON u.service_line_id = w.service_line_id AND u.delivery_month = w.delivery_month
