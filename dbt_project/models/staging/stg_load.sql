SELECT load_id, system, received_at, received_by, dated, undoes FROM {{ source('raw', 'load') }}
