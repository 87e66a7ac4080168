-- Expected and realised are summed from the pieces and the ledger on their own; what remains, from the lines. That the three
-- agree is tested, not made.
WITH
side AS (
    SELECT
        service_line_id, delivery_month AS month, process, account,
        cost_oere AS expected_oere, CASE WHEN is_projected THEN cost_oere ELSE 0 END AS projected_oere,
        0 AS realised_oere, 0 AS remaining_oere
    FROM {{ ref('stg_commitment') }}
    UNION ALL
    SELECT service_line_id, delivery_month, process, account, 0, 0, {{ own_cost('process', 'amount_oere') }}, 0
    FROM {{ ref('stg_ledger_line') }}
    UNION ALL
    SELECT service_line_id, month, process, account, 0, 0, 0, remaining_oere
    FROM {{ ref('int_commitment_line_month') }}
),

summed AS (
    SELECT
        side.month,
        side.account,
        line.department,
        line.item_code,
        line.item_name,
        side.process,
        sum(side.expected_oere) AS expected_oere,
        sum(side.projected_oere) AS projected_oere,
        sum(side.realised_oere) AS realised_oere,
        sum(side.remaining_oere) AS remaining_oere,
        count(DISTINCT side.service_line_id) AS service_lines
    FROM side
    JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = side.service_line_id
    GROUP BY ALL
)

SELECT
    {{ build_id() }} AS build_id,
    summed.month,
    summed.account,
    account.name AS account_name,
    summed.department,
    department.name AS department_name,
    summed.item_code,
    summed.item_name,
    summed.process,
    {{ kroner('summed.expected_oere') }} AS expected_dkk,
    {{ kroner('summed.projected_oere') }} AS projected_dkk,
    {{ kroner('summed.realised_oere') }} AS realised_dkk,
    {{ kroner('summed.remaining_oere') }} AS remaining_dkk,
    summed.service_lines
FROM summed
LEFT JOIN {{ ref('stg_account') }} AS account ON account.account = summed.account
LEFT JOIN {{ ref('stg_department') }} AS department ON department.department = summed.department
