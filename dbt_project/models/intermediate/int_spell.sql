-- Lines that overlap or follow each other day by day are one spell: going from one price to the next is no movement.
WITH
period AS (
    -- Of two lines with the same days neither comes before the other: they are one.
    SELECT DISTINCT
        cpr,
        law,
        paragraph,
        business_area,
        start_date,
        -- A one-off service is there on its first day only.
        CASE WHEN unit = 'engang' THEN start_date ELSE coalesce(end_date, DATE '9999-12-31') END AS end_date
    FROM {{ ref('int_service_line') }}
    WHERE is_living AND start_date <= last_day({{ horizon() }})
),

begun AS (
    SELECT
        *,
        coalesce(date_diff('day', max(end_date) OVER (
            PARTITION BY cpr, law, paragraph, business_area ORDER BY start_date, end_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), start_date), 2) > 1 AS begins
    FROM period
),

numbered AS (
    SELECT
        *,
        count(*) FILTER (WHERE begins) OVER (
            PARTITION BY cpr, law, paragraph, business_area ORDER BY start_date, end_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS number
    FROM begun
)

SELECT
    cpr,
    law,
    paragraph,
    business_area,
    min(start_date) AS start_date,
    max(end_date) AS end_date
FROM numbered
GROUP BY cpr, law, paragraph, business_area, number
