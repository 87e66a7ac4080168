"""Findings of quality rules beside the register's overrides: what is overridden and by whom, and the forms to do it."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import format as fmt
from dashboards import parts
from dashboards.published import Row
from settlement.faults import Fault
from settlement.ledger import overrides
from settlement.ledger.register import MAY_BOOK, writing


def beside(engine, rows: list[Row], only_open: bool) -> tuple[list[Row], list[Row]]:
    """The findings as the register has them now, and the overrides in force or waiting that are about one of them.

    The marts know the overrides of their build; a later one, or a lifting, counts at once.
    """
    with Session(engine, expire_on_commit=False) as session:
        decided = [(o, True) for o in overrides.in_force(session)] + [(o, False) for o in overrides.waiting(session)]
        told = {o.override_id: overrides.trace(session, o) for o, _ in decided}
    there = {(row["rule"], row["finding_key"]) for row in rows}
    about = [(o, confirmed) for o, confirmed in decided if (o.rule, o.finding_key) in there]
    in_force = {(o.rule, o.finding_key) for o, confirmed in about if confirmed}
    now = []
    for row in rows:
        stands = (row["rule"], row["finding_key"]) in in_force
        is_open = (row["is_open"] or row["is_overridden"]) and not stands
        if is_open or not only_open:
            now.append(row | {"is_open": is_open})
    standing = [
        {"number": o.override_id, "rule": o.rule, "finding_key": o.finding_key, "told": told[o.override_id],
         "is_confirmed": confirmed, "decided_by": o.decided_by}
        for o, confirmed in about
    ]  # fmt: skip
    return now, standing


def show(engine, user, open_rows: list[Row], standing: list[Row]) -> None:
    """The overrides about the findings shown, and for those with the right the forms to override and to confirm."""
    if standing:
        parts.table(
            standing,
            [
                parts.Column("number", "Nr.", figure=True),
                parts.Column("rule", "Regel", fmt.label),
                parts.Column("finding_key", "Nøgle"),
                parts.Column("is_confirmed", "Gælder", fmt.yes_no),
                parts.Column("told", "Hvem og hvorfor"),
            ],
            caption="Tilsidesatte fund",
            name="overrides",
            height=240,
        )
    if user.role not in MAY_BOOK:
        return
    if open_rows:
        _override(engine, user, open_rows)
    waiting = [row for row in standing if not row["is_confirmed"] and row["decided_by"] != user.name]
    if waiting:
        _confirm(engine, user, waiting)


def _override(engine, user, open_rows: list[Row]) -> None:
    with (
        st.expander("Tilsidesæt et fund, så det hverken parkerer eller tæller som åbent"),
        st.form("override", clear_on_submit=True),
    ):
        row = st.selectbox(
            "Fund", open_rows, key="override-row", format_func=lambda r: f"{r['finding_key']} · {fmt.label(r['rule'])}"
        )
        reason = st.text_input("Begrundelse", key="override-reason")
        if st.form_submit_button("Tilsidesæt"):
            _do(engine, lambda session: overrides.place(
                session, user_name=user.name, rule=row["rule"], finding_key=row["finding_key"], reason=reason,
            ), "Tilsidesættelsen er gemt. Den gælder, når en anden har bekræftet den.")  # fmt: skip


def _confirm(engine, user, waiting: list[Row]) -> None:
    with st.expander("Bekræft en andens tilsidesættelse", expanded=True), st.form("override-confirm"):
        row = st.selectbox(
            "Venter", waiting, key="confirm-row", format_func=lambda r: f"{r['number']} · {r['finding_key']} · {r['rule']}"
        )
        if st.form_submit_button("Bekræft"):
            _do(engine, lambda session: overrides.confirm(
                session, user_name=user.name, override_id=row["number"],
            ), "Bekræftet. Det gælder fra næste forslag.")  # fmt: skip


def _do(engine, decide, sentence: str) -> None:
    try:
        with writing(engine) as session:
            decide(session)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
    else:
        st.success(sentence, icon=":material/check_circle:")
