"""The way back to the finance system: each layout read back by its own rules, golden files, and the receipts that come in.

Golden files lie in tests/golden. After a wanted change of a format, write them again with
`AFREGNING_GOLDEN=write pytest tests/test_invoice_return.py` and read the difference before committing it.
"""

import csv
import io
import os
import re
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.warehouse import open_warehouse
from orchestration.pipeline import ingest
from settlement.documents import prisme
from settlement.documents.invoice_posting import InvoicePosting, with_creditor
from settlement.documents.invoice_return import ReturnedInvoice, file_name, posted_in, render, returned_csv
from settlement.documents.opus import COLUMNS as OPUS_COLUMNS
from settlement.faults import InputFault, StateFault
from settlement.instance import FINANCE_SYSTEMS, create_folders, open_instance
from settlement.ledger.register import open_register

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "prisme"
DAY, CREDITOR, VAT = date(2026, 11, 2), "952590010010000", "952590010010001"
SENDER = {"municipality": "661", "machine_no": "482"}


def line(voucher: str, amount: int, month: int, number: str = "1", **changes) -> InvoicePosting:
    first = date(2026, month, 1)
    values = {
        "voucher": voucher, "supplier_cvr": "12345674", "invoice_number": "FA-2026/0815", "account": "538520010470000",
        "account_alias": "0013304009", "amount_oere": amount, "posting_date": DAY, "accounting_year": 2026, "line_number": number,
        "delivery_from": first, "delivery_to": first.replace(day=28), "text": "Botilbud, længerevarende",
    }  # fmt: skip
    return InvoicePosting(**(values | changes))


# One invoice over two months with VAT and a difference, one credit note, one from abroad with a name that would be a formula.
POSTINGS = with_creditor(
    [
        line("B2026-000012", 120_000_50, 9), line("B2026-000012", 30_000_13, 9, account=VAT, account_alias=""),
        line("B2026-000012", 80_000_00, 10, "2", approved_by="bo", difference="Pris som aftalt, ikke som faktureret"),
        line("B2026-000013", -1_250_50, 8, invoice_number="K&R 17", supplier_cvr="87654321"),
        line("B2026-000014", 7, 10, invoice_number="=1+1", supplier_cvr="DE129273398", text="Ophold & transport\nhjem"),
    ],
    CREDITOR,
)  # fmt: skip
RETURNED = [
    ReturnedInvoice("12345674", "FA-2026/0816", "forkert_pris", "Prisen er ikke den aftalte. Send en kreditnota og en ny faktura."),
    ReturnedInvoice("12345674", "=cmd|'x'", "dublet", "Fakturaen er modtaget før under samme nummer. Send ingen ny."),
]
GOLDEN_FILES = {
    **{
        f"invoice_return_{system}.{end}": lambda system=system: render(system, POSTINGS, **SENDER)
        for system, end in (("opus", "csv"), ("prisme", "g69"), ("oes", "csv"))
    },
    "invoice_return_prisme_z300.g69": lambda: render("prisme", POSTINGS, **SENDER, enveloped=True),
    "returned_invoices.csv": lambda: returned_csv(RETURNED),
}


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden(name):
    path, made = GOLDEN / name, GOLDEN_FILES[name]()
    if os.environ.get("AFREGNING_GOLDEN") == "write":
        path.write_bytes(made)
    assert made == path.read_bytes()


# --- Each layout read back by its own rules, without the platform's readers ------------------------------------------

Row = tuple  # voucher, account, month of delivery ('' for the creditor), side, øre


def read_csv(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8")
    assert text.count("\n") == text.count("\r\n") and not text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def oere(text: str) -> int:
    assert re.fullmatch("[0-9]+,[0-9]{2}", text)
    return int(text.replace(",", ""))


def read_opus(content: bytes) -> list[Row]:
    rows = read_csv(content)
    assert list(rows[0]) == list(OPUS_COLUMNS)
    assert not any(row[column] for row in rows for column in OPUS_COLUMNS if "modtager" in column)
    return [
        (row["Referencenøgle"], row["Artskonto"] or row["Ordre"], "-".join(row["Ydelsesperiode fra"].split(".")[:0:-1]),
         row["Debet/kredit"][0], oere(row["Beløb"]))
        for row in rows
    ]  # fmt: skip


def read_oes(content: bytes) -> list[Row]:
    return [(r["Bilag"], r["Konto"], r["Leveret fra"][:7], r["Debet/kredit"][0], oere(r["Beløb"])) for r in read_csv(content)]


def g69_lines(content: bytes) -> list[dict[str, str]]:
    """The fields of each posting under their numbers, and the head under «head»; holds them to the rules of § 3.1."""
    text = content.decode("utf-8")
    assert text.endswith("\r\n")
    found, dispatched = [], 0
    per_day: Counter = Counter()
    for number, each in enumerate(text.split("\r\n")[:-1], 1):
        head, *parts = each.split("&")
        assert re.fullmatch(rf"[0-9]{{3}}G69{number:05d}[0-9]{{4}}01NORFLYD", head)
        numbers = [int(part[:3]) for part in parts]
        assert numbers == sorted(set(numbers)) and {103, 104, 110, 111, 112, 113} <= set(numbers)
        field = {part[:3]: part[3:] for part in parts}
        widths = {"103": 5, "104": 7, "110": 8, "112": 13, "113": 1, "114": 4, "118": 8, "130": 2, "131": 10}
        assert all(len(field[n]) == width for n, width in widths.items() if n in field)
        assert len(field["111"]) in (10, 15) and field["111"].isdigit()
        most = {"116": 255, "153": 35, "202": 200, "250": 20}
        assert all(0 < len(field[n]) <= width for n, width in most.items() if n in field)
        assert int(field["104"]) >= dispatched
        dispatched = int(field["104"])
        per_day[field["103"], field["110"]] += int(field["112"][:12]) * {"D": 1, "K": -1}[field["113"]]
        found.append({"head": head, **field})
    assert set(per_day.values()) == {0}
    return found


def read_prisme(content: bytes) -> list[Row]:
    return [
        (f["250"], f["111"], f"{f['118'][:4]}-{f['118'][4:6]}" if "118" in f else "", f["113"], int(f["112"]))
        for f in g69_lines(content)
    ]


READERS = {"opus": read_opus, "prisme": read_prisme, "oes": read_oes}


def told(posting: InvoicePosting, system: str) -> Row:
    account = posting.account if system == "opus" else posting.account_alias or posting.account
    if system == "prisme":
        account = account.zfill(10 if len(account) <= 10 else 15)
    month = f"{posting.delivery_from:%Y-%m}" if posting.delivery_from else ""
    return posting.voucher, account, month, posting.side[0], abs(posting.amount_oere)


@st.composite
def runs(draw):
    """A run's postings: vouchers of some lines over several months, with VAT and corrections, and their creditor."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)
    found = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        head = {
            "invoice_number": draw(text), "supplier_cvr": draw(st.sampled_from(["12345674", "87654321", "DE129273398"])),
            "approved_by": draw(st.sampled_from(["automatisk", "bo"])),
        }  # fmt: skip
        for at in range(draw(st.integers(1, 5))):
            amount = draw(st.integers(-(10**9), 10**9).filter(bool))
            account = draw(st.sampled_from(["12345678", "1234567890", "538520010470000", VAT]))
            found.append(line(
                f"B2026-{number:06d}", amount, draw(st.integers(1, 12)), str(at + 1), account=account, account_alias="",
                text=draw(text), difference=draw(text), **head,
            ))  # fmt: skip
    return with_creditor(found, CREDITOR)


@pytest.mark.parametrize("system", FINANCE_SYSTEMS)
@settings(max_examples=60, deadline=None)
@given(postings=runs(), order=st.randoms(use_true_random=False))
def test_read_back_every_layout_holds_what_was_posted(system, postings, order):
    content = render(system, postings, **SENDER)
    assert Counter(READERS[system](content)) == Counter(told(posting, system) for posting in postings)
    sums = posted_in(system, content)
    assert sums["debet"][1] == sums["kredit"][1] and sums == {
        side: (len(found), sum(found))
        for side, sign in (("debet", 1), ("kredit", -1))
        for found in [[abs(x.amount_oere) for x in postings if x.amount_oere * sign > 0]]
    }
    shuffled = list(postings)
    order.shuffle(shuffled)
    assert render(system, shuffled, **SENDER) == content


def test_accrual_and_cash_stand_side_by_side():
    fields = g69_lines(render("prisme", POSTINGS, **SENDER))
    assert {(f["110"], f["114"]) for f in fields} == {("20261102", "2026")}
    assert [f.get("118") for f in fields] == ["20260930", "20260930", "20261031", None, "20260831", None, "20261031", None]
    rows = read_csv(render("oes", POSTINGS, **SENDER))
    assert {(r["Posteringsdato"], r["Regnskabsår"]) for r in rows} == {("2026-11-02", "2026")}
    assert (rows[0]["Leveret fra"], rows[0]["Leveret til"], rows[3]["Leveret fra"]) == ("2026-09-01", "2026-09-28", "")
    opus = read_csv(render("opus", POSTINGS, **SENDER))
    assert (opus[0]["Ydelsesperiode fra"], opus[0]["Ydelsesperiode til"]) == ("01.09.2026", "28.09.2026")
    assert file_name("opus", 12, DAY) == "koersel-12-fakturabetaling-2026-11-02.csv"
    # December's delivery posted in January belongs to the year that it is given.
    late = with_creditor([line("B2027-000001", 100, 12, posting_date=date(2027, 1, 8), accounting_year=2026)], CREDITOR)
    assert {(f["110"], f["114"], f.get("118")) for f in g69_lines(render("prisme", late, **SENDER))} == {
        ("20270108", "2026", "20261231"), ("20270108", "2026", None),
    }  # fmt: skip


def test_texts_keep_to_their_fields_and_say_the_supplier_and_the_difference():
    fields = g69_lines(render("prisme", POSTINGS, **SENDER))
    assert (fields[0]["116"], fields[0]["131"], fields[0]["250"]) == ("FA-2026/0815", "0012345674", "B2026-000012")
    assert fields[2]["202"] == "Godkendt af bo. Pris som aftalt, ikke som faktureret"
    assert fields[4]["116"] == "K+R 17" and "130" not in fields[6] and fields[6]["153"] == "Ophold + transport hjem"
    opus = read_csv(render("opus", POSTINGS, **SENDER))
    assert opus[0]["Tekst"] == "FA-2026/0815 12345674 Botilbud, længerevarende"
    assert opus[2]["Tekst"] == "FA-2026/0815 12345674 Pris som aftalt, ikke som fa"
    assert opus[6]["Tekst"].startswith("1+1 DE129273398")
    oes = read_csv(render("oes", POSTINGS, **SENDER))
    assert (oes[2]["Godkendt af"], oes[2]["Afvigelse"]) == ("bo", "Pris som aftalt, ikke som faktureret")
    assert oes[6]["Fakturanummer"] == "1+1" and oes[4]["Fakturanummer"] == "K&R 17"


def test_g69_agrees_with_the_public_samples():
    if not SAMPLES.exists():
        pytest.skip("the samples are not here")
    for sample in g69_lines((SAMPLES / "g69_from_tenq_tests.txt").read_bytes()):
        assert len(sample["head"]) == 24
    enveloped = (SAMPLES / "z300_g69_g68_synthetic_os2bos_layout.txt").read_text(encoding="utf-8").splitlines()
    postings = with_creditor(
        [line("B2026-000001", 1_250_00, 10, posting_date=date(2026, 11, 1), account_alias="5282010030")], CREDITOR
    )
    made = render("prisme", postings, municipality="151", machine_no="482", enveloped=True).decode().split("\r\n")
    assert made[0] == enveloped[0] and re.fullmatch("SLUTD[0-9]{5}", enveloped[-1]) and made[-2] == "SLUTD00002"
    assert int(enveloped[-1][5:]) == len(enveloped) - 2
    # Up to the accounting year the line is the sample's own.
    assert made[1].partition("&116")[0] == enveloped[1].partition("&117")[0]


@pytest.mark.parametrize("system", FINANCE_SYSTEMS)
def test_what_does_not_balance_is_refused(system):
    for broken, said in (
        ([], "ingen posteringer"),
        (POSTINGS[:-1], "Bilag B2026-000014 stemmer ikke: debet er 0,07 kr. fra kredit"),
        ([*POSTINGS[:-1], replace(POSTINGS[-1], invoice_number="en anden")], "flere posteringsdatoer, regnskabsår eller fakturaer"),
    ):
        with pytest.raises(InputFault, match=said):
            render(system, broken, **SENDER)


def test_what_one_system_cannot_take_is_refused():
    later = [replace(p, posting_date=DAY + timedelta(1)) if p.voucher == "B2026-000014" else p for p in POSTINGS]
    with pytest.raises(InputFault, match="2 posteringsdatoer"):
        render("opus", later, **SENDER)
    assert render("oes", later, **SENDER) and render("prisme", later, **SENDER)
    with pytest.raises(InputFault, match="maskinnummer"):
        render("prisme", POSTINGS, municipality="661")
    long = with_creditor([line("B2026-000001", 5, 10, account="5385200104700001", account_alias="")], CREDITOR)
    with pytest.raises(InputFault, match="konto 5385200104700001 er ikke på højst 15 cifre"):
        render("prisme", long, **SENDER)
    series = [replace(p, voucher=p.voucher.replace("B2026", "C2026")) for p in POSTINGS]
    with pytest.raises(InputFault, match="stigende løbenumre"):
        render("prisme", [*POSTINGS, *series], **SENDER)
    with pytest.raises(InputFault, match="løbenummer"):
        render("prisme", [replace(p, voucher="B") for p in long], **SENDER)


def test_a_file_that_prisme_cannot_number_is_divided_between_vouchers(monkeypatch):
    monkeypatch.setattr(prisme, "MOST_LINES", 4)
    with pytest.raises(InputFault, match="højst har 4"):
        render("prisme", POSTINGS, **SENDER)
    found = prisme.parts(POSTINGS)
    assert [sorted({p.voucher for p in part}) for part in found] == [["B2026-000012"], ["B2026-000013", "B2026-000014"]]
    assert Counter(p for part in found for p in part) == Counter(POSTINGS)
    assert all(g69_lines(render("prisme", part, **SENDER)) for part in found)


@pytest.mark.parametrize("changes, said", [
    ({"account": "53-85"}, "ikke cifre"), ({"amount_oere": 0}, "0 øre"), ({"delivery_to": date(2026, 10, 1)}, "én måned"),
    ({"delivery_from": None}, "følges ikke ad"), ({"line_number": ""}, "følges ikke ad"),
    ({"delivery_to": date(2026, 8, 31)}, "én måned"),
])  # fmt: skip
def test_a_posting_that_does_not_hold_together_is_refused(changes, said):
    with pytest.raises(InputFault, match=f"Bilag B2026-000012: .*{said}"):
        replace(line("B2026-000012", 100, 9), **changes)


def test_returned_invoices_say_what_the_sender_can_do():
    rows = read_csv(returned_csv(RETURNED[::-1]))
    assert returned_csv(RETURNED[::-1]) == returned_csv(RETURNED)
    assert [row["Årsagskode"] for row in rows] == ["dublet", "forkert_pris"]
    assert rows[0]["Fakturanummer"] == "'=cmd|'x'" and rows[1]["Årsag"].endswith("Send en kreditnota og en ny faktura.")
    with pytest.raises(InputFault, match="mangler Årsag:"):
        replace(RETURNED[0], reason=" ")


# --- Settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written, said", [
    ('oekonomisystem = "navision"', "navision"), ('oekonomisystem = "prisme"', "maskinnr"),
    ('oekonomisystem = "prisme"\nmaskinnr = "123456"', "123456"), ("z300 = 1", "z300"), ("ukendt = 1", "ukendt"),
    ("maskinnr = 482", "maskinnr"),
])  # fmt: skip
def test_settings_that_cannot_be_used_are_told(tmp_path, written, said):
    home = create_folders(tmp_path / "instance", "661").home
    _write_settings(home, written)
    with pytest.raises(StateFault, match=said):
        open_instance(home)


def test_settings_name_the_system(tmp_path):
    instance = create_folders(tmp_path / "instance", "661")
    assert instance.invoices.finance_system == "opus"
    _write_settings(instance.home, 'oekonomisystem = "prisme"\nmaskinnr = "00482"\nz300 = true')
    chosen = open_instance(instance.home).invoices
    sender = {"municipality": instance.municipality, "machine_no": chosen.machine_no, "enveloped": chosen.enveloped}
    made = render(chosen.finance_system, POSTINGS, **sender)
    assert made == (GOLDEN / "invoice_return_prisme_z300.g69").read_bytes()


def _write_settings(home, written: str) -> None:
    path = home / "settings.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[fakturabetaling]\n", f"[fakturabetaling]\n{written}\n"), encoding="utf-8")


# --- Receipts --------------------------------------------------------------------------------------------------------

OPUS_HEAD = "Kvitteringsnr.;Referencenøgle;Status;Bilagsnummer;Bogføringsdato;Beløb;Meddelelse"
RECEIPTS = {
    "opus": ("utf-8-sig", [
        OPUS_HEAD, "1;B2026-000012;Bogført;4900001;03-11-2026;230000,63;", "2;B2026-000013;Bogført;4900002;03-11-2026;-1250,50;",
        "3;B2026-000014;Afvist;;;0,07;Kontoen er spærret", "4;B1999-000001;Bogført;4900003;03-11-2026;1,00;",
        "5;B2026-000014;Måske;;;;",
    ]),
    "prisme": ("cp1252", [
        "Kvitteringsnr;EksternReference;Svar;Voucher;TransDate;Beloeb;Fejltekst",
        "1;B2026-000012;OK;4900001;20261103;000023000063;", "2;B2026-000013;OK;4900002;20261103;000000125050-;",
        "3;B2026-000014;FEJL;;;000000000007;Kontoen er spærret", "4;B1999-000001;OK;4900003;20261103;000000000100;",
        "5;B2026-000014;MÅSKE;;;;",
    ]),
    "oes": ("utf-8", [
        "Kvittering,Jeres bilag,Resultat,Bilag,Posteringsdato,Beløb,Årsag",
        '1,B2026-000012,Bogført,4900001,2026-11-03,"230,000.63",', '2,B2026-000013,Bogført,4900002,2026-11-03,"-1,250.50",',
        "3,B2026-000014,Afvist,,,0.07,Kontoen er spærret", "4,B1999-000001,Bogført,4900003,2026-11-03,1.00,",
        "5,B2026-000014,Måske,,,,",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("system", RECEIPTS)
def test_receipts_are_taken_in_from_landing_in_every_layout(system, tmp_path):
    """What answers a voucher that nobody sent is kept, for it is a finding; what cannot be read is refused with its row."""
    instance = create_folders(tmp_path / "instance", "661")
    encoding, lines = RECEIPTS[system]
    _deliver(instance, system, "2026-11-04", encoding, lines)
    with open_warehouse(instance) as con:
        (_, reports), = [done for done in _ingest(con, instance) if done[1]]
        assert [(r.fault, r.rows_read, r.rows_accepted, r.rows_quarantined) for r in reports] == [("", 5, 4, 1)]
        assert _receipts(con) == [
            (f"{system.upper()}-1", "B2026-000012", "bogfoert", "4900001", date(2026, 11, 3), 230_000_63, None),
            (f"{system.upper()}-2", "B2026-000013", "bogfoert", "4900002", date(2026, 11, 3), -1_250_50, None),
            (f"{system.upper()}-3", "B2026-000014", "afvist", None, None, 7, "Kontoen er spærret"),
            (f"{system.upper()}-4", "B1999-000001", "bogfoert", "4900003", date(2026, 11, 3), 1_00, None),
        ]
        refused = con.execute("SELECT loader_file, reason, column_name FROM quarantine.refused").fetchall()
        assert refused == [("betalingskvitteringer", "ugyldig_vaerdi", "status")]
        # The same answers again are the same answers; a new one joins them.
        _deliver(instance, system, "2026-11-05", encoding, [*lines[:3], lines[3].replace("3", "6", 1)])
        _ingest(con, instance)
        assert [row[0] for row in _receipts(con)] == [f"{system.upper()}-{n}" for n in (1, 2, 3, 4, 6)]


def test_a_receipt_that_lacks_what_its_status_says_is_a_finding(tmp_path):
    instance = create_folders(tmp_path / "instance", "661")
    _deliver(instance, "opus", "2026-11-04", "utf-8-sig", [
        OPUS_HEAD, "1;B2026-000012;Bogført;;03-11-2026;1,00;", "2;B2026-000013;Afvist;;;1,00;",
        "3;B2026-000014;Afvist;;;1,00;Spærret",
    ])  # fmt: skip
    with open_warehouse(instance) as con:
        (_, (report,)), = [done for done in _ingest(con, instance) if done[1]]
        assert (report.rows_accepted, report.rows_warned) == (3, 2)


def test_the_alias_of_an_account_is_kept_from_prismes_chart(tmp_path):
    instance = create_folders(tmp_path / "instance", "661")
    path = instance.landing / "prisme" / "prisme_kontoplan_2026-11-04.csv"
    path.parent.mkdir(parents=True)
    path.write_text(
        "AccountNum;Funktion;Dranst;Ejerforhold;Sted;Gruppering;Art;AccountName;Dimension1\n"
        "0013304009;53852;0;0;1047;000;40;Botilbud;VO\n", encoding="cp1252",
    )  # fmt: skip
    with open_warehouse(instance) as con:
        _ingest(con, instance)
        assert con.execute("SELECT account, alias FROM canonical.account").fetchall() == [("5385200104700040", "0013304009")]


def _deliver(instance, system: str, day: str, encoding: str, lines: list[str]) -> None:
    path = instance.landing / system / f"{system}_kvitteringer_{day}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


def _ingest(con, instance):
    return ingest(con, instance, open_register(instance), lambda sentence: None, through=date(2026, 11, 1))


def _receipts(con):
    return con.execute("""
        SELECT receipt_id, voucher, status, finance_voucher, posting_date, amount_oere, reason FROM canonical.payment_receipt
        WHERE NOT withdrawn ORDER BY receipt_id""").fetchall()
