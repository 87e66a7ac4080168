SELECT
    document_id,
    line_number,
    item_name,
    note,
    order_reference,
    order_reference IS NOT NULL AS has_reference,
    period_from,
    period_to,
    quantity_e10,
    unit_code,
    price_e10
FROM {{ source('canonical', 'incoming_invoice_line') }}
WHERE NOT withdrawn
