"""Hånd på rattet: holds, manual lines, urgent runs, withdrawals and periods, each by two people who are signed in as themselves."""

import re
from datetime import date

import pytest
from playwright.sync_api import expect
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_browser import CHROMIUM, browser, open_page, served, settle  # noqa: F401
from test_dashboards import figure, html, sign_in
from test_holds import FILES

from dashboards import four_eyes, program
from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import holds, manual, periods
from settlement.ledger.models import AccessLog, Document, Hold, SettlementRun
from settlement.ledger.register import add_user, open_register, writing

CPR = "0101801233"
PARTY = "Modpart: kommunekode, afdeling, CPR- eller CVR-nummer"
JANUARY = date(2025, 1, 1)


def with_people(platform):
    platform.load(FILES)
    with writing(open_register(open_instance(platform.home))) as session:
        for name, role in (("rita", "revisor"), ("dan", "datateam"), ("sofie", "sagsbehandler")):
            add_user(session, name, role)


@pytest.fixture
def world(make_platform):
    return make_platform(with_people)


@pytest.fixture
def engine(world):
    engine = open_register(open_instance(world.home))
    yield engine
    engine.dispose()


def at(world, name, environment, view=None):
    page = sign_in(world.home, name, environment)
    page.switch_page("views/hands.py").run()
    assert not page.exception, [e.message for e in page.exception]
    assert "<h1>Hånd på rattet</h1>" in html(page)
    return show(page, view) if view else page


def show(page, view):
    page.get("button_group")[0].set_value(view).run()
    assert not page.exception, [e.message for e in page.exception]
    return page


def field(page, kind, label):
    return next(element for element in page.get(kind) if element.label == label)


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception, [e.message for e in page.exception]
    return page


def said(page):
    return [element.value for element in (*page.success, *page.error)]


def place(page, target, label="Ydelse (ydelse_id)", kind=None, reason="Klage"):
    if kind:
        page.get("button_group")[1].set_value(kind).run()
    field(page, "text_input", label).set_value(target)
    field(page, "selectbox", "Fra og med leverancemåned").set_value(JANUARY)
    page.text_input(key=four_eyes_key(page, "hold-reason")).set_value(reason)
    return press(page, "Hold tilbage")


def four_eyes_key(page, name):
    turn = page.session_state[four_eyes.TURN] if four_eyes.TURN in page.session_state else 0
    return f"{name}-{turn}"


def settled(world):
    return {row["ydelse_id"] for row in world.settle("mellemkommunal", "2025-01", "2025-03-05")}


def log_of(engine):
    with Session(engine) as session:
        return [(row.user_name, row.action, row.cpr, row.purpose) for row in session.scalars(select(AccessLog))]


# --- Holds ------------------------------------------------------------------------------------------------------------


def test_a_line_is_held_by_two_people_and_let_go_by_two(world, engine, monkeypatch):
    anna = place(at(world, "anna", monkeypatch), "Y9")
    assert said(anna) == ["Ydelsen Y9 findes ikke. Kontrollér ydelse_id i ydelser."]
    assert field(anna, "text_input", "Ydelse (ydelse_id)").value == "Y9", "what was written stands, to be mended"
    assert "Skriv en begrundelse." in said(place(anna, "Y1", reason=" "))
    anna = place(anna, "Y1")
    assert said(anna) == ["Tilbageholdelse 1 venter på, at en anden bekræfter."]
    assert field(anna, "text_input", "Ydelse (ydelse_id)").value == ""
    assert "Bekræft" not in [button.label for button in anna.button], "one's own is another's to confirm"
    assert settled(world) == {"Y1", "Y2", "Y3"}

    bo = at(world, "bo", monkeypatch)
    assert "1 beslutning venter på en anden; 1 kan du bekræfte." in html(bo)
    assert said(press(bo, "Bekræft")) == [
        "Tilbageholdelse 1 · ydelse Y1 fra januar 2025 er bekræftet af bo. Det gælder fra næste forslag."
    ]
    assert figure(bo, "holds") == "1" and settled(world) == {"Y2", "Y3"}
    for who in ("anna, ", "bo, ", "Klage", "gælder"):
        assert who in html(bo).split('data-table="holds"')[1]
    bo.text_input(key=four_eyes_key(bo, "hold_id-end-reason")).set_value("Afgjort")
    assert "venter på, at en anden bekræfter. Til da gælder den." in said(press(bo, "Ophæv"))[0]
    assert "gælder; ophævelse venter" in html(bo)

    anna = press(at(world, "anna", monkeypatch), "Bekræft")
    assert said(anna) == ["Ophævelse af 1 · ydelse Y1 fra januar 2025 er bekræftet af anna. Det gælder fra næste forslag."]
    assert "bekræftet af anna: Afgjort" in html(anna) and figure(anna, "holds") == "0"
    assert settled(world) == {"Y1", "Y2", "Y3"} and log_of(engine) == []


def test_what_waits_is_taken_back_by_one(world, engine, monkeypatch):
    anna = place(at(world, "anna", monkeypatch), "Y1")
    anna.text_input(key=four_eyes_key(anna, "hold_id-end-reason")).set_value("Forkert ydelse")
    assert said(press(anna, "Ophæv")) == ["Tilbageholdelse 1 · ydelse Y1 fra januar 2025 er taget tilbage."]
    with Session(engine) as session:
        assert holds.waiting(session) == holds.in_force(session) == []


@pytest.mark.heavy
def test_a_citizen_is_held_without_being_shown_and_shown_for_a_purpose(world, engine, monkeypatch):
    anna = at(world, "anna", monkeypatch)
    assert "ti cifre" in said(place(anna, "123", "CPR-nummer", "En borger"))[0] and log_of(engine) == []
    anna = place(anna, f"{CPR[:6]}-{CPR[6:]}", "CPR-nummer")
    assert said(anna) == ["Tilbageholdelse 1 venter på, at en anden bekræfter. Den rammer 2 ydelser nu."]
    assert log_of(engine) == [("anna", "opslag", CPR, "Tilbageholdelse: Klage")]
    with Session(engine) as session:
        assert session.get(Hold, 1).cpr == CPR

    bo = at(world, "bo", monkeypatch)
    assert "en borger" in html(bo) and CPR not in html(bo).replace("-", "")
    assert "mangler et formål" in said(press(bo, "Vis borgeren"))[0] and CPR not in html(bo).replace("-", "")
    bo.text_input(key="reveal-purpose-0").set_value("Bekræftelse")
    press(bo, "Vis borgeren")
    assert f"{CPR[:6]}-{CPR[6:]}" in html(bo)
    assert log_of(engine)[1:] == [("bo", "opslag", CPR, "Tilbageholdelse 1: Bekræftelse")]
    press(bo, "Bekræft")
    assert CPR not in html(bo).replace("-", "") and settled(world) == {"Y3"}


@pytest.mark.heavy
def test_a_counterparty_is_held_by_its_code(world, engine, monkeypatch):
    anna = at(world, "anna", monkeypatch)
    assert "Modparten kendes ikke" in said(place(anna, "999", PARTY, "En modpart"))[0]
    place(anna, "0561", PARTY)
    press(at(world, "bo", monkeypatch), "Bekræft")
    assert settled(world) == {"Y1", "Y2"}
    assert "(561)" in html(at(world, "anna", monkeypatch))


def test_no_word_of_a_citizen_stands_on_a_command_line(world, monkeypatch):
    started = []
    run = program.subprocess.run
    monkeypatch.setattr(program.subprocess, "run", lambda command, **more: started.append(command) or run(command, **more))
    place(at(world, "anna", monkeypatch), CPR, "CPR-nummer", "En borger")
    assert len(started) == 1 and CPR not in " ".join(map(str, started[0])) and "Klage" not in str(started[0])


# --- Manual lines -----------------------------------------------------------------------------------------------------


@pytest.mark.heavy
def test_a_manual_line_is_added_confirmed_and_withdrawn(world, engine, monkeypatch):
    anna = at(world, "anna", monkeypatch, "Manuelle linjer")

    def add(**words):
        written = {
            "Pakke (pakke_id)": "P1", "Beløb i kroner uden moms": "-1.234,50", "Konto": "5385201",
            "Tekst på bilaget": "Forlig om december",
        } | words  # fmt: skip
        for label, text in written.items():
            field(anna, "text_input", label).set_value(text)
        field(anna, "selectbox", "Leverancemåned").set_value(JANUARY)
        anna.text_input(key=four_eyes_key(anna, "manual-reason")).set_value("Aftale af 3. marts")
        return said(press(anna, "Tilføj linjen"))

    assert add(**{"Beløb i kroner uden moms": "12.3"}) == [
        "«12.3» er intet beløb. Skriv kroner og to decimaler, f.eks. 1234,50 eller -500,00."
    ]
    assert add(**{"Pakke (pakke_id)": "P9"}) == ["Pakken P9 findes ikke. Kontrollér pakke_id i ydelsespakker."]
    assert add(Konto="12") == ["«12» er ikke en konto på 5–16 cifre. Ret kontoen."]
    assert add(**{"Tekst på bilaget": f"Forlig med {CPR}"})[0].startswith("Teksten indeholder et CPR-nummer")
    assert add() == ["Manuel linje 1 (MANUEL-1) venter på, at en anden bekræfter."]
    bo = press(at(world, "bo", monkeypatch, "Manuelle linjer"), "Bekræft")
    assert "-1.234,50" in html(bo) and figure(bo, "manual") == "1" and "MANUEL-1" in settled(world)
    bo.text_input(key=four_eyes_key(bo, "manual_id-end-reason")).set_value("Forliget faldt")
    press(bo, "Træk tilbage")
    press(at(world, "anna", monkeypatch, "Manuelle linjer"), "Bekræft")
    with Session(engine) as session:
        ((line, withdrawn),) = manual.in_force(session)
    assert (line.decided_by, line.amount_oere, withdrawn) == ("anna", -123450, True) and "MANUEL-1" not in settled(world)


# --- Urgent runs and withdrawals --------------------------------------------------------------------------------------


def afregning(world, name, environment, begins, *buttons):
    """The page Afregning of that user: chooses the proposal that begins so, and presses the buttons."""
    page = sign_in(world.home, name, environment)
    page.switch_page("views/proposals.py").run()
    choice = page.selectbox(key="settlement-proposal")
    choice.select_index(next(i for i, text in enumerate(choice.options) if text.startswith(begins))).run()
    for button in buttons:
        page.button(key=button).click().run()
    assert not page.exception and not page.error, [e.value for e in page.error]


def test_an_urgent_run_and_the_withdrawal_of_its_document_are_approved_and_booked_as_today(world, engine, monkeypatch):
    anna = at(world, "anna", monkeypatch, "Hasteafregning")
    assert said(press(anna, "Lav hasteforslaget")) == ["Skriv den modpart, der skal afregnes."]
    field(anna, "text_input", PARTY).set_value("561")
    field(anna, "selectbox", "Til og med leverancemåned").set_value(JANUARY)
    field(anna, "date_input", "Bogføringsdato").set_value(date(2025, 2, 5))
    (told,) = said(press(anna, "Lav hasteforslaget"))
    assert told.startswith("Forslag ") and "Mellemkommunal" in told and " 1 linjer" in told
    assert figure(anna, "urgent") == "1" and "venter på godkendelse" in html(anna)
    afregning(world, "bo", monkeypatch, "Hastekørsel: kun modpart ", "approve")
    assert "godkendt, kan bogføres" in html(at(world, "bo", monkeypatch, "Hasteafregning"))
    afregning(world, "anna", monkeypatch, "Hastekørsel: kun modpart ", "book")
    assert "bogført i kørsel 1 af anna" in html(at(world, "bo", monkeypatch, "Hasteafregning"))
    with Session(engine) as session:
        document = session.scalars(select(Document)).one()
    assert document.counterparty == "561"

    bo = at(world, "bo", monkeypatch, "Tilbagekald bilag")
    bo.text_input(key="withdraw-text").set_value("findes ikke").run()
    assert "Intet bogført bilag passer" in html(bo)
    bo.text_input(key="withdraw-text").set_value(document.number).run()
    assert document.number in field(bo, "selectbox", "Bilag").options[0]
    field(bo, "date_input", "Bogføringsdato").set_value(date(2025, 3, 10))
    reason = four_eyes_key(bo, "withdraw-reason")
    bo.text_input(key=reason).set_value(f"Om {CPR}")
    assert "CPR-nummer" in said(press(bo, "Foreslå tilbagekaldelsen"))[0], "a proposal's reason is kept and shown"
    bo.text_input(key=reason).set_value("Sendt til den forkerte")
    assert "tilbagekaldelse af bilag" in said(press(bo, "Foreslå tilbagekaldelsen"))[0]
    assert figure(bo, "withdrawals") == "1" and "Sendt til den forkerte" in html(bo)
    assert field(bo, "selectbox", "Bilag").options[0].endswith("tilbagekaldelse på vej")
    afregning(world, "anna", monkeypatch, "Tilbagekaldelse af bilag ", "approve")
    afregning(world, "bo", monkeypatch, "Tilbagekaldelse af bilag ", "book")
    with Session(engine) as session:
        run = session.get(SettlementRun, 2)
    assert (run.approved_by, run.booked_by, run.amount_oere) == ("anna", "bo", -document.amount_oere)
    bo = at(world, "bo", monkeypatch, "Tilbagekald bilag")
    assert not any(document.number in text for text in field(bo, "selectbox", "Bilag").options), "once is enough"


# --- Accounting periods -----------------------------------------------------------------------------------------------


def test_a_period_is_closed_by_one_and_opened_by_two(world, engine, monkeypatch):
    year = date.today().year
    anna = at(world, "anna", monkeypatch, "Regnskabsperioder")

    def close():
        field(anna, "selectbox", "År").set_value(year - 1)
        field(anna, "selectbox", "Periode").set_value(13)
        anna.text_input(key=four_eyes_key(anna, "period-close-reason")).set_value("Regnskabet er afsluttet")
        return said(press(anna, "Luk perioden"))

    assert "mangler en begrundelse" in said(press(anna, "Luk perioden"))[0]
    assert close() == [f"Regnskabsperioden {year - 1}-13 er lukket."]
    assert close() == [f"Regnskabsperioden {year - 1}-13 er allerede lukket."]
    assert figure(anna, "closed") == "1"
    anna.text_input(key=four_eyes_key(anna, "period-open-reason")).set_value("Revisionen")
    assert said(press(anna, "Åbn")) == [f"Åbning 2 af {year - 1}-13 venter på, at en anden bekræfter."]
    assert "Bekræft åbningen" not in [button.label for button in anna.button]
    bo = at(world, "bo", monkeypatch, "Regnskabsperioder")
    assert said(press(bo, "Bekræft åbningen")) == [f"Regnskabsperioden {year - 1}-13 er åben."]
    assert figure(bo, "closed") == "0" and "Revisionen" in html(bo)
    with Session(engine) as session:
        assert not periods.is_closed(session, year - 1, 13)


# --- Rights, and the command beneath ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rita", "dan", "sofie"])
def test_only_a_controller_takes_the_wheel(world, monkeypatch, name):
    page = at(world, name, monkeypatch)
    assert "kan ikke gribe ind i afregningen" in html(page)
    assert not page.text_input and [button.label for button in page.button] == ["Log ud"]


def test_a_person_decides_as_oneself_alone(world, monkeypatch):
    place(at(world, "anna", monkeypatch), "Y1")
    names = {"anna", "bo", "rita", "dan", "sofie"}
    page = at(world, "bo", monkeypatch)
    for view in ("Tilbageholdelser", "Manuelle linjer", "Hasteafregning", "Tilbagekald bilag", "Regnskabsperioder"):
        show(page, view)
        for element in page.selectbox:
            assert not names & set(element.options), element.label


def test_a_command_asked_by_file_answers_with_its_sentences_or_its_refusal(world, monkeypatch):
    instance = open_instance(world.home)

    def ask(*words):
        with program.written([("ord.json", four_eyes.json.dumps(words).encode())]) as (path,):
            return program.ask(instance, "asked", path)

    assert ask("hold", "list") == {"told": []}
    with pytest.raises(StateFault, match="^«2025» er ingen måned. Skriv åååå-mm.$"):
        ask("hold", "place", "--line=Y1", "--from=2025", "--reason=x", "--by=anna")
    with pytest.raises(StateFault, match="^Tilbageholdelse 9 findes ikke."):
        ask("hold", "confirm", "9", "--by=bo")


# --- In a real browser ------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
def test_enter_decides_nothing_and_two_windows_are_two_people(world, engine, browser, tmp_path):  # noqa: F811
    log = tmp_path / "server.log"
    with served(world.home, log) as address:
        anna, bo = window(browser, address, "anna"), window(browser, address, "bo")
        anna.get_by_label("Ydelse (ydelse_id)").fill("Y1")
        month = anna.get_by_role("combobox", name="Fra og med leverancemåned")
        month.click()
        month.fill("januar 2025")  # the list is long: only what is near is there to be clicked
        anna.get_by_role("option", name="januar 2025").click()
        reason = anna.get_by_label("Begrundelse").last
        reason.fill("Klage")
        anna.keyboard.press("Enter")
        settle(anna, 500)
        with Session(engine) as session:
            assert session.scalars(select(Hold)).all() == []
        anna.get_by_role("button", name=re.compile("Hold tilbage$")).click()
        expect(anna.get_by_text("Tilbageholdelse 1 venter på, at en anden bekræfter.")).to_be_visible(timeout=60_000)
        open_page(bo, "Afregning")
        open_page(bo, "Hånd på rattet")
        bo.get_by_role("button", name=re.compile("Bekræft$")).click()
        expect(bo.get_by_text("er bekræftet af bo")).to_be_visible(timeout=30_000)
        expect(bo.locator('[data-table="holds"] tbody tr')).to_contain_text("ydelse Y1")
    with Session(engine) as session:
        (hold,) = holds.in_force(session)
    assert (hold.decided_by, hold.from_month, hold.reason) == ("anna", JANUARY, "Klage")
    assert "Traceback" not in (said := log.read_text(encoding="utf-8")) and "Error" not in said, said


def window(browser, address, name):  # noqa: F811
    page = browser.new_context(locale="da-DK", viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(30_000)
    page.goto(address)
    page.get_by_role("combobox", name="Bruger").click()
    page.get_by_role("option", name=re.compile(f"^{name} ")).click()
    page.get_by_role("button", name="Log ind").click()
    page.get_by_role("link", name="Hånd på rattet", exact=True).wait_for()
    settle(page)
    open_page(page, "Hånd på rattet")
    return page
