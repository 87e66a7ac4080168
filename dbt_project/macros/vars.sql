{# A variable the caller must give. Parsing does without; building without it is refused, never guessed. #}
{% macro required_var(name) -%}
    {%- set value = var(name, none) -%}
    {%- if execute and not value -%}
        {{ exceptions.raise_compiler_error("The variable " ~ name ~ " is missing. Give it with --vars; dbt_project.yml says what it holds.") }}
    {%- endif -%}
    {{ value }}
{%- endmacro %}

{% macro build_id() -%} '{{ required_var("build_id") }}' {%- endmacro %}

{# First day of the last settled delivery month. #}
{% macro horizon() -%} DATE '{{ required_var("horizon") or "1970-01-01" }}' {%- endmacro %}

{# A key that tells persons apart and names none: the first 16 hexadecimal digits of a salted SHA-256. #}
{% macro person_key(cpr) -%} substr(sha256('{{ required_var("person_salt") }}' || {{ cpr }}), 1, 16) {%- endmacro %}
