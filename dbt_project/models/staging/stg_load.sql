SELECT load_id, received_at, dated FROM {{ source('raw', 'load') }}
