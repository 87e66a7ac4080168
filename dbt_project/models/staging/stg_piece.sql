SELECT
    process,
    service_line_id,
    package_id,
    timing,
    delivery_month,
    price_oere,
    coalesce(counterparty, '') AS counterparty,
    coalesce(account, '') AS account,
    quantity_num,
    quantity_den,
    amount_oere,
    process <> 'ingen' AS is_settled
FROM {{ source('settlement', 'piece') }}
