-- Grain: one commitment × one stretch of days (not its whole month) that some charge it may be for charges: the quantity those
-- days have by the engine's weights, and its amount, rounded as a piece is (settlement.md § 5).
WITH
part AS (
    SELECT DISTINCT c.commitment_no, c.service_line_id, c.delivery_month, c.price_oere, c.account, c.unit, g.from_date, g.to_date
    FROM candidate AS f
    JOIN charged AS g ON g.charge_no = f.charge_no
    JOIN commitment AS c ON c.commitment_no = f.commitment_no
    WHERE g.from_date > c.delivery_month OR g.to_date < last_day(c.delivery_month)
    UNION
    SELECT c.commitment_no, c.service_line_id, c.delivery_month, c.price_oere, c.account, c.unit, n.from_date, n.to_date
    FROM (
        SELECT DISTINCT g.sender_cvr, g.item_words, d.department, g.from_date, g.to_date, g.from_month
        FROM nameless AS n
        JOIN charged AS g ON g.charge_no = n.charge_no AND g.from_month = g.to_month
        JOIN department_ean AS d ON d.ean = g.receiver_ean
        WHERE NOT n.names_a_stranger AND (g.from_date > g.from_month OR g.to_date < last_day(g.from_month))
    ) AS n
    JOIN commitment AS c ON c.sender_cvr = n.sender_cvr AND c.item_words = n.item_words AND c.department = n.department
        AND c.delivery_month = n.from_month
),
-- Weights of a stretch are even over its days; only weekdays and thirtieths have a calendar of their own.
stretch AS (
    SELECT
        p.commitment_no, p.from_date, p.to_date, p.price_oere, p.unit, w.quantity_e4, w.absence_pct_e2, w.basis, w.from_day, w.to_day,
        w.weight, greatest(w.from_day, date_diff('day', DATE '1970-01-01', p.from_date)) AS a,
        least(w.to_day, date_diff('day', DATE '1970-01-01', p.to_date)) AS b
    FROM part AS p
    JOIN day_weight AS w ON w.service_line_id = p.service_line_id AND w.delivery_month = p.delivery_month
        AND w.price_oere = p.price_oere AND w.account = p.account
    WHERE p.unit <> 'leveret'
),
weighed AS (
    SELECT
        s.*,
        CASE
            WHEN s.a = s.from_day AND s.b = s.to_day THEN s.weight
            WHEN s.unit = 'hverdag' THEN through_b.weekdays - before_a.weekdays
            WHEN s.weight = s.to_day - s.from_day + 1 THEN s.b - s.a + 1
            WHEN s.unit = 'maaned' AND s.basis = 30 THEN through_b.thirtieths - before_a.thirtieths
            WHEN s.a = s.from_day THEN s.weight
            ELSE 0
        END AS part_weight
    FROM stretch AS s
    JOIN calendar_day AS before_a ON before_a.day = s.a - 1
    JOIN calendar_day AS through_b ON through_b.day = s.b
    WHERE s.a <= s.b
),
quantity AS (
    SELECT
        commitment_no, from_date, to_date, price_oere, sum(CAST(quantity_e4 AS HUGEINT) * part_weight * absence_pct_e2) AS num,
        CAST(basis AS HUGEINT) * 100000000 AS den
    FROM weighed GROUP BY commitment_no, from_date, to_date, price_oere, basis
    UNION ALL
    SELECT p.commitment_no, p.from_date, p.to_date, p.price_oere, sum(r.quantity_e4), 10000
    FROM part AS p
    JOIN registration AS r ON r.service_line_id = p.service_line_id AND r.date BETWEEN p.from_date AND p.to_date
        AND date_trunc('month', r.date) = p.delivery_month AND NOT r.withdrawn
    WHERE p.unit = 'leveret' GROUP BY p.commitment_no, p.from_date, p.to_date, p.price_oere
),
reduced AS (
    SELECT commitment_no, from_date, to_date, price_oere, CAST(num // gcd(num, den) AS BIGINT) AS num, CAST(den // gcd(num, den) AS BIGINT) AS den
    FROM quantity WHERE num <> 0
)
SELECT
    commitment_no, from_date, to_date, num AS quantity_num, den AS quantity_den,
    CAST(CASE WHEN num < 0 THEN -1 ELSE 1 END * ((2 * abs(CAST(num AS HUGEINT) * price_oere) + den) // (2 * CAST(den AS HUGEINT))) AS BIGINT)
        AS amount_oere
FROM reduced
