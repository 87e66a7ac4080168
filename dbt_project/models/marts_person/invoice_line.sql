SELECT
    {{ build_id() }} AS build_id,
    line.document_id,
    line.line_number,
    coalesce(line.item_name, '') AS item_name,
    coalesce(line.note, '') AS note,
    coalesce(line.order_reference, '') AS order_reference,
    coalesce(charged.from_date, line.period_from) AS period_from,
    coalesce(charged.to_date, line.period_to) AS period_to,
    coalesce(charged.item_words, '') AS item_words,
    CAST(line.quantity_e10 * CAST(0.0000000001 AS DECIMAL(12, 10)) AS DECIMAL(28, 10)) AS quantity,
    coalesce(line.unit_code, '') AS unit_code,
    CAST(line.price_e10 * CAST(0.0000000001 AS DECIMAL(12, 10)) AS DECIMAL(28, 10)) AS unit_price,
    {{ kroner('outcome.amount_oere') }} AS amount_dkk,
    {{ kroner('outcome.expected_oere') }} AS expected_dkk,
    {{ kroner('coalesce(outcome.pay_oere, 0)') }} AS pay_dkk,
    outcome.reason,
    outcome.found_by
FROM {{ ref('stg_incoming_invoice_line') }} AS line
JOIN {{ ref('stg_invoice_line_outcome') }} AS outcome
    ON outcome.document_id = line.document_id AND outcome.line_number = line.line_number
LEFT JOIN {{ ref('stg_invoice_charged') }} AS charged ON charged.charge_no = outcome.charge_no
