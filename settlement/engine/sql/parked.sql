-- Grain: one service line × delivery month left out of this run, with one reason (§ 4); late claims come in `late`.
-- `is_in_run` says that the run would have booked it or holds money of it; the rest parks in other runs.
WITH
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
    SELECT service_line_id, delivery_month, reason, CASE WHEN reason = 'mangler_takst' THEN 2 ELSE 3 END AS precedence
    FROM blocked
),
-- A person's hold: on a line, on a citizen's lines, or on a counterparty's line-months, entitled or booked.
held AS (
    SELECT w.service_line_id, w.delivery_month, 'tilbageholdt' AS reason, 4 AS precedence
    FROM day_weight AS w JOIN hold AS h ON h.service_line_id = w.service_line_id AND w.delivery_month >= h.from_month
    UNION ALL
    SELECT w.service_line_id, w.delivery_month, 'tilbageholdt', 4
    FROM day_weight AS w JOIN hold AS h ON h.counterparty = w.counterparty AND w.delivery_month >= h.from_month
    JOIN run AS r ON r.process = w.process
    UNION ALL
    SELECT g.service_line_id, g.delivery_month, 'tilbageholdt', 4
    FROM ledger_line AS g JOIN run AS r ON r.process = g.process
    JOIN hold AS h ON (h.service_line_id = g.service_line_id OR h.counterparty = g.counterparty)
        AND g.delivery_month >= h.from_month
),
-- What is not entitled in this process may still be booked in it: a line-month parked elsewhere rests here too.
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY service_line_id, delivery_month ORDER BY precedence) AS place
    FROM (SELECT * FROM awaiting UNION ALL SELECT * FROM lacking UNION ALL SELECT * FROM held) AS every
),
resting AS (
    SELECT service_line_id, delivery_month, reason FROM ranked WHERE place = 1
),
in_run AS (
    SELECT w.service_line_id, w.delivery_month
    FROM day_weight AS w
    JOIN resting AS s ON s.service_line_id = w.service_line_id AND s.delivery_month = w.delivery_month
    JOIN run AS r ON w.process = r.process AND w.timing = r.timing
        AND w.delivery_month BETWEEN r.settles_from AND r.through
        AND (r.only_counterparty IS NULL OR r.only_counterparty = w.counterparty)
    UNION
    SELECT g.service_line_id, g.delivery_month
    FROM ledger_line AS g
    JOIN resting AS s ON s.service_line_id = g.service_line_id AND s.delivery_month = g.delivery_month
    JOIN service_line AS l ON l.service_line_id = g.service_line_id
    JOIN run AS r ON g.process = r.process AND l.timing = r.timing
        AND g.delivery_month BETWEEN r.settles_from AND r.through
        AND (r.only_counterparty IS NULL OR r.only_counterparty = g.counterparty)
)
SELECT s.service_line_id, s.delivery_month, s.reason, i.service_line_id IS NOT NULL AS is_in_run
FROM resting AS s
LEFT JOIN in_run AS i ON i.service_line_id = s.service_line_id AND i.delivery_month = s.delivery_month
