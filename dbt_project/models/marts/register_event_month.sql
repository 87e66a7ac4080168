SELECT
    {{ build_id() }} AS build_id,
    CAST(date_trunc('month', date) AS DATE) AS month,
    kind,
    count(*) AS events,
    count(DISTINCT cpr) AS persons
FROM {{ ref('stg_register_event') }}
GROUP BY date_trunc('month', date), kind
