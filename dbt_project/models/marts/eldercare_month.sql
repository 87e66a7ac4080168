-- Granted is counted from the first month with registrations, for an extract may hold deliveries of the latest months only.
WITH
line AS (
    SELECT service.*, granted.quantity_e4
    FROM {{ ref('int_service_line') }} AS service
    JOIN {{ ref('stg_service_line') }} AS granted ON granted.service_line_id = service.service_line_id
    WHERE service.is_living AND service.unit = 'leveret' AND service.business_area = 'Ældre'
),

delivery AS (
    SELECT line.service_line_id, date_trunc('month', registration.date) AS month, sum(registration.quantity_e4) AS quantity_e4
    FROM {{ ref('stg_registration') }} AS registration
    JOIN line ON line.service_line_id = registration.service_line_id
    -- settlement.md § 3: what is registered outside the line's period is entitled to 0.
    WHERE registration.date >= line.start_date AND registration.date <= coalesce(line.end_date, registration.date)
    GROUP BY line.service_line_id, date_trunc('month', registration.date)
),

line_month AS (
    SELECT
        line.*,
        months.month,
        date_diff(
            'day', greatest(line.start_date, months.month),
            least(coalesce(line.end_date, last_day(months.month)), last_day(months.month))
        ) + 1 AS granted_days
    FROM line
    JOIN (
        SELECT CAST(unnest(generate_series(min(month), {{ horizon() }}, INTERVAL 1 MONTH)) AS DATE) AS month FROM delivery
    ) AS months
        ON line.start_date <= last_day(months.month) AND coalesce(line.end_date, months.month) >= months.month
),

summed AS (
    SELECT
        line_month.month,
        line_month.item_code,
        line_month.item_name,
        line_month.law,
        line_month.paragraph,
        coalesce(line_month.offer_id, '') AS offer_id,
        count(DISTINCT line_month.cpr) AS persons,
        count(DISTINCT line_month.cpr) FILTER (WHERE delivery.quantity_e4 > 0) AS persons_served,
        sum(line_month.quantity_e4 * line_month.granted_days) AS granted_e4_days,
        coalesce(sum(delivery.quantity_e4), 0) AS delivered_e4
    FROM line_month
    LEFT JOIN delivery ON delivery.service_line_id = line_month.service_line_id AND delivery.month = line_month.month
    GROUP BY ALL
)

SELECT
    {{ build_id() }} AS build_id,
    summed.month,
    summed.item_code,
    summed.item_name,
    summed.law,
    summed.paragraph,
    summed.offer_id,
    offer.name AS offer_name,
    offer.owner_kind,
    summed.persons,
    summed.persons_served,
    {{ rounded_ratio('summed.granted_e4_days', '70000', 2, 'DECIMAL(18, 2)') }} AS granted_units,
    CAST(CAST(summed.delivered_e4 AS DECIMAL(38, 0)) * 0.0001 AS DECIMAL(18, 4)) AS delivered_units,
    {{ rounded_ratio('700 * summed.delivered_e4', 'summed.granted_e4_days', 1, 'DECIMAL(12, 1)') }} AS delivered_pct
FROM summed
LEFT JOIN {{ ref('stg_offer') }} AS offer ON offer.offer_id = summed.offer_id
