SELECT * FROM {{ source('invoice', 'remaining') }}
