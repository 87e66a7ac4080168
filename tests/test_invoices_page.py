"""Fakturabetaling in a real browser: its figures are the mart's, a decision is made and paid, and looking is logged."""

import re
from decimal import Decimal

import pytest
from playwright.sync_api import expect
from published_sql import ask, ask_one
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from test_browser import CHROMIUM, browser, expect_figure, expect_rows, open_page, pick, served, settle, signed_in  # noqa: F401

from dashboards import format as fmt
from settlement.documents.incoming_verdict import broken_rules
from settlement.instance import open_instance
from settlement.invoices.reasons import OUTCOMES
from settlement.ledger.models import AccessLog, InvoiceDecision, InvoicePayment
from settlement.ledger.register import open_register

pytest_plugins = ["demo_instance"]
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
READY = "SELECT sum(ready_dkk) FROM marts.invoice_payment WHERE outcome IN ('godkendt_automatisk', 'godkendt', 'delvist')"


@pytest.fixture
def page(own_home, browser, tmp_path):  # noqa: F811
    with served(own_home, tmp_path / "server.log") as address:
        page = signed_in(browser, address, "anna")
        open_page(page, "Fakturabetaling")
        yield page


def test_figures_and_filter_are_the_marts(page, own_home):
    expect_figure(page, "ready", fmt.kroner(ask_one(own_home, READY)))
    outcome, documents = ask(
        own_home, "SELECT outcome, count(*) FROM marts.invoice_payment GROUP BY outcome ORDER BY count(*) DESC LIMIT 1"
    )[0]
    pick(page, "Udfald", re.compile(f"^{OUTCOMES[outcome][0]} "))
    expect_rows(page, "invoices", min(documents, 50))
    cvr, count = ask(own_home, f"""
        SELECT sender_cvr, count(*) FROM marts.invoice_payment WHERE outcome = '{outcome}'
        GROUP BY sender_cvr ORDER BY count(*), sender_cvr LIMIT 1""")[0]  # fmt: skip
    page.get_by_label("Leverandør eller fakturanummer").fill(cvr)
    page.keyboard.press("Enter")
    settle(page)
    expect_rows(page, "invoices", count)


def _with_citizens(home):
    """(number that finds it alone, title of its outcome, citizens it may concern) of an invoice that waits for a person."""
    citizens = ask(home, "SELECT document_id, cpr FROM marts_person.invoice_line_service", file="afregning_person.duckdb")
    invoices = ask(home, """
        SELECT document_id, document_number, outcome FROM marts.invoice_payment
        WHERE outcome IN ('fejl_faktura', 'fejl_registrering', 'afventer')
        QUALIFY count(*) OVER (PARTITION BY outcome, document_number) = 1 ORDER BY ALL""")  # fmt: skip
    for document, number, outcome in invoices:
        if concerned := {cpr for other, cpr in citizens if other == document}:
            return number, OUTCOMES[outcome][0], concerned
    raise AssertionError("no invoice waits that concerns a citizen")


def test_what_is_ready_is_paid_once_and_a_decision_is_kept(page, own_home):
    engine = open_register(open_instance(own_home))
    number, outcome, citizens = _with_citizens(own_home)
    pick(page, "Udfald", re.compile(f"^{outcome} "))
    page.get_by_label("Leverandør eller fakturanummer").fill(number)
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_label("Begrundelse; leverandøren læser den ved afvisning").fill("Prisen er ikke den aftalte")
    page.keyboard.press("Enter")  # decides nothing
    settle(page, 500)
    page.get_by_role("button", name=re.compile("Afvis fakturaen")).click()
    expect(page.get_by_text("Beslutningen er gemt")).to_be_visible(timeout=30_000)
    with Session(engine) as session:
        (decision,) = session.scalars(select(InvoiceDecision)).all()
        assert (decision.action, decision.reason, decision.decided_by) == ("afvis", "Prisen er ikke den aftalte", "anna")
        log = select(AccessLog.cpr).where(AccessLog.purpose == f"Fakturabetaling: faktura {number}")
        assert set(session.scalars(log)) == citizens
    page.get_by_role("button", name=re.compile("^Betal .* klar")).click()
    expect(page.get_by_text("er bogført og afleveret til økonomisystemet")).to_be_visible(timeout=90_000)
    with Session(engine) as session:
        paid = Decimal(int(session.scalar(select(func.sum(InvoicePayment.amount_oere))))) / 100
    assert paid == ask_one(own_home, READY)
    page.get_by_role("button", name=re.compile("^Betal .* klar")).click()
    expect(page.get_by_text("Ingen fakturaer er klar til betaling.")).to_be_visible(timeout=90_000)


@pytest.mark.heavy
def test_an_invalid_invoice_is_rejected_with_the_rules_it_breaks(page, own_home):
    """Of the first invoice shown, the file in the archive lacks what its standard asks for."""
    instance, engine = open_instance(own_home), open_register(open_instance(own_home))
    (document,) = ask(own_home, """
        SELECT document_id FROM marts.invoice_payment WHERE outcome = 'fejl_faktura'
        ORDER BY received, due_date, sender_cvr, document_number LIMIT 1""")[0]  # fmt: skip
    path = instance.archived(document)
    lacking = re.sub(rb"<cbc:(UBLVersionID|BuyerReference)>[^<]*</cbc:[A-Za-z]*>", b"", path.read_bytes())
    rules = ", ".join(broken_rules(lacking))
    assert rules and not broken_rules(path.read_bytes())
    path.chmod(0o600)
    path.write_bytes(lacking)
    open_page(page, "Overblik")
    open_page(page, "Fakturabetaling")
    pick(page, "Udfald", re.compile("^Fejl i fakturaen "))
    reason = page.get_by_label("Begrundelse; leverandøren læser den ved afvisning")
    expect(reason).to_have_value(re.compile(f"^Fakturaen overholder ikke .*: {rules}\\. Ret den, og send den igen\\.$"))
    page.get_by_role("button", name=re.compile("Godkend fakturaen")).click()
    expect(page.get_by_text("Beslutningen mangler en begrundelse")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name=re.compile("Afvis fakturaen")).click()
    expect(page.get_by_text("Beslutningen er gemt")).to_be_visible(timeout=30_000)
    with Session(engine) as session:
        (decision,) = session.scalars(select(InvoiceDecision)).all()
    assert (decision.action, decision.document_id) == ("afvis", document) and rules in decision.reason
    expect(page.get_by_role("button", name=re.compile("send 1 afvist tilbage"))).to_be_visible()
