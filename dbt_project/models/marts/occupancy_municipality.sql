WITH
enrolled AS (
    SELECT
        delivery_month AS month,
        offer_id,
        municipality,
        CAST(sum(enrolled_days) AS BIGINT) AS enrolled_days
    FROM {{ ref('int_stay') }}
    GROUP BY delivery_month, offer_id, municipality
),

-- A piece does not name its payer; the days it is made of do, and where they name several, most days decide.
payer_of_piece AS (
    SELECT
        process, service_line_id, delivery_month, price_oere, counterparty, account,
        arg_max(payer, (days, payer)) AS municipality
    FROM (
        SELECT
            process, service_line_id, delivery_month, price_oere, counterparty, account, payer,
            sum(to_day - from_day + 1) AS days
        FROM {{ ref('stg_day_weight') }}
        WHERE delivery_month <= {{ horizon() }}
        GROUP BY process, service_line_id, delivery_month, price_oere, counterparty, account, payer
    ) AS days_of_payer
    GROUP BY process, service_line_id, delivery_month, price_oere, counterparty, account
),

revenue AS (
    SELECT
        piece.delivery_month AS month,
        line.offer_id,
        paid.municipality,
        CAST(sum(piece.amount_oere) AS BIGINT) AS revenue_oere
    FROM {{ ref('stg_piece') }} AS piece
    JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = piece.service_line_id
    JOIN payer_of_piece AS paid
        ON paid.process = piece.process
        AND paid.service_line_id = piece.service_line_id
        AND paid.delivery_month = piece.delivery_month
        AND paid.price_oere = piece.price_oere
        AND paid.counterparty = piece.counterparty
        AND paid.account = piece.account
    WHERE piece.is_settled
        -- What citizens pay themselves no municipality pays.
        AND piece.process NOT IN ('personopkraevning', 'beboerbetaling')
        AND line.offer_id IN (SELECT offer_id FROM {{ ref('int_stay') }})
    GROUP BY piece.delivery_month, line.offer_id, paid.municipality
),

side AS (
    SELECT month, offer_id, municipality, enrolled_days, CAST(0 AS BIGINT) AS revenue_oere FROM enrolled
    UNION ALL
    SELECT month, offer_id, municipality, 0, revenue_oere FROM revenue
),

summed AS (
    SELECT
        month,
        offer_id,
        municipality,
        CAST(sum(enrolled_days) AS BIGINT) AS enrolled_days,
        CAST(sum(revenue_oere) AS BIGINT) AS revenue_oere
    FROM side
    GROUP BY month, offer_id, municipality
),

shared AS (
    SELECT *, sum(enrolled_days) OVER (PARTITION BY month, offer_id) AS enrolled_days_of_offer FROM summed
)

SELECT
    {{ build_id() }} AS build_id,
    shared.month,
    shared.offer_id,
    offer.name AS offer_name,
    shared.municipality,
    CASE WHEN shared.municipality = '' THEN 'Ukendt betaler' ELSE municipality.name END AS municipality_name,
    shared.municipality = '{{ required_var("own_municipality") }}' AS is_own,
    shared.enrolled_days,
    {{ rounded_ratio('100 * shared.enrolled_days', 'shared.enrolled_days_of_offer', 1, 'DECIMAL(9, 1)') }} AS share_pct,
    {{ kroner('shared.revenue_oere') }} AS revenue_dkk
FROM shared
JOIN {{ ref('stg_offer') }} AS offer ON offer.offer_id = shared.offer_id
LEFT JOIN {{ ref('stg_municipality') }} AS municipality ON municipality.code = shared.municipality
