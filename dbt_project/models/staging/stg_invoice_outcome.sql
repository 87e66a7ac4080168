SELECT * FROM {{ source('invoice', 'invoice_outcome') }}
