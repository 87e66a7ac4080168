-- Grain: one service line × delivery month × counterparty whose claim is raised too late (§ 7), intermunicipal only.
-- `last_day` is empty where no deadline is in force on the month's last day: the caller refuses.
WITH
claim AS (
    SELECT service_line_id, delivery_month, counterparty, claim_kind, sum(amount_oere) AS net_oere
    FROM difference WHERE process = 'mellemkommunal'
    GROUP BY service_line_id, delivery_month, counterparty, claim_kind
)
SELECT c.service_line_id, c.delivery_month, c.counterparty, c.claim_kind, t.last_day
FROM claim AS c
CROSS JOIN run AS r
JOIN claim_deadline AS t ON t.claim_kind = c.claim_kind AND t.delivery_month = c.delivery_month
LEFT JOIN allowed_late AS a ON a.service_line_id = c.service_line_id AND a.delivery_month = c.delivery_month
    AND a.counterparty = c.counterparty
WHERE c.net_oere > 0 AND (t.last_day IS NULL OR r.booking_date > t.last_day) AND a.service_line_id IS NULL
