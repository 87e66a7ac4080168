-- Grain: one charge × one commitment that a person has chosen for it.
SELECT DISTINCT g.charge_no, c.commitment_no
FROM chosen_line AS p
JOIN charged AS g ON g.document_id = p.document_id AND g.line_number = p.line_number
JOIN commitment AS c ON c.service_line_id = p.service_line_id AND c.delivery_month = p.delivery_month
