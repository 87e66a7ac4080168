SELECT
    item_code,
    name,
    coalesce(law, '') AS law,
    coalesce(paragraph, '') AS paragraph,
    coalesce(business_area, '') AS business_area,
    unit,
    proration,
    departure_day_paid
FROM {{ source('canonical', 'catalogue_item') }}
