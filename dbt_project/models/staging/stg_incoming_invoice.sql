-- A credit note's amounts are positive on the document; what it takes back counts negative.
SELECT
    sender_cvr,
    kind,
    document_number,
    sender_name,
    issue_date,
    currency,
    order_reference IS NOT NULL AS has_reference,
    CASE kind WHEN 'kreditnota' THEN -net_oere ELSE net_oere END AS net_oere,
    CASE kind WHEN 'kreditnota' THEN -coalesce(vat_oere, 0) ELSE coalesce(vat_oere, 0) END AS vat_oere,
    CASE kind WHEN 'kreditnota' THEN -payable_oere ELSE payable_oere END AS payable_oere
FROM {{ source('canonical', 'incoming_invoice') }}
WHERE NOT withdrawn
