-- Grain: one claim kind × delivery month whose last day to raise a claim (§ 7) lies before the booking date, intermunicipal only.
-- `last_day` is empty where no deadline is in force on the month's last day: the caller refuses if a claim is raised.
SELECT t.claim_kind, t.delivery_month, t.last_day
FROM claim_deadline AS t JOIN run AS r ON r.process = 'mellemkommunal'
    AND t.delivery_month BETWEEN r.settles_from AND r.through
WHERE t.last_day IS NULL OR r.booking_date > t.last_day
