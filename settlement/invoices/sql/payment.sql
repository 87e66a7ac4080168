-- Grain: one ledger line of a payment: what an invoice line is paid for a service line, month, price and account; a difference
-- from the agreed that tolerance, terms or a person let through is a line of its own that says so. VAT follows the documents' own
-- øre where the whole document is paid: the largest line carries the rounding.
WITH
payable AS (
    SELECT o.document_id, o.agreeing = o.lines AS is_whole
    FROM invoice_outcome AS o WHERE o.outcome IN ('godkendt_automatisk', 'godkendt', 'delvist') AND o.agreeing > 0 AND o.pay_oere IS NOT NULL
),
part AS (
    SELECT
        i.document_id, i.sender_cvr, i.kind, i.document_number AS invoice_number, i.vat_oere AS invoice_vat_oere, p.is_whole,
        l.line_number, n.source_row, c.found_by, c.service_line_id, c.delivery_month, c.price_oere, c.account, c.vat_pct_e2,
        c.quantity_num, c.quantity_den, c.expected_oere, c.difference_oere, l.amount_oere AS invoiced_oere,
        row_number() OVER (PARTITION BY i.document_id, l.line_number ORDER BY c.commitment_no) AS part_no
    FROM claim AS c
    JOIN charged AS g ON g.charge_no = c.charge_no
    JOIN line_outcome AS l ON l.document_id = g.document_id AND l.line_number = g.line_number AND l.reason = ''
    JOIN invoice AS i ON i.document_id = g.document_id
    JOIN invoice_line AS n ON n.document_id = g.document_id AND n.line_number = g.line_number
    JOIN payable AS p ON p.document_id = i.document_id
),
line AS (
    SELECT *, expected_oere AS amount_oere, '' AS deviation FROM part
    UNION ALL
    SELECT * REPLACE (0 AS quantity_num, 1 AS quantity_den), difference_oere, CASE found_by
        WHEN 'som_faktureret' THEN 'pris som faktureret' WHEN 'person' THEN 'valgt af en person' ELSE 'inden for tolerancen' END
    FROM part WHERE difference_oere <> 0
),
taxed AS (
    SELECT *, CASE WHEN amount_oere < 0 THEN -1 ELSE 1 END * ((2 * abs(amount_oere) * vat_pct_e2 + 10000) // 20000) AS own_vat_oere
    FROM line
),
rounded AS (
    SELECT
        *, own_vat_oere + CASE WHEN is_whole AND row_number() OVER (PARTITION BY document_id ORDER BY abs(amount_oere) DESC, line_number, part_no) = 1
            THEN CASE WHEN kind = 'kreditnota' THEN -1 ELSE 1 END * coalesce(invoice_vat_oere, 0)
                - sum(own_vat_oere) OVER (PARTITION BY document_id) ELSE 0 END AS vat_oere
    FROM taxed
)
SELECT
    r.document_id, r.sender_cvr, r.kind, r.invoice_number, r.line_number, r.part_no, r.found_by, r.deviation, r.invoiced_oere,
    r.service_line_id, r.delivery_month, CAST(r.quantity_num AS BIGINT) AS quantity_num, CAST(r.quantity_den AS BIGINT) AS quantity_den,
    r.price_oere, CAST(r.amount_oere AS BIGINT) AS amount_oere, CAST(r.vat_oere AS BIGINT) AS vat_oere, r.vat_pct_e2, r.account,
    l.package_id, p.cpr, concat(i.name, CASE WHEN r.deviation <> '' THEN concat(' – ', r.deviation) ELSE '' END) AS item_name, i.unit,
    coalesce(p.requisition, '') AS requisition, concat(left(r.document_id, 16), ':', r.source_row) AS line_source
FROM rounded AS r
JOIN service_line AS l ON l.service_line_id = r.service_line_id
JOIN service_package AS p ON p.package_id = l.package_id
JOIN catalogue_item AS i ON i.item_code = l.item_code
