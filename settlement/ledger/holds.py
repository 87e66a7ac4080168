"""Holds: a person keeps a line, a citizen or a counterparty out of settlement, with a reason, until it is released.

Each hold and each release is one person's decision and takes effect when another confirms it. Nothing of a held
line-month is booked or credited; it stands among the parked with `tilbageholdt`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import duckdb
from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import StateFault, UsageFault
from settlement.ledger.models import Hold, HoldConfirmation
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written


def place(
    session: Session, *, user_name: str, from_month: date, reason: str, service_line_id: str = "", cpr: str = "",
    counterparty: str = "",
) -> Hold:  # fmt: skip
    """A hold on exactly one of line, citizen and counterparty, for delivery months from `from_month` on.

    Waits for confirmation. The caller knows that the target exists. Raises Fault without right, reason or target.
    """
    if sum(map(bool, (service_line_id, cpr, counterparty))) != 1:
        raise UsageFault("Angiv netop én: en ydelse, en borger eller en modpart.")
    return _decide(
        session, user_name, reason, service_line_id=service_line_id, cpr=cpr, counterparty=counterparty,
        from_month=from_month.replace(day=1),
    )  # fmt: skip


def release(session: Session, *, user_name: str, hold_id: int, reason: str) -> Hold:
    """A release of a hold that is in force, which waits for confirmation; one that still waits itself is taken back by it
    at once. Raises Fault without right, reason or such a hold."""
    held = next((hold for hold in [*in_force(session), *waiting(session)] if hold.hold_id == hold_id and not hold.releases), None)
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
        if session.scalars(select(Hold.hold_id).where(Hold.releases == hold_id)).first():
            raise StateFault(f"Tilbageholdelse {hold_id} er taget tilbage. Se dem, der venter, med «afregning hold list».")
        session.add(HoldConfirmation(hold_id=hold_id, confirmed_by=user_name, confirmed_at=now()))
    return hold


def in_force(session: Session, before: datetime = datetime.max) -> list[Hold]:
    """Holds confirmed, and not released, before that moment."""
    known = confirmed(session, before)
    released = {hold.releases for hold in known if hold.releases}
    return [hold for hold in known if not hold.releases and hold.hold_id not in released]


def waiting(session: Session) -> list[Hold]:
    """Holds and releases that nobody has confirmed yet; one that is taken back waits no more, nor does what took it back."""
    unconfirmed = session.scalars(
        select(Hold).where(Hold.hold_id.not_in(select(HoldConfirmation.hold_id))).order_by(Hold.hold_id)
    ).all()  # fmt: skip
    known = {hold.hold_id for hold in unconfirmed}
    over = {hold.releases for hold in unconfirmed if hold.releases in known}  # taken back while they waited
    over |= {hold.releases for hold in confirmed(session) if hold.releases}
    return [hold for hold in unconfirmed if hold.hold_id not in over and hold.releases not in over]


def confirmed(session: Session, before: datetime = datetime.max) -> list[Hold]:
    """Holds and releases confirmed before that moment."""
    return list(session.scalars(
        select(Hold).join(HoldConfirmation, HoldConfirmation.hold_id == Hold.hold_id)
        .where(HoldConfirmation.confirmed_at < before).order_by(Hold.hold_id)
    ))  # fmt: skip


def bind(con: duckdb.DuckDBPyConnection, held: Iterable[Hold], name: str) -> None:
    """The engine's input of that name (`settle.INPUTS`, hold) on a connection that has its service lines and packages."""
    rows = [[hold.service_line_id, hold.cpr, hold.counterparty, hold.from_month] for hold in held]
    con.execute("CREATE OR REPLACE TEMP TABLE held (service_line_id VARCHAR, cpr VARCHAR, counterparty VARCHAR, from_month DATE)")
    if rows:
        con.executemany("INSERT INTO held VALUES (?, ?, ?, ?)", rows)
    # A citizen is held through every line of the citizen's packages.
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE {name} AS
        SELECT nullif(service_line_id, '') AS service_line_id, nullif(counterparty, '') AS counterparty, from_month
        FROM held WHERE cpr = ''
        UNION ALL
        SELECT l.service_line_id, NULL, h.from_month FROM held AS h
        JOIN service_package AS p ON p.cpr = h.cpr
        JOIN service_line AS l ON l.package_id = p.package_id""")


def have_changed(con: duckdb.DuckDBPyConnection, session: Session) -> bool:
    """Whether others are in force now than those that a proposal opened on `con` was computed with."""
    bind(con, in_force(session), "hold_now")
    return con.execute("""
        SELECT 1 FROM ((FROM hold_now EXCEPT ALL SELECT service_line_id, counterparty, from_month FROM hold)
            UNION ALL (SELECT service_line_id, counterparty, from_month FROM hold EXCEPT ALL FROM hold_now)) LIMIT 1
    """).fetchone() is not None


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
    reason = written(reason, "Tilbageholdelsen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    hold = Hold(reason=reason, decided_by=user_name, decided_at=now(), **what)
    session.add(hold)
    session.flush()
    return hold
