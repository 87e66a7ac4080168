"""The pages' entry: `streamlit run dashboards/app.py`, with AFREGNING_HOME naming the instance.

Sign-in is local: a person chooses among the register's users. It is meant for one machine; single sign-on comes later.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from dashboards import desk, parts
from settlement.ledger.register import DECENTRAL

LOGO = Path(__file__).parent / "static" / "logo.svg"
PAGES = {
    "Tal": [
        st.Page("views/overview.py", title="Overblik", icon=":material/dashboard:", url_path="overblik", default=True),
        st.Page(
            "views/budget.py", title="Budgetopfølgning", icon=":material/account_balance:", url_path="budgetopfoelgning"
        ),
        st.Page("views/commitments.py", title="Disponering", icon=":material/event_upcoming:", url_path="disponering"),
        st.Page("views/occupancy.py", title="Belægning", icon=":material/bed:", url_path="belaegning"),
    ],
    "Arbejde": [
        st.Page("views/proposals.py", title="Afregning", icon=":material/receipt_long:", url_path="afregning"),
        st.Page("views/hands.py", title="Hånd på rattet", icon=":material/pan_tool:", url_path="haand-paa-rattet"),
        st.Page("views/invoices.py", title="Fakturabetaling", icon=":material/request_quote:", url_path="fakturabetaling"),
        st.Page("views/citizen.py", title="Borger", icon=":material/person_search:", url_path="borger"),
        st.Page("views/intake.py", title="Indlæsning", icon=":material/upload_file:", url_path="indlaesning"),
        st.Page("views/worklist.py", title="Ydelsesoversættelse", icon=":material/translate:", url_path="ydelsesoversaettelse"),
        st.Page("views/quality.py", title="Datakvalitet", icon=":material/fact_check:", url_path="datakvalitet"),
    ],
}


# What a decentral user may open; the pages themselves show only the user's own department.
FOR_DECENTRAL = ("Indlæsning", "Datakvalitet")


def pages_for(user) -> dict:
    """The pages a signed-in user may open."""
    if user.role != DECENTRAL:
        return PAGES
    return {"Arbejde": [page for page in PAGES["Arbejde"] if page.title in FOR_DECENTRAL]}


def sign_in_page() -> None:
    """The only page there is before someone has signed in."""
    parts.title(
        "Log ind",
        "Vælg, hvem du er. Det afgør, hvad du ser, og står ved det, du godkender, bogfører og slår op. Der er ingen "
        "adgangskode: log ind sådan kun på din egen maskine.",
    )
    people = desk.users(desk.register(desk.instance()))
    if not people:
        parts.empty_state(
            "Der er ingen brugere endnu", "Opret den første med «afregning user add NAVN --role controller»."
        )
        return
    with st.form("sign-in", width=420):
        chosen = st.selectbox(
            "Bruger", people, format_func=lambda user: f"{user.name} ({desk.role_text(user)})", key="sign-in-user"
        )
        if st.form_submit_button("Log ind", type="primary"):
            desk.sign_in(chosen.name)
            st.rerun()


def sidebar(municipality: str, user) -> None:
    with st.sidebar:
        st.html(f'<p class="afr-place">{escape(municipality)}</p>')
        if user:
            st.html(
                f'<p class="afr-you">Du er logget ind som <strong>{escape(user.name)}</strong><br>'
                f"{escape(desk.role_text(user))}: {escape(desk.role_meaning(user))}</p>"
            )
            st.button("Log ud", on_click=st.session_state.clear, icon=":material/logout:")


st.logo(str(LOGO), size="large")
st.set_page_config(
    page_title="Afregning", page_icon=":material/receipt_long:", layout="wide", initial_sidebar_state=250
)
parts.style()
instance = desk.instance()
user = desk.signed_in(desk.register(instance))
page = (
    st.navigation(pages_for(user)) if user else st.navigation([st.Page(sign_in_page, title="Log ind", icon=":material/login:")])
)
sidebar(desk.municipality_name(instance), user)
page.run()
