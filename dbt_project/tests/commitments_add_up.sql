-- remaining + realised = expected in every row of both marts; expected sums to the pieces, realised to the ledger, and what is not
-- projected, through the horizon's year, to what the engine finds entitled there.
WITH
source AS (
    SELECT
        (SELECT coalesce(sum({{ own_cost('process', 'amount_oere') }}), 0) FROM {{ source('settlement', 'commitment') }}) AS expected,
        (
            SELECT coalesce(sum({{ own_cost('process', 'amount_oere') }}), 0)
            FROM {{ source('settlement', 'commitment') }} WHERE is_projected
        ) AS projected,
        (SELECT coalesce(sum({{ own_cost('process', 'amount_oere') }}), 0) FROM {{ source('ledger', 'ledger_line') }}) AS realised
),

by_account AS (
    SELECT
        'commitment_month' AS mart, month, account, department, sum(expected_dkk) AS expected_dkk,
        sum(realised_dkk) AS realised_dkk, sum(remaining_dkk) AS remaining_dkk
    FROM {{ ref('commitment_month') }} GROUP BY ALL
    UNION ALL
    SELECT 'commitment_line_month', month, account, department, sum(expected_dkk), sum(realised_dkk), sum(remaining_dkk)
    FROM {{ ref('commitment_line_month') }} GROUP BY ALL
)

SELECT 'commitment_month' AS broken FROM {{ ref('commitment_month') }} WHERE remaining_dkk + realised_dkk <> expected_dkk
UNION ALL
SELECT 'commitment_line_month' FROM {{ ref('commitment_line_month') }} WHERE remaining_dkk + realised_dkk <> expected_dkk
UNION ALL
{% for mart in ('commitment_month', 'commitment_line_month') %}
SELECT 'sums of {{ mart }}' FROM source WHERE FALSE
{% for figure in ('expected', 'projected', 'realised') %}
    OR {{ kroner('source.' ~ figure) }} <> (SELECT coalesce(sum({{ figure }}_dkk), 0) FROM {{ ref(mart) }})
{% endfor %}
UNION ALL
{% endfor %}
SELECT 'line by line ' || account || ' ' || department
FROM by_account
GROUP BY month, account, department
HAVING count(DISTINCT (expected_dkk, realised_dkk, remaining_dkk)) > 1
UNION ALL
SELECT 'entitled'
WHERE (
    SELECT coalesce(sum(amount_oere), 0) FROM {{ source('settlement', 'commitment') }}
    WHERE NOT is_projected AND year(delivery_month) <= year({{ horizon() }})
) <> (SELECT coalesce(sum(amount_oere), 0) FROM {{ source('settlement', 'piece') }} WHERE process <> 'ingen')
