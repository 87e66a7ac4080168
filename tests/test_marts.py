"""The marts of a small municipality whose every figure is worked out by hand, built by dbt on a real instance.

Odense (461) runs a home T1 with 2 places and a workshop T2 with 1. P1 is granted to Prøve and paid by Aarhus (751), P2
to Anden and paid by Odense. Tredje is known by name only. Prøve lives in the home from 11 January, at 1.000 kr. a day
when January is settled and at 1.100 kr. once February is. Anden lives there in January and is in the workshop from
February, at 300 kr. a weekday.
"""

import importlib.util
import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import yaml
from driver import Platform

DBT = Path(__file__).resolve().parent.parent / "dbt_project"
VARIABLES = {
    "own_municipality": "461", "build_id": "b1", "built_at": "2026-03-20T06:30:00+00:00", "horizon": "2026-02-01",
    "person_salt": "salt",
}  # fmt: skip
PROEVE, ANDEN, TREDJE = "0101801233", "1503924567", "0202701234"
PROEVE_KEY = "4253a9f4a3db3506"  # printf salt0101801233 | sha256sum | cut -c1-16
ANDEN_KEY = "4e75db9bfa13b6d5"

BASIS = """
katalogydelser: |
  ydelseskode | navn     | lov | paragraf | forretningsomraade | enhed
  BO          | Botilbud | SEL | 107      | Voksne             | doegn
  VÆRK        | Værksted | SEL | 103      | Voksne             | hverdag
  HJÆLP       | Hjælp    | SEL | 112      | Voksne             | engang
  MAD         | Mad      | SEL | 83       | Voksne             | leveret
  HJEM        | Pleje    | SEL | 83       | Ældre              | leveret
takster: |
  ydelseskode | gyldig_fra | pris
  BO          | 2026-01-01 | 1000,00
  VÆRK        | 2026-01-01 | 300,00
  MAD         | 2026-01-01 | 61,00
  HJEM        | 2026-01-01 | 400,00
tilbud: |
  tilbud_id | navn     | ejerforhold | cvr      | kommunekode | pladser | budgetteret_belaegning_pct | afdeling
  T1        | Hjemmet  | egen        | 12345678 | 461         | 2       | 97,05                      | DRIFT
  T2        | Værket   | egen        |          | 461         | 1       |                            | DRIFT
borgere: |
  cpr        | navn            | adresse           | adressebeskyttet | kommunekode
  0101801233 | Prøve Persson   | Hemmeligvej 1     | ja               | 751
  1503924567 | Anden Andersen  | Åbenvej 2         | nej              | 461
  0202701234 | Tredje Tredjesen | Skjultvej 3      | nej              | 461
ydelsespakker: |
  pakke_id | cpr        | afdeling | sagsbehandler | betalingskommune | status
  P1       | 0101801233 | VO       | Sofie         | 751              | bevilget
  P2       | 1503924567 | VO       | Peter         | 461              | bevilget
  P3       | 1503924567 | ANDEN    | Peter         | 461              | annulleret
ydelser: |
  ydelse_id | pakke_id | ydelseskode | tilbud_id | afregningsform    | startdato  | slutdato   | konto
  Y1        | P1       | BO          | T1        |                   | 2026-01-11 |            |
  Y2        | P2       | BO          | T1        |                   | 2026-01-01 | 2026-01-31 | 5385201
  Y3        | P2       | VÆRK        | T2        |                   | 2026-02-01 |            |
  Y4        | P3       | BO          | T1        |                   | 2026-01-01 |            |
  Y5        | P2       | HJÆLP       | T1        |                   | 2026-02-10 |            |
  Y6        | P2       | MAD         |           | personopkraevning | 2026-01-01 |            | 5383701
  Y7        | P2       | MAD         |           | ingen             | 2026-01-01 |            |
  Y9        | P2       | BO          | T1        |                   | 31-31-2026 |            |
registreringer: |
  registrering_id | ydelse_id | dato       | antal
  R1              | Y6        | 2026-02-03 | 2
  R2              | Y7        | 2026-02-03 | 5
afdelinger: |
  afdeling | navn
  VO       | Voksne
"""
OPUS = {
    "kontoplan": "Kontostreng;Betegnelse;Profitcenter\n5385201;Ophold;VO\n",
    "budget": "Regnskabsår;Kontostreng;Profitcenter;Periode;Version;Beløb\n"
    "2026;5385201;VO;;0;1200,01\n2026;5385201;VO;2026-01;T;500,00\n",
    "posteringer": "Bilagsnummer;Position;Kontostreng;Profitcenter;Bogføringsdato;Periode;Beløb;Betegnelse\n"
    "1;1;5385201;VO;05-02-2026;2026-01;30500,00;Ophold\n1;2;5385201;VO;03-03-2026;2026-02;-100,00;Ophold\n"
    "2;1;5385201;VO;04-03-2026;;40,00;Ophold\n",
}

# Cura: 105 minutes a week from 15 January; of the visits two were delivered, an hour and 50 minutes.
CURA = {
    "indsatser_2026-03-15.xml": """<extract><indsats><indsats_id>1</indsats_id><cpr>1503924567</cpr><bevilling>
        <bevilling_id>P1</bevilling_id><dato>2026-01-10</dato><status>visiteret</status><afdeling>VO</afdeling>
        <visitator>Peter</visitator><handlekommune>0461</handlekommune><betalingskommune>0461</betalingskommune></bevilling>
        <paragraf>SEL § 83</paragraf><fsiii_kode>J1.1</fsiii_kode><lokal_kode>HJEM</lokal_kode>
        <leverandoer><leverandoer_id>T1</leverandoer_id><cvr>12345678</cvr><form>KOMMUNAL</form></leverandoer>
        <visiteret_pr_uge>105</visiteret_pr_uge><frekvens/><start>2026-01-15</start><slut/><konto/><slettet>false</slettet>
        </indsats></extract>""",
    "besoeg_2026-03-15.json": json.dumps({"data": {"besoeg": [
        {"besoeg_id": i, "indsats_id": 1, "start": f"{day}T08:00:00", "slut": f"{day}T09:00:00", "minutter": minutes,
         "status": status}
        for i, (day, minutes, status) in enumerate([
            ("2026-02-02", 60, "leveret"), ("2026-02-09", 50, "leveret"), ("2026-02-10", 0, "aflyst")])
    ]}}),
}  # fmt: skip
LOEN = (
    "Kørsel;Løbenr.;Medarbejder;Lønart;Lønartsgruppe;Afdeling;Institution;Periode;Kontostreng;Beløb;Timer\n"
    "1;1;A;0100;G;DRIFT;T1;02-2026;5385201;30.000,00;160,3333\n1;2;B;0100;G;DRIFT;T1;02-2026;5385201;15.000,50;80\n"
    "1;3;A;0900;P;DRIFT;T1;02-2026;5385201;5.100,00;0\n1;4;C;0810;R;VO;;02-2026;5385201;-1.000,00;\n"
)
# Anden's protection has lapsed, Tredje's has not; Tredje moved away and back again in one month, and died.
CPR_EVENTS = [
    {"art": "beskyttelse", "person": {"cpr": "1503924567"}, "dato": "2025-01-01", "til_dato": "2026-01-01"},
    {"art": "beskyttelse", "person": {"cpr": "0202701234"}, "dato": "2026-02-01"},
    {"art": "flytning", "person": {"cpr": "0202701234"}, "dato": "2026-02-02", "adresse": {"kommunekode": "0751"}},
    {"art": "flytning", "person": {"cpr": "0202701234"}, "dato": "2026-02-20", "adresse": {"kommunekode": "0461"}},
    {"art": "status", "person": {"cpr": "0202701234"}, "dato": "2026-03-01", "status": "90"},
]


def ubl(kind, number, head, lines, net, vat):
    """An e-invoice or a credit note with what the mapping reads."""
    quantity = "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity"
    rows = "".join(
        f"<c:{kind}Line><b:ID>{i}</b:ID><b:{quantity} unitCode='DAY'>{units}</b:{quantity}>"
        f"<b:LineExtensionAmount>{amount}</b:LineExtensionAmount>{reference}<c:Item><b:Name>Ophold</b:Name></c:Item>"
        f"<c:Price><b:PriceAmount>100</b:PriceAmount></c:Price></c:{kind}Line>"
        for i, (units, amount, reference) in enumerate(lines, start=1)
    )
    return (
        f"<{kind} xmlns='urn:{kind}' xmlns:b='urn:b' xmlns:c='urn:c'><b:CustomizationID>OIOUBL-2.1</b:CustomizationID>"
        f"<b:ID>{number}</b:ID>"
        f"<b:IssueDate>2026-02-27</b:IssueDate>{head}<b:DocumentCurrencyCode>DKK</b:DocumentCurrencyCode>"
        "<c:AccountingSupplierParty><c:Party><b:EndpointID>DK12345678</b:EndpointID><c:PartyName><b:Name>Hjemmet</b:Name>"
        "</c:PartyName><c:PartyLegalEntity><b:CompanyID>DK12345678</b:CompanyID></c:PartyLegalEntity></c:Party>"
        "</c:AccountingSupplierParty><c:AccountingCustomerParty><c:Party><b:EndpointID>5798000000012</b:EndpointID></c:Party>"
        f"</c:AccountingCustomerParty><c:TaxTotal><b:TaxAmount>{vat}</b:TaxAmount></c:TaxTotal><c:LegalMonetaryTotal>"
        f"<b:LineExtensionAmount>{net}</b:LineExtensionAmount><b:PayableAmount>{net + vat}</b:PayableAmount>"
        f"</c:LegalMonetaryTotal>{rows}</{kind}>"
    )


INVOICES = {
    "faktura_2026-03-15_1.xml": ubl(
        "Invoice", "F1", "<b:InvoiceTypeCode>380</b:InvoiceTypeCode>",
        [("7", "700.00", "<c:OrderLineReference><c:OrderReference><b:ID>R1</b:ID></c:OrderReference></c:OrderLineReference>"),
         ("3", "300.00", "")], 1000, 250,
    ),
    "faktura_2026-03-15_2.xml": ubl("CreditNote", "K1", "", [("1", "100.00", "")], 100, 25),
}  # fmt: skip


def tables(text):
    """{loader file: rows} of YAML whose values are tables with | between the cells."""
    read = {}
    for name, table in yaml.safe_load(text).items():
        header, *lines = ([cell.strip() for cell in line.split("|")] for line in table.strip().splitlines())
        read[name] = [dict(zip(header, line, strict=True)) for line in lines]
    return read


def dbt(warehouse, target, *arguments, variables=VARIABLES):
    from dbt.cli.main import dbtRunner

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AFREGNING_WAREHOUSE", str(warehouse))
        places = ["--project-dir", DBT, "--profiles-dir", DBT, "--target-path", target, "--log-path", target]
        return dbtRunner().invoke([str(a) for a in (*arguments, "--quiet", "--vars", json.dumps(variables), *places)])


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def instance(new_instance, tmp_path_factory):
    """January settled at 1.000 kr., corrected and settled through February at 1.100 kr.; Anden is charged for meals;
    internal is only proposed."""
    from ingestion.warehouse import open_warehouse
    from orchestration import pipeline
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    home = tmp_path_factory.mktemp("marts") / "instance"
    shutil.copytree(new_instance, home)
    with pytest.MonkeyPatch.context() as environment:
        platform = Platform(home, environment)
        platform.load(tables(BASIS))
        platform.settle("mellemkommunal", "2026-01", "2026-02-10", book=True)
        later = {"individuelle_takster": [{"ydelse_id": "Y1", "gyldig_fra": "2026-01-01", "pris": "1100,00"}]}
        platform.load(later)
        platform.settle("mellemkommunal", "2026-02", "2026-03-10", book=True)
        platform.settle("personopkraevning", "2026-02", "2026-03-10", book=True)
        platform.settle("intern", "2026-02", "2026-03-10")
    made = open_instance(home)
    (made.landing / "opus").mkdir(exist_ok=True)
    for name, text in OPUS.items():
        (made.landing / "opus" / f"opus_{name}_2026-03-15.csv").write_text(text, encoding="utf-8-sig")
    for system in ("cura", "loen", "cpr", "fakturaer"):
        (made.landing / system).mkdir(exist_ok=True)
    for name, text in CURA.items():
        (made.landing / "cura" / f"cura_{name}").write_text(text, encoding="utf-8")
    (made.landing / "loen" / "loen_posteringer_2026-03-15.csv").write_text(LOEN, encoding="cp1252")
    events = json.dumps({"data": {"haendelser": CPR_EVENTS}})
    (made.landing / "cpr" / "cpr_haendelser_2026-03-15.json").write_text(events, encoding="utf-8")
    for name, text in INVOICES.items():
        (made.landing / "fakturaer" / name).write_text(text, encoding="utf-8")
    engine = open_register(made)
    with open_warehouse(made) as con:
        pipeline.ingest(con, made, engine, lambda sentence: None, through=date(2026, 2, 1))
        pipeline.derive(con, made, engine, horizon=date(2026, 2, 1))
    return made


@pytest.fixture(scope="module")
def built(instance, target):
    outcome = dbt(instance.warehouse, target, "build")
    failed = [f"{r.node.name}: {r.message}" for r in outcome.result or () if r.status not in ("success", "pass")]
    assert outcome.success, failed or outcome.exception
    return instance


@pytest.fixture(scope="module")
def mart(built):
    """A function that gives the answer to one SELECT as text, fields separated by |."""
    with duckdb.connect(str(built.warehouse)) as con:

        def rows(sql):
            found = con.execute(sql).fetchall()
            return ["|".join("" if v is None else str(v) for v in row) for row in found]

        yield rows


def test_the_build_names_itself(mart):
    assert mart("FROM marts.build") == ["b1|2026-03-20 06:30:00|2026-02-01"]


def test_settlement_lines_are_the_ledger_in_kroner(mart):
    assert mart("""
        SELECT run_no, delivery_month, quantity, price_dkk, amount_dkk, counterparty, counterparty_name, is_adjustment,
            document_kind, accounting_period, law, paragraph, offer_name, department, person_key
        FROM marts.settlement_line ORDER BY run_no, delivery_month, price_dkk""") == [
        f"1|2026-01-01|21.0000|1000.00|21000.00|751|Aarhus Kommune|False|faktura|2|SEL|107|Hjemmet|VO|{PROEVE_KEY}",
        f"2|2026-01-01|-21.0000|1000.00|-21000.00|751|Aarhus Kommune|True|faktura|3|SEL|107|Hjemmet|VO|{PROEVE_KEY}",
        f"2|2026-01-01|21.0000|1100.00|23100.00|751|Aarhus Kommune|True|faktura|3|SEL|107|Hjemmet|VO|{PROEVE_KEY}",
        f"2|2026-02-01|28.0000|1100.00|30800.00|751|Aarhus Kommune|False|faktura|3|SEL|107|Hjemmet|VO|{PROEVE_KEY}",
        f"3|2026-02-01|2.0000|61.00|122.00|{ANDEN_KEY}|Borger|False|opkraevning|3|SEL|83||VO|{ANDEN_KEY}",
    ]


def test_budget_follow_up_by_account_department_and_month(mart):
    # The newest posting is from March: January and February are known, March is what is granted. Of 1.200,01 kr. a
    # month has 100 and December the øre. Y3 costs 300 kr. on the 22 weekdays of March, and as many of December; Y1
    # brings in 1.100 kr. on 31 days. Two meals in the two months there are of them are one a month to come.
    assert mart("""
        SELECT month, account, account_name, department_name, budget_dkk, actual_dkk, commitment_dkk, expected_dkk,
            deviation_dkk
        FROM marts.budget_follow_up WHERE month IN ('2026-01-01', '2026-02-01', '2026-03-01', '2026-12-01')
        ORDER BY month, account""") == [
        "2026-01-01|||Voksne|0.00|0.00|-23100.00|0.00|0.00",
        "2026-01-01|5385201|Ophold|Voksne|600.00|30500.00|31000.00|30500.00|29900.00",
        "2026-02-01|||Voksne|0.00|0.00|-24800.00|0.00|0.00",
        "2026-02-01|5383701||Voksne|0.00|0.00|-122.00|0.00|0.00",
        "2026-02-01|5385201|Ophold|Voksne|100.00|-100.00|0.00|-100.00|-200.00",
        "2026-03-01|||Voksne|0.00|0.00|-27500.00|-27500.00|-27500.00",
        "2026-03-01|5383701||Voksne|0.00|0.00|-61.00|-61.00|-61.00",
        "2026-03-01|5385201|Ophold|Voksne|100.00|40.00|0.00|0.00|-100.00",
        "2026-12-01|||Voksne|0.00|0.00|-27500.00|-27500.00|-27500.00",
        "2026-12-01|5383701||Voksne|0.00|0.00|-61.00|-61.00|-61.00",
        "2026-12-01|5385201|Ophold|Voksne|100.01|0.00|0.00|0.00|-100.01",
    ]


def test_occupancy_by_offer_counts_days_and_weekdays(mart):
    assert mart("""
        SELECT month, offer_id, places, place_days, enrolled_days, occupancy_pct, budgeted_occupancy_pct,
            deviation_pct_points
        FROM marts.occupancy_offer ORDER BY offer_id, month""") == [
        "2026-01-01|T1|2|62|52|83.9|97.1|-13.2",
        "2026-02-01|T1|2|56|28|50.0|97.1|-47.1",
        "2026-02-01|T2|1|20|20|100.0||",
    ]


def test_occupancy_by_paying_municipality(mart):
    assert mart("""
        SELECT month, offer_id, municipality, municipality_name, is_own, enrolled_days, share_pct, revenue_dkk
        FROM marts.occupancy_municipality ORDER BY offer_id, month, municipality""") == [
        "2026-01-01|T1|461|Odense Kommune|True|31|59.6|31000.00",
        "2026-01-01|T1|751|Aarhus Kommune|False|21|40.4|23100.00",
        "2026-02-01|T1|751|Aarhus Kommune|False|28|100.0|30800.00",
        "2026-02-01|T2|461|Odense Kommune|True|20|100.0|6000.00",
    ]


def test_movement_by_paragraph(mart):
    # Persons of January: (21 + 31) / 31 days. The annulled line is nowhere; one-off help is there on its day.
    assert mart("""
        SELECT month, paragraph, opening, entries, exits, closing, persons, full_year_persons
        FROM marts.movement WHERE paragraph IN ('107', '112') ORDER BY paragraph, month""") == [
        "2026-01-01|107|0|2|1|1|2|1.68",
        "2026-02-01|107|1|0|0|1|1|1.00",
        "2026-02-01|112|0|1|1|0|1|0.04",
    ]


def test_costs_by_process_and_month(mart):
    assert mart("""
        SELECT month, process, business_area, entitled_dkk, booked_dkk, persons
        FROM marts.cost_month WHERE month < '2026-03-01' ORDER BY month, process""") == [
        "2026-01-01|intern|Voksne|31000.00|0.00|1",
        "2026-01-01|mellemkommunal|Voksne|23100.00|23100.00|1",
        "2026-02-01|intern|Voksne|6000.00|0.00|1",
        "2026-02-01|mellemkommunal|Voksne|30800.00|30800.00|1",
        "2026-02-01|personopkraevning|Voksne|122.00|122.00|1",
    ]
    assert mart("SELECT max(month) FROM marts.cost_month") == ["2026-12-01"]


def test_quality_by_file_and_finding(mart):
    assert mart("""
        SELECT load_id, system, file_name, rows_read, rows_accepted, rows_quarantined, rows_outdated, rows_unmapped, rows_warned
        FROM marts.file_quality WHERE file_name IN ('ydelser.csv', 'tilbud.csv')
            OR file_name LIKE 'opus_budget%' ORDER BY file_name""") == [
        "3|opus|opus_budget_2026-03-15.csv|2|2|0|0|0|0",
        "1|indlaesning|tilbud.csv|2|2|0|0|0|1",
        "1|indlaesning|ydelser.csv|8|7|1|0|0|0",
    ]
    assert mart("""
        SELECT load_id, kind, system, file_name, row, loader_file, reason, column_name, service_line_id, is_open
        FROM marts.quality_finding WHERE loader_file IN ('ydelser', 'tilbud') AND kind <> 'regel' ORDER BY loader_file""") == [
        "1|advarsel|indlaesning|tilbud.csv|2|tilbud|offer_cvr|cvr||True",
        "1|karantæne|indlaesning|ydelser.csv|9|ydelser|ugyldig_vaerdi|startdato|Y9|True",
    ]
    assert mart("""
        SELECT load_id, severity, bites_from, owner, department, reason, finding_key, service_line_id, is_open, is_overridden,
            closed_on
        FROM marts.quality_finding WHERE reason IN ('mangler_takst', 'adressebeskyttelse')
        ORDER BY reason""") == [
        "3|warn||indlaesning||adressebeskyttelse|" + mart("""
            SELECT left(file_hash, 12) || ':' || row FROM marts.quality_finding WHERE reason = 'adressebeskyttelse'""")[0]
        + "||True|False|",
        "1|warn||VO|VO|mangler_takst|Y5|Y5|True|False|",
    ]
    assert mart("""
        SELECT kind, reason, owner, department, sum(opened)::BIGINT, sum(closed)::BIGINT, arg_max(open_at_end, month)
        FROM marts.quality_trend WHERE reason IN ('mangler_takst', 'ugyldig_vaerdi') AND system = 'indlaesning'
        GROUP BY ALL ORDER BY 1""") == ["karantæne|ugyldig_vaerdi|VO|VO|1|0|1", "regel|mangler_takst|VO|VO|1|0|1"]


def test_parked_lines_of_the_newest_proposals(mart):
    assert mart("FROM marts.parked_line SELECT * EXCLUDE (build_id)") == [
        "intern|bagud|Y5|2026-02-01||mangler_takst|"
    ]


def test_gate_verdicts_of_every_load(mart):
    loads = mart("SELECT DISTINCT load_id FROM marts.gate_verdict WHERE verdict = 'grøn' ORDER BY load_id")
    assert loads[:2] == ["1", "2"]


def test_citizens_with_departments_of_living_packages_and_no_protected_address(mart):
    assert mart("FROM marts_person.citizen SELECT * EXCLUDE (build_id) ORDER BY cpr") == [
        f"{PROEVE}|Prøve Persson||True|751|VO|Sofie",
        f"{TREDJE}|Tredje Tredjesen||True|461||",
        f"{ANDEN}|Anden Andersen|Åbenvej 2|False|461|VO|Peter",
    ]


def test_a_citizens_services_by_month(mart):
    # A month without a price is there without an amount, and so is what nobody settles.
    assert mart("""
        SELECT cpr, service_line_id, delivery_month, item_name, unit, process, counterparty, quantity, entitled_dkk,
            booked_dkk
        FROM marts_person.service_line_month ORDER BY service_line_id, delivery_month""") == [
        f"{ANDEN}|CUR-1|2026-02-01|Pleje|leveret|ingen||1.8333||0.00",
        f"{PROEVE}|Y1|2026-01-01|Botilbud|doegn|mellemkommunal|751|21.0000|23100.00|23100.00",
        f"{PROEVE}|Y1|2026-02-01|Botilbud|doegn|mellemkommunal|751|28.0000|30800.00|30800.00",
        f"{ANDEN}|Y2|2026-01-01|Botilbud|doegn|intern|VO|31.0000|31000.00|0.00",
        f"{ANDEN}|Y3|2026-02-01|Værksted|hverdag|intern|VO|20.0000|6000.00|0.00",
        f"{ANDEN}|Y5|2026-02-01|Hjælp|engang|intern|VO|||0.00",
        f"{ANDEN}|Y6|2026-02-01|Mad|leveret|personopkraevning|{ANDEN}|2.0000|122.00|122.00",
        f"{ANDEN}|Y7|2026-02-01|Mad|leveret|ingen||5.0000||0.00",
    ]


def test_eldercare_granted_and_delivered(mart):
    # 1.75 hours a week through the 28 days of February; January has no registrations in the extract.
    assert mart("FROM marts.eldercare_month SELECT * EXCLUDE (build_id)") == [
        "2026-02-01|HJEM|Pleje|SEL|83|T1|Hjemmet|egen|1|1|7.00|1.8333|26.2"
    ]


def test_wages_by_department_offer_and_group(mart):
    assert mart("FROM marts.payroll_month SELECT * EXCLUDE (build_id) ORDER BY department, wage_group") == [
        "2026-02-01|DRIFT||T1|Hjemmet|grundloen|45000.50|240.3333|1.50",
        "2026-02-01|DRIFT||T1|Hjemmet|pension|5100.00|0.0000|0.00",
        "2026-02-01|VO|Voksne|||refusion|-1000.00|0.0000|0.00",
    ]


def test_incoming_invoices_by_sender_and_month(mart):
    assert mart("FROM marts.incoming_invoice_month SELECT * EXCLUDE (build_id)") == [
        "2026-02-01|12345678|Hjemmet|DKK|1|1|3|1|900.00|0.00|225.00|1125.00"
    ]


def test_events_of_the_cpr_register_by_month(mart):
    assert mart("FROM marts.register_event_month SELECT * EXCLUDE (build_id) ORDER BY month, kind") == [
        "2025-01-01|beskyttelse|1|1",
        "2026-02-01|beskyttelse|1|1",
        "2026-02-01|flytning|2|1",
        "2026-03-01|doed|1|1",
    ]


def test_no_cell_of_the_marts_without_persons_holds_personal_data(mart):
    columns = mart("SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE schema_name = 'marts'")
    assert len(columns) > 100
    for secret in (PROEVE, ANDEN, TREDJE, "Persson", "Andersen", "Hemmeligvej", "Åbenvej", "Skjultvej"):
        for table, column in (name.split(".") for name in columns):
            assert not mart(f"FROM marts.{table} WHERE contains({column}::VARCHAR, '{secret}')"), f"{table}.{column}"


def test_money_is_decimal_and_every_table_names_its_build(mart):
    assert mart("""
        SELECT DISTINCT data_type FROM duckdb_columns()
        WHERE schema_name LIKE 'marts%' AND column_name LIKE '%dkk'""") == ["DECIMAL(18,2)"]
    assert mart("""
        SELECT DISTINCT data_type FROM duckdb_columns()
        WHERE schema_name LIKE 'marts%' AND data_type IN ('DOUBLE', 'FLOAT', 'HUGEINT')""") == []
    for table in mart("SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name LIKE 'marts%'"):
        assert mart(f"SELECT DISTINCT build_id FROM {table}") in (["b1"], []), table


def test_every_model_and_column_is_described(built, mart, target):
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"].values()
    models = [node for node in nodes if node["resource_type"] == "model"]
    assert len(models) > 40
    for model in models:
        assert model["description"], model["name"]
        there = mart(
            f"SELECT column_name FROM duckdb_columns() WHERE schema_name = '{model['schema']}' "
            f"AND table_name = '{model['name']}' ORDER BY column_name"
        )
        described = sorted(name for name, column in model["columns"].items() if column["description"])
        assert described == there, model["name"]


@pytest.mark.heavy
def test_every_identity_can_fail(built, mart, target, tmp_path):
    """One figure of each identity is spoilt; every one of its tests must tell."""
    mart("CHECKPOINT")
    spoilt = tmp_path / "warehouse.duckdb"
    spoilt.write_bytes(built.warehouse.read_bytes())
    with duckdb.connect(str(spoilt)) as con:
        for change in (
            "UPDATE marts.settlement_line SET amount_dkk = amount_dkk + 0.01 WHERE line_number = 1",
            "UPDATE marts.budget_follow_up SET actual_dkk = actual_dkk + 0.01 WHERE month = '2026-05-01'",
            "UPDATE marts.movement SET opening = opening + 1, closing = closing + 1 WHERE month = '2026-02-01'",
            "UPDATE marts.occupancy_municipality SET enrolled_days = enrolled_days + 1 WHERE offer_id = 'T2'",
            "UPDATE marts_person.service_line_month SET entitled_dkk = 0 WHERE service_line_id = 'Y1'",
            "DELETE FROM marts.quality_finding WHERE kind = 'advarsel'",
            f"UPDATE marts.settlement_line SET counterparty = '{PROEVE}' WHERE line_number = 2",
            "UPDATE marts.payroll_month SET hours = hours + 1 WHERE wage_group = 'grundloen'",
            "UPDATE marts.incoming_invoice_month SET payable_amount = payable_amount + 0.01",
            "DELETE FROM marts.register_event_month WHERE kind = 'doed'",
            "UPDATE marts.eldercare_month SET delivered_units = delivered_units + 1",
            "UPDATE marts.invoice_payment SET paid_dkk = net_dkk + 0.01",
            "UPDATE marts.commitment_month SET remaining_dkk = remaining_dkk + 0.01 WHERE month = '2026-05-01'",
            "UPDATE marts.commitment_change SET change_dkk = change_dkk + 0.01, closing_dkk = closing_dkk + 0.01",
            "DELETE FROM marts.commitment_blocked",
        ):
            assert con.execute(change).fetchone()[0] > 0, change
    outcome = dbt(spoilt, target, "test", "--select", "test_type:singular")
    results = {r.node.name: r.status for r in outcome.result}
    assert len(results) == 16 and set(results.values()) == {"fail"}, results


@pytest.mark.heavy
def test_a_build_without_its_variables_is_refused_by_name(target, tmp_path):
    chosen = {"build": "build_id", "int_service_line": "person_salt", "int_service_line_month": "horizon"}
    outcome = dbt(tmp_path / "warehouse.duckdb", target, "run", "--select", *chosen, variables={})
    assert not outcome.success
    told = {r.node.name: r.message or "" for r in outcome.result}
    assert set(told) == set(chosen)
    for model, missing in chosen.items():
        assert f"The variable {missing} is missing" in told[model]


def test_sources_are_in_step_with_the_contracts():
    spec = importlib.util.spec_from_file_location("generate_sources", DBT / "generate_sources.py")
    generate_sources = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate_sources)
    for path, text in generate_sources.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python dbt_project/generate_sources.py"


def test_the_build_is_published(built, mart):
    from orchestration.publish import publish

    with duckdb.connect(str(built.warehouse)) as con:
        path = publish(built, con, "b1")
    with duckdb.connect(":memory:") as con:
        con.execute(f"ATTACH '{path}' AS published (READ_ONLY)")
        total = con.execute("SELECT sum(amount_dkk) FROM published.marts.settlement_line").fetchone()
    assert total == (Decimal("54022.00"),)
    tables = mart("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'marts' ORDER BY table_name")
    folder = built.published / "parquet" / "current" / "marts"
    assert sorted(path.name for path in folder.iterdir()) == [f"{table}.parquet" for table in tables]
