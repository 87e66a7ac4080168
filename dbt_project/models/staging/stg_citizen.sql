-- A protected address never leaves the warehouse (CPR-loven § 28).
SELECT
    cpr,
    name,
    CASE WHEN NOT coalesce(address_protected, false) THEN address END AS address,
    coalesce(address_protected, false) AS address_protected,
    residence_municipality
FROM {{ source('canonical', 'citizen') }}
