SELECT
    package_id,
    cpr,
    coalesce(department, '') AS department,
    case_worker,
    NOT withdrawn AND status IN ('bevilget', 'afsluttet') AS is_living
FROM {{ source('canonical', 'service_package') }}
