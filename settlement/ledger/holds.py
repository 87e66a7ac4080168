"""Holds: a person keeps a line, a citizen or a counterparty out of settlement, with a reason, until it is released.

Each hold and each release is one person's decision and takes effect when another confirms it. Nothing of a held
line-month is booked or credited; it stands among the parked with `tilbageholdt`.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault, UsageFault
from settlement.ledger.models import Hold, HoldConfirmation
from settlement.ledger.register import MAY_BOOK, now, user_with_right


def place(
    session: Session, *, user_name: str, from_month: date, reason: str, service_line_id: str = "", cpr: str = "",
    counterparty: str = "",
) -> Hold:  # fmt: skip
    """A hold on exactly one of line, citizen and counterparty, for delivery months from `from_month` on.

    Waits for confirmation. Raises Fault without right, reason or target.
    """
    if sum(map(bool, (service_line_id, cpr, counterparty))) != 1:
        raise UsageFault("Angiv netop én: en ydelse, en borger eller en modpart.")
    return _decide(
        session, user_name, reason, service_line_id=service_line_id, cpr=cpr, counterparty=counterparty,
        from_month=from_month.replace(day=1),
    )  # fmt: skip


def release(session: Session, *, user_name: str, hold_id: int, reason: str) -> Hold:
    """A release of a hold that is in force. Waits for confirmation. Raises Fault without right, reason or such a hold."""
    held = next((hold for hold in in_force(session) if hold.hold_id == hold_id), None)
    if held is None:
        raise StateFault(f"Tilbageholdelse {hold_id} gælder ikke. Se dem, der gælder, med «afregning hold list».")
    return _decide(
        session, user_name, reason, releases=hold_id, service_line_id=held.service_line_id, cpr=held.cpr,
        counterparty=held.counterparty, from_month=held.from_month,
    )  # fmt: skip


def confirm(session: Session, *, user_name: str, hold_id: int) -> Hold:
    """Another person's confirmation of a hold or a release. Raises StateFault without right, or for one's own."""
    user_with_right(session, user_name, MAY_BOOK, "bekræfte tilbageholdelser")
    hold = session.get(Hold, hold_id)
    if hold is None:
        raise StateFault(f"Tilbageholdelse {hold_id} findes ikke. Se dem, der venter, med «afregning hold list».")
    if hold.decided_by == user_name:
        raise StateFault(f"«{user_name}» har selv besluttet tilbageholdelse {hold_id}. En anden skal bekræfte den.")
    if session.get(HoldConfirmation, hold_id) is None:
        session.add(HoldConfirmation(hold_id=hold_id, confirmed_by=user_name, confirmed_at=now()))
    return hold


def in_force(session: Session, before: datetime = datetime.max) -> list[Hold]:
    """Holds confirmed, and not released, before that moment."""
    confirmed = session.scalars(
        select(Hold).join(HoldConfirmation, HoldConfirmation.hold_id == Hold.hold_id)
        .where(HoldConfirmation.confirmed_at < before).order_by(Hold.hold_id)
    ).all()  # fmt: skip
    released = {hold.releases for hold in confirmed if hold.releases}
    return [hold for hold in confirmed if not hold.releases and hold.hold_id not in released]


def waiting(session: Session) -> list[Hold]:
    """Holds and releases that nobody has confirmed yet."""
    return list(session.scalars(
        select(Hold).where(Hold.hold_id.not_in(select(HoldConfirmation.hold_id))).order_by(Hold.hold_id)
    ))  # fmt: skip


def trace(session: Session, hold: Hold) -> str:
    """Who decided and who confirmed the hold, and why, in one Danish sentence that names no person by CPR number."""
    by = session.get(HoldConfirmation, hold.hold_id)
    target = "modparten" if hold.counterparty else "borgeren" if hold.cpr else "ydelsen"
    return (
        f"Tilbageholdelse {hold.hold_id} af {target} fra {hold.from_month:%Y-%m}: besluttet {hold.decided_at:%d-%m-%Y} af "
        f"{hold.decided_by}, bekræftet {by.confirmed_at:%d-%m-%Y} af {by.confirmed_by}, fordi «{hold.reason}»."
    )


def _decide(session: Session, user_name: str, reason: str, **what) -> Hold:
    user_with_right(session, user_name, MAY_BOOK, "tilbageholde ydelser")
    if not reason.strip():
        raise InputFault("Tilbageholdelsen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    hold = Hold(reason=reason.strip(), decided_by=user_name, decided_at=now(), **what)
    session.add(hold)
    session.flush()
    return hold
