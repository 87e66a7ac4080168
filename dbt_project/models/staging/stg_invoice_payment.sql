SELECT * FROM {{ source('ledger', 'invoice_payment') }}
