-- Grain: one charge of a credit note × one commitment it credits, with the amount below 0: of the invoice it corrects, as that
-- was paid or is found now; of the citizens it names and the kind of service it speaks of, where it does.
WITH
original AS (
    SELECT i.document_id, i.sender_cvr, i.document_number FROM invoice AS i WHERE i.kind = 'faktura'
    AND i.document_id NOT IN (SELECT document_id FROM duplicate)
),
found_now AS (
    SELECT a.charge_no, a.commitment_no FROM agreed AS a UNION ALL SELECT charge_no, commitment_no FROM nameless_pair
),
of_original AS (
    SELECT g.document_id, f.commitment_no, g.item_words, sum(coalesce(x.expected_oere, s.amount_oere, c.agreed_oere)) AS amount_oere
    FROM found_now AS f
    JOIN charged AS g ON g.charge_no = f.charge_no
    JOIN commitment AS c ON c.commitment_no = f.commitment_no
    LEFT JOIN fit AS x ON x.charge_no = f.charge_no AND x.commitment_no = f.commitment_no
    LEFT JOIN share AS s ON s.commitment_no = f.commitment_no AND s.from_date = g.from_date AND s.to_date = g.to_date
    GROUP BY g.document_id, f.commitment_no, g.item_words
    UNION ALL
    SELECT p.document_id, c.commitment_no, c.item_words, sum(p.amount_oere)
    FROM paid_line AS p
    JOIN commitment AS c ON c.service_line_id = p.service_line_id AND c.delivery_month = p.delivery_month
        AND c.price_oere = p.price_oere AND c.account = p.account
    GROUP BY p.document_id, c.commitment_no, c.item_words
),
pair AS (
    SELECT
        g.charge_no, g.amount_oere AS charge_oere, g.quantity_e10, g.price_e10, f.commitment_no, f.amount_oere, c.price_oere,
        n.cpr IS NOT NULL AS is_named, f.item_words = g.item_words AS is_item
    FROM charged AS g
    JOIN original AS o ON o.sender_cvr = g.sender_cvr AND number_key(o.document_number) = number_key(g.corrects_number)
    JOIN of_original AS f ON f.document_id = o.document_id
    JOIN commitment AS c ON c.commitment_no = f.commitment_no
    LEFT JOIN (SELECT DISTINCT charge_no, cpr FROM named) AS n ON n.charge_no = g.charge_no AND n.cpr = c.cpr
    WHERE g.kind = 'kreditnota'
    AND (n.cpr IS NOT NULL OR g.charge_no IN (SELECT charge_no FROM nameless WHERE NOT names_a_stranger))
),
narrow AS (FROM pair QUALIFY is_item OR NOT bool_or(is_item) OVER (PARTITION BY charge_no)),
whole AS (
    SELECT *, sum(amount_oere) OVER (PARTITION BY charge_no) AS all_oere, count(*) OVER (PARTITION BY charge_no) AS many FROM narrow
)
SELECT
    charge_no, commitment_no,
    CAST(CASE WHEN all_oere = -charge_oere THEN -amount_oere ELSE charge_oere END AS BIGINT) AS amount_oere,
    CASE WHEN price_e10 = CAST(price_oere AS HUGEINT) * 100000000 AND many = 1 THEN -abs(quantity_e10) // gcd(abs(quantity_e10), 10000000000) ELSE 0 END
        AS quantity_num,
    CASE WHEN price_e10 = CAST(price_oere AS HUGEINT) * 100000000 AND many = 1 THEN 10000000000 // gcd(abs(quantity_e10), 10000000000) ELSE 1 END
        AS quantity_den
FROM whole
WHERE charge_oere < 0 AND (all_oere = -charge_oere OR (many = 1 AND amount_oere >= -charge_oere))
