-- What others pay us, municipalities and citizens, is income and counts negative (statistics_reports.md § 1.2).
SELECT
    piece.delivery_month AS month,
    piece.account,
    package.department,
    CAST(sum(
        CASE WHEN piece.process IN ('faktura', 'intern', 'udbetaling') THEN piece.amount_oere ELSE -piece.amount_oere END
    ) AS BIGINT) AS amount_oere
FROM {{ ref('stg_piece') }} AS piece
JOIN {{ ref('stg_service_package') }} AS package ON package.package_id = piece.package_id
WHERE piece.is_settled
GROUP BY ALL
