"""A booking of 20,000 lines killed again and again: after every restart the ledger is whole and either has it or has not."""

import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter
from dataclasses import replace

import pytest
from postgres import POSTGRESQL, SQLITE, new_database
from sqlalchemy import create_engine, event, func, select, text
from sqlalchemy.orm import Session

from settlement.instance import open_instance
from settlement.ledger import heads
from settlement.ledger.booking import approve, book
from settlement.ledger.guards import OpenBooking
from settlement.ledger.models import (
    BookedBasis,
    BookedLine,
    Document,
    LedgerLine,
    NumberSeries,
    OutboxItem,
    Posting,
    Proposal,
    SettlementRun,
)
from settlement.ledger.register import open_register
from settlement.ledger.verify import verify

KILLS, INSIDE = 200, 100
MUNICIPALITIES = ("101", "147", "151", "153", "155", "157", "159", "161", "163", "165")
SERVICES = 1_850
WORLD = {
    "katalogydelser": [{"ydelseskode": "OPH", "navn": "Ophold", "enhed": "maaned", "moms_pct": "0"}],
    "takster": [{"ydelseskode": "OPH", "tilbud_id": "", "gyldig_fra": "2024-01-01", "gyldig_til": "", "pris": "80000,00"}],
    "tilbud": [{"tilbud_id": "T", "navn": "Huset", "ejerforhold": "egen"}],
    "borgere": [{"cpr": "6101011234", "navn": "Prøve Borger"}],
    "ydelsespakker": [
        {"pakke_id": code, "cpr": "6101011234", "betalingskommune": code, "afdeling": "SOC"} for code in MUNICIPALITIES
    ],
    "ydelser": [
        {"ydelse_id": f"Y{i}", "pakke_id": MUNICIPALITIES[i % len(MUNICIPALITIES)], "ydelseskode": "OPH", "tilbud_id": "T",
         "startdato": "2024-01-01"}
        for i in range(SERVICES)
    ],
}  # fmt: skip
COUNTED = (SettlementRun, Document, BookedBasis, BookedLine, LedgerLine, Posting, OutboxItem)


class Registers:
    """Copies of one instance's register and archived heads, as they stood before the booking."""

    def __init__(self, instance, request):
        self.instance, self.request = instance, request
        self.heads = heads.file_of(instance).read_bytes()
        self.file = instance.home / "register.sqlite"
        if self.file.exists():
            with create_engine(instance.register_url).connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def fresh(self):
        """The instance on a fresh copy; the archive's heads are set back."""
        heads.file_of(self.instance).write_bytes(self.heads)
        if self.file.exists():
            copy = self.file.with_name("killed.sqlite")
            for leftover in self.file.parent.glob("killed.sqlite*"):
                leftover.unlink()
            shutil.copyfile(self.file, copy)
            return replace(self.instance, register_url=f"sqlite:///{copy}")
        pristine = self.instance.register_url.split("/")[3].split("?")[0]
        server = self.request.getfixturevalue("postgres_server")
        return replace(self.instance, register_url=new_database(server, template=pristine))


def _book_and_tell(instance, proposal_id, pipe):
    """Books in a child that tells B when its transaction has begun, C when it sends the commit, and E at its end."""
    child = os.fork()
    if child:
        return child
    try:
        engine = open_register(instance)
        event.listen(Session, "after_begin", lambda *_: os.write(pipe, b"B"), once=True)
        event.listen(engine, "commit", lambda _: os.write(pipe, b"C"), once=True)
        book(instance, engine, proposal_id, "anna")
        os.write(pipe, b"E")
    finally:
        os._exit(0)


def _stopped(child, reading, writing, delay):
    """What the child told before it was killed `delay` seconds after its start; with E where it was at its end first."""
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(writing, b".")  # so that a child that told nothing leaves something to read
    return os.read(reading, 10)


def _await_rollback(engine):
    """PostgreSQL learns that its client is gone when it next turns to it; until then the transaction is open."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while engine.dialect.name == POSTGRESQL:
        with engine.connect() as connection:
            if connection.execute(text(others + " AND backend_type = 'client backend'")).scalar() == 0:
                return
        time.sleep(0.005)


def _counts(engine):
    with Session(engine) as session:
        counts = {m.__tablename__: session.scalar(select(func.count()).select_from(m)) for m in (*COUNTED, OpenBooking)}
        counts |= {f"{s.series}{s.year}": s.last for s in session.scalars(select(NumberSeries))}
    return counts


@pytest.mark.heavy
@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_a_killed_booking_is_whole_or_nothing(database, make_platform_on, request, capsys):
    platform = make_platform_on(database)
    platform.load(WORLD)
    platform.settle("mellemkommunal", "2024-01", "2024-02-05", book=True)
    platform.must("settle", "mellemkommunal", "--through", "2024-12", "--date", "2025-01-05", "--by", "anna")
    instance = open_instance(platform.home)
    engine = open_register(instance)
    with Session(engine) as session, session.begin():
        proposal = session.scalars(select(Proposal).order_by(Proposal.proposal_id.desc()).limit(1)).one()
        approve(session, proposal.proposal_id, proposal.hash, "bo")
        proposal_id, line_count = proposal.proposal_id, proposal.line_count
    assert line_count >= 20_000
    before = _counts(engine)
    engine.dispose()

    registers = Registers(instance, request)
    reading, writing = os.pipe()
    killed = registers.fresh()
    started = time.monotonic()
    child = _book_and_tell(killed, proposal_id, writing)
    os.waitpid(child, 0)
    duration = time.monotonic() - started
    assert os.read(reading, 10) == b"BCE"
    engine = open_register(killed)
    after = _counts(engine)
    engine.dispose()
    assert after["ledger_line"] - before["ledger_line"] == line_count
    assert after["document"] - before["document"] == len(MUNICIPALITIES) == after["F2025"]

    chance = random.Random(3)
    moments, cycles, survived, booked = Counter(), [], 0, True
    while moments.total() < KILLS:
        if booked:
            killed = registers.fresh()
        cycle = time.monotonic()
        said = _stopped(_book_and_tell(killed, proposal_id, writing), reading, writing, chance.uniform(0, 1.1 * duration))
        engine = open_register(killed)
        _await_rollback(engine)
        counts = _counts(engine)
        booked = counts["settlement_run"] == 2
        assert counts == (after if booked else before)
        assert booked or b"E" not in said
        assert not booked or b"C" in said
        assert verify(killed, engine) == []
        if booked:
            # Whoever comes after finds the run, and the archive gets the head that the killed process may have owed it.
            assert book(killed, engine, proposal_id, "anna").run_no == 2
            assert len(heads.kept(killed)) == 2 and verify(killed, engine) == [] and _counts(engine) == after
        engine.dispose()  # a child must not share a connection
        cycles.append(time.monotonic() - cycle)
        if b"E" not in said:
            survived += booked
            moments["before begin" if b"B" not in said else "inside" if b"C" not in said else "at or after commit"] += 1

    if not booked:
        engine = open_register(killed)
        assert book(killed, engine, proposal_id, "anna").run_no == 2
        assert verify(killed, engine) == [] and _counts(engine) == after
        engine.dispose()
    with capsys.disabled():
        print(
            f"\n{database}: {line_count} lines, a booking {duration:.2f} s; killed {moments.total()} times: {dict(moments)}; "
            f"{survived} had been committed; a cycle {statistics.median(cycles):.2f} s, all {sum(cycles):.0f} s"
        )
    assert moments["inside"] >= INSIDE
