SELECT document_id, net_dkk, paid_dkk FROM {{ ref('invoice_payment') }} WHERE abs(paid_dkk) > abs(net_dkk)
