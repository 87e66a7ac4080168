WITH
actual AS (
    SELECT delivery_month AS month, account, department, CAST(sum(amount_oere) AS BIGINT) AS amount_oere
    FROM {{ ref('stg_posting') }}
    GROUP BY delivery_month, account, department
),

-- The month of the newest posting is still being posted in; the delivery months before it are known.
open_from AS (
    SELECT date_trunc('month', max(posting_date)) AS month FROM {{ ref('stg_posting') }}
),

side AS (
    SELECT month, account, department, amount_oere AS budget_oere, 0 AS actual_oere, 0 AS commitment_oere
    FROM {{ ref('int_budget_month') }}
    UNION ALL
    SELECT month, account, department, 0, amount_oere, 0 FROM actual
    UNION ALL
    SELECT month, account, department, 0, 0, amount_oere
    FROM {{ ref('int_commitment_month') }}
    -- A coming year is followed up from when it has a budget; until then its commitments stand in commitment_month.
    WHERE year(month) <= year({{ horizon() }}) OR year(month) IN (SELECT year FROM {{ ref('stg_budget') }})
),

summed AS (
    SELECT
        month,
        account,
        department,
        sum(budget_oere) AS budget_oere,
        sum(actual_oere) AS actual_oere,
        sum(commitment_oere) AS commitment_oere
    FROM side
    GROUP BY month, account, department
),

expected AS (
    SELECT
        summed.*,
        CASE WHEN summed.month < open_from.month THEN summed.actual_oere ELSE summed.commitment_oere END AS expected_oere
    FROM summed
    CROSS JOIN open_from
)

SELECT
    {{ build_id() }} AS build_id,
    expected.month,
    expected.account,
    account.name AS account_name,
    expected.department,
    department.name AS department_name,
    {{ kroner('expected.budget_oere') }} AS budget_dkk,
    {{ kroner('expected.actual_oere') }} AS actual_dkk,
    {{ kroner('expected.commitment_oere') }} AS commitment_dkk,
    {{ kroner('expected.expected_oere') }} AS expected_dkk,
    {{ kroner('expected.expected_oere - expected.budget_oere') }} AS deviation_dkk
FROM expected
LEFT JOIN {{ ref('stg_account') }} AS account ON account.account = expected.account
LEFT JOIN {{ ref('stg_department') }} AS department ON department.department = expected.department
