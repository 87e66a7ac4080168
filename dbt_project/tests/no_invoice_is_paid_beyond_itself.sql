SELECT document_id, line_number, sum(amount_oere) AS paid_oere, any_value(invoiced_oere) AS invoiced_oere
FROM {{ ref('stg_invoice_payment') }}
GROUP BY document_id, line_number
HAVING abs(sum(amount_oere)) > abs(any_value(invoiced_oere))
