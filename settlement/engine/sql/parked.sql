-- Grain: one service line × delivery month left out of this run, with one reason (§ 4); late claims come in `late`.
-- `is_in_run` is false where the line-month has no days in the run's process and timing, but may be booked in it.
WITH
in_run AS (
    SELECT p.service_line_id, p.delivery_month
    FROM piece AS p JOIN run AS r ON p.process = r.process AND p.timing = r.timing
        AND p.delivery_month BETWEEN r.settles_from AND r.through
    UNION
    SELECT b.service_line_id, b.delivery_month
    FROM blocked AS b JOIN run AS r ON b.process = r.process AND b.timing = r.timing
        AND b.delivery_month BETWEEN r.settles_from AND r.through
),
-- loader.md: a refused row parks its line for months the process has no ledger line for.
awaiting AS (
    SELECT w.service_line_id, w.delivery_month, 'afventer_rettelse' AS reason, 1 AS precedence
    FROM day_weight AS w
    JOIN run AS r ON w.process = r.process AND w.timing = r.timing
        AND w.delivery_month BETWEEN r.settles_from AND r.through
    JOIN refused_line AS f ON f.service_line_id = w.service_line_id
    LEFT JOIN ledger_line AS g ON g.process = r.process AND g.service_line_id = w.service_line_id
        AND g.delivery_month = w.delivery_month
    WHERE g.service_line_id IS NULL
    -- Entitled to something: a piece, priced or not, whose quantity is not 0.
    GROUP BY w.service_line_id, w.delivery_month, w.price_oere, w.counterparty, w.account
    HAVING sum(w.quantity_e4 * w.weight * w.absence_pct_e2) <> 0
),
lacking AS (
    SELECT b.service_line_id, b.delivery_month, b.reason, CASE WHEN b.reason = 'mangler_takst' THEN 2 ELSE 3 END AS precedence
    FROM blocked AS b
),
-- What is not entitled in this process may still be booked in it: a line-month parked elsewhere rests here too.
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY service_line_id, delivery_month ORDER BY precedence) AS place
    FROM (SELECT * FROM awaiting UNION ALL SELECT * FROM lacking) AS every
)
SELECT k.service_line_id, k.delivery_month, k.reason, i.service_line_id IS NOT NULL AS is_in_run
FROM ranked AS k LEFT JOIN in_run AS i ON i.service_line_id = k.service_line_id AND i.delivery_month = k.delivery_month
WHERE k.place = 1
