-- Bopæl by the CPR register's moves; where it tells of none, the newest word of the case systems, without a date. The decision's
-- own municipality pays on the days no dated payer does.
WITH
residence AS (
    SELECT
        cpr,
        valid_from,
        lead(valid_from) OVER (PARTITION BY cpr ORDER BY valid_from) - 1 AS valid_to,
        municipality
    FROM {{ source('canonical', 'citizen_residence') }}
    WHERE NOT withdrawn
),

payer AS (
    SELECT
        package_id,
        valid_from,
        least(valid_to, lead(valid_from) OVER (PARTITION BY package_id ORDER BY valid_from) - 1) AS valid_to,
        paying_municipality
    FROM {{ source('canonical', 'package_payer') }}
    WHERE NOT withdrawn
),

package AS (
    SELECT cpr, package_id, granted_date, acting_municipality, paying_municipality
    FROM {{ source('canonical', 'service_package') }}
    WHERE NOT withdrawn
),

fact AS (
    SELECT cpr, 'bopæl' AS kind, '' AS package_id, valid_from, valid_to, municipality FROM residence
    UNION ALL
    SELECT citizen.cpr, 'bopæl', '', NULL, NULL, citizen.residence_municipality
    FROM {{ source('canonical', 'citizen') }} AS citizen
    WHERE NOT citizen.withdrawn AND citizen.cpr NOT IN (SELECT residence.cpr FROM residence)
    UNION ALL
    SELECT cpr, 'handler', package_id, granted_date, NULL, acting_municipality FROM package
    UNION ALL
    SELECT cpr, 'betaler', package_id, granted_date, NULL, paying_municipality FROM package
    WHERE package_id NOT IN (SELECT payer.package_id FROM payer)
    UNION ALL
    SELECT package.cpr, 'betaler', payer.package_id, payer.valid_from, payer.valid_to, payer.paying_municipality
    FROM payer
    JOIN package ON package.package_id = payer.package_id
)

SELECT
    {{ build_id() }} AS build_id,
    fact.cpr,
    fact.kind,
    fact.package_id,
    fact.valid_from,
    fact.valid_to,
    fact.municipality
FROM fact
WHERE fact.municipality IS NOT NULL AND fact.cpr IN (SELECT citizen.cpr FROM {{ ref('stg_citizen') }} AS citizen)
