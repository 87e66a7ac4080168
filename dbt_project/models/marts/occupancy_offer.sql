WITH
enrolled AS (
    SELECT offer_id, delivery_month AS month, CAST(sum(enrolled_days) AS BIGINT) AS enrolled_days
    FROM {{ ref('int_stay') }}
    GROUP BY offer_id, delivery_month
),

-- An offer with stays on weekdays only has its places open on weekdays only.
known_offer AS (
    SELECT offer_id, min(delivery_month) AS first_month, bool_and(is_weekdays_only) AS is_weekdays_only
    FROM {{ ref('int_stay') }}
    GROUP BY offer_id
),

offer_month AS (
    SELECT
        known_offer.offer_id,
        known_offer.is_weekdays_only,
        CAST(unnest(generate_series(known_offer.first_month, {{ horizon() }}, INTERVAL 1 MONTH)) AS DATE) AS month
    FROM known_offer
),

counted AS (
    SELECT
        offer_month.offer_id,
        offer_month.month,
        offer.name AS offer_name,
        offer.owner_kind,
        offer.paragraph,
        offer.department,
        offer.places,
        offer.places * CASE
            WHEN offer_month.is_weekdays_only THEN through.weekdays - before.weekdays
            ELSE day(last_day(offer_month.month))
        END AS place_days,
        coalesce(enrolled.enrolled_days, 0) AS enrolled_days,
        offer.budgeted_occupancy_pct_e2
    FROM offer_month
    JOIN {{ ref('stg_offer') }} AS offer ON offer.offer_id = offer_month.offer_id AND offer.places > 0
    JOIN {{ ref('stg_calendar_day') }} AS before ON before.day = {{ day_number('offer_month.month') }} - 1
    JOIN {{ ref('stg_calendar_day') }} AS through ON through.day = {{ day_number('last_day(offer_month.month)') }}
    LEFT JOIN enrolled ON enrolled.offer_id = offer_month.offer_id AND enrolled.month = offer_month.month
),

in_pct AS (
    SELECT
        *,
        {{ rounded_ratio('100 * enrolled_days', 'place_days', 1, 'DECIMAL(9, 1)') }} AS occupancy_pct,
        {{ rounded_ratio('budgeted_occupancy_pct_e2', '100', 1, 'DECIMAL(9, 1)') }} AS budgeted_occupancy_pct
    FROM counted
)

SELECT
    {{ build_id() }} AS build_id,
    month,
    offer_id,
    offer_name,
    owner_kind,
    paragraph,
    department,
    places,
    CAST(place_days AS BIGINT) AS place_days,
    enrolled_days,
    occupancy_pct,
    budgeted_occupancy_pct,
    CAST(occupancy_pct - budgeted_occupancy_pct AS DECIMAL(9, 1)) AS deviation_pct_points
FROM in_pct
