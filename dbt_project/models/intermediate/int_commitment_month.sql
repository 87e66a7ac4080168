SELECT
    commitment.delivery_month AS month,
    commitment.account,
    package.department,
    CAST(sum(commitment.cost_oere) AS BIGINT) AS amount_oere
FROM {{ ref('stg_commitment') }} AS commitment
JOIN {{ ref('stg_service_package') }} AS package ON package.package_id = commitment.package_id
GROUP BY ALL
