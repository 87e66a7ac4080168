"""Matching, payment and return killed at any moment, on both databases: after every restart nothing is paid twice, nothing is
lost, and the files that go to the finance system are the same."""

import os
import random
import time
from collections import Counter
from decimal import Decimal

import pytest
from postgres import POSTGRESQL, SQLITE
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from test_crash import Registers, _await_rollback, _stopped
from test_invoices import FACTS, PAID_ON, House

from ingestion.warehouse import open_warehouse
from orchestration.pipeline import pay_invoices
from settlement.ledger import heads
from settlement.ledger.delivery import deliver
from settlement.ledger.models import Document, InvoicePayment, InvoiceReturn, OutboxItem, SettlementRun
from settlement.ledger.register import open_register
from settlement.ledger.verify import verify

MONTHS = {"2024-08": 31, "2024-09": 30, "2024-10": 31, "2024-11": 30, "2024-12": 31, "2025-01": 31}
KILLS = 60
TOTAL = sum(2 * days * 1000 for days in MONTHS.values())


def _house(platform):
    house = House(platform)
    platform.load(FACTS)
    assert FACTS["ydelser"][0]["startdato"] < "2024-08"
    house.receive([
        {"number": f"{who[0]}-{month}", "period": (f"{month}-01", f"{month}-{days}"), "lines": [
            {"item": "Døgnophold", "quantity": days, "price": "1000", "note": who}]}
        for month, days in MONTHS.items() for who in ("Anna Berg", "Bo Dal")
    ])  # fmt: skip
    wrong_lines = [{"item": "Døgnophold", "quantity": 33, "price": "1000", "note": "Bo Dal"}]
    (wrong,) = house.receive([{"number": "X", "lines": wrong_lines}])
    house.decide(wrong, "afvis", reason="Januar har 31 dage")
    return house


def _pay_and_deliver(instance):
    engine = open_register(instance)
    with open_warehouse(instance) as con:
        pay_invoices(con, instance, engine, booking_date=PAID_ON, user_name="anna")
    deliver(instance, engine)
    return engine


def _in_a_child(instance, pipe):
    """Pays and delivers in a child, that tells E at its end."""
    child = os.fork()
    if child:
        return child
    try:
        _pay_and_deliver(instance)
        os.write(pipe, b"E")
    finally:
        os._exit(0)


def _state(engine):
    """(invoice parts paid, kroner, vouchers, runs, files, rejections told of)"""
    with Session(engine) as session:
        parts, oere = session.execute(select(func.count(), func.sum(InvoicePayment.amount_oere))).one()
        counts = [session.scalar(select(func.count()).select_from(m)) for m in (Document, SettlementRun, OutboxItem, InvoiceReturn)]
    return parts, Decimal(int(oere or 0)) / 100, *counts


def _files(instance):
    files = (path for path in sorted(instance.outbox.rglob("*")) if path.is_file() and path.suffix != ".part")
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.heavy
@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_killed_at_any_moment(database, make_platform_on, request):
    house = _house(make_platform_on(database))
    heads.file_of(house.instance).touch()
    registers, told, rng = Registers(house.instance, request), Counter(), random.Random(5)
    reading, writing = os.pipe()
    begun = time.monotonic()
    whole = registers.fresh()
    _pay_and_deliver(whole)
    longest, wanted = time.monotonic() - begun, _files(whole)
    nothing, everything = (0, 0, 0, 0, 0, 0), (12, TOTAL, 12, 1, 2, 1)
    assert _state(open_register(whole)) == everything and len(wanted) == 2
    for _ in range(KILLS):
        for path in whole.outbox.rglob("*"):
            if path.is_file():
                path.unlink()
        instance = registers.fresh()
        said = _stopped(_in_a_child(instance, writing), reading, writing, rng.uniform(0, longest))
        engine = open_register(instance)
        _await_rollback(engine)
        found = _state(engine)
        assert found in (nothing, everything), found
        if found == everything and len(heads.kept(instance)) == 1:
            # What is not handed over yet waits; verify looks at what is.
            assert verify(instance, engine) == []
        told[(b"E" in said, found == everything, len(_files(instance)))] += 1
        engine = _pay_and_deliver(instance)
        assert _state(engine) == everything
        assert verify(instance, engine) == []
        assert _files(instance) == wanted
        engine.dispose()
    for (ended, paid, files), count in sorted(told.items()):
        print(f"{count:>4} {'ended' if ended else 'killed'}, {'paid' if paid else 'not paid'}, {files} files returned")
