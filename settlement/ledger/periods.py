"""Accounting periods: months 1–12 of a year and its supplementary period 13, open until they are closed.

A closing takes effect at once; a closed period is opened again when a second person confirms it. After New Year the old
year is still booked in its supplementary period (supplementsperioden), as long as that is open.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.ledger.models import PeriodChange, PeriodConfirmation
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written

SUPPLEMENTARY = 13


def close(session: Session, *, user_name: str, year: int, period: int, reason: str) -> PeriodChange:
    """Closes an open period, at once. Raises Fault without right or reason, or where it is closed."""
    user_with_right(session, user_name, MAY_BOOK, "lukke regnskabsperioder")
    if session.get_bind().dialect.name == "postgresql":
        # A booking that has seen the period open ends first (SQLite has one writer at a time anyhow).
        session.execute(text("LOCK TABLE settlement_run IN SHARE MODE"))
    if is_closed(session, year, period):
        raise StateFault(f"Regnskabsperioden {name(year, period)} er allerede lukket.")
    return _change(session, user_name, year, period, reason, opens=False)


def reopen(session: Session, *, user_name: str, year: int, period: int, reason: str) -> PeriodChange:
    """Opens a closed period, once another person has confirmed it. Raises Fault without right or reason, or where it is
    open."""
    user_with_right(session, user_name, MAY_BOOK, "åbne regnskabsperioder")
    if not is_closed(session, year, period):
        raise StateFault(f"Regnskabsperioden {name(year, period)} er åben. Kun en lukket kan åbnes.")
    return _change(session, user_name, year, period, reason, opens=True)


def confirm(session: Session, *, user_name: str, change_id: int) -> PeriodChange:
    """Another person's confirmation of an opening.

    Raises StateFault without right, for one's own, or where the period has been changed since.
    """
    user_with_right(session, user_name, MAY_BOOK, "bekræfte åbning af regnskabsperioder")
    change = session.get(PeriodChange, change_id)
    if change is None or not change.opens:
        raise StateFault(f"Åbning {change_id} findes ikke. Se dem, der venter, med «afregning period list».")
    if change.decided_by == user_name:
        raise StateFault(f"«{user_name}» har selv besluttet åbning {change_id}. En anden skal bekræfte den.")
    if session.get(PeriodConfirmation, change_id) is None:
        if change is not _changes(session, change.year, change.period)[-1]:
            raise StateFault(
                f"Åbning {change_id} af {name(change.year, change.period)} er afløst af en senere beslutning. "
                "Se dem med «afregning period list»."
            )
        session.add(PeriodConfirmation(change_id=change_id, confirmed_by=user_name, confirmed_at=now()))
    return change


def is_closed(session: Session, year: int, period: int) -> bool:
    """Whether the newest change in force closes the period."""
    for change in reversed(_changes(session, year, period)):
        if in_force(session, change):
            return not change.opens
    return False


def in_force(session: Session, change: PeriodChange) -> bool:
    """A closing is in force at once, an opening when it is confirmed."""
    return not change.opens or session.get(PeriodConfirmation, change.change_id) is not None


def changes(session: Session) -> list[PeriodChange]:
    """Every closing and opening, by period and then as they were decided."""
    change = PeriodChange
    return list(session.scalars(select(change).order_by(change.year, change.period, change.change_id)))


def demand_open(session: Session, booking_date: date, chosen: tuple[int, int] | None, through: date) -> tuple[int, int]:
    """The (year, period) a booking on that date goes to: its own month, or the chosen supplementary period of the year
    before, for delivery months `through` that year. Raises StateFault where that is closed, or the chosen one is neither."""
    own = (booking_date.year, booking_date.month)
    supplementary = (booking_date.year - 1, SUPPLEMENTARY)
    year, period = chosen or own
    if (year, period) not in (own, supplementary):
        raise StateFault(
            f"En bogføring {booking_date:%d-%m-%Y} kan ikke høre til {name(year, period)}. "
            f"Vælg {name(*own)} eller supplementsperioden {name(*supplementary)}."
        )
    if period == SUPPLEMENTARY and through.year > year:
        raise StateFault(
            f"Leverancer i {through:%Y-%m} hører ikke til {name(year, period)}. Lav et forslag til og med {year}-12, eller "
            f"bogfør i {name(*own)}."
        )
    if is_closed(session, year, period):
        raise StateFault(
            f"Regnskabsperioden {name(year, period)} er lukket. Vælg en bogføringsdato i en åben periode"
            + (f", eller {name(*supplementary)} med --period." if not is_closed(session, *supplementary) else ".")
        )
    return year, period


def name(year: int, period: int) -> str:
    """«2025-13», as people write a period."""
    return f"{year}-{period:02d}"


def _changes(session: Session, year: int, period: int) -> list[PeriodChange]:
    of_period = select(PeriodChange).where(PeriodChange.year == year, PeriodChange.period == period)
    return list(session.scalars(of_period.order_by(PeriodChange.change_id)))


def _change(session: Session, user_name: str, year: int, period: int, reason: str, opens: bool) -> PeriodChange:
    if not 1 <= period <= SUPPLEMENTARY:
        raise InputFault(f"Perioden {name(year, period)} findes ikke. Et år har 01–12 og supplementsperioden 13.")
    reason = written(reason, "Ændringen af perioden mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    change = PeriodChange(
        year=year, period=period, opens=opens, reason=reason, decided_by=user_name, decided_at=now()
    )  # fmt: skip
    session.add(change)
    session.flush()
    return change
