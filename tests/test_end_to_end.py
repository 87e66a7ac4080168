"""The whole way on a demo municipality: from extracts to booked invoices and marts, equal to the øre everywhere."""

import csv
import shutil
import sqlite3
from collections import Counter
from datetime import date
from decimal import Decimal

import duckdb
import pytest
from driver import Platform
from lxml import etree

from settlement.documents.oioubl_rules import check

CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
pytest_plugins = ["demo_instance"]


@pytest.fixture(scope="module")
def booked_demo(demo_home, tmp_path_factory):
    """The demo with its mellemkommunal and intern months booked, its approved invoices paid, and the marts built again."""
    home = shutil.copytree(demo_home, tmp_path_factory.mktemp("booked") / "instance", symlinks=True)
    with pytest.MonkeyPatch.context() as environment:
        demo = Platform(home, environment)
        through = f"{_last_month(home):%Y-%m}"
        for process in ("mellemkommunal", "intern"):
            demo.must("settle", process, "--through", through, "--book", "--by", "anna", "--approved-by", "bo")
        demo.must("invoice", "pay", "--by", "anna")
        demo.must("run")
        demo.must("verify")
        yield demo


def _last_month(home) -> date:
    with duckdb.connect(str(home / "published" / "afregning.duckdb"), read_only=True) as marts:
        return marts.execute("SELECT horizon FROM marts.build").fetchone()[0]


def test_invoices_ledger_and_mart_are_equal_to_the_oere(booked_demo):
    home = booked_demo.home
    with sqlite3.connect(home / "register.sqlite") as register:
        ledger = dict(register.execute("SELECT document_number, sum(amount_oere) + sum(vat_oere) FROM ledger_line GROUP BY 1"))
        sent = dict(register.execute("SELECT document_number, path FROM outbox WHERE format = 'oioubl' AND status = 'leveret'"))
        unsent = {n for (n,) in register.execute("SELECT document_number FROM outbox WHERE status = 'mangler_adresse'")}
        kept = "SELECT number FROM document WHERE kind IN ('internbilag', 'fakturabetaling', 'leverandoerkreditnota')"
        vouchers = {n for (n,) in register.execute(kept)}
        credited = {n for (n,) in register.execute("SELECT number FROM document WHERE kind = 'kreditnota'")}
        failed = register.execute("SELECT last_error FROM outbox WHERE status = 'fejlet'").fetchall()
    assert failed == [] and len(sent) > 5
    assert set(ledger) == set(sent) | unsent | vouchers
    for number, path in sent.items():
        xml = (home / "outbox" / path).read_bytes()
        payable = int(Decimal(etree.fromstring(xml).findtext(f".//{CBC}PayableAmount")) * 100)
        assert (-payable if number in credited else payable) == ledger[number], number
        assert check(xml) == []
    parquet = home / "published" / "parquet" / "current" / "marts" / "settlement_line.parquet"
    marts = duckdb.sql(f"SELECT document_number, sum(amount_dkk + vat_dkk) FROM '{parquet}' GROUP BY 1").fetchall()
    assert {number: int(amount * 100) for number, amount in marts} == ledger
    with sqlite3.connect(home / "register.sqlite") as register:
        (paid,) = register.execute("SELECT sum(amount_oere) FROM ledger_line WHERE process = 'faktura'").fetchone()
    payments = duckdb.sql(f"SELECT sum(paid_dkk) FROM '{parquet.with_name('invoice_payment.parquet')}'").fetchone()
    assert paid and payments == (Decimal(paid) / 100,)  # both without VAT
    assert booked_demo.must("lines", "--out", booked_demo.files / "l.parquet")
    lines = duckdb.sql(f"SELECT bilag, sum(beloeb + moms) FROM '{booked_demo.files / 'l.parquet'}' GROUP BY 1").fetchall()
    assert {number: int(amount * 100) for number, amount in lines} == ledger


def test_settling_again_proposes_nothing(booked_demo):
    through = f"{_last_month(booked_demo.home):%Y-%m}"
    for process in ("mellemkommunal", "intern"):
        assert "intet nyt at afregne" in booked_demo.must("settle", process, "--through", through).lower()


def test_every_reason_to_park_is_there_with_its_sentence(booked_demo):
    with (booked_demo.files / "undtagelser.csv").open("w"):
        pass
    booked_demo.must("exceptions", "--out", booked_demo.files / "undtagelser.csv")
    with (booked_demo.files / "undtagelser.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter=";"))
    reasons = Counter(row["aarsag"] for row in rows if row["type"] == "parkeret")
    assert set(reasons) == {"mangler_takst", "mangler_betaler", "afventer_rettelse", "for_sent"}, reasons
    assert all(len(row["besked"]) > 40 for row in rows)


def test_explain_leads_to_file_row_and_people(booked_demo):
    with sqlite3.connect(booked_demo.home / "register.sqlite") as register:
        line, month, amount = register.execute(
            "SELECT service_line_id, delivery_month, amount_oere FROM ledger_line WHERE process = 'mellemkommunal' "
            "AND rate_source <> '' ORDER BY amount_oere DESC LIMIT 1"
        ).fetchone()
    told = booked_demo.must("explain", line, month[:7])
    assert f"{amount // 100},{amount % 100:02d} kr." in told
    assert "række" in told and "Bogført af anna, godkendt af bo" in told


def test_opus_file_balances(booked_demo):
    with sqlite3.connect(booked_demo.home / "register.sqlite") as register:
        paths = [path for (path,) in register.execute("SELECT path FROM outbox WHERE format = 'opus'")]
    assert paths
    for path in paths:
        with (booked_demo.home / "outbox" / path).open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter=";"))
        sums = Counter()
        for row in rows:
            sums[row["Debet/kredit"]] += Decimal(row["Beløb"].replace(",", "."))
        assert sums["Debet"] == sums["Kredit"] > 0
