-- Grain: one charge that no citizen is named on and no person has chosen for. `names_a_stranger` says that its text or reference names someone all the same:
-- a number of six digits or more, two words side by side, or a reference with digits, that nothing known explains.
WITH
word AS (
    SELECT charge_no, item_words, unnest(string_split(words, ' ')) AS word, generate_subscripts(string_split(words, ' '), 1) AS place
    FROM charged WHERE words <> ''
),
-- A conflict names citizens too: each by another of its words.
explained AS (SELECT DISTINCT charge_no FROM said),
strange AS (
    SELECT charge_no, place, word
    FROM word
    WHERE NOT list_contains(string_split(item_words, ' '), word) AND word NOT IN (SELECT word FROM ordinary_word)
    AND NOT regexp_full_match(word, '[0-9]{1,5}')
),
stranger AS (
    SELECT a.charge_no FROM strange AS a WHERE regexp_full_match(a.word, '[0-9]{6,10}')
    UNION
    SELECT a.charge_no FROM strange AS a JOIN strange AS b ON b.charge_no = a.charge_no AND b.place = a.place + 1
    UNION
    SELECT charge_no FROM charged WHERE regexp_matches(order_reference, '[0-9]')
)
SELECT
    c.charge_no, s.charge_no IS NOT NULL AS names_a_stranger
FROM charged AS c LEFT JOIN stranger AS s ON s.charge_no = c.charge_no
WHERE c.charge_no NOT IN (SELECT charge_no FROM explained) AND c.charge_no NOT IN (SELECT charge_no FROM chosen)
