SELECT
    sender_cvr,
    kind,
    document_number,
    line_number,
    order_reference IS NOT NULL AS has_reference
FROM {{ source('canonical', 'incoming_invoice_line') }}
WHERE NOT withdrawn
