{# Who is charged or paid, without naming a person. Municipalities, regions, departments and companies (CVR) are shown;
   anyone else is a person or a bank account of one, and gets a key. #}
{% macro names_no_person(process, counterparty) -%}
    ({{ counterparty }} = '' OR {{ process }} IN ('mellemkommunal', 'intern') OR regexp_full_match({{ counterparty }}, '[0-9]{8}'))
{%- endmacro %}

{% macro public_counterparty(process, counterparty) -%}
    CASE WHEN {{ names_no_person(process, counterparty) }} THEN {{ counterparty }} ELSE {{ person_key(counterparty) }} END
{%- endmacro %}

{# A supplier that has a CPR number where others have a CVR number is a private person. #}
{% macro sender_is_person() %}regexp_full_match(sender_cvr, '[0-9]{10}'){% endmacro %}
