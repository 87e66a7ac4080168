SELECT
    {{ build_id() }} AS build_id,
    change.service_line_id,
    change.delivery_year,
    change.process,
    change.account,
    change.cause,
    change.is_late,
    line.item_code,
    line.item_name,
    line.department,
    {{ kroner('change.opening_oere') }} AS opening_dkk,
    {{ kroner('change.change_oere') }} AS change_dkk,
    {{ kroner('change.opening_oere + change.change_oere') }} AS closing_dkk
FROM {{ ref('stg_commitment_change') }} AS change
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = change.service_line_id
