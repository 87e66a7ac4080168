SELECT run_no, document_number, account, side, amount_oere FROM {{ source('ledger', 'posting') }}
