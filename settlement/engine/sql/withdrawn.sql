-- Grain: one line of a withdrawal: a line of the booked document, with the opposite sign.
-- What the document's lines are worth now is the next run's matter: it finds nothing booked.
SELECT
    g.service_line_id, g.delivery_month, -g.quantity_num AS quantity_num, g.quantity_den, g.price_oere,
    -g.amount_oere AS amount_oere, -g.vat_oere AS vat_oere, g.counterparty, g.account, true AS is_adjustment,
    g.document_number AS corrects, '' AS rate_source
FROM ledger_line AS g JOIN run AS r ON r.process = g.process AND r.document_number = g.document_number
-- An earlier system's documents (below line 1) are not ours to withdraw.
WHERE g.line_number > 0
