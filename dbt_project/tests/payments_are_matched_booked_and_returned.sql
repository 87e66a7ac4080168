-- Σ matched = Σ approved (booked) = Σ returned (posted in debit), and what the mart shows as paid: rows are where they differ.
WITH
matched AS (
    SELECT run_no, document_number, sum(amount_oere + vat_oere) AS oere FROM {{ source('ledger', 'invoice_payment') }} GROUP BY run_no, document_number
),
booked AS (
    SELECT run_no, document_number, sum(amount_oere + vat_oere) AS oere
    FROM {{ source('ledger', 'ledger_line') }} WHERE process = 'faktura' AND run_no > 0 GROUP BY run_no, document_number
),
returned AS (
    SELECT p.run_no, p.document_number, sum(p.amount_oere) AS oere
    FROM {{ source('ledger', 'posting') }} AS p
    SEMI JOIN matched AS m ON m.run_no = p.run_no AND m.document_number = p.document_number
    WHERE p.side = 'debet' GROUP BY p.run_no, p.document_number
)
SELECT coalesce(m.document_number, b.document_number) AS document_number, m.oere AS matched_oere, b.oere AS booked_oere, r.oere AS returned_oere
FROM matched AS m
FULL JOIN booked AS b ON b.run_no = m.run_no AND b.document_number = m.document_number
LEFT JOIN returned AS r ON r.run_no = m.run_no AND r.document_number = m.document_number
WHERE m.oere IS DISTINCT FROM b.oere OR coalesce(r.oere, 0) IS DISTINCT FROM m.oere
UNION ALL
SELECT 'vist', CAST(sum(paid_dkk) * 100 AS BIGINT), (SELECT sum(amount_oere) FROM {{ source('ledger', 'invoice_payment') }}), 0
FROM {{ ref('invoice_payment') }}
HAVING sum(paid_dkk) * 100 <> coalesce((SELECT sum(amount_oere) FROM {{ source('ledger', 'invoice_payment') }}), 0)
