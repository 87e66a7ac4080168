-- Refused rows and findings of standing rules; a warning of a row has no end of its own.
WITH
finding AS (
    SELECT
        kind,
        reason,
        system,
        owner,
        coalesce(department, '') AS department,
        CAST(date_trunc('month', opened_on) AS DATE) AS opened,
        CAST(date_trunc('month', closed_on) AS DATE) AS closed
    FROM {{ ref('quality_finding') }}
    WHERE kind IN ('karantæne', 'regel')
),

month AS (
    SELECT CAST(unnest(generate_series(
        (SELECT min(opened) FROM finding),
        (SELECT greatest(date_trunc('month', max(dated)), (SELECT max(closed) FROM finding)) FROM {{ ref('stg_load') }}),
        INTERVAL 1 MONTH
    )) AS DATE) AS month
),

event AS (
    SELECT kind, reason, system, owner, department, opened AS month, 1 AS opened, 0 AS closed FROM finding
    UNION ALL
    SELECT kind, reason, system, owner, department, closed, 0, 1 FROM finding WHERE closed IS NOT NULL
),

counted AS (
    SELECT kind, reason, system, owner, department, month, sum(opened) AS opened, sum(closed) AS closed
    FROM event
    GROUP BY kind, reason, system, owner, department, month
),

every AS (
    SELECT known.kind, known.reason, known.system, known.owner, known.department, month.month
    FROM (SELECT DISTINCT kind, reason, system, owner, department FROM finding) AS known
    CROSS JOIN month
)

SELECT
    {{ build_id() }} AS build_id,
    every.month,
    every.kind,
    every.reason,
    every.system,
    every.owner,
    every.department,
    CAST(coalesce(counted.opened, 0) AS BIGINT) AS opened,
    CAST(coalesce(counted.closed, 0) AS BIGINT) AS closed,
    CAST(sum(coalesce(counted.opened, 0) - coalesce(counted.closed, 0)) OVER (
        PARTITION BY every.kind, every.reason, every.system, every.owner, every.department ORDER BY every.month
    ) AS BIGINT) AS open_at_end
FROM every
LEFT JOIN counted
    ON counted.month = every.month
    AND counted.kind = every.kind
    AND counted.reason = every.reason
    AND counted.system = every.system
    AND counted.owner = every.owner
    AND counted.department = every.department
