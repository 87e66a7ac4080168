"""Where a page begins: the instance, its register, the signed-in user and the published figures."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dashboards import parts
from dashboards.published import Published, open_published
from settlement.faults import Fault
from settlement.instance import Instance, open_instance
from settlement.ledger.models import User
from settlement.ledger.register import ROLES, open_register
from settlement.reference import municipality_names

USER = "user_name"


def instance() -> Instance:
    """The instance AFREGNING_HOME names; the page ends with a sentence where there is none."""
    try:
        return open_instance()
    except Fault as fault:
        parts.empty_state("Der er ingen instans", str(fault))
        st.stop()


def register(of: Instance) -> Engine:
    """The register, opened once per server."""
    return _register(of.register_url, of)


@st.cache_resource(show_spinner=False)
def _register(register_url: str, _instance: Instance) -> Engine:
    return open_register(_instance)


def municipality_name(of: Instance) -> str:
    return municipality_names().get(of.municipality, f"Kommune {of.municipality}")


def users(engine: Engine) -> list[User]:
    """All users of the register, by name."""
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(select(User).order_by(User.name)))


def signed_in(engine: Engine) -> User | None:
    """The user of this browser session, as the register knows the user now."""
    name = st.session_state.get(USER)
    if name is None:
        return None
    with Session(engine, expire_on_commit=False) as session:
        return session.get(User, name)


def sign_in(name: str) -> None:
    """Signs a user in. Nothing that another user looked up in this browser session is kept."""
    st.session_state.clear()
    st.session_state[USER] = name


def role_text(user: User) -> str:
    """«controller · Børn og Unge», and what the role gives."""
    return " · ".join(part for part in (user.role, user.department) if part)


def role_meaning(user: User) -> str:
    return ROLES[user.role]


def published(of: Instance) -> Published:
    """The published figures; the page ends with a helpful sentence where there are none yet."""
    reading = open_published(of)
    if reading is None:
        parts.empty_state(
            "Der er ingen tal endnu",
            "Når den første kørsel er færdig, vises tallene her. Læg udtræk i landing-mapperne og kør «afregning run», "
            "eller lav en demokommune med «afregning demo».",
        )
        st.stop()
    return reading


def municipality_code_name(code: str | None) -> str:
    """The name of a municipality or region by its code; anything else is shown as it is."""
    return municipality_names().get(code, code) if code else "–"
