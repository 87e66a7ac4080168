SELECT * FROM {{ source('invoice', 'fit') }}
