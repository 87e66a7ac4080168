"""Incoming invoices from the file to the ledger: matched, decided on, paid once, and returned; cases in cases_invoices.yaml."""

import csv
import io
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from invoice_files import invoice_xml
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ingestion.quality import judge_loads
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration import invoices as matched
from orchestration.invoices import match_invoices
from orchestration.pipeline import pay_invoices
from settlement.documents.incoming_verdict import broken_rules
from settlement.faults import Fault, StateFault
from settlement.instance import open_instance
from settlement.invoices import decisions
from settlement.invoices.payment import number_key
from settlement.ledger.delivery import deliver
from settlement.ledger.gates import GREEN, PROFILE, record_verdict
from settlement.ledger.models import Document, InvoicePayment, LedgerLine, OutboxItem, Posting
from settlement.ledger.register import open_register, writing
from settlement.ledger.verify import verify

CASES = yaml.safe_load(Path(__file__).with_name("cases_invoices.yaml").read_text(encoding="utf-8"))
FACTS = {
    "borgere": [
        {"cpr": "0101801233", "navn": "Anna Berg"}, {"cpr": "1503924567", "navn": "Bo Dal"},
        {"cpr": "2305752344", "navn": "Cilla Eng"}, {"cpr": "0404661357", "navn": "Dan Falk"},
    ],
    "tilbud": [{"tilbud_id": "T1", "ejerforhold": "privat", "cvr": "30000001"}],
    "afdelinger": [{"afdeling": "VO", "navn": "Voksne", "ean": "5798000000001"}],
    "katalogydelser": [
        {"ydelseskode": "D", "navn": "Døgnophold", "enhed": "doegn", "fravaer_andel_pct": "0"},
        {"ydelseskode": "S", "navn": "Støttetimer", "enhed": "time"},
        {"ydelseskode": "B", "navn": "Bad", "enhed": "leveret"},
    ],
    "takster": [
        {"ydelseskode": code, "gyldig_fra": "2024-01-01", "pris": price}
        for code, price in (("D", "1000,00"), ("S", "400,00"), ("B", "250,00"))
    ],
    "ydelsespakker": [
        {"pakke_id": f"P{n}", "cpr": cpr, "betalingskommune": "461", "afdeling": "VO", "rekvisition": f"R-{n}00"}
        for n, cpr in enumerate(("0101801233", "1503924567", "2305752344", "0404661357"), 1)
    ],
    "ydelser": [
        {"ydelse_id": y, "pakke_id": p, "ydelseskode": k, "tilbud_id": "T1", "startdato": "2024-06-01", "konto": "5385201", **more}
        for y, p, k, more in (
            ("Y1", "P1", "D", {}), ("Y2", "P2", "D", {}), ("Y3", "P1", "S", {"antal": "7"}),
            ("Y4", "P3", "D", {"slutdato": "2024-12-31"}), ("Y5", "P4", "B", {}),
        )
    ],
    "registreringer": [
        {"registrering_id": f"G{day}", "ydelse_id": "Y5", "dato": f"2025-01-{day:02d}", "antal": "1"} for day in (7, 14, 21)
    ],
}  # fmt: skip
PAID_ON = date(2025, 3, 5)


class House:
    """The platform with the facts above, and what one does with invoices in it."""

    def __init__(self, platform):
        self.platform, self.home = platform, platform.home

    @property
    def instance(self):
        return open_instance(self.home)

    def receive(self, invoices, day="2025-02-28", extra=()):
        """Takes invoices in, in their order, and other systems' files; returns the ids."""
        folder = self.home.parent / f"fakturaer-{day}"
        folder.mkdir(exist_ok=True)
        files = [*extra]
        for n, invoice in enumerate(invoices):
            path = folder / f"{n:03d}.xml"
            path.write_bytes(invoice_xml(**invoice))
            files.append(("fakturaer", path.name, path))
        with open_warehouse(self.instance) as con:
            load_id, reports = receive(con, self.instance, files, dated=day, received_by="test")
            assert not any(report.fault for report in reports), reports
            judge_loads(con, self.instance, open_register(self.instance), [load_id])
        with writing(open_register(self.instance)) as session:  # how profiles are judged is told in test_gates.py
            record_verdict(
                session, load_id=load_id, scope="fakturaer", gate=PROFILE, input_version="1", rules_version="1", verdict=GREEN,
                detail="",
            )  # fmt: skip
        return [report.sha256 for report in reports]

    def outcomes(self):
        """{document: (outcome, reason)} as it is matched now."""
        with open_warehouse(self.instance) as con:
            match_invoices(con, self.instance, open_register(self.instance))
            return {d: (o, r) for d, o, r in con.execute("SELECT document_id, outcome, reason FROM invoice_outcome").fetchall()}

    def pay(self, by="anna"):
        with open_warehouse(self.instance) as con:
            return pay_invoices(con, self.instance, open_register(self.instance), booking_date=PAID_ON, user_name=by)

    def paid(self, document):
        """{service line: kroner} paid of a document."""
        with Session(open_register(self.instance)) as session:
            rows = session.execute(
                select(InvoicePayment.service_line_id, func.sum(InvoicePayment.amount_oere))
                .where(InvoicePayment.document_id == document).group_by(InvoicePayment.service_line_id)
            )  # fmt: skip
            return {line: Decimal(int(oere)) / 100 for line, oere in rows}

    def decide(self, document, action, *, by="anna", amount="31000.00", reason="Aftalt med afdelingen", **more):
        with writing(open_register(self.instance)) as session:
            return decisions.decide(
                session, user_name=by, action=action, document_id=document, sender_cvr="30000001", document_number="1",
                amount_oere=int(Decimal(amount) * 100), reason=reason, **more,
            ).decision_id  # fmt: skip

    def withdraw(self, decision, by="anna"):
        with writing(open_register(self.instance)) as session:
            decisions.withdraw(session, user_name=by, decision_id=decision, reason="Fortrudt")


def with_facts(platform):
    platform.load(FACTS)


@pytest.fixture
def house(make_platform):
    return House(make_platform(with_facts))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case, house):
    if "facts" in case:
        house.platform.load(case["facts"])
    if "terms" in case:
        with house.instance.invoice_terms.open("a", encoding="utf-8") as terms:
            terms.write(case["terms"] + "\n")
    if "hold" in case:
        line = case["hold"]["line"]
        house.platform.must("hold", "place", "--line", line, "--from", "2025-01", "--reason", "Tvist", "--by", "anna")
        house.platform.must("hold", "confirm", "1", "--by", "bo")
    if "dead" in case:
        cpr, day = case["dead"]["cpr"], case["dead"]["day"]
        event = {"haendelse_id": "1", "art": "status", "person": {"cpr": cpr}, "dato": day, "status": "90"}
        file = house.home.parent / "cpr_haendelser_2025-01-31.json"
        file.write_text(json.dumps({"data": {"haendelser": [event]}}), encoding="utf-8")
        house.receive([], extra=[("cpr", file.name, file)], day="2025-01-31")
    ids = house.receive(case["invoices"])
    found = house.outcomes()
    for document, expected in zip(ids, case["expect"], strict=True):
        assert found[document] == (expected["outcome"], expected.get("reason", "")), expected
    run = house.pay()
    wanted = [{line: Decimal(amount) for line, amount in e.get("paid", {}).items()} for e in case["expect"]]
    assert [house.paid(document) for document in ids] == wanted
    assert (run is None) == (not any(wanted))
    assert verify(house.instance, open_register(house.instance)) == []
    if run:
        assert house.pay() is None


def test_every_reason_and_outcome_has_its_words():
    from settlement.invoices.matching import sentences
    from settlement.invoices.reasons import FOUND_BY, OUTCOMES, REASONS

    sql = " ".join(sentences().values())
    for case in CASES:
        for expected in case["expect"]:
            assert expected["outcome"] in OUTCOMES and expected.get("reason", "dublet") in REASONS
    assert {code for code in REASONS if f"'{code}'" not in sql} <= {"afvist", "omtvistet"}
    assert {code for code in FOUND_BY if f"'{code}'" not in sql} <= {"som_faktureret", "som_aftalt"}


ONE = {"number": "1", "lines": [{"item": "Døgnophold", "quantity": 31, "price": "1000"}]}


def test_a_person_says_which_service_and_the_line_is_paid(house):
    (document,) = house.receive([ONE])
    house.decide(document, "match", line_number="1", service_line_id="Y2", delivery_month=date(2025, 1, 1))
    assert house.outcomes()[document] == ("godkendt", "")
    house.pay()
    assert house.paid(document) == {"Y2": Decimal("31000.00")}


def test_above_the_limit_another_person_confirms(house):
    (document,) = house.receive([ONE])
    settings = house.home / "settings.toml"
    text_now = settings.read_text(encoding="utf-8")
    settings.write_text(text_now.replace("[fakturabetaling]\n", "[fakturabetaling]\nto_personer_kr = 30000\n"), encoding="utf-8")
    decision = house.decide(document, "match", line_number="1", service_line_id="Y2", delivery_month=date(2025, 1, 1))
    assert house.outcomes()[document] == ("afventer", "ingen_borger")
    with writing(open_register(house.instance)) as session, pytest.raises(StateFault, match="har selv truffet"):
        decisions.confirm(session, user_name="anna", decision_id=decision)
    with writing(open_register(house.instance)) as session:
        decisions.confirm(session, user_name="bo", decision_id=decision)
    assert house.outcomes()[document] == ("godkendt", "")


def test_what_is_rejected_goes_back_with_its_reason_and_is_not_paid(house):
    rejected, paid = house.receive([
        {"number": "7", "lines": [{"item": "Døgnophold", "quantity": 33, "price": "1000", "note": "Bo Dal"}]},
        {"number": "8", "lines": [{"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Anna Berg"}]},
    ])  # fmt: skip
    house.decide(rejected, "afvis", reason="Januar har 31 dage")
    assert house.outcomes()[rejected] == ("afvist", "afvist")
    run = house.pay()
    assert deliver(house.instance, open_register(house.instance)) == Counter({"leveret": 2})
    folder = house.instance.outbox / str(run.run_no)
    (back,) = folder.glob("*afviste*")
    assert "30000001;1;afvist;Januar har 31 dage" in back.read_text(encoding="utf-8")
    assert house.paid(rejected) == {} and house.paid(paid) == {"Y1": Decimal("31000.00")}


def test_what_went_back_may_come_again_under_its_number(house):
    wrong = {"number": "7", "lines": [{"item": "Døgnophold", "quantity": 33, "price": "1000", "note": "Bo Dal"}]}
    (rejected,) = house.receive([wrong])
    right = wrong | {"issued": "2025-03-01", "lines": [wrong["lines"][0] | {"quantity": 31}]}
    (again,) = house.receive([right], day="2025-03-02")
    assert house.outcomes()[again] == ("dublet", "nummer_brugt")
    house.decide(rejected, "afvis", reason="Januar har 31 dage")
    assert house.outcomes() == {rejected: ("afvist", "afvist"), again: ("godkendt_automatisk", "")}
    house.pay()
    assert house.paid(again) == {"Y2": Decimal("31000.00")}


OF_BO = {"number": "1", "lines": [{"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Bo Dal"}]}
INVALID = OF_BO | {"broken": "<cbc:UBLVersionID>2.1</cbc:UBLVersionID>"}


def test_an_invalid_invoice_is_paid_where_a_person_approves_it_all_the_same(house):
    (document,) = house.receive([INVALID])
    assert house.outcomes()[document] == ("fejl_faktura", "ugyldig") and house.pay() is None
    house.decide(document, "godkend")
    assert house.outcomes()[document] == ("godkendt", "")
    house.pay()
    assert house.paid(document) == {"Y2": Decimal("31000.00")}
    (voucher,) = {line["bilag"] for line in house.platform.lines()}
    code, said = house.platform.run("withdraw", voucher, "--reason", "Fejl")
    assert code == 1 and f"Bilag {voucher} er en betalt faktura. Bed leverandøren om en kreditnota." in said


def test_an_invalid_invoice_that_is_rejected_waits_for_nobody(house):
    (document,) = house.receive([INVALID])
    house.decide(document, "afvis", reason="Ret F-LIB001")
    assert house.outcomes()[document] == ("afvist", "afvist")


def test_verdicts_are_kept_until_the_rules_are_of_another_edition(house, monkeypatch):
    valid, invalid = house.receive([OF_BO, INVALID | {"number": "2", "period": ("2025-02-01", "2025-02-28")}])
    judged = []
    monkeypatch.setattr(matched, "broken_rules", lambda *given: judged.append(given) or broken_rules(*given))
    found = house.outcomes()
    assert (found[valid][1], found[invalid][1], len(judged)) == ("", "ugyldig", 2)
    with open_warehouse(house.instance) as con:
        kept = con.execute("SELECT document_id, rules FROM quality.invoice_verdict ORDER BY rules").fetchall()
    assert kept == [(valid, ""), (invalid, "F-LIB001")]
    house.outcomes()
    assert len(judged) == 2
    monkeypatch.setattr(matched, "edition", lambda folder: "another")
    assert house.outcomes() == found and len(judged) == 4
    house.pay()
    monkeypatch.setattr(matched, "edition", lambda folder: "a third")
    house.outcomes()
    assert len(judged) == 5  # what is paid needs none


def test_a_schematron_that_is_not_there_stops_matching_with_its_sentence(house):
    settings = house.home / "settings.toml"
    text_now, nowhere = settings.read_text(encoding="utf-8"), house.home / "schematron"
    own = f'[fakturabetaling]\nschematron = "{nowhere}"\n'
    settings.write_text(text_now.replace("[fakturabetaling]\n", own), encoding="utf-8")
    house.receive([OF_BO])
    with pytest.raises(StateFault, match="Mappen med Schematron, .*, findes ikke"):
        house.outcomes()
    with pytest.raises(StateFault, match="Mappen med Schematron, .*, findes ikke"):
        house.pay()


def test_a_disputed_line_is_parked_and_the_rest_is_paid(house):
    (document,) = house.receive([{"number": "1", "lines": [
        {"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Anna Berg"},
        {"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Bo Dal"},
    ]}])  # fmt: skip
    decision = house.decide(document, "omtvist", line_number="2")
    assert house.outcomes()[document] == ("delvist", "omtvistet")
    house.pay()
    assert house.paid(document) == {"Y1": Decimal("31000.00")}
    with writing(open_register(house.instance)) as session, pytest.raises(StateFault, match="er betalt"):
        decisions.withdraw(session, user_name="anna", decision_id=decision, reason="Enige")
    # A newer decision on the line takes its place: it is paid by itself, and the first line is not paid again.
    house.decide(document, "match", line_number="2", service_line_id="Y2", delivery_month=date(2025, 1, 1))
    house.pay()
    assert house.paid(document) == {"Y1": Decimal("31000.00"), "Y2": Decimal("31000.00")}
    assert house.outcomes()[document] == ("betalt", "")


def test_a_repeated_choice_becomes_a_rule_when_a_person_accepts_it(house):
    house.platform.load({"ydelser": [
        {"ydelse_id": "Y6", "pakke_id": "P2", "ydelseskode": "S", "tilbud_id": "T1", "startdato": "2024-06-01", "antal": "7"},
    ]})  # fmt: skip
    # Two services of Bo Dal may be meant by words that no catalogue item has, and neither alone decides it.
    lines = [{"item": "Pakke B", "quantity": 31, "price": "410", "note": "Bo Dal"}]
    documents = house.receive([{"number": str(n), "issued": f"2025-02-0{n}", "lines": lines} for n in (1, 2, 3)])
    for document in documents:
        house.decide(
            document, "match", line_number="1", service_line_id="Y6", delivery_month=date(2025, 1, 1), amount="12710.00",
            item_words="pakke b", item_code="S",
        )  # fmt: skip
    rule = {"user_name": "bo", "sender_cvr": "30000001", "item_words": "pakke b", "item_code": "S"}
    with writing(open_register(house.instance)) as session:
        (proposed,) = decisions.proposed_rules(session, house.instance)
        assert (proposed.item_words, proposed.item_code, proposed.choices) == ("pakke b", "S", 3)
        with pytest.raises(StateFault, match="ikke foreslået"):
            decisions.accept_rule(session, house.instance, **rule | {"item_words": "pakke c"})
        decisions.accept_rule(session, house.instance, **rule)
        assert decisions.proposed_rules(session, house.instance) == []
    (new,) = house.receive([{"number": "9", "issued": "2025-03-03", "period": ("2025-02-01", "2025-02-28"), "lines": [
        {"item": "Pakke B", "quantity": 28, "price": "400", "note": "Bo Dal"}]}], day="2025-03-04")  # fmt: skip
    with open_warehouse(house.instance) as con:
        match_invoices(con, house.instance, open_register(house.instance))
        found = con.execute(
            "SELECT f.service_line_id FROM fit AS f JOIN charged AS g USING (charge_no) WHERE g.document_id = ?", [new]
        ).fetchall()
    assert found == [("Y6",)]  # before the rule, Y2 too


def test_what_is_paid_is_booked_posted_and_returned_to_the_oere(either_platform):
    house = House(either_platform)
    house.platform.load(FACTS)
    house.receive([
        {"number": "1", "lines": [{"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Anna Berg"}]},
        {"number": "2", "period": ("2025-01-01", "2025-02-28"), "lines": [
            {"item": "Døgnophold", "quantity": 59, "price": "1000", "note": "Bo Dal"}]},
    ])  # fmt: skip
    run = house.pay()
    engine = open_register(house.instance)
    assert deliver(house.instance, engine)["leveret"] == 2
    with Session(engine) as session:
        month, amount = LedgerLine.delivery_month, func.sum(LedgerLine.amount_oere)
        by_month = dict(session.execute(select(month, amount).group_by(month)).all())
        assert by_month == {date(2025, 1, 1): 62_000_00, date(2025, 2, 1): 28_000_00}
        posted = session.execute(select(Posting.side, func.sum(Posting.amount_oere)).group_by(Posting.side)).all()
        assert dict(posted) == {"debet": 90_000_00, "kredit": 90_000_00}
        assert session.scalars(select(Document.number)).all() == ["B2025-000001", "B2025-000002"]
        path = session.scalars(select(OutboxItem.path).where(OutboxItem.format == "fakturabetaling_opus")).one()
    rows = list(csv.DictReader(io.StringIO((house.instance.outbox / path).read_text(encoding="utf-8")), delimiter=";"))
    debit = [(r["Ydelsesperiode til"], r["Beløb"]) for r in rows if r["Debet/kredit"] == "Debet"]
    assert sorted(debit) == [("28.02.2025", "28000,00"), ("31.01.2025", "31000,00"), ("31.01.2025", "31000,00")]
    assert "alle ens med de bogførte" in house.platform.must("reproduce", run.run_no)


def use_prisme(house):
    """Makes Prisme the finance system, with an alias of the creditor account."""
    settings = house.home / "settings.toml"
    own = '[fakturabetaling]\noekonomisystem = "prisme"\nmaskinnr = "482"\n'
    settings.write_text(settings.read_text(encoding="utf-8").replace("[fakturabetaling]\n", own), encoding="utf-8")
    chart = house.home.parent / "prisme_kontoplan_2025-01-31.csv"
    heads = "AccountNum;Funktion;Dranst;Ejerforhold;Sted;Gruppering;Art;AccountName;Dimension1"
    chart.write_text(f"{heads}\n9000000001;09525;9;0;0100;100;00;Mellemregning;\n", encoding="windows-1252")
    house.receive([], extra=[("prisme", chart.name, chart)], day="2025-01-31")


def test_prisme_gets_its_own_numbers_of_the_accounts(house):
    use_prisme(house)
    house.receive([ONE | {"lines": [ONE["lines"][0] | {"note": "Bo Dal"}]}])
    run = house.pay()
    assert deliver(house.instance, open_register(house.instance)) == Counter({"leveret": 2})
    (file,) = (house.instance.outbox / str(run.run_no)).glob("*.g69")
    debit, credit = file.read_text(encoding="latin-1").splitlines()
    assert "5385201&112" in debit and "9000000001&112" in credit


@pytest.mark.parametrize("statement", [
    "UPDATE invoice_payment SET amount_oere = 1", "DELETE FROM invoice_payment", "UPDATE paid_invoice SET number_key = 'x'",
    "DELETE FROM paid_invoice", "INSERT INTO paid_invoice VALUES ('another', '30000001', 'faktura', '1')",
])  # fmt: skip
def test_the_register_itself_refuses_a_second_payment_and_a_change(house, statement):
    house.receive([ONE | {"lines": [ONE["lines"][0] | {"note": "Bo Dal"}]}])
    house.pay()
    with open_register(house.instance).connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text(statement))


def test_a_payment_of_a_ledger_that_has_moved_is_refused(house):
    from settlement.invoices import payment

    house.receive([
        {"number": "1", "lines": [{"item": "Døgnophold", "quantity": 31, "price": "1000", "note": "Bo Dal"}]},
    ])  # fmt: skip
    engine = open_register(house.instance)
    head = payment.matched_head(engine)
    with open_warehouse(house.instance) as con:
        match_invoices(con, house.instance, engine)
        given = {"head": head, "booking_date": PAID_ON, "user_name": "anna", "last_load_id": 2}
        assert payment.pay(house.instance, engine, con, **given)
        with pytest.raises(StateFault, match="siden de blev matchet"):
            payment.pay(house.instance, engine, con, **given)


@pytest.mark.parametrize("change", [
    {"reason": " "}, {"action": "match", "line_number": "1"}, {"action": "andet"}, {"action": "godkend", "line_number": "1"},
])  # fmt: skip
def test_a_decision_that_cannot_be_is_refused_with_a_sentence(house, change):
    action = change.pop("action", "afvis")
    with pytest.raises(Fault):
        house.decide("x", action, **change)


@pytest.mark.parametrize("written, key", [("F-0012", "F0012"), ("0012", "12"), ("f 0012", "F0012"), ("12", "12")])
def test_a_suppliers_number_however_it_is_written(written, key):
    assert number_key(written) == key
