"""The explanation alone gives the amount: every unit recomputed from its sentences, and the panels on the pages."""

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from driver import decimal
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_dashboards import go, html, look_up, of_lines, person, press, proposal_page, register_of, sign_in
from worlds import CPRS, ITEMS

from dashboards import format as fmt
from settlement.explain import explain_proposal
from settlement.explanation import sentences
from settlement.instance import open_instance
from settlement.ledger.models import ParkedLine

pytest_plugins = ["demo_instance"]

MONTHS = ("2024-02", "2024-05")
OERE = Decimal("0.01")
NUMBER = r"(-?\d+(?:,\d+)?)"
FACTORS = re.compile(
    rf"antal {NUMBER} × vægt (-?\d+)/(\d+)(?: × {NUMBER} pct\.)? = (-?\d+)/(\d+) \((-?\d+,\d{{4}})\)\. "
    rf"Takst {NUMBER} kr\."
)
VALUE = re.compile(
    rf"Værd, .*: {NUMBER} kr\. × (-?\d+)/(\d+) \(.*?\) = {NUMBER}…? kr\., afrundet .*?: {NUMBER} kr\."
    rf"(?: Moms {NUMBER} pct\. af .*?: {NUMBER} kr\.)?"
)


def world():
    """One line of every unit and proration, with absence over a month's end, a price step and registrations."""
    columns = "enhed prorata fravaer_fulde_dage fravaer_andel_pct afrejsedag_betales moms_pct".split()
    lines = range(len(ITEMS))
    return {
        "borgere": [{"cpr": CPRS[0], "navn": "Prøve Persson"}],
        "tilbud": [{"tilbud_id": "T1", "ejerforhold": "egen"}],
        "katalogydelser": [
            {"ydelseskode": f"K{n}", **dict(zip(columns, item, strict=True))} for n, item in enumerate(ITEMS)
        ],
        "takster": [
            {"ydelseskode": f"K{n}", "tilbud_id": offer, "gyldig_fra": first, "pris": price}
            for n in lines
            for offer, first, price in (("", "01-01-2023", "333,33"), ("T1", "16-05-2024", "1234,56"))
        ],
        "ydelsespakker": [{"pakke_id": "P1", "cpr": CPRS[0], "afdeling": "BØRN", "betalingskommune": "751"}],
        "betalere": [{"pakke_id": "P1", "gyldig_fra": "20-05-2024", "gyldig_til": "", "betalingskommune": "561"}],
        "ydelser": [
            {"ydelse_id": f"Y{n}", "pakke_id": "P1", "ydelseskode": f"K{n}", "tilbud_id": "T1",
             "startdato": "08-05-2024" if ITEMS[n][0] == "engang" else "05-02-2024", "slutdato": "28-05-2024",
             "antal": "7,25", "konto": "5281230000004001"} for n in lines
        ],
        "fravaer": [
            {"ydelse_id": f"Y{n}", "fra": first, "til": last, "aarsag": "ferie"}
            for n in lines
            for first, last in (("26-04-2024", "03-05-2024"), ("04-05-2024", "10-05-2024"), ("20-02-2024", "28-02-2024"))
        ],
        "registreringer": [
            {"registrering_id": f"R{i}", "ydelse_id": f"Y{n}", "dato": day, "antal": quantity}
            for n in lines if ITEMS[n][0] == "leveret"
            for i, (day, quantity) in enumerate(
                (("06-02-2024", "2"), ("06-02-2024", "2"), ("07-05-2024", "3,5"), ("08-05-2024", "-1"), ("21-05-2024", "0,25"))
            )
        ],
    }  # fmt: skip


def by_pocket_calculator(told):
    """[(price, amount, vat)] from the whole explanation: quantities per stretch of days, then `amounts_of` their sums."""
    for count, weight, basis, absence, numerator, denominator, shown, _ in FACTORS.findall(told):
        factors = decimal(count) * int(weight) * decimal(absence or "100") / 100
        assert factors * int(denominator) == Decimal(numerator) * int(basis)
        assert (factors / int(basis)).quantize(Decimal("0.0001"), ROUND_HALF_UP) == decimal(shown)
    amounts = amounts_of(told)
    # Per price: the stretches' quantities make the pieces' amounts (to the rounding of each piece).
    for price in {p for p, _, _ in amounts}:
        days = sum(Decimal(m[4]) / int(m[5]) for m in FACTORS.findall(told) if decimal(m[7]) == price)
        pieces = [a for p, a, _ in amounts if p == price]
        assert abs(days * price - sum(pieces)) <= OERE / 2 * len(pieces) + Decimal("1e-15")
    return amounts


def amounts_of(told):
    """[(price, amount, vat)] recomputed from price × quantity, one rounding, and VAT; equal to what is written."""
    amounts = []
    for price, numerator, denominator, product, amount, pct, vat in VALUE.findall(told):
        exact = decimal(price) * int(numerator) / int(denominator)
        assert abs(exact - decimal(product)) < Decimal("0.000001")
        rounded = decimal(product).quantize(OERE, ROUND_HALF_UP)
        assert rounded == exact.quantize(OERE, ROUND_HALF_UP) == decimal(amount)
        tax = (rounded * decimal(pct) / 100).quantize(OERE, ROUND_HALF_UP) if pct else Decimal(0)
        assert tax == decimal(vat or "0")
        amounts.append((decimal(price), rounded, tax))
    return sorted(amounts)


def test_every_unit_is_recomputed_from_its_sentences_alone(platform):
    platform.load(world())
    rows = platform.settle("mellemkommunal", "2024-05", "2024-06-05")
    explained, absent = set(), 0
    for n in range(len(ITEMS)):
        for month in MONTHS:
            told = platform.must("explain", f"Y{n}", month)
            assert not any(cpr in told.replace("-", "") for cpr in CPRS)
            mine = [row for row in rows if (row["ydelse_id"], row["leverancemaaned"]) == (f"Y{n}", month)]
            expected = sorted((decimal(r["pris"]), decimal(r["beloeb"]), decimal(r["moms"])) for r in mine)
            assert by_pocket_calculator(told) == expected, f"{ITEMS[n]} {month}\n{told}"
            # Today the claims are late: the net of each counterparty's pieces.
            claimed = [decimal(amount) for amount in re.findall(rf"Kravet på {NUMBER} kr\. mod", told)]
            assert sum(claimed) == sum(decimal(r["beloeb"]) for r in mine)
            absent += " pct. = " in told
            explained |= {n} if mine else set()
    assert explained == set(range(len(ITEMS))) and absent >= 6
    hverdage = platform.must("explain", "Y2", "2024-05")
    assert "helligdag (09-05-2024)" in hverdage and "helligdag (20-05-2024)" in hverdage
    assert "takster.csv, række" in hverdage and "tilbuddets takst" in hverdage and "katalogets takst" in hverdage
    assert "561 (pakkens daterede betaler)" in hverdage and "751 (pakkens betalingskommune)" in hverdage
    assert "regnet som ét fra 26-04-2024: de første 2 kalenderdage" in hverdage
    assert "fra 28-04-2024 tæller hver dag 0 pct." in hverdage


def test_booked_lines_name_people_and_a_later_fact_its_difference(platform):
    platform.load(world())
    platform.settle("mellemkommunal", "2024-05", "2024-06-05", book=True)
    told = platform.must("explain", "Y0", "2024-02")
    assert "Bogført i kørsel 1" in told and "Bogført af anna, godkendt af bo" in told
    assert "Forskel: intet at bogføre." in told
    platform.load({"ydelser": [{"ydelse_id": "Y0", "slutdato": "20-02-2024"}]})
    told = platform.must("explain", "Y0", "2024-02")
    credit = re.search(rf"værd − bogført = {NUMBER} × 333,33 kr\. = {NUMBER} kr\., regulering af", told)
    assert credit and decimal(credit[2]) == (decimal(credit[1]) * Decimal("333.33")).quantize(OERE, ROUND_HALF_UP) < 0


def test_parked_and_late_say_why(platform):
    files = world()
    files["takster"] = [row for row in files["takster"] if row["ydelseskode"] != "K0"]
    platform.load(files)
    told = platform.must("explain", "Y0", "2024-02")
    assert "Måneden er parkeret (mangler_takst)" in told and "Takst mangler" in told
    assert "fristen var 28-02-2025" in platform.must("explain", "Y3", "2024-02")


# --- The panels -------------------------------------------------------------------------------------------------------


def choose(page, key, *words):
    """Chooses the first option with every word; gives the page's text."""
    box = page.selectbox(key=key)
    box.select_index(next(i for i, text in enumerate(box.options) if all(word in text for word in words)))
    page.run()
    assert not page.exception and not page.error
    return html(page)


def panel_values(text):
    (part,) = re.findall(r'data-sentences="explain-amounts">(.*?)</div>', text, re.DOTALL)
    return part.replace("</p>", "\n")


def test_the_panel_of_a_proposed_line_equals_its_amount(demo_home, monkeypatch):
    page = proposal_page(demo_home, "anna", monkeypatch)
    proposal_id = page.selectbox(key="settlement-proposal").value
    ((service_line_id, month, cpr, amount_oere),) = of_lines(demo_home, page, """
        SELECT service_line_id, delivery_month, cpr, amount_oere FROM proposed WHERE NOT is_adjustment
        ORDER BY service_line_id, delivery_month LIMIT 1""")
    with Session(register_of(demo_home)) as session:
        resting = session.scalars(select(ParkedLine).where(ParkedLine.proposal_id == proposal_id)).first()
    text = choose(page, "explain-line", service_line_id, fmt.month(month))
    assert 'data-table="explain-days"' in text and "Grundlag: forslag" in text and "ikke godkendt endnu" in text
    assert cpr not in text
    values = panel_values(text)
    assert fmt.oere(amount_oere) in {amount for _, amount, _ in amounts_of(values)}
    told = explain_proposal(open_instance(demo_home), register_of(demo_home), proposal_id, service_line_id, month)
    by_pocket_calculator("\n".join(sentences(told)))
    assert resting and "parkeret" in panel_values(choose(
        proposal_page(demo_home, "anna", monkeypatch), "explain-parked", resting.service_line_id,
        fmt.month(resting.delivery_month),
    ))  # fmt: skip


def test_the_panel_of_a_booked_line_names_who_approved(own_home, monkeypatch):
    press(proposal_page(own_home, "anna", monkeypatch), "approve")
    page = press(proposal_page(own_home, "bo", monkeypatch), "book")
    page.get("button_group")[0].set_value("Bogførte kørsler").run()
    text = choose(page, "explain-booked", "")
    assert "godkendt" in text and "af anna" in text and "bogført i kørsel 1 af bo" in text
    assert amounts_of(panel_values(text))


@pytest.mark.parametrize("user", ["rita", "anna"])
def test_the_panel_on_the_citizen_page_equals_the_months_value(own_home, monkeypatch, user):
    cpr, line, month, value = person(
        own_home,
        """SELECT cpr, service_line_id, delivery_month, sum(entitled_dkk) FROM marts_person.service_line_month
        WHERE process = 'mellemkommunal' AND entitled_dkk > 0 GROUP BY ALL ORDER BY delivery_month DESC, cpr LIMIT 1""",
    )
    page = go(sign_in(own_home, user, monkeypatch), "Borger")
    look_up(page, cpr, "Kontrol af et beløb")
    text = choose(page, "explain-month", line, fmt.month(month))
    assert sum(amount for _, amount, _ in amounts_of(panel_values(text))) == value
    assert cpr not in text
