-- Delivered is what is registered within the living lines of the area, up to the horizon's month.
WITH
registered AS (
    SELECT CAST(coalesce(sum(registration.quantity_e4), 0) AS DECIMAL(38, 0)) * 0.0001 AS units
    FROM {{ source('canonical', 'registration') }} AS registration
    JOIN {{ source('canonical', 'service_line') }} AS line ON line.service_line_id = registration.service_line_id
    JOIN {{ source('canonical', 'service_package') }} AS package ON package.package_id = line.package_id
    JOIN {{ source('canonical', 'catalogue_item') }} AS item ON item.item_code = line.item_code
    WHERE item.business_area = 'Ældre' AND item.unit = 'leveret'
        AND NOT registration.withdrawn AND NOT line.withdrawn AND NOT package.withdrawn
        AND package.status IN ('bevilget', 'afsluttet')
        AND registration.date >= line.start_date AND registration.date <= coalesce(line.end_date, registration.date)
        AND registration.date < {{ horizon() }} + INTERVAL 1 MONTH
)

SELECT 'units' AS broken
FROM registered
WHERE units <> (SELECT coalesce(sum(delivered_units), 0) FROM {{ ref('eldercare_month') }})
