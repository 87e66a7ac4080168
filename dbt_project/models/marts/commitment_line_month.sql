SELECT
    {{ build_id() }} AS build_id,
    commitment.service_line_id,
    commitment.month,
    commitment.process,
    commitment.account,
    line.item_code,
    line.item_name,
    line.department,
    {{ kroner('commitment.expected_oere') }} AS expected_dkk,
    {{ kroner('commitment.projected_oere') }} AS projected_dkk,
    {{ kroner('commitment.realised_oere') }} AS realised_dkk,
    {{ kroner('commitment.remaining_oere') }} AS remaining_dkk
FROM {{ ref('int_commitment_line_month') }} AS commitment
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = commitment.service_line_id
