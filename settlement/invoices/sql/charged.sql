-- Grain: one line of an invoice or credit note that is neither paid, set aside nor of a duplicate, as matching reads it: amounts signed (a credit
-- note's below 0), the period it charges in whole days, its words as they are compared.
-- A line that names no period charges the one its text names (10-2026, oktober 2026), else the month before the document's.
WITH
line AS (
    SELECT
        l.document_id, l.line_number, i.sender_cvr, i.kind, i.received, i.corrects_number, i.receiver_ean, i.issue_date, i.file_order,
        CASE WHEN i.kind = 'kreditnota' THEN -l.amount_oere ELSE l.amount_oere END AS amount_oere,
        l.quantity_e10, l.price_e10, l.period_from, l.period_to, l.order_reference, spoken(l.item_name) AS item_words,
        spoken(concat_ws(' ', l.note, i.note)) AS words,
        lower(concat_ws(' ', l.note, l.item_name, i.note)) AS text
    FROM invoice_line AS l
    JOIN invoice AS i ON i.document_id = l.document_id
    ANTI JOIN duplicate AS d ON d.document_id = l.document_id AND NOT d.by_content
    ANTI JOIN paid_line AS p ON p.document_id = l.document_id AND p.line_number = l.line_number
    ANTI JOIN set_aside AS s ON s.document_id = l.document_id AND s.line_number = l.line_number
),
named_month AS (
    SELECT
        *,
        try_strptime(nullif(regexp_extract(text, '\b((0[1-9]|1[0-2])-20[0-9]{2})\b', 1), ''), '%m-%Y') AS by_number,
        regexp_extract(text, '\b(jan|feb|mar|apr|maj|jun|jul|aug|sep|okt|nov|dec)[a-zå]* (20[0-9]{2})\b', ['name', 'year']) AS by_name
    FROM line
),
month AS (
    SELECT
        *,
        coalesce(
            CAST(by_number AS DATE),
            CASE WHEN by_name.year <> '' THEN make_date(
                TRY_CAST(by_name.year AS BIGINT),
                list_position(['jan', 'feb', 'mar', 'apr', 'maj', 'jun', 'jul', 'aug', 'sep', 'okt', 'nov', 'dec'], by_name.name), 1)
            END,
            CAST(date_trunc('month', issue_date) - INTERVAL 1 MONTH AS DATE)
        ) AS month
    FROM named_month
)
SELECT
    row_number() OVER (ORDER BY received, issue_date, file_order, document_id, line_number) AS charge_no,
    * EXCLUDE (by_number, by_name, month, period_from, period_to, text),
    coalesce(period_from, month) AS from_date,
    coalesce(period_to, last_day(coalesce(period_from, month))) AS to_date,
    CAST(date_trunc('month', coalesce(period_from, month)) AS DATE) AS from_month,
    CAST(date_trunc('month', coalesce(period_to, period_from, month)) AS DATE) AS to_month
FROM month
