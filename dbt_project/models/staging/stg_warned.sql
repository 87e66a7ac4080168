SELECT load_id, table_name, file_hash, row, warning, column_name, message FROM {{ source('quarantine', 'warned') }}
