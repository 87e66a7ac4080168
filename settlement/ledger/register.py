"""Opening the register: SQLite (WAL) by default, another database by the instance's `register_url`."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.instance import Instance
from settlement.ledger.models import User

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("v*.py"))

ROLES = {
    "controller": "foreslår, godkender og bogfører, og ser borgere",
    "sagsbehandler": "ser borgere i egen afdeling",
    "revisor": "ser alt, ændrer intet",
    "datateam": "ser ingen borgere",
    "decentral": "indlæser filer og ser fejl for egen afdeling, og intet andet",
}
DECENTRAL = "decentral"
CPR_LIKE = re.compile(r"(?<![0-9])[0-9]{6}[- ]?[0-9]{4}(?![0-9])")
RESERVED = {"platformen"}  # who books what an earlier system has charged
MAY_BOOK = {"controller"}
MAY_LOAD = {"controller", "datateam", DECENTRAL}
MAY_SEE_CITIZENS = {"controller", "sagsbehandler", "revisor"}


def now() -> datetime:
    """The moment, in UTC without zone, as the register keeps moments."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def open_register(instance: Instance) -> Engine:
    """An engine on the register, migrated to this version.

    Raises StateFault where its database does not answer, or is of a newer version than this one.
    """
    engine = engine_of(instance)
    try:
        with engine.connect() as connection:
            known = inspect(connection).has_table("alembic_version")
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
    except OperationalError as fault:
        raise StateFault(
            f"Registeret {engine.url.render_as_string()} kan ikke åbnes. Ret register_url i settings.toml, eller start databasen."
        ) from fault
    except DatabaseError as fault:
        raise StateFault(
            f"Registeret {engine.url.render_as_string()} er ikke en hel database. Gendan instansen af en sikkerhedskopi."
        ) from fault
    if version and version > HEAD:
        raise StateFault(f"Registeret er af version {version}, programmet af {HEAD}. Opgradér programmet.")
    if version != HEAD:
        upgrade(engine)
    return engine


def engine_of(instance: Instance) -> Engine:
    """An engine on the register as it is, migrated or not. Raises StateFault where `register_url` names no database."""
    try:
        # What a statement was given names citizens: a fault's text holds none of it.
        engine = create_engine(instance.register_url, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as fault:
        raise StateFault(
            "register_url i settings.toml kan ikke bruges. Skriv postgresql+psycopg://bruger@vært/database, eller slet linjen."
        ) from fault
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        event.listen(engine, "handle_error", _sqlite_busy)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session for one transaction that writes, committed at the end of the block; its rows can be read afterwards.

    SQLite gives the write lock at the beginning: a transaction that reads first and is overtaken before it writes would
    be refused, however long it waited. Raises StateFault where another has just written the same row.
    """
    try:
        with Session(engine.execution_options(immediate=True), expire_on_commit=False) as session, session.begin():
            yield session
    except IntegrityError as fault:
        is_there_already = "UNIQUE constraint" in str(fault.orig) or getattr(fault.orig, "sqlstate", "") == "23505"
        if not is_there_already:
            raise
        raise StateFault("En anden har netop besluttet det samme. Se, hvad der gælder nu, og prøv igen.") from fault


def upgrade(engine: Engine, version: str = "head") -> None:
    """Migrates the register to a version, from an empty database or an earlier version."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            # Of several that open the register at once, one migrates; the others find it done.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('afregning'))"))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        if engine.dialect.name == "postgresql":
            _order_by_bytes(connection)


def _order_by_bytes(connection: Connection) -> None:
    """Gives every text column the collation C: hashes run over rows in order, and SQLite orders by bytes too."""
    columns = connection.execute(text("""
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables AS t
            USING (table_schema, table_name)
        WHERE table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND data_type = 'character varying'
            AND collation_name IS DISTINCT FROM 'C'"""))
    for table, column in columns.all():
        connection.execute(text(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE varchar COLLATE "C"'))


def _sqlite_connect(connection, _record) -> None:
    connection.isolation_level = None  # transactions are begun by _sqlite_begin, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    # The journal mode is kept in the file, and SQLite cannot change it while another connects: one at a time here.
    folder = os.open(Path(cursor.execute("PRAGMA database_list").fetchone()[2]).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        cursor.execute("PRAGMA journal_mode = WAL")
    finally:
        os.close(folder)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _sqlite_begin(connection) -> None:
    # Readers take no lock; what will write (`writing`) asks for the write lock before it reads.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _sqlite_busy(context) -> None:
    busy = isinstance(context.original_exception, sqlite3.OperationalError)
    if busy and "locked" in str(context.original_exception):
        raise StateFault("Registeret er optaget af en anden kørsel. Prøv igen om lidt.") from context.original_exception


def written(text: str, missing: str) -> str:
    """A person's words, trimmed, to be kept for good and shown to others. Raises InputFault with the sentence `missing`
    where there are none, or where they hold a CPR number."""
    if not text.strip():
        raise InputFault(missing)
    if CPR_LIKE.search(text):
        raise InputFault("Teksten indeholder et CPR-nummer, og den gemmes og vises for andre. Skriv den uden.")
    return text.strip()


def add_user(session: Session, name: str, role: str, department: str = "") -> None:
    """Adds a user. Raises InputFault for an unknown role, a name that is none or taken, or a decentral user without a
    department."""
    if not name.strip() or name in RESERVED:
        raise InputFault(f"«{name}» kan ikke være en brugers navn. Vælg et andet.")
    if role not in ROLES:
        raise InputFault(f"Rollen «{role}» findes ikke. Vælg en af: {', '.join(ROLES)}.")
    if role == DECENTRAL and not department:
        raise InputFault("En decentral bruger skal have en afdeling. Angiv den med --department.")
    if session.get(User, name):
        raise InputFault(f"Brugeren «{name}» findes allerede. Vælg et andet navn.")
    session.add(User(name=name, role=role, department=department, created_at=now()))


def user_with_right(session: Session, name: str, roles: set[str], what: str) -> User:
    """The user, where the role gives the right. Raises StateFault."""
    user = session.get(User, name)
    if user is None:
        raise StateFault(f"Brugeren «{name}» findes ikke. Opret den med «afregning user add».")
    if user.role not in roles:
        raise StateFault(f"Brugeren «{name}» ({user.role}) har ikke ret til at {what}.")
    return user
