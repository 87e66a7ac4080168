SELECT
    process,
    service_line_id,
    package_id,
    delivery_month,
    account,
    {{ own_cost('process', 'amount_oere') }} AS cost_oere,
    is_projected
FROM {{ source('settlement', 'commitment') }}
