-- Every booked line is there once, and the sums are the ledger's to the øre.
WITH
mart AS (
    SELECT count(*) AS lines, sum(amount_dkk) AS amount_dkk, sum(vat_dkk) AS vat_dkk FROM {{ ref('settlement_line') }}
),

ledger AS (
    SELECT
        count(*) AS lines,
        {{ kroner('sum(amount_oere)') }} AS amount_dkk,
        {{ kroner('sum(vat_oere)') }} AS vat_dkk
    FROM {{ source('ledger', 'ledger_line') }}
)

SELECT * FROM mart EXCEPT SELECT * FROM ledger
