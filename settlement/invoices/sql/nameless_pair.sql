-- Grain: one charge that names nobody × one commitment it is found to be for. Such charges are alike where sender, kind of
-- service, receiving department, period and amount are: they are paired with the open commitments that are alike too, where
-- there are as many of both; and one charge alone is for all that are left, where their sum is its amount.
WITH
charge AS (
    SELECT g.charge_no, g.sender_cvr, g.item_words, d.department, g.from_date, g.to_date, g.from_month AS delivery_month, g.amount_oere
    FROM nameless AS n
    JOIN charged AS g ON g.charge_no = n.charge_no AND g.from_month = g.to_month
    JOIN department_ean AS d ON d.ean = g.receiver_ean
    WHERE NOT n.names_a_stranger AND g.kind = 'faktura'
),
period AS (SELECT DISTINCT sender_cvr, item_words, department, from_date, to_date, delivery_month FROM charge),
-- What others are found to charge of the same days is not open.
taken AS (
    SELECT DISTINCT c.service_line_id, c.delivery_month, g.from_date, g.to_date
    FROM (FROM agreed UNION FROM chosen) AS a
    JOIN commitment AS c ON c.commitment_no = a.commitment_no
    JOIN charged AS g ON g.charge_no = a.charge_no
),
part AS (
    SELECT
        p.*, c.service_line_id, c.commitment_no,
        CASE WHEN p.from_date = p.delivery_month AND p.to_date = last_day(p.delivery_month) THEN c.agreed_oere ELSE s.amount_oere END AS amount_oere
    FROM period AS p
    JOIN commitment AS c ON c.sender_cvr = p.sender_cvr AND c.item_words = p.item_words AND c.department = p.department
        AND c.delivery_month = p.delivery_month
    JOIN remaining AS r ON r.service_line_id = c.service_line_id AND r.delivery_month = c.delivery_month AND r.remaining_oere > 0
    LEFT JOIN share AS s ON s.commitment_no = c.commitment_no AND s.from_date = p.from_date AND s.to_date = p.to_date
    ANTI JOIN taken AS t ON t.service_line_id = c.service_line_id AND t.delivery_month = c.delivery_month
        AND t.from_date <= p.to_date AND t.to_date >= p.from_date
),
open_line AS (
    SELECT sender_cvr, item_words, department, from_date, to_date, service_line_id, sum(amount_oere) AS amount_oere,
        list(commitment_no) AS commitments
    FROM part WHERE amount_oere IS NOT NULL GROUP BY sender_cvr, item_words, department, from_date, to_date, service_line_id
),
alike_open AS (
    SELECT *, row_number() OVER (alike ORDER BY service_line_id) AS place, count(*) OVER alike AS many FROM open_line
    WINDOW alike AS (PARTITION BY sender_cvr, item_words, department, from_date, to_date, amount_oere)
),
alike_charge AS (
    SELECT *, row_number() OVER (alike ORDER BY charge_no) AS place, count(*) OVER alike AS many FROM charge
    WINDOW alike AS (PARTITION BY sender_cvr, item_words, department, from_date, to_date, amount_oere)
),
paired AS (
    SELECT c.charge_no, c.from_date, c.to_date, o.service_line_id, o.commitments
    FROM alike_charge AS c
    JOIN alike_open AS o USING (sender_cvr, item_words, department, from_date, to_date, amount_oere, place, many)
),
together AS (
    SELECT o.sender_cvr, o.item_words, o.department, o.from_date, o.to_date, sum(o.amount_oere) AS amount_oere,
        flatten(list(o.commitments)) AS commitments
    FROM open_line AS o
    ANTI JOIN paired AS p ON p.service_line_id = o.service_line_id AND p.from_date <= o.to_date AND p.to_date >= o.from_date
    GROUP BY o.sender_cvr, o.item_words, o.department, o.from_date, o.to_date HAVING count(*) > 1
),
alone AS (
    SELECT c.* FROM charge AS c ANTI JOIN paired AS p ON p.charge_no = c.charge_no
    QUALIFY count(*) OVER (PARTITION BY c.sender_cvr, c.item_words, c.department, c.from_date, c.to_date) = 1
)
SELECT charge_no, unnest(commitments) AS commitment_no FROM paired
UNION ALL
SELECT a.charge_no, unnest(t.commitments)
FROM alone AS a JOIN together AS t USING (sender_cvr, item_words, department, from_date, to_date, amount_oere)
