-- What a line is to be paid for, what it may be for, and what it was paid for. By invoice, so that the page reads one quickly.
WITH
found AS (
    SELECT
        charged.document_id, charged.line_number, claim.service_line_id, claim.delivery_month, claim.price_oere, claim.account,
        'betales' AS role, claim.expected_oere AS agreed_oere, claim.amount_oere AS amount_oere, claim.quantity_num, claim.quantity_den
    FROM {{ ref('stg_invoice_claim') }} AS claim
    JOIN {{ ref('stg_invoice_charged') }} AS charged ON charged.charge_no = claim.charge_no
    UNION ALL
    SELECT
        charged.document_id, charged.line_number, fit.service_line_id, fit.delivery_month, fit.price_oere, fit.account,
        'mulig', fit.expected_oere, 0, fit.quantity_num, fit.quantity_den
    FROM {{ ref('stg_invoice_fit') }} AS fit
    JOIN {{ ref('stg_invoice_charged') }} AS charged ON charged.charge_no = fit.charge_no
    ANTI JOIN {{ ref('stg_invoice_claim') }} AS claim ON claim.charge_no = fit.charge_no
    UNION ALL
    SELECT document_id, line_number, service_line_id, delivery_month, price_oere, account, 'betalt', agreed_oere, amount_oere, NULL, 1
    FROM {{ ref('stg_invoice_payment') }}
)

SELECT
    {{ build_id() }} AS build_id,
    found.document_id,
    found.line_number,
    found.role,
    line.cpr,
    found.service_line_id,
    coalesce(line.item_code, '') AS item_code,
    line.item_name,
    coalesce(line.offer_name, '') AS offer_name,
    line.unit,
    line.department,
    line.start_date,
    line.end_date,
    found.delivery_month,
    found.account,
    {{ kroner('found.price_oere') }} AS price_dkk,
    {{ rounded_ratio('found.quantity_num', 'found.quantity_den', 4, 'DECIMAL(18, 4)') }} AS quantity,
    {{ kroner('found.agreed_oere') }} AS agreed_dkk,
    {{ kroner('found.amount_oere') }} AS amount_dkk,
    {{ kroner('remaining.booked_oere') }} AS booked_dkk,
    {{ kroner('remaining.remaining_oere') }} AS remaining_dkk
FROM found
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = found.service_line_id
LEFT JOIN {{ ref('stg_invoice_remaining') }} AS remaining
    ON remaining.service_line_id = found.service_line_id AND remaining.delivery_month = found.delivery_month
ORDER BY found.document_id, found.line_number
