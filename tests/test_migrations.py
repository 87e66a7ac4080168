"""The register on both databases: migrated from nothing and from an earlier version, and the whole way through it."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres import POSTGRESQL, SQLITE, new_database, use_register
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from test_ledger import WORLD

from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import extracts  # noqa: F401, its tables are the register's too
from settlement.ledger.guards import OpenBooking
from settlement.ledger.models import User
from settlement.ledger.periods import is_closed
from settlement.ledger.register import HEAD, _sqlite_begin, _sqlite_connect, now, open_register, upgrade


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty(request, make_platform):
    """An instance whose register is an empty database."""
    home = make_platform().home
    (home / "register.sqlite").unlink()
    if request.param == POSTGRESQL:
        use_register(home, new_database(request.getfixturevalue("postgres_server")))
    return open_instance(home)


def _version(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _assert_schema(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, OpenBooking.metadata) == []
        if engine.dialect.name == SQLITE:
            assert connection.execute(text("SELECT wr FROM pragma_table_list WHERE name = 'booked_line'")).scalar()
        else:
            assert connection.execute(text(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
                "AND data_type IN ('character varying', 'text') AND collation_name IS DISTINCT FROM 'C'"
            )).all() == []  # fmt: skip


def test_the_migrated_schema_is_that_of_the_models(empty):
    engine = open_register(empty)
    assert _version(engine) == HEAD
    _assert_schema(engine)


def test_a_register_of_the_first_version_with_rows_is_migrated(empty):
    engine = create_engine(empty.register_url)
    if engine.dialect.name == SQLITE:
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    upgrade(engine, "0001")
    with Session(engine) as session, session.begin():
        session.add(User(name="anna", role="controller", department="", created_at=now()))
        session.flush()
        session.execute(text(
            "INSERT INTO gate_verdict (verdict_id, load_id, scope, gate, input_version, rules_version, verdict, detail, "
            "judged_at) VALUES (1, 1, 'opus', 'rækker', 'x', '1', 'grøn', '', '2025-01-01 00:00:00')"
        ))  # fmt: skip
        session.execute(text("INSERT INTO number_series (series, year, last) VALUES ('F', 2025, 7)"))
        session.execute(text("INSERT INTO closed_period VALUES (2024, 12, 'en tidligere', '2025-01-31 00:00:00.000000')"))
    assert _version(engine) == "0001"
    engine.dispose()
    migrated = open_register(empty)
    assert _version(migrated) == HEAD
    _assert_schema(migrated)
    with Session(migrated) as session:
        assert session.get(User, "anna").role == "controller"
        assert session.execute(text("SELECT last FROM number_series")).scalar() == 7
        assert is_closed(session, 2024, 12) and not is_closed(session, 2025, 1)
        with pytest.raises(DBAPIError, match="never"):
            session.execute(text("UPDATE gate_verdict SET verdict = 'rød'"))


def test_a_register_of_a_newer_version_is_refused(empty):
    with open_register(empty).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateFault, match="Opgradér"):
        open_register(empty)


def test_a_database_that_does_not_answer_is_told_without_its_password(make_platform):
    home = make_platform().home
    use_register(home, "postgresql+psycopg://nogen:hemmelig@127.0.0.1:1/register")
    with pytest.raises(StateFault, match="kan ikke åbnes") as fault:
        open_register(open_instance(home))
    assert "hemmelig" not in str(fault.value)


def test_the_whole_way_is_equal_on_both_databases(make_platform_on):
    """Names and keys whose order is another in Danish than by bytes: å, aa, capitals and punctuation."""
    world = {table: [dict(row) for row in rows] for table, rows in WORLD.items()}
    for name in ("aa", "Z", "z-1", "Åben", "z1", "Bb"):
        world["ydelser"].append(world["ydelser"][0] | {"ydelse_id": name, "startdato": "2025-01-03"})
    lines, heads = {}, {}
    for database in (SQLITE, POSTGRESQL):
        platform = make_platform_on(database)
        platform.load(world)
        platform.settle("mellemkommunal", "2025-01", "2025-02-05", book=True)
        world_after = {"ydelser": [row | {"startdato": "2025-01-20"} for row in world["ydelser"] if row["ydelse_id"] in "AZ"]}
        platform.load(world_after)
        platform.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)
        assert platform.must("verify").startswith("Regnskabet er helt")
        lines[database] = platform.lines()
        engine = open_register(open_instance(platform.home))
        assert engine.dialect.name == database
        with Session(engine) as session:
            heads[database] = session.execute(text(
                "SELECT number, amount_oere, vat_oere FROM document ORDER BY run_no, sequence"
            )).all(), session.execute(text(
                "SELECT posting_id, document_number, account, side, amount_oere FROM posting ORDER BY posting_id"
            )).all(), session.execute(text("SELECT hash FROM document ORDER BY run_no, sequence")).all()  # fmt: skip
        outbox = platform.home / "outbox"
        heads[database] += (sorted(p.relative_to(outbox) for p in outbox.rglob("*") if p.is_file()),)
        engine.dispose()
    assert len(lines[SQLITE]) > 15
    assert lines[SQLITE] == lines[POSTGRESQL]
    assert heads[SQLITE] == heads[POSTGRESQL]
