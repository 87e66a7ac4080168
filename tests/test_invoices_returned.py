"""What goes back to the finance system of a payment run: the rejected invoices, also where nothing is paid, and the postings in
as many files as the system takes them in."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from test_invoices import FACTS, ONE, House, house, use_prisme  # noqa: F401

from settlement.documents import prisme
from settlement.ledger.delivery import deliver, render
from settlement.ledger.models import Document, InvoiceReturn, LedgerLine, OutboxItem, Posting, SettlementRun
from settlement.ledger.register import open_register, writing
from settlement.ledger.verify import verify

WRONG = {"number": "7", "lines": [{"item": "Døgnophold", "quantity": 33, "price": "1000", "note": "Bo Dal"}]}
MONTHS = {"2024-11": 30, "2024-12": 31, "2025-01": 31}


def right(number, month="2025-01", who="Anna Berg"):
    days = MONTHS[month]
    return {"number": number, "period": (f"{month}-01", f"{month}-{days}"), "lines": [
        {"item": "Døgnophold", "quantity": days, "price": "1000", "note": who}]}  # fmt: skip


def rows_back(house, run):  # noqa: F811
    """What the run's list of rejected invoices says, and that it says it again, byte for byte."""
    engine = open_register(house.instance)
    with Session(engine) as session:
        item = session.scalars(
            select(OutboxItem).where(OutboxItem.run_no == run.run_no, OutboxItem.format == "afviste_fakturaer")
        ).one()
        content = (house.instance.outbox / item.path).read_bytes()
        assert render(house.instance, session, item) == content
    return content.decode("utf-8").splitlines()[1:]


def test_rejections_leave_by_themselves_once_and_the_ledger_is_whole(either_platform):
    house = House(either_platform)  # noqa: F811
    house.platform.load(FACTS)
    engine = open_register(house.instance)
    (before,) = house.receive([right("1", "2024-11")])
    assert house.pay() and house.paid(before) == {"Y1": Decimal("30000.00")}
    wrong, other = house.receive([WRONG, WRONG | {"number": "8", "period": ("2024-12-01", "2024-12-31")}], day="2025-03-01")
    assert house.pay() is None
    house.decide(wrong, "afvis", reason="Januar har 31 dage")
    run = house.pay()
    house.decide(other, "afvis", reason="December har 31 dage")
    with Session(engine) as session:
        for of_run in (Document, LedgerLine, Posting):
            assert session.scalar(select(func.count()).select_from(of_run).where(of_run.run_no == run.run_no)) == 0
    assert (run.amount_oere, run.vat_oere, run.through) == (0, 0, date(2025, 3, 1))
    deliver(house.instance, engine)
    assert [path.name for path in (house.instance.outbox / str(run.run_no)).iterdir()] == ["koersel-2-afviste-fakturaer.csv"]
    assert rows_back(house, run) == ["30000001;1;afvist;Januar har 31 dage"]
    assert "alle ens med de bogførte" in house.platform.must("reproduce", run.run_no)
    # What is paid after it is numbered on, and tells of what was rejected since.
    (paid,) = house.receive([right("2", "2024-12")], day="2025-03-02")
    after = house.pay()
    assert deliver(house.instance, engine) == Counter({"leveret": 5})
    assert rows_back(house, after) == ["30000001;1;afvist;December har 31 dage"]
    assert house.paid(paid) == {"Y1": Decimal("31000.00")} and house.pay() is None
    with Session(engine) as session:
        assert session.scalars(select(LedgerLine.line_number).order_by(LedgerLine.line_number)).all() == [1, 2]
        assert session.scalars(select(SettlementRun.run_no).order_by(SettlementRun.run_no)).all() == [1, 2, 3]
    assert verify(house.instance, engine) == []


def test_the_command_says_what_went_back(house):  # noqa: F811
    (wrong,) = house.receive([WRONG])
    assert house.platform.must("invoice", "pay", "--by", "anna") == "Ingen fakturaer er klar til betaling.\n"
    house.decide(wrong, "afvis", reason="Januar har 31 dage")
    told = json.loads(house.platform.must("invoice", "pay", "--by", "anna", "--json"))
    assert (told["run"], told["vouchers"], told["returned"]) == (1, 0, 1)
    assert told["told"] == "Kørsel 1: Ingen fakturaer er klar til betaling. Afviste, der er sendt tilbage: 1."


def test_what_comes_of_a_rejection_after_the_run_changes_no_file(house):  # noqa: F811
    kept, withdrawn, superseded = house.receive([WRONG | {"number": str(n), "issued": f"2025-02-1{n}"} for n in (1, 2, 3)])
    house.decide(kept, "afvis", reason="Den første")
    early = house.decide(withdrawn, "afvis", reason="Den anden")
    house.decide(superseded, "afvis", reason="Den tredje")
    house.decide(superseded, "godkend", reason="Alligevel")
    house.withdraw(early)
    late = house.decide(withdrawn, "afvis", reason="Den anden igen")
    run = house.pay()
    deliver(house.instance, open_register(house.instance))
    told = ["30000001;1;afvist;Den anden igen", "30000001;1;afvist;Den første"]
    assert rows_back(house, run) == told
    house.withdraw(late)
    assert rows_back(house, run) == told and house.pay() is None


def test_a_register_of_before_knows_what_has_gone_back(house):  # noqa: F811
    early, withdrawn, late = house.receive([WRONG | {"number": str(n), "issued": f"2025-02-1{n}"} for n in (1, 2, 3)])
    house.decide(early, "afvis", reason="Den første")
    house.withdraw(house.decide(withdrawn, "afvis", reason="Den anden"))
    run = house.pay()
    house.decide(late, "afvis", reason="Den tredje")
    engine = open_register(house.instance)
    with writing(engine) as session:
        told = session.execute(select(InvoiceReturn.decision_id, InvoiceReturn.run_no)).all()
        assert told == [(1, run.run_no)]
        # The register as it was: no such table, and a second between the decisions and the run.
        session.execute(text("DROP TABLE invoice_return"))
        session.execute(text("DROP TRIGGER invoice_decision_no_update"))
        session.execute(text("DROP TRIGGER outbox_no_delete"))
        moved = "UPDATE invoice_decision SET decided_at = (SELECT datetime(booked_at, :by) FROM settlement_run)"
        session.execute(text(f"{moved} WHERE decision_id < 4"), {"by": "-2 seconds"})
        session.execute(text(f"{moved} WHERE decision_id = 4"), {"by": "2 seconds"})
        session.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    engine.dispose()
    with Session(open_register(house.instance)) as session:
        assert session.execute(select(InvoiceReturn.decision_id, InvoiceReturn.run_no)).all() == told


@pytest.fixture
def prisme_house(house):  # noqa: F811
    use_prisme(house)
    house.receive([right(str(n), month) for n, month in enumerate(MONTHS, 1)])
    return house


def test_what_one_file_cannot_number_goes_in_several(prisme_house, monkeypatch):
    monkeypatch.setattr(prisme, "MOST_LINES", 4)
    run = prisme_house.pay()
    engine = open_register(prisme_house.instance)
    assert deliver(prisme_house.instance, engine) == Counter({"leveret": 3})
    files = sorted((prisme_house.instance.outbox / str(run.run_no)).glob("*.g69"))
    assert [path.name for path in files] == [f"koersel-1-fakturabetaling-2025-03-05-del{n}.g69" for n in (1, 2)]
    found = [prisme.posted_in(path.read_bytes()) for path in files]
    assert found == [
        {"debet": (2, 61_000_00), "kredit": (2, 61_000_00)}, {"debet": (1, 31_000_00), "kredit": (1, 31_000_00)},
    ]  # fmt: skip
    lines = [line[:6] + line[6:11] for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == [f"000G69{n:05d}" for n in (1, 2, 3, 4, 1, 2)]
    assert sum(kroner for total in found for _, kroner in [total["debet"]]) == run.amount_oere
    assert verify(prisme_house.instance, engine) == []


def test_a_part_that_the_outbox_lacks_is_missed(prisme_house, monkeypatch):
    monkeypatch.setattr(prisme, "MOST_LINES", 4)
    prisme_house.pay()
    monkeypatch.setattr(prisme, "MOST_LINES", 2)  # three files are needed now, and the outbox has two
    engine = open_register(prisme_house.instance)
    assert deliver(prisme_house.instance, engine) == Counter({"fejlet": 2, "leveret": 1})
    with Session(engine) as session:
        faults = session.scalars(select(OutboxItem.last_error).where(OutboxItem.format.startswith("fakturabetaling"))).all()
    assert all("kørslens filer i udbakken har 4 af dens 6 posteringer" in fault for fault in faults) and len(faults) == 2


def test_one_invoice_is_one_file_of_the_old_name(house):  # noqa: F811
    house.receive([ONE | {"lines": [ONE["lines"][0] | {"note": "Bo Dal"}]}])
    house.pay()
    with Session(open_register(house.instance)) as session:
        names = session.scalars(select(OutboxItem.outbox_id).order_by(OutboxItem.outbox_id)).all()
    assert names == ["1/koersel-1-afviste-fakturaer.csv", "1/koersel-1-fakturabetaling-2025-03-05.csv"]
