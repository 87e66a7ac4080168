-- Grain: one charge × one way of naming that stands in its text or is its reference × one citizen (and grant) so named.
WITH
word AS (
    SELECT charge_no, sender_cvr, string_split(words, ' ') AS words, unnest(range(1, len(string_split(words, ' ')) + 1)) AS place
    FROM charged WHERE words <> ''
),
in_text AS (
    SELECT w.charge_no, k.kind, k.words, k.cpr, k.package_id, w.place - k.word_count + 1 AS from_place, w.place AS to_place
    FROM word AS w
    JOIN known_as AS k ON k.sender_cvr = w.sender_cvr AND k.last_word = w.words[w.place]
    WHERE w.place >= k.word_count AND array_to_string(w.words[w.place - k.word_count + 1 : w.place], ' ') = k.words
)
SELECT charge_no, kind, words, cpr, package_id, from_place, to_place FROM in_text
UNION ALL
SELECT c.charge_no, k.kind, k.words, k.cpr, k.package_id, 0, 0
FROM charged AS c
JOIN known_as AS k ON k.sender_cvr = c.sender_cvr AND k.kind = 'rekvisition' AND k.words = spoken(c.order_reference)
WHERE c.order_reference IS NOT NULL
