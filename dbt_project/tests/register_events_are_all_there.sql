-- Every event of the CPR register counts once.
WITH
source AS (
    {% for table in ('citizen_residence', 'citizen_status', 'cpr_change', 'address_protection', 'guardianship') %}
    SELECT count(*) AS events FROM {{ source('canonical', table) }} WHERE NOT withdrawn
    {% if not loop.last %}UNION ALL{% endif %}
    {% endfor %}
)

SELECT 'events' AS broken
WHERE (SELECT coalesce(sum(events), 0) FROM {{ ref('register_event_month') }}) <> (SELECT sum(events) FROM source)
