-- opening + changes = closing: opening is what the pieces were worth as known when the horizon's month ended, closing what they are
-- worth now, both summed on their own by year, process and account.
WITH
source AS (
    SELECT year(delivery_month) AS delivery_year, process, account, amount_oere AS closing_oere, 0 AS opening_oere
    FROM {{ source('settlement', 'commitment') }}
    UNION ALL
    SELECT year(delivery_month), process, account, 0, amount_oere
    FROM {{ source('settlement', 'commitment_before') }}
),

side AS (
    SELECT
        delivery_year, process, account, {{ own_cost('process', 'opening_oere') }} AS opening_oere, 0 AS changed_oere,
        {{ own_cost('process', 'closing_oere') }} AS closing_oere, 'source' AS mart
    FROM source
{% for mart in ('commitment_change', 'commitment_change_line') %}
    UNION ALL
    SELECT
        delivery_year, process, account, -CAST(opening_dkk * 100 AS BIGINT), CAST(change_dkk * 100 AS BIGINT),
        -CAST((opening_dkk + change_dkk) * 100 AS BIGINT), '{{ mart }}'
    FROM {{ ref(mart) }}
{% endfor %}
)

SELECT side.delivery_year, side.process, side.account, marts.mart
FROM side
JOIN (SELECT unnest(['commitment_change', 'commitment_change_line']) AS mart) AS marts
    ON side.mart IN ('source', marts.mart)
GROUP BY ALL
HAVING sum(opening_oere) <> 0 OR sum(closing_oere) <> 0
UNION ALL
SELECT delivery_year, process, account, 'closing' FROM {{ ref('commitment_change') }} WHERE opening_dkk + change_dkk <> closing_dkk
UNION ALL
SELECT delivery_year, process, account, 'unchanged' FROM {{ ref('commitment_change_line') }}
WHERE opening_dkk + change_dkk <> closing_dkk OR (cause = 'uaendret' AND change_dkk <> 0)
