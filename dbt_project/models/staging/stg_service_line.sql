SELECT
    service_line_id,
    package_id,
    item_code,
    offer_id,
    start_date,
    end_date,
    quantity_e4,
    withdrawn
FROM {{ source('canonical', 'service_line') }}
