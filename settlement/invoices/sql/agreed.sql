-- Grain: one charge × one commitment it is found to be for. A charge agrees with a set of commitments whose sum is its amount
-- within the tolerance: all that it may be for, else those of its price, else those of one service line, where only one does.
WITH
part AS (
    SELECT charge_no, commitment_no, expected_oere, 1 AS tier, '' AS part FROM fit
    UNION ALL
    SELECT f.charge_no, f.commitment_no, f.expected_oere, 2, '' FROM fit AS f JOIN charged AS g ON g.charge_no = f.charge_no
    WHERE NOT f.is_all AND CAST(f.price_oere AS HUGEINT) * 100000000 = g.price_e10
    UNION ALL
    SELECT charge_no, commitment_no, expected_oere, 3, service_line_id FROM fit WHERE NOT is_all
),
summed AS (
    SELECT p.charge_no, p.tier, p.part, sum(p.expected_oere) AS expected_oere, list(p.commitment_no ORDER BY p.commitment_no) AS commitments
    FROM part AS p GROUP BY p.charge_no, p.tier, p.part
),
holding AS (
    SELECT DISTINCT ON (s.charge_no, s.commitments) s.charge_no, s.tier, s.commitments
    FROM summed AS s JOIN charged AS g ON g.charge_no = s.charge_no JOIN allowed AS t ON t.charge_no = s.charge_no
    WHERE g.kind = 'faktura' AND abs(g.amount_oere - s.expected_oere) <= greatest(t.tolerance_oere, abs(s.expected_oere) * t.tolerance_pct_e2 // 10000)
    ORDER BY s.charge_no, s.commitments, s.tier
),
chosen AS (
    SELECT charge_no, commitments FROM holding
    QUALIFY tier = min(tier) OVER (PARTITION BY charge_no) AND count(*) OVER (PARTITION BY charge_no, tier) = 1
)
SELECT charge_no, unnest(commitments) AS commitment_no FROM chosen
