SELECT
    {{ build_id() }} AS build_id,
    source_system,
    source_code,
    source_name,
    waiting_rows,
    service_lines,
    citizens,
    first_start,
    last_start,
    first_load,
    first_seen
FROM {{ ref('stg_service_worklist') }}
