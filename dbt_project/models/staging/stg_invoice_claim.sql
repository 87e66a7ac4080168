SELECT * FROM {{ source('invoice', 'claim') }}
