SELECT department, name FROM {{ source('canonical', 'department') }}
