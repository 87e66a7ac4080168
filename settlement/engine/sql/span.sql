-- Grain: one service line × one stretch of days on which price, payer, account and absence stand still.
-- The stretches of a line cover its days from the first month compared on, without gap or overlap. Days are numbered from
-- 1970-01-01.
WITH
-- § 6: lines and packages that are withdrawn, applied for or annulled are entitled to nothing.
living_line AS (
    SELECT
        l.service_line_id, l.package_id, l.item_code, l.offer_id, l.process AS stated_process, l.timing, l.claim_kind,
        l.account AS line_account, l.quantity_e4,
        date_diff('day', DATE '1970-01-01', l.start_date) AS start_day,
        coalesce(date_diff('day', DATE '1970-01-01', l.end_date), 2932896) AS end_day,
        p.cpr, p.department, p.paying_municipality AS package_payer,
        t.payee_id, c.payer_cpr,
        i.unit, i.proration, i.departure_day_paid, i.vat_pct_e2,
        concat(i.function_code, chr(31), i.grouping_code, chr(31), i.cost_type_code) AS posting_key,
        o.owner_kind
    FROM service_line AS l
    JOIN service_package AS p ON p.package_id = l.package_id
    JOIN catalogue_item AS i ON i.item_code = l.item_code
    LEFT JOIN offer AS o ON o.offer_id = l.offer_id
    LEFT JOIN payout_terms AS t ON t.service_line_id = l.service_line_id AND NOT t.withdrawn
    LEFT JOIN charge_terms AS c ON c.service_line_id = l.service_line_id AND NOT c.withdrawn
    WHERE NOT l.withdrawn AND NOT p.withdrawn AND p.status IN ('bevilget', 'afsluttet')
),
-- § 3 Departure day: the end date has no weight unless it is also the first day; never for delivered units. A one-off amount
-- has its first day alone. What lies before the first month compared weighs nothing here.
whole AS (
    SELECT
        l.*, greatest(l.start_day, r.first_day) AS from_day,
        least(r.horizon_day, CASE
            WHEN unit = 'engang' THEN start_day
            WHEN NOT departure_day_paid AND unit <> 'leveret' AND end_day > start_day AND end_day < 2932896 THEN end_day - 1
            ELSE end_day
        END) AS last_day
    FROM living_line AS l CROSS JOIN run AS r
    WHERE l.start_day <= r.horizon_day
),
-- § 4: price from the line, else the item at the offer, else the item.
by_line_price AS (
    SELECT
        s.* EXCLUDE (from_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.last_day, coalesce(d.to_day, s.last_day)) AS to_day,
        d.price_oere AS line_price, d.source AS line_price_source
    FROM whole AS s LEFT JOIN dated AS d
        ON d.layer = 'line_price' AND d.key = s.service_line_id AND d.from_day <= s.last_day AND d.to_day >= s.from_day
    WHERE s.from_day <= s.last_day
),
by_offer_price AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day,
        d.price_oere AS offer_price, d.source AS offer_price_source
    FROM by_line_price AS s LEFT JOIN dated AS d
        ON d.layer = 'offer_price' AND d.key = concat(s.item_code, chr(31), s.offer_id)
        AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
by_item_price AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day,
        d.price_oere AS item_price, d.source AS item_price_source
    FROM by_offer_price AS s LEFT JOIN dated AS d
        ON d.layer = 'item_price' AND d.key = s.item_code AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
-- § 4: payer from the package's dated payers where they cover the day, else from the package.
by_payer AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day, coalesce(d.payer, s.package_payer) AS payer
    FROM by_item_price AS s LEFT JOIN dated AS d
        ON d.layer = 'payer' AND d.key = s.package_id AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
-- § 4: account from the line's dated rules where they cover the day, else from the line, else from the posting rules.
by_line_account AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day, coalesce(d.account, s.line_account) AS own_account
    FROM by_payer AS s LEFT JOIN dated AS d
        ON d.layer = 'line_account' AND d.key = s.service_line_id AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
by_item_account AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day, coalesce(s.own_account, d.account, '') AS account
    FROM by_line_account AS s LEFT JOIN dated AS d
        ON d.layer = 'item_account' AND d.key = s.posting_key AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
by_absence AS (
    SELECT
        s.* EXCLUDE (from_day, to_day), greatest(s.from_day, coalesce(d.from_day, s.from_day)) AS from_day,
        least(s.to_day, coalesce(d.to_day, s.to_day)) AS to_day, coalesce(d.absence_pct_e2, 10000) AS absence_pct_e2
    FROM by_item_account AS s LEFT JOIN dated AS d
        ON d.layer = 'absence' AND d.key = s.service_line_id AND d.from_day <= s.to_day AND d.to_day >= s.from_day
),
-- loader.md: where afregningsform is empty it follows from the facts, day by day from that day's payer.
with_process AS (
    SELECT s.*, coalesce(s.stated_process, CASE
        WHEN s.owner_kind = 'egen' AND s.payer <> r.own_municipality THEN 'mellemkommunal'
        WHEN s.owner_kind = 'egen' AND s.payer = r.own_municipality THEN 'intern'
        WHEN s.owner_kind <> 'egen' THEN 'faktura'
        WHEN s.payer IS NULL THEN 'mellemkommunal'
        ELSE 'ingen'
    END) AS process
    FROM by_absence AS s CROSS JOIN run AS r
),
-- A month that one stretch covers is the line's alone; one that it begins or ends in may be shared with the next stretch.
by_month AS (
    SELECT
        s.*, first.month_number AS first_month, last.month_number AS last_month,
        s.from_day > first.first_day AS is_cut_first, s.to_day < last.last_day AS is_cut_last
    FROM with_process AS s
    JOIN calendar_day AS first ON first.day = s.from_day
    JOIN calendar_day AS last ON last.day = s.to_day
)
-- loader.md, counterparty by process.
SELECT
    s.service_line_id, s.package_id, s.timing, s.claim_kind, s.quantity_e4, s.unit, s.proration, s.vat_pct_e2, s.start_day,
    s.from_day, s.to_day, s.absence_pct_e2, coalesce(s.line_price, s.offer_price, s.item_price) AS price_oere, s.payer,
    s.account, s.process, s.department,
    CASE WHEN s.line_price IS NOT NULL THEN s.line_price_source WHEN s.offer_price IS NOT NULL THEN s.offer_price_source
        ELSE coalesce(s.item_price_source, '') END AS rate_source,
    CASE
        WHEN s.process = 'mellemkommunal' THEN s.payer
        WHEN s.process = 'intern' THEN s.department
        WHEN s.process = 'udbetaling' THEN coalesce(s.payee_id, s.cpr)
        WHEN s.process IN ('personopkraevning', 'beboerbetaling') THEN coalesce(s.payer_cpr, s.cpr)
    END AS counterparty,
    -- The stretch's months: those it covers (none where the first is after the last), and the one or two it cuts.
    CASE WHEN s.is_cut_first THEN s.first_month + 1 ELSE s.first_month END AS first_whole,
    CASE WHEN s.is_cut_last THEN s.last_month - 1 ELSE s.last_month END AS last_whole,
    CASE WHEN s.is_cut_first THEN s.first_month END AS cut_first,
    CASE WHEN s.is_cut_last AND NOT (s.is_cut_first AND s.first_month = s.last_month) THEN s.last_month END AS cut_last
FROM by_month AS s
