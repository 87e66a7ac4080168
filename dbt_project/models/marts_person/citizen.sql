WITH
living AS (
    SELECT
        cpr,
        {{ listed('department') }} AS department,
        {{ listed('case_worker') }} AS case_worker
    FROM {{ ref('stg_service_package') }}
    WHERE is_living
    GROUP BY cpr
)

SELECT
    {{ build_id() }} AS build_id,
    citizen.cpr,
    citizen.name,
    citizen.address,
    citizen.address_protected,
    citizen.residence_municipality,
    coalesce(living.department, '') AS department,
    coalesce(living.case_worker, '') AS case_worker
FROM {{ ref('stg_citizen') }} AS citizen
LEFT JOIN living ON living.cpr = citizen.cpr
