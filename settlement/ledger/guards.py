"""What lets a booking write: the triggers on booked tables refuse every row while no booking is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from settlement.ledger.models import Base

# Written by a booking alone; every other kept table is added to by others too.
BOOKED = {"settlement_run", "document", "booked_basis", "booked_line", "posting", "number_series"}
CHANGED = {"number_series", "outbox"}  # rows of these are changed, and never deleted
FREE = {"user_account", "open_booking"}


class OpenBooking(Base):
    """The run that this transaction is booking; no other transaction ever sees a row of it."""

    __tablename__ = "open_booking"
    run_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


def one_at_a_time(session: Session) -> None:
    """Waits until no other booking goes on. SQLite has one writer at a time anyhow (`register.writing`)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE settlement_run IN EXCLUSIVE MODE"))


@contextmanager
def booking_opened(session: Session, run_no: int) -> Iterator[None]:
    """Within it the transaction of `session` may add booked rows and give numbers, for that run.

    Where it ends in a fault the transaction is rolled back, and the opening with it.
    """
    session.execute(insert(OpenBooking).values(run_no=run_no))
    guards = _per_row_guards(session)
    for name in guards:
        session.execute(text(f"DROP TRIGGER {name}"))
    yield
    session.flush()
    for guard in guards.values():
        session.execute(text(guard))
    session.execute(delete(OpenBooking))


def _per_row_guards(session: Session) -> dict[str, str]:
    """The triggers that SQLite would run for every line, and the sentences that make them: they cost more than the line.
    They are away inside the booking's transaction alone; PostgreSQL's run once a statement and stay."""
    if session.get_bind().dialect.name != "sqlite":
        return {}
    guards = "SELECT name, sql FROM sqlite_master WHERE name IN ('booked_basis_insert_in_booking', 'booked_line_insert_in_booking')"
    return dict(session.execute(text(guards)).all())


def open_bookings(session: Session) -> list[int]:
    """The runs of bookings left open: a booking of this program commits none."""
    return list(session.scalars(select(OpenBooking.run_no)))


def missing_guards(session: Session) -> list[str]:
    """The triggers that keep booked and decided rows as they are, and are not there or switched off."""
    if session.get_bind().dialect.name == "postgresql":
        found = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    else:
        found = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    return sorted(_guards(session.get_bind().dialect.name) - set(session.scalars(text(found))))


def _guards(dialect: str) -> set[str]:
    """What the migrations make, by table."""
    guards = set()
    for table in Base.metadata.tables.keys() - FREE:
        guards |= {f"{table}_no_delete"} | ({f"{table}_no_update"} if table not in CHANGED else set())
        if table in BOOKED:
            guards.add(f"{table}_insert_in_booking")
        elif dialect == "sqlite" and table not in CHANGED:
            guards.add(f"{table}_no_replace")
        if dialect == "postgresql":
            guards.add(f"{table}_no_truncate")
    guards.add("number_series_update_in_booking")
    return guards | ({"open_booking_never_committed"} if dialect == "postgresql" else set())
