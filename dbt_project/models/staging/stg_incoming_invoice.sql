-- A credit note's amounts are positive on the document; what it takes back counts negative.
-- A supplier that is a private person is shown by a key.
SELECT
    document_id,
    CASE WHEN {{ sender_is_person() }} THEN {{ person_key('sender_cvr') }} ELSE sender_cvr END AS sender_cvr,
    kind,
    document_number,
    CASE WHEN {{ sender_is_person() }} THEN NULL ELSE sender_name END AS sender_name,
    format,
    issue_date,
    due_date,
    dated AS received,
    receiver_ean,
    currency,
    order_reference IS NOT NULL AS has_reference,
    CASE kind WHEN 'kreditnota' THEN -net_oere ELSE net_oere END AS net_oere,
    CASE kind WHEN 'kreditnota' THEN -coalesce(allowance_oere, 0) ELSE coalesce(allowance_oere, 0) END AS allowance_oere,
    CASE kind WHEN 'kreditnota' THEN -coalesce(vat_oere, 0) ELSE coalesce(vat_oere, 0) END AS vat_oere,
    CASE kind WHEN 'kreditnota' THEN -payable_oere ELSE payable_oere END AS payable_oere
FROM {{ source('canonical', 'incoming_invoice') }}
WHERE NOT withdrawn
