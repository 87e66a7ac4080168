-- Grain: one line of an invoice or credit note: what matching says of it. `reason` is empty where it agrees with what was
-- granted; every reason is told to people in `REASONS`.
WITH
claimed AS (
    SELECT
        charge_no, bool_and(is_covered) AS is_covered, bool_or(is_held) AS is_held, bool_or(was_dead) AS was_dead,
        min(found_by) AS found_by, sum(amount_oere) AS amount_oere, sum(expected_oere) AS expected_oere
    FROM claim GROUP BY charge_no
),
fitting AS (
    SELECT charge_no, sum(expected_oere) AS expected_oere, count(DISTINCT service_line_id) AS service_lines
    FROM fit GROUP BY charge_no
),
-- A citizen named on the charge who is dead or has moved before the period ends.
citizen AS (
    SELECT
        n.charge_no,
        bool_or(s.status = 'doed') AS is_dead, bool_or(s.status IN ('udrejst', 'fraflyttet')) AS has_moved
    FROM named AS n JOIN charged AS g ON g.charge_no = n.charge_no
    LEFT JOIN citizen_state AS s ON s.cpr = n.cpr
        AND s.from_date <= g.to_date AND coalesce(s.before, DATE '9999-12-31') > g.from_date
    GROUP BY n.charge_no
),
absent AS (
    SELECT DISTINCT f.charge_no FROM fit AS f
    JOIN charged AS g ON g.charge_no = f.charge_no
    JOIN absence AS a ON a.service_line_id = f.service_line_id AND NOT a.withdrawn
        AND a.from_date <= g.to_date AND coalesce(a.to_date, DATE '9999-12-31') >= g.from_date
),
served AS (
    SELECT
        n.charge_no, bool_or(l.end_date < g.from_date) AS has_ended, bool_or(l.start_date > g.to_date) AS begins_later,
        bool_or(l.start_date <= g.to_date AND coalesce(l.end_date, DATE '9999-12-31') >= g.from_date) AS is_running
    FROM named AS n
    JOIN charged AS g ON g.charge_no = n.charge_no
    JOIN service_package AS p ON p.cpr = n.cpr
    JOIN service_line AS l ON l.package_id = p.package_id AND NOT l.withdrawn
    JOIN offer_owner AS o ON o.offer_id = l.offer_id AND o.cvr = g.sender_cvr
    GROUP BY n.charge_no
),
judged AS (
    SELECT
        g.charge_no, g.document_id, g.line_number, g.kind, g.amount_oere, c.found_by, c.amount_oere AS pay_oere,
        coalesce(c.expected_oere, f.expected_oere) AS expected_oere,
        CASE
            WHEN c.is_covered AND c.was_dead THEN 'doed'
            WHEN c.is_covered AND c.is_held THEN 'tilbageholdt'
            WHEN c.is_covered THEN ''
            WHEN c.charge_no IS NOT NULL THEN 'over_disponering'
            WHEN g.kind = 'kreditnota' THEN 'uden_faktura'
            WHEN n.names_a_stranger THEN 'ukendt_borger'
            WHEN n.charge_no IS NOT NULL THEN 'ingen_borger'
            WHEN d.charge_no IS NULL THEN 'modstrid'
            WHEN d.is_dead THEN 'doed'
            WHEN f.charge_no IS NULL AND d.has_moved THEN 'fraflyttet'
            WHEN f.charge_no IS NULL AND s.is_running THEN 'mangler_i_sagen'
            WHEN f.charge_no IS NULL AND s.has_ended THEN 'ophoert'
            WHEN f.charge_no IS NULL AND s.begins_later THEN 'ikke_begyndt'
            WHEN f.charge_no IS NULL THEN 'ingen_bevilling'
            WHEN p.charge_no IS NOT NULL THEN 'pris'
            WHEN a.charge_no IS NOT NULL AND g.amount_oere > f.expected_oere THEN 'fravaer'
            WHEN f.service_lines > 1 THEN 'flere_mulige'
            ELSE 'antal'
        END AS reason
    FROM charged AS g
    LEFT JOIN claimed AS c ON c.charge_no = g.charge_no
    LEFT JOIN nameless AS n ON n.charge_no = g.charge_no
    LEFT JOIN citizen AS d ON d.charge_no = g.charge_no
    LEFT JOIN fitting AS f ON f.charge_no = g.charge_no
    LEFT JOIN served AS s ON s.charge_no = g.charge_no
    LEFT JOIN priced AS p ON p.charge_no = g.charge_no
    LEFT JOIN absent AS a ON a.charge_no = g.charge_no
)
SELECT
    l.document_id, l.line_number, j.charge_no, coalesce(j.found_by, '') AS found_by,
    CASE WHEN i.kind = 'kreditnota' THEN -l.amount_oere ELSE l.amount_oere END AS amount_oere,
    CAST(j.expected_oere AS BIGINT) AS expected_oere, CAST(CASE WHEN j.reason = '' THEN j.pay_oere ELSE 0 END AS BIGINT) AS pay_oere,
    CASE
        WHEN b.document_id IS NOT NULL THEN 'betalt'
        -- Another number with the same content is one until a person has looked at it.
        WHEN d.document_id IS NOT NULL AND NOT (d.by_content AND coalesce(j.found_by, '') = 'person')
            THEN CASE WHEN d.is_same_amount THEN 'dublet' ELSE 'nummer_brugt' END
        WHEN x.document_id IS NOT NULL THEN x.decision
        ELSE coalesce(j.reason, '')
    END AS reason
FROM invoice_line AS l
JOIN invoice AS i ON i.document_id = l.document_id
LEFT JOIN judged AS j ON j.document_id = l.document_id AND j.line_number = l.line_number
LEFT JOIN (SELECT DISTINCT document_id, line_number FROM paid_line) AS b ON b.document_id = l.document_id AND b.line_number = l.line_number
LEFT JOIN duplicate AS d ON d.document_id = l.document_id
LEFT JOIN set_aside AS x ON x.document_id = l.document_id AND x.line_number = l.line_number
