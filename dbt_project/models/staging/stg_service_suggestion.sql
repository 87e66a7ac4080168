SELECT source_system, source_code, place, item_code, item_name, points, reason FROM {{ source('quality', 'service_suggestion') }}
