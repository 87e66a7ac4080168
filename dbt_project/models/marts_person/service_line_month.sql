SELECT
    {{ build_id() }} AS build_id,
    line.cpr,
    line.package_id,
    line.service_line_id,
    line.item_name,
    line.paragraph,
    line.offer_name,
    line.unit,
    month.process,
    month.counterparty,
    line.department,
    line.start_date,
    line.end_date,
    month.delivery_month,
    {{ rounded_ratio('month.quantity_num', 'month.quantity_den', 4, 'DECIMAL(18, 4)') }} AS quantity,
    {{ kroner('month.entitled_oere') }} AS entitled_dkk,
    {{ kroner('month.booked_oere') }} AS booked_dkk
FROM {{ ref('int_service_line_month') }} AS month
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = month.service_line_id
