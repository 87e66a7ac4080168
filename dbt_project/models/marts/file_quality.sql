SELECT
    {{ build_id() }} AS build_id,
    count_of_file.load_id,
    file.system,
    load.received_at,
    load.dated,
    count_of_file.name AS file_name,
    count_of_file.file_hash,
    count_of_file.rows_read,
    count_of_file.rows_accepted,
    count_of_file.rows_quarantined,
    count_of_file.rows_outdated,
    count_of_file.rows_unmapped,
    count_of_file.rows_warned
FROM {{ ref('stg_file_count') }} AS count_of_file
JOIN {{ ref('stg_load') }} AS load ON load.load_id = count_of_file.load_id
JOIN {{ ref('stg_file') }} AS file
    ON file.load_id = count_of_file.load_id
    AND file.file_hash = count_of_file.file_hash
    AND file.name = count_of_file.name
