SELECT proposal_id, process, timing FROM {{ source('ledger', 'proposal') }}
