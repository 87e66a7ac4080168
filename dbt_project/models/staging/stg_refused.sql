-- Without the cells, the value and the key: what was refused may be personal.
SELECT
    load_id,
    loader_file,
    file_hash,
    file_name,
    row,
    reason,
    column_name,
    message,
    service_line_id,
    json_extract_string(cells, '$.package_id') AS package_id,
    nullif(json_extract_string(cells, '$.department'), '') AS department,
    closed_by_load,
    closed_by_load IS NULL AS is_open
FROM {{ source('quarantine', 'refused') }}
