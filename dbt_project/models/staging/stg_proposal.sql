SELECT proposal_id, process, timing FROM {{ source('ledger', 'proposal') }} WHERE only_counterparty = '' AND withdraws = ''
