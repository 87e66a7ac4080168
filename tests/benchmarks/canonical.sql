-- The canonical tables of a country in small; $lines is the number of service lines.
CREATE TEMP TABLE service_package AS SELECT 'P' || lpad(i::VARCHAR, 9, '0') AS package_id,
    lpad((i * 7919 % 10000000000)::VARCHAR, 10, '0') AS cpr, 'AFD' || i % 40 AS department,
    (101 + i % 97 * 7)::VARCHAR AS paying_municipality, 'bevilget' AS status, NULL::VARCHAR AS requisition,
    false AS withdrawn FROM range($lines // 2) t(i);
CREATE TEMP TABLE catalogue_item AS SELECT 'K' || i AS item_code, 'Ydelse ' || i AS name, ['doegn', 'doegn', 'doegn',
    'maaned', 'hverdag', 'uge', 'time', 'aar'][1 + i % 8] AS unit,
    ['faktisk', 'tredivedel'][1 + i % 2] AS proration, (i % 15)::BIGINT AS absence_full_days, 5000::BIGINT AS
    absence_pct_e2,
    i % 5 > 0 AS departure_day_paid, CASE WHEN i % 10 = 0 THEN 2500 ELSE 0 END::BIGINT AS vat_pct_e2, '52810' || i % 9
    AS function_code,
    '001' AS grouping_code, '4' || i % 4 AS cost_type_code FROM range(60) t(i);
CREATE TEMP TABLE offer AS SELECT 'T' || i AS offer_id, ['egen', 'egen', 'egen', 'kommunal'][1 + i % 4] AS owner_kind
    FROM range(5000) t(i);
CREATE TEMP TABLE service_line AS SELECT 'Y' || lpad(i::VARCHAR, 9, '0') AS service_line_id,
    'P' || lpad((i // 2)::VARCHAR, 9, '0') AS package_id, 'K' || i % 60 AS item_code, 'T' || i * 31 % 5000 AS
    offer_id,
    CASE WHEN i % 10 < 9 THEN 'mellemkommunal' END AS process, DATE '2024-06-01' + (i * 17 % 200)::INTEGER AS
    start_date,
    CASE WHEN i % 9 = 0 THEN DATE '2025-03-01' + (i * 13 % 300)::INTEGER END AS end_date,
    (10000 + i % 3 * 2500)::BIGINT AS quantity_e4, 'bagud' AS timing, '528123000000' || lpad((i % 30)::VARCHAR, 4,
    '0') AS account,
    'takst' AS claim_kind, false AS withdrawn, sha256((i % 40)::VARCHAR) AS source_file, i + 2 AS source_row FROM
    range($lines) t(i);
CREATE TEMP TABLE rate AS SELECT 'K' || k AS item_code, CASE WHEN t > 0 THEN 'T' || t * 7 END AS offer_id, DATE
    '2023-01-01' + INTERVAL (y) YEAR AS valid_from,
    NULL::DATE AS valid_to, (90000 + k * 1000 + t * 10 + y * 333)::BIGINT AS price_oere, false AS withdrawn,
    sha256('rate' || y) AS source_file,
    k + 2 AS source_row FROM range(60) a(k), range(200) b(t), range(3) c(y);
CREATE TEMP TABLE individual_rate AS SELECT service_line_id, DATE '2025-01-01' AS valid_from, DATE '2025-09-14' AS
    valid_to,
    1234567::BIGINT AS price_oere, false AS withdrawn, source_file, source_row FROM service_line WHERE source_row % 10
    = 0;
CREATE TEMP TABLE package_payer AS SELECT package_id, DATE '2025-05-17' AS valid_from, NULL::DATE AS valid_to, '751'
    AS paying_municipality,
    false AS withdrawn FROM service_package WHERE hash(package_id) % 20 = 0;
CREATE TEMP TABLE absence AS SELECT service_line_id, DATE '2025-02-03' + (source_row % 280)::INTEGER AS from_date,
    DATE '2025-02-03' + (source_row % 280 + source_row % 40)::INTEGER AS to_date, false AS withdrawn FROM service_line
    WHERE source_row % 5 = 1;
CREATE TEMP TABLE account_rule (service_line_id VARCHAR, valid_from DATE, valid_to DATE, account VARCHAR, withdrawn
    BOOLEAN);
CREATE TEMP TABLE payout_terms (service_line_id VARCHAR, payee_id VARCHAR, withdrawn BOOLEAN);
CREATE TEMP TABLE charge_terms (service_line_id VARCHAR, payer_cpr VARCHAR, withdrawn BOOLEAN);
CREATE TEMP TABLE registration (registration_id VARCHAR, service_line_id VARCHAR, date DATE, quantity_e4 BIGINT,
    withdrawn BOOLEAN);
CREATE TEMP TABLE posting_account_rule (valid_from DATE, valid_to DATE, function_code VARCHAR, grouping_code VARCHAR,
    cost_type_code VARCHAR, account VARCHAR);
CREATE TEMP TABLE refused_line (service_line_id VARCHAR);
CREATE TEMP TABLE allowed_late (service_line_id VARCHAR, delivery_month DATE, counterparty VARCHAR);
CREATE TEMP TABLE hold (service_line_id VARCHAR, counterparty VARCHAR, from_month DATE);
CREATE TEMP TABLE claim_deadline (claim_kind VARCHAR, delivery_month DATE, last_day DATE);
CREATE TEMP TABLE ledger_line (line_number BIGINT, process VARCHAR, service_line_id VARCHAR, delivery_month DATE,
    price_oere BIGINT,
    counterparty VARCHAR, account VARCHAR, quantity_num BIGINT, quantity_den BIGINT, amount_oere BIGINT, vat_oere
    BIGINT, document_number VARCHAR);
