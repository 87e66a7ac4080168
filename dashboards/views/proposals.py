"""Afregning: open proposals with their preview, approval by another person, booking and documents."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import desk, explained, parts, previewed, proposal_reading
from dashboards import format as fmt
from dashboards import register_reading as reg
from dashboards.published import Row
from dashboards.views import booked_runs
from settlement.explanation import named
from settlement.faults import Fault
from settlement.impact import Preview
from settlement.ledger import bounds
from settlement.ledger.booking import approve, book
from settlement.ledger.decisions import allow_late
from settlement.ledger.delivery import deliver
from settlement.ledger.models import Proposal
from settlement.ledger.proposals import open_proposals
from settlement.ledger.register import MAY_BOOK, writing

VIEWS = ("Åbne forslag", "Bogførte kørsler")
NOTICE = "settlement-notice"
DEFINITION = (
    "Et forslag er forskellen mellem det, ydelserne er værd, og det, der er bogført, pr. ydelse, leverancemåned, "
    "pris, modpart og konto; det ændres aldrig. Nyeste leverancemåned lægges ved siden af måneden før, begge med det, "
    "der er bogført og foreslået; tidligere måneder ved siden af det bogførte. Årsagen til en sen oplysning findes ved at "
    "sammenligne grundlaget med den seneste bogførte kørsels af samme afregningsform og forud/bagud.\n"
    "Én foreslår, en anden godkender, og den, der bogfører, er ikke den, der godkendte. Bogføring kræver grønne "
    "kvalitetsporte og afvises, hvis der er bogført, siden forslaget blev lavet. Parkerede linjer er holdt ude "
    "med en årsag og kommer med, når årsagen er væk."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    user = desk.signed_in(engine)
    with Session(engine, expire_on_commit=False) as session:
        proposals = open_proposals(session)
    total = fmt.oere(sum(p.amount_oere for p in proposals))
    parts.header(
        "Afregning",
        f"{fmt.count_of(len(proposals), 'forslag', 'forslag')} venter, i alt {fmt.kroner(total)} uden moms."
        if proposals
        else "Ingen forslag venter: alt, der er skyldigt, er bogført.",
        period="til og med forslagenes leverancemåned",
        build=None,
        source="registeret: forslag, godkendelser, kørsler, bilag og udbakke",
        definition=DEFINITION,
    )
    if notice := st.session_state.pop(NOTICE, None):
        st.success(notice, icon=":material/check_circle:")
    view = st.segmented_control("Vis", VIEWS, default=VIEWS[0], required=True, key="settlement-view")
    if view == VIEWS[1]:
        booked_runs.show(instance, engine)
    elif not proposals:
        parts.empty_state(
            "Ingen åbne forslag", "Nye forslag kommer ved næste kørsel («afregning run») eller med «afregning settle»."
        )
    else:
        _proposal(instance, engine, user, proposals)


def _title(proposal: Proposal) -> str:
    """«Mellemkommunal, bagud · til og med oktober 2026 · 12 linjer · 3.400,00 kr.»"""
    what = f"{reg.process_of(proposal)} · til og med {fmt.month(proposal.through)}"
    if proposal.only_counterparty:
        what = f"Hastekørsel: kun modpart {desk.municipality_code_name(named(proposal.only_counterparty))} · {what}"
    if proposal.withdraws:
        what = f"Tilbagekaldelse af bilag {proposal.withdraws} · {what}"
    lines = fmt.count_of(proposal.line_count, "linje", "linjer")
    return f"{what} · {lines} · {fmt.kroner(fmt.oere(proposal.amount_oere))}"


def _proposal(instance, engine, user, proposals: list[Proposal]) -> None:
    by_id = {p.proposal_id: p for p in proposals}
    chosen = st.selectbox("Forslag", list(by_id), format_func=lambda i: _title(by_id[i]), key="settlement-proposal")
    proposal = by_id[chosen]
    approval = reg.approval_of(engine, proposal.proposal_id)
    try:
        read = proposal_reading.read(instance, engine, proposal)
    except Fault as missing:
        st.error(str(missing), icon=":material/block:")
        return
    previous = reg.run(engine, read.preview.run_before)
    parts.facts(
        [
            ("Forslag", str(proposal.proposal_id)),
            ("Lavet", f"{fmt.moment(proposal.created_at)} af {proposal.created_by}"),
            ("Bogføringsdato", fmt.day(proposal.booking_date)),
            ("Godkendt", f"{fmt.moment(approval['approved_at'])} af {approval['approved_by']}" if approval else "nej"),
            (
                "Sammenlignes med",
                f"kørsel {previous['run_no']}, {fmt.month(previous['through'])}"
                if previous
                else "ingen tidligere kørsel",
            ),
            ("Forslagets hash", proposal.hash[:16]),
            *([("Begrundelse", proposal.reason)] if proposal.reason else []),
        ]
    )
    parties = _parties(engine, proposal, read.preview)
    parked = reg.parked(engine, proposal.proposal_id)
    names = Names({row["counterparty"]: row["name"] for row in parties})
    _figures(read, proposal, previous, parties, parked)
    with Session(engine) as session:
        released = bounds.released(session, proposal)
    _decide(instance, engine, user, proposal, approval, read.preview)
    previewed.outside(read.preview, instance.bounds, names, released)
    previewed.parties(parties, read.preview)
    previewed.causes(read, names)
    _parked(instance, engine, user, proposal, parked, names)
    _lines(instance, engine, proposal, read, parties, names)


class Names(dict):
    """Counterparties' names by code; one that has nothing in the proposal is found in the register of municipalities."""

    def __missing__(self, code: str) -> str:
        return desk.municipality_code_name(named(code) if code else code)


def _parties(engine, proposal: Proposal, preview: Preview) -> list[Row]:
    """One row per counterparty with its name and amounts in kroner, the largest change first."""
    known = reg.parties(engine, proposal.proposal_id)
    elsewhere = reg.party_names(engine, [party.counterparty for party in preview.parties if party.counterparty not in known])
    rows = [
        {
            "counterparty": party.counterparty, "lines": party.lines, "proposed": fmt.oere(party.proposed_oere),
            "earlier": fmt.oere(party.earlier_oere), "month": fmt.oere(party.month_oere),
            "month_before": fmt.oere(party.month_before_oere), "run_before": fmt.oere(party.run_before_oere),
            "change": fmt.oere(party.month_oere - party.month_before_oere),
            "part": fmt.share(party.month_oere - party.month_before_oere, abs(party.month_before_oere)),
            "name": known.get(party.counterparty, {}).get("name") or elsewhere.get(party.counterparty)
            or Names()[party.counterparty],
            "has_ean": fmt.yes_no(bool(known.get(party.counterparty, {}).get("ean"))),
        }
        for party in preview.parties
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-abs(row["change"]), -abs(row["proposed"]), row["name"]))


def _figures(read, proposal: Proposal, previous: Row | None, parties: list[Row], parked: list[Row]) -> None:
    amount = fmt.oere(proposal.amount_oere)
    compare = ()
    if previous:
        compare = (parts.change(amount, fmt.oere(previous["amount_oere"]), f"kørsel {previous['run_no']}"),)
    fixed = read.adjustments()
    credits = [row for row in parties if row["lines"] and row["proposed"] < 0]
    parts.figures(
        [
            parts.Figure("amount", "Beløb uden moms", fmt.kroner(amount), compare),
            parts.Figure("vat", "Moms", fmt.kroner(fmt.oere(proposal.vat_oere))),
            parts.Figure(
                "lines",
                "Linjer",
                fmt.number(proposal.line_count),
                (f"Heraf {fmt.number(fixed['lines'])} reguleringer, {fmt.whole_kroner(fmt.oere(fixed['amount']))}",),
            ),
            parts.Figure(
                "parties",
                "Bilag",
                fmt.number(sum(1 for row in parties if row["lines"])),
                (f"Heraf {fmt.count_of(len(credits), 'kreditnota', 'kreditnotaer')}",),
            ),
            parts.Figure("parked", "Parkerede linjemåneder", fmt.number(len(parked)), ("Holdt ude af forslaget",)),
        ]
    )


def _decide(instance, engine, user, proposal: Proposal, approval: Row | None, preview: Preview) -> None:
    parts.section(
        "Godkend og bogfør",
        "En anden end den, der lavede forslaget, godkender; en anden end den, der godkendte, bogfører.",
    )
    if user.role not in MAY_BOOK:
        parts.empty_state(
            "Kun visning", f"Rollen {user.role} kan ikke godkende eller bogføre. Det kan en controller.", small=True
        )
        return
    with st.container(horizontal=True):
        wants_approval = st.button(
            "Godkend forslaget",
            type="primary" if not approval else "secondary",
            icon=":material/task_alt:",
            disabled=bool(approval),
            key="approve",
        )
        wants_booking = st.button(
            "Bogfør", type="primary" if approval else "secondary", icon=":material/book:", key="book"
        )
    try:
        if wants_approval:
            with writing(engine) as session:
                approve(session, proposal.proposal_id, proposal.hash, user.name)
            st.session_state[NOTICE] = (
                f"Forslag {proposal.proposal_id} er godkendt af {user.name}. En anden kan nu bogføre det."
            )
            st.rerun()
        if wants_booking:
            with st.spinner("Bogfører og skriver bilag …"):
                run = book(instance, engine, proposal.proposal_id, user.name)
            if run is None:
                raise Fault(f"Forslag {proposal.proposal_id} er tomt, så der er intet at bogføre.")
            st.session_state[NOTICE] = _deliver(instance, engine, run.run_no)
            st.rerun()
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
    if {change.verdict for change in preview.mass_changes} == {bounds.RELEASABLE}:
        _release(instance, engine, user, proposal)


def _release(instance, engine, user, proposal: Proposal) -> None:
    with st.expander("Frigiv masseændringen"), st.form("release", clear_on_submit=True):
        reason = st.text_input("Begrundelse", key="release-reason")
        if st.form_submit_button("Frigiv"):
            try:
                with writing(engine) as session:
                    bounds.release(
                        instance, session, proposal_id=proposal.proposal_id, user_name=user.name, reason=reason
                    )
            except Fault as refusal:
                st.error(str(refusal), icon=":material/block:")
            else:
                st.session_state[NOTICE] = f"Masseændringen i forslag {proposal.proposal_id} er frigivet af {user.name}."
                st.rerun()


def _deliver(instance, engine, run_no: int) -> str:
    with st.spinner("Skriver e-fakturaer, PDF og posteringer …"):
        deliver(instance, engine)
    items = reg.outbox(engine, run_no)
    late = [item for item in items if item["status"] != "leveret"]
    written = (
        f"Kørsel {run_no} er bogført. {fmt.count_of(len(items) - len(late), 'fil', 'filer')} er skrevet til udbakken"
    )
    waiting = f"; {fmt.count_of(len(late), 'fil', 'filer')} venter, se Bogførte kørsler" if late else ""
    return f"{written}{waiting}. Tallene på de andre sider følger med ved næste kørsel."


def _parked(instance, engine, user, proposal: Proposal, parked: list[Row], names: dict[str, str]) -> None:
    parts.section(
        "Parkeret", f"{fmt.count_of(len(parked), 'linjemåned er', 'linjemåneder er')} holdt ude, hver med en årsag."
    )
    if not parked:
        return
    reasons = sorted({row["reason"] for row in parked})
    reason = st.selectbox(
        "Årsag", ["", *reasons], format_func=lambda r: fmt.label(r) if r else "Alle årsager", key="parked-reason"
    )
    shown = [row | {"name": names[row["counterparty"]]} for row in parked if reason in ("", row["reason"])]
    parts.table(
        shown,
        [
            parts.Column("service_line_id", "Ydelse"),
            parts.month("delivery_month", "Leverancemåned"),
            parts.coded("reason", "Årsag"),
            parts.Column("name", "Modpart"),
        ],
        caption="Parkerede linjemåneder",
        name="parked",
        height=320,
    )
    nothing = [row | {"item_name": fmt.label(row["reason"]), "amount": None} for row in shown[: parts.ROWS_SHOWN]]
    explained.choose(instance, engine, nothing, "amount", key="explain-parked", proposal_id=proposal.proposal_id)
    late = [row for row in parked if row["reason"] == "for_sent"]
    if late and user.role in MAY_BOOK:
        _allow_late(engine, user, late, names)


def _allow_late(engine, user, late: list[Row], names: dict) -> None:
    with st.expander("Lad et for sent rejst krav komme med"), st.form("allow-late", clear_on_submit=True):
        row = st.selectbox(
            "Krav",
            late,
            key="late-claim",
            format_func=lambda r: (
                f"{r['service_line_id']} · {fmt.month(r['delivery_month'])} · {names[r['counterparty']]}"
            ),
        )
        reason = st.text_input("Begrundelse", key="late-reason")
        if st.form_submit_button("Lad kravet komme med"):
            try:
                with writing(engine) as session:
                    allow_late(
                        session,
                        user_name=user.name,
                        service_line_id=row["service_line_id"],
                        delivery_month=row["delivery_month"],
                        counterparty=row["counterparty"],
                        reason=reason,
                    )
            except Fault as refusal:
                st.error(str(refusal), icon=":material/block:")
            else:
                st.success("Afgørelsen er gemt. Kravet kommer med i det næste forslag.", icon=":material/check_circle:")


def _lines(instance, engine, proposal: Proposal, read, parties: list[Row], names: dict[str, str]) -> None:
    parts.section("Linjer")
    proposed = [row["counterparty"] for row in sorted(parties, key=lambda row: row["name"]) if row["lines"]]
    first, second, third, fourth = st.columns([2, 2, 1.3, 1.3], vertical_alignment="bottom")
    counterparty = first.selectbox(
        "Modpart", ["", *proposed], format_func=lambda c: names[c] if c else "Alle modparter", key="lines-party"
    )
    text = second.text_input("Søg i ydelse, pakke eller katalogydelse", key="lines-text")
    month = third.selectbox(
        "Leverancemåned",
        ["", *read.months()],
        format_func=lambda at: fmt.month(at) if at else "Alle måneder",
        key="lines-month",
    )
    only = fourth.checkbox("Kun reguleringer", key="lines-adjustments")
    wanted = proposal_reading.Chosen(counterparty, text.strip(), month or None, only)
    found, amount = read.count_and_sum(wanted)
    rows = [row | {"name": names[row["counterparty"]]} for row in read.lines(wanted, parts.ROWS_SHOWN)]
    columns = [
        parts.Column("service_line_id", "Ydelse"),
        parts.Column("package_id", "Pakke"),
        parts.Column("item_name", "Katalogydelse"),
        parts.month("delivery_month", "Leverancemåned"),
        parts.Column("quantity", "Antal", figure=True),
        parts.coded("unit", "Enhed"),
        parts.money("price", "Pris"),
        parts.money("amount", "Beløb"),
        parts.money("vat", "Moms"),
        parts.Column("name", "Modpart"),
        parts.Column("account", "Konto"),
        parts.Column("is_adjustment", "Regulering", fmt.yes_no),
        parts.Column("corrects", "Retter"),
    ]
    more = f"; de første {fmt.number(len(rows))} vises" if found > len(rows) else ""
    parts.table(
        rows,
        columns,
        name="lines",
        caption=f"{fmt.count_of(found, 'linje', 'linjer')}, i alt {fmt.kroner(fmt.oere(amount))}{more}",
        total={"amount": fmt.oere(amount)},
    )
    explained.choose(instance, engine, rows, "amount", key="explain-line", proposal_id=proposal.proposal_id)
    if found and st.button("Gør CSV med alle linjer klar", icon=":material/table_view:", key="lines-prepare"):
        every = [row | {"name": names[row["counterparty"]]} for row in read.lines(wanted, None)]
        parts.download_csv(every, columns, f"forslag-{proposal.proposal_id}.csv")


show()
