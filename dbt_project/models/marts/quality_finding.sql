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

package AS (
    SELECT package_id, department FROM {{ ref('stg_service_package') }}
),

department_of_line AS (
    SELECT line.service_line_id, package.department
    FROM {{ ref('stg_service_line') }} AS line
    JOIN package ON package.package_id = line.package_id
),

finding AS (
    SELECT
        refused.load_id,
        refused.closed_by_load AS closed_load,
        'karantæne' AS kind,
        refused.file_hash,
        refused.row,
        refused.loader_file,
        refused.reason,
        refused.column_name,
        refused.message,
        refused.service_line_id,
        CAST(NULL AS VARCHAR) AS finding_key,
        coalesce(package.department, refused.department) AS department_of_row,
        refused.is_open
    FROM {{ ref('stg_refused') }} AS refused
    LEFT JOIN package ON package.package_id = refused.package_id
    UNION ALL
    -- A warning is open while the row it was given about is the one in force.
    SELECT
        warned.load_id,
        NULL,
        'advarsel',
        warned.file_hash,
        warned.row,
        loader_file.loader_file,
        warned.warning,
        warned.column_name,
        warned.message,
        row_in_force.service_line_id,
        NULL,
        NULL,
        row_in_force.table_name IS NOT NULL
    FROM {{ ref('stg_warned') }} AS warned
    JOIN loader_file ON loader_file.table_name = warned.table_name
    LEFT JOIN {{ ref('int_row_in_force') }} AS row_in_force
        ON row_in_force.table_name = warned.table_name
        AND row_in_force.load_id = warned.load_id
        AND row_in_force.source_file = warned.file_hash
        AND row_in_force.source_row = warned.row
    UNION ALL
    SELECT
        found.opened_load,
        found.closed_load,
        'regel',
        found.file_hash,
        found.row,
        loader_file.loader_file,
        found.rule,
        NULL,
        found.message,
        found.service_line_id,
        found.key,
        package.department,
        found.closed_load IS NULL
    FROM {{ ref('stg_rule_finding') }} AS found
    JOIN loader_file ON loader_file.table_name = found.table_name
    LEFT JOIN package ON found.table_name = 'service_package' AND package.package_id = found.key
),

dated AS (
    SELECT load_id, received_by, dated FROM {{ ref('stg_load') }}
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
    finding.is_open AND override.rule IS NULL AS is_open,
    finding.finding_key,
    rule.title,
    coalesce(rule.severity, CASE WHEN finding.kind = 'karantæne' THEN 'refuse' ELSE 'warn' END) AS severity,
    rule.bites_from,
    coalesce(department_of_line.department, finding.department_of_row) AS department,
    CASE
        WHEN rule.owner = 'system' THEN file.system
        ELSE coalesce(department_of_line.department, finding.department_of_row, file.system)
    END AS owner,
    opening.received_by,
    opening.dated AS opened_on,
    -- Whichever came first: the load that mended it, or the day a person let it stand.
    least(
        closing.dated,
        CASE WHEN override.confirmed_at IS NOT NULL THEN greatest(opening.dated, CAST(override.confirmed_at AS DATE)) END
    ) AS closed_on,
    finding.is_open AND override.rule IS NOT NULL AS is_overridden
FROM finding
JOIN file ON file.file_hash = finding.file_hash
JOIN dated AS opening ON opening.load_id = finding.load_id
LEFT JOIN dated AS closing ON closing.load_id = finding.closed_load
LEFT JOIN department_of_line ON department_of_line.service_line_id = finding.service_line_id
LEFT JOIN {{ ref('stg_quality_rule') }} AS rule ON rule.rule = finding.reason AND finding.kind <> 'karantæne'
LEFT JOIN {{ ref('stg_quality_override') }} AS override
    ON finding.kind = 'regel' AND override.rule = finding.reason AND override.finding_key = finding.finding_key
