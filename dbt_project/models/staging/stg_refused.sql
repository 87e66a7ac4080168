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
    closed_by_load IS NULL AS is_open
FROM {{ source('quarantine', 'refused') }}
