{# What others pay us, municipalities and citizens, is income and counts negative (statistics_reports.md § 1.2). #}
{% macro own_cost(process, amount_oere) -%}
    CASE WHEN {{ process }} IN ('faktura', 'intern', 'udbetaling') THEN {{ amount_oere }} ELSE -{{ amount_oere }} END
{%- endmacro %}
