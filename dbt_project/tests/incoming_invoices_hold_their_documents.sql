-- Every document counts once, and what they ask for, credit notes taken off, is the mart's sum.
WITH
mart AS (
    SELECT
        coalesce(sum(invoices + credit_notes), 0) AS documents,
        coalesce(sum(payable_amount), 0) AS payable_amount
    FROM {{ ref('incoming_invoice_month') }}
),

source AS (
    SELECT
        count(*) AS documents,
        {{ kroner("coalesce(sum(CASE kind WHEN 'kreditnota' THEN -payable_oere ELSE payable_oere END), 0)") }} AS payable_amount
    FROM {{ source('canonical', 'incoming_invoice') }}
    WHERE NOT withdrawn
)

SELECT 'documents' AS broken
FROM mart
CROSS JOIN source
WHERE mart.documents <> source.documents OR mart.payable_amount <> source.payable_amount
