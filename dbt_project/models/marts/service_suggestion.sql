SELECT
    {{ build_id() }} AS build_id,
    source_system,
    source_code,
    place,
    item_code,
    item_name,
    points,
    reason
FROM {{ ref('stg_service_suggestion') }}
