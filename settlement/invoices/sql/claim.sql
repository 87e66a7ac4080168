-- Grain: one charge × one service line, month, price and account it is to be paid for, if anything is left of what was agreed.
-- What a person has chosen goes before all else; then charges in the order they were received, credit notes last.
-- `amount_oere` is what is paid; on one commitment of a charge it holds what tolerance or terms let the charge differ.
WITH
found AS (
    SELECT charge_no, commitment_no, 'aftale' AS found_by FROM agreed
    UNION ALL SELECT charge_no, commitment_no, 'ens' FROM nameless_pair
    UNION ALL SELECT charge_no, commitment_no, on_price FROM priced WHERE on_price <> 'intet'
    UNION ALL SELECT charge_no, commitment_no, 'kredit' FROM credited
    UNION ALL SELECT charge_no, commitment_no, 'person' FROM chosen
),
of_charge AS (
    SELECT
        f.charge_no, f.found_by, c.commitment_no, c.service_line_id, c.delivery_month, c.price_oere, c.account, c.vat_pct_e2, c.cpr,
        coalesce(k.quantity_num, x.quantity_num, s.quantity_num, c.quantity_num) AS quantity_num,
        coalesce(k.quantity_den, x.quantity_den, s.quantity_den, c.quantity_den) AS quantity_den,
        coalesce(k.amount_oere, x.expected_oere, s.amount_oere, c.agreed_oere) AS expected_oere
    FROM found AS f
    JOIN commitment AS c ON c.commitment_no = f.commitment_no
    JOIN charged AS g ON g.charge_no = f.charge_no
    LEFT JOIN share AS s ON s.commitment_no = f.commitment_no AND s.from_date = g.from_date AND s.to_date = g.to_date
    LEFT JOIN fit AS x ON x.charge_no = f.charge_no AND x.commitment_no = f.commitment_no
    LEFT JOIN credited AS k ON k.charge_no = f.charge_no AND k.commitment_no = f.commitment_no
),
settled AS (
    SELECT
        o.*, g.received, g.kind, g.sender_cvr, g.from_date,
        CASE WHEN o.commitment_no = max(o.commitment_no) OVER (PARTITION BY o.charge_no) AND o.found_by <> 'som_aftalt'
            THEN g.amount_oere - sum(o.expected_oere) OVER (PARTITION BY o.charge_no) ELSE 0 END AS difference_oere
    FROM of_charge AS o JOIN charged AS g ON g.charge_no = o.charge_no
),
placed AS (
    SELECT
        s.*, CAST(s.expected_oere + s.difference_oere AS BIGINT) AS amount_oere,
        sum(s.expected_oere) OVER (
            PARTITION BY s.service_line_id, s.delivery_month
            ORDER BY (s.found_by <> 'person'), (s.kind = 'kreditnota'), s.received, s.charge_no, s.commitment_no
        ) AS through_oere
    FROM settled AS s
)
SELECT
    p.charge_no, p.found_by, p.commitment_no, p.service_line_id, p.delivery_month, p.price_oere, p.account, p.vat_pct_e2,
    p.quantity_num, p.quantity_den, CAST(p.expected_oere AS BIGINT) AS expected_oere, p.amount_oere,
    CAST(p.difference_oere AS BIGINT) AS difference_oere,
    p.kind = 'kreditnota' OR p.found_by = 'person' OR p.through_oere <= r.remaining_oere AS is_covered,
    EXISTS (
        FROM hold AS h WHERE p.delivery_month >= h.from_month AND coalesce(h.service_line_id, p.service_line_id) = p.service_line_id
        AND coalesce(h.counterparty, p.sender_cvr) = p.sender_cvr
    ) AS is_held,
    -- The register knew of the death before the first day charged, whatever the case system says; a person may still decide.
    p.found_by <> 'person' AND p.kind = 'faktura' AND EXISTS (
        FROM citizen_state AS s WHERE s.cpr = p.cpr AND s.status = 'doed' AND s.from_date < p.from_date
    ) AS was_dead
FROM placed AS p
JOIN remaining AS r ON r.service_line_id = p.service_line_id AND r.delivery_month = p.delivery_month
