"""Opening the register: SQLite (WAL) by default, another database by the instance's `register_url`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.instance import Instance
from settlement.ledger.models import User

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0001"

ROLES = {
    "controller": "foreslår, godkender og bogfører, og ser borgere",
    "sagsbehandler": "ser borgere i egen afdeling",
    "revisor": "ser alt, ændrer intet",
    "datateam": "ser ingen borgere",
}
MAY_BOOK = {"controller"}
MAY_SEE_CITIZENS = {"controller", "sagsbehandler", "revisor"}


def now() -> datetime:
    """The moment, in UTC without zone, as the register keeps moments."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def open_register(instance: Instance) -> Engine:
    """An engine on the register, migrated to this version."""
    engine = create_engine(instance.register_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    with engine.connect() as connection:
        known = inspect(connection).has_table("alembic_version")
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
    if version != HEAD:
        upgrade(engine)
    return engine


def upgrade(engine: Engine) -> None:
    """Migrates the register to the newest version, from an empty database or an earlier version."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _sqlite_connect(connection, _record) -> None:
    connection.isolation_level = None  # transactions are begun by _sqlite_begin, not by the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "busy_timeout = 30000", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection) -> None:
    # Readers take no lock; the one booking transaction asks for the write lock before it reads the head.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def add_user(session: Session, name: str, role: str, department: str = "") -> None:
    """Adds a user. Raises InputFault for an unknown role or a name that is taken."""
    if role not in ROLES:
        raise InputFault(f"Rollen «{role}» findes ikke. Vælg en af: {', '.join(ROLES)}.")
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
