SELECT load_id, file_hash, name, rows_read, rows_accepted, rows_quarantined, rows_outdated, rows_unmapped, rows_warned,
    rows_withdrawn
FROM {{ source('quarantine', 'file_count') }}
