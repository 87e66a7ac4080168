-- Grain: one charge, and the terms that hold for it: those of its sender and kind of service, else of the sender, else of the
-- kind of service, else of all, in force on the first day it charges.
SELECT DISTINCT ON (g.charge_no)
    g.charge_no, t.tolerance_oere, t.tolerance_pct_e2, t.tolerance_units_e4, t.on_price, t.automatic_limit_oere
FROM charged AS g
JOIN terms AS t ON t.sender_cvr IN ('', g.sender_cvr) AND g.from_date BETWEEN t.valid_from AND t.valid_to
    AND (t.item_code = '' OR t.item_code IN (SELECT item_code FROM catalogue_item WHERE spoken(name) = g.item_words))
ORDER BY g.charge_no, t.sender_cvr DESC, t.item_code DESC, t.valid_from DESC
