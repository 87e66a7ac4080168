-- Grain: one way a sender may name a citizen it serves, has served or will, or a grant it delivers on: our requisition, the
-- CPR number, the full name, the initials with the day of birth, all as `spoken` gives them.
WITH
served AS (
    SELECT DISTINCT o.cvr AS sender_cvr, p.cpr, p.package_id, p.requisition
    FROM service_line AS l
    JOIN offer_owner AS o ON o.offer_id = l.offer_id
    JOIN service_package AS p ON p.package_id = l.package_id
    WHERE NOT l.withdrawn AND o.cvr IN (SELECT sender_cvr FROM charged)
),
citizen AS (
    SELECT s.sender_cvr, s.cpr, any_value(spoken(person.name)) AS name, any_value(initials(person.name)) AS initials
    FROM served AS s LEFT JOIN person ON person.cpr = s.cpr GROUP BY s.sender_cvr, s.cpr
),
way AS (
    SELECT sender_cvr, 'rekvisition' AS kind, spoken(requisition) AS words, cpr, package_id FROM served
    UNION ALL SELECT sender_cvr, 'cpr', concat(left(cpr, 6), ' ', right(cpr, 4)), cpr, NULL FROM citizen
    UNION ALL SELECT sender_cvr, 'cpr', cpr, cpr, NULL FROM citizen
    UNION ALL SELECT sender_cvr, 'navn', name, cpr, NULL FROM citizen WHERE contains(name, ' ')
    UNION ALL
    SELECT sender_cvr, 'initialer', concat(initials, ' ', birthday(cpr)), cpr, NULL FROM citizen WHERE initials <> ''
)
SELECT DISTINCT
    sender_cvr, kind, words, cpr, package_id, split_part(words, ' ', -1) AS last_word,
    length(words) - length(replace(words, ' ', '')) + 1 AS word_count
FROM way WHERE words <> ''
