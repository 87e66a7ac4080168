-- Grain: one service line × delivery month that an invoice may be for: what is agreed, what is booked, and what is left.
WITH
agreed AS (
    SELECT service_line_id, delivery_month, sum(agreed_oere) AS agreed_oere FROM commitment GROUP BY service_line_id, delivery_month
),
booked AS (
    SELECT service_line_id, delivery_month, sum(amount_oere) AS booked_oere
    FROM ledger_line WHERE process = 'faktura' GROUP BY service_line_id, delivery_month
)
SELECT
    a.service_line_id, a.delivery_month, CAST(a.agreed_oere AS BIGINT) AS agreed_oere,
    CAST(coalesce(b.booked_oere, 0) AS BIGINT) AS booked_oere, CAST(a.agreed_oere - coalesce(b.booked_oere, 0) AS BIGINT) AS remaining_oere
FROM agreed AS a LEFT JOIN booked AS b ON b.service_line_id = a.service_line_id AND b.delivery_month = a.delivery_month
