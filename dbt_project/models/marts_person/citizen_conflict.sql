-- A protected address is shown by no system.
SELECT
    {{ build_id() }} AS build_id,
    conflict.key AS cpr,
    conflict.column_name,
    conflict.system,
    CASE WHEN conflict.column_name NOT IN ('adresse', 'postnummer') OR NOT citizen.address_protected THEN conflict.value END AS value,
    conflict.dated,
    conflict.is_chosen
FROM {{ ref('stg_source_conflict') }} AS conflict
JOIN {{ ref('stg_citizen') }} AS citizen ON citizen.cpr = conflict.key
WHERE conflict.table_name = 'citizen'
