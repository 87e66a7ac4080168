-- The end of a protection or a guardianship is no event of its own.
SELECT cpr, valid_from AS date, 'flytning' AS kind
FROM {{ source('canonical', 'citizen_residence') }}
WHERE NOT withdrawn
UNION ALL
SELECT cpr, status_date, status
FROM {{ source('canonical', 'citizen_status') }}
WHERE NOT withdrawn
UNION ALL
SELECT old_cpr, changed_on, 'personnummer'
FROM {{ source('canonical', 'cpr_change') }}
WHERE NOT withdrawn
UNION ALL
SELECT cpr, valid_from, 'beskyttelse'
FROM {{ source('canonical', 'address_protection') }}
WHERE NOT withdrawn
UNION ALL
SELECT cpr, valid_from, 'vaergemaal'
FROM {{ source('canonical', 'guardianship') }}
WHERE NOT withdrawn
