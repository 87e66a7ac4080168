-- Every row read is accepted, refused or left out by the mapping, and every refusal and warning is a finding.
SELECT 'rows' AS broken
FROM {{ ref('file_quality') }}
WHERE rows_read <> rows_accepted + rows_quarantined + rows_outdated + rows_unmapped
UNION ALL
SELECT 'files' WHERE (SELECT count(*) FROM {{ ref('file_quality') }}) <> (SELECT count(*) FROM {{ source('quarantine', 'file_count') }})
UNION ALL
SELECT 'findings'
WHERE (SELECT count(*) FROM {{ ref('quality_finding') }})
    <> (SELECT count(*) FROM {{ source('quarantine', 'refused') }}) + (SELECT count(*) FROM {{ source('quarantine', 'warned') }})
    + (SELECT count(*) FROM {{ source('quality', 'finding') }})
UNION ALL
-- What is open is what was opened and not closed, by month and as the findings say it.
SELECT 'trend'
WHERE (SELECT coalesce(sum(opened - closed), 0) FROM {{ ref('quality_trend') }})
    <> (SELECT count(*) FROM {{ ref('quality_finding') }} WHERE kind <> 'advarsel' AND closed_on IS NULL)
