SELECT
    {{ build_id() }} AS build_id,
    payroll.month,
    payroll.department,
    department.name AS department_name,
    payroll.offer_id,
    offer.name AS offer_name,
    payroll.wage_group,
    {{ kroner('sum(payroll.amount_oere)') }} AS amount_dkk,
    CAST(CAST(sum(payroll.hours_e4) AS DECIMAL(38, 0)) * 0.0001 AS DECIMAL(18, 4)) AS hours,
    -- 37 hours a week through 52 weeks are 1,924 hours a year.
    {{ rounded_ratio('12 * sum(payroll.hours_e4)', '19240000', 2, 'DECIMAL(12, 2)') }} AS full_time_posts
FROM {{ ref('stg_payroll_posting') }} AS payroll
LEFT JOIN {{ ref('stg_department') }} AS department ON department.department = payroll.department
LEFT JOIN {{ ref('stg_offer') }} AS offer ON offer.offer_id = payroll.offer_id
GROUP BY payroll.month, payroll.department, department.name, payroll.offer_id, offer.name, payroll.wage_group
