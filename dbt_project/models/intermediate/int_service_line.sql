SELECT
    line.service_line_id,
    line.package_id,
    package.cpr,
    {{ person_key('package.cpr') }} AS person_key,
    package.department,
    item.item_code,
    coalesce(item.name, item.item_code) AS item_name,
    item.law,
    item.paragraph,
    item.business_area,
    item.unit,
    item.proration,
    item.departure_day_paid,
    line.offer_id,
    offer.name AS offer_name,
    line.start_date,
    line.end_date,
    package.is_living AND NOT line.withdrawn AS is_living
FROM {{ ref('stg_service_line') }} AS line
JOIN {{ ref('stg_service_package') }} AS package ON package.package_id = line.package_id
JOIN {{ ref('stg_catalogue_item') }} AS item ON item.item_code = line.item_code
LEFT JOIN {{ ref('stg_offer') }} AS offer ON offer.offer_id = line.offer_id
