"""Attacks by plain SQL on a booked ledger, on both databases: the triggers refuse, and without them `verify` tells."""

import pytest
from postgres import POSTGRESQL
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from test_ledger import WORLD

from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import hashing, heads
from settlement.ledger.guards import missing_guards
from settlement.ledger.models import (
    AccessLog,
    BookedBasis,
    BookedLine,
    Decision,
    Document,
    LedgerLine,
    ParkedLine,
    Posting,
    Release,
    SettlementRun,
)
from settlement.ledger.register import now, open_register
from settlement.ledger.verify import verify

BOOKED = ("settlement_run", "document", "booked_basis", "booked_line", "posting", "number_series")
ADDED_TO = (
    "proposal", "proposal_party", "parked_line", "approval", "decision", "access_log", "gate_verdict", "release",
)  # fmt: skip


def with_two_runs(platform):
    platform.load(WORLD)
    platform.settle("mellemkommunal", "2025-01", "2025-02-05", book=True)
    platform.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)


@pytest.fixture
def archived(make_platform):
    """(instance, its engine) of two booked runs, for what is the same on both databases."""
    instance = open_instance(make_platform(with_two_runs).home)
    engine = open_register(instance)
    yield instance, engine
    engine.dispose()


@pytest.fixture
def attacked(either_database, make_platform_on):
    """(instance, its engine, the attacker's engine) of two booked runs; the attacker's has none of the house's settings."""
    instance = open_instance(make_platform_on(either_database, with_two_runs).home)
    engine = open_register(instance)
    with Session(engine) as session, session.begin():
        session.add(AccessLog(at=now(), user_name="anna", action="vis", cpr="", purpose="prøve"))
        session.add(Decision(kind="hold", service_line_id="A", reason="prøve", decided_by="anna", decided_at=now()))
        session.add(Release(proposal_hash="x", kind="masseaendring", reason="prøve", released_by="anna", released_at=now()))
        month = session.scalars(select(LedgerLine.delivery_month).limit(1)).one()
        session.add(ParkedLine(proposal_id=1, service_line_id="A", delivery_month=month, counterparty="", reason="prøve"))
    assert verify(instance, engine) == []
    attacker = create_engine(instance.register_url)
    yield instance, engine, attacker
    attacker.dispose()
    engine.dispose()


def _accepted(attacker, statement):
    """Whether the database took the statement; only a trigger's refusal counts as one."""
    with attacker.connect() as connection:
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as refusal:
            return "are never" not in str(refusal.orig)
        return True


def test_triggers_refuse_every_change_of_every_kept_table(attacked):
    _, _, attacker = attacked
    statements = []
    for table in (*BOOKED, *ADDED_TO):
        with attacker.connect() as connection:
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar(), f"{table} has no row to attack"
        column = inspect(attacker).get_columns(table)[0]["name"]
        statements += [f'UPDATE {table} SET "{column}" = "{column}"', f"DELETE FROM {table}"]
        if attacker.dialect.name == POSTGRESQL:
            statements += [f"TRUNCATE {table} CASCADE"]
        else:
            statements += [
                f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
                f"UPDATE OR REPLACE {table} SET {column} = {column}",
            ]
    statements += [f"INSERT INTO {table} SELECT * FROM {table}" for table in BOOKED]
    assert [statement for statement in statements if _accepted(attacker, statement)] == []


def test_every_guard_is_known_and_missed(attacked):
    """`verify` looks for each trigger there is, and tells of those that are away."""
    _, engine, attacker = attacked
    with Session(engine) as session:
        assert missing_guards(session) == []
    away = []
    for name, table in _triggers(attacker).items():
        with attacker.begin() as connection:
            connection.exec_driver_sql(f"DROP TRIGGER {name}" + (f" ON {table}" if attacker.dialect.name == POSTGRESQL else ""))
        away.append(name)
        with Session(engine) as session:
            assert missing_guards(session) == sorted(away)


def test_the_heads_are_missed_and_nothing_is_booked_without_them(archived):
    instance, engine = archived
    path = heads.file_of(instance)
    kept = path.read_bytes()
    for content, sentence in {
        b"": "Arkivet kender 0 af registerets 2 kørsler",
        b"no json\n": "kan ikke læses: den er ændret",
        kept.replace(b'"hash": "', b'"hash": "0'): "registerets hash er ikke den, arkivet gemte",
        kept + kept.splitlines(keepends=True)[1]: "kæden er afkortet",
    }.items():
        path.write_bytes(content)
        assert [found for found in verify(instance, engine) if sentence in found], sentence
        with Session(engine) as session, pytest.raises(StateFault, match=sentence):
            heads.complete(instance, session)
        assert path.read_bytes() == content
    path.write_bytes(kept.splitlines(keepends=True)[0])  # what a booking stopped after its commit leaves
    assert verify(instance, engine) == []
    with Session(engine) as session:
        heads.complete(instance, session)
    assert path.read_bytes() == kept


def test_the_archive_is_missed(archived):
    """Every file that a run names, gone or another."""
    instance, engine = archived
    for number, path in enumerate(p for folder in ("inputs", "proposals") for p in sorted((instance.archive / folder).iterdir())):
        content = path.read_bytes()
        path.write_bytes(b"andet")
        if number % 2:
            path.unlink()
        broken = verify(instance, engine)
        assert broken and all("mangler eller er ændret" in found for found in broken), path
        path.write_bytes(content)
    assert verify(instance, engine) == []


def test_a_new_row_is_refused_outside_a_booking(attacked):
    """A row that breaks no key: nothing but the open booking tells it from a booked one."""
    _, _, attacker = attacked
    row = "INSERT INTO posting (posting_id, document_number, account, side, amount_oere) VALUES (9999, '{}', '1', 'debet', 1)"
    with attacker.connect() as connection:
        number = connection.exec_driver_sql("SELECT min(number) FROM document").scalar()
    assert not _accepted(attacker, row.format(number))
    assert not _accepted(attacker, "INSERT INTO number_series (series, year, last) VALUES ('F', 1999, 7)")


def _triggers(attacker):
    """Trigger → its table."""
    if attacker.dialect.name == POSTGRESQL:
        found = "SELECT tgname, relname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal"
    else:
        found = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    with attacker.connect() as connection:
        return dict(connection.exec_driver_sql(found).all())


def _drop_triggers(attacker):
    """Away with them all; `verify` says so, which is not what these tests are about."""
    with attacker.begin() as connection:
        for name, table in _triggers(attacker).items():
            connection.exec_driver_sql(f"DROP TRIGGER {name}" + (f" ON {table}" if attacker.dialect.name == POSTGRESQL else ""))


def _beside_guards(broken):
    away = [found for found in broken if found.endswith("er slået fra; det første er access_log_no_delete.")]
    assert len(away) == 1, broken
    return [found for found in broken if found not in away]


OF_LINE_1 = "basis_no = (SELECT basis_no FROM booked_line WHERE line_number = 1)"
CHANGED_ROWS = {
    "UPDATE booked_line SET amount_oere = amount_oere + 1 WHERE line_number = 2": "Linje 2 i bilag",
    "UPDATE booked_line SET delivery_month = '2024-12-01' WHERE line_number = 2": "Linje 2 i bilag",
    f"UPDATE booked_basis SET cpr = '0101010000' WHERE {OF_LINE_1}": "Linje 1 i bilag",
    f"UPDATE booked_basis SET corrects = 'F2025-000009' WHERE {OF_LINE_1}": "Linje 1 i bilag",
    f"UPDATE booked_basis SET hash = NULL WHERE {OF_LINE_1}": "Linje 1 i bilag",
    f"UPDATE booked_line SET hash = (SELECT hash FROM booked_basis WHERE {OF_LINE_1})": "Linje 1 i bilag",
    f"UPDATE booked_basis SET run_no = 2 WHERE {OF_LINE_1}": "Bilag F2025-",
    f"UPDATE booked_basis SET document_number = 'F2025-000009' WHERE {OF_LINE_1}": "i bilag F2025-000009, som ikke findes",
    f"DELETE FROM booked_basis WHERE {OF_LINE_1}": "den første er linje 1",
    "UPDATE booked_line SET line_number = 9 WHERE line_number = 3": "Linje 9 i bilag",
    "UPDATE document SET due_date = '2030-01-01' WHERE number = (SELECT min(number) FROM document)": "Bilag F2025-000001",
    "UPDATE posting SET amount_oere = amount_oere - 1 WHERE posting_id = 1": "er ikke ens",
    "UPDATE posting SET account = '99999999' WHERE posting_id = 1": "Bilag F2025-000001",
    "UPDATE posting SET document_number = 'F2025-000009' WHERE posting_id = 1": "hører til bilag F2025-000009, som ikke findes",
    "INSERT INTO posting SELECT 999 + posting_id, run_no, document_number, '1', side, amount_oere - amount_oere FROM posting "
    "WHERE posting_id = 1": "Bilag F2025-000001",
    "DELETE FROM outbox WHERE outbox_id LIKE '1/F2025-000001%'": "2 af 3 filer har ingen plads",
    "DELETE FROM approval WHERE proposal_id = 1": "godkendelsen af forslag 1 er ikke den",
    "UPDATE approval SET approved_by = 'anna' WHERE proposal_id = 1": "godkendelsen af forslag 1 er ikke den",
    "UPDATE proposal SET lines_hash = input_hash WHERE proposal_id = 1": "forslag 1 er ikke det",
    "INSERT INTO open_booking VALUES (9)": "rækken 9 i open_booking",
    "UPDATE settlement_run SET booked_by = 'bo' WHERE run_no = 2": "Kørsel 2 eller dens bilag",
    "UPDATE number_series SET last = last + 1": "har huller",
    "DELETE FROM booked_line WHERE line_number = 3": "ydelse B) er ændret",
    "DELETE FROM booked_line WHERE line_number = 1": "Linjenumrene har huller",
}


def test_a_changed_row_is_named(attacked):
    instance, engine, attacker = attacked
    _drop_triggers(attacker)
    for statement, sentence in CHANGED_ROWS.items():
        with Session(attacker) as session:
            if attacker.dialect.name == POSTGRESQL:
                session.execute(text("SET LOCAL session_replication_role = replica"))  # foreign keys are triggers too
            session.execute(text(statement))
            # Seen through the attacker's own transaction, so that the next change finds the ledger whole.
            broken = _beside_guards(verify(instance, session.connection()))
            assert any(sentence in found for found in broken), (statement, broken)
            session.rollback()
    assert _beside_guards(verify(instance, engine)) == []


def test_a_wholly_rehashed_chain_is_found(attacked):
    """An amount of run 1 raised with its postings and sums, and every hash above it made anew: only the archive knows."""
    instance, engine, attacker = attacked
    _drop_triggers(attacker)
    with Session(attacker) as session, session.begin():
        line = session.get(LedgerLine, 1)
        session.scalars(select(BookedLine).where(BookedLine.line_number == 1)).one().amount_oere += 100
        document = session.scalars(select(Document).where(Document.number == line.document_number)).one()
        document.amount_oere += 100
        for posting in session.scalars(select(Posting).where(Posting.document_number == document.number)):
            if posting.account != _vat_account(session, posting):
                posting.amount_oere += 100
        session.get(SettlementRun, document.run_no).amount_oere += 100
        session.flush()
        _rehash(session)
    broken = _beside_guards(verify(instance, engine))
    assert broken == ["Kørsel 1: registerets hash er ikke den, arkivet gemte ved bogføringen."]


def _vat_account(session, posting):
    """The account of the document's VAT posting; a document without VAT has none."""
    document = session.scalars(select(Document).where(Document.number == posting.document_number)).one()
    sides = session.scalars(select(Posting).where(Posting.document_number == document.number, Posting.side == posting.side)).all()
    return next((p.account for p in sides if document.vat_oere and p.amount_oere == document.vat_oere), None)


def _rehash(session):
    previous = ""
    for run in session.scalars(select(SettlementRun).order_by(SettlementRun.run_no)).all():
        hashes = []
        of_run = select(Document).where(Document.run_no == run.run_no).order_by(Document.counterparty)
        for document in session.scalars(of_run).all():
            bases = session.scalars(
                select(BookedBasis).where(BookedBasis.document_number == document.number).order_by(BookedBasis.basis_no)
            ).all()
            lines = session.scalars(
                select(BookedLine).where(BookedLine.basis_no.in_([basis.basis_no for basis in bases]))
                .order_by(BookedLine.delivery_month)
            ).all()  # fmt: skip
            for basis in bases:
                content = [getattr(basis, field) for field in hashing.BASIS_FIELDS]
                for line in lines:
                    if line.basis_no == basis.basis_no:
                        content += [getattr(line, field) for field in hashing.MONTH_FIELDS]
                basis.hash = bytes.fromhex(hashing.digest(content, "4"))
            under = [basis.hash.hex() for basis in bases]
            posted = session.scalars(select(Posting).where(Posting.document_number == document.number).order_by(Posting.posting_id))
            under += [getattr(posting, field) for posting in posted for field in hashing.POSTING_FIELDS]
            document.hash = hashing.digest([*(getattr(document, f) for f in hashing.DOCUMENT_FIELDS), *under], "5")
            hashes.append(document.hash)
        run.previous_hash = previous
        previous = run.hash = hashing.run_hash(run, hashes)


def test_a_cut_tail_is_found(attacked):
    """Run 2 removed without a trace in the database, its numbers given back."""
    instance, engine, attacker = attacked
    _drop_triggers(attacker)
    with Session(attacker) as session, session.begin():
        of_run = "document_number IN (SELECT number FROM document WHERE run_no = 2)"
        for statement in (
            "DELETE FROM outbox WHERE run_no = 2", f"DELETE FROM posting WHERE {of_run}",
            "DELETE FROM booked_line WHERE basis_no IN (SELECT basis_no FROM booked_basis WHERE run_no = 2)",
            "DELETE FROM booked_basis WHERE run_no = 2",
            "DELETE FROM document WHERE run_no = 2", "DELETE FROM settlement_run WHERE run_no = 2",
            "UPDATE number_series SET last = (SELECT max(sequence) FROM document d "
            "WHERE d.series = number_series.series AND d.year = number_series.year)",
        ):  # fmt: skip
            session.execute(text(statement))
    assert _beside_guards(verify(instance, engine)) == ["Registeret har 1 kørsler, men arkivet kender 2: kæden er afkortet."]
