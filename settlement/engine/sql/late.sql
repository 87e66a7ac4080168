-- Grain: one service line × delivery month × counterparty whose claim is raised too late (§ 7), intermunicipal only.
-- The claim is the net of what is entitled and booked, however it falls on prices and accounts.
-- `last_day` is empty where no deadline is in force on the month's last day: the caller refuses.
WITH
claim AS (
    SELECT p.service_line_id, p.delivery_month, p.counterparty, p.claim_kind, p.amount_oere
    FROM piece AS p JOIN run AS r ON r.process = p.process AND r.timing = p.timing
    JOIN overdue AS t ON t.claim_kind = p.claim_kind AND t.delivery_month = p.delivery_month
    UNION ALL
    SELECT g.service_line_id, g.delivery_month, g.counterparty, l.claim_kind, -g.amount_oere
    FROM ledger_line AS g JOIN run AS r ON r.process = g.process
    JOIN service_line AS l ON l.service_line_id = g.service_line_id AND l.timing = r.timing
    JOIN overdue AS t ON t.claim_kind = l.claim_kind AND t.delivery_month = g.delivery_month
),
raised AS (
    SELECT c.service_line_id, c.delivery_month, c.counterparty, c.claim_kind, CAST(sum(c.amount_oere) AS BIGINT) AS net_oere
    FROM claim AS c JOIN run AS r ON r.only_counterparty IS NULL OR r.only_counterparty = c.counterparty
    LEFT JOIN parked AS x ON x.service_line_id = c.service_line_id AND x.delivery_month = c.delivery_month
    WHERE x.service_line_id IS NULL
    GROUP BY c.service_line_id, c.delivery_month, c.counterparty, c.claim_kind
    HAVING sum(c.amount_oere) > 0
)
SELECT c.service_line_id, c.delivery_month, c.counterparty, c.claim_kind, c.net_oere, t.last_day
FROM raised AS c
JOIN overdue AS t ON t.claim_kind = c.claim_kind AND t.delivery_month = c.delivery_month
LEFT JOIN allowed_late AS a ON a.service_line_id = c.service_line_id AND a.delivery_month = c.delivery_month
    AND a.counterparty = c.counterparty
WHERE a.service_line_id IS NULL
