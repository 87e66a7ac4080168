-- Grain: one charge × one commitment that it may be for, and what was agreed for the days it charges: the whole month, or the
-- days' own share.
WITH
pair AS (
    SELECT f.*, g.from_date, g.to_date, c.* EXCLUDE (commitment_no), g.from_date <= c.delivery_month AND g.to_date >= last_day(c.delivery_month) AS is_whole
    FROM candidate AS f
    JOIN charged AS g ON g.charge_no = f.charge_no
    JOIN commitment AS c ON c.commitment_no = f.commitment_no
)
SELECT
    charge_no, commitment_no, is_all, is_item, is_whole, service_line_id, delivery_month, price_oere, account, quantity_num,
    quantity_den, agreed_oere AS expected_oere
FROM pair WHERE is_whole
UNION ALL
SELECT
    p.charge_no, p.commitment_no, p.is_all, p.is_item, p.is_whole, p.service_line_id, p.delivery_month, p.price_oere, p.account,
    s.quantity_num, s.quantity_den, s.amount_oere
FROM pair AS p
JOIN share AS s ON s.commitment_no = p.commitment_no AND s.from_date = p.from_date AND s.to_date = p.to_date
WHERE NOT p.is_whole
