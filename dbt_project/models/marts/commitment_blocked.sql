-- Where both are lacking, the price comes first, as in the engine.
WITH
blocked AS (
    SELECT
        service_line_id,
        delivery_month AS month,
        process,
        account,
        CASE WHEN bool_or(reason = 'mangler_takst') THEN 'mangler_takst' ELSE 'mangler_betaler' END AS reason,
        bool_and(is_projected) AS is_projected
    FROM {{ ref('stg_commitment_blocked') }}
    GROUP BY service_line_id, delivery_month, process, account
)

SELECT
    {{ build_id() }} AS build_id,
    blocked.service_line_id,
    blocked.month,
    blocked.process,
    blocked.account,
    line.item_code,
    line.item_name,
    line.department,
    blocked.reason,
    blocked.is_projected,
    {{ kroner('coalesce(committed.expected_oere, 0)') }} AS expected_dkk
FROM blocked
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = blocked.service_line_id
LEFT JOIN {{ ref('int_commitment_line_month') }} AS committed
    ON committed.service_line_id = blocked.service_line_id
    AND committed.month = blocked.month
    AND committed.process = blocked.process
    AND committed.account = blocked.account
