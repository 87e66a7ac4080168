-- Grain: one line of the run (§ 6): entitled − booked on service line × month × price × counterparty × account, of the
-- run's process; what is parked or late is left out.
WITH
entitled AS (
    SELECT p.* FROM piece AS p JOIN run AS r ON p.process = r.process AND p.timing = r.timing
        AND p.delivery_month BETWEEN r.settles_from AND r.through
        AND (r.only_counterparty IS NULL OR r.only_counterparty = p.counterparty)
    LEFT JOIN parked AS x ON x.service_line_id = p.service_line_id AND x.delivery_month = p.delivery_month
    LEFT JOIN late AS t ON t.service_line_id = p.service_line_id AND t.delivery_month = p.delivery_month
        AND t.counterparty = p.counterparty
    WHERE x.service_line_id IS NULL AND t.service_line_id IS NULL
),
-- § 2: the booked side is the rows of the process whose line has the run's timing now.
-- Every denominator of a month (7, 30, 12 × its days, ten-thousandths of quantity and of absence) divides the common one.
booked AS (
    SELECT
        g.service_line_id, g.delivery_month, g.price_oere, g.counterparty, g.account,
        CAST(sum(g.quantity_num * (m.common_denominator // g.quantity_den)) AS BIGINT) AS numerator,
        CAST(sum(g.amount_oere) AS BIGINT) AS amount_oere, CAST(sum(g.vat_oere) AS BIGINT) AS vat_oere,
        max_by(g.document_number, g.line_number) AS document_number, max(m.common_denominator) AS denominator
    FROM ledger_line AS g
    JOIN run AS r ON g.process = r.process AND g.delivery_month BETWEEN r.settles_from AND r.through
        AND (r.only_counterparty IS NULL OR r.only_counterparty = g.counterparty)
    JOIN service_line AS l ON l.service_line_id = g.service_line_id AND l.timing = r.timing
    JOIN calendar_month AS m ON m.delivery_month = g.delivery_month
    LEFT JOIN parked AS x ON x.service_line_id = g.service_line_id AND x.delivery_month = g.delivery_month
    LEFT JOIN late AS t ON t.service_line_id = g.service_line_id AND t.delivery_month = g.delivery_month
        AND t.counterparty = g.counterparty
    WHERE x.service_line_id IS NULL AND t.service_line_id IS NULL
    GROUP BY g.service_line_id, g.delivery_month, g.price_oere, g.counterparty, g.account
),
compared AS (
    SELECT
        coalesce(e.service_line_id, b.service_line_id) AS service_line_id,
        coalesce(e.delivery_month, b.delivery_month) AS delivery_month,
        coalesce(e.price_oere, b.price_oere) AS price_oere, coalesce(e.counterparty, b.counterparty) AS counterparty,
        coalesce(e.account, b.account) AS account,
        e.quantity_num, e.quantity_den, b.numerator AS booked_numerator, b.denominator AS booked_denominator,
        coalesce(e.amount_oere, 0) - coalesce(b.amount_oere, 0) AS amount_oere,
        coalesce(e.vat_oere, 0) - coalesce(b.vat_oere, 0) AS vat_oere,
        b.document_number AS of_key, coalesce(e.rate_source, '') AS rate_source
    FROM entitled AS e FULL JOIN booked AS b
        ON b.service_line_id = e.service_line_id AND b.delivery_month = e.delivery_month AND b.price_oere = e.price_oere
        AND b.counterparty = e.counterparty AND b.account = e.account
),
counted AS (
    SELECT
        c.*,
        CASE WHEN c.booked_numerator IS NULL THEN c.quantity_num
            WHEN c.quantity_num IS NULL THEN -c.booked_numerator
            ELSE c.quantity_num * (c.booked_denominator // c.quantity_den) - c.booked_numerator END AS numerator,
        CASE WHEN c.booked_numerator IS NULL THEN c.quantity_den ELSE c.booked_denominator END AS denominator
    FROM compared AS c
),
different AS (
    SELECT * FROM counted WHERE numerator <> 0 OR amount_oere <> 0 OR vat_oere <> 0
),
-- § 6: an adjustment points to the latest document of the same key, else of the line and month.
latest_of_month AS (
    SELECT service_line_id, delivery_month, max_by(document_number, line_number) AS document_number
    FROM ledger_line GROUP BY service_line_id, delivery_month
)
SELECT
    d.service_line_id, d.delivery_month,
    CASE WHEN d.booked_numerator IS NULL THEN d.numerator ELSE d.numerator // gcd(d.numerator, d.denominator) END AS quantity_num,
    CASE WHEN d.booked_numerator IS NULL THEN d.denominator ELSE d.denominator // gcd(d.numerator, d.denominator) END AS quantity_den,
    d.price_oere, d.amount_oere, d.vat_oere, d.counterparty, d.account,
    n.document_number IS NOT NULL AS is_adjustment, coalesce(d.of_key, n.document_number, '') AS corrects,
    d.rate_source
FROM different AS d
LEFT JOIN latest_of_month AS n ON n.service_line_id = d.service_line_id AND n.delivery_month = d.delivery_month
