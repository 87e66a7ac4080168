SELECT department, name, ean FROM {{ source('canonical', 'department') }}
