-- What is paid, returned to the finance system and answered by it stands beside what matching says now.
WITH
paid AS (
    SELECT document_id, max(run_no) AS run_no, CAST(sum(amount_oere) AS BIGINT) AS amount_oere, {{ listed('document_number') }} AS vouchers
    FROM {{ ref('stg_invoice_payment') }} GROUP BY document_id
),
receipt AS (
    SELECT p.document_id, arg_max(r.status, r.load_id) AS status, {{ listed('r.finance_voucher') }} AS finance_vouchers, {{ listed('r.reason') }} AS reason
    FROM (SELECT DISTINCT document_id, document_number FROM {{ ref('stg_invoice_payment') }}) AS p
    JOIN {{ ref('stg_payment_receipt') }} AS r ON r.voucher = p.document_number
    GROUP BY p.document_id
)

SELECT
    {{ build_id() }} AS build_id,
    invoice.document_id,
    invoice.sender_cvr,
    coalesce(invoice.sender_name, '') AS sender_name,
    invoice.kind,
    invoice.format,
    invoice.document_number,
    invoice.issue_date,
    invoice.received,
    invoice.due_date,
    coalesce(department.department, '') AS department,
    {{ kroner('invoice.net_oere') }} AS net_dkk,
    {{ kroner('invoice.vat_oere') }} AS vat_dkk,
    {{ kroner('invoice.payable_oere') }} AS payable_dkk,
    outcome.outcome,
    outcome.reason,
    outcome.lines,
    outcome.agreeing AS agreeing_lines,
    {{ kroner('coalesce(outcome.pay_oere, 0)') }} AS ready_dkk,
    {{ kroner('coalesce(paid.amount_oere, 0)') }} AS paid_dkk,
    paid.run_no,
    coalesce(paid.vouchers, '') AS voucher,
    coalesce(receipt.status, '') AS receipt_status,
    coalesce(receipt.finance_vouchers, '') AS finance_voucher,
    coalesce(receipt.reason, '') AS receipt_reason
FROM {{ ref('stg_incoming_invoice') }} AS invoice
JOIN {{ ref('stg_invoice_outcome') }} AS outcome ON outcome.document_id = invoice.document_id
LEFT JOIN (SELECT ean, min(department) AS department FROM {{ ref('stg_department') }} WHERE ean IS NOT NULL GROUP BY ean) AS department
    ON department.ean = invoice.receiver_ean
LEFT JOIN paid ON paid.document_id = invoice.document_id
LEFT JOIN receipt ON receipt.document_id = invoice.document_id
