SELECT
    {{ build_id() }} AS build_id,
    change.delivery_year,
    change.account,
    any_value(account.name) AS account_name,
    line.department,
    any_value(department.name) AS department_name,
    line.item_code,
    line.item_name,
    change.process,
    change.cause,
    change.is_late,
    {{ kroner('sum(change.opening_oere)') }} AS opening_dkk,
    {{ kroner('sum(change.change_oere)') }} AS change_dkk,
    {{ kroner('sum(change.opening_oere + change.change_oere)') }} AS closing_dkk,
    count(DISTINCT change.service_line_id) AS service_lines
FROM {{ ref('stg_commitment_change') }} AS change
JOIN {{ ref('int_service_line') }} AS line ON line.service_line_id = change.service_line_id
LEFT JOIN {{ ref('stg_account') }} AS account ON account.account = change.account
LEFT JOIN {{ ref('stg_department') }} AS department ON department.department = line.department
GROUP BY
    change.delivery_year, change.account, line.department, line.item_code, line.item_name, change.process, change.cause,
    change.is_late
