"""The explanation alone gives the amount: every unit recomputed from its sentences, and the panels on the pages."""

import re
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from driver import decimal
from published_sql import ask
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_dashboards import go, html, look_up, of_lines, person, press, proposal_page, register_of, sign_in
from worlds import CPRS, ITEMS

from dashboards import explained
from dashboards import format as fmt
from settlement.explain import explain_proposal, newest_proposal_of
from settlement.explanation import Explanation, Refusal, outcome_sentences, sentences
from settlement.faults import InputFault
from settlement.instance import open_instance, settle_from
from settlement.ledger.decisions import SET_ASIDE
from settlement.ledger.models import Decision, LedgerLine, ParkedLine

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


# --- What is not compared, and what a line waits for -----------------------------------------------------------------

MAY = date(2024, 5, 1)
NOTHING = "intet at bogføre"


def lines(**columns):
    """A world of one package per payer and one line per entry: {ydelse_id: what it has beside the ordinary}."""
    return {
        "borgere": [{"cpr": CPRS[0], "navn": "Prøve Persson"}],
        "tilbud": [
            {"tilbud_id": "T1", "ejerforhold": "egen"}, {"tilbud_id": "PRIV", "ejerforhold": "privat"},
            {"tilbud_id": "UKLAR", "ejerforhold": ""},
        ],
        "katalogydelser": [
            {"ydelseskode": "D", "enhed": "doegn", "moms_pct": "25"}, {"ydelseskode": "L", "enhed": "leveret", "moms_pct": "0"},
        ],
        "takster": [{"ydelseskode": item, "gyldig_fra": "01-01-2023", "pris": "1000,01"} for item in "DL"],
        "ydelsespakker": [
            {"pakke_id": "EGEN", "cpr": CPRS[0], "afdeling": "BØRN", "betalingskommune": "461"},
            {"pakke_id": "UDEN", "cpr": CPRS[0], "afdeling": "", "betalingskommune": "461"},
            {"pakke_id": "ANDEN", "cpr": CPRS[0], "afdeling": "BØRN", "betalingskommune": "751"},
        ],
        "ydelser": [
            {"ydelse_id": name, "pakke_id": "EGEN", "ydelseskode": "D", "tilbud_id": "T1", "afregningsform": "",
             "startdato": "01-05-2024", "slutdato": "31-05-2024", "forud_bagud": "bagud"} | own for name, own in columns.items()
        ],
    }  # fmt: skip


def test_before_the_first_month_settled_here_there_is_no_difference_to_tell(platform):
    platform.load(lines(M={"pakke_id": "ANDEN"}))
    settle_from(open_instance(platform.home), date(2024, 6, 1), ["mellemkommunal"])
    told = platform.must("explain", "M", "2024-05")
    assert "Forskel: afregnes her fra 2024-06 (afregnes_fra), så for 2024-05 bogføres intet her." in told
    assert NOTHING not in told and "31000,31 kr." in told


UNSETTLED = [
    ({"tilbud_id": "PRIV"}, "(faktura), fordi tilbud PRIV har en anden ejer (privat). Den betales efter"),
    ({"afregningsform": "faktura"}, "(faktura), fordi ydelsens afregningsform er faktura. Den betales efter"),
    ({"afregningsform": "ingen"}, "(ingen), fordi ydelsens afregningsform er ingen."),
    ({"tilbud_id": "UKENDT"}, "(ingen), fordi tilbud UKENDT ikke findes i tilbud. Send tilbuddet"),
    ({"tilbud_id": "UKLAR"}, "(ingen), fordi tilbud UKLAR ikke har et ejerforhold. Skriv"),
    ({"tilbud_id": ""}, "(ingen), fordi ydelsen intet tilbud har. Skriv en afregningsform"),
]


def test_what_no_run_settles_says_why(platform):
    platform.load(lines(**{f"X{n}": own for n, (own, _) in enumerate(UNSETTLED)}))
    for n, (_, why) in enumerate(UNSETTLED):
        told = platform.must("explain", f"X{n}", "2024-05")
        assert f"Forskel: afregnes ikke her {why}" in told and NOTHING not in told
        # The days and the worth say the same of a counterparty that nobody lacks.
        assert len(re.findall(r"(?:Faktura|Afregnes ikke|Værd, faktura|Værd, afregnes ikke), modpart ingen", told)) == 2
        assert "mangler" not in told


def test_a_proposal_of_another_process_says_nothing_of_the_difference(platform):
    platform.load(lines(I={}, F={"forud_bagud": "forud"}, U={"afregningsform": "udbetaling"}))
    platform.settle("intern", "2024-05", "2024-06-05")
    instance, engine = open_instance(platform.home), register_of(platform.home)

    def told(line, process, month=MAY):
        of = newest_proposal_of(instance, engine, [process], line, month)
        return "\n".join(sentences(explain_proposal(instance, engine, of, line, month, booked_now=True)))

    paid = told("U", "udbetaling")
    assert "Forskel: ingen kørsel af Udbetaling, bagud, når 2024-05 endnu." in paid and NOTHING not in paid
    assert "Grundlag: forslag 1 (Intern afregning, bagud)" in paid
    assert "ingen kørsel af Intern afregning, forud, når 2024-05 endnu" in told("F", "intern")
    assert "Forskel, intern afregning, modpart BØRN" in told("I", "intern")
    platform.load({"ydelser": [{"ydelse_id": "I", "slutdato": "30-06-2024"}]})
    platform.settle("udbetaling", "2024-05", "2024-06-05")
    assert "ingen kørsel af Intern afregning, bagud, når 2024-06 endnu" in told("I", "intern", date(2024, 6, 1))
    # Named by a page of another process's proposal, it points to the one that says.
    other = "\n".join(sentences(explain_proposal(instance, engine, 1, "U", MAY)))
    assert "Forskel: forslag 1 afregner den ikke. Det gør forslag 2 (Udbetaling, bagud)." in other
    assert newest_proposal_of(instance, engine, ["intern", "udbetaling"], "U", MAY) == 2


def test_a_booked_proposal_tells_of_before_its_run_or_of_now(platform):
    platform.load(lines(I={}, B={"pakke_id": "ANDEN"}) | {
        "betalere": [{"pakke_id": "ANDEN", "gyldig_fra": "16-05-2024", "gyldig_til": "", "betalingskommune": "461"}],
    })  # fmt: skip
    platform.settle("intern", "2024-05", "2024-06-05", book=True)
    instance, engine = open_instance(platform.home), register_of(platform.home)
    before, now = (
        "\n".join(sentences(explain_proposal(instance, engine, 1, "I", MAY, booked_now=is_now))) for is_now in (False, True)
    )
    assert "I alt bogført før kørsel 1 for 2024-05 (til og med 31-05-2024): 0,00 kr." in before
    assert "Forskel bogført i kørsel 1, intern afregning" in before and "Bogført i kørsel 1" not in before
    assert "I alt bogført for 2024-05 (til og med 31-05-2024): 31000,31 kr. og 7750,08 kr. i moms." in now
    assert f"Forskel: {NOTHING}." in now and "Det bogførte er læst i regnskabet nu." in now
    # A month of two processes is compared in both, as soon as a run of both reaches it.
    assert "ingen kørsel af Mellemkommunal afregning, bagud, når 2024-05 endnu" in "\n".join(
        sentences(explain_proposal(instance, engine, 1, "B", MAY, booked_now=True))
    )
    platform.settle("mellemkommunal", "2024-05", "2024-06-05")
    both = "\n".join(sentences(explain_proposal(instance, engine, 1, "B", MAY, booked_now=True)))
    assert f"Forskel, intern afregning: {NOTHING}." in both
    assert "Forskel, mellemkommunal afregning, modpart 751, konto ingen: værd − bogført = 15,0000" in both


def test_an_amount_beyond_64_bits_is_a_sentence(platform):
    platform.load(lines(L={"ydelseskode": "L", "afregningsform": "udbetaling"}, I={}) | {
        "registreringer": [{"registrering_id": "R", "ydelse_id": "L", "dato": "03-05-2024", "antal": "999999999999"}],
    })  # fmt: skip
    code, said = platform.run("explain", "L", "2024-05")
    assert code == 1 and "Beløbet for ydelse L i 2024-05 er for stort til at regnes nøjagtigt (64 bit)." in said
    platform.settle("intern", "2024-04", "2024-06-05")
    with pytest.raises(InputFault, match="for ydelse L i 2024-05 er for stort"):
        explain_proposal(open_instance(platform.home), register_of(platform.home), 1, "L", MAY)


def test_internal_settlement_lacks_a_department_and_no_payer(platform):
    platform.load(lines(I={"pakke_id": "UDEN"}))
    told = platform.must("explain", "I", "2024-05")
    assert "(mangler_betaler): pakken har ingen afdeling at afregne internt med. Skriv afdelingen på pakken." in told
    assert "ingen betaler" not in told
    platform.settle("intern", "2024-05", "2024-06-05")
    (listed,) = [row for row in platform.exceptions() if row["type"] == "parkeret"]
    assert listed["aarsag"] == "mangler_betaler" and "Pakken har ingen afdeling" in listed["besked"]


def test_what_awaits_a_correction_names_the_refused_row_but_not_the_value(platform):
    platform.load(lines(P={"afregningsform": "personopkraevning"}))
    platform.load({"opkraevningsvilkaar": [{"ydelse_id": "P", "betaler_cpr": f"{CPRS[1]}x"}]})
    today = date.today().isoformat()
    for known_on in ((), ("--known-on", today)):
        told = platform.must("explain", "P", "2024-05", *known_on)
        assert "Måneden er parkeret (afventer_rettelse): en række for ydelsen er afvist" in told
        assert "Venter på opkraevningsvilkaar.csv, række 2, kolonne betaler_cpr: Kolonnen betaler_cpr skal være" in told
        assert CPRS[1] not in told and "Værd, personopkrævning, modpart en person" in told
    # Nor where a source has named its file by a citizen; and of many rows only the first are named.
    many = tuple(Refusal(f"{CPRS[1]}.csv", row, "", "Ret den.") for row in range(2, 14))
    waiting = Explanation("P", MAY, "", "", (), (), (), (), parked=("afventer_rettelse",), refused=many)
    named = [text for text in outcome_sentences(waiting) if text.startswith(("Venter på", "Og "))]
    assert named[0] == "Venter på (skjult).csv, række 2: Ret den." and len(named) == 11
    assert named[10] == "Og 2 rækker mere, se siden Datakvalitet."
    platform.load({"opkraevningsvilkaar": [{"ydelse_id": "P", "betaler_cpr": CPRS[0]}]})
    told = platform.must("explain", "P", "2024-05")
    assert "Venter på" not in told and re.search(r"værd − bogført = .* kr\. og moms 7750,08 kr\.$", told, re.MULTILINE)
    assert ".." not in told


def test_an_earlier_systems_document_and_vat_are_told(platform):
    platform.load(lines(I={}) | {"aabningsposter": [
        {"proces": "intern", "ydelse_id": "I", "leverancemaaned": "2024-05", "pris": "1000,01", "modpart": "BØRN", "konto": "",
         "antal": "31", "beloeb": "31000,31", "moms": "7750,00", "bilag": "GL-7"},
    ]})  # fmt: skip
    told = platform.must("explain", "I", "2024-05")
    assert "Åbningspost fra det tidligere system (kørsel 0), bilag GL-7, intern afregning: 31,0000" in told
    assert "31000,31 kr. og 7750,00 kr. i moms." in told
    # What is missing is VAT alone.
    assert "= 0,00 kr. og moms 0,08 kr., regulering af GL-7." in told


def test_a_line_not_known_that_day_is_told_from_one_that_is_not(platform):
    platform.load(lines(I={}))
    code, said = platform.run("explain", "I", "2024-05", "--known-on", "2024-01-31")
    assert code == 1 and "i det, der var kendt den dag: den er kommet til senere" in said
    code, said = platform.run("explain", "INTET", "2024-05", "--known-on", "2024-01-31")
    assert code == 1 and "Ydelsen INTET findes ikke. Kontrollér ydelse_id" in said
    told = platform.must("explain", "I", "0001-01")
    assert "Ingen dag i 0001-01" in told and "for 0001-01 (til og med 31-01-0001): 0,00 kr." in told


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


def test_a_choice_of_several_prices_is_titled_with_their_sum(monkeypatch):
    rows = [
        {"service_line_id": "Y", "delivery_month": month, "item_name": "Døgn", "amount": amount}
        for month, amount in ((MAY, Decimal("100.10")), (MAY, Decimal("-0.05")), (date(2024, 6, 1), None))
    ]
    shown = []
    monkeypatch.setattr(
        explained.st, "selectbox", lambda _, options, format_func, **__: shown.extend(format_func(o) for o in options)
    )
    explained.choose(None, None, rows, "amount", key="any")
    assert shown == ["Y · maj 2024 · Døgn · 100,05 kr.", "Y · juni 2024 · Døgn · –"]


def test_the_panel_names_the_refused_rows_that_nobody_has_set_aside(own_home):
    line, file_hash, row, message = ask(own_home, """
        SELECT service_line_id, file_hash, row, message FROM marts.quality_finding
        WHERE kind = 'karantæne' AND is_open AND service_line_id IS NOT NULL ORDER BY 1, 3 LIMIT 1""")[0]  # fmt: skip
    instance, engine = open_instance(own_home), register_of(own_home)
    assert (row, message) in {(r.row, r.message) for r in explained._refused(instance, engine, line)}
    with Session(engine) as session, session.begin():
        session.add(Decision(
            kind=SET_ASIDE, service_line_id=line, file_hash=file_hash, row=row, decided_by="anna", reason="Prøve",
            decided_at=datetime(2026, 1, 1),
        ))  # fmt: skip
    assert row not in {r.row for r in explained._refused(instance, engine, line)}


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
    assert amounts_of(panel_values(text)) and "I alt bogført før kørsel 1 for" in text
    # On Borger the same proposal is told against the ledger of now; the page's own figures are from before.
    with Session(register_of(own_home)) as session:
        line = session.scalars(select(LedgerLine).where(LedgerLine.run_no == 1).order_by(LedgerLine.line_number)).first()
    page = go(page, "Borger")
    look_up(page, line.cpr, "Kontrol af et beløb")
    values = panel_values(choose(page, "explain-month", line.service_line_id, fmt.month(line.delivery_month)))
    assert "Bogført i kørsel 1" in values and "Tabellen på siden viser 0,00 kr. bogført." in values
    assert f"Forskel: {NOTHING}." in values and "før kørsel" not in values


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


def test_a_day_that_has_not_come_is_refused(platform):
    code, said = platform.run("explain", "A", "2025-01", "--known-on", "2999-01-01")
    assert code == 2 and "01-01-2999 er ikke kommet endnu." in said
