-- Grain: one charge that agrees in all but the price: of one commitment, whose quantity it charges at another price. What the
-- municipality's terms say of such a charge stands in `on_price`: som_faktureret, som_aftalt or intet.
WITH
single AS (FROM fit QUALIFY count(*) OVER (PARTITION BY charge_no) = 1)
SELECT f.charge_no, f.commitment_no, f.expected_oere, t.on_price
FROM single AS f
JOIN charged AS g ON g.charge_no = f.charge_no
JOIN allowed AS t ON t.charge_no = f.charge_no
WHERE g.kind = 'faktura' AND f.charge_no NOT IN (SELECT charge_no FROM agreed)
AND abs(g.quantity_e10 - (CAST(f.quantity_num AS HUGEINT) * 10000000000) // f.quantity_den) <= 1000000 + CAST(t.tolerance_units_e4 AS HUGEINT) * 1000000
AND g.price_e10 <> CAST(f.price_oere AS HUGEINT) * 100000000
