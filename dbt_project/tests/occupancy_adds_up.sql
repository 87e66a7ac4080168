-- An offer's enrolled days are those of its paying municipalities, and their revenue is what the offer's pieces are worth.
WITH
by_municipality AS (
    SELECT month, offer_id, sum(enrolled_days) AS enrolled_days
    FROM {{ ref('occupancy_municipality') }}
    GROUP BY month, offer_id
),

pieces AS (
    SELECT {{ kroner('coalesce(sum(piece.amount_oere), 0)') }} AS revenue_dkk
    FROM {{ source('settlement', 'piece') }} AS piece
    JOIN {{ source('canonical', 'service_line') }} AS line ON line.service_line_id = piece.service_line_id
    WHERE piece.process IN ('mellemkommunal', 'intern', 'faktura', 'udbetaling')
        AND piece.delivery_month <= {{ horizon() }}
        AND line.offer_id IN (SELECT offer_id FROM {{ ref('occupancy_municipality') }})
)

SELECT 'enrolled_days' AS broken
FROM {{ ref('occupancy_offer') }} AS offer
LEFT JOIN by_municipality ON by_municipality.month = offer.month AND by_municipality.offer_id = offer.offer_id
WHERE offer.enrolled_days <> coalesce(by_municipality.enrolled_days, 0)
UNION ALL
SELECT 'revenue'
FROM pieces
WHERE revenue_dkk <> (SELECT coalesce(sum(revenue_dkk), 0) FROM {{ ref('occupancy_municipality') }})
