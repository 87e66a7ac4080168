-- Grain: one line of the run: what is different and not late.
SELECT
    d.process, d.service_line_id, d.package_id, d.cpr, d.delivery_month, d.quantity_num, d.quantity_den, d.price_oere,
    d.amount_oere, d.vat_oere, d.vat_pct_e2, d.counterparty, d.account, d.is_adjustment, d.corrects, d.item_name, d.unit,
    d.requisition, d.line_source, d.rate_source
FROM difference AS d LEFT JOIN late AS t
    ON t.service_line_id = d.service_line_id AND t.delivery_month = d.delivery_month AND t.counterparty = d.counterparty
WHERE t.service_line_id IS NULL
