SELECT number, kind, name FROM {{ source('ledger', 'document') }}
