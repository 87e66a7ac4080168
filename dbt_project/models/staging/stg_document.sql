SELECT run_no, number, kind, name FROM {{ source('ledger', 'document') }}
