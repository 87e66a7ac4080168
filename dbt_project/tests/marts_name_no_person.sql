-- Where a person is settled with, the marts show a key: no counterparty is a citizen's CPR, no sentence holds one.
SELECT line_number::VARCHAR AS broken FROM {{ ref('settlement_line') }} WHERE regexp_full_match(counterparty, '[0-9]{10}')
UNION ALL
SELECT service_line_id FROM {{ ref('parked_line') }} WHERE regexp_full_match(counterparty, '[0-9]{10}')
UNION ALL
SELECT file_name FROM {{ ref('quality_finding') }} WHERE regexp_matches(message, '\b[0-9]{6}-?[0-9]{4}\b')
