-- A person takes up one place on a day, however many lines are granted at the offer (a stay and its supplement): of
-- stretches that overlap, each counts only the days that an earlier one has not.
WITH
stretch AS (
    SELECT
        line.offer_id,
        line.cpr,
        line.service_line_id,
        weight.delivery_month,
        weight.payer AS municipality,
        line.unit = 'hverdag' AS is_weekdays_only,
        weight.from_day,
        -- A whole month's price has all its weight on one day; the stay goes on to the line's last paid day.
        CASE
            WHEN line.unit = 'maaned' AND line.proration = 'hel' THEN greatest(weight.from_day, least(
                {{ day_number('last_day(weight.delivery_month)') }},
                coalesce(
                    {{ day_number('line.end_date') }}
                    - CASE WHEN line.departure_day_paid OR line.end_date = line.start_date THEN 0 ELSE 1 END,
                    {{ day_number('last_day(weight.delivery_month)') }}
                )
            ))
            ELSE weight.to_day
        END AS to_day
    FROM {{ ref('stg_day_weight') }} AS weight
    JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = weight.service_line_id
    WHERE line.offer_id IS NOT NULL
        AND line.unit IN ('doegn', 'uge', 'maaned', 'aar', 'hverdag')
        -- What a citizen is charged is no stay of its own.
        AND weight.process NOT IN ('personopkraevning', 'beboerbetaling')
        AND weight.delivery_month <= {{ horizon() }}
),

-- In a month with a day-and-night stay at the offer, the same person's weekday services there take no place of their own.
one_kind AS (
    SELECT *
    FROM stretch
    QUALIFY is_weekdays_only = bool_and(is_weekdays_only) OVER (PARTITION BY offer_id, cpr, delivery_month)
),

uncounted AS (
    SELECT
        * EXCLUDE (from_day),
        greatest(from_day, 1 + coalesce(max(to_day) OVER (
            PARTITION BY offer_id, cpr, delivery_month ORDER BY from_day, to_day DESC, service_line_id, municipality
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), from_day - 1)) AS from_day
    FROM one_kind
)

SELECT
    stay.offer_id,
    stay.service_line_id,
    stay.delivery_month,
    stay.municipality,
    stay.is_weekdays_only,
    stay.from_day,
    stay.to_day,
    CASE
        WHEN stay.is_weekdays_only THEN through.weekdays - before.weekdays
        ELSE stay.to_day - stay.from_day + 1
    END AS enrolled_days
FROM uncounted AS stay
JOIN {{ ref('stg_calendar_day') }} AS before ON before.day = stay.from_day - 1
JOIN {{ ref('stg_calendar_day') }} AS through ON through.day = stay.to_day
WHERE stay.from_day <= stay.to_day
