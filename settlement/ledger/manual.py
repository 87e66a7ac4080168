"""Manual lines: a one-off amount that a person settles on a package, with a reason, until it is withdrawn.

Each line and each withdrawal is one person's decision and takes effect when another confirms it. A line goes through the
engine as a service line of its own (`service_line_id`), so payer, deadlines, holds and corrections are those of any line;
a withdrawn one is entitled to 0, and what was booked of it is credited.
"""

from __future__ import annotations

import re
from datetime import date, datetime

import duckdb
from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.ledger.models import ManualLine, ManualLineConfirmation
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written
from settlement.processes import process as process_named

SOURCE = "manuel"  # what stands as the source file of a manual line, with its number as the row
LARGEST = 2**62  # above it an amount would not fit the engine's 64 bits


def service_line_id(manual_id: int) -> str:
    """«MANUEL-7»: the service line a manual line is settled, parked, held and explained as."""
    return f"MANUEL-{manual_id}"


def add(
    session: Session, *, user_name: str, process: str, package_id: str, delivery_month: date, amount_oere: int,
    item_name: str, account: str, reason: str,
) -> ManualLine:  # fmt: skip
    """A one-off line without VAT; a negative amount is given back. Waits for confirmation.

    The caller knows that the package exists. Raises Fault without right, reason or text, or where an amount or account
    cannot be one.
    """
    process_named(process)
    if not 0 < abs(amount_oere) < LARGEST:
        raise InputFault("Beløbet på en manuel linje kan hverken være 0 eller så stort. Ret beløbet.")
    if not re.fullmatch(r"[0-9]{5,16}", account):
        raise InputFault(f"«{account}» er ikke en konto på 5–16 cifre. Ret kontoen.")
    item_name = written(item_name, "Den manuelle linje mangler en tekst. Skriv, hvad der skal stå på bilaget.")
    return _decide(
        session, user_name, reason, process=process, package_id=package_id, delivery_month=delivery_month.replace(day=1),
        amount_oere=amount_oere, item_name=item_name, account=account,
    )  # fmt: skip


def withdraw(session: Session, *, user_name: str, manual_id: int, reason: str) -> ManualLine:
    """A withdrawal of a line that is in force, which waits for confirmation; one that still waits itself is taken back by it
    at once. Raises Fault without right, reason or such a line."""
    found = [line for line, withdrawn in in_force(session) if not withdrawn] + waiting(session)
    line = next((line for line in found if line.manual_id == manual_id and not line.withdraws), None)
    if line is None:
        raise StateFault(f"Manuel linje {manual_id} gælder ikke. Se dem, der gælder, med «afregning manual list».")
    return _decide(
        session, user_name, reason, withdraws=manual_id, process=line.process, package_id=line.package_id,
        delivery_month=line.delivery_month, amount_oere=line.amount_oere, item_name=line.item_name, account=line.account,
    )  # fmt: skip


def confirm(session: Session, *, user_name: str, manual_id: int) -> ManualLine:
    """Another person's confirmation of a line or a withdrawal. Raises StateFault without right, or for one's own."""
    user_with_right(session, user_name, MAY_BOOK, "bekræfte manuelle linjer")
    line = session.get(ManualLine, manual_id)
    if line is None:
        raise StateFault(f"Manuel linje {manual_id} findes ikke. Se dem, der venter, med «afregning manual list».")
    if line.decided_by == user_name:
        raise StateFault(f"«{user_name}» har selv besluttet manuel linje {manual_id}. En anden skal bekræfte den.")
    if session.get(ManualLineConfirmation, manual_id) is None:
        if session.scalars(select(ManualLine.manual_id).where(ManualLine.withdraws == manual_id)).first():
            raise StateFault(f"Manuel linje {manual_id} er taget tilbage. Se dem, der venter, med «afregning manual list».")
        session.add(ManualLineConfirmation(manual_id=manual_id, confirmed_by=user_name, confirmed_at=now()))
    return line


def in_force(session: Session, before: datetime = datetime.max) -> list[tuple[ManualLine, bool]]:
    """Lines confirmed before that moment, and whether each was withdrawn before it."""
    confirmed = session.scalars(
        select(ManualLine).join(ManualLineConfirmation, ManualLineConfirmation.manual_id == ManualLine.manual_id)
        .where(ManualLineConfirmation.confirmed_at < before).order_by(ManualLine.manual_id)
    ).all()  # fmt: skip
    withdrawn = {line.withdraws for line in confirmed if line.withdraws}
    return [(line, line.manual_id in withdrawn) for line in confirmed if not line.withdraws]


def waiting(session: Session) -> list[ManualLine]:
    """Lines and withdrawals that nobody has confirmed yet; one that is taken back waits no more, nor does what took it back."""
    unconfirmed = session.scalars(
        select(ManualLine).where(ManualLine.manual_id.not_in(select(ManualLineConfirmation.manual_id)))
        .order_by(ManualLine.manual_id)
    ).all()  # fmt: skip
    known = {line.manual_id for line in unconfirmed}
    over = {line.withdraws for line in unconfirmed if line.withdraws in known}  # taken back while they waited
    over |= {line.manual_id for line, withdrawn in in_force(session) if withdrawn}
    return [line for line in unconfirmed if line.manual_id not in over and line.withdraws not in over]


def have_changed(con: duckdb.DuckDBPyConnection, session: Session) -> bool:
    """Whether others are in force now than those that a proposal opened on `con` was computed with."""
    then = con.execute(f"SELECT source_row, withdrawn FROM service_line WHERE source_file = '{SOURCE}'").fetchall()
    return set(then) != {(line.manual_id, withdrawn) for line, withdrawn in in_force(session)}


def trace(session: Session, manual_id: int, withdrawn: bool) -> str:
    """Who decided and who confirmed the line, and with `withdrawn` its withdrawal, and why, in Danish sentences."""
    decisions = [(session.get(ManualLine, manual_id), f"Manuel linje {manual_id}")]
    if withdrawn:
        taken_back = session.scalars(
            select(ManualLine).join(ManualLineConfirmation, ManualLineConfirmation.manual_id == ManualLine.manual_id)
            .where(ManualLine.withdraws == manual_id).order_by(ManualLine.manual_id)
        )  # fmt: skip
        decisions.append((taken_back.first(), "Trukket tilbage"))
    return " ".join(
        f"{what}: besluttet {line.decided_at:%d-%m-%Y} af {line.decided_by}, bekræftet {by.confirmed_at:%d-%m-%Y} af "
        f"{by.confirmed_by}, fordi «{line.reason}»."
        for line, what in decisions
        for by in [session.get(ManualLineConfirmation, line.manual_id)]
    )


def _decide(session: Session, user_name: str, reason: str, **what) -> ManualLine:
    user_with_right(session, user_name, MAY_BOOK, "lave manuelle linjer")
    reason = written(reason, "Den manuelle linje mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    line = ManualLine(reason=reason, decided_by=user_name, decided_at=now(), **what)
    session.add(line)
    session.flush()
    return line
