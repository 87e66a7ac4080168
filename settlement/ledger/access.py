"""The access log: who looked at or changed what about whom, and why."""

from __future__ import annotations

from sqlalchemy.orm import Session

from settlement.faults import InputFault
from settlement.ledger.models import AccessLog
from settlement.ledger.register import MAY_SEE_CITIZENS, now, user_with_right


def log_access(session: Session, user_name: str, action: str, cpr: str, purpose: str) -> None:
    """Writes one look-up. Raises Fault without the right or a stated purpose."""
    user_with_right(session, user_name, MAY_SEE_CITIZENS, "se borgere")
    if not purpose.strip():
        raise InputFault("Opslaget mangler et formål. Skriv hvorfor du slår borgeren op.")
    session.add(AccessLog(at=now(), user_name=user_name, action=action, cpr=cpr, purpose=purpose.strip()))
