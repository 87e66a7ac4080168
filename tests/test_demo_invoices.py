"""The demo's suppliers: documents of three formats, what goes wrong with them, and the truth beside them.

Documents are read here by the standard library; what may be paid is asked of the engine.
"""

import csv
import hashlib
import re
import zipfile
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from peppol.rules import check_rules
from peppol.xsd import validate_xsd

from ingestion.demo import write_demo
from ingestion.engine_input import bind
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from settlement.documents.oioubl_rules import check
from settlement.engine.settle import entitle
from settlement.instance import create_folders
from settlement.ledger.register import open_register

pytestmark = pytest.mark.heavy
REFERENCE = Path(__file__).parent.parent / "data" / "reference"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
WRONG = {"wrong_rate", "wrong_days", "ended_citizen", "duplicate", "other_citizen", "price_uplift"}
RIGHT = {"right", "no_reference", "split", "merged", "credit"}


class Document:
    """One written document and its truth."""

    def __init__(self, content: bytes, truth: dict[str, str], lines: list[dict[str, str]]) -> None:
        self.content, self.truth, self.kind = content, truth, truth["kind"]
        self.root = root = ElementTree.fromstring(content)
        self.is_credit = root.tag.endswith("}CreditNote")
        supplier = root.find(f"{CAC}AccountingSupplierParty/{CAC}Party")
        self.sender = supplier.findtext(f"{CAC}PartyLegalEntity/{CBC}CompanyID").removeprefix("DK")
        self.number, self.issued = root.findtext(f"{CBC}ID"), root.findtext(f"{CBC}IssueDate")
        self.corrects = root.findtext(f"{CAC}BillingReference/{CAC}InvoiceDocumentReference/{CBC}ID")
        self.period = _period(root)
        self.net_oere = _oere(root.findtext(f"{CAC}LegalMonetaryTotal/{CBC}LineExtensionAmount"))
        self.lines = []
        for element in root.findall(f"{CAC}{'CreditNote' if self.is_credit else 'Invoice'}Line"):
            number = element.findtext(f"{CBC}ID")
            self.lines.append(Line(self, element, [row for row in lines if row["line"] == number]))


class Line:
    def __init__(self, document: Document, element: ElementTree.Element, truth: list[dict[str, str]]) -> None:
        sign = -1 if document.is_credit else 1
        self.note = element.findtext(f"{CBC}Note") or ""
        units = element.find(f"{CBC}{'Credited' if document.is_credit else 'Invoiced'}Quantity")
        self.units = sign * Fraction(units.text)
        self.price_oere = _oere(element.findtext(f"{CAC}Price/{CBC}PriceAmount"))
        self.amount_oere = sign * _oere(element.findtext(f"{CBC}LineExtensionAmount"))
        self.period = _period(element) or document.period
        self.owed = {(row["service_line_id"], row["delivery_month"]): int(row["amount_oere"]) for row in truth}
        assert len(self.owed) == len(truth) > 0 and len({row["is_right"] for row in truth}) == 1
        self.is_right = truth[0]["is_right"] == "1"


def _period(element: ElementTree.Element) -> tuple[str, str] | None:
    found = element.find(f"{CAC}InvoicePeriod")
    return None if found is None else (found.findtext(f"{CBC}StartDate"), found.findtext(f"{CBC}EndDate"))


def _oere(text: str) -> int:
    amount = Decimal(text) * 100
    assert amount == int(amount)
    return int(amount)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def _documents(home: Path) -> list[Document]:
    """In the order of the truth, which is that of receipt."""
    contents: dict[tuple[str, str], bytes] = {}
    for path in (home / "landing" / "fakturaer").iterdir():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                contents |= {(path.name, name): packed.read(name) for name in packed.namelist()}
        else:
            contents[path.name, ""] = path.read_bytes()
    lines = defaultdict(list)
    for row in _rows(home / "demo" / "fakturalinjer_sandhed.csv"):
        lines[row["file"], row["member"]].append(row)
    truth = _rows(home / "demo" / "fakturaer_sandhed.csv")
    assert sorted(contents) == sorted((row["file"], row["member"]) for row in truth) and lines.keys() == contents.keys()
    places = [(row["file"], row["member"]) for row in truth]
    return [Document(contents[place], row, lines[place]) for place, row in zip(places, truth, strict=True)]


def _write(home: Path, **arguments) -> dict:
    options = {"until": "2026-09", "reference": REFERENCE, "progress": lambda sentence: None} | arguments
    return write_demo(home / "landing", **options)


class Demo:
    """A demo of 5,000 inhabitants, with a price corrected backwards, whose suppliers send all they can, and what the engine
    says is committed."""

    def __init__(self, home: Path) -> None:
        instance = create_folders(home, "661")
        self.home, self.summary = home, _write(home, population=5_000, invoices=3_000)
        self.documents = _documents(home)
        engine = open_register(instance)
        with open_warehouse(instance) as con:
            for day in self.summary["deliveries"]:
                paths = [p for p in sorted(instance.landing.glob(f"*/*{day}*")) if p.parent.name != "fakturaer"]
                files = [(path.parent.name, path.name, path) for path in paths]
                assert not any(report.fault for report in receive(con, instance, files, dated=day, received_by="test")[1])
            bind(con, instance, engine)
            entitle(con, own_municipality="661", through=date(2026, 9, 30))
            pieces = con.execute("""
                SELECT service_line_id, strftime(delivery_month, '%Y-%m'), price_oere, quantity_num, quantity_den, amount_oere
                FROM piece WHERE process = 'faktura'""").fetchall()
            self.citizens = con.execute("SELECT cpr, name FROM canonical.citizen").fetchall()
        engine.dispose()
        # service line, month → price, units, amount
        self.committed = {(line, month): (p, Fraction(n, d), a) for line, month, p, n, d, a in pieces}
        assert len(self.committed) == len(pieces)

    def of(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document.kind == kind]

    def committed_oere(self, line: Line) -> int:
        return sum(self.committed[key][2] if key in self.committed else 0 for key in line.owed)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return Demo(tmp_path_factory.mktemp("invoices") / "instance")


def test_the_mix_is_as_told(demo):
    mix = demo.summary["invoices"]
    kinds = Counter(document.kind for document in demo.documents)
    assert kinds == mix["kinds"] and set(kinds) == WRONG | RIGHT
    assert Counter(document.truth["format"] for document in demo.documents) == mix["formats"]
    assert sum(kinds.values()) == mix["documents"] > 1_000
    for kind in (WRONG | RIGHT) - {"right", "no_reference"}:
        assert kinds[kind] * 100 >= 1.5 * mix["documents"], kind
    without = [document for document in demo.documents if document.truth["has_reference"] == "0"]
    assert len(without) == mix["without_reference"] >= 0.4 * mix["documents"]
    assert len(mix["formats"]) == 3 and mix["formats"]["oioubl-2"] > mix["documents"] / 2


def test_a_reference_is_there_where_the_truth_says_so(demo):
    for document in demo.documents:
        told = document.root.findtext(f"{CAC}OrderReference/{CBC}ID")
        assert (told is not None) == (document.truth["has_reference"] == "1"), document.number
        assert document.kind != "no_reference" or told is None


def test_documents_are_valid_in_their_format(demo):
    for document in demo.documents:
        assert validate_xsd(document.content) == (True, []), document.number
        customization = document.root.findtext(f"{CBC}CustomizationID")
        kind = "creditnote" if document.is_credit else "invoice"
        if document.truth["format"] == "oioubl-2":
            assert customization == "OIOUBL-2.1" and check(document.content) == []
            continue
        peppol = document.truth["format"] == "peppol-bis3"
        assert customization == (
            "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0" if peppol
            else f"urn:fdc:oioubl.dk:trns:billing:{kind}:3.0"
        )  # fmt: skip
        assert [f"{found}" for found in check_rules(document.content)] == []
        schemes = {e.get("schemeID") for e in document.root.iter() if e.get("schemeID")}
        assert schemes <= {"0088", "0184", "0198"}
        text = document.content.decode()
        assert "listID" not in text and "schemeAgencyID" not in text and "<cbc:ID>63</cbc:ID>" not in text
        assert {e.text for e in document.root.findall(f".//{CAC}ClassifiedTaxCategory/{CBC}ID")} <= {"S", "E"}
        totals = document.root.find(f"{CAC}LegalMonetaryTotal")
        assert totals.findtext(f"{CBC}TaxExclusiveAmount") == totals.findtext(f"{CBC}LineExtensionAmount")
        assert (f"{CBC}UBLVersionID" in {e.tag for e in document.root}) == (not peppol)
        # COMMON-012, and DK-R-014 of Peppol.
        assert peppol or len(document.root.findall(f".//{CAC}PostalAddress/{CBC}BuildingNumber")) == 2
        legal = document.root.findall(f".//{CAC}PartyLegalEntity/{CBC}CompanyID")
        assert all(e.get("schemeID") == "0184" and re.fullmatch(r"\d{8}", e.text) for e in legal) and len(legal) == 2


def test_the_truth_fits_the_documents(demo):
    assert len({document.truth["document_id"] for document in demo.documents}) == len(demo.documents)
    for document in demo.documents:
        truth = document.truth
        assert truth["document_id"] == hashlib.sha256(document.content).hexdigest()
        assert (truth["sender_cvr"], truth["number"]) == (document.sender, document.number)
        assert (truth["document_kind"] == "kreditnota") == document.is_credit
        assert (truth["is_right"] == "1") == all(line.is_right for line in document.lines) == (document.kind in RIGHT)
        for line in document.lines:
            assert not line.is_right or sum(line.owed.values()) == line.amount_oere, document.number
            assert all(line.period[0][:7] <= month <= line.period[1][:7] for _, month in line.owed)


def test_the_truth_names_no_citizen(demo):
    text = "".join(path.read_text(encoding="utf-8") for path in (demo.home / "demo").iterdir())
    assert not re.search(r"\b\d{10}\b|\d{6}-\d{4}\b(?!\d)", re.sub(r"\b20\d\d-\d{5}\b", "", text))
    assert len(demo.citizens) > 300 and not any(name in text or cpr in text for cpr, name in demo.citizens if name)


def test_all_that_is_right_together_is_what_the_engine_says_it_costs(demo):
    """Whatever part of a month is billed, rightly or not: what may be paid of it is never more than committed, and all of
    it, to the øre, in every month that has been billed to its end."""
    owed = Counter()
    for document in demo.documents:
        if document.kind not in ("credit", "duplicate"):
            for line in document.lines:
                owed.update(line.owed)
    sums = Counter()
    for key, amount in owed.items():
        if amount:
            committed = demo.committed[key][2]
            sums["all of it" if amount == committed else "not over yet" if key[1] == "2026-09" else "part"] += 1
            assert amount <= committed, key
    assert not sums["part"] and sums["all of it"] > 500 and sums["not over yet"]


def test_a_right_line_has_the_units_and_the_price_of_the_grant(demo):
    for document in demo.documents:
        for line in document.lines:
            if line.is_right and document.kind not in ("split", "credit"):
                committed = [demo.committed[key] for key in line.owed]
                assert {price for price, _, _ in committed} == {line.price_oere}, document.number
                if line.amount_oere == sum(amount for _, _, amount in committed):
                    assert abs(line.units - sum(units for _, units, _ in committed)) <= Fraction(1, 10**10)


def test_wrong_prices_are_not_the_grants(demo):
    for kind in ("wrong_rate", "price_uplift"):
        for document in demo.of(kind):
            for line in document.lines:
                prices = {demo.committed[key][0] for key in line.owed}
                ratio = Fraction(line.price_oere, prices.pop())
                assert not prices and (line.is_right == (ratio == 1))
                assert kind == "wrong_rate" or Fraction(1019, 1000) < ratio <= Fraction(105, 100)
    # An uplift lasts from its month on.
    for sender in {document.sender for document in demo.of("price_uplift")}:
        documents = [d for d in demo.documents if d.sender == sender]
        begins = min(d.period[0][:7] for d in documents if d.kind == "price_uplift")
        later = {d.kind for d in documents if d.period[0][:7] >= begins}
        assert later <= {"price_uplift", "ended_citizen", "duplicate", "credit"} and "price_uplift" in later


def test_wrong_days_are_more_than_what_was_delivered(demo):
    for document in demo.of("wrong_days"):
        wrong = [line for line in document.lines if not line.is_right]
        assert len(wrong) == 1 and wrong[0].amount_oere > sum(wrong[0].owed.values()) > 0
        key = next(iter(wrong[0].owed))
        assert wrong[0].price_oere == demo.committed[key][0]
        whole_month = wrong[0].period[0][8:] == "01" and int(wrong[0].period[1][8:]) >= 28
        assert not whole_month or wrong[0].units > demo.committed[key][1]


def test_who_has_left_or_was_never_served_is_granted_nothing(demo):
    names = [name for _, name in demo.citizens]
    by_name = {name: cpr for cpr, name in demo.citizens if names.count(name) == 1}
    for document in demo.of("ended_citizen"):
        wrong = [line for line in document.lines if not line.is_right]
        assert len(wrong) == 1 and not demo.committed_oere(wrong[0]) and all(line for line, _ in wrong[0].owed)
    ours = theirs = 0
    for document in demo.of("other_citizen"):
        wrong = [line for line in document.lines if not line.is_right]
        assert len(wrong) == 1 and {line for line, _ in wrong[0].owed} == {""} and set(wrong[0].owed.values()) == {0}
        assert wrong[0].note or document.truth["has_reference"] == "1"
        known = wrong[0].note in by_name or re.sub(r"\D", "", wrong[0].note) in by_name.values()
        ours, theirs = ours + known, theirs + (not known)
    assert ours and theirs


def test_a_duplicate_is_an_earlier_document_in_other_bytes(demo):
    by_id = {document.truth["document_id"]: (place, document) for place, document in enumerate(demo.documents)}
    ways = Counter()
    for place, document in enumerate(demo.documents):
        assert bool(document.truth["duplicate_of"]) == (document.kind == "duplicate")
        if document.kind == "duplicate":
            earlier, original = by_id[document.truth["duplicate_of"]]
            assert earlier < place and original.content != document.content and original.kind in RIGHT
            assert (original.sender, original.is_credit, original.net_oere) == (
                document.sender, document.is_credit, document.net_oere
            )  # fmt: skip
            assert _digits(original.number) == _digits(document.number)
            ways["number"] += original.number != document.number
            ways["date"] += original.issued != document.issued
            ways["format"] += original.truth["format"] != document.truth["format"]
            ways["credit"] += document.is_credit
    assert set(ways) == {"number", "date", "format", "credit"} and all(ways.values())


def _digits(number: str) -> str:
    return re.sub(r"[^0-9F]", "", number).lstrip("0")


def test_other_numbers_of_a_supplier_are_all_different(demo):
    numbers = Counter((d.sender, _digits(d.number)) for d in demo.documents if d.kind != "duplicate")
    assert set(numbers.values()) == {1}


def test_a_credit_note_names_an_earlier_right_invoice_and_is_no_more_than_it(demo):
    by_number = {(d.sender, d.number): (place, d) for place, d in enumerate(demo.documents) if d.kind != "duplicate"}
    credited, parts = Counter(), Counter()
    for place, document in enumerate(demo.documents):
        assert document.is_credit == (document.corrects is not None)
        if document.kind == "credit":
            earlier, invoice = by_number[document.sender, document.corrects]
            assert earlier < place and not invoice.is_credit and invoice.truth["is_right"] == "1"
            owed = {key for line in invoice.lines for key in line.owed}
            assert all(set(line.owed) <= owed for line in document.lines)
            credited[document.sender, document.corrects] += document.net_oere
            assert 0 < credited[document.sender, document.corrects] <= invoice.net_oere
            parts[document.net_oere == invoice.net_oere] += 1
    assert parts[True] and parts[False]


def test_split_and_merged_are_months_otherwise_divided(demo):
    months = Counter()
    for document in demo.of("split"):
        for line in document.lines:
            (key,) = line.owed
            months[key] += 1
            assert line.period[0][8:] == "01" and line.period[1][8:] == "14" or line.period[0][8:] == "15"
            assert line.amount_oere <= demo.committed[key][2]
    assert 2 in months.values() and set(months.values()) <= {1, 2}
    shapes = {
        (len({line for line, _ in joined.owed}) > 1, len({month for _, month in joined.owed}) > 1)
        for document in demo.of("merged") for joined in document.lines if len(joined.owed) > 1
    }  # fmt: skip
    assert shapes == {(True, False), (False, True)}
    assert all(any(len(line.owed) > 1 for line in document.lines) for document in demo.of("merged"))


def test_days_and_citizens_go_wrong_only_where_the_citizen_is_told(demo):
    for kind in ("wrong_days", "ended_citizen", "other_citizen"):
        for document in demo.of(kind):
            wrong = next(line for line in document.lines if not line.is_right)
            assert wrong.note or document.truth["has_reference"] == "1"


def test_a_large_demo_is_the_same_bytes_again_and_a_small_one_has_files_of_their_own(tmp_path):
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        summary = _write(tmp_path / name, population=1_000, invoices=1_500, seed=seed)
        paths = [*(tmp_path / name / "landing" / "fakturaer").iterdir(), *(tmp_path / name / "demo").iterdir()]
        assert {path.suffix for path in paths} == {".zip", ".csv"}
        assert {f"fakturaer/fakturaer_{day}.zip" for day in summary["deliveries"]} <= summary["files"].keys()
        digests.append(sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths))
    assert digests[0] == digests[1] != digests[2]
    few = _write(tmp_path / "few", population=1_000, invoices=20)
    documents = _documents(tmp_path / "few")
    assert len(documents) == few["invoices"]["documents"] == 20 and {d.truth["member"] for d in documents} == {""}
    assert "credit" in few["invoices"]["kinds"]
    none = _write(tmp_path / "none", population=1_000, invoices=0)
    assert none["invoices"]["documents"] == 0 and not (tmp_path / "none" / "landing" / "fakturaer").exists()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_thousand_documents_have_three_hundred_of_each_kind(tmp_path, seed):
    mix = _write(tmp_path, population=58_000, invoices=20_000, seed=seed)["invoices"]
    assert mix["documents"] == 20_000 and mix["without_reference"] >= 8_000
    assert set(mix["kinds"]) == WRONG | RIGHT and min(mix["kinds"].values()) >= 300
