-- Kroner and hours sum to the payroll postings.
WITH
mart AS (
    SELECT coalesce(sum(amount_dkk), 0) AS amount_dkk, coalesce(sum(hours), 0) AS hours FROM {{ ref('payroll_month') }}
),

source AS (
    SELECT
        {{ kroner('coalesce(sum(amount_oere), 0)') }} AS amount_dkk,
        CAST(coalesce(sum(hours_e4), 0) AS DECIMAL(38, 0)) * 0.0001 AS hours
    FROM {{ source('canonical', 'payroll_posting') }}
    WHERE NOT withdrawn
)

SELECT 'sums' AS broken
FROM mart
CROSS JOIN source
WHERE mart.amount_dkk <> source.amount_dkk OR mart.hours <> source.hours
