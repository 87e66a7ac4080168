"""The preview: every changed line has one cause, the causes sum to the change, and mass changes must be released."""

import pytest
from driver import decimal
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from test_dashboards import html, press, proposal_page
from test_ledger import WORLD

from settlement import impact
from settlement.faults import InputFault, StateFault
from settlement.instance import Bounds, open_instance
from settlement.ledger import bounds
from settlement.ledger.models import Proposal, Release, SettlementRun
from settlement.ledger.proposals import opened
from settlement.ledger.register import add_user, open_register, writing

CPRS = ("6101011234", "0101801233", "1503924567", "2405657891")
ITEMS = {"DØGN": "doegn", "TIMER": "leveret", "OPHOLD": "maaned"}
# Lines of two months of 30 and 31 days: what each shows in June against May, and what is told late of earlier months.
LINES = {
    "dage": ("P0", "DØGN"), "fravaer": ("P0", "DØGN"), "ophoert": ("P0", "DØGN"), "antal": ("P0", "TIMER"),
    "takst": ("P0", "OPHOLD"), "betaler": ("P1", "OPHOLD"), "kontering": ("P0", "OPHOLD"), "ro": ("P0", "OPHOLD"),
    "sent fravaer": ("P0", "DØGN"), "sen slut": ("P0", "DØGN"), "sen betaler": ("P2", "DØGN"), "sen konto": ("P0", "DØGN"),
    "sen takst": ("P0", "DØGN"), "sen registrering": ("P0", "TIMER"), "sent antal": ("P0", "DØGN"),
}  # fmt: skip


def rate(line, since, price):
    return {"ydelse_id": line, "gyldig_fra": since, "gyldig_til": "", "pris": price}


def founding():
    return {
        "borgere": [{"cpr": cpr, "navn": "Prøve Persson"} for cpr in CPRS],
        "tilbud": [{"tilbud_id": "T", "navn": "Huset", "ejerforhold": "egen"}],
        "katalogydelser": [
            {"ydelseskode": code, "navn": code.title(), "enhed": unit, "fravaer_fulde_dage": "0" if unit != "leveret" else "",
             "fravaer_andel_pct": "0" if unit != "leveret" else ""}
            for code, unit in ITEMS.items()
        ],
        "takster": [
            {"ydelseskode": code, "tilbud_id": "", "gyldig_fra": "2024-01-01", "gyldig_til": "", "pris": "1000,00"}
            for code in ITEMS
        ],
        "ydelsespakker": [
            {"pakke_id": f"P{n}", "cpr": CPRS[n], "betalingskommune": "751", "afdeling": "SOC"} for n in range(4)
        ],
        "ydelser": [
            {"ydelse_id": line, "pakke_id": package, "ydelseskode": item, "tilbud_id": "T", "startdato": "2025-03-01",
             "konto": "47110"}
            for line, (package, item) in LINES.items()
        ],
        "registreringer": [
            {"registrering_id": f"{line}{month}", "ydelse_id": line, "dato": f"2025-{month:02}-10", "antal": "4"}
            for line in ("antal", "sen registrering") for month in (4, 5)
        ],
    }  # fmt: skip


def afterwards():
    """What June brings, and what is told late."""
    line = {row["ydelse_id"]: row for row in founding()["ydelser"]}
    return {
        "individuelle_takster": [rate("takst", "2025-06-01", "1040,00"), rate("sen takst", "2025-03-01", "990,00")],
        "betalere": [
            {"pakke_id": "P1", "gyldig_fra": "2025-06-01", "betalingskommune": "101"},
            {"pakke_id": "P2", "gyldig_fra": "2025-04-01", "betalingskommune": "101"},
        ],
        "kontoregler": [
            {"ydelse_id": "kontering", "gyldig_fra": "2025-06-01", "konto": "47120"},
            {"ydelse_id": "sen konto", "gyldig_fra": "2025-04-01", "konto": "47120"},
        ],
        "fravaer": [
            {"ydelse_id": "fravaer", "fra": "2025-06-02", "til": "2025-06-20", "aarsag": "ferie"},
            {"ydelse_id": "sent fravaer", "fra": "2025-04-02", "til": "2025-04-20", "aarsag": "ferie"},
        ],
        "registreringer": [
            {"registrering_id": "ny", "ydelse_id": "antal", "dato": "2025-06-10", "antal": "9"},
            {"registrering_id": "sen", "ydelse_id": "sen registrering", "dato": "2025-04-11", "antal": "2"},
        ],
        "ydelser": [
            line["ophoert"] | {"slutdato": "2025-06-04"}, line["sen slut"] | {"slutdato": "2025-05-20"},
            line["sent antal"] | {"antal": "2"}, line["ro"] | {"ydelse_id": "ny ydelse", "startdato": "2025-06-10"},
            line["ro"] | {"ydelse_id": "ny borger", "pakke_id": "P3", "startdato": "2025-06-10"},
            line["ro"] | {"ydelse_id": "sen ydelse", "startdato": "2025-04-10"},
        ],
    }  # fmt: skip


def newest(engine):
    with Session(engine, expire_on_commit=False) as session:
        return session.scalars(select(Proposal).order_by(Proposal.proposal_id.desc())).first()


def previewed(platform):
    """(preview, the rows of `change`) of the newest proposal."""
    instance = open_instance(platform.home)
    engine = open_register(instance)
    proposal = newest(engine)
    with opened(instance, proposal) as con, Session(engine) as session:
        preview = impact.compute(con, instance, session, proposal)
        rows = con.execute(
            "SELECT service_line_id, strftime(delivery_month, '%m'), cause, is_late, facts, sum(amount_oere)::BIGINT "
            "FROM change GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        entitled = con.execute("SELECT service_line_id, sum(now_oere - before_oere)::BIGINT FROM beside GROUP BY ALL").fetchall()
    return preview, rows, dict(entitled)


def with_changes(platform):
    """April and May booked, and June proposed after facts that came since."""
    platform.load(founding())
    platform.settle("mellemkommunal", "2025-04", "2025-05-05", book=True)
    platform.settle("mellemkommunal", "2025-05", "2025-06-05", book=True)
    platform.load(afterwards())
    platform.settle("mellemkommunal", "2025-06", "2025-07-05")


@pytest.fixture
def changed(make_platform):
    return make_platform(with_changes)


def test_every_changed_line_has_its_cause_and_the_causes_sum_to_the_change(changed):
    preview, rows, whole = previewed(changed)
    causes = {}
    for line, month, cause, is_late, facts, amount in rows:
        causes.setdefault((line, month), {})[cause] = (is_late, facts, amount)
    june = {line: set(found) for (line, month), found in causes.items() if month == "06"}
    assert june == {
        "dage": {"dage"}, "fravaer": {"fravaer"}, "ophoert": {"ophoert"}, "antal": {"antal"}, "takst": {"takst"},
        "betaler": {"betaler"}, "kontering": {"kontering"}, "ny ydelse": {"ny_ydelse"}, "ny borger": {"ny_borger"},
        "sent fravaer": {"dage"}, "sen slut": {"ophoert"}, "sen betaler": {"dage"}, "sen konto": {"dage"}, "sen takst": {"dage"},
        "sen registrering": {"antal"}, "sent antal": {"dage"},
    }  # fmt: skip
    late = {key: found for key, found in causes.items() if key[1] != "06"}
    assert {(line, cause, facts) for (line, _), found in late.items() for cause, (_, facts, _) in found.items()} == {
        ("sent fravaer", "fravaer", "fravær"), ("sen slut", "ophoert", "ydelser"), ("sen betaler", "betaler", "betalere"),
        ("sen konto", "kontering", "kontoregler"), ("sen takst", "takst", "individuelle takster"),
        ("sen registrering", "antal", "registreringer"), ("sent antal", "antal", "ydelser"), ("sen ydelse", "ny_ydelse", "ydelser"),
    }  # fmt: skip
    assert all(is_late for found in late.values() for is_late, _, _ in found.values())
    assert causes["takst", "06"]["takst"] == (False, "", 40_00)
    assert causes["fravaer", "06"]["fravaer"][2] == -20 * 1000_00  # 31 days against 11
    assert {m: causes["sen takst", m]["takst"][2] for m in ("03", "04", "05")} == {"03": -310_00, "04": -300_00, "05": -310_00}
    summed = {}
    for line, _, _, _, _, amount in rows:
        summed[line] = summed.get(line, 0) + amount
    assert {line: amount for line, amount in whole.items() if amount} == {line: amount for line, amount in summed.items() if amount}
    assert sum(cause.amount_oere for cause in preview.causes) == sum(summed.values())


def test_the_totals_by_counterparty_equal_the_ledger_and_the_proposal(changed):
    preview, _, _ = previewed(changed)
    booked = changed.lines()
    proposed = changed.settle("mellemkommunal", "2025-06", "2025-07-05")

    def total(rows, **wanted):
        return sum(int(decimal(r["beloeb"]) * 100) for r in rows if all(r[column] == value for column, value in wanted.items()))

    assert {party.counterparty for party in preview.parties} == {"751", "101"}
    for party in preview.parties:
        of = {"modpart": party.counterparty}
        assert party.proposed_oere == total(proposed, **of)
        assert party.earlier_oere == total([r for r in proposed if r["leverancemaaned"] < "2025-06"], **of)
        assert party.month_oere == total(proposed + booked, leverancemaaned="2025-06", **of)
        assert party.month_before_oere == total(proposed + booked, leverancemaaned="2025-05", **of)
        assert party.run_before_oere == total(booked, koersel="2", **of)
    assert preview.run_before == 2


def test_the_command_says_it_in_danish_without_cpr_numbers(changed):
    said = changed.must("preview")
    assert "Sen oplysning: fravær (ændret: fravær), -19.000,00 kr." in said
    assert "Takst: 1 ydelser, 40,00 kr." in said and "Aarhus Kommune: " in said
    assert not any(cpr in said for cpr in CPRS)
    assert changed.must("preview", newest(open_register(open_instance(changed.home))).proposal_id) == said


def test_a_month_settled_again_is_laid_beside_what_was_booked(changed):
    changed.settle("mellemkommunal", "2025-06", "2025-07-05", book=True)
    changed.load({"individuelle_takster": [rate("takst", "2025-06-01", "1050,00")]})
    changed.settle("mellemkommunal", "2025-06", "2025-07-06")
    preview, rows, _ = previewed(changed)
    assert not preview.is_month_new
    assert rows == [("takst", "06", "takst", True, "individuelle takster", 10_00)]


def test_what_is_outside_bounds_is_listed(changed):
    settings = changed.home / "settings.toml"
    text = settings.read_text().replace("# linje_kr = 250000", "linje_kr = 31000").replace("# mindst_kr = 10000", "mindst_kr = 1")
    settings.write_text(text.replace("# faerre_ydelser_pct = 10", "faerre_ydelser_pct = 0"))
    preview, _, _ = previewed(changed)
    lines = {thing.service_line_id for thing in preview.outside if thing.bound == "linje_kr"}
    assert lines == {"sent antal"}  # 31 more days in May at 1.000 kr. is not above, two a day in June is
    assert {thing.service_line_id for thing in preview.outside if thing.bound == "linje_pct"} == {"fravaer", "ophoert", "antal"}
    said = changed.must("preview")
    assert "Ydelse antal: 9.000,00 kr. i 2025-06 mod 4.000,00 kr. måneden før; en ændring over 50 pct. vises." in said


def test_a_limit_that_is_none_is_refused(platform):
    settings = platform.home / "settings.toml"
    for wrong in ("linje_kr = 1.5", "linje_pct = -1", "linje = 7", 'stoppes_pct = "nej"'):
        settings.write_text(settings.read_text().partition("[graenser]")[0] + f"[graenser]\n{wrong}\n")
        with pytest.raises(StateFault, match="Grænsen"):
            open_instance(platform.home)
    settings.write_text(settings.read_text().partition("[graenser]")[0] + "[graenser]\nlinje_kr = 7\n")
    assert open_instance(platform.home).bounds == Bounds(line_oere=7_00)


# --- Mass changes -------------------------------------------------------------------------------------------------------


def with_raise(platform):
    """May of 25 lines booked, and June proposed after a rate 30 per cent higher from 1 April."""
    world = WORLD | {
        "takster": [{"ydelseskode": "OPH", "tilbud_id": "", "gyldig_fra": "2025-01-01", "gyldig_til": "", "pris": "1000,00"}],
        "katalogydelser": WORLD["katalogydelser"][:1],
        "ydelser": [
            {"ydelse_id": f"L{n}", "pakke_id": "PQ"[n % 2], "ydelseskode": "OPH", "tilbud_id": "T", "startdato": "2025-05-01"}
            for n in range(25)
        ],
    }  # fmt: skip
    platform.load(world)
    platform.settle("mellemkommunal", "2025-05", "2025-06-05", book=True)
    platform.load({"takster": [world["takster"][0] | {"gyldig_til": "2025-03-31"},
                               world["takster"][0] | {"gyldig_fra": "2025-04-01", "pris": "1300,00"}]})  # fmt: skip
    platform.settle("mellemkommunal", "2025-06", "2025-07-05")
    engine = open_register(open_instance(platform.home))
    with Session(engine) as session, session.begin():
        for name, role in (("carl", "controller"), ("rita", "revisor")):
            add_user(session, name, role)


@pytest.fixture
def raised(make_platform):
    """(platform, its engine)"""
    platform = make_platform(with_raise)
    return platform, open_register(open_instance(platform.home))


BOOK = ("settle", "mellemkommunal", "--through", "2025-06", "--date", "2025-07-05", "--book", "--by", "anna", "--approved-by", "bo")
# 25 lines of 300 kr. more in May; June is 1.300 kr. like May, as it is known now.
SUM = "Taksten på OPH tilbage i tid flytter 7.500,00 kr. på 25 bogførte ydelser, 30,0 pct. af 25.000,00 kr. bogført"


def test_a_mass_change_is_booked_when_a_third_person_has_released_it(raised):
    platform, engine = raised
    code, said = platform.run(*BOOK)
    assert code == 1 and f"afventer frigivelse: {SUM}; det skal frigives af en, der" in said
    number = newest(engine).proposal_id
    shown = platform.must("preview", number)
    assert f"Masseændring, der frigives: {SUM}" in shown
    assert "Aarhus Kommune, konto mangler: 3.900,00 kr." in shown and "København Kommune, konto mangler: 3.600,00 kr." in shown
    for name, reason, fault in (
        ("bo", "Aftalt", "har godkendt forslag"), ("rita", "Aftalt", "har ikke ret"), ("carl", " ", "mangler en begrundelse"),
    ):  # fmt: skip
        code, said = platform.run("release", number, "--by", name, "--reason", reason)
        assert code == 1 and fault in said, said
    assert platform.run(*BOOK)[0] == 1
    platform.must("release", number, "--by", "carl", "--reason", "Takstaftalen af 1. april")
    platform.must(*BOOK)
    assert "Regnskabet er helt" in platform.must("verify")
    with Session(engine) as session:
        (kept,) = session.scalars(select(Release)).all()
        assert (kept.proposal_hash, kept.released_by) == (session.get(Proposal, number).hash, "carl")


def test_the_page_shows_a_mass_change_and_takes_its_release(raised, monkeypatch):
    platform, _ = raised
    press(proposal_page(platform.home, "bo", monkeypatch), "approve")
    page = press(proposal_page(platform.home, "anna", monkeypatch), "book")
    assert any(f"afventer frigivelse: {SUM}" in error.value for error in page.error)
    assert 'data-table="mass-parts"' in html(page) and "+3.900,00" in html(page)
    carl = proposal_page(platform.home, "carl", monkeypatch)
    carl.text_input(key="release-reason").set_value("Takstaftalen af 1. april")
    next(button for button in carl.button if button.label == "Frigiv").click().run()
    assert not carl.exception and any("er frigivet af carl" in success.value for success in carl.success)
    assert "er bogført" in press(proposal_page(platform.home, "anna", monkeypatch), "book").success[0].value


def test_a_release_by_whoever_then_approves_does_not_count(raised):
    platform, engine = raised
    platform.must("release", newest(engine).proposal_id, "--by", "bo", "--reason", "Aftalt")
    code, said = platform.run(*BOOK)
    assert code == 1 and "afventer frigivelse" in said


def test_the_proposer_does_not_release_and_nothing_is_released_twice_over(raised):
    platform, engine = raised
    instance, proposal = open_instance(platform.home), newest(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER proposal_no_update")
        connection.exec_driver_sql(f"UPDATE proposal SET created_by = 'carl' WHERE proposal_id = {proposal.proposal_id}")
    with writing(engine) as session, pytest.raises(StateFault, match="har lavet forslag"):
        bounds.release(instance, session, proposal_id=proposal.proposal_id, user_name="carl", reason="Aftalt")
    with writing(engine) as session, pytest.raises(StateFault, match="er bogført"):
        bounds.release(instance, session, proposal_id=1, user_name="carl", reason="Aftalt")


def test_fewer_lines_or_a_smaller_share_is_no_mass_change(raised):
    platform, engine = raised
    settings = platform.home / "settings.toml"
    whole = settings.read_text()
    for change in (("# masse_ydelser = 20 ", "masse_ydelser = 26 "), ("# frigives_pct = 20 ", "frigives_pct = 30 ")):
        settings.write_text(whole.replace(*change))
        assert not previewed(platform)[0].mass_changes
    settings.write_text(whole)
    assert len(previewed(platform)[0].mass_changes) == 1
    with writing(engine) as session, pytest.raises(InputFault, match="begrundelse"):
        bounds.release(
            open_instance(platform.home), session, proposal_id=newest(engine).proposal_id, user_name="carl", reason=""
        )


def test_an_account_changed_in_the_mass_is_stopped_above_the_hard_limit(raised):
    platform, engine = raised
    settings = platform.home / "settings.toml"
    settings.write_text(settings.read_text().replace("# stoppes_pct = 100 ", "stoppes_pct = 60 "))
    original = {"ydelseskode": "OPH", "tilbud_id": "", "gyldig_fra": "2025-04-01", "gyldig_til": "", "pris": "1000,00"}
    rules = [{"ydelse_id": f"L{n}", "gyldig_fra": "2025-01-01", "konto": "47110"} for n in range(25)]
    platform.load({"takster": [original], "kontoregler": rules})
    code, said = platform.run(*BOOK)
    assert code == 1 and "Skift af konto tilbage i tid flytter 25.000,00 kr. på 25 bogførte ydelser, 100,0 pct." in said
    assert "kan det ikke frigives" in said
    code, said = platform.run("release", newest(engine).proposal_id, "--by", "carl", "--reason", "Aftalt")
    assert code == 1 and "kan det ikke frigives" in said
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(SettlementRun)) == 1
