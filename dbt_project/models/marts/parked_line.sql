WITH
newest AS (
    SELECT process, timing, max(proposal_id) AS proposal_id
    FROM {{ ref('stg_proposal') }}
    GROUP BY process, timing
),

parked AS (
    SELECT newest.process, newest.timing, line.*
    FROM newest
    JOIN {{ ref('stg_parked_line') }} AS line ON line.proposal_id = newest.proposal_id
),

entitled AS (
    SELECT process, timing, service_line_id, delivery_month, counterparty, sum(amount_oere) AS amount_oere
    FROM {{ ref('stg_piece') }}
    WHERE service_line_id IN (SELECT service_line_id FROM parked)
    GROUP BY process, timing, service_line_id, delivery_month, counterparty
)

-- A late claim is parked for one counterparty, all else for the whole line-month. Where a rate is missing, the amount
-- of the days that have one is not what the month is worth.
SELECT
    {{ build_id() }} AS build_id,
    parked.process,
    parked.timing,
    parked.service_line_id,
    parked.delivery_month,
    {{ public_counterparty('parked.process', 'parked.counterparty') }} AS counterparty,
    parked.reason,
    {{ kroner("CASE WHEN parked.reason <> 'mangler_takst' THEN sum(entitled.amount_oere) END") }} AS expected_dkk
FROM parked
LEFT JOIN entitled
    ON entitled.process = parked.process
    AND entitled.timing = parked.timing
    AND entitled.service_line_id = parked.service_line_id
    AND entitled.delivery_month = parked.delivery_month
    AND (entitled.counterparty = parked.counterparty OR parked.counterparty = '')
GROUP BY
    parked.process, parked.timing, parked.service_line_id, parked.delivery_month, parked.counterparty, parked.reason
