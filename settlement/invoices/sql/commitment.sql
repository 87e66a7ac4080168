-- Grain: one commitment that an invoice can be matched with: a piece (settlement.md § 5) of process faktura, at an offer
-- whose owner's CVR number is the sender's, in a month that some invoice charges.
SELECT
    row_number() OVER () AS commitment_no, offer.cvr AS sender_cvr, piece.service_line_id, piece.delivery_month,
    piece.price_oere, piece.account, piece.quantity_num, piece.quantity_den, piece.amount_oere AS agreed_oere,
    piece.vat_pct_e2, line.item_code, spoken(item.name) AS item_words, item.unit, line.package_id, package.cpr,
    package.department
FROM piece
JOIN service_line AS line ON line.service_line_id = piece.service_line_id
JOIN service_package AS package ON package.package_id = line.package_id
JOIN catalogue_item AS item ON item.item_code = line.item_code
JOIN offer_owner AS offer ON offer.offer_id = line.offer_id
-- § 4: of a line and month that is parked nothing is booked, so nothing is paid.
ANTI JOIN blocked ON blocked.service_line_id = piece.service_line_id AND blocked.delivery_month = piece.delivery_month
ANTI JOIN refused_line ON refused_line.service_line_id = piece.service_line_id
WHERE piece.process = 'faktura' AND piece.price_oere IS NOT NULL
AND piece.delivery_month BETWEEN
    least((SELECT min(from_month) FROM charged), (SELECT min(delivery_month) FROM paid_line))
    AND greatest((SELECT max(to_month) FROM charged), (SELECT max(delivery_month) FROM paid_line))
