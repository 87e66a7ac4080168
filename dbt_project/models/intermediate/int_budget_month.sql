-- A year's budget is spread evenly over its months; the øre that cannot be divided fall on December.
WITH
of_month AS (
    SELECT year, month_in_year, account, department, amount_oere
    FROM {{ ref('stg_budget') }}
    WHERE month_in_year IS NOT NULL
    UNION ALL
    SELECT
        budget.year,
        months.month_in_year,
        budget.account,
        budget.department,
        CASE
            WHEN months.month_in_year < 12 THEN budget.amount_oere // 12
            ELSE budget.amount_oere - 11 * (budget.amount_oere // 12)
        END AS amount_oere
    FROM {{ ref('stg_budget') }} AS budget
    CROSS JOIN (SELECT unnest(range(1, 13)) AS month_in_year) AS months
    WHERE budget.month_in_year IS NULL
)

SELECT
    make_date(year, month_in_year, 1) AS month,
    account,
    department,
    CAST(sum(amount_oere) AS BIGINT) AS amount_oere
FROM of_month
GROUP BY ALL
