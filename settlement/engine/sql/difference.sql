-- Grain: one proposed line (§ 6): entitled − booked on process × line × month × price × counterparty × account.
WITH
entitled AS (
    SELECT p.* FROM piece AS p JOIN run AS r ON p.process = r.process AND p.timing = r.timing
        AND p.delivery_month BETWEEN r.settles_from AND r.through
    LEFT JOIN parked AS x ON x.service_line_id = p.service_line_id AND x.delivery_month = p.delivery_month
    WHERE x.service_line_id IS NULL
),
-- § 2: the booked side is the rows of the process whose line has the run's timing now.
booked AS (
    SELECT g.* FROM ledger_line AS g JOIN run AS r ON g.process = r.process AND g.delivery_month BETWEEN r.settles_from AND r.through
    JOIN service_line AS l ON l.service_line_id = g.service_line_id AND l.timing = r.timing
    LEFT JOIN parked AS x ON x.service_line_id = g.service_line_id AND x.delivery_month = g.delivery_month
    WHERE x.service_line_id IS NULL
),
-- Every denominator of a month (7, 30, 12 × its days, ten-thousandths of quantity and of absence) divides this one.
side AS (
    SELECT service_line_id, delivery_month, price_oere, counterparty, account, quantity_num, quantity_den, amount_oere, vat_oere
    FROM entitled
    UNION ALL
    SELECT service_line_id, delivery_month, price_oere, counterparty, account, -quantity_num, quantity_den, -amount_oere, -vat_oere
    FROM booked
),
summed AS (
    SELECT
        s.service_line_id, s.delivery_month, s.price_oere, s.counterparty, s.account, m.common_denominator,
        CAST(sum(s.quantity_num * (m.common_denominator // s.quantity_den)) AS BIGINT) AS numerator,
        CAST(sum(s.amount_oere) AS BIGINT) AS amount_oere, CAST(sum(s.vat_oere) AS BIGINT) AS vat_oere
    FROM side AS s JOIN calendar_month AS m ON m.delivery_month = s.delivery_month
    GROUP BY s.service_line_id, s.delivery_month, s.price_oere, s.counterparty, s.account, m.common_denominator
),
different AS (
    SELECT * FROM summed WHERE numerator <> 0 OR amount_oere <> 0 OR vat_oere <> 0
),
-- § 6: an adjustment points to the latest document of the same key, else of the line and month.
latest_of_key AS (
    SELECT g.service_line_id, g.delivery_month, g.price_oere, g.counterparty, g.account,
        g.document_number, row_number() OVER (
            PARTITION BY g.service_line_id, g.delivery_month, g.price_oere, g.counterparty, g.account ORDER BY g.line_number DESC
        ) AS place
    FROM ledger_line AS g JOIN run AS r ON g.process = r.process
),
latest_of_month AS (
    SELECT service_line_id, delivery_month, document_number,
        row_number() OVER (PARTITION BY service_line_id, delivery_month ORDER BY line_number DESC) AS place
    FROM ledger_line
)
SELECT
    d.service_line_id, l.package_id, d.delivery_month, d.price_oere, d.counterparty, d.account, l.claim_kind,
    d.numerator // gcd(d.numerator, d.common_denominator) AS quantity_num,
    d.common_denominator // gcd(d.numerator, d.common_denominator) AS quantity_den,
    d.amount_oere, d.vat_oere,
    n.document_number IS NOT NULL AS is_adjustment,
    coalesce(k.document_number, n.document_number) AS corrects,
    coalesce(e.line_source_file, l.source_file) AS line_source_file, coalesce(e.line_source_row, l.source_row) AS line_source_row,
    e.rate_source_file, e.rate_source_row
FROM different AS d
JOIN service_line AS l ON l.service_line_id = d.service_line_id
LEFT JOIN entitled AS e ON e.service_line_id = d.service_line_id AND e.delivery_month = d.delivery_month
    AND e.price_oere = d.price_oere AND e.counterparty = d.counterparty AND e.account = d.account
LEFT JOIN latest_of_key AS k ON k.place = 1 AND k.service_line_id = d.service_line_id AND k.delivery_month = d.delivery_month
    AND k.price_oere = d.price_oere AND k.counterparty = d.counterparty AND k.account = d.account
LEFT JOIN latest_of_month AS n ON n.place = 1 AND n.service_line_id = d.service_line_id AND n.delivery_month = d.delivery_month
