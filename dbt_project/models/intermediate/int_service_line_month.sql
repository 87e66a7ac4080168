-- Every denominator of a month divides its common one (settlement.md § 3: 7, 30, 12 × the month's days, ten-thousandths of
-- quantity and of absence), so quantities of several prices add exactly.
WITH
entitled AS (
    SELECT
        service_line_id,
        delivery_month,
        lcm(210, 12 * day(last_day(delivery_month))) * CAST(100000000 AS HUGEINT) AS quantity_den,
        sum(quantity_num * ((lcm(210, 12 * day(last_day(delivery_month))) * CAST(100000000 AS HUGEINT)) // quantity_den))
            AS quantity_num,
        CAST(sum(amount_oere) FILTER (WHERE is_settled) AS BIGINT) AS entitled_oere
    FROM {{ ref('stg_piece') }}
    WHERE delivery_month <= {{ horizon() }}
    GROUP BY service_line_id, delivery_month
),

booked AS (
    SELECT service_line_id, delivery_month, CAST(sum(amount_oere) AS BIGINT) AS booked_oere
    FROM {{ ref('stg_ledger_line') }}
    WHERE delivery_month <= {{ horizon() }}
    GROUP BY service_line_id, delivery_month
),

-- Also the months that nothing can be said of yet: days without a price or a payer, and what is booked but not due.
side AS (
    SELECT service_line_id, delivery_month, process, counterparty
    FROM {{ ref('stg_day_weight') }}
    WHERE delivery_month <= {{ horizon() }}
    UNION
    SELECT service_line_id, delivery_month, process, counterparty
    FROM {{ ref('stg_ledger_line') }}
    WHERE delivery_month <= {{ horizon() }}
),

listed AS (
    SELECT
        service_line_id,
        delivery_month,
        {{ listed('process') }} AS process,
        {{ listed('counterparty') }} AS counterparty
    FROM side
    GROUP BY service_line_id, delivery_month
)

SELECT
    listed.service_line_id,
    listed.delivery_month,
    listed.process,
    listed.counterparty,
    entitled.quantity_num,
    entitled.quantity_den,
    entitled.entitled_oere,
    coalesce(booked.booked_oere, 0) AS booked_oere
FROM listed
LEFT JOIN entitled ON entitled.service_line_id = listed.service_line_id AND entitled.delivery_month = listed.delivery_month
LEFT JOIN booked ON booked.service_line_id = listed.service_line_id AND booked.delivery_month = listed.delivery_month
