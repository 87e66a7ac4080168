{# Schemas are named exactly staging, intermediate, marts and marts_person, without the profile's prefix. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
