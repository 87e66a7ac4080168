SELECT
    conflict.table_name,
    loader_file.loader_file,
    conflict.key,
    loader_file.loader_column AS column_name,
    conflict.system,
    conflict.value,
    conflict.dated,
    conflict.load_id,
    conflict.is_chosen
FROM {{ source('quality', 'source_conflict') }} AS conflict
JOIN (
    {% for table, columns in contested_columns().items() %}{% for column, loader_column in columns.items() %}
    SELECT '{{ table }}' AS table_name, '{{ column }}' AS column_name, '{{ loader_column }}' AS loader_column,
        '{{ canonical_tables()[table].loader_file }}' AS loader_file{% if not loop.last %} UNION ALL{% endif %}
    {% endfor %}{% if not loop.last %} UNION ALL{% endif %}{% endfor %}
) AS loader_file
    ON loader_file.table_name = conflict.table_name
    AND loader_file.column_name = conflict.column_name
