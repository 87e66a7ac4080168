-- What is committed and not realised, line by line: of a month settled in full nothing, of one booked too high a negative rest.
WITH
committed AS (
    SELECT
        service_line_id,
        delivery_month,
        process,
        account,
        CAST(sum(cost_oere) AS BIGINT) AS expected_oere,
        CAST(coalesce(sum(cost_oere) FILTER (WHERE is_projected), 0) AS BIGINT) AS projected_oere
    FROM {{ ref('stg_commitment') }}
    GROUP BY service_line_id, delivery_month, process, account
),

realised AS (
    SELECT
        service_line_id,
        delivery_month,
        process,
        account,
        CAST(sum({{ own_cost('process', 'amount_oere') }}) AS BIGINT) AS realised_oere
    FROM {{ ref('stg_ledger_line') }}
    GROUP BY service_line_id, delivery_month, process, account
)

SELECT
    coalesce(committed.service_line_id, realised.service_line_id) AS service_line_id,
    coalesce(committed.delivery_month, realised.delivery_month) AS month,
    coalesce(committed.process, realised.process) AS process,
    coalesce(committed.account, realised.account) AS account,
    coalesce(committed.expected_oere, 0) AS expected_oere,
    coalesce(committed.projected_oere, 0) AS projected_oere,
    coalesce(realised.realised_oere, 0) AS realised_oere,
    coalesce(committed.expected_oere, 0) - coalesce(realised.realised_oere, 0) AS remaining_oere
FROM committed
FULL JOIN realised
    ON realised.service_line_id = committed.service_line_id
    AND realised.delivery_month = committed.delivery_month
    AND realised.process = committed.process
    AND realised.account = committed.account
