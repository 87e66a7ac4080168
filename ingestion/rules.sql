-- What the rules in rules.yaml share. Days of a rule end with as_of(), the newest date of any extract: never the clock.
-- Grains: a line or package by its id, a person by the number the person has now.
CREATE OR REPLACE MACRO as_of() AS CAST(coalesce(getvariable('as_of'), error('as_of is not set: rules.set_facts')) AS DATE);
-- First day that this platform settles; what lies before is an earlier system's.
CREATE OR REPLACE MACRO settles_from() AS
    CAST(coalesce(getvariable('settles_from'), error('settles_from is not set: rules.set_facts')) AS DATE);
CREATE OR REPLACE MACRO own_municipality() AS
    CAST(coalesce(getvariable('own_municipality'), error('own_municipality is not set: rules.set_facts')) AS VARCHAR);
-- «§ 83 a», «83A, stk. 1» and «83 a» are one paragraph.
CREATE OR REPLACE MACRO paragraph_key(x) AS
    regexp_extract(lower(x), '([0-9]+)', 1) || regexp_extract(lower(x), '[0-9]+ ?([a-z])([^a-zæøå]|$)', 1);

-- A changed number, and the number the person has now; a number may change again.
CREATE VIEW quality.person AS
WITH RECURSIVE change AS (
    SELECT old_cpr AS cpr, new_cpr AS person, 1 AS step FROM canonical.cpr_change WHERE NOT withdrawn
    UNION ALL
    SELECT c.cpr, n.new_cpr, c.step + 1 FROM change c
    JOIN canonical.cpr_change n ON n.old_cpr = c.person AND NOT n.withdrawn WHERE c.step < 20
)
SELECT cpr, arg_max(person, step) AS person FROM change GROUP BY cpr;

-- A line that is entitled to something (settlement.md § 6), with its last paid day and what its package and item say.
CREATE VIEW quality.living_line AS
SELECT
    l.service_line_id, l.package_id, l.item_code, l.offer_id, coalesce(l.process, '') AS process, i.unit,
    coalesce(c.person, p.cpr) AS person, p.paying_municipality, l.start_date AS first_day,
    CASE
        WHEN i.unit = 'engang' THEN l.start_date
        WHEN NOT i.departure_day_paid AND i.unit <> 'leveret' AND l.end_date > l.start_date THEN l.end_date - 1
        ELSE coalesce(l.end_date, DATE '9999-12-31')
    END AS last_day
FROM canonical.service_line l
JOIN canonical.service_package p ON p.package_id = l.package_id
JOIN canonical.catalogue_item i ON i.item_code = l.item_code
LEFT JOIN quality.person c ON c.cpr = p.cpr
WHERE NOT l.withdrawn AND NOT p.withdrawn AND p.status IN ('bevilget', 'afsluttet');

CREATE VIEW quality.person_status AS
SELECT coalesce(c.person, s.cpr) AS person, arg_max(s.status, s.status_date) AS status, max(s.status_date) AS since
FROM canonical.citizen_status s LEFT JOIN quality.person c ON c.cpr = s.cpr
WHERE NOT s.withdrawn AND s.status_date <= as_of() GROUP BY 1;

CREATE VIEW quality.person_residence AS
SELECT coalesce(c.person, s.cpr) AS person, arg_max(s.municipality, s.valid_from) AS municipality, max(s.valid_from) AS since
FROM canonical.citizen_residence s LEFT JOIN quality.person c ON c.cpr = s.cpr
WHERE NOT s.withdrawn AND s.valid_from <= as_of() GROUP BY 1;

-- Who pays a line (settlement.md § 4) on its last paid day, of one that goes on as_of(), of one that has not begun its first.
CREATE VIEW quality.line_payer AS
WITH line AS (
    SELECT service_line_id, package_id, paying_municipality, greatest(first_day, least(last_day, as_of())) AS day
    FROM quality.living_line
),
dated AS (
    SELECT l.service_line_id, l.paying_municipality,
        arg_max_null(CASE WHEN coalesce(p.valid_to, l.day) >= l.day THEN p.paying_municipality END, p.valid_from) AS payer
    FROM line l LEFT JOIN canonical.package_payer p
        ON p.package_id = l.package_id AND NOT p.withdrawn AND p.valid_from <= l.day
    GROUP BY ALL
)
SELECT service_line_id, coalesce(payer, paying_municipality) AS payer FROM dated;

-- Lines that run on after the person left, and that the own municipality pays. Who moves to where the offer lies has moved
-- because of it: the municipality goes on paying (retssikkerhedsloven § 9, «bliver ved»).
CREATE VIEW quality.line_of_departed AS
WITH departed AS (
    SELECT person, since, municipality FROM quality.person_residence WHERE municipality <> own_municipality()
    UNION ALL
    SELECT person, since, NULL FROM quality.person_status WHERE status IN ('udrejst', 'forsvundet')
),
line AS (
    SELECT l.service_line_id
    FROM quality.living_line l JOIN departed d ON d.person = l.person
    LEFT JOIN canonical.offer o ON o.offer_id = l.offer_id
    WHERE l.first_day < d.since AND l.last_day >= d.since AND o.location_municipality IS DISTINCT FROM d.municipality
)
SELECT DISTINCT service_line_id FROM line JOIN quality.line_payer USING (service_line_id) WHERE payer = own_municipality();

-- Two stays by day and night of one person on one day, at different offers. A person's stays at one offer are joined first.
CREATE VIEW quality.double_stay AS
WITH line AS (
    SELECT service_line_id, person, offer_id, first_day, last_day FROM quality.living_line
    WHERE unit = 'doegn' AND offer_id IS NOT NULL
    AND person IN (SELECT person FROM quality.living_line WHERE unit = 'doegn' GROUP BY person HAVING count(DISTINCT offer_id) > 1)
),
begun AS (
    SELECT *, first_day > 1 + max(last_day) OVER (
        PARTITION BY person, offer_id ORDER BY first_day, last_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins
    FROM line
),
numbered AS (
    SELECT *, count(*) FILTER (begins) OVER (
        PARTITION BY person, offer_id ORDER BY first_day, last_day ROWS UNBOUNDED PRECEDING) AS number
    FROM begun
),
stay AS (
    SELECT person, offer_id, min(first_day) AS first_day, max(last_day) AS last_day
    FROM numbered GROUP BY person, offer_id, number
)
SELECT DISTINCT l.service_line_id FROM line l
JOIN stay s ON s.person = l.person AND s.offer_id <> l.offer_id AND s.first_day <= l.last_day AND s.last_day >= l.first_day;

-- Offers with more persons than places on a day of this month or the one before. A person takes one place, however many
-- lines are granted (a stay and its supplement).
CREATE VIEW quality.crowded_offer AS
WITH line AS (
    SELECT offer_id, person, greatest(first_day, date_trunc('month', as_of() - INTERVAL 1 MONTH)::DATE) AS first_day,
        least(last_day, as_of()) AS last_day
    FROM quality.living_line
    WHERE offer_id IN (SELECT offer_id FROM canonical.offer WHERE NOT withdrawn AND places IS NOT NULL)
    AND unit IN ('doegn', 'uge', 'maaned', 'aar') AND process NOT IN ('personopkraevning', 'beboerbetaling')
    AND first_day <= as_of() AND last_day >= date_trunc('month', as_of() - INTERVAL 1 MONTH)::DATE
),
uncounted AS (
    SELECT offer_id, last_day, greatest(first_day, 1 + coalesce(max(last_day) OVER (
        PARTITION BY offer_id, person ORDER BY first_day, last_day DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), first_day - 1)) AS first_day
    FROM line
),
change AS (
    SELECT offer_id, day, sum(step) AS step FROM (
        SELECT offer_id, first_day AS day, 1 AS step FROM uncounted WHERE first_day <= last_day
        UNION ALL
        SELECT offer_id, last_day + 1, -1 FROM uncounted WHERE first_day <= last_day
    ) GROUP BY ALL
)
SELECT DISTINCT c.offer_id
FROM (SELECT offer_id, sum(step) OVER (PARTITION BY offer_id ORDER BY day) AS persons FROM change) c
JOIN canonical.offer o ON o.offer_id = c.offer_id WHERE c.persons > o.places;

-- A municipality whose systems give no date of decision at all is not told of every line.
CREATE VIEW quality.package_without_grant AS
SELECT package_id FROM canonical.service_package
WHERE withdrawn OR status IN ('ansoegt', 'annulleret')
OR (granted_date IS NULL AND EXISTS (FROM canonical.service_package WHERE granted_date IS NOT NULL));

-- Days on which an item's law and paragraph are in force; a law without paragraphs in the register is known as a whole.
CREATE VIEW quality.item_in_force AS
SELECT i.item_code, g.valid_from, g.valid_to
FROM canonical.catalogue_item i
JOIN quality.law_paragraph g ON g.law = replace(upper(trim(i.law)), 'ÆL', 'AEL')
    AND (g.paragraph = '' OR g.paragraph = paragraph_key(i.paragraph));

-- Stretches of days with a price, a line's own or an item's (at an offer, or everywhere: ''). Of several starts at one
-- level an open one ends the day before the next (loader.md).
CREATE VIEW quality.priced AS
SELECT level, id, offer_id, valid_from AS first_day, coalesce(valid_to, lead(valid_from) OVER (
    PARTITION BY level, id, offer_id ORDER BY valid_from) - 1, DATE '9999-12-31') AS last_day
FROM (
    SELECT 'line' AS level, service_line_id AS id, '' AS offer_id, valid_from, valid_to
    FROM canonical.individual_rate WHERE NOT withdrawn
    UNION ALL
    SELECT 'item', item_code, coalesce(offer_id, ''), valid_from, valid_to FROM canonical.rate WHERE NOT withdrawn
);

-- Lines without a price on a day up to as_of(). Most are covered by their item's prices, joined per item and offer; only the
-- others are looked at one by one.
CREATE VIEW quality.unpriced_line AS
WITH line AS (
    SELECT service_line_id, item_code, coalesce(offer_id, '') AS offer_id, greatest(first_day, settles_from()) AS first_day,
        least(last_day, as_of()) AS last_day
    FROM quality.living_line WHERE process <> 'ingen' AND last_day >= settles_from() AND first_day <= as_of()
),
wanted AS (SELECT DISTINCT item_code, offer_id FROM line),
shared AS (
    SELECT w.item_code, w.offer_id, p.first_day, p.last_day
    FROM wanted w JOIN quality.priced p ON p.level = 'item' AND p.id = w.item_code AND p.offer_id = ''
    UNION ALL
    SELECT w.item_code, w.offer_id, p.first_day, p.last_day
    FROM wanted w JOIN quality.priced p ON p.level = 'item' AND p.id = w.item_code AND p.offer_id = w.offer_id
    WHERE w.offer_id <> ''
),
begun AS (
    SELECT *, first_day > 1 + max(last_day) OVER (
        PARTITION BY item_code, offer_id ORDER BY first_day, last_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins
    FROM shared
),
numbered AS (
    SELECT *, count(*) FILTER (begins) OVER (
        PARTITION BY item_code, offer_id ORDER BY first_day, last_day ROWS UNBOUNDED PRECEDING) AS number
    FROM begun
),
covered AS (
    SELECT item_code, offer_id, min(first_day) AS first_day, max(last_day) AS last_day
    FROM numbered GROUP BY item_code, offer_id, number
),
other AS (
    SELECT l.* FROM line l ANTI JOIN covered c ON c.item_code = l.item_code AND c.offer_id = l.offer_id
        AND c.first_day <= l.first_day AND c.last_day >= l.last_day
),
piece AS (
    SELECT o.service_line_id, greatest(o.first_day, c.first_day) AS first_day, least(o.last_day, c.last_day) AS last_day
    FROM other o JOIN covered c ON c.item_code = o.item_code AND c.offer_id = o.offer_id
        AND c.first_day <= o.last_day AND c.last_day >= o.first_day
    UNION ALL
    SELECT o.service_line_id, greatest(o.first_day, p.first_day), least(o.last_day, p.last_day)
    FROM other o JOIN quality.priced p ON p.level = 'line' AND p.id = o.service_line_id
        AND p.first_day <= o.last_day AND p.last_day >= o.first_day
),
fresh AS (
    SELECT service_line_id, last_day, greatest(first_day, 1 + coalesce(max(last_day) OVER (
        PARTITION BY service_line_id ORDER BY first_day, last_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), first_day - 1)) AS first_day
    FROM piece
),
days AS (
    SELECT service_line_id, sum(last_day - first_day + 1) AS days FROM fresh WHERE first_day <= last_day GROUP BY service_line_id
)
SELECT o.service_line_id FROM other o LEFT JOIN days d ON d.service_line_id = o.service_line_id
WHERE coalesce(d.days, 0) < o.last_day - o.first_day + 1;
