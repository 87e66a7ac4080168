SELECT
    {{ build_id() }} AS build_id,
    greatest(booked.run_no, 0) AS run_no,
    booked.line_number,
    booked.process,
    booked.document_number,
    document.kind AS document_kind,
    booked.booking_date,
    run.accounting_year,
    run.accounting_period,
    booked.service_line_id,
    booked.package_id,
    {{ person_key('booked.cpr') }} AS person_key,
    booked.delivery_month,
    {{ rounded_ratio('booked.quantity_num', 'booked.quantity_den', 4, 'DECIMAL(18, 4)') }} AS quantity,
    {{ kroner('booked.price_oere') }} AS price_dkk,
    {{ kroner('booked.amount_oere') }} AS amount_dkk,
    {{ kroner('booked.vat_oere') }} AS vat_dkk,
    {{ public_counterparty('booked.process', 'booked.counterparty') }} AS counterparty,
    CASE WHEN {{ names_no_person('booked.process', 'booked.counterparty') }} THEN coalesce(nullif(document.name, ''), booked.counterparty) ELSE 'Borger' END
        AS counterparty_name,
    booked.account,
    booked.is_adjustment,
    booked.corrects,
    line.item_code,
    booked.item_name,
    line.law,
    line.paragraph,
    line.business_area,
    line.offer_id,
    line.offer_name,
    line.department
FROM {{ ref('stg_ledger_line') }} AS booked
JOIN {{ ref('stg_settlement_run') }} AS run ON run.run_no = booked.run_no
JOIN {{ ref('stg_document') }} AS document
    ON document.run_no = booked.run_no AND document.number = booked.document_number
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = booked.service_line_id
