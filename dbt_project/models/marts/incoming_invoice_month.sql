WITH
line AS (
    SELECT sender_cvr, kind, document_number, count(*) AS lines, count(*) FILTER (WHERE has_reference) AS lines_with_reference
    FROM {{ ref('stg_incoming_invoice_line') }}
    GROUP BY sender_cvr, kind, document_number
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
    {{ kroner('sum(invoice.vat_oere)') }} AS vat_amount,
    {{ kroner('sum(invoice.payable_oere)') }} AS payable_amount
FROM {{ ref('stg_incoming_invoice') }} AS invoice
LEFT JOIN line
    ON line.sender_cvr = invoice.sender_cvr
    AND line.kind = invoice.kind
    AND line.document_number = invoice.document_number
GROUP BY date_trunc('month', invoice.issue_date), invoice.sender_cvr, invoice.currency
