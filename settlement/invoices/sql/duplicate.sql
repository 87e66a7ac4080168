-- Grain: one document that repeats an earlier one of its sender: the same number however it is written, or (`by_content`) another
-- number with the same period, lines and amount. Across formats; of several the one received first is no duplicate.
WITH
said AS (
    SELECT
        i.document_id,
        -- Of the lines in any order.
        (count(*), sum(hash(l.item_name, l.note, l.order_reference, l.period_from, l.period_to, l.amount_oere))) AS lines,
        -- Lines alike say the same only where each says whom it is for.
        bool_and((l.order_reference IS NOT NULL OR regexp_matches(l.note, '[0-9]{6}')) AND l.period_from IS NOT NULL) AS is_telling
    FROM invoice AS i JOIN invoice_line AS l ON l.document_id = i.document_id
    GROUP BY i.document_id
),
numbered AS (
    SELECT
        i.*, s.lines, s.is_telling,
        number_key(i.document_number) AS number
    FROM invoice AS i JOIN said AS s ON s.document_id = i.document_id
    -- What went back to the sender comes again, and is no repetition.
    WHERE i.document_id NOT IN (SELECT document_id FROM set_aside WHERE decision = 'afvist')
),
first AS (
    SELECT
        *,
        first_value(document_id) OVER by_number AS same_number, first_value(payable_oere) OVER by_number AS number_payable_oere,
        first_value(document_id) OVER by_content AS same_content
    FROM numbered
    WINDOW by_number AS (PARTITION BY sender_cvr, kind, number ORDER BY received, issue_date, file_order, document_id),
        by_content AS (PARTITION BY sender_cvr, kind, lines, payable_oere ORDER BY received, issue_date, file_order, document_id)
)
SELECT document_id, same_number AS earlier_id, false AS by_content, payable_oere = number_payable_oere AS is_same_amount
FROM first WHERE same_number <> document_id
UNION ALL
SELECT document_id, same_content, true, true
FROM first WHERE same_number = document_id AND same_content <> document_id AND is_telling
