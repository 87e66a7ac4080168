SELECT
    offer_id,
    name,
    owner_kind,
    coalesce(paragraph, '') AS paragraph,
    coalesce(department, '') AS department,
    places,
    budgeted_occupancy_pct_e2,
    withdrawn
FROM {{ source('canonical', 'offer') }}
