SELECT
    year,
    month AS month_in_year,
    account,
    coalesce(department, '') AS department,
    budget_kind,
    amount_oere
FROM {{ source('canonical', 'budget') }}
WHERE NOT withdrawn
