SELECT * FROM {{ source('invoice', 'charged') }}
