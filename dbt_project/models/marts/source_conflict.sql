-- Of a citizen only that two systems disagree, of what and since when; who it is, and the values, are in marts_person.
SELECT
    {{ build_id() }} AS build_id,
    loader_file,
    CASE WHEN table_name = 'citizen' THEN {{ person_key('key') }} ELSE key END AS subject,
    column_name,
    system,
    CASE WHEN table_name <> 'citizen' THEN value END AS value,
    dated,
    load_id,
    is_chosen
FROM {{ ref('stg_source_conflict') }}
