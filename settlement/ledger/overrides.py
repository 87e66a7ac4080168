"""Overrides: a person lets one finding of a quality rule stand, with a reason, until it is lifted.

Each override and each lifting is one person's decision and takes effect when another confirms it. An overridden finding
neither parks its line nor counts as open.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.ledger.models import QualityOverride, QualityOverrideConfirmation
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written


def place(session: Session, *, user_name: str, rule: str, finding_key: str, reason: str) -> QualityOverride:
    """An override of the rule's finding on that key, which the caller knows is open. Waits for confirmation.

    Raises Fault without right or reason, or where one is in force or waits.
    """
    standing = [o for o in (*in_force(session), *waiting(session)) if not o.lifts]
    if any((o.rule, o.finding_key) == (rule, finding_key) for o in standing):
        raise StateFault(f"Fundet {rule} på {finding_key} er allerede tilsidesat eller venter på bekræftelse.")
    return _decide(session, user_name, reason, rule=rule, finding_key=finding_key)


def lift(session: Session, *, user_name: str, override_id: int, reason: str) -> QualityOverride:
    """A lifting of an override in force. Waits for confirmation. Raises Fault without right, reason or such an override."""
    override = next((o for o in in_force(session) if o.override_id == override_id), None)
    if override is None:
        raise StateFault(f"Tilsidesættelse {override_id} gælder ikke. Se dem, der gælder, med «afregning quality list».")
    return _decide(session, user_name, reason, lifts=override_id, rule=override.rule, finding_key=override.finding_key)


def confirm(session: Session, *, user_name: str, override_id: int) -> QualityOverride:
    """Another person's confirmation of an override or a lifting. Raises StateFault without right, or for one's own."""
    user_with_right(session, user_name, MAY_BOOK, "bekræfte tilsidesættelser")
    override = session.get(QualityOverride, override_id)
    if override is None:
        raise StateFault(f"Tilsidesættelse {override_id} findes ikke. Se dem, der venter, med «afregning quality list».")
    if override.decided_by == user_name:
        raise StateFault(f"«{user_name}» har selv besluttet tilsidesættelse {override_id}. En anden skal bekræfte den.")
    if session.get(QualityOverrideConfirmation, override_id) is None:
        session.add(QualityOverrideConfirmation(override_id=override_id, confirmed_by=user_name, confirmed_at=now()))
    return override


def in_force(session: Session, before: datetime = datetime.max) -> list[QualityOverride]:
    """Overrides confirmed, and not lifted, before that moment."""
    confirmed = session.scalars(
        select(QualityOverride)
        .join(QualityOverrideConfirmation, QualityOverrideConfirmation.override_id == QualityOverride.override_id)
        .where(QualityOverrideConfirmation.confirmed_at < before).order_by(QualityOverride.override_id)
    ).all()  # fmt: skip
    lifted = {override.lifts for override in confirmed if override.lifts}
    return [override for override in confirmed if not override.lifts and override.override_id not in lifted]


def waiting(session: Session) -> list[QualityOverride]:
    """Overrides and liftings that nobody has confirmed yet."""
    return list(session.scalars(
        select(QualityOverride)
        .where(QualityOverride.override_id.not_in(select(QualityOverrideConfirmation.override_id)))
        .order_by(QualityOverride.override_id)
    ))  # fmt: skip


def trace(session: Session, override: QualityOverride) -> str:
    """Who decided and who confirmed the override, and why, in one Danish sentence."""
    by = session.get(QualityOverrideConfirmation, override.override_id)
    confirmed = f"bekræftet {by.confirmed_at:%d-%m-%Y} af {by.confirmed_by}" if by else "venter på, at en anden bekræfter"
    return (
        f"Tilsidesættelse {override.override_id}: besluttet {override.decided_at:%d-%m-%Y} af {override.decided_by}, "
        f"{confirmed}, fordi «{override.reason}»."
    )


def _decide(session: Session, user_name: str, reason: str, **what) -> QualityOverride:
    user_with_right(session, user_name, MAY_BOOK, "tilsidesætte fund")
    reason = written(reason, "Tilsidesættelsen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    override = QualityOverride(reason=reason, decided_by=user_name, decided_at=now(), **what)
    session.add(override)
    session.flush()
    return override
