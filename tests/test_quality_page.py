"""Datakvalitet: what the rules find, people's overrides of it, and a decentral user's own department alone."""

import re
import shutil

import pytest
from published_sql import ask, ask_one
from sqlalchemy.orm import Session
from test_dashboards import figure, go, html, sign_in

from dashboards import format as fmt
from settlement.faults import InputFault
from settlement.instance import open_instance
from settlement.ledger import overrides
from settlement.ledger.register import add_user, open_register

pytest_plugins = ["demo_instance"]

OPEN = "FROM marts.quality_finding WHERE kind = 'regel' AND is_open"


@pytest.fixture(scope="module")
def home(demo_home, tmp_path_factory):
    """The demo instance with two decentral users of one department."""
    copy = shutil.copytree(demo_home, tmp_path_factory.mktemp("quality") / "own", symlinks=True)
    engine = open_register(open_instance(copy))
    with Session(engine) as session, session.begin():
        for name in ("dorte", "dennis"):
            add_user(session, name, "decentral", "VO-BO")
    engine.dispose()
    return copy


def keys(page):
    """What stands in the findings' table."""
    return re.findall(r"<td[^>]*>([^<]*)</td>", html(page).split('data-table="findings"')[-1])


def test_the_demo_has_what_was_planted_for_the_rules(home):
    found = dict(ask(home, f"SELECT reason, count(*) {OPEN} GROUP BY 1"))
    assert {"doed_borger", "fraflyttet_borger"} <= set(found), found
    assert ask(home, "SELECT DISTINCT finding_key FROM marts.quality_finding WHERE regexp_matches(finding_key, '[0-9]{10}')") == []


def test_the_page_counts_what_the_rules_find(home, monkeypatch):
    page = go(sign_in(home, "dan", monkeypatch), "Datakvalitet")
    assert figure(page, "found_open") == fmt.number(ask_one(home, f"SELECT count(*) {OPEN}"))
    page.selectbox(key="finding-kind").set_value("regel").run()
    rule, number = ask(home, f"SELECT reason, count(*) {OPEN} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1")[0]
    page.selectbox(key="finding-reason").set_value(rule).run()
    assert f"<caption>{fmt.count_of(number, 'fund', 'fund')}" in html(page)
    owner = ask_one(home, f"SELECT owner {OPEN} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
    page.multiselect(key="quality-owner").set_value([owner]).run()
    assert figure(page, "found_open") == fmt.number(ask_one(home, f"SELECT count(*) {OPEN} AND owner = ?", owner))
    last = ask_one(home, "SELECT sum(open_at_end) FROM marts.quality_trend WHERE owner = ? AND month = (SELECT max(month) "
                   "FROM marts.quality_trend)", owner)  # fmt: skip
    trend = html(page).split('data-table="trend"')[1].split("</tr>")[1]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", trend)[-1] == fmt.number(last)


def test_a_finding_is_overridden_by_one_and_confirmed_by_another(home, monkeypatch):
    page = go(sign_in(home, "anna", monkeypatch), "Datakvalitet")
    page.selectbox(key="finding-kind").set_value("regel").run()
    chosen = page.selectbox(key="override-row").options[0]
    page.text_input(key="override-reason").set_value("Aftalt med afdelingen")
    next(b for b in page.button if b.label == "Tilsidesæt").click().run()
    assert not page.exception and page.success
    assert not any(b.label == "Bekræft" for b in page.run().button)
    page = go(sign_in(home, "bo", monkeypatch), "Datakvalitet")
    page.selectbox(key="finding-kind").set_value("regel").run()
    next(b for b in page.button if b.label == "Bekræft").click().run()
    assert not page.exception and page.success
    with Session(open_register(open_instance(home))) as session:
        (made,) = overrides.in_force(session)
    assert chosen.startswith(made.finding_key) and made.decided_by == "anna"
    page.run()
    assert chosen not in page.selectbox(key="override-row").options
    assert "Aftalt med afdelingen" in html(page) and "bekræftet" in html(page)


def test_a_decentral_user_sees_own_department_and_no_other_page(home, monkeypatch):
    others = {key for (key,) in ask(home, "SELECT finding_key FROM marts.quality_finding WHERE kind = 'regel' "
                                    "AND department IS DISTINCT FROM 'VO-BO'")}  # fmt: skip
    own = {key for (key,) in ask(home, f"SELECT finding_key {OPEN} AND department = 'VO-BO'")}
    assert own and others
    page = go(sign_in(home, "dorte", monkeypatch), "Datakvalitet")
    assert figure(page, "found_open") == fmt.number(ask_one(home, f"SELECT count(*) {OPEN} AND department = 'VO-BO'"))
    assert figure(page, "rows_read") == "0"  # the department has handed nothing in
    for kind in ("regel", "karantæne", "advarsel"):
        page.selectbox(key="finding-kind").set_value(kind).run()
        page.checkbox(key="finding-open").set_value(False).run()
        assert not others & set(keys(page)), kind
        if kind == "regel":
            assert own <= set(keys(page))
            assert not [b for b in page.button if b.label in ("Tilsidesæt", "Bekræft")]
    lines = {line for (line,) in ask(home, """SELECT service_line_id FROM marts.quality_finding
        WHERE service_line_id IS NOT NULL AND department IS DISTINCT FROM 'VO-BO'""")}  # fmt: skip
    assert not lines & set(re.findall(r"[\w-]+", html(page)))
    assert "Kvalitetsporte" not in html(page)
    with pytest.raises(ValueError, match="Could not find a navigation page"):
        page.switch_page("views/overview.py")


def test_a_decentral_user_needs_a_department(home):
    with Session(open_register(open_instance(home))) as session, pytest.raises(InputFault, match="afdeling"):
        add_user(session, "uden", "decentral")
