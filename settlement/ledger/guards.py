"""What lets a booking write: the triggers on booked tables refuse every row while no booking is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from settlement.ledger.models import Base


class OpenBooking(Base):
    """The run that this transaction is booking; no other transaction ever sees a row of it."""

    __tablename__ = "open_booking"
    run_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


@contextmanager
def booking_opened(session: Session, run_no: int) -> Iterator[None]:
    """Within it the transaction of `session` may add booked rows and give numbers, for that run.

    Where it ends in a fault the transaction is rolled back, and the opening with it.
    """
    session.execute(insert(OpenBooking).values(run_no=run_no))
    yield
    session.flush()
    session.execute(delete(OpenBooking))
