SELECT code, name FROM {{ source('reference', 'municipality') }}
