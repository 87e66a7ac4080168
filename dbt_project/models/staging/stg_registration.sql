SELECT registration_id, service_line_id, date, quantity_e4
FROM {{ source('canonical', 'registration') }}
WHERE NOT withdrawn
