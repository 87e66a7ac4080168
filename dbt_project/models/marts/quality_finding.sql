-- A row tried again in a later load keeps the file it came in, which that load did not bring: files are found by hash.
WITH
file AS (
    SELECT file_hash, min(name) AS name, min(system) AS system FROM {{ ref('stg_file') }} GROUP BY file_hash
),

loader_file AS (
    {% for table, named in canonical_tables().items() %}
    SELECT '{{ table }}' AS table_name, '{{ named.loader_file }}' AS loader_file{% if not loop.last %} UNION ALL{% endif %}
    {% endfor %}
),

finding AS (
    SELECT
        refused.load_id,
        'karantæne' AS kind,
        refused.file_hash,
        refused.row,
        refused.loader_file,
        refused.reason,
        refused.column_name,
        refused.message,
        refused.service_line_id,
        refused.is_open
    FROM {{ ref('stg_refused') }} AS refused
    UNION ALL
    -- A warning is open while the row it was given about is the one in force.
    SELECT
        warned.load_id,
        'advarsel',
        warned.file_hash,
        warned.row,
        loader_file.loader_file,
        warned.warning,
        warned.column_name,
        warned.message,
        row_in_force.service_line_id,
        row_in_force.table_name IS NOT NULL
    FROM {{ ref('stg_warned') }} AS warned
    JOIN loader_file ON loader_file.table_name = warned.table_name
    LEFT JOIN {{ ref('int_row_in_force') }} AS row_in_force
        ON row_in_force.table_name = warned.table_name
        AND row_in_force.load_id = warned.load_id
        AND row_in_force.source_file = warned.file_hash
        AND row_in_force.source_row = warned.row
)

SELECT
    {{ build_id() }} AS build_id,
    finding.load_id,
    finding.kind,
    file.system,
    file.name AS file_name,
    finding.file_hash,
    finding.row,
    finding.loader_file,
    finding.reason,
    finding.column_name,
    finding.message,
    finding.service_line_id,
    finding.is_open
FROM finding
JOIN file ON file.file_hash = finding.file_hash
