-- A protected address never leaves the warehouse (CPR-loven § 28), whether the case system or the CPR register says so.
WITH
protected AS (
    SELECT DISTINCT cpr
    FROM {{ source('canonical', 'address_protection') }}
    WHERE NOT withdrawn AND coalesce(valid_to, DATE '9999-12-31') >= (SELECT max(dated) FROM {{ ref('stg_load') }})
)

SELECT
    citizen.cpr,
    citizen.name,
    CASE WHEN NOT coalesce(citizen.address_protected, false) AND protected.cpr IS NULL THEN citizen.address END AS address,
    coalesce(citizen.address_protected, false) OR protected.cpr IS NOT NULL AS address_protected,
    citizen.residence_municipality
FROM {{ source('canonical', 'citizen') }} AS citizen
LEFT JOIN protected ON protected.cpr = citizen.cpr
