"""Decisions that one person makes and another confirms: how a page reads them, makes them, confirms them and ends them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import ModuleType
from typing import Any

import streamlit as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboards import format as fmt
from dashboards import parts, program
from dashboards.published import Row
from settlement.faults import Fault
from settlement.ledger import holds, manual
from settlement.ledger.access import log_access
from settlement.ledger.models import Hold, HoldConfirmation, ManualLine, ManualLineConfirmation
from settlement.ledger.register import writing, written

NOTICE, TURN = "hands-notice", "hands-turn"
LOOK_UP = "opslag"
REASON = "Begrundelse (ingen navne eller CPR-numre)"


@dataclass(frozen=True)
class Kind:
    """One kind of decision with four eyes: its ledger, its tables, and the words for it and for what ends it.

    `key` is its number's column and the ledger's name for it, `ends` the column by which an ending names what it ends.
    """

    ledger: ModuleType
    decision: type
    confirmation: type
    key: str
    ends: str
    end: Callable
    title: str
    ending: str
    ended: str
    button: str


HOLD = Kind(
    holds, Hold, HoldConfirmation, "hold_id", "releases", holds.release, "Tilbageholdelse", "Ophævelse", "ophævet", "Ophæv"
)  # fmt: skip
MANUAL = Kind(
    manual, ManualLine, ManualLineConfirmation, "manual_id", "withdraws", manual.withdraw, "Manuel linje", "Tilbagetrækning",
    "trukket tilbage", "Træk tilbage",
)  # fmt: skip


def read(engine, kind: Kind, describe: Callable[[Any], Row]) -> tuple[list[Row], list[Row]]:
    """What is in force or has been, newest first, and what waits for a second person; each row with what `describe` tells of
    it, of which `what` names it in a list."""
    confirmation = kind.confirmation
    with Session(engine, expire_on_commit=False) as session:
        number, of = getattr(kind.decision, kind.key), getattr(confirmation, kind.key)
        confirmed = session.execute(
            select(kind.decision, confirmation).join(confirmation, of == number).order_by(number.desc())
        ).all()
        waiting = kind.ledger.waiting(session)
    endings = {getattr(made, kind.ends): (made, by) for made, by in confirmed if getattr(made, kind.ends)}
    leaving = {getattr(made, kind.ends) for made in waiting} - {None}
    standing = []
    for made, by in confirmed:
        if getattr(made, kind.ends):
            continue
        row = _row(kind, made, describe) | {"confirmed": who(by.confirmed_by, by.confirmed_at), "state": "gælder", "ended": ""}
        if row["number"] in leaving:
            row["state"] = f"gælder; {kind.ending.lower()} venter"
        if ending := endings.get(row["number"]):
            end, by = ending
            row["state"] = kind.ended
            row["ended"] = f"{who(end.decided_by, end.decided_at)}; bekræftet af {by.confirmed_by}: {end.reason}"
        standing.append(row)
    return standing, [_row(kind, made, describe) | {"state": "venter"} for made in waiting]


def _row(kind: Kind, made: Any, describe: Callable[[Any], Row]) -> Row:
    ended = getattr(made, kind.ends)
    return describe(made) | {
        "number": getattr(made, kind.key), "is_ending": bool(ended),
        "decision": f"{kind.ending} af {ended}" if ended else kind.title,
        "decided": who(made.decided_by, made.decided_at), "decided_by": made.decided_by, "reason": made.reason,
    }  # fmt: skip


def tables(kind: Kind, standing: list[Row], waiting: list[Row], columns: Sequence[parts.Column], name: str) -> None:
    """What waits, and what is in force or has been, with who decided, who confirmed and why."""
    number, decided = parts.Column("number", "Nr.", figure=True), parts.Column("decided", "Besluttet af")
    reason = parts.Column("reason", "Begrundelse")
    if waiting:
        parts.table(
            waiting, [number, parts.Column("decision", "Beslutning"), *columns, decided, reason],
            caption="Venter på, at en anden bekræfter", name=f"{name}-waiting", height=260,
        )  # fmt: skip
    if standing:
        parts.table(
            standing,
            [number, parts.Column("state", "Status"), *columns, decided, parts.Column("confirmed", "Bekræftet af"), reason,
             parts.Column("ended", kind.ended.capitalize())],
            caption="Gælder, eller har gældt; nyeste øverst", name=name, height=320,
        )  # fmt: skip
    if not waiting and not standing:
        parts.empty_state("Ingen endnu", f"{kind.title}: der er hverken noget, der gælder, eller noget, der venter.", small=True)


def confirm(engine, user, kind: Kind, waiting: list[Row]) -> None:
    """The form by which another than the one who decided confirms."""
    others = {row["number"]: row for row in waiting if row["decided_by"] != user.name}
    if not others:
        if waiting:
            parts.empty_state("Venter på en anden", "Det, du selv har besluttet, skal en anden bekræfte.", small=True)
        return
    with form(f"{kind.key}-confirm"):
        number = st.selectbox(
            "Venter på dig", list(others), key=key(f"{kind.key}-confirm-number"), format_func=lambda n: named(others[n])
        )
        if st.form_submit_button("Bekræft", type="primary", icon=":material/task_alt:"):

            def confirmed(session: Session) -> str:
                kind.ledger.confirm(session, user_name=user.name, **{kind.key: number})
                return f"{named(others[number])} er bekræftet af {user.name}. Det gælder fra næste forslag."

            decide(engine, confirmed)


def end(engine, user, kind: Kind, standing: list[Row], waiting: list[Row]) -> None:
    """The form that ends what is in force, by two people, or takes back what still waits, by one."""
    left = {row["number"]: row for row in [*waiting, *standing] if row["state"] in ("gælder", "venter") and not row["is_ending"]}
    if not left:
        return
    with st.expander(f"{kind.button}, eller tag tilbage, hvad der venter"), form(f"{kind.key}-end"):
        number = st.selectbox(
            kind.title, list(left), key=key(f"{kind.key}-end-number"),
            format_func=lambda n: f"{named(left[n])} · {left[n]['state']}",
        )  # fmt: skip
        reason = st.text_input(REASON, key=key(f"{kind.key}-end-reason"))
        if st.form_submit_button(kind.button, icon=":material/undo:"):

            def ended(session: Session) -> str:
                made = kind.end(session, user_name=user.name, reason=reason, **{kind.key: number})
                if made in kind.ledger.waiting(session):
                    return f"{kind.ending} af {number} venter på, at en anden bekræfter. Til da gælder den."
                return f"{named(left[number])} er taget tilbage."

            decide(engine, ended)


def named(row: Row) -> str:
    """«Tilbageholdelse 3 · modpart Aarhus Kommune (751) fra september 2026»"""
    return f"{row['decision']} · {row['what']}" if row["is_ending"] else f"{row['decision']} {row['number']} · {row['what']}"


def who(name: str, at: datetime) -> str:
    """«anna, 23-11-2026», the Danish day."""
    return f"{name}, {fmt.moment(at).partition(' ')[0]}"


def form(name: str):
    """A form that only its buttons send: Enter in a field decides nothing. What is written stays until it is decided."""
    return st.form(key(name), border=True, enter_to_submit=False)


def key(name: str) -> str:
    """A widget's key until the next decision; then the forms stand empty again."""
    return f"{name}-{st.session_state.get(TURN, 0)}"


def months(label: str, name: str, *, first: int, ahead: int = 12, back: int = 72) -> date:
    """The month a person chooses, newest first; `first` is the one chosen at first, in months from this one."""
    this = date.today().replace(day=1)
    offered = [fmt.add_months(this, by) for by in range(ahead, -back - 1, -1)]
    return st.selectbox(label, offered, index=ahead - first, format_func=fmt.month, key=key(name))


def decide(engine, change: Callable[[Session], str]) -> None:
    """Makes one change in the register, and says the sentence it gives; a refusal is shown as its own."""
    try:
        with writing(engine) as session:
            told = change(session)
    except Fault as refusal:
        refuse(str(refusal))
    else:
        _decided(told)


def ask(instance, words: Sequence[str], waiting: str) -> None:
    """Lets the program do what needs the warehouse, and says what it says. The words lie in a file that only this user can
    read: they may name a citizen, and a command line is everybody's."""
    try:
        with st.spinner(waiting), program.written([("ord.json", json.dumps(words).encode())]) as paths:
            told = program.ask(instance, "asked", *paths)["told"]
    except Fault as refusal:
        refuse(str(refusal))
    else:
        _decided(" ".join(told))


def logged(engine, user, code: str, purpose: str) -> bool:
    """Whether a citizen may be asked about, by CPR number: it is a look-up like any other, written before it is answered.
    Any other code names nobody."""
    cpr = re.sub(r"[\s-]", "", code)
    if not is_cpr(cpr):
        return True
    try:
        with writing(engine) as session:
            log_access(session, user.name, LOOK_UP, cpr, purpose)
    except Fault as refusal:
        refuse(str(refusal))
        return False
    return True


def has_reason(reason: str) -> bool:
    """Whether it can stand as the reason. Asked before a citizen is looked up for it, and before anything is computed."""
    try:
        written(reason, "Skriv en begrundelse.")
    except Fault as refusal:
        refuse(str(refusal))
        return False
    return True


def is_cpr(code: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{10}", code))


def refuse(sentence: str) -> None:
    st.error(sentence, icon=":material/block:")


def _decided(told: str) -> None:
    st.session_state[NOTICE] = told
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
    st.rerun()
