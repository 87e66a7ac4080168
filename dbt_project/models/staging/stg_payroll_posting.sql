SELECT
    payroll_posting_id,
    coalesce(wage_group, '') AS wage_group,
    coalesce(department, '') AS department,
    coalesce(offer_id, '') AS offer_id,
    month,
    account,
    amount_oere,
    hours_e4
FROM {{ source('canonical', 'payroll_posting') }}
WHERE NOT withdrawn
