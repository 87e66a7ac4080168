SELECT
    service_line_id,
    delivery_year,
    process,
    account,
    cause,
    is_late,
    {{ own_cost('process', 'opening_oere') }} AS opening_oere,
    {{ own_cost('process', 'change_oere') }} AS change_oere
FROM {{ source('settlement', 'commitment_change') }}
