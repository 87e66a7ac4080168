SELECT day, weekdays FROM {{ source('settlement', 'calendar_day') }}
