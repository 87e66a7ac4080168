SELECT rule, title, owner, severity, bites_from FROM {{ source('quality', 'rule') }}
