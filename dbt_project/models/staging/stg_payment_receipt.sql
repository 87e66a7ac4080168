SELECT
    receipt_id,
    voucher,
    status,
    coalesce(finance_voucher, '') AS finance_voucher,
    posting_date,
    amount_oere,
    coalesce(reason, '') AS reason,
    load_id
FROM {{ source('canonical', 'payment_receipt') }}
WHERE NOT withdrawn
