SELECT proposal_id, service_line_id, delivery_month, counterparty, reason FROM {{ source('ledger', 'parked_line') }}
