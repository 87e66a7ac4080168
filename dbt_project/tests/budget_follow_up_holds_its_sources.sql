-- Budget, actual and commitment sum to their sources to the øre, and deviation is expected minus budget.
WITH
mart AS (
    SELECT sum(budget_dkk) AS budget_dkk, sum(actual_dkk) AS actual_dkk, sum(commitment_dkk) AS commitment_dkk
    FROM {{ ref('budget_follow_up') }}
),

commitment AS (
    SELECT
        coalesce(sum(amount_oere) FILTER (WHERE process IN ('faktura', 'intern', 'udbetaling')), 0)
        - coalesce(sum(amount_oere) FILTER (WHERE process IN ('mellemkommunal', 'personopkraevning', 'beboerbetaling')), 0)
            AS amount_oere
    FROM {{ source('settlement', 'commitment') }}
    WHERE year(delivery_month) <= year({{ horizon() }})
        OR year(delivery_month) IN (SELECT year FROM {{ source('canonical', 'budget') }} WHERE NOT withdrawn)
),

source AS (
    SELECT
        (SELECT sum(amount_oere) FROM {{ source('canonical', 'budget') }} WHERE NOT withdrawn) AS budget_oere,
        (SELECT sum(amount_oere) FROM {{ source('canonical', 'posting') }} WHERE NOT withdrawn) AS actual_oere,
        (SELECT amount_oere FROM commitment) AS commitment_oere
)

SELECT 'sums' AS broken
FROM mart
CROSS JOIN source
WHERE coalesce(mart.budget_dkk, 0) <> {{ kroner('coalesce(source.budget_oere, 0)') }}
    OR coalesce(mart.actual_dkk, 0) <> {{ kroner('coalesce(source.actual_oere, 0)') }}
    OR coalesce(mart.commitment_dkk, 0) <> {{ kroner('coalesce(source.commitment_oere, 0)') }}
UNION ALL
SELECT 'deviation' FROM {{ ref('budget_follow_up') }} WHERE deviation_dkk <> expected_dkk - budget_dkk
