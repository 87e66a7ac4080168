SELECT
    {{ build_id() }} AS build_id,
    load_id,
    gate,
    rules_version,
    verdict,
    detail,
    judged_at
FROM {{ ref('stg_gate_verdict') }}
