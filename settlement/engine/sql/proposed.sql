-- Grain: one line of the run, with what is known of its service line.
SELECT
    r.process, d.service_line_id, l.package_id, p.cpr, d.delivery_month, d.quantity_num, d.quantity_den, d.price_oere,
    d.amount_oere, d.vat_oere, i.vat_pct_e2, d.counterparty, d.account, d.is_adjustment, d.corrects,
    coalesce(i.name, i.item_code) AS item_name, i.unit, coalesce(p.requisition, '') AS requisition,
    concat(left(l.source_file, 16), ':', l.source_row) AS line_source, d.rate_source
FROM difference AS d
CROSS JOIN run AS r
JOIN service_line AS l ON l.service_line_id = d.service_line_id
JOIN service_package AS p ON p.package_id = l.package_id
JOIN catalogue_item AS i ON i.item_code = l.item_code
