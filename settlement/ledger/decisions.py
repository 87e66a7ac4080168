"""People's decisions about single lines: dated, with a reason, never changed."""

from __future__ import annotations

from datetime import date

from sqlalchemy.orm import Session

from settlement.ledger.models import Decision
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written

SET_ASIDE = "set_aside_refused"
ALLOW_LATE = "allow_late"


def set_aside_refused(
    session: Session, *, user_name: str, file_hash: str, row: int, service_line_id: str, reason: str
) -> None:
    """Sets a refused row aside, so that it no longer parks its line. Raises Fault without right or reason."""
    _decide(session, user_name, reason, kind=SET_ASIDE, service_line_id=service_line_id, file_hash=file_hash, row=row)


def allow_late(
    session: Session, *, user_name: str, service_line_id: str, delivery_month: date, counterparty: str, reason: str
) -> None:
    """Lets a claim through that was raised too late (settlement.md § 7). Raises Fault without right or reason."""
    _decide(
        session, user_name, reason, kind=ALLOW_LATE, service_line_id=service_line_id, delivery_month=delivery_month,
        counterparty=counterparty,
    )  # fmt: skip


def _decide(session: Session, user_name: str, reason: str, **what) -> None:
    user_with_right(session, user_name, MAY_BOOK, "afgøre undtagelser")
    reason = written(reason, "Afgørelsen mangler en begrundelse. Skriv hvorfor, og gem igen.")
    session.add(Decision(reason=reason, decided_by=user_name, decided_at=now(), **what))
