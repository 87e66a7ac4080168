-- Grain: one charge that no person has chosen for × one commitment that it may be for: of the citizens it names, in the months
-- it charges; of one kind of service only, where its words, or a rule for them, name one of those.
WITH
pair AS (
    SELECT n.charge_no, c.commitment_no, c.item_code, c.item_words, n.is_all
    FROM named AS n
    ANTI JOIN chosen AS p ON p.charge_no = n.charge_no
    JOIN charged AS g ON g.charge_no = n.charge_no
    JOIN commitment AS c ON c.sender_cvr = g.sender_cvr AND c.cpr = n.cpr
        AND (n.package_id IS NULL OR c.package_id = n.package_id) AND c.delivery_month BETWEEN g.from_month AND g.to_month
),
spoken_of AS (
    SELECT p.*, p.item_words = g.item_words OR r.item_code IS NOT NULL AS is_item
    FROM pair AS p JOIN charged AS g ON g.charge_no = p.charge_no
    LEFT JOIN match_rule AS r ON r.sender_cvr = g.sender_cvr AND r.item_words = g.item_words AND r.item_code = p.item_code
)
SELECT charge_no, commitment_no, is_all, is_item
FROM spoken_of QUALIFY is_item OR NOT bool_or(is_item) OVER (PARTITION BY charge_no)
