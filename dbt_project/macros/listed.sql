{# Aggregate: the different texts of a group in order, separated by «, »; without the empty ones. Lists are several times
   faster here than string_agg with DISTINCT and ORDER BY. #}
{% macro listed(text) -%}
    array_to_string(list_sort(list_distinct(list(nullif({{ text }}, '')))), ', ')
{%- endmacro %}
