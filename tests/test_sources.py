"""Cura, Prisme, ØS Indsigt, payroll, the CPR register and incoming e-invoices, from the demo's files to canonical tables.

What the files say is worked out here by the standard library alone and laid beside the canonical rows.
"""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ingestion.demo import FINANCE_SYSTEMS, write_demo
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from settlement.documents.oioubl_rules import check
from settlement.instance import create_folders

REFERENCE = Path(__file__).parent.parent / "data" / "reference"
FIRST_DAY, LAST_DAY = date(2026, 8, 31), date(2026, 9, 30)
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"


class Loaded:
    """A written demo of 6,000 inhabitants, taken in delivery by delivery: of all systems, or of one alone."""

    def __init__(self, home: Path, finance: str, of: str = "*") -> None:
        self.instance = create_folders(home, "661")
        self.landing = self.instance.landing
        self.summary = write_demo(
            self.landing, population=6_000, until="2026-09", finance=finance, reference=REFERENCE,
            progress=lambda sentence: None,
        )  # fmt: skip
        self.reports = []
        with open_warehouse(self.instance) as con:
            for day in self.summary["deliveries"]:
                files = [(p.parent.name, p.name, p) for p in sorted(self.landing.glob(f"{of}/*{day}*"))]
                self.reports += receive(con, self.instance, files, dated=day, received_by="test")[1]
        assert [report.fault for report in self.reports if report.fault or report.held] == []

    def rows(self, sql: str) -> list[tuple]:
        with open_warehouse(self.instance) as con:
            return con.execute(sql).fetchall()

    def json(self, system: str, dataset: str) -> list[dict]:
        paths = sorted((self.landing / system).glob(f"{system}_{dataset}_*.json"))
        return [row for p in paths for row in json.loads(p.read_text(encoding="utf-8"))["data"][dataset]]

    def xml(self, system: str, dataset: str) -> list[dict[str, str]]:
        """Records with the paths of their leaves, the latest last."""
        found = []
        for path in sorted((self.landing / system).glob(f"{system}_{dataset}_*.xml")):
            for record in ElementTree.parse(path).getroot():
                leaves = [(e.tag, e) if not len(e) else None for e in record]
                leaves += [(f"{e.tag}/{below.tag}", below) for e in record for below in e]
                found.append({name: e.text or "" for name, e in filter(None, leaves)})
        return found


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return Loaded(tmp_path_factory.mktemp("opus") / "instance", "opus")


# Finance systems


@pytest.mark.heavy
@pytest.mark.parametrize("finance", sorted(set(FINANCE_SYSTEMS) - {"opus"}))
def test_every_finance_system_holds_the_same_books(finance, loaded, tmp_path):
    """The same municipality in another system's layout: equal accounts, budget and postings but for the postings' ids."""
    other = Loaded(tmp_path / "instance", finance, of=finance)
    assert not (other.landing / "opus").exists() and (other.landing / finance).is_dir()
    for table, columns in (
        ("account", "account, name, department"),
        ("budget", "year, account, department, month, budget_kind, amount_oere"),
        ("posting", "account, department, posting_date, delivery_month, amount_oere, text"),
    ):
        sql = f"SELECT {columns} FROM canonical.{table} WHERE NOT withdrawn ORDER BY ALL"
        expected = loaded.rows(sql)
        assert len(expected) > 100 and other.rows(sql) == expected, table
    assert {a for (a,) in loaded.rows("SELECT sign(amount_oere) FROM canonical.posting")} == {1, -1}
    refused = "SELECT loader_file, reason, column_name FROM quarantine.refused WHERE loader_file = 'budget'"
    assert other.rows(refused) == loaded.rows(refused) == [("budget", "ugyldig_vaerdi", "beloeb")]


def test_each_finance_system_writes_in_its_own_way(tmp_path):
    for finance in FINANCE_SYSTEMS:
        write_demo(
            tmp_path / finance / "landing", population=1_000, until="2026-09", finance=finance, reference=REFERENCE,
            progress=lambda sentence: None,
        )  # fmt: skip
    prisme = next((tmp_path / "prisme/landing/prisme").glob("prisme_posteringer_*")).read_text(encoding="cp1252")
    row = next(csv.DictReader(prisme.splitlines(), delimiter=";"))
    assert len(row["Beloeb"]) == 12 and row["Beloeb"].isdigit() and len(row["TransDate"]) == 8
    assert len(row["AccountNum"]) == 10 and {"D", "K"} >= {row["DebitKreditMarkering"]}
    oes = next((tmp_path / "oes/landing/oes").glob("oes_posteringer_*")).read_text(encoding="utf-8")
    amounts = [row["Beløb"] for row in csv.DictReader(oes.splitlines())]
    assert any("," in amount for amount in amounts) and all(amount[-3] == "." for amount in amounts)


# Cura


def test_granted_minutes_become_hours_and_grants_become_packages(loaded):
    grants = {row["indsats_id"]: row for row in loaded.xml("cura", "indsatser")}
    meals = {row["indsats_id"]: row for row in loaded.xml("cura", "madordninger")}
    expected = {
        (f"CUR-{key}", _e4(Decimal(row["visiteret_pr_uge"]) / 60), row["leverandoer/form"]) for key, row in grants.items()
    } | {(f"CUR-{key}", int(row["visiteret_pr_uge"]) * 10_000, row["leverandoer/form"]) for key, row in meals.items()}
    found = loaded.rows("""
        SELECT service_line_id, quantity_e4, CASE process WHEN 'ingen' THEN 'KOMMUNAL' WHEN 'faktura' THEN 'PRIVAT' END
        FROM canonical.service_line WHERE service_line_id LIKE 'CUR-%'""")
    assert set(found) == expected and len(found) == len(expected) > 200
    assert any(quantity % 10_000 for _, quantity, _ in found), "some hours are no whole ones"
    packages = {f"CUR-{row['bevilling/bevilling_id']}" for row in (*grants.values(), *meals.values())}
    assert {p for (p,) in loaded.rows("SELECT package_id FROM canonical.service_package WHERE package_id LIKE 'CUR-%'")} == packages
    closed = loaded.rows("""
        SELECT status, bool_and(l.end_date IS NOT NULL) FROM canonical.service_package p
        JOIN canonical.service_line l USING (package_id) WHERE package_id LIKE 'CUR-%' GROUP BY status""")
    assert sorted(closed) == [("afsluttet", True), ("bevilget", False)]
    items = {code for (code,) in loaded.rows("SELECT item_code FROM canonical.service_line WHERE service_line_id LIKE 'CUR-%'")}
    assert items == {"SEL83-PLEJE", "SEL83-PRAK", "SEL83-MAD", "SEL83A-REHAB", "SUL138-SYGE"}
    private = loaded.rows("""
        SELECT DISTINCT owner_kind FROM canonical.service_line JOIN canonical.offer USING (offer_id)
        WHERE service_line_id LIKE 'CUR-%' AND process = 'faktura'""")
    assert private == [("privat",)]


def _e4(value: Decimal) -> int:
    return int((value * 10_000).quantize(Decimal(1), ROUND_HALF_UP))


def test_only_what_was_delivered_is_registered(loaded):
    visits, meals = loaded.json("cura", "besoeg"), loaded.json("cura", "maaltider")
    assert {v["status"] for v in visits} == {"leveret", "aflyst", "ikke hjemme"}
    expected = {
        (f"CUR-B{v['besoeg_id']}", f"CUR-{v['indsats_id']}", v["start"][:10], _e4(Decimal(v["minutter"]) / 60))
        for v in visits if v["status"] == "leveret"
    } | {
        (f"CUR-M{m['maaltid_id']}", f"CUR-{m['indsats_id']}", m["dato"], m["antal"] * 10_000)
        for m in meals if m["status"] == "leveret"
    }  # fmt: skip
    found = loaded.rows("""
        SELECT registration_id, service_line_id, date::VARCHAR, quantity_e4
        FROM canonical.registration WHERE registration_id LIKE 'CUR-%'""")
    assert set(found) == expected and len(found) == len(expected) > 4_000
    unmapped = sum(report.rows_unmapped for report in loaded.reports if report.name.startswith("cura_"))
    assert unmapped == len(visits) + len(meals) - len(found) > 0


def test_home_help_is_as_much_as_the_calibration_says(loaded):
    """statistics_reports.md § 2.2: 1,558 recipients and 4,968 hours a week of 58,000 inhabitants, here of 6,000."""
    hours = loaded.rows("""
        SELECT count(DISTINCT cpr), sum(quantity_e4) / 10000 FROM canonical.service_line
        JOIN canonical.service_package USING (package_id) JOIN canonical.catalogue_item USING (item_code)
        WHERE package_id LIKE 'CUR-%' AND paragraph IN ('83', '83 a') AND item_code <> 'SEL83-MAD'
        AND DATE '2026-09-30' BETWEEN start_date AND coalesce(end_date, DATE '9999-12-31')""")[0]
    assert abs(hours[0] / (1558 * 6 / 58) - 1) < 0.06
    assert abs(hours[1] / (4968 * 6 / 58) - 1) < 0.25  # of 160 people, a few need very much


def test_cura_and_sensum_meet_on_citizens(loaded):
    """Some of the elderly have a case in both systems, under one CPR number or under one that has been changed."""
    pairs = loaded.rows("""
        WITH p AS (SELECT cpr, package_id[:3] AS system FROM canonical.service_package)
        SELECT count(DISTINCT c.cpr), count(DISTINCT x.old_cpr)
        FROM p c LEFT JOIN p s ON s.cpr = c.cpr AND s.system = 'SEN'
        LEFT JOIN canonical.cpr_change x ON x.new_cpr = c.cpr
        WHERE c.system = 'CUR' AND (s.cpr IS NOT NULL OR x.old_cpr IN (SELECT cpr FROM p WHERE system = 'SEN'))""")[0]
    assert pairs[0] > pairs[1] > 0


# Payroll


def test_payroll_is_read_to_the_oere_and_is_part_of_the_postings(loaded):
    wages, hours, per_month = Decimal(0), Decimal(0), defaultdict(Decimal)
    for path in (loaded.landing / "loen").glob("*.csv"):
        for row in csv.DictReader(path.read_text(encoding="cp1252").splitlines(), delimiter=";"):
            amount = Decimal(row["Beløb"].replace(".", "").replace(",", "."))
            wages, hours = wages + amount, hours + Decimal(row["Timer"].replace(",", "."))
            per_month[row["Periode"]] += amount
    found = loaded.rows("SELECT sum(amount_oere), sum(hours_e4), count(DISTINCT month) FROM canonical.payroll_posting")[0]
    assert found == (wages * 100, hours * 10_000, 6) and set(per_month) >= {"09-2026", "04-2026"}
    groups = dict(loaded.rows("SELECT wage_group, sign(sum(amount_oere)) FROM canonical.payroll_posting GROUP BY 1"))
    assert groups == {"grundloen": 1, "tillaeg": 1, "overarbejde": 1, "pension": 1, "refusion": -1}
    # Employees are pseudonyms, work at own offers, and cost less than what is posted on the offers' accounts.
    assert loaded.rows("SELECT count(*) FROM canonical.payroll_posting WHERE regexp_full_match(employee, '[0-9]{10}')") == [(0,)]
    kinds = loaded.rows("SELECT DISTINCT owner_kind FROM canonical.payroll_posting JOIN canonical.offer USING (offer_id)")
    assert kinds == [("egen",)]
    share = loaded.rows("""
        WITH paid AS (SELECT * FROM canonical.payroll_posting WHERE month < DATE '2026-09-01')
        SELECT sum(amount_oere) / (SELECT sum(amount_oere) FROM canonical.posting
            WHERE delivery_month IN (SELECT month FROM paid) AND account IN (SELECT account FROM paid))
        FROM paid""")[0][0]
    assert 0.3 < share < 0.95


# The CPR register


def test_every_event_reaches_its_table(loaded):
    events = loaded.json("cpr", "haendelser")
    of_kind = Counter(event["art"] for event in events)
    assert set(of_kind) == {"flytning", "status", "personnummer", "beskyttelse", "vaergemaal"}
    for table, kind in (
        ("citizen_residence", "flytning"), ("citizen_status", "status"), ("cpr_change", "personnummer"),
        ("address_protection", "beskyttelse"), ("guardianship", "vaergemaal"),
    ):  # fmt: skip
        assert loaded.rows(f"SELECT count(*) FROM canonical.{table}") == [(of_kind[kind],)], table
    deaths = {(e["person"]["cpr"], e["dato"]) for e in events if e.get("status") == "90"}
    dead = loaded.rows("SELECT cpr, status_date::VARCHAR FROM canonical.citizen_status WHERE status = 'doed'")
    assert set(dead) == deaths and deaths
    moved = {(e["person"]["cpr"], e["adresse"]["kommunekode"].lstrip("0")) for e in events if e["art"] == "flytning"}
    assert set(loaded.rows("SELECT cpr, municipality FROM canonical.citizen_residence")) == moved
    assert not loaded.rows("FROM quarantine.refused WHERE loader_file IN ('bopaele', 'cpr_status', 'cpr_skift', 'vaergemaal')")


def test_deaths_and_moves_end_services_but_for_the_few_that_nobody_has_acted_on(loaded):
    lines = loaded.rows("""
        SELECT s.status, s.status_date, max(coalesce(l.end_date, DATE '9999-12-31'))
        FROM canonical.citizen_status s JOIN canonical.service_package p USING (cpr)
        JOIN canonical.service_line l USING (package_id) GROUP BY s.cpr, s.status, s.status_date""")
    ended = [end - day for status, day, end in lines if status == "doed" and end.year < 9999]
    open_after = [(status, day) for status, day, end in lines if status in ("doed", "udrejst") and end.year == 9999]
    assert ended and all(timedelta(0) <= late <= timedelta(6) for late in ended)
    assert {status for status, _ in open_after} == {"doed", "udrejst"}
    assert all(day < FIRST_DAY for _, day in open_after) and len(open_after) < len(ended)
    moved = loaded.rows("""
        SELECT r.valid_from, r.municipality, max(coalesce(l.end_date, DATE '9999-12-31')), list(p2.paying_municipality)
        FROM canonical.citizen_residence r JOIN canonical.service_package p USING (cpr)
        JOIN canonical.service_line l USING (package_id)
        LEFT JOIN canonical.package_payer p2 ON p2.package_id = p.package_id AND p2.valid_from = r.valid_from
        GROUP BY ALL""")
    paid_by_the_new = [row for row in moved if row[1] in (row[3] or [])]
    nobody_acted = [row for row in moved if row[1] != "661" and row[2].year == 9999 and row not in paid_by_the_new]
    assert paid_by_the_new and nobody_acted


def test_a_protection_known_to_the_register_is_in_the_case_systems_too(loaded):
    assert loaded.rows("""
        SELECT count(*) FROM canonical.address_protection a ANTI JOIN
        (SELECT cpr FROM canonical.citizen WHERE address_protected) c USING (cpr)""") == [(0,)]


# Incoming e-invoices


def _documents(loaded):
    """(SHA-256 of the file, its root) of every document."""
    contents = [path.read_bytes() for path in sorted((loaded.landing / "fakturaer").glob("*.xml"))]
    return [(hashlib.sha256(content).hexdigest(), ElementTree.fromstring(content)) for content in contents]


def test_invoices_are_valid_and_hold_only_what_a_supplier_knows(loaded):
    paths = sorted((loaded.landing / "fakturaer").glob("*.xml"))
    assert 20 < len(paths) <= 500
    ours = {key for table, key in (("service_line", "service_line_id"), ("service_package", "package_id"))
            for (key,) in loaded.rows(f"SELECT {key} FROM canonical.{table}")}  # fmt: skip
    for path in paths:
        content = path.read_bytes()
        assert b"<cbc:CustomizationID>OIOUBL-2" not in content or check(content) == [], path.name
        texts = {(e.text or "").strip() for e in ElementTree.fromstring(content).iter()}
        assert not texts & ours, path.name


def test_invoices_are_read_as_they_are_written(loaded):
    expected, lines, period = set(), set(), f"{CAC}InvoicePeriod/{CBC}StartDate"
    for document_id, root in _documents(loaded):
        credit = root.tag.endswith("}CreditNote")
        kind, quantity = ("kreditnota", "CreditedQuantity") if credit else ("faktura", "InvoicedQuantity")
        cvr = root.findtext(f"{CAC}AccountingSupplierParty/{CAC}Party/{CAC}PartyLegalEntity/{CBC}CompanyID").removeprefix("DK")
        number = root.findtext(f"{CBC}ID")
        head = (document_id, cvr, kind, number)
        order = root.findtext(f"{CAC}OrderReference/{CBC}ID")
        expected.add((
            *head, root.findtext(f"{CBC}IssueDate"),
            root.findtext(f"{CAC}AccountingCustomerParty/{CAC}Party/{CBC}EndpointID"), order,
            root.findtext(f"{CAC}BillingReference/{CAC}InvoiceDocumentReference/{CBC}ID"),
            *(int(Decimal(root.findtext(f"{CAC}LegalMonetaryTotal/{CBC}{name}")) * 100)
              for name in ("LineExtensionAmount", "PayableAmount")),
        ))  # fmt: skip
        for line in root.findall(f"{CAC}{'CreditNote' if credit else 'Invoice'}Line"):
            units = line.find(f"{CBC}{quantity}")
            lines.add((
                *head, line.findtext(f"{CBC}ID"), line.findtext(f"{CAC}Item/{CBC}Name"),
                "; ".join(filter(None, (line.findtext(f"{CBC}Note"), line.findtext(f"{CAC}Item/{CBC}Description")))),
                line.findtext(period) or root.findtext(period), int(Decimal(units.text) * 10**10),
                units.get("unitCode"), int(Decimal(line.findtext(f"{CAC}Price/{CBC}PriceAmount")) * 10**10),
                int(Decimal(line.findtext(f"{CBC}LineExtensionAmount")) * 100),
                line.findtext(f"{CAC}OrderLineReference/{CAC}OrderReference/{CBC}ID") or order,
            ))  # fmt: skip
    found = loaded.rows("""
        SELECT document_id, sender_cvr, kind, document_number, issue_date::VARCHAR, receiver_ean, order_reference, corrects_number,
            net_oere, payable_oere FROM canonical.incoming_invoice""")
    assert set(found) == expected and len(found) == len(expected)
    found = loaded.rows("""
        SELECT document_id, sender_cvr, kind, document_number, line_number, item_name, note, period_from::VARCHAR, quantity_e10,
            unit_code, price_e10, amount_oere, order_reference FROM canonical.incoming_invoice_line""")
    assert set(found) == lines and len(found) == len(lines) > len(expected)
    kinds = dict(loaded.rows("SELECT kind, count(*) FROM canonical.incoming_invoice GROUP BY 1"))
    assert kinds["kreditnota"] < kinds["faktura"]
    # A credit note names an invoice of the same supplier; a document's total is the sum of its lines.
    assert loaded.rows("""
        SELECT count(*) FROM canonical.incoming_invoice c ANTI JOIN canonical.incoming_invoice i
        ON i.sender_cvr = c.sender_cvr AND i.kind = 'faktura' AND i.document_number = c.corrects_number
        WHERE c.kind = 'kreditnota'""") == [(0,)]
    assert loaded.rows("""
        SELECT count(*) FROM canonical.incoming_invoice i JOIN (
            SELECT document_id, sum(amount_oere) AS lines FROM canonical.incoming_invoice_line GROUP BY ALL
        ) USING (document_id) WHERE lines <> net_oere""") == [(0,)]


def test_many_invoice_lines_give_no_reference_of_ours(loaded):
    with_one, all_lines = loaded.rows("SELECT count(order_reference), count(*) FROM canonical.incoming_invoice_line")[0]
    assert 0 < with_one < all_lines * 0.6
    known = loaded.rows("""
        SELECT count(*) FROM canonical.incoming_invoice_line l
        JOIN canonical.service_package p ON p.requisition = l.order_reference""")
    assert known == [(with_one,)], "a reference that is given leads to one package"


def test_the_line_was_granted_at_the_offer(loaded):
    """Every sender is a private offer, and what it charges for was granted there in the period."""
    strangers = loaded.rows("""
        SELECT count(*) FROM canonical.incoming_invoice i ANTI JOIN
        (SELECT cvr AS sender_cvr FROM canonical.offer WHERE owner_kind = 'privat') o USING (sender_cvr)""")
    assert strangers == [(0,)]
    # But for a citizen who has left, or whom the supplier never had: the truth beside the landing folder says which.
    truth = loaded.instance.home / "demo" / "fakturaer_sandhed.csv"
    misplaced = loaded.rows(f"""
        SELECT count(*) FROM canonical.incoming_invoice_line i
        ANTI JOIN (FROM read_csv('{truth}', delim = ';') WHERE kind IN ('ended_citizen', 'other_citizen')) t USING (document_id)
        JOIN canonical.service_package p ON p.requisition = i.order_reference
        WHERE NOT EXISTS (
            FROM canonical.service_line l JOIN canonical.offer o USING (offer_id)
            WHERE l.package_id = p.package_id AND o.cvr = i.sender_cvr
            AND l.start_date <= i.period_to AND coalesce(l.end_date, i.period_to) >= i.period_from)""")
    assert misplaced == [(0,)]
