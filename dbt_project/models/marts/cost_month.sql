WITH
side AS (
    SELECT process, service_line_id, delivery_month, amount_oere AS entitled_oere, CAST(0 AS BIGINT) AS booked_oere
    FROM {{ ref('stg_piece') }}
    WHERE is_settled
    UNION ALL
    SELECT process, service_line_id, delivery_month, 0, amount_oere
    FROM {{ ref('stg_ledger_line') }}
)

SELECT
    {{ build_id() }} AS build_id,
    side.delivery_month AS month,
    side.process,
    line.business_area,
    {{ kroner('sum(side.entitled_oere)') }} AS entitled_dkk,
    {{ kroner('sum(side.booked_oere)') }} AS booked_dkk,
    count(DISTINCT line.cpr) FILTER (WHERE side.entitled_oere <> 0) AS persons
FROM side
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = side.service_line_id
GROUP BY side.delivery_month, side.process, line.business_area
