SELECT * FROM {{ source('invoice', 'line_outcome') }}
