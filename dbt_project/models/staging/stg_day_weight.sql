SELECT
    process,
    service_line_id,
    delivery_month,
    from_day,
    to_day,
    coalesce(payer, '') AS payer,
    coalesce(counterparty, '') AS counterparty,
    coalesce(account, '') AS account,
    price_oere
FROM {{ source('settlement', 'day_weight') }}
