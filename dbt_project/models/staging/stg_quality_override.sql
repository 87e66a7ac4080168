-- Confirmed and not lifted: an override that another person has let take effect.
WITH
confirmed AS (
    SELECT override.override_id, override.lifts, override.rule, override.finding_key, confirmation.confirmed_at
    FROM {{ source('ledger', 'quality_override') }} AS override
    JOIN {{ source('ledger', 'quality_override_confirmation') }} AS confirmation
        ON confirmation.override_id = override.override_id
)

SELECT rule, finding_key, max(confirmed_at) AS confirmed_at
FROM confirmed
WHERE lifts IS NULL AND override_id NOT IN (SELECT lifts FROM confirmed WHERE lifts IS NOT NULL)
GROUP BY rule, finding_key
