"""The pages, run by Streamlit's own test runner on a real demo instance: figures, filters, rights, refusals, log."""

import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from driver import Platform
from published_sql import ask, ask_one
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from streamlit.testing.v1 import AppTest

from dashboards import format as fmt
from dashboards import parts
from dashboards.published import Published
from settlement import impact
from settlement.instance import create_folders, open_instance
from settlement.ledger.models import AccessLog, Decision, Document, LedgerLine, OutboxItem, Proposal, SettlementRun
from settlement.ledger.proposals import opened
from settlement.ledger.register import add_user, open_register

pytest_plugins = ["demo_instance"]

APP = Path(__file__).parent.parent / "dashboards" / "app.py"
PAGES = {
    "Overblik": "overview", "Budgetopfølgning": "budget", "Disponering": "commitments", "Belægning": "occupancy",
    "Afregning": "proposals",
    "Borger": "citizen", "Datakvalitet": "quality",
}  # fmt: skip


def sign_in(home, name, environment):
    environment.setenv("AFREGNING_HOME", str(home))
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    people = page.selectbox(key="sign-in-user")
    people.select_index(next(i for i, text in enumerate(people.options) if text.startswith(f"{name} ")))
    page.button[0].click().run()
    assert not page.exception
    return page


def go(page, title):
    page.switch_page(f"views/{PAGES[title]}.py").run()
    assert not page.exception, [e.message for e in page.exception]
    assert f"<h1>{title}</h1>" in html(page)
    return page


def html(page):
    return "\n".join(element.value for element in page.get("html"))


def figure(page, name):
    """The value of the key figure with that name."""
    found = re.search(rf'data-figure="{name}">.*?afr-value\'>(.*?)</p>', html(page), re.DOTALL)
    assert found, f"the page has no figure {name}"
    return found[1]


def register_of(home):
    return open_register(open_instance(home))


# --- Danish formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (fmt.kroner(Decimal("1234567.89")), "1.234.567,89 kr."),
        (fmt.kroner(Decimal("-0.005")), "-0,01 kr."),
        (fmt.whole_kroner(Decimal("0.5")), "1 kr."),
        (fmt.number(Decimal("-0.4")), "0"),
        (fmt.number(None), "–"),
        (fmt.percent(Decimal("12.25")), "12,3 %"),
        (fmt.points(Decimal("-2.04")), "-2,0 procentpoint"),
        (fmt.millions(Decimal("1250000")), "1,3 mio. kr."),
        (fmt.millions(Decimal("-99999")), "-99.999 kr."),
        (fmt.quantity(13, 31), "0,4194"),
        (fmt.quantity(-1, 20000), "-0,0001"),
        (fmt.quantity(30, 1), "30"),
        (fmt.oere(-5), Decimal("-0.05")),
        (fmt.day(date(2026, 10, 1)), "01-10-2026"),
        (fmt.month(date(2026, 10, 1)), "oktober 2026"),
        (fmt.moment("2026-07-01T12:00:00+00:00"), "01-07-2026 kl. 14.00"),
        (fmt.moment("2026-12-01T12:00:00"), "01-12-2026 kl. 13.00"),
        (fmt.add_months(date(2026, 1, 1), -1), date(2025, 12, 1)),
        (fmt.label("mangler_takst"), "Mangler takst"),
        (fmt.count_of(1, "linje", "linjer"), "1 linje"),
    ],
)
def test_danish_formats(written, expected):
    assert written == expected


def test_csv_opens_in_a_danish_spreadsheet():
    rows = [{"a": Decimal("-1234.50"), "b": date(2026, 10, 1), "c": "Åhuset; nord", "d": True, "e": None}]
    columns = [parts.money("a", "beløb"), *(parts.Column(key, key) for key in "bcde")]
    assert (
        parts.csv_bytes(rows, columns) == '\ufeffbeløb;b;c;d;e\r\n-1234,50;01-10-2026;"Åhuset; nord";ja;\r\n'.encode()
    )


def test_tables_escape_what_sources_send(monkeypatch):
    drawn = []
    monkeypatch.setattr(parts.st, "html", drawn.append)
    parts.table([{"name": "<b>fed</b>"}], [parts.Column("name", "Navn")], caption="Navne", name="names")
    assert "&lt;b&gt;fed&lt;/b&gt;" in drawn[0] and "<b>" not in drawn[0]


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_a_reading_stays_in_its_build_while_another_is_published(own_home):
    path = own_home / "published" / "afregning.duckdb"
    before = Published(path)
    build = before.build
    fresh = path.with_suffix(".fresh")
    shutil.copy(path, fresh)
    with duckdb.connect(":memory:") as con:
        con.execute(f"ATTACH '{fresh}' AS p")
        con.execute("UPDATE p.marts.build SET build_id = 'another'")
    fresh.replace(path)
    assert before.values("SELECT build_id FROM marts.build") == [build.build_id]
    assert Published(path).build.build_id == "another"


# --- Signing in, empty states -----------------------------------------------------------------------------------------


def test_without_users_the_page_says_how_to_make_one(tmp_path, monkeypatch):
    create_folders(tmp_path / "empty", "657")
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path / "empty"))
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not page.exception
    assert "afregning user add" in html(page)


def test_without_an_instance_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path))
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not page.exception
    assert "afregning new" in html(page)


def test_nothing_is_shown_before_signing_in(demo_home, monkeypatch):
    monkeypatch.setenv("AFREGNING_HOME", str(demo_home))
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    assert "data-figure" not in html(page)


def test_an_instance_with_nothing_published_says_so_on_every_page(tmp_path, monkeypatch):
    home = tmp_path / "empty"
    engine = open_register(create_folders(home, "657"))
    with Session(engine) as session, session.begin():
        add_user(session, "anna", "controller")
    page = sign_in(home, "anna", monkeypatch)
    for title, view in PAGES.items():
        page.switch_page(f"views/{view}.py").run()
        assert not page.exception
        expected = "Ingen åbne forslag" if title == "Afregning" else "Der er ingen tal endnu"
        assert expected in html(page), title


# --- Figures equal SQL ------------------------------------------------------------------------------------------------


def test_overview_figures_equal_sql(demo_home, monkeypatch):
    page = go(sign_in(demo_home, "rita", monkeypatch), "Overblik")
    horizon = ask_one(demo_home, "SELECT horizon FROM marts.build")
    cost = ask_one(
        demo_home,
        """SELECT sum(entitled_dkk) FROM marts.cost_month
        WHERE month = ? AND process IN ('faktura', 'intern', 'udbetaling')""",
        horizon,
    )
    claimed = ask_one(
        demo_home,
        "SELECT sum(entitled_dkk) FROM marts.cost_month WHERE month = ? AND process = 'mellemkommunal'",
        horizon,
    )
    expected = ask_one(
        demo_home, "SELECT sum(expected_dkk) FROM marts.budget_follow_up WHERE year(month) = ?", horizon.year
    )
    stock = ask_one(demo_home, "SELECT sum(closing) FROM marts.movement WHERE month = ?", horizon)
    assert cost and claimed and expected and stock
    assert figure(page, "udgift") == fmt.millions(cost)
    assert figure(page, "opkraevet") == fmt.millions(claimed)
    assert figure(page, "forventet") == fmt.millions(expected)
    assert figure(page, "forloeb") == fmt.number(stock)
    assert f"<dd>{fmt.month(horizon)} og 12 måneder tilbage</dd>" in html(page)


def test_budget_filters_equal_sql(demo_home, monkeypatch):
    page = go(sign_in(demo_home, "rita", monkeypatch), "Budgetopfølgning")
    year = page.selectbox(key="budget-year").value
    query = "SELECT sum({}) FROM marts.budget_follow_up WHERE year(month) = ? {}"
    for name, column in {"budget": "budget_dkk", "actual": "actual_dkk", "expected": "expected_dkk"}.items():
        assert figure(page, name) == fmt.whole_kroner(ask_one(demo_home, query.format(column, ""), year))
    department = ask_one(
        demo_home,
        """SELECT department FROM marts.budget_follow_up WHERE year(month) = ? AND department IS NOT NULL
        GROUP BY department ORDER BY abs(sum(budget_dkk)) DESC LIMIT 1""",
        year,
    )
    all_departments = figure(page, "budget")
    page.multiselect(key="budget-departments").set_value([department]).run()
    assert not page.exception
    one = ask_one(demo_home, query.format("budget_dkk", "AND department = ?"), year, department)
    assert figure(page, "budget") == fmt.whole_kroner(one) != all_departments


def test_occupancy_of_own_and_of_all_offers_equals_sql(demo_home, monkeypatch):
    page = go(sign_in(demo_home, "rita", monkeypatch), "Belægning")
    first, last = page.selectbox(key="occupancy-first").value, page.selectbox(key="occupancy-last").value
    query = "SELECT sum(enrolled_days), sum(place_days) FROM marts.occupancy_offer WHERE month BETWEEN ? AND ? {}"
    enrolled, places = ask(demo_home, query.format("AND owner_kind = 'egen'"), first, last)[0]
    assert figure(page, "enrolled_days") == fmt.number(enrolled)
    assert figure(page, "pct") == fmt.percent(fmt.share(enrolled, places))
    page.multiselect(key="occupancy-owner").set_value([]).run()
    every, _ = ask(demo_home, query.format(""), first, last)[0]
    assert figure(page, "enrolled_days") == fmt.number(every)
    assert every > enrolled
    page.selectbox(key="occupancy-first").set_value(last).run()
    one, _ = ask(demo_home, query.format(""), last, last)[0]
    assert figure(page, "enrolled_days") == fmt.number(one)


def test_quality_figures_and_reasons_equal_sql(demo_home, monkeypatch):
    page = go(sign_in(demo_home, "dan", monkeypatch), "Datakvalitet")
    read, accepted = ask(demo_home, "SELECT sum(rows_read), sum(rows_accepted) FROM marts.file_quality")[0]
    assert figure(page, "rows_read") == fmt.number(read)
    assert figure(page, "rows_accepted") == fmt.number(accepted)
    reason, number_of = ask(
        demo_home,
        """SELECT reason, count(*) FROM marts.quality_finding WHERE kind = 'karantæne' AND is_open
        GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 1""",
    )[0]
    page.selectbox(key="finding-reason").set_value(reason).run()
    assert f"<caption>{number_of} fund" in html(page)
    load = ask_one(demo_home, "SELECT max(load_id) FROM marts.file_quality")
    page.selectbox(key="quality-load").set_value(load).run()
    one = ask_one(demo_home, "SELECT sum(rows_read) FROM marts.file_quality WHERE load_id = ?", load)
    assert figure(page, "rows_read") == fmt.number(one)


def test_no_page_but_the_citizen_page_shows_a_cpr_number(demo_home, monkeypatch):
    known = {cpr for (cpr,) in ask(demo_home, "SELECT cpr FROM marts_person.citizen", file="afregning_person.duckdb")}
    page = sign_in(demo_home, "anna", monkeypatch)
    for title in PAGES:
        text = html(go(page, title))
        assert not known & set(re.findall(r"\d{10}", text.replace("-", ""))), title


# --- Approving and booking --------------------------------------------------------------------------------------------


def proposal_page(home, name, environment):
    page = go(sign_in(home, name, environment), "Afregning")
    choice = page.selectbox(key="settlement-proposal")
    choice.select_index(next(i for i, text in enumerate(choice.options) if text.startswith("Mellemkommunal, bagud")))
    return page.run()


def of_lines(home, page, sql):
    """The answer to a SELECT over the lines, from the archive, of the proposal chosen on the page."""
    with Session(register_of(home)) as session:
        proposal = session.get(Proposal, page.selectbox(key="settlement-proposal").value)
    with opened(open_instance(home), proposal) as con:
        return con.execute(sql).fetchall()


def press(page, key):
    page.button(key=key).click().run()
    assert not page.exception
    return page


def test_one_approves_another_books_and_the_documents_can_be_fetched(own_home, monkeypatch):
    engine = register_of(own_home)
    anna = proposal_page(own_home, "anna", monkeypatch)
    ((amount, lines),) = of_lines(own_home, anna, "SELECT sum(amount_oere)::BIGINT, count(*) FROM proposed")
    assert figure(anna, "amount") == fmt.kroner(fmt.oere(amount))
    assert figure(anna, "lines") == fmt.number(lines)

    assert "ikke godkendt" in press(anna, "book").error[0].value
    assert "godkendt af anna" in press(anna, "approve").success[0].value
    assert "En anden skal bogføre" in press(anna, "book").error[0].value
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(SettlementRun)) == 0

    bo = press(proposal_page(own_home, "bo", monkeypatch), "book")
    assert "er bogført" in bo.success[0].value
    with Session(engine) as session:
        run = session.scalars(select(SettlementRun)).one()
        assert (run.approved_by, run.booked_by, run.amount_oere) == ("anna", "bo", amount)
        assert session.scalar(select(func.sum(LedgerLine.amount_oere))) == amount
        documents = session.scalars(select(Document)).all()
        written = session.scalars(select(OutboxItem).where(OutboxItem.status == "leveret")).all()
    assert written and all((own_home / "outbox" / item.path).exists() for item in written)

    bo.get("button_group")[0].set_value("Bogførte kørsler").run()
    assert not bo.exception
    assert all(document.number in html(bo) for document in documents)
    labels = [button.label for button in bo.get("download_button")]
    assert any("PDF" in text for text in labels) and any("OPUS" in text for text in labels)


def test_the_preview_on_the_page_is_that_of_the_command(own_home, monkeypatch):
    page = proposal_page(own_home, "anna", monkeypatch)
    number = page.selectbox(key="settlement-proposal").value
    said = Platform(own_home, monkeypatch).must("preview", number)
    with Session(register_of(own_home)) as session, opened(open_instance(own_home), session.get(Proposal, number)) as con:
        found = impact.compute(con, open_instance(own_home), session, session.get(Proposal, number))
    assert found.causes and found.parties
    for cause in found.causes:
        name = impact.cause_text(cause.cause, cause.is_late)
        assert f"{name}: {cause.service_lines} ydelser, {fmt.kroner(fmt.oere(cause.amount_oere))}" in said
        assert re.search(rf">{name}</td>.*?{re.escape(fmt.kroner_figure(fmt.oere(cause.amount_oere), signed=True))}<", html(page))
    for party in found.parties:
        assert fmt.kroner_figure(fmt.oere(party.month_oere - party.month_before_oere), signed=True) in html(page)
    chosen = found.causes[0]
    page.selectbox(key="changes-cause").set_value((chosen.cause, chosen.is_late)).run()
    assert not page.exception
    table = re.search(r'data-table="largest-changes".*?</table>', html(page), re.DOTALL)[0]
    assert set(re.findall(r">((?:Sen oplysning: )?\w[\w ]*)</td><td[^>]*>[^<]*</td><td class=\"afr-number\"", table)) == {
        impact.cause_text(chosen.cause, chosen.is_late)
    }


@pytest.mark.heavy
def test_an_urgent_proposal_and_a_withdrawal_stand_beside_the_ordinary_one(own_home, monkeypatch):
    platform = Platform(own_home, monkeypatch)
    page = proposal_page(own_home, "anna", monkeypatch)
    ((counterparty, through),) = of_lines(
        own_home, page, "SELECT counterparty, strftime(max(delivery_month), '%Y-%m') FROM proposed GROUP BY 1 ORDER BY 1 LIMIT 1"
    )
    by = ("--by", "anna")
    platform.must("settle", "mellemkommunal", "--through", through, "--only", counterparty, *by)
    page = proposal_page(own_home, "anna", monkeypatch)
    options = page.selectbox(key="settlement-proposal").options
    urgent = next(text for text in options if text.startswith("Hastekørsel: kun modpart "))
    assert "Mellemkommunal, bagud" in urgent
    page.selectbox(key="settlement-proposal").select(urgent).run()
    assert not page.exception
    assert {c for (c,) in of_lines(own_home, page, "SELECT DISTINCT counterparty FROM proposed")} == {counterparty}
    platform.must("settle", "mellemkommunal", "--through", through, "--only", counterparty, "--book", *by, "--approved-by", "bo")
    with Session(register_of(own_home)) as session:
        document = session.scalars(select(Document)).one()
    platform.must("withdraw", document.number, "--reason", "Fejl i bilaget", *by)
    page = proposal_page(own_home, "bo", monkeypatch)
    withdrawal = next(text for text in page.selectbox(key="settlement-proposal").options if text.startswith("Tilbagekaldelse"))
    assert withdrawal.startswith(f"Tilbagekaldelse af bilag {document.number} ")
    page.selectbox(key="settlement-proposal").select(withdrawal).run()
    assert not page.exception and figure(page, "amount") == fmt.kroner(fmt.oere(-document.amount_oere))
    assert "Bilag tilbagekaldt" in html(page)


@pytest.mark.parametrize("name", ["rita", "dan", "sofie"])
def test_only_a_controller_sees_the_buttons(demo_home, monkeypatch, name):
    page = proposal_page(demo_home, name, monkeypatch)
    assert not {"approve", "book"} & {button.key for button in page.button}
    assert "kan ikke godkende eller bogføre" in html(page)


def test_lines_can_be_filtered_and_summed(demo_home, monkeypatch):
    page = proposal_page(demo_home, "anna", monkeypatch)
    ((counterparty, number_of, amount),) = of_lines(
        demo_home, page, "SELECT counterparty, count(*), sum(amount_oere)::BIGINT FROM proposed GROUP BY 1 ORDER BY 2 LIMIT 1"
    )
    page.selectbox(key="lines-party").set_value(counterparty).run()
    linjer = fmt.count_of(number_of, "linje", "linjer")
    assert f"<caption>{linjer}, i alt {fmt.kroner(fmt.oere(amount))}" in html(page)


def test_a_late_claim_is_let_through_with_a_reason_only(own_home, monkeypatch):
    page = proposal_page(own_home, "anna", monkeypatch)
    button = next(b for b in page.button if b.label == "Lad kravet komme med")
    button.click().run()
    assert "begrundelse" in page.error[0].value
    page.text_input(key="late-reason").set_value("Aftalt med betalingskommunen")
    next(b for b in page.button if b.label == "Lad kravet komme med").click().run()
    with Session(register_of(own_home)) as session:
        decision = session.scalars(select(Decision)).one()
    assert (decision.kind, decision.decided_by, decision.reason) == (
        "allow_late",
        "anna",
        "Aftalt med betalingskommunen",
    )
    assert decision.delivery_month and decision.counterparty


def test_a_refused_row_is_set_aside_with_a_reason(own_home, monkeypatch):
    page = go(sign_in(own_home, "anna", monkeypatch), "Datakvalitet")
    page.text_input(key="aside-reason").set_value("Rækken var en fejl i udtrækket")
    next(b for b in page.button if b.label == "Sæt til side").click().run()
    assert not page.exception and page.success
    with Session(register_of(own_home)) as session:
        decision = session.scalars(select(Decision)).one()
    known = ask(own_home, "SELECT file_hash, row, service_line_id FROM marts.quality_finding WHERE kind = 'karantæne'")
    assert (decision.file_hash, decision.row, decision.service_line_id) in known


# --- The citizen page -------------------------------------------------------------------------------------------------


def look_up(page, cpr, purpose):
    page.text_input(key="citizen-cpr").set_value(cpr)
    page.text_input(key="citizen-purpose").set_value(purpose)
    next(b for b in page.button if b.label == "Slå op").click().run()
    assert not page.exception
    return html(page)


def person(home, sql, *parameters):
    return ask(home, sql, *parameters, file="afregning_person.duckdb")[0]


def log_rows(home):
    with Session(register_of(home)) as session:
        return [(r.user_name, r.action, r.cpr, r.purpose) for r in session.scalars(select(AccessLog))]


def test_a_look_up_is_logged_and_shows_services_and_costs(own_home, monkeypatch):
    cpr, name = person(
        own_home,
        """SELECT cpr, name FROM marts_person.citizen WHERE NOT address_protected
        AND cpr IN (SELECT cpr FROM marts_person.service_line_month WHERE entitled_dkk > 0
            AND delivery_month = (SELECT max(delivery_month) FROM marts_person.service_line_month))
        ORDER BY cpr LIMIT 1""",
    )
    page = go(sign_in(own_home, "rita", monkeypatch), "Borger")
    look_up(page, "123", "Revision")
    assert "skal have ti cifre" in page.error[0].value
    look_up(page, cpr, " ")
    assert "mangler et formål" in page.error[0].value and name not in html(page)
    assert log_rows(own_home) == []

    text = look_up(page, f"{cpr[:6]}-{cpr[6:]}", "Stikprøve i revisionen")
    assert name in text
    total = person(
        own_home,
        """SELECT sum(entitled_dkk) FROM marts_person.service_line_month WHERE cpr = $1 AND delivery_month =
        (SELECT max(delivery_month) FROM marts_person.service_line_month WHERE cpr = $1)""",
        cpr,
    )[0]
    assert figure(page, "month") == fmt.kroner(total)
    assert log_rows(own_home) == [("rita", "opslag", cpr, "Stikprøve i revisionen")]


def test_a_protected_address_is_never_shown(own_home, monkeypatch):
    cpr, name = person(
        own_home, "SELECT cpr, name FROM marts_person.citizen WHERE address_protected ORDER BY cpr LIMIT 1"
    )
    address = person(own_home, "SELECT address FROM marts_person.citizen WHERE cpr = ?", cpr)[0]
    text = look_up(go(sign_in(own_home, "anna", monkeypatch), "Borger"), cpr, "Kontrol af afregning")
    assert "<dt>Adresse</dt><dd>Beskyttet</dd>" in text
    assert not address or address not in text


def test_a_case_worker_sees_own_department_only(own_home, monkeypatch):
    def of_department(condition):
        return person(
            own_home,
            f"""SELECT c.cpr, c.name FROM marts_person.citizen c WHERE c.name <> '' AND {condition} (SELECT 1 FROM
            marts_person.service_line_month m WHERE m.cpr = c.cpr AND m.department = 'VO-BO')
            AND NOT contains(c.department, 'VO-BO') = {condition == "NOT EXISTS"} ORDER BY c.cpr LIMIT 1""",
        )

    own, own_name = of_department("EXISTS")
    other, other_name = of_department("NOT EXISTS")
    page = go(sign_in(own_home, "sofie", monkeypatch), "Borger")
    assert own_name in look_up(page, own, "Opfølgning på sag")
    text = look_up(page, other, "Opfølgning på sag")
    assert other_name not in text and "ingen borger med det CPR-nummer i din afdeling" in text
    assert [row[2] for row in log_rows(own_home)] == [own, other]


def test_the_data_team_sees_no_citizens(demo_home, monkeypatch):
    page = go(sign_in(demo_home, "dan", monkeypatch), "Borger")
    assert "ser ingen borgere" in html(page)
    assert not page.text_input


def test_signing_out_forgets_the_citizen(own_home, monkeypatch):
    cpr, name = person(own_home, "SELECT cpr, name FROM marts_person.citizen WHERE name <> '' ORDER BY cpr LIMIT 1")
    page = go(sign_in(own_home, "anna", monkeypatch), "Borger")
    assert name in look_up(page, cpr, "Kontrol af afregning")
    next(b for b in page.button if b.label == "Log ud").click().run()
    assert "Du er logget ind" not in html(page) and name not in html(page)
    assert "citizen-looked-up" not in page.session_state
