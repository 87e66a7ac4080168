-- Grain: one service line × one stretch of days on which price, payer, account, process and absence stand still.
-- Days are numbered from 1970-01-01; 2932896 is 9999-12-31, an end that is open.
WITH
-- § 6: lines and packages that are withdrawn, applied for or annulled are entitled to nothing.
living_line AS (
    SELECT
        l.service_line_id, l.package_id, l.item_code, l.offer_id, l.process AS stated_process, l.timing, l.claim_kind,
        l.account AS line_account, l.quantity_e4, l.source_file AS line_source_file, l.source_row AS line_source_row,
        date_diff('day', DATE '1970-01-01', l.start_date) AS start_day,
        coalesce(date_diff('day', DATE '1970-01-01', l.end_date), 2932896) AS end_day,
        p.cpr, p.department, p.paying_municipality AS package_payer,
        t.payee_id, c.payer_cpr,
        i.unit, i.proration, i.absence_full_days, i.absence_pct_e2, i.departure_day_paid, i.vat_pct_e2,
        i.function_code, i.grouping_code, i.cost_type_code,
        o.owner_kind
    FROM service_line AS l
    JOIN service_package AS p ON p.package_id = l.package_id
    JOIN catalogue_item AS i ON i.item_code = l.item_code
    LEFT JOIN offer AS o ON o.offer_id = l.offer_id
    LEFT JOIN payout_terms AS t ON t.service_line_id = l.service_line_id AND NOT t.withdrawn
    LEFT JOIN charge_terms AS c ON c.service_line_id = l.service_line_id AND NOT c.withdrawn
    WHERE NOT l.withdrawn AND NOT p.withdrawn AND p.status IN ('bevilget', 'afsluttet')
),
-- § 3 Departure day: the end date has no weight unless it is also the first day; never for delivered units.
line_in_scope AS (
    SELECT
        l.*,
        least(r.horizon_day, CASE
            WHEN NOT departure_day_paid AND unit <> 'leveret' AND end_day > start_day AND end_day < 2932896 THEN end_day - 1
            ELSE end_day
        END) AS last_day
    FROM living_line AS l CROSS JOIN run AS r
    WHERE l.start_day <= r.horizon_day
),
-- § 3 Absence: touching or overlapping spells are one spell, counted from its own first day.
spell AS (
    SELECT
        service_line_id,
        date_diff('day', DATE '1970-01-01', from_date) AS from_day,
        coalesce(date_diff('day', DATE '1970-01-01', to_date), 2932896) AS to_day
    FROM absence WHERE NOT withdrawn
),
spell_start AS (
    SELECT *, CASE WHEN from_day <= 1 + max(to_day) OVER (
        PARTITION BY service_line_id ORDER BY from_day, to_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) THEN 0 ELSE 1 END AS begins
    FROM spell
),
spell_number AS (
    SELECT *, sum(begins) OVER (PARTITION BY service_line_id ORDER BY from_day, to_day) AS number FROM spell_start
),
merged_spell AS (
    SELECT service_line_id, min(from_day) AS from_day, max(to_day) AS to_day
    FROM spell_number GROUP BY service_line_id, number
),
-- § 3 Absence: the first full days of a spell count in full, later days with the item's per cent.
reduced_days AS (
    SELECT s.service_line_id, s.from_day + l.absence_full_days AS from_day, s.to_day, l.absence_pct_e2
    FROM merged_spell AS s JOIN line_in_scope AS l ON l.service_line_id = s.service_line_id
    WHERE s.from_day + l.absence_full_days <= s.to_day
    AND (l.unit IN ('doegn', 'hverdag', 'uge', 'aar', 'time') OR (l.unit = 'maaned' AND l.proration <> 'hel'))
),
-- loader.md: of several starts at one level an open one ends the day before the next.
item_price AS (
    SELECT
        item_code, offer_id, price_oere, source_file, source_row,
        date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        coalesce(
            date_diff('day', DATE '1970-01-01', valid_to),
            lead(date_diff('day', DATE '1970-01-01', valid_from)) OVER (PARTITION BY item_code, offer_id ORDER BY valid_from) - 1,
            2932896
        ) AS to_day
    FROM rate WHERE NOT withdrawn
),
line_price AS (
    SELECT
        service_line_id, price_oere, source_file, source_row,
        date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        coalesce(
            date_diff('day', DATE '1970-01-01', valid_to),
            lead(date_diff('day', DATE '1970-01-01', valid_from)) OVER (PARTITION BY service_line_id ORDER BY valid_from) - 1,
            2932896
        ) AS to_day
    FROM individual_rate WHERE NOT withdrawn
),
dated_payer AS (
    SELECT
        package_id, paying_municipality,
        date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        coalesce(
            date_diff('day', DATE '1970-01-01', valid_to),
            lead(date_diff('day', DATE '1970-01-01', valid_from)) OVER (PARTITION BY package_id ORDER BY valid_from) - 1,
            2932896
        ) AS to_day
    FROM package_payer WHERE NOT withdrawn
),
dated_account AS (
    SELECT
        service_line_id, account,
        date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        coalesce(
            date_diff('day', DATE '1970-01-01', valid_to),
            lead(date_diff('day', DATE '1970-01-01', valid_from)) OVER (PARTITION BY service_line_id ORDER BY valid_from) - 1,
            2932896
        ) AS to_day
    FROM account_rule WHERE NOT withdrawn
),
posting_rule AS (
    SELECT
        function_code, grouping_code, cost_type_code, account,
        date_diff('day', DATE '1970-01-01', valid_from) AS from_day,
        date_diff('day', DATE '1970-01-01', valid_to) AS to_day
    FROM posting_account_rule
),
-- Every period that can change what a day of the line is worth, or who pays it, or where it is booked.
period_of_line AS (
    SELECT service_line_id, from_day, to_day FROM line_price
    UNION ALL
    SELECT l.service_line_id, r.from_day, r.to_day FROM line_in_scope AS l JOIN item_price AS r
        ON r.item_code = l.item_code AND r.offer_id = l.offer_id
    UNION ALL
    SELECT l.service_line_id, r.from_day, r.to_day FROM line_in_scope AS l JOIN item_price AS r
        ON r.item_code = l.item_code AND r.offer_id IS NULL
    UNION ALL
    SELECT l.service_line_id, b.from_day, b.to_day FROM line_in_scope AS l JOIN dated_payer AS b ON b.package_id = l.package_id
    UNION ALL
    SELECT service_line_id, from_day, to_day FROM dated_account
    UNION ALL
    SELECT l.service_line_id, k.from_day, k.to_day FROM line_in_scope AS l JOIN posting_rule AS k
        ON k.function_code = l.function_code AND k.grouping_code = l.grouping_code AND k.cost_type_code = l.cost_type_code
    UNION ALL
    SELECT service_line_id, from_day, to_day FROM reduced_days
),
cut AS (
    SELECT service_line_id, start_day AS day FROM line_in_scope WHERE start_day <= last_day
    UNION
    SELECT l.service_line_id, p.from_day FROM period_of_line AS p JOIN line_in_scope AS l
        ON l.service_line_id = p.service_line_id AND p.from_day > l.start_day AND p.from_day <= l.last_day
    UNION
    SELECT l.service_line_id, p.to_day + 1 FROM period_of_line AS p JOIN line_in_scope AS l
        ON l.service_line_id = p.service_line_id AND p.to_day >= l.start_day AND p.to_day < l.last_day
),
stretch AS (
    SELECT
        l.*, c.day AS from_day,
        coalesce(lead(c.day) OVER (PARTITION BY c.service_line_id ORDER BY c.day) - 1, l.last_day) AS to_day
    FROM cut AS c JOIN line_in_scope AS l ON l.service_line_id = c.service_line_id
),
-- § 4: price from the line, else the item at the offer, else the item; payer and account from the dated rows
-- that cover the day, else from the package and the line, the account last from the posting rules.
resolved AS (
    SELECT
        s.service_line_id, s.package_id, s.timing, s.claim_kind, s.quantity_e4, s.unit, s.proration, s.vat_pct_e2,
        s.start_day, s.from_day, s.to_day, s.stated_process, s.owner_kind, s.department,
        s.cpr, s.payee_id, s.payer_cpr,
        s.line_source_file, s.line_source_row,
        coalesce(a.absence_pct_e2, 10000) AS absence_pct_e2,
        coalesce(lp.price_oere, op.price_oere, ip.price_oere) AS price_oere,
        CASE WHEN lp.price_oere IS NOT NULL THEN lp.source_file WHEN op.price_oere IS NOT NULL THEN op.source_file
            ELSE ip.source_file END AS rate_source_file,
        CASE WHEN lp.price_oere IS NOT NULL THEN lp.source_row WHEN op.price_oere IS NOT NULL THEN op.source_row
            ELSE ip.source_row END AS rate_source_row,
        coalesce(b.paying_municipality, s.package_payer) AS payer,
        coalesce(k.account, s.line_account, pr.account, '') AS account
    FROM stretch AS s
    LEFT JOIN line_price AS lp ON lp.service_line_id = s.service_line_id AND s.from_day BETWEEN lp.from_day AND lp.to_day
    LEFT JOIN item_price AS op ON op.item_code = s.item_code AND op.offer_id = s.offer_id
        AND s.from_day BETWEEN op.from_day AND op.to_day
    LEFT JOIN item_price AS ip ON ip.item_code = s.item_code AND ip.offer_id IS NULL
        AND s.from_day BETWEEN ip.from_day AND ip.to_day
    LEFT JOIN dated_payer AS b ON b.package_id = s.package_id AND s.from_day BETWEEN b.from_day AND b.to_day
    LEFT JOIN dated_account AS k ON k.service_line_id = s.service_line_id AND s.from_day BETWEEN k.from_day AND k.to_day
    LEFT JOIN posting_rule AS pr ON pr.function_code = s.function_code AND pr.grouping_code = s.grouping_code
        AND pr.cost_type_code = s.cost_type_code AND s.from_day BETWEEN pr.from_day AND pr.to_day
    LEFT JOIN reduced_days AS a ON a.service_line_id = s.service_line_id AND s.from_day BETWEEN a.from_day AND a.to_day
),
-- loader.md: where afregningsform is empty it follows from the facts, day by day from that day's payer.
with_process AS (
    SELECT r.*, coalesce(r.stated_process, CASE
        WHEN r.owner_kind = 'egen' AND r.payer <> u.own_municipality THEN 'mellemkommunal'
        WHEN r.owner_kind = 'egen' AND r.payer = u.own_municipality THEN 'intern'
        WHEN r.owner_kind <> 'egen' THEN 'faktura'
        WHEN r.payer IS NULL THEN 'mellemkommunal'
        ELSE 'ingen'
    END) AS process
    FROM resolved AS r CROSS JOIN run AS u
)
-- loader.md, counterparty by process.
SELECT
    service_line_id, package_id, timing, claim_kind, quantity_e4, unit, proration, vat_pct_e2, start_day, from_day, to_day,
    absence_pct_e2, price_oere, payer, account, process, department,
    line_source_file, line_source_row, rate_source_file, rate_source_row,
    CASE
        WHEN process = 'mellemkommunal' THEN payer
        WHEN process = 'intern' THEN department
        WHEN process = 'udbetaling' THEN coalesce(payee_id, cpr)
        WHEN process IN ('personopkraevning', 'beboerbetaling') THEN coalesce(payer_cpr, cpr)
    END AS counterparty
FROM with_process
