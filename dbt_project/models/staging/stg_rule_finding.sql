SELECT
    rule,
    table_name,
    key,
    service_line_id,
    file_hash,
    row,
    opened_load,
    closed_load,
    message
FROM {{ source('quality', 'finding') }}
