-- A made-up country's commitments and invoices as matching reads them: $commitments pieces over twelve months, $lines invoice lines
-- in the first of those months, a sender for every hundred service lines. A line names its citizen by CPR number, name, initials
-- and day of birth, or not at all; two in five refer to our requisition.
CREATE TEMP TABLE number AS SELECT i, i % greatest(1, $commitments // 1200) AS sender FROM range($commitments // 12) AS t(i);
CREATE TEMP TABLE service_line AS SELECT 'Y' || i AS service_line_id, 'P' || i AS package_id, 'I' || (sender % 20) AS item_code,
    'T' || sender AS offer_id, DATE '2025-01-01' AS start_date, CAST(NULL AS DATE) AS end_date, false AS withdrawn FROM number;
CREATE TEMP TABLE service_package AS SELECT 'P' || i AS package_id,
    lpad(CAST(1 + i % 28 AS VARCHAR), 2, '0') || lpad(CAST(1 + i // 28 % 12 AS VARCHAR), 2, '0')
        || lpad(CAST(i // 336 % 100 AS VARCHAR), 2, '0') || lpad(CAST(1000 + i // 33600 AS VARCHAR), 4, '0') AS cpr,
    'A' || (i % 5) AS department, 'REK-2025-' || lpad(CAST(i AS VARCHAR), 7, '0') AS requisition FROM number;
CREATE TEMP TABLE person AS SELECT p.cpr, 'Fornavn' || (i % 300) || ' Efternavn' || (i % 997) AS name
    FROM number JOIN service_package AS p ON p.package_id = 'P' || i;
CREATE TEMP TABLE catalogue_item AS SELECT 'I' || i AS item_code, 'Ophold type ' || i AS name, 'maaned' AS unit FROM range(20) AS t(i);
CREATE TEMP TABLE offer_owner AS SELECT DISTINCT 'T' || sender AS offer_id, CAST(10000000 + sender AS VARCHAR) AS cvr FROM number;
CREATE TEMP TABLE piece AS SELECT 'faktura' AS process, 'Y' || i AS service_line_id,
    CAST(DATE '2025-01-01' + to_months(CAST(m AS INT)) AS DATE) AS delivery_month, 100000 + (i * 7919 % 900000) AS price_oere,
    '5280' AS account, CAST(1 AS BIGINT) AS quantity_num, CAST(1 AS BIGINT) AS quantity_den,
    100000 + (i * 7919 % 900000) AS amount_oere, CAST(0 AS BIGINT) AS vat_pct_e2 FROM number, range(12) AS u(m);
CREATE TEMP TABLE month AS SELECT m, CAST(DATE '2025-01-01' + to_months(CAST(m AS INT)) AS DATE) AS day
    FROM range(CAST(greatest(1, round($lines / ($commitments / 12))) AS BIGINT)) AS t(m);
CREATE TEMP TABLE invoice_line AS SELECT 'D' || m || '-' || sender || '-' || (i % 5) AS document_id, i || '-' || m AS line_number,
    'Ophold type ' || (sender % 20) AS item_name,
    CASE i % 4 WHEN 0 THEN 'CPR ' || left(p.cpr, 6) || '-' || right(p.cpr, 4) WHEN 1 THEN r.name
        WHEN 2 THEN 'FE, født ' || left(p.cpr, 6) ELSE '' END AS note,
    day AS period_from, last_day(day) AS period_to, 10000000000 AS quantity_e10, (100000 + (i * 7919 % 900000)) * 100000000 AS price_e10,
    100000 + (i * 7919 % 900000) AS amount_oere, CASE WHEN i % 5 > 2 THEN p.requisition END AS order_reference
    FROM number JOIN service_package AS p ON p.package_id = 'P' || i JOIN person AS r ON r.cpr = p.cpr, month;
CREATE TEMP TABLE invoice AS SELECT document_id, CAST(10000000 + CAST(split_part(document_id, '-', 2) AS BIGINT) AS VARCHAR) AS sender_cvr,
    'faktura' AS kind, document_id AS document_number, any_value(period_to) + 5 AS received, '' AS file_order,
    any_value(period_to) + 3 AS issue_date, '579800000000' || right(document_id, 1) AS receiver_ean, CAST(NULL AS VARCHAR) AS corrects_number,
    'DKK' AS currency, CAST(sum(amount_oere) AS BIGINT) AS net_oere, CAST(0 AS BIGINT) AS vat_oere,
    CAST(sum(amount_oere) AS BIGINT) AS payable_oere, CAST(0 AS BIGINT) AS allowance_oere, 'Levering' AS note
    FROM invoice_line GROUP BY document_id;
CREATE TEMP TABLE department_ean AS SELECT 'A' || i AS department, '579800000000' || i AS ean FROM range(5) AS t(i);
CREATE TEMP TABLE blocked (service_line_id VARCHAR, delivery_month DATE);
CREATE TEMP TABLE refused_line (service_line_id VARCHAR);
CREATE TEMP TABLE account_alias (account VARCHAR, alias VARCHAR);
CREATE TEMP TABLE terms AS SELECT '' AS sender_cvr, '' AS item_code, DATE '1900-01-01' AS valid_from, DATE '9999-12-31' AS valid_to,
    CAST(100 AS BIGINT) AS tolerance_oere, CAST(0 AS BIGINT) AS tolerance_pct_e2, CAST(0 AS BIGINT) AS tolerance_units_e4,
    'intet' AS on_price, CAST(99999999999 AS BIGINT) AS automatic_limit_oere;
CREATE TEMP TABLE citizen_state (cpr VARCHAR, status VARCHAR, from_date DATE, before DATE);
CREATE TEMP TABLE match_rule (sender_cvr VARCHAR, item_words VARCHAR, item_code VARCHAR);
CREATE TEMP TABLE chosen_line (document_id VARCHAR, line_number VARCHAR, service_line_id VARCHAR, delivery_month DATE);
CREATE TEMP TABLE approved (document_id VARCHAR);
CREATE TEMP TABLE invalid (document_id VARCHAR, rules VARCHAR);
CREATE TEMP TABLE set_aside (document_id VARCHAR, line_number VARCHAR, decision VARCHAR);
CREATE TEMP TABLE paid_line (document_id VARCHAR, line_number VARCHAR, service_line_id VARCHAR, delivery_month DATE, price_oere BIGINT,
    account VARCHAR, amount_oere BIGINT);
CREATE TEMP TABLE ledger_line (process VARCHAR, service_line_id VARCHAR, delivery_month DATE, amount_oere BIGINT);
CREATE TEMP TABLE day_weight (service_line_id VARCHAR, delivery_month DATE, price_oere BIGINT, account VARCHAR, quantity_e4 BIGINT,
    absence_pct_e2 BIGINT, basis BIGINT, from_day BIGINT, to_day BIGINT, weight BIGINT);
CREATE TEMP TABLE calendar_day (day BIGINT, weekdays BIGINT, thirtieths BIGINT);
CREATE TEMP TABLE registration (service_line_id VARCHAR, date DATE, quantity_e4 BIGINT, withdrawn BOOLEAN);
CREATE TEMP TABLE hold (service_line_id VARCHAR, counterparty VARCHAR, from_month DATE);
CREATE TEMP TABLE absence (service_line_id VARCHAR, from_date DATE, to_date DATE, withdrawn BOOLEAN);
