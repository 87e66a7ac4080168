-- By month or by person, entitled sums to the settled pieces and booked to the ledger, to the øre.
WITH
source AS (
    SELECT
        (SELECT sum(amount_oere) FROM {{ source('settlement', 'piece') }} WHERE process <> 'ingen') AS entitled,
        (SELECT sum(amount_oere) FROM {{ source('ledger', 'ledger_line') }}) AS booked,
        (
            SELECT sum(amount_oere) FROM {{ source('settlement', 'piece') }}
            WHERE process <> 'ingen' AND delivery_month <= {{ horizon() }}
        ) AS entitled_till_horizon,
        (
            SELECT sum(amount_oere) FROM {{ source('ledger', 'ledger_line') }} WHERE delivery_month <= {{ horizon() }}
        ) AS booked_till_horizon
),

mart AS (
    SELECT
        (SELECT sum(entitled_dkk) FROM {{ ref('cost_month') }}) AS entitled,
        (SELECT sum(booked_dkk) FROM {{ ref('cost_month') }}) AS booked,
        (SELECT sum(entitled_dkk) FROM {{ ref('service_line_month') }}) AS entitled_till_horizon,
        (SELECT sum(booked_dkk) FROM {{ ref('service_line_month') }}) AS booked_till_horizon
)

SELECT mart.*
FROM mart
CROSS JOIN source
WHERE FALSE
{% for figure in ('entitled', 'booked', 'entitled_till_horizon', 'booked_till_horizon') %}
    OR coalesce(mart.{{ figure }}, 0) <> {{ kroner('coalesce(source.' ~ figure ~ ', 0)') }}
{% endfor %}
