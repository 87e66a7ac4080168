"""Mutants of the engine's SQL, each killed by a check on a world so small that its answer is worked out by hand.

The world is one line of 1–31 January 2024 at 100,00 a day, paid by 751; a check names only what differs.
"""

from datetime import date
from fractions import Fraction

import pytest
from engine_world import OWN, Engine

from settlement.engine import settle


def jan(day):
    return date(2024, 1, day)


LINE = {"service_line_id": "W0Y0", "package_id": "P", "item_code": "K", "offer_id": "T", "start_date": jan(1), "end_date": jan(31),
        "quantity_e4": 10_000, "timing": "bagud", "account": "11111", "claim_kind": "takst", "withdrawn": False}  # fmt: skip
PACKAGE = {"package_id": "P", "cpr": "0101801233", "department": "A1", "paying_municipality": "751", "status": "bevilget",
           "withdrawn": False}  # fmt: skip
ITEM = {"item_code": "K", "unit": "doegn", "proration": "faktisk", "absence_full_days": 0, "absence_pct_e2": 10_000,
        "departure_day_paid": True, "vat_pct_e2": 0}  # fmt: skip
RATE = {"item_code": "K", "valid_from": jan(1), "price_oere": 100_00, "withdrawn": False}
OFFER = {"offer_id": "T", "owner_kind": "egen"}


class Small:
    """The world in the engine: changes of its five rows by name, further tables as lists of rows of named columns."""

    def __init__(self, rules, through="2024-03", engine=None, line=None, package=None, item=None, rates=({},),
                 owner="egen", **more):  # fmt: skip
        rows = {"service_line": [LINE | (line or {})], "service_package": [PACKAGE | (package or {})],
                "catalogue_item": [ITEM | (item or {})], "rate": [RATE | r for r in rates],
                "offer": [OFFER | {"owner_kind": owner}]}  # fmt: skip
        for table, given in more.items():
            rows[table] = [{"service_line_id": "W0Y0", "package_id": "P", "withdrawn": False} | row for row in given]
        self.engine = engine or Engine(rules)
        tables = {t: [tuple(row.get(c) for c in settle.INPUTS[t]) for row in given] for t, given in rows.items()}
        self.engine.bind(tables, through)

    def amounts(self):
        return [p[1] for _, p in sorted(self.engine.pieces().items())]

    def parts(self, *which):
        """Columns of the pieces' keys (0 process … 5 account) with their amounts."""
        return [(*(key[i] for i in which), p[1]) for key, p in sorted(self.engine.pieces().items())]

    def run(self, process="mellemkommunal", timing="bagud", booking_date=date(2024, 5, 1), **chosen):
        """The amounts a run proposes."""
        return [line[8] for line in self.engine.settle(process, timing, booking_date, **chosen)]

    def book(self, **chosen):
        return self.run(book=True, **chosen)

    def parked(self):
        return sorted(reason for of_run in self.engine.parked.values() for reason, _, _ in of_run)


def spell(first, last):
    return {"from_date": jan(first), "to_date": jan(last)}


def registered(day, quantity_e4, number=1, **more):
    return {"registration_id": f"R{number}", "date": day, "quantity_e4": quantity_e4} | more


def dated(first, last=None, **fact):
    return {"valid_from": jan(first), "valid_to": jan(last) if last else None} | fact


# --- § 3 -------------------------------------------------------------------------------------------------------------


def departure_day_unpaid(rules):
    item = {"departure_day_paid": False}
    assert Small(rules, item=item, line={"end_date": jan(10)}).amounts() == [900_00]


def departure_on_the_first_day_is_paid(rules):
    assert Small(rules, item={"departure_day_paid": False}, line={"end_date": jan(1)}).amounts() == [100_00]


def delivered_on_the_departure_day(rules):
    item = {"unit": "leveret", "departure_day_paid": False}
    assert Small(rules, item=item, registration=[registered(jan(31), 20_000)]).amounts() == [200_00]


def weekdays_of_january(rules):
    assert Small(rules, item={"unit": "hverdag"}).amounts() == [22 * 100_00]  # 23 weekdays, 1 January a holiday


def weekdays_of_half_a_month(rules):
    assert Small(rules, item={"unit": "hverdag"}, line={"start_date": jan(15)}).amounts() == [13 * 100_00]


def thirtieths(rules):
    item = {"unit": "maaned", "proration": "tredivedel", "departure_day_paid": False}
    line = {"start_date": date(2023, 1, 1), "end_date": date(2023, 2, 28)}
    rates = [{"valid_from": date(2023, 1, 1), "price_oere": 300_00}]
    assert Small(rules, "2023-02", item=item, line=line, rates=rates).amounts() == [300_00, 270_00]


def thirtieths_of_half_a_month(rules):
    """15 to 31 January are 16 thirtieths."""
    item = {"unit": "maaned", "proration": "tredivedel"}
    assert Small(rules, item=item, line={"start_date": jan(15)}, rates=[{"price_oere": 300_00}]).amounts() == [160_00]


def whole_months(rules):
    line = {"start_date": jan(15), "end_date": date(2024, 3, 10)}
    assert Small(rules, item={"unit": "maaned", "proration": "hel"}, line=line).amounts() == [100_00, 100_00, 100_00]


def one_off(rules):
    line = {"start_date": jan(15), "end_date": date(2024, 2, 10)}
    world = Small(rules, item={"unit": "engang"}, line=line, rates=[{"valid_from": jan(1)}, {"valid_from": jan(20)}])
    assert world.amounts() == [100_00]


def weeks(rules):
    assert Small(rules, item={"unit": "uge"}, rates=[{"price_oere": 70_00}]).amounts() == [310_00]


def granted_hours(rules):
    world = Small(rules, item={"unit": "time"}, line={"quantity_e4": 35_000}, rates=[{"price_oere": 70_00}])
    assert world.amounts() == [1085_00]


def a_twelfth_of_a_year(rules):
    assert Small(rules, item={"unit": "aar"}, rates=[{"price_oere": 1200_00}]).amounts() == [100_00]


def thirteen_days_of_a_month(rules):
    world = Small(rules, item={"unit": "maaned"}, line={"end_date": jan(13)}, rates=[{"price_oere": 80_000_00}])
    assert world.amounts() == [33_548_39]


def open_line_ends_with_the_horizon(rules):
    assert Small(rules, "2024-02", line={"end_date": None}).amounts() == [3100_00, 2900_00]


def registrations_outside_and_withdrawn(rules):
    rows = [registered(jan(10), 20_000), registered(jan(11), 50_000, 2), registered(jan(2), 70_000, 3, withdrawn=True)]
    assert Small(rules, item={"unit": "leveret"}, line={"end_date": jan(10)}, registration=rows).amounts() == [200_00]


def quantity_nothing_does_not_park(rules):
    world = Small(rules, item={"unit": "leveret"}, rates=(), registration=[registered(jan(5), 0)])
    assert (world.run(), world.parked()) == ([], [])


HALF_AFTER_TWO = {"absence_full_days": 2, "absence_pct_e2": 5_000}


def absence_after_full_days(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 10)]).amounts() == [2900_00]


def absence_of_one_reduced_day(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 7)]).amounts() == [3050_00]


def touching_spells_are_one(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 7), spell(8, 10)]).amounts() == [2900_00]


def spell_within_a_spell(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 14), spell(6, 7)]).amounts() == [2700_00]


def withdrawn_absence(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 10) | {"withdrawn": True}]).amounts() == [3100_00]


def open_absence(rules):
    assert Small(rules, item=HALF_AFTER_TWO, absence=[{"from_date": jan(20), "to_date": None}]).amounts() == [2600_00]


def absence_never_on_whole_months(rules):
    item = {"unit": "maaned", "proration": "hel", "absence_pct_e2": 0}
    assert Small(rules, item=item, absence=[spell(1, 10)]).amounts() == [100_00]


# --- § 4 -------------------------------------------------------------------------------------------------------------


def most_specific_price(rules):
    rates = [{}, {"offer_id": "T", "price_oere": 200_00, "valid_from": jan(11)}]
    world = Small(rules, rates=rates, individual_rate=[dated(21, price_oere=300_00)])
    assert world.parts(3) == [(100_00, 1000_00), (200_00, 2000_00), (300_00, 3300_00)]


def open_rate_ends_before_the_next(rules):
    world = Small(rules, rates=[{}, {"valid_from": jan(11), "price_oere": 200_00}])
    assert world.parts(3) == [(100_00, 1000_00), (200_00, 4200_00)]


def rate_with_an_end_leaves_days_without_price(rules):
    world = Small(rules, rates=[{"valid_to": jan(30)}])
    assert (world.run(), world.parked(), world.amounts()) == ([], ["mangler_takst"], [3000_00])


def rate_of_the_first_day_alone(rules):
    line = {"start_date": date(2024, 3, 1), "end_date": date(2024, 3, 31)}
    rates = [{"valid_to": date(2024, 3, 1)}, {"valid_from": date(2024, 3, 2), "price_oere": 200_00}]
    world = Small(rules, line=line, rates=rates)
    settle.entitle(world.engine.con, own_municipality=OWN, through=date(2024, 3, 31), since=date(2024, 3, 1), rules=rules)
    assert world.parts(3) == [(100_00, 100_00), (200_00, 30 * 200_00)]


def rate_from_the_last_day(rules):
    world = Small(rules, "2024-01", rates=[{}, {"valid_from": jan(31), "price_oere": 200_00}])
    assert world.parts(3) == [(100_00, 30 * 100_00), (200_00, 200_00)]


def withdrawn_rate(rules):
    assert Small(rules, rates=[{}, {"valid_from": jan(11), "price_oere": 1, "withdrawn": True}]).amounts() == [3100_00]


def dated_payer(rules):
    world = Small(rules, package_payer=[dated(11, 20, paying_municipality="561")])
    assert world.parts(4) == [("561", 1000_00), ("751", 2100_00)]


def dated_account_of_the_line(rules):
    assert Small(rules, account_rule=[dated(11, 20, account="22222")]).parts(5) == [("11111", 2100_00), ("22222", 1000_00)]


def posting_rule_only_where_the_line_has_none(rules):
    codes = {"function_code": "5", "grouping_code": "1", "cost_type_code": "2"}
    rule = [dated(1, account="33333") | codes]
    assert Small(rules, item=codes, posting_account_rule=rule).parts(5) == [("11111", 3100_00)]
    assert Small(rules, item=codes, line={"account": None}, posting_account_rule=rule).parts(5) == [("33333", 3100_00)]


def process_follows_the_payer(rules):
    world = Small(rules, package_payer=[dated(11, 20, paying_municipality=OWN)])
    assert world.parts(0, 4) == [("intern", "A1", 1000_00), ("mellemkommunal", "751", 2100_00)]


def other_owners_send_invoices(rules):
    assert Small(rules, owner="privat").parts(0) == [("faktura", 3100_00)]


def annulled_is_entitled_to_nothing(rules):
    assert Small(rules, package={"status": "annulleret"}).amounts() == []


def withdrawn_line_is_entitled_to_nothing(rules):
    assert Small(rules, line={"withdrawn": True}).amounts() == []


def payee_before_citizen(rules):
    assert Small(rules, line={"process": "udbetaling"}, payout_terms=[{"payee_id": "99"}]).parts(4) == [("99", 3100_00)]


def missing_payer_parks(rules):
    world = Small(rules, package={"paying_municipality": None})
    assert (world.run(), world.parked()) == ([], ["mangler_betaler"])


# --- § 5 -------------------------------------------------------------------------------------------------------------


def rounding(rules):
    """0,5 øre is 1 and −0,5 øre is −1; 25 % of 10 øre is 3 and of −10 øre −3."""
    item = {"unit": "leveret", "vat_pct_e2": 2_500}
    for quantity, price, worth in ((5_000, 1, (1, 0)), (-5_000, 1, (-1, 0)), (10_000, 10, (10, 3)), (-10_000, 10, (-10, -3))):
        world = Small(rules, item=item, rates=[{"price_oere": price}], registration=[registered(jan(5), quantity)])
        assert [p[1:] for p in world.engine.pieces().values()] == [worth]


def a_piece_is_rounded_once(rules):
    """Three registrations of 0,5 at 1 øre are 1,5 øre, rounded to 2; not three times 1."""
    rows = [registered(jan(n), 5_000, n) for n in (1, 2, 3)]
    assert Small(rules, item={"unit": "leveret"}, rates=[{"price_oere": 1}], registration=rows).amounts() == [2]


def stretches_of_one_price_are_one_piece(rules):
    """An absence in the middle cuts the month in three stretches: one piece of 25 + 2 + 4 halves."""
    world = Small(rules, item=HALF_AFTER_TWO, absence=[spell(5, 10)])
    assert [p[0] for p in world.engine.pieces().values()] == [Fraction(29)]


def a_month_of_two_stretches_is_one_piece(rules):
    """Half price from 5 January to 10 February: each month is cut once, and the piece of each has all its days."""
    world = Small(rules, line={"end_date": date(2024, 2, 29)}, item={"absence_pct_e2": 5_000},
                  absence=[{"from_date": jan(5), "to_date": date(2024, 2, 10)}])  # fmt: skip
    assert [p[0] for _, p in sorted(world.engine.pieces().items())] == [Fraction(35, 2), Fraction(24)]


# --- § 2 and § 6 -------------------------------------------------------------------------------------------------------


def run_stays_within_its_months(rules):
    line = {"end_date": date(2024, 3, 31)}
    world = Small(rules, line=line)
    assert world.run(settles_from=date(2024, 2, 1), through=date(2024, 2, 29)) == [2900_00]
    world.book()
    gone = Small(rules, line=line | {"withdrawn": True}, engine=world.engine)
    assert gone.run(settles_from=date(2024, 2, 1), through=date(2024, 2, 29)) == [-2900_00]


def booked_side_has_the_runs_timing(rules):
    world = Small(rules)
    assert (world.book(), world.run(timing="forud"), world.run()) == ([3100_00], [], [])


def one_counterparty_alone(rules):
    payers = [dated(11, 20, paying_municipality="561")]
    world = Small(rules, package_payer=payers)
    assert world.run(only_counterparty="561") == [1000_00]
    world.book()
    gone = Small(rules, line={"withdrawn": True}, package_payer=payers, engine=world.engine)
    assert gone.run(only_counterparty="561") == [-1000_00]


def correction_points_to_its_key_else_to_the_month(rules):
    """Run 1 books 100,00; run 2 moves ten days to 200,00; run 3 ends the line: each key's own latest document."""
    world = Small(rules)
    world.book()
    rates = [{}, {"valid_from": jan(22), "price_oere": 200_00}]
    moved = Small(rules, rates=rates, package_payer=[dated(22, paying_municipality="561")], engine=world.engine)
    lines = moved.engine.settle(booking_date=date(2024, 5, 1), book=True)
    assert [(x[4], x[8], x[10], x[11]) for x in lines] == [("751", -1000_00, True, "1:751"), ("561", 2000_00, True, "1:751")]
    ended = Small(rules, line={"withdrawn": True}, engine=world.engine)
    lines = ended.engine.settle(booking_date=date(2024, 5, 1))
    assert [(x[4], x[8], x[11]) for x in lines] == [("751", -2100_00, "2:751"), ("561", -2000_00, "2:561")]


def only_vat_has_changed(rules):
    world = Small(rules)
    world.book()
    taxed = Small(rules, item={"vat_pct_e2": 2_500}, engine=world.engine)
    assert [(x[8], x[9]) for x in taxed.engine.settle(booking_date=date(2024, 5, 1))] == [(0, 775_00)]


# --- parking and § 7 -------------------------------------------------------------------------------------------------


def refused_row_before_missing_price(rules):
    world = Small(rules, rates=[{"valid_to": jan(30)}], refused_line=[{}])
    assert (world.run(), world.parked()) == ([], ["afventer_rettelse"])


def refused_row_does_not_stop_a_correction(rules):
    world = Small(rules)
    world.book()
    ended = Small(rules, line={"end_date": jan(10)}, refused_line=[{}], engine=world.engine)
    assert (ended.run(), ended.parked()) == ([-2100_00], [])


def hold_on_a_line(rules):
    world = Small(rules, line={"end_date": date(2024, 3, 31)}, hold=[{"from_month": date(2024, 2, 1)}])
    assert (world.run(), world.parked()) == ([3100_00], ["tilbageholdt"] * 2)


def hold_on_a_counterparty(rules):
    hold = [{"service_line_id": None, "counterparty": "751", "from_month": jan(1)}]
    world = Small(rules, hold=hold)
    assert (world.run(), world.parked()) == ([], ["tilbageholdt"])


def hold_rests_what_is_booked(rules):
    world = Small(rules)
    world.book()
    gone = Small(rules, line={"withdrawn": True}, hold=[{"from_month": jan(1)}], engine=world.engine)
    assert gone.run() == []


def late_after_the_last_day(rules):
    assert Small(rules).run(booking_date=date(2025, 1, 31)) == [3100_00]
    world = Small(rules)
    assert (world.run(booking_date=date(2025, 2, 1)), world.parked()) == ([], ["for_sent"])


def late_credit_is_booked(rules):
    world = Small(rules)
    world.book()
    assert Small(rules, line={"end_date": jan(10)}, engine=world.engine).run(booking_date=date(2026, 1, 1)) == [-2100_00]


def late_but_allowed(rules):
    allowed = [{"delivery_month": jan(1), "counterparty": "751"}]
    assert Small(rules, allowed_late=allowed).run(booking_date=date(2026, 1, 1)) == [3100_00]


def late_is_intermunicipal_only(rules):
    world = Small(rules, package={"paying_municipality": OWN})
    assert world.run("intern", booking_date=date(2026, 1, 1)) == [3100_00]


def late_is_judged_by_counterparty(rules):
    """Ten days move from 751 to 561 too late: 751 has its credit, 561 is left out."""
    world = Small(rules)
    world.book()
    moved = Small(rules, package_payer=[dated(11, 20, paying_municipality="561")], engine=world.engine)
    assert moved.run(booking_date=date(2026, 1, 1)) == [-1000_00]


def late_is_judged_by_the_net(rules):
    """A claim booked in time and lowered by less than its amount is no claim that is raised now."""
    world = Small(rules)
    assert world.book(booking_date=date(2024, 5, 1)) == [3_100_00]
    world = Small(rules, rates=({"price_oere": 90_00},), engine=world.engine)
    assert sorted(world.run(booking_date=date(2026, 5, 1))) == [-3_100_00, 2_790_00]


def months_before_the_first_weigh_nothing(rules):
    world = Small(rules, line={"end_date": date(2024, 3, 31)})
    settle.entitle(world.engine.con, own_municipality=OWN, through=date(2024, 3, 31), since=date(2024, 3, 1), rules=rules)
    assert world.amounts() == [3_100_00]


def a_line_without_a_name_is_called_by_its_item(rules):
    world = Small(rules)
    world.run()
    assert world.engine.con.execute("SELECT item_name FROM proposed").fetchall() == [("K",)]


MUTANTS = [
    # step, text, replacement, the check that kills it
    ("span", "THEN end_day - 1", "THEN end_day", departure_day_unpaid),
    ("span", "end_day > start_day", "end_day >= start_day", departure_on_the_first_day_is_paid),
    ("span", " AND unit <> 'leveret'", "", delivered_on_the_departure_day),
    ("span", "least(r.horizon_day, CASE", "least(r.horizon_day - 1, CASE", open_line_ends_with_the_horizon),
    ("span", "coalesce(s.line_price, s.offer_price, s.item_price)", "coalesce(s.offer_price, s.line_price, s.item_price)",
     most_specific_price),
    ("span", "coalesce(s.line_price, s.offer_price, s.item_price)", "coalesce(s.line_price, s.item_price, s.offer_price)",
     most_specific_price),
    ("span", "coalesce(d.payer, s.package_payer)", "coalesce(s.package_payer, d.payer)", dated_payer),
    ("span", "coalesce(d.account, s.line_account)", "coalesce(s.line_account, d.account)", dated_account_of_the_line),
    ("span", "coalesce(s.own_account, d.account, '')", "coalesce(d.account, s.own_account, '')",
     posting_rule_only_where_the_line_has_none),
    ("span", "s.payer = r.own_municipality THEN 'intern'", "s.payer = r.own_municipality THEN 'mellemkommunal'",
     process_follows_the_payer),
    ("span", "s.owner_kind <> 'egen' THEN 'faktura'", "s.owner_kind <> 'egen' THEN 'mellemkommunal'", other_owners_send_invoices),
    ("span", "('bevilget', 'afsluttet')", "('bevilget', 'afsluttet', 'annulleret')", annulled_is_entitled_to_nothing),
    ("span", "NOT l.withdrawn AND ", "", withdrawn_line_is_entitled_to_nothing),
    ("span", "coalesce(s.payee_id, s.cpr)", "s.cpr", payee_before_citizen),
    ("span", "WHEN s.is_cut_first THEN s.first_month END", "WHEN false THEN s.first_month END",
     a_month_of_two_stretches_is_one_piece),
    ("span", " AND NOT (s.is_cut_first AND s.first_month = s.last_month)", "", stretches_of_one_price_are_one_piece),
    ("span", "THEN s.first_month + 1 ELSE", "THEN s.first_month ELSE", a_month_of_two_stretches_is_one_piece),
    ("span", "THEN s.last_month - 1 ELSE", "THEN s.last_month ELSE", a_month_of_two_stretches_is_one_piece),
    ("span", "WHEN unit = 'engang' THEN start_day", "WHEN false THEN start_day", one_off),
    ("dated", "s.from_day + i.absence_full_days AS from_day", "s.from_day + i.absence_full_days + 1 AS from_day",
     absence_after_full_days),
    ("dated", "absence_full_days <= s.to_day", "absence_full_days < s.to_day", absence_of_one_reduced_day),
    ("dated", "from_day <= 1 + max(to_day)", "from_day <= max(to_day)", touching_spells_are_one),
    ("dated", "min(from_day) AS from_day, max(to_day) AS to_day", "min(from_day) AS from_day, min(to_day) AS to_day",
     spell_within_a_spell),
    ("dated", "FROM absence WHERE NOT withdrawn", "FROM absence", withdrawn_absence),
    ("dated", "to_date), 2932896) AS to_day", "to_date), 0) AS to_day", open_absence),
    ("dated", " AND i.proration <> 'hel'", "", absence_never_on_whole_months),
    ("dated", "ORDER BY from_day) - 1, 2932896)", "ORDER BY from_day), 2932896)", open_rate_ends_before_the_next),
    ("dated", "coalesce(to_day, before_next)", "before_next", rate_with_an_end_leaves_days_without_price),
    ("dated", "s.to_day >= r.first_day", "s.to_day > r.first_day", rate_of_the_first_day_alone),
    ("dated", "s.from_day <= r.horizon_day", "s.from_day < r.horizon_day", rate_from_the_last_day),
    ("dated", "FROM rate WHERE NOT withdrawn", "FROM rate", withdrawn_rate),
    ("day_weight", "m.weekdays", "m.days_in_month", weekdays_of_january),
    ("day_weight", "through_b.weekdays - before_a.weekdays", "s.b - s.a + 1", weekdays_of_half_a_month),
    ("day_weight", "m.thirtieths", "m.days_in_month", thirtieths),
    ("day_weight", "through_b.thirtieths - before_a.thirtieths", "s.b - s.a + 1", thirtieths_of_half_a_month),
    ("day_weight", "'tredivedel' THEN 30", "'tredivedel' THEN days_in_month", thirtieths),
    ("day_weight", "s.a = greatest(s.start_day, s.first_day)", "s.a = s.first_day", whole_months),
    ("day_weight", "proration = 'hel' THEN 1", "proration = 'hel' THEN m.days_in_month", whole_months),
    ("day_weight", "IN ('uge', 'time') THEN 7", "IN ('uge', 'time') THEN 5", weeks),
    ("day_weight", "IN ('uge', 'time')", "IN ('uge')", granted_hours),
    ("day_weight", "'aar' THEN 12 * days_in_month", "'aar' THEN 365", a_twelfth_of_a_year),
    ("day_weight", "'faktisk' THEN days_in_month", "'faktisk' THEN 30", thirteen_days_of_a_month),
    ("day_weight", "BETWEEN s.from_day AND s.to_day", ">= s.from_day", registrations_outside_and_withdrawn),
    ("day_weight", " AND NOT g.withdrawn", "", registrations_outside_and_withdrawn),
    ("day_weight", "WHERE registered_e4 <> 0", "", quantity_nothing_does_not_park),
    ("blocked", "lacks_price = 1", "lacks_price = 0", missing_payer_parks),
    ("blocked", " OR payer IS NULL", "", missing_payer_parks),
    ("piece", "(2 * abs(quantity_num * price_oere) + quantity_den)", "(2 * abs(quantity_num * price_oere))", rounding),
    ("piece", "CASE WHEN quantity_num < 0 THEN -1 ELSE 1 END", "1", rounding),
    ("piece", "+ 10000) // 20000", ") // 20000", rounding),
    ("piece", "CASE WHEN amount_oere < 0 THEN -1 ELSE 1 END", "1", rounding),
    ("piece", "CAST(sum(quantity_e4 * weight", "CAST(max(quantity_e4 * weight", a_piece_is_rounded_once),
    ("difference", "BETWEEN r.settles_from AND r.through", "<= r.through", run_stays_within_its_months),
    ("difference", "BETWEEN r.settles_from AND r.through", ">= r.settles_from", run_stays_within_its_months),
    ("difference", " AND l.timing = r.timing", "", booked_side_has_the_runs_timing),
    ("difference", "r.only_counterparty = g.counterparty", "true", one_counterparty_alone),
    ("difference", "r.only_counterparty = p.counterparty", "true", one_counterparty_alone),
    ("difference", "coalesce(d.of_key, n.document_number, '')", "coalesce(n.document_number, '')",
     correction_points_to_its_key_else_to_the_month),
    ("difference", "coalesce(d.of_key, n.document_number, '')", "coalesce(d.of_key, '')",
     correction_points_to_its_key_else_to_the_month),
    ("difference", "max_by(g.document_number", "min_by(g.document_number", correction_points_to_its_key_else_to_the_month),
    ("difference", " OR vat_oere <> 0", "", only_vat_has_changed),
    ("parked", "ORDER BY precedence", "ORDER BY precedence DESC", refused_row_before_missing_price),
    ("parked", "WHERE g.service_line_id IS NULL", "", refused_row_does_not_stop_a_correction),
    ("parked", "w.delivery_month >= h.from_month", "w.delivery_month > h.from_month", hold_on_a_line),
    ("parked", "h.counterparty = w.counterparty", "false", hold_on_a_counterparty),
    ("parked", "(h.service_line_id = g.service_line_id OR", "(", hold_rests_what_is_booked),
    ("overdue", "r.booking_date > t.last_day", "r.booking_date >= t.last_day", late_after_the_last_day),
    ("late", "sum(c.amount_oere) > 0", "sum(c.amount_oere) <> 0", late_credit_is_booked),
    ("late", "WHERE a.service_line_id IS NULL", "", late_but_allowed),
    ("overdue", "r.process = 'mellemkommunal'\n    AND ", "", late_is_intermunicipal_only),
    ("late", "-g.amount_oere", "g.amount_oere", late_is_judged_by_the_net),
    ("difference", "\n        AND t.counterparty = p.counterparty", "", late_is_judged_by_counterparty),
    ("span", "greatest(l.start_day, r.first_day) AS from_day", "l.start_day AS from_day", months_before_the_first_weigh_nothing),
    ("proposed", "coalesce(i.name, i.item_code)", "i.name", a_line_without_a_name_is_called_by_its_item),
]  # fmt: skip
CHECKS = list(dict.fromkeys(mutant[3] for mutant in MUTANTS))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_engine_passes(check):
    check(None)


@pytest.mark.parametrize(("step", "text", "replacement", "check"), MUTANTS, ids=[f"{m[0]}-{m[3].__name__}" for m in MUTANTS])
def test_the_mutant_is_killed(step, text, replacement, check):
    """The check fails on the mutated sentence by its answer; a mutant that is no SQL kills itself and proves nothing."""
    rules = settle.sentences()
    assert text in rules[step], f"{step}.sql no longer says: {text}"
    rules[step] = rules[step].replace(text, replacement)
    with pytest.raises(AssertionError):
        check(rules)


def test_mutants_are_of_every_sentence():
    assert {mutant[0] for mutant in MUTANTS} == set(settle.STEPS) and len({m[:3] for m in MUTANTS}) == len(MUTANTS) >= 30
