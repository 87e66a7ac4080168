{# Whole numbers to decimals without division and without a float; the product is made at 38 digits so that none is lost. #}

{# Øre → kroner. #}
{% macro kroner(oere) -%} CAST(CAST({{ oere }} AS DECIMAL(38, 0)) * 0.01 AS DECIMAL(18, 2)) {%- endmacro %}

{# numerator / denominator (> 0), rounded half away from zero to the scale of `type`; NULL where the denominator is 0. #}
{% macro rounded_ratio(numerator, denominator, scale, type) -%}
    CAST(
        CAST(
            CASE WHEN {{ numerator }} < 0 THEN -1 ELSE 1 END
            * ((2 * abs(CAST({{ numerator }} AS HUGEINT)) * {{ 10 ** scale }} + {{ denominator }}) // (2 * nullif(CAST({{ denominator }} AS HUGEINT), 0)))
        AS DECIMAL(38, 0)) * {{ "0." ~ "0" * (scale - 1) ~ "1" }}
    AS {{ type }})
{%- endmacro %}

{# Days since 1970-01-01, as the engine counts them. #}
{% macro day_number(day) -%} date_diff('day', DATE '1970-01-01', {{ day }}) {%- endmacro %}
