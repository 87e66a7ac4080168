SELECT load_id, file_hash, name, system FROM {{ source('raw', 'file') }}
