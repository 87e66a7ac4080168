WITH counted AS (
    SELECT
        load_id, count(*) AS files, sum(rows_read)::bigint AS rows_read, sum(rows_accepted)::bigint AS rows_accepted,
        sum(rows_quarantined)::bigint AS rows_quarantined, sum(rows_withdrawn)::bigint AS rows_withdrawn
    FROM {{ ref('stg_file_count') }} GROUP BY load_id
),

-- An undoing that is undone itself undoes nothing.
undone AS (
    SELECT undoing.undoes AS load_id, max(undoing.load_id) AS undone_by
    FROM {{ ref('stg_load') }} AS undoing
    WHERE undoing.undoes > 0 AND undoing.load_id NOT IN (SELECT undoes FROM {{ ref('stg_load') }})
    GROUP BY undoing.undoes
)

SELECT
    {{ build_id() }} AS build_id,
    load.load_id,
    load.system,
    load.received_at,
    load.received_by,
    load.dated,
    coalesce(counted.files, 0) AS files,
    coalesce(counted.rows_read, 0) AS rows_read,
    coalesce(counted.rows_accepted, 0) AS rows_accepted,
    coalesce(counted.rows_quarantined, 0) AS rows_quarantined,
    coalesce(counted.rows_withdrawn, 0) AS rows_withdrawn,
    nullif(load.undoes, 0) AS undoes,
    undone.undone_by
FROM {{ ref('stg_load') }} AS load
LEFT JOIN counted ON counted.load_id = load.load_id
LEFT JOIN undone ON undone.load_id = load.load_id
