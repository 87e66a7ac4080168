-- Grain: one piece (§ 5): process × service line × delivery month × unit price × counterparty × account.
-- A parked line-month has pieces for what is known of it; the difference leaves them out.
WITH
quantity AS (
    SELECT
        process, service_line_id, package_id, timing, claim_kind, delivery_month, price_oere, counterparty, account, vat_pct_e2,
        quantity_e4 * weight * absence_pct_e2 AS numerator, basis * CAST(100000000 AS BIGINT) AS denominator,
        rate_source
    FROM day_weight WHERE price_oere IS NOT NULL AND is_whole
    UNION ALL
    -- Several stretches or registrations of one line and month: those alike in price, counterparty and account are one piece.
    SELECT
        process, service_line_id, package_id, timing, claim_kind, delivery_month, price_oere, counterparty, account, vat_pct_e2,
        CAST(sum(quantity_e4 * weight * absence_pct_e2) AS BIGINT), basis * CAST(100000000 AS BIGINT),
        min(rate_source)
    FROM day_weight WHERE price_oere IS NOT NULL AND NOT is_whole
    GROUP BY process, service_line_id, package_id, timing, claim_kind, delivery_month, price_oere, counterparty, account,
        vat_pct_e2, basis
),
-- In lowest terms, so that the product with the price stays inside 64 bits as long as it can.
reduced AS (
    SELECT
        q.*, numerator // gcd(numerator, denominator) AS quantity_num, denominator // gcd(numerator, denominator) AS quantity_den
    FROM quantity AS q WHERE numerator <> 0
),
-- price × quantity, rounded once, half away from zero, to whole øre.
amount AS (
    SELECT
        r.*,
        CASE WHEN quantity_num < 0 THEN -1 ELSE 1 END
            * ((2 * abs(quantity_num * price_oere) + quantity_den) // (2 * quantity_den)) AS amount_oere
    FROM reduced AS r
)
SELECT
    process, service_line_id, package_id, timing, claim_kind, delivery_month, price_oere, counterparty, account,
    quantity_num, quantity_den, CAST(amount_oere AS BIGINT) AS amount_oere, vat_pct_e2,
    CAST(CASE WHEN amount_oere < 0 THEN -1 ELSE 1 END * ((2 * abs(amount_oere * vat_pct_e2) + 10000) // 20000) AS BIGINT) AS vat_oere,
    rate_source
FROM amount
