-- Grain: one invoice or credit note: its outcome (OUTCOMES), the reason that weighs most, what may be paid of it now.
WITH
tax AS (
    SELECT g.document_id, sum(CASE WHEN c.amount_oere < 0 THEN -1 ELSE 1 END * ((2 * abs(c.amount_oere) * c.vat_pct_e2 + 10000) // 20000)) AS vat_oere
    FROM claim AS c JOIN charged AS g ON g.charge_no = c.charge_no GROUP BY g.document_id
),
line AS (
    SELECT
        o.document_id, count(*) AS lines, sum(o.amount_oere) AS amount_oere,
        count(*) FILTER (WHERE o.reason = '') AS agreeing, count(*) FILTER (WHERE o.reason = 'betalt') AS paid,
        count(*) FILTER (WHERE o.reason = 'afvist') AS rejected,
        sum(o.pay_oere) AS pay_oere, min(a.automatic_limit_oere) AS automatic_limit_oere, count(*) FILTER (WHERE o.reason = '' AND o.pay_oere <> o.amount_oere) AS reduced,
        bool_and(o.found_by IN ('aftale', 'ens', 'kredit')) FILTER (WHERE o.reason = '') AS is_by_agreement,
        coalesce(arg_max(o.reason, abs(o.amount_oere)) FILTER (WHERE o.reason NOT IN ('', 'betalt')), '') AS reason
    FROM line_outcome AS o LEFT JOIN allowed AS a ON a.charge_no = o.charge_no GROUP BY o.document_id
),
judged AS (
    SELECT
        i.document_id, i.sender_cvr, i.kind, l.lines, l.agreeing, l.paid, l.pay_oere, l.reduced, l.is_by_agreement, l.automatic_limit_oere,
        i.document_id IN (FROM approved) AS is_approved,
        CASE WHEN i.kind = 'kreditnota' THEN -1 ELSE 1 END AS sign,
        CASE
            WHEN l.paid = l.lines THEN ''
            WHEN d.document_id IS NOT NULL THEN l.reason
            WHEN l.rejected + l.paid = l.lines THEN 'afvist'
            WHEN i.currency <> 'DKK' THEN 'valuta'
            WHEN sign * l.amount_oere <> i.net_oere THEN 'sum'
            WHEN i.net_oere + coalesce(i.allowance_oere, 0) + coalesce(i.vat_oere, 0) <> i.payable_oere THEN 'sum'
            -- Breaks the standard it says it follows, and nobody has approved it all the same.
            WHEN v.document_id IS NOT NULL THEN 'ugyldig'
            WHEN coalesce(i.allowance_oere, 0) <> 0 THEN 'gebyr'
            WHEN l.agreeing = l.lines AND abs(coalesce(i.vat_oere, 0) - abs(coalesce(t.vat_oere, 0))) > l.lines THEN 'moms'
            ELSE l.reason
        END AS reason
    FROM invoice AS i
    JOIN line AS l ON l.document_id = i.document_id
    LEFT JOIN tax AS t ON t.document_id = i.document_id
    LEFT JOIN duplicate AS d ON d.document_id = i.document_id
    LEFT JOIN (SELECT document_id FROM invalid EXCEPT SELECT document_id FROM approved) AS v ON v.document_id = i.document_id
)
SELECT
    document_id, reason, lines, agreeing,
    CASE
        WHEN paid = lines THEN 'betalt'
        WHEN reason IN ('dublet', 'nummer_brugt') THEN 'dublet'
        WHEN reason IN ('valuta', 'sum', 'ugyldig', 'gebyr', 'moms') THEN 'fejl_faktura'
        WHEN reason = 'afvist' THEN 'afvist'
        WHEN agreeing + paid = lines AND NOT is_by_agreement THEN 'godkendt'
        WHEN agreeing + paid = lines AND is_approved THEN 'godkendt'
        WHEN agreeing + paid = lines AND abs(pay_oere) > automatic_limit_oere THEN 'afventer'
        WHEN agreeing + paid = lines THEN 'godkendt_automatisk'
        WHEN agreeing + paid > 0 THEN 'delvist'
        WHEN reason = 'over_disponering' THEN 'over_disponering'
        WHEN reason IN ('doed', 'fraflyttet', 'fravaer') THEN 'borger'
        WHEN reason IN ('pris', 'antal', 'ukendt_borger', 'modstrid', 'uden_faktura') THEN 'fejl_faktura'
        WHEN reason IN ('mangler_i_sagen', 'ingen_bevilling', 'ophoert', 'ikke_begyndt') THEN 'fejl_registrering'
        ELSE 'afventer'
    END AS outcome,
    CASE WHEN reason IN ('valuta', 'sum', 'ugyldig', 'gebyr', 'moms', 'dublet', 'nummer_brugt') THEN 0 ELSE pay_oere END AS pay_oere
FROM judged
