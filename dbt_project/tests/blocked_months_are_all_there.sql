-- Every month of a line with a day that has no price or no payer is told with what it lacks: through the horizon's year by the
-- engine's own days. The mart leaves none of it out, and what it counts of such a month is what is expected there.
WITH
engine AS (
    SELECT
        service_line_id, delivery_month,
        CASE WHEN bool_or(price_oere IS NULL) THEN 'mangler_takst' ELSE 'mangler_betaler' END AS reason
    FROM {{ source('settlement', 'day_weight') }}
    GROUP BY service_line_id, delivery_month
    HAVING
        bool_or(price_oere IS NULL OR payer IS NULL OR (process = 'intern' AND department IS NULL))
        AND bool_or(process <> 'ingen')
),

told AS (
    SELECT DISTINCT service_line_id, delivery_month, reason
    FROM {{ source('settlement', 'commitment_blocked') }}
    WHERE NOT is_projected AND year(delivery_month) <= year({{ horizon() }})
)

(FROM engine EXCEPT FROM told)
UNION ALL
(FROM told EXCEPT FROM engine)
UNION ALL
(
    SELECT DISTINCT service_line_id, delivery_month, 'left out' FROM {{ source('settlement', 'commitment_blocked') }}
    EXCEPT
    SELECT service_line_id, month, 'left out' FROM {{ ref('commitment_blocked') }}
)
UNION ALL
SELECT blocked.service_line_id, blocked.month, 'expected'
FROM {{ ref('commitment_blocked') }} AS blocked
LEFT JOIN {{ ref('commitment_line_month') }} AS line
    ON line.service_line_id = blocked.service_line_id AND line.month = blocked.month AND line.process = blocked.process
    AND line.account = blocked.account
WHERE blocked.expected_dkk <> coalesce(line.expected_dkk, 0)
