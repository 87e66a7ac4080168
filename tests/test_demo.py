"""The municipality that does not exist: same bytes, sizes as in Statistics Denmark's figures, dirt of every kind.

Files are read here by other means than the platform's own readers.
"""

import csv
import hashlib
import json
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest

from ingestion.demo import DIRTY_KINDS, write_demo
from ingestion.mapping import load_mappings
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from settlement.instance import Instance

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "data" / "reference"
FIRST, LAST = date(2024, 10, 1), date(2026, 9, 30)


def _write(home: Path, **arguments):
    options = {"until": "2026-09", "reference": REFERENCE, "progress": lambda sentence: None} | arguments
    return write_demo(home / "landing", **options)


def _records(path: Path) -> list[dict[str, object]]:
    """Rows of an extract by column, by the standard library and openpyxl only."""
    mapping = load_mappings()[path.parent.name].candidates(path.name)[0]
    if mapping.format == "json":
        found = json.loads(path.read_text(encoding="utf-8"))
        for step in mapping.record.split("/"):
            found = found[step]
        return [{c: _below(r, c) for c in mapping.columns} for r in found]
    if mapping.format == "xml":
        names = mapping.record.split("|")
        found = [r for r in ElementTree.parse(path).iter() if r.tag.rpartition("}")[2] in names]
        return [{c: r.findtext(c) or "" for c in mapping.columns if c[0] != "/" and "@" not in c} for r in found]
    if mapping.format == "csv":
        with path.open(encoding=mapping.encoding, newline="") as file:
            return list(csv.DictReader(file, delimiter=";", restval="", restkey="?"))
    rows = openpyxl.load_workbook(path).worksheets[0].iter_rows(values_only=True)
    header = next(rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _below(record: dict, path: str) -> object:
    for step in path.split("/"):
        record = record.get(step, {})
    return "" if record == {} else record


def _day(cell: object) -> date | None:
    if isinstance(cell, datetime):
        return cell.date()
    for form in ("%Y-%m-%d", "%d-%m-%Y"):
        try:
            return datetime.strptime(str(cell), form).date()
        except ValueError:
            continue
    return None


class Demo:
    """A written demo and its records: the latest of each key, planted dirt (keys with F) left out where asked."""

    def __init__(self, home: Path, **arguments):
        self.home, self.summary = home, _write(home, **arguments)

    @cache  # noqa: B019 – a demo lives as long as the module's tests
    def all(self, system: str, dataset: str) -> list[dict[str, object]]:
        paths = sorted((self.home / "landing" / system).glob(f"{system}_{dataset}_*"))
        return [row for path in paths for row in _records(path)]

    def latest(self, system: str, dataset: str, key: str) -> dict[str, dict[str, object]]:
        rows = {str(row[key]): row for row in self.all(system, dataset)}
        return {k: row for k, row in rows.items() if k and not k.startswith("F")}

    def own_offers(self) -> dict[str, dict[str, object]]:
        """The municipality's own offers; planted withdrawals carry nothing but the key."""
        rows = self.all("tilbud", "oversigt")
        return {row["Tilbudsnr."]: row for row in rows if row["Ejerforhold"] == "egen"}

    @cache  # noqa: B019
    def lines(self):
        """(item, offer id, payer, citizen, start, end or None, row) of every good service line as known at the end."""
        found = []
        for system, datasets, decision, names in (
            ("dubu", ("anbringelser", "stoette"), "appropriation_id",
             ("activity_id", "details_id", "place/place_id", "activity_start_date", "activity_end_date",
              "paying_municipality", "cpr_number")),
            ("sensum", ("ydelser",), "Bevilling",
             ("Ydelse", "Ydelseskode", "Tilbud", "Start", "Slut", "Betalingskommune", "CPR-nr.")),
        ):  # fmt: skip
            decisions = self.latest(system, "bevillinger", decision)
            key, item, offer, start, end, payer, cpr = names
            for dataset in datasets:
                # Spoiled versions of a stored line have no readable start; the stored one stands.
                stored = {}
                for row in self.all(system, dataset):
                    if row[key] and not str(row[key]).startswith("F") and _day(row[start]):
                        stored[row[key]] = row
                for row in stored.values():
                    case = decisions.get(str(row[decision]))
                    if case:
                        found.append(
                            (row[item], row[offer], str(case[payer]).lstrip("0"), case[cpr], _day(row[start]),
                             _day(row[end]), row)
                        )  # fmt: skip
        return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The default municipality of 58,000 inhabitants and 24 months."""
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The smallest municipality."""
    return Demo(tmp_path_factory.mktemp("small"), population=1_000)


def _digest(home: Path) -> dict[str, str]:
    files = sorted(p for p in home.rglob("*") if p.is_file())
    return {str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_arguments_same_bytes(tmp_path, small):
    code = (
        "from pathlib import Path; from ingestion.demo import write_demo; "
        "write_demo(Path({!r}) / 'landing', population=1000, until='2026-09', reference=Path('data/reference'), "
        "progress=print)"
    )
    # Another process, with another order of sets, must give the same bytes.
    environment = {"PYTHONHASHSEED": "4711", "PATH": ""}
    subprocess.run([sys.executable, "-c", code.format(str(tmp_path))], cwd=ROOT, env=environment, check=True)
    again = _digest(tmp_path)
    assert again == _digest(small.home)
    # Beside the landing folder: the posting rules, and the truth of the invoices.
    assert len(again) == len(small.summary["files"]) + 3
    other = Demo(tmp_path / "other", population=1_000, seed=2)
    assert _digest(other.home) != again


def test_spreadsheets_carry_no_clock(small):
    for path in (small.home / "landing" / "tilbud").glob("*.xlsx"):
        with zipfile.ZipFile(path) as book:
            assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert book.read("docProps/core.xml").count(b"2000-01-01T00:00:00Z") == 2


def test_rows_are_as_many_as_told(demo):
    for name, rows in demo.summary["files"].items():
        assert len(_records(demo.home / "landing" / name)) == rows > 0, name
    on_disk = {str(p.relative_to(demo.home / "landing")) for p in (demo.home / "landing").rglob("*.*")}
    assert on_disk == set(demo.summary["files"])


def test_each_system_has_its_own_format(small):
    landing = small.home / "landing"
    sensum = (landing / "sensum" / "sensum_fravaer_2026-08-31.csv").read_bytes()
    assert "Årsag".encode("cp1252") in sensum and "Årsag".encode() not in sensum
    assert (landing / "opus" / "opus_budget_2026-08-31.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert (landing / "dubu" / "dubu_borgere_2026-08-31.xml").read_bytes().startswith(b"<?xml")
    assert (landing / "tilbud" / "tilbud_takster_2026-08-31.xlsx").read_bytes().startswith(b"PK")


def _stock(demo, items, on=date(2025, 12, 31), payer="661"):
    return [n for n in demo.lines() if n[0] in items and n[4] <= on <= (n[5] or on) and n[2] == payer]


def test_sizes_are_those_of_the_calibration(demo):
    """statistics_reports.md §2.2–2.3, Holstebro's size; a small municipality's figures vary by some per cent."""

    def near(found, expected, pct):
        assert abs(found - expected) <= max(3, expected * pct / 100), (found, expected)

    placed = Counter(n[0] for n in _stock(demo, ("BL43-PLEJE", "BL43-INST", "BL43-OPH", "BL43-KOST")))
    near(sum(placed.values()), 139, 8)
    for item, share in (("BL43-PLEJE", 63), ("BL43-INST", 17), ("BL43-OPH", 14), ("BL43-KOST", 6)):
        near(placed[item] * 100 / sum(placed.values()), share, 25)
    begun = [n for n in demo.lines() if n[0] in placed and n[4].year == 2025 and n[2] == "661"]
    near(len(begun), 34, 40)
    near(len(_stock(demo, ("BL32-KONT", "BL32-FAM", "BL32-PRAK", "BL32-AFL", "BL114-EFT"))), 437, 8)

    # Adults are counted in a quarter, each once.
    quarter = [
        n for n in demo.lines()
        if n[0][:3] in ("SEL", "ABL") and n[0] != "SEL104-KØR" and n[2] == "661"
        and n[4] <= date(2025, 12, 31) and (n[5] or LAST) >= date(2025, 10, 1)
    ]  # fmt: skip
    near(len({n[3] for n in quarter}), 783, 8)
    near(len(quarter) / len({n[3] for n in quarter}) * 100, 134, 8)
    for item, expected in (("SEL107", 84), ("SEL108", 55), ("ABL105", 146), ("SEL85", 462)):
        near(len({n[3] for n in quarter if n[0] == item}), expected, 15)


def test_39_per_cent_of_residents_come_from_elsewhere(demo):
    own = demo.own_offers()
    homes = [n for n in demo.lines() if n[0] in ("BL43-INST", "SEL107", "SEL108", "ABL105") and n[1] in own]
    assert abs(sum(n[2] != "661" for n in homes) / len(homes) - 0.39) < 0.05
    assert len({n[2] for n in homes}) > 10
    # And as many of our own live in offers of others.
    ours = [n for n in demo.lines() if n[0] in ("BL43-INST", "SEL107", "SEL108", "ABL105") and n[2] == "661"]
    assert abs(sum(n[1] not in own for n in ours) / len(ours) - 0.39) < 0.06


def test_own_offers_are_nearly_full(demo):
    days = defaultdict(int)
    for _, offer, _, _, start, end, _ in demo.lines():
        days[offer] += max(0, (min(end or LAST, LAST) - max(start, FIRST)).days + 1)
    seen = 0
    for number, row in demo.own_offers().items():
        if row["Pladser"]:
            occupancy = days[number] / (row["Pladser"] * ((LAST - FIRST).days + 1))
            assert 0.85 <= occupancy <= 1.06, (number, row["Navn"], occupancy)
            seen += 1
    assert seen >= 25


def test_every_unit_and_choice_is_used(demo):
    items = demo.latest("tilbud", "katalog", "Ydelseskode")
    used = {items[n[0]]["Enhed"] for n in demo.lines()}
    assert used == {"doegn", "hverdag", "uge", "maaned", "aar", "time", "leveret", "engang"}
    assert {items[n[0]]["Prorata"] for n in demo.lines()} == {None, "tredivedel", "hel"}
    assert {items[n[0]]["Afrejsedag betales"] for n in demo.lines()} == {"ja", "nej"}
    assert any(items[n[0]]["Fraværsprocent"] < 100 for n in demo.lines())
    sensum = demo.latest("sensum", "ydelser", "Ydelse").values()
    assert {row["Afregning"] for row in sensum} == {"", "UDB", "EGEN", "BEBO"}
    assert {row["Betales"] for row in sensum} == {"F", "B"}
    assert {row["recipient_type"] for row in demo.all("dubu", "stoette")} == {"INTERNAL", "PERSON", "COMPANY"}
    assert {row["claim"] for row in demo.all("dubu", "stoette")} == {"PRICE", "REFUND_9C"}
    decisions = [row["Tilstand"] for row in demo.latest("sensum", "bevillinger", "Bevilling").values()]
    assert set(decisions) == {"Ansøgt", "Visiteret", "Ophørt", "Annulleret"}
    for dataset in ("priser", "konteringer", "fravaer", "betalere", "registreringer", "betalingsaftaler"):
        assert demo.all("sensum", dataset)
    assert any(row["price_per_unit"] for row in demo.all("dubu", "anbringelser"))
    assert any(str(row["Antal"]).startswith("-") for row in demo.all("sensum", "registreringer"))


def _deliveries(demo, system, dataset, key):
    first, second = sorted((demo.home / "landing" / system).glob(f"{system}_{dataset}_*"))
    return {str(r[key]): r for r in _records(first)}, {str(r[key]): r for r in _records(second)}


@pytest.mark.parametrize("size", ["demo", "small"])
def test_the_second_delivery_brings_late_changes(size, request):
    demo = request.getfixturevalue(size)
    before, now = _deliveries(demo, "sensum", "ydelser", "Ydelse")
    first_day = date(2026, 8, 31)
    assert any(key not in before for key in now), "new facts"
    changed = [(before[key], row) for key, row in now.items() if key in before and not key.startswith("F")]
    assert all(old != new for old, new in changed), "what has not changed is not sent again"
    if size == "small":
        return
    late = [n for o, n in changed if not o["Slut"] and n["Slut"] and _day(n["Slut"]) <= first_day - timedelta(20)]
    assert late, "an end date that arrives late"
    assert [n for o, n in changed if (o["Slettet"], n["Slettet"]) == ("0", "1")], "a withdrawn service"
    before, now = _deliveries(demo, "sensum", "bevillinger", "Bevilling")
    assert [k for k, r in now.items() if k in before and r["Tilstand"] == "Annulleret"], "an annulled decision"
    _, payers = _deliveries(demo, "sensum", "betalere", "Bevilling")
    assert any(_day(row["Fra"]) < first_day - timedelta(60) for row in payers.values()), "a payer back in time"
    old, new = (
        {(r["Ydelseskode"], r["Tilbudsnr."], r["Gælder fra"]): r["Pris"] for r in _records(path)}
        for path in sorted((demo.home / "landing" / "tilbud").glob("tilbud_takster_*"))
    )
    assert [k for k in new if k in old and new[k] != old[k]], "a price corrected backwards"


def test_cpr_numbers_can_belong_to_nobody(demo):
    numbers = [row["cpr_number"] for row in demo.latest("dubu", "borgere", "cpr_number").values()]
    numbers += [str(row["CPR-nr."]).replace("-", "") for row in demo.latest("sensum", "borgere", "CPR-nr.").values()]
    numbers = [n for n in numbers if len(n) == 10]
    assert len(numbers) > 3_000 and len(set(numbers)) == len(numbers)
    others = [row["guardian_cpr"] for row in demo.all("dubu", "borgere")]
    others += [row["recipient_id"] for row in demo.all("dubu", "anbringelser")]
    others += [row["Modtager"] for row in demo.all("sensum", "betalingsaftaler")]
    for number in [*numbers, *filter(None, others)]:
        assert len(number) == 10 and number.isdigit() and 61 <= int(number[:2]) <= 91 and 1 <= int(number[2:4]) <= 12


def test_counterparties(demo):
    parties = demo.latest("tilbud", "modparter", "Kode")
    public = {k: row for k, row in parties.items() if len(k) <= 4}
    assert len(public) == 98 + 5
    without = [row["Navn"] for row in public.values() if not row["EAN-nr."]]
    assert len(without) == 2
    numbers = [row["EAN-nr."] for row in parties.values() if row["EAN-nr."]]
    numbers += [row["EAN-nr."] for row in demo.latest("tilbud", "afdelinger", "Afdeling").values()]
    assert len(set(numbers)) == len(numbers)
    for ean in numbers:
        assert ean.startswith("5798") and len(ean) == 13
        assert sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(ean)) % 10 == 0
    for row in parties.values():
        assert sum(int(d) * w for d, w in zip(row["CVR-nr."], (2, 7, 6, 5, 4, 3, 2, 1), strict=True)) % 11 == 0
        assert row["Adresse"]


def test_posting_rules_cover_the_catalogue(demo):
    with (demo.home / "reference" / "account_rules.csv").open(encoding="utf-8", newline="") as file:
        rules = list(csv.DictReader(file, delimiter=";"))
    assert list(rules[0]) == ["gyldig_fra", "gyldig_til", "funktion", "gruppering", "art", "konto"]
    by_key = {(r["funktion"], r["gruppering"], r["art"]): r["konto"] for r in rules}
    chart = demo.latest("opus", "kontoplan", "Kontostreng")
    for item in demo.latest("tilbud", "katalog", "Ydelseskode").values():
        konto = by_key[item["Funktion"], item["Gruppering"], item["Art"]]
        assert len(konto) == 16 and konto.isdigit() and konto in chart
        assert konto.startswith(item["Funktion"].replace(".", "")) and konto.endswith(item["Art"].replace(".", ""))


def _kroner(text: str) -> float:
    return float(text.replace(",", "."))


def test_postings_and_budget_are_near_what_services_cost(demo):
    """One account, day by day from lines and prices; the settlement itself is exact, the finance extract only near."""
    prices = defaultdict(list)
    for row in demo.all("tilbud", "takster"):
        if row["Ydelseskode"] == "SEL108":
            prices[row["Tilbudsnr."]].append((_day(row["Gælder fra"]), row["Pris"]))
    cost = 0
    for item, offer, payer, _, start, end, row in demo.lines():
        if item == "SEL108" and payer == "661" and row["Slettet"] == "0":
            day = max(start, date(2025, 1, 1))
            while day <= min(end or LAST, date(2025, 12, 31)):
                cost += max(price for price in prices[offer] if price[0] <= day)[1]
                day += timedelta(1)
    konto = "5385011410000147"
    posted = [r for r in demo.all("opus", "posteringer") if r["Kontostreng"] == konto and r["Periode"][:4] == "2025"]
    budget = [r for r in demo.all("opus", "budget") if r["Kontostreng"] == konto and r["Regnskabsår"] == "2025"]
    assert abs(sum(_kroner(r["Beløb"]) for r in posted) / cost - 1) < 0.06
    assert abs(sum(_kroner(r["Beløb"]) for r in budget) / cost - 1) < 0.12
    assert {r["Version"] for r in demo.all("opus", "budget")} == {"0", "T", "O"}
    income = [r for r in demo.all("opus", "posteringer") if r["Kontostreng"].endswith("77")]
    assert income and sum(_kroner(r["Beløb"]) for r in income) < 0


@pytest.mark.parametrize("size", ["demo", "small"])
def test_dirt_of_every_kind_at_its_share(size, request):
    demo = request.getfixturevalue(size)
    planted = Counter()
    for entry in demo.summary["dirty"]:
        kind = DIRTY_KINDS[entry["kind"]]
        assert (entry["outcome"], entry["reason"]) == (kind.outcome, kind.reason)
        planted[entry["kind"]] += entry["rows"]
    assert set(planted) == set(DIRTY_KINDS)
    if size == "demo":
        rows = sum(rows for name, rows in demo.summary["files"].items() if name.startswith(("dubu", "sensum")))
        assert 0.004 < sum(planted.values()) / rows < 0.008


def test_every_dirty_row_meets_its_verdict(small, tmp_path):
    """The gate refuses or warns of exactly what was planted, by file and reason, and counts every row."""
    instance = Instance(small.home, "661", "0000", "0000000000", 30, "", {})
    expected = Counter()
    for entry in small.summary["dirty"]:
        # A stored line that was spoiled is refused at the gate, and its months are parked by the settlement.
        outcome, reason = entry["outcome"], entry["reason"]
        if entry["kind"] == "stored_line_spoiled":
            outcome, reason = "refused", "ugyldig_vaerdi"
        if outcome != "parked":
            expected[Path(entry["file"]).name, outcome, reason] += entry["rows"]
    found = Counter()
    with open_warehouse(instance) as con:
        for day in small.summary["deliveries"]:
            files = [(p.parent.name, p.name, p) for p in sorted(instance.landing.glob(f"*/*{day}*"))]
            _, reports = receive(con, instance, files, dated=day, received_by="test")
            for report in reports:
                assert not report.fault
                system = report.name.partition("_")[0]
                folder = {"faktura": "fakturaer"}.get(system, system)
                told = small.summary["files"][f"{folder}/{report.name}"]
                # Of what the care record has, only what was delivered goes on.
                assert system == "cura" or not report.rows_unmapped
                reached = report.rows_accepted + report.rows_quarantined + report.rows_unmapped
                assert told == report.rows_read == reached, report.name
                for column in report.unknown_columns:
                    found[report.name, "warned", column] += 1
        for name, reason, rows in con.execute(
            "SELECT file_name, reason, count(*) FROM quarantine.refused GROUP BY ALL"
        ).fetchall():
            found[name, "refused", reason] += rows
        for name, column, rows in con.execute(
            """SELECT f.name, w.column_name, count(*) FROM quarantine.warned w
            JOIN raw.file f USING (load_id, file_hash) GROUP BY ALL"""
        ).fetchall():
            found[name, "warned", column] += rows
    # The staff leaves a price open when a later one begins: reported, and right so.
    cut_short = {("warned", "gyldig_til"), ("warned", "gyldig_fra")}
    found = Counter({key: rows for key, rows in found.items() if key[1:] not in cut_short})
    assert found == expected


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read a process's peak memory")
@pytest.mark.heavy
def test_memory_does_not_grow_with_the_population(tmp_path):
    # VmHWM is the peak of the process itself; ru_maxrss would carry the parent's over.
    code = """
import sys
from pathlib import Path
from ingestion.demo import write_demo
write_demo(Path(sys.argv[1]) / "landing", population=int(sys.argv[2]), until="2026-09",
           reference=Path("data/reference"), progress=lambda sentence: None)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    peak_mib = [
        int(subprocess.run([sys.executable, "-c", code, str(tmp_path / people), people], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout)
        for people in ("10000", "200000")
    ]  # fmt: skip
    # Twenty times the people: only the offers and a counter per day of birth may add a little.
    assert peak_mib[1] - peak_mib[0] < 24 and peak_mib[1] < 150


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"population": 999}, "Befolkningen er 999"),
        ({"population": 6_000_001}, "vælg et tal"),
        ({"months": 1}, "Antal måneder er 1"),
        ({"until": "2026-13"}, "åååå-mm"),
        ({"invoices": 100_001}, "Antal fakturaer er 100001"),
        ({"municipality": "411"}, "Kommunekode 411 findes ikke"),
        ({"finance": "excel"}, "Økonomisystemet excel kendes ikke; vælg opus, prisme, oes"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        _write(tmp_path, **wrong)
    assert not list(tmp_path.rglob("*.*"))
