"""Hånd på rattet: what people decide beside the facts, each by one and confirmed by another. Holds and manual lines stand
here, what touches the ledger in `hands_ledger`."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import desk, four_eyes, parts
from dashboards import format as fmt
from dashboards.published import Row, open_persons
from dashboards.views import hands_ledger
from settlement.faults import Fault
from settlement.ledger.access import log_access
from settlement.ledger.models import Hold, ManualLine
from settlement.ledger.register import MAY_BOOK, writing

HOLDS, LINES = "Tilbageholdelser", "Manuelle linjer"
VIEWS = (HOLDS, LINES, hands_ledger.URGENT, hands_ledger.WITHDRAWALS, hands_ledger.PERIODS)
LINE, CITIZEN, PAYER = TARGETS = ("En ydelse", "En borger", "En modpart")
DEFINITION = (
    "Én beslutter med en begrundelse, en anden bekræfter; så gælder det, og så kan også kun to ophæve det. Det, der endnu "
    "venter, kan én tage tilbage. Du handler altid som den, du er logget ind som. Intet slettes: hvem, hvornår og hvorfor "
    "bliver stående.\n"
    "Et hasteforslag og en tilbagekaldelse er forslag som andre: de godkendes og bogføres på Afregning. En periode lukkes af "
    "én og åbnes igen af to.\n"
    "En borger vises ikke ved CPR-nummer, før du beder om det med et formål; det, og at du selv skriver et CPR-nummer, står i "
    "adgangsloggen."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    user = desk.signed_in(engine)
    if user.role not in MAY_BOOK:
        parts.title("Hånd på rattet", "Tilbageholdelser, manuelle linjer, hasteafregning, tilbagekaldelser og perioder.")
        parts.empty_state("Ingen adgang", f"Rollen {user.role} kan ikke gribe ind i afregningen. Det kan en controller.")
        return
    held, lines = four_eyes.read(engine, four_eyes.HOLD, _held), four_eyes.read(engine, four_eyes.MANUAL, _line)
    urgent, withdrawals = hands_ledger.unusual(engine)
    changes = hands_ledger.period_changes(engine)
    waiting = [*held[1], *lines[1], *(row for row in changes if row["state"] == "venter")]
    others = sum(1 for row in waiting if row["decided_by"] != user.name)
    parts.header(
        "Hånd på rattet",
        f"{fmt.count_of(len(waiting), 'beslutning venter', 'beslutninger venter')} på en anden; "
        f"{fmt.count_of(others, 'kan', 'kan')} du bekræfte."
        if waiting
        else "Ingen beslutninger venter på at blive bekræftet.",
        period="nu",
        build=None,
        source="registeret: tilbageholdelser, manuelle linjer, forslag, perioder",
        definition=DEFINITION,
    )
    closed = fmt.number(len(hands_ledger.closed_periods(changes)))
    parts.figures(
        [
            _standing("holds", HOLDS, four_eyes.HOLD, *held),
            _standing("manual", LINES, four_eyes.MANUAL, *lines),
            parts.Figure("urgent", "Hasteforslag", *hands_ledger.open_ones(urgent)),
            parts.Figure("withdrawals", "Tilbagekaldelser", *hands_ledger.open_ones(withdrawals)),
            parts.Figure("closed", hands_ledger.PERIODS, closed, ("lukket",)),
        ]
    )
    if notice := st.session_state.pop(four_eyes.NOTICE, None):
        st.success(notice, icon=":material/check_circle:")
    view = st.segmented_control("Vis", VIEWS, default=HOLDS, required=True, key="hands-view")
    if view == HOLDS:
        _holds(instance, engine, user, *held)
    elif view == LINES:
        _lines(instance, engine, user, *lines)
    elif view == hands_ledger.URGENT:
        hands_ledger.show_urgent(instance, engine, user, urgent)
    elif view == hands_ledger.WITHDRAWALS:
        hands_ledger.show_withdrawals(instance, engine, user, withdrawals)
    else:
        hands_ledger.show_periods(engine, user, changes)


def _standing(name: str, title: str, kind: four_eyes.Kind, standing: list[Row], waiting: list[Row]) -> parts.Figure:
    in_force = sum(1 for row in standing if row["state"] != kind.ended)
    return parts.Figure(name, title, fmt.number(in_force), (f"gælder; {fmt.number(len(waiting))} venter",))


# --- Holds ------------------------------------------------------------------------------------------------------------


def _held(hold: Hold) -> Row:
    if hold.service_line_id:
        target = f"ydelse {hold.service_line_id}"
    else:
        target = "en borger" if hold.cpr else f"modpart: {hands_ledger.party_text(hold.counterparty)}"
    return {
        "target": target, "from_month": hold.from_month, "what": f"{target} fra {fmt.month(hold.from_month)}",
        "is_citizen": bool(hold.cpr) or four_eyes.is_cpr(hold.counterparty),
    }  # fmt: skip


def _holds(instance, engine, user, standing: list[Row], waiting: list[Row]) -> None:
    parts.section(HOLDS, "Intet af det, der holdes tilbage, bogføres eller krediteres fra den måned; det står som parkeret.")
    columns = [parts.Column("target", "Hvad"), parts.month("from_month", "Fra")]
    four_eyes.tables(four_eyes.HOLD, standing, waiting, columns, "holds")
    if citizens := {row["number"]: row for row in [*waiting, *standing] if row["is_citizen"]}:
        _reveal(instance, engine, user, citizens)
    four_eyes.confirm(engine, user, four_eyes.HOLD, waiting)
    four_eyes.end(engine, user, four_eyes.HOLD, standing, waiting)
    parts.section("Hold tilbage", "En anden skal bekræfte, før det gælder.")
    kind = st.segmented_control("Hvad holdes tilbage", TARGETS, default=LINE, required=True, key="hold-kind")
    with four_eyes.form("hold-place"):
        label = {LINE: "Ydelse (ydelse_id)", CITIZEN: "CPR-nummer", PAYER: hands_ledger.PARTY}[kind]
        left, right = st.columns([2, 1])
        target = left.text_input(label, autocomplete="off", key=four_eyes.key(f"hold-{TARGETS.index(kind)}")).strip()
        with right:
            month = four_eyes.months("Fra og med leverancemåned", "hold-month", first=0)
        reason = st.text_input(four_eyes.REASON, key=four_eyes.key("hold-reason"))
        if not st.form_submit_button("Hold tilbage", type="primary", icon=":material/pan_tool:"):
            return
    option = {LINE: "line", CITIZEN: "citizen", PAYER: "payer"}[kind]
    person = "" if kind == LINE else target
    if kind == CITIZEN and not four_eyes.is_cpr(target.replace("-", "").replace(" ", "")):
        four_eyes.refuse("CPR-nummeret skal have ti cifre, skrevet ddmmååxxxx eller ddmmåå-xxxx.")
    elif not target:
        four_eyes.refuse("Skriv, hvad der skal holdes tilbage.")
    elif four_eyes.has_reason(reason) and four_eyes.logged(engine, user, person, f"Tilbageholdelse: {reason.strip()}"):
        four_eyes.ask(
            instance,
            ["hold", "place", f"--{option}={target}", f"--from={month:%Y-%m}", f"--reason={reason}", f"--by={user.name}"],
            "Ser efter, om det findes …",
        )


def _reveal(instance, engine, user, citizens: dict[int, Row]) -> None:
    """Who a hold is about, for a stated purpose, shown once: another choice on the page hides it again."""
    with st.expander("Se, hvilken borger en tilbageholdelse gælder"), four_eyes.form("reveal"):
        number = st.selectbox(
            "Tilbageholdelse", list(citizens), key="reveal-number", format_func=lambda n: four_eyes.named(citizens[n])
        )
        purpose = st.text_input("Formål med opslaget", key=four_eyes.key("reveal-purpose"))
        if not st.form_submit_button("Vis borgeren", icon=":material/person_search:"):
            return
        with Session(engine) as session:
            hold = session.get(Hold, number)
            cpr = hold.cpr or hold.counterparty
        try:
            with writing(engine) as session:
                said = purpose.strip() and f"Tilbageholdelse {number}: {purpose.strip()}"
                log_access(session, user.name, four_eyes.LOOK_UP, cpr, said)
        except Fault as refusal:
            four_eyes.refuse(str(refusal))
            return
        persons = open_persons(instance)
        found = persons.rows("SELECT name FROM marts_person.citizen WHERE cpr = $cpr", cpr=cpr) if persons else []
        parts.facts([
            ("CPR", f"{cpr[:6]}-{cpr[6:]}"), ("Navn", (found and found[0]["name"]) or fmt.NONE), ("Formål med opslaget", purpose),
        ])  # fmt: skip


# --- Manual lines -----------------------------------------------------------------------------------------------------


def _line(line: ManualLine) -> Row:
    amount = fmt.oere(line.amount_oere)
    return {
        "process": line.process, "package_id": line.package_id, "delivery_month": line.delivery_month, "amount": amount,
        "item_name": line.item_name, "account": line.account,
        "what": f"pakke {line.package_id}, {fmt.month(line.delivery_month)}, {fmt.kroner(amount)}",
    }  # fmt: skip


def _lines(instance, engine, user, standing: list[Row], waiting: list[Row]) -> None:
    parts.section(LINES, "Et beløb, ingen kilde leverer, på en pakke: afregnet én gang uden moms, krediteret, når det er trukket.")
    columns = [
        parts.coded("process", "Afregningsform"), parts.Column("package_id", "Pakke"), parts.month("delivery_month", "Måned"),
        parts.money("amount", "Beløb", signed=True), parts.Column("item_name", "Tekst"), parts.Column("account", "Konto"),
    ]  # fmt: skip
    four_eyes.tables(four_eyes.MANUAL, standing, waiting, columns, "manual-lines")
    four_eyes.confirm(engine, user, four_eyes.MANUAL, waiting)
    four_eyes.end(engine, user, four_eyes.MANUAL, standing, waiting)
    parts.section("Ny manuel linje", "Teksten står på bilaget: ingen navne eller CPR-numre. Et beløb under 0 gives tilbage.")
    with four_eyes.form("manual-add"):
        first, second, third = st.columns(3)
        process = hands_ledger.process_field(first, "manual-process")
        package = second.text_input("Pakke (pakke_id)", key=four_eyes.key("manual-package")).strip()
        with third:
            month = four_eyes.months("Leverancemåned", "manual-month", first=0)
        amount = first.text_input(
            "Beløb i kroner uden moms", placeholder="fx -1.234,50", key=four_eyes.key("manual-amount")
        ).strip()
        account = second.text_input("Konto", key=four_eyes.key("manual-account")).strip()
        text = third.text_input("Tekst på bilaget", key=four_eyes.key("manual-text"))
        reason = st.text_input(four_eyes.REASON, key=four_eyes.key("manual-reason"))
        if not st.form_submit_button("Tilføj linjen", type="primary", icon=":material/playlist_add:"):
            return
    if four_eyes.has_reason(reason):
        four_eyes.ask(
            instance,
            ["manual", "add", f"--process={process}", f"--package={package}", f"--month={month:%Y-%m}", f"--amount={amount}",
             f"--text={text}", f"--account={account}", f"--reason={reason}", f"--by={user.name}"],
            "Ser efter, om pakken findes …",
        )  # fmt: skip


show()
