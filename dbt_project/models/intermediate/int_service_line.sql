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
UNION ALL
-- A manual line is money only: no kind of service, no offer, and nobody comes or goes with it.
SELECT
    line.service_line_id,
    line.package_id,
    package.cpr,
    {{ person_key('package.cpr') }} AS person_key,
    package.department,
    NULL AS item_code,
    line.item_name,
    '' AS law,
    '' AS paragraph,
    '' AS business_area,
    'engang' AS unit,
    'faktisk' AS proration,
    true AS departure_day_paid,
    NULL AS offer_id,
    NULL AS offer_name,
    line.delivery_month AS start_date,
    line.delivery_month AS end_date,
    false AS is_living
FROM {{ ref('stg_manual_line') }} AS line
JOIN {{ ref('stg_service_package') }} AS package ON package.package_id = line.package_id
