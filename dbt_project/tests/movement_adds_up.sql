-- opening + entries − exits = closing, every month opens where the one before closed, and nobody is counted twice.
WITH
followed AS (
    SELECT
        *,
        lag(closing) OVER (PARTITION BY law, paragraph, business_area ORDER BY month) AS closing_before,
        lag(month) OVER (PARTITION BY law, paragraph, business_area ORDER BY month) AS month_before
    FROM {{ ref('movement') }}
)

SELECT *
FROM followed
WHERE opening + entries - exits <> closing
    OR opening <> coalesce(closing_before, 0)
    OR month_before <> month - INTERVAL 1 MONTH
    OR persons > opening + entries
    OR full_year_persons > persons
