-- opening and closing are at the end of the last day of the month before and of the month: who leaves on the last day
-- has left.
WITH
group_month AS (
    SELECT
        law,
        paragraph,
        business_area,
        CAST(unnest(generate_series(date_trunc('month', min(start_date)), {{ horizon() }}, INTERVAL 1 MONTH)) AS DATE) AS month
    FROM {{ ref('int_spell') }}
    GROUP BY law, paragraph, business_area
),

counted AS (
    SELECT
        group_month.month,
        group_month.law,
        group_month.paragraph,
        group_month.business_area,
        count(*) FILTER (WHERE spell.start_date < group_month.month) AS opening,
        count(*) FILTER (WHERE spell.start_date >= group_month.month) AS entries,
        count(*) FILTER (WHERE spell.end_date <= last_day(group_month.month)) AS exits,
        count(*) FILTER (WHERE spell.end_date > last_day(group_month.month)) AS closing,
        count(DISTINCT spell.cpr) AS persons,
        coalesce(CAST(sum(date_diff(
            'day', greatest(spell.start_date, group_month.month), least(spell.end_date, last_day(group_month.month))
        ) + 1) FILTER (WHERE spell.cpr IS NOT NULL) AS BIGINT), 0) AS service_days
    FROM group_month
    LEFT JOIN {{ ref('int_spell') }} AS spell
        ON spell.law = group_month.law
        AND spell.paragraph = group_month.paragraph
        AND spell.business_area = group_month.business_area
        AND spell.start_date <= last_day(group_month.month)
        AND spell.end_date >= group_month.month
    GROUP BY group_month.month, group_month.law, group_month.paragraph, group_month.business_area
)

SELECT
    {{ build_id() }} AS build_id,
    month,
    law,
    paragraph,
    business_area,
    opening,
    entries,
    exits,
    closing,
    persons,
    {{ rounded_ratio('service_days', 'day(last_day(month))', 2, 'DECIMAL(12, 2)') }} AS full_year_persons
FROM counted
