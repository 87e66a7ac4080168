SELECT
    service_line_id,
    package_id,
    item_name,
    delivery_month
FROM {{ source('settlement', 'manual_line') }}
