-- Grain: one charge × one citizen (and grant, where a requisition names it) that it may be about.
-- All that a line says must be true of the same citizen; or, of a line for several (`is_all`), every kind of naming must name the
-- same citizens, and the line is about every one of them.
WITH
naming AS (SELECT DISTINCT charge_no, kind, words, cpr, package_id FROM said),
of_line AS (
    SELECT charge_no, count(DISTINCT (kind, words)) AS names, count(DISTINCT kind) AS kinds FROM naming GROUP BY charge_no
),
of_citizen AS (
    SELECT
        charge_no, cpr, max(package_id) AS package_id, count(DISTINCT (kind, words)) AS names, count(DISTINCT kind) AS kinds,
        count(DISTINCT package_id) AS grants
    FROM naming GROUP BY charge_no, cpr
),
one_of AS (
    SELECT c.charge_no, c.cpr, CASE WHEN c.grants = 1 THEN c.package_id END AS package_id
    FROM of_citizen AS c JOIN of_line AS l ON l.charge_no = c.charge_no AND l.names = c.names
),
of_several AS (
    SELECT c.charge_no
    FROM of_citizen AS c JOIN of_line AS l ON l.charge_no = c.charge_no
    WHERE c.charge_no NOT IN (SELECT charge_no FROM one_of)
    GROUP BY c.charge_no HAVING bool_and(c.kinds = l.kinds) AND count(*) > 1
)
SELECT charge_no, cpr, package_id, false AS is_all FROM one_of
UNION ALL
SELECT DISTINCT n.charge_no, n.cpr, max(n.package_id) OVER (PARTITION BY n.charge_no, n.cpr), true
FROM naming AS n SEMI JOIN of_several AS s ON s.charge_no = n.charge_no
