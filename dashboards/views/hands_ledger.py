"""The second half of Hånd på rattet, what touches the ledger: urgent settlement, withdrawn documents, accounting periods."""

from __future__ import annotations

from datetime import date

import streamlit as st
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from dashboards import desk, four_eyes, parts
from dashboards import format as fmt
from dashboards import register_reading as reg
from dashboards.published import Row
from settlement.ledger import periods
from settlement.ledger.models import Approval, Document, PeriodConfirmation, Proposal, SettlementRun
from settlement.ledger.proposals import open_proposals
from settlement.processes import INVOICES, ON_DEMAND, PROCESSES, TIMINGS

URGENT, WITHDRAWALS, PERIODS = "Hasteafregning", "Tilbagekald bilag", "Regnskabsperioder"
PARTY = "Modpart: kommunekode, afdeling, CPR- eller CVR-nummer"


def party_text(code: str) -> str:
    """A counterparty in words; a citizen is not shown by CPR number."""
    if four_eyes.is_cpr(code):
        return "en borger"
    name = desk.municipality_code_name(code)
    return code if name == code else f"{name} ({code})"


def process_field(place, name: str) -> str:
    """The field of the process settled."""
    return place.selectbox("Afregningsform", [*PROCESSES, *ON_DEMAND], format_func=fmt.label, key=four_eyes.key(name))


def unusual(engine) -> tuple[list[Row], list[Row]]:
    """The newest urgent proposals, and the newest withdrawals, with what has become of each."""
    with Session(engine, expire_on_commit=False) as session:
        still_open = {proposal.proposal_id for proposal in open_proposals(session)}
        found = session.execute(
            select(Proposal, Approval, SettlementRun)
            .outerjoin(Approval, Approval.proposal_id == Proposal.proposal_id)
            .outerjoin(SettlementRun, SettlementRun.proposal_id == Proposal.proposal_id)
            .where(or_(Proposal.only_counterparty != "", Proposal.withdraws != ""))
            .order_by(Proposal.proposal_id.desc()).limit(parts.ROWS_SHOWN)
        ).all()  # fmt: skip
    rows = []
    for proposal, approval, run in found:
        is_open = proposal.proposal_id in still_open
        if run:
            state = f"bogført i kørsel {run.run_no} af {run.booked_by}"
        elif is_open:
            state = "godkendt, kan bogføres" if approval else "venter på godkendelse"
        else:
            state = "afløst: lav et nyt forslag" if proposal.line_count else "intet at afregne"
        rows.append({
            "number": proposal.proposal_id, "state": state, "is_open": is_open, "process": reg.process_of(proposal),
            "through": proposal.through, "booking_date": proposal.booking_date, "withdraws": proposal.withdraws,
            "party": party_text(proposal.only_counterparty) if proposal.only_counterparty else "",
            "amount": fmt.oere(proposal.amount_oere), "decided": four_eyes.who(proposal.created_by, proposal.created_at),
            "confirmed": four_eyes.who(approval.approved_by, approval.approved_at) if approval else "", "reason": proposal.reason,
        })  # fmt: skip
    return [row for row in rows if not row["withdraws"]], [row for row in rows if row["withdraws"]]


def open_ones(rows: list[Row]) -> tuple[str, tuple[str]]:
    """How many can be approved or booked, as a figure's value and its words."""
    return fmt.number(sum(1 for row in rows if row["is_open"])), ("åbne på Afregning",)


def _proposals(rows: list[Row], caption: str, name: str, *more: parts.Column) -> None:
    if not rows:
        parts.empty_state("Ingen endnu", f"{caption} står her, når du har lavet et.", small=True)
        return
    parts.table(
        rows,
        [
            parts.Column("number", "Forslag", figure=True), parts.Column("state", "Status"), *more,
            parts.Column("process", "Afregningsform"), parts.month("through", "Til og med"),
            parts.day("booking_date", "Bogføringsdato"), parts.money("amount", "Beløb", signed=True),
            parts.Column("decided", "Lavet af"), parts.Column("confirmed", "Godkendt af"),
        ],
        caption=f"{caption}, nyeste øverst", name=name, height=320,
    )  # fmt: skip
    st.page_link("views/proposals.py", label="Godkend og bogfør på Afregning", icon=":material/receipt_long:")


def show_urgent(instance, engine, user, rows: list[Row]) -> None:
    """Draws the urgent proposals, and the form that makes one."""
    parts.section(URGENT, "Én modparts linjer ved siden af den almindelige kørsel, som bagefter finder dem bogført.")
    _proposals(rows, "Hasteforslag", "urgent", parts.Column("party", "Modpart"))
    parts.section("Lav et hasteforslag", "Det godkendes derefter på Afregning af en anden end dig, og bogføres.")
    with four_eyes.form("urgent"):
        first, second, third = st.columns(3)
        process = process_field(first, "urgent-process")
        party = second.text_input(PARTY, autocomplete="off", key=four_eyes.key("urgent-party")).strip()
        timing = third.selectbox("Tidspunkt", TIMINGS, key=four_eyes.key("urgent-timing"))
        with first:
            through = four_eyes.months("Til og med leverancemåned", "urgent-through", first=-1)
        day = second.date_input("Bogføringsdato", date.today(), format="DD-MM-YYYY", key=four_eyes.key("urgent-date"))
        if not st.form_submit_button("Lav hasteforslaget", type="primary", icon=":material/bolt:"):
            return
    if not party:
        four_eyes.refuse("Skriv den modpart, der skal afregnes.")
    elif four_eyes.logged(engine, user, party, f"Hasteafregning, {process} til og med {through:%Y-%m}"):
        four_eyes.ask(
            instance,
            ["settle", process, f"--through={through:%Y-%m}", f"--timing={timing}", f"--only={party}", f"--date={day}",
             f"--by={user.name}"],
            "Beregner modpartens linjer …",
        )  # fmt: skip


def show_withdrawals(instance, engine, user, rows: list[Row]) -> None:
    """Draws the withdrawals, and the form that proposes one."""
    parts.section(
        WITHDRAWALS,
        "Bilaget modsvares linje for linje af et modbilag. Næste kørsel foreslår det, ydelserne nu er værd: hold dem tilbage "
        "først, hvis de ikke skal opkræves igen.",
    )
    _proposals(
        rows, "Tilbagekaldelser", "withdrawals", parts.Column("withdraws", "Bilag"), parts.Column("reason", "Begrundelse")
    )
    parts.section("Kald et bilag tilbage", "Modbilaget godkendes og bogføres derefter på Afregning.")
    text = st.text_input("Søg i bilagsnummer eller modpart", key="withdraw-text").strip()
    documents = {row.number: row for row in _documents(engine, text)}
    on_its_way = {row["withdraws"] for row in rows if row["is_open"]}
    if not documents:
        parts.empty_state("Ingen bilag", "Intet bogført bilag passer til søgningen, eller det er tilbagekaldt.", small=True)
        return
    with four_eyes.form("withdraw"):
        left, right = st.columns([3, 1])
        number = left.selectbox(
            "Bilag", list(documents), key=four_eyes.key("withdraw-document"),
            format_func=lambda n: _document(documents[n]) + (" · tilbagekaldelse på vej" if n in on_its_way else ""),
        )  # fmt: skip
        day = right.date_input("Bogføringsdato", date.today(), format="DD-MM-YYYY", key=four_eyes.key("withdraw-date"))
        reason = st.text_input(four_eyes.REASON, key=four_eyes.key("withdraw-reason"))
        if not st.form_submit_button("Foreslå tilbagekaldelsen", type="primary", icon=":material/undo:"):
            return
    if four_eyes.has_reason(reason):
        four_eyes.ask(
            instance, ["withdraw", number, f"--reason={reason.strip()}", f"--date={day}", f"--by={user.name}"],
            "Laver modbilaget …",
        )  # fmt: skip


def _documents(engine, text: str) -> list[Document]:
    """Booked documents that can be withdrawn, newest first. What an earlier system charged is withdrawn there, and what an
    invoice was paid with is its supplier's to credit."""
    withdrawn = select(Proposal.withdraws).join(SettlementRun, SettlementRun.proposal_id == Proposal.proposal_id)
    wanted = or_(Document.number.icontains(text, autoescape=True), Document.name.icontains(text, autoescape=True))
    with Session(engine, expire_on_commit=False) as session:
        return list(session.scalars(
            select(Document)
            .where(Document.run_no > 0, Document.process != INVOICES.name, Document.number.not_in(withdrawn), wanted)
            .order_by(Document.run_no.desc(), Document.number).limit(parts.ROWS_SHOWN)
        ))  # fmt: skip


def _document(document: Document) -> str:
    amount = fmt.kroner(fmt.oere(document.amount_oere))
    return f"{document.number} · {fmt.label(document.kind)} · {document.name} · {fmt.day(document.issue_date)} · {amount}"


# --- Accounting periods -----------------------------------------------------------------------------------------------


def period_changes(engine) -> list[Row]:
    """Every closing and opening, newest first; of each period the newest in force holds, and only what is newest waits."""
    with Session(engine, expire_on_commit=False) as session:
        made = periods.changes(session)
        newest = {(change.year, change.period): change for change in made}
        holding = {(change.year, change.period): change for change in made if periods.in_force(session, change)}
        rows = []
        for change in made:
            of, by = (change.year, change.period), session.get(PeriodConfirmation, change.change_id)
            is_waiting = change.opens and by is None and newest[of] is change
            rows.append({
                "number": change.change_id, "period": periods.name(*of), "of": of, "opens": change.opens,
                "decision": "Åbning" if change.opens else "Lukning", "reason": change.reason, "decided_by": change.decided_by,
                "state": "gælder" if holding.get(of) is change else "venter" if is_waiting else "afløst",
                "decided": four_eyes.who(change.decided_by, change.decided_at),
                "confirmed": four_eyes.who(by.confirmed_by, by.confirmed_at) if by else "",
            })  # fmt: skip
    return sorted(rows, key=lambda row: -row["number"])


def closed_periods(changes: list[Row]) -> dict[str, Row]:
    """The closings that hold now, by period."""
    return {row["period"]: row for row in changes if row["state"] == "gælder" and not row["opens"]}


def show_periods(engine, user, changes: list[Row]) -> None:
    """Draws closings and openings, and the forms that make and confirm them."""
    parts.section(PERIODS, "En bogføring hører til bogføringsdatoens måned. I en lukket periode bogføres intet; 13 er supplement.")
    if changes:
        parts.table(
            changes,
            [
                parts.Column("number", "Nr.", figure=True), parts.Column("period", "Periode"),
                parts.Column("decision", "Beslutning"), parts.Column("state", "Status"), parts.Column("decided", "Besluttet af"),
                parts.Column("confirmed", "Bekræftet af"), parts.Column("reason", "Begrundelse"),
            ],
            caption="Lukninger og åbninger, nyeste øverst", name="periods", height=320,
        )  # fmt: skip
    else:
        parts.empty_state("Alle perioder er åbne", "En periode er åben, til nogen lukker den.", small=True)
    waiting = {row["number"]: row for row in changes if row["state"] == "venter" and row["decided_by"] != user.name}
    if waiting:
        _confirm_opening(engine, user, waiting)
    if closed := closed_periods(changes):
        _reopen(engine, user, closed)
    _close(engine, user)


def _confirm_opening(engine, user, waiting: dict[int, Row]) -> None:
    with four_eyes.form("period-confirm"):
        number = st.selectbox(
            "Venter på dig", list(waiting), key=four_eyes.key("period-confirm-number"),
            format_func=lambda n: f"Åbning {n} af {waiting[n]['period']} · {waiting[n]['decided_by']}: {waiting[n]['reason']}",
        )  # fmt: skip
        if st.form_submit_button("Bekræft åbningen", type="primary", icon=":material/task_alt:"):

            def confirmed(session: Session) -> str:
                change = periods.confirm(session, user_name=user.name, change_id=number)
                return f"Regnskabsperioden {periods.name(change.year, change.period)} er åben."

            four_eyes.decide(engine, confirmed)


def _reopen(engine, user, closed: dict[str, Row]) -> None:
    with st.expander("Åbn en lukket periode; en anden skal bekræfte"), four_eyes.form("period-open"):
        name = st.selectbox("Lukket periode", list(closed), key=four_eyes.key("period-open-name"))
        reason = st.text_input(four_eyes.REASON, key=four_eyes.key("period-open-reason"))
        if st.form_submit_button("Åbn", icon=":material/lock_open:"):

            def opened(session: Session) -> str:
                year, period = closed[name]["of"]
                change = periods.reopen(session, user_name=user.name, year=year, period=period, reason=reason)
                return f"Åbning {change.change_id} af {name} venter på, at en anden bekræfter."

            four_eyes.decide(engine, opened)


def _close(engine, user) -> None:
    parts.section("Luk en periode", "Det gælder straks, og én kan gøre det; at åbne den igen kræver to.")
    with four_eyes.form("period-close"):
        left, right = st.columns(2)
        this = date.today().year
        year = left.selectbox("År", list(range(this + 1, this - 7, -1)), index=1, key=four_eyes.key("period-year"))
        period = right.selectbox(
            "Periode", list(range(1, periods.SUPPLEMENTARY + 1)), key=four_eyes.key("period-number"),
            format_func=lambda p: f"{p:02d} · {fmt.MONTHS[p - 1] if p <= 12 else 'supplementsperioden'}",
        )  # fmt: skip
        reason = st.text_input(four_eyes.REASON, key=four_eyes.key("period-close-reason"))
        if st.form_submit_button("Luk perioden", icon=":material/lock:"):

            def closed(session: Session) -> str:
                periods.close(session, user_name=user.name, year=year, period=period, reason=reason)
                return f"Regnskabsperioden {periods.name(year, period)} er lukket."

            four_eyes.decide(engine, closed)
