{# Fails with the keys that more than one row has: the grain of the model, where it takes several columns. #}
{% test unique_together(model, columns) %}
SELECT {{ columns | join(', ') }}, count(*) AS rows_with_key
FROM {{ model }}
GROUP BY {{ columns | join(', ') }}
HAVING count(*) > 1
{% endtest %}
