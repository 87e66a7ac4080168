WITH
line AS (
    SELECT document_id, count(*) AS lines, count(*) FILTER (WHERE has_reference) AS lines_with_reference
    FROM {{ ref('stg_incoming_invoice_line') }}
    GROUP BY document_id
)

SELECT
    {{ build_id() }} AS build_id,
    CAST(date_trunc('month', invoice.issue_date) AS DATE) AS month,
    invoice.sender_cvr,
    max(invoice.sender_name) AS sender_name,
    invoice.currency,
    count(*) FILTER (WHERE invoice.kind = 'faktura') AS invoices,
    count(*) FILTER (WHERE invoice.kind = 'kreditnota') AS credit_notes,
    CAST(coalesce(sum(line.lines), 0) AS BIGINT) AS lines,
    CAST(coalesce(sum(line.lines_with_reference), 0) AS BIGINT) AS lines_with_reference,
    {{ kroner('sum(invoice.net_oere)') }} AS net_amount,
    {{ kroner('sum(invoice.allowance_oere)') }} AS allowance_amount,
    {{ kroner('sum(invoice.vat_oere)') }} AS vat_amount,
    {{ kroner('sum(invoice.payable_oere)') }} AS payable_amount
FROM {{ ref('stg_incoming_invoice') }} AS invoice
LEFT JOIN line ON line.document_id = invoice.document_id
GROUP BY date_trunc('month', invoice.issue_date), invoice.sender_cvr, invoice.currency
