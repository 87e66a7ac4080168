SELECT
    posting_id,
    account,
    coalesce(department, '') AS department,
    posting_date,
    coalesce(delivery_month, CAST(date_trunc('month', posting_date) AS DATE)) AS delivery_month,
    amount_oere
FROM {{ source('canonical', 'posting') }}
WHERE NOT withdrawn
