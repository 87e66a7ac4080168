SELECT account, name FROM {{ source('canonical', 'account') }}
