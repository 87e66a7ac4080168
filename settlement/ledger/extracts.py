"""Whole extracts held back because they would withdraw too many rows, and people's release of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from settlement.faults import InputFault, StateFault
from settlement.ledger.lines_file import money_text
from settlement.ledger.models import Base
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written

PREFIX = re.compile(r"[0-9a-f]{6,64}")


class HeldExtract(Base):
    """One whole extract that waits for a person: what it would withdraw, in rows, and move, in øre (the processes'
    differences, each counted positive), when it was held. `gone_at` is when a run held it no longer: it was taken in or
    removed, or would by then withdraw other rows."""

    __tablename__ = "held_extract"
    held_id: Mapped[int] = mapped_column(primary_key=True)
    system: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    dated: Mapped[date]
    rows_withdrawn: Mapped[int]
    rows_living: Mapped[int]
    moved_oere: Mapped[int]
    held_at: Mapped[datetime]
    gone_at: Mapped[datetime | None]


class ExtractRelease(Base):
    """One person's release of a held extract, which the next run takes in."""

    __tablename__ = "extract_release"
    held_id: Mapped[int] = mapped_column(ForeignKey("held_extract.held_id"), primary_key=True)
    reason: Mapped[str]
    released_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    released_at: Mapped[datetime]


def hold(session: Session, found: Sequence[HeldExtract], *, saw_all: bool) -> None:
    """Keeps what a run held back. With `saw_all` (every landing place was reached) what it no longer held is gone."""
    standing = {_identity(held): held for held, _ in waiting(session)}
    for held in found:
        if standing.pop(_identity(held), None) is None:
            session.add(held)
    if saw_all:
        for held in standing.values():
            held.gone_at = now()
    session.flush()


def waiting(session: Session) -> list[tuple[HeldExtract, ExtractRelease | None]]:
    """Extracts that the last run held, oldest first, each with its release, None where it still needs one."""
    found = session.execute(
        select(HeldExtract, ExtractRelease).outerjoin(ExtractRelease, ExtractRelease.held_id == HeldExtract.held_id)
        .where(HeldExtract.gone_at.is_(None)).order_by(HeldExtract.held_id)
    )  # fmt: skip
    return [(held, by) for held, by in found]


def released(session: Session, dated: date) -> set[str]:
    """The content hashes of the extracts of that date which a person has released."""
    return set(session.scalars(
        select(HeldExtract.sha256).join(ExtractRelease, ExtractRelease.held_id == HeldExtract.held_id)
        .where(HeldExtract.dated == dated)
    ))  # fmt: skip


def release(session: Session, *, user_name: str, prefix: str, reason: str) -> HeldExtract:
    """A person's release of the extract whose content hash begins so; of several dates of one content the first that waits.
    Raises Fault without right or reason, or where none or several begin so."""
    user_with_right(session, user_name, MAY_BOOK, "frigive holdte udtræk")
    reason = written(reason, "Frigivelsen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    if not PREFIX.fullmatch(prefix):
        raise InputFault(f"«{prefix}» er ikke begyndelsen på et udtræks hash. Skriv mindst 6 af dens tegn (0–9, a–f).")
    found = [(held, by) for held, by in waiting(session) if held.sha256.startswith(prefix)]
    if not found:
        raise StateFault(f"Intet holdt udtræk begynder med {prefix}. Se dem med «afregning extract list».")
    unreleased = [held for held, by in found if by is None]
    if not unreleased:
        by = found[0][1]
        raise StateFault(f"Udtrækket {prefix} er allerede frigivet af {by.released_by}. Det tages ind ved næste kørsel.")
    if len({held.sha256 for held in unreleased}) > 1:
        which = ", ".join(f"{held.name} ({held.sha256[:12]})" for held in unreleased)
        raise StateFault(f"Flere holdte udtræk begynder med {prefix}: {which}. Skriv mere af hashen.")
    session.add(
        ExtractRelease(
            held_id=unreleased[0].held_id, reason=reason, released_by=user_name, released_at=now()
        )
    )  # fmt: skip
    session.flush()
    return unreleased[0]


def told(held: HeldExtract, by: ExtractRelease | None) -> str:
    """What is held and what a person can do, or who has released it, in Danish sentences."""
    what = (
        f"{held.system}: {held.name} af {held.dated:%d-%m-%Y} er holdt tilbage: den mangler {held.rows_withdrawn} af "
        f"{held.rows_living} rækker, som derved ville blive trukket tilbage og flytte {money_text(held.moved_oere)} kr."
    )
    if by:
        return f"{what} Frigivet af {by.released_by} {by.released_at:%d-%m-%Y}: {by.reason}. Den tages ind ved næste kørsel."
    command = f"afregning extract release {held.sha256[:12]} --by NAVN --reason TEKST"
    return f"{what} Bestil udtrækket igen, eller frigiv det: «{command}»."


def _identity(held: HeldExtract) -> tuple:
    """An extract is another where its date is: the same content may withdraw other rows then."""
    return held.system, held.sha256, held.dated, held.rows_withdrawn, held.rows_living
