-- A source row makes at most one row of a canonical table, but a receipt of the same bytes twice may name it twice.
{% for table, named in canonical_tables().items() %}
SELECT
    '{{ table }}' AS table_name,
    load_id,
    source_file,
    source_row,
    {{ 'min(service_line_id)' if named.names_line else 'CAST(NULL AS VARCHAR)' }} AS service_line_id
FROM {{ source('canonical', table) }}
WHERE NOT withdrawn
GROUP BY load_id, source_file, source_row
{% if not loop.last %}UNION ALL{% endif %}
{% endfor %}
