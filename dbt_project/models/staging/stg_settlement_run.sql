SELECT run_no, accounting_year, accounting_period FROM {{ source('ledger', 'settlement_run') }}
