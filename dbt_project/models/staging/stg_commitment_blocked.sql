SELECT
    process,
    service_line_id,
    delivery_month,
    account,
    reason,
    is_projected
FROM {{ source('settlement', 'commitment_blocked') }}
