"""Afregning: open proposals against last month's run, approval by another person, booking and documents."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import charts, desk, explained, parts
from dashboards import format as fmt
from dashboards import register_reading as reg
from dashboards.published import Row
from dashboards.views import booked_runs
from settlement.faults import Fault
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
    "pris, modpart og konto; det ændres aldrig. Det sammenlignes med den seneste bogførte kørsel af samme "
    "afregningsform og forud/bagud.\n"
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


def _proposal(instance, engine, user, proposals: list[Proposal]) -> None:
    by_id = {p.proposal_id: p for p in proposals}
    chosen = st.selectbox(
        "Forslag",
        list(by_id),
        format_func=lambda i: (
            f"{reg.process_of(by_id[i])} · til og med {fmt.month(by_id[i].through)} · "
            f"{fmt.count_of(by_id[i].line_count, 'linje', 'linjer')} · {fmt.kroner(fmt.oere(by_id[i].amount_oere))}"
        ),
        key="settlement-proposal",
    )
    proposal = by_id[chosen]
    approval = reg.approval_of(engine, proposal.proposal_id)
    previous = reg.previous_run(engine, proposal.process, proposal.timing)
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
        ]
    )
    parties = _parties(engine, proposal, previous)
    parked = reg.parked(engine, proposal.proposal_id)
    _figures(engine, proposal, previous, parties, parked)
    _decide(instance, engine, user, proposal, approval)
    _by_counterparty(parties, previous)
    _largest_changes(engine, proposal, previous, parties)
    _parked(instance, engine, user, proposal, parked, parties)
    _lines(instance, engine, proposal, parties)


def _parties(engine, proposal: Proposal, previous: Row | None) -> list[Row]:
    rows = reg.by_counterparty(engine, proposal.proposal_id, previous["run_no"] if previous else None)
    return [
        row
        | {
            "now": fmt.oere(row["now"]),
            "before": fmt.oere(row["before"]),
            "change": fmt.oere(row["now"] - row["before"]),
            "part": fmt.share(row["now"] - row["before"], abs(row["before"])),
        }
        for row in rows
    ]


def _figures(engine, proposal: Proposal, previous: Row | None, parties: list[Row], parked: list[Row]) -> None:
    amount = fmt.oere(proposal.amount_oere)
    compare = ()
    if previous:
        compare = (parts.change(amount, fmt.oere(previous["amount_oere"]), f"kørsel {previous['run_no']}"),)
    fixed = reg.adjustments(engine, proposal.proposal_id)
    credits = [row for row in parties if row["lines"] and row["now"] < 0]
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


def _decide(instance, engine, user, proposal: Proposal, approval: Row | None) -> None:
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


def _by_counterparty(parties: list[Row], previous: Row | None) -> None:
    moved = [row for row in parties if row["change"]]
    sentence = "Der er ingen tidligere kørsel at sammenligne med; største beløb øverst."
    if previous:
        beside = f"kørsel {previous['run_no']} ({fmt.month(previous['through'])})"
        changed = fmt.count_of(len(moved), "modpart har", "modparter har")
        sentence = f"{changed} et andet beløb end i {beside}. Største ændring øverst."
    parts.section("Modparter", sentence)
    left, right = st.columns([3, 5], gap="large")
    with left:
        charts.horizontal(
            [
                {
                    "name": row["name"],
                    "value": charts.plain(row["change"] / 1000),
                    "text": fmt.number(row["change"] / 1000, signed=True),
                    "tip": f"{row['name']}: {fmt.kroner(row['change'], signed=True)}",
                }
                for row in moved[:15]
            ],
            value_title="ændring i 1.000 kr.",
            number_format=",.0f",
            alt_text="De 15 største ændringer pr. modpart; tallene står i tabellen ved siden af",
        )
    with right:
        parts.table(
            parties,
            [
                parts.Column("name", "Modpart"),
                parts.count("lines", "Linjer"),
                parts.money("now", "Forslag"),
                parts.money("before", "Seneste kørsel"),
                parts.money("change", "Ændring", signed=True),
                parts.percent("part", "Ændring i %", signed=True),
                parts.Column("has_ean", "EAN"),
            ],
            caption="Beløb uden moms pr. modpart mod seneste kørsel",
            name="parties",
            total={
                "name": "I alt",
                **{key: sum(row[key] for row in parties) for key in ("lines", "now", "before", "change")},
            },
        )


def _largest_changes(engine, proposal: Proposal, previous: Row | None, parties: list[Row]) -> None:
    names = {row["counterparty"]: row["name"] for row in parties}
    rows = [
        row
        | {"name": _named(names, row["counterparty"]), "change": fmt.oere(row["now"] - row["before"])}
        | {"now": fmt.oere(row["now"]), "before": fmt.oere(row["before"])}
        for row in reg.largest_changes(engine, proposal.proposal_id, previous["run_no"] if previous else None)
    ]
    parts.section("Største ændringer", "De ti ydelser, hvis beløb flytter sig mest mod seneste kørsel.")
    parts.table(
        rows,
        [
            parts.Column("service_line_id", "Ydelse"),
            parts.Column("item_name", "Katalogydelse"),
            parts.Column("name", "Modpart"),
            parts.money("now", "Forslag"),
            parts.money("before", "Seneste kørsel"),
            parts.money("change", "Ændring", signed=True),
        ],
        caption="Ti største ændringer pr. ydelse",
        name="largest-changes",
    )


def _named(names: dict[str, str], counterparty: str) -> str:
    """A counterparty's name; one that has nothing in the proposal is found in the register of municipalities."""
    return names.get(counterparty) or desk.municipality_code_name(counterparty)


def _parked(instance, engine, user, proposal: Proposal, parked: list[Row], parties: list[Row]) -> None:
    parts.section(
        "Parkeret", f"{fmt.count_of(len(parked), 'linjemåned er', 'linjemåneder er')} holdt ude, hver med en årsag."
    )
    if not parked:
        return
    reasons = sorted({row["reason"] for row in parked})
    reason = st.selectbox(
        "Årsag", ["", *reasons], format_func=lambda r: fmt.label(r) if r else "Alle årsager", key="parked-reason"
    )
    names = {row["counterparty"]: row["name"] for row in parties}
    shown = [row | {"name": _named(names, row["counterparty"])} for row in parked if reason in ("", row["reason"])]
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
                f"{r['service_line_id']} · {fmt.month(r['delivery_month'])} · {_named(names, r['counterparty'])}"
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


def _lines(instance, engine, proposal: Proposal, parties: list[Row]) -> None:
    parts.section("Linjer")
    names = {row["counterparty"]: row["name"] for row in parties}
    proposed = [row["counterparty"] for row in sorted(parties, key=lambda row: row["name"]) if row["lines"]]
    first, second, third, fourth = st.columns([2, 2, 1.3, 1.3], vertical_alignment="bottom")
    counterparty = first.selectbox(
        "Modpart", ["", *proposed], format_func=lambda c: names.get(c, c) if c else "Alle modparter", key="lines-party"
    )
    text = second.text_input("Søg i ydelse, pakke eller katalogydelse", key="lines-text")
    month = third.selectbox(
        "Leverancemåned",
        ["", *reg.line_months(engine, proposal.proposal_id)],
        format_func=lambda at: fmt.month(at) if at else "Alle måneder",
        key="lines-month",
    )
    only = fourth.checkbox("Kun reguleringer", key="lines-adjustments")
    query = reg.lines(
        engine, proposal.proposal_id, counterparty=counterparty, text=text.strip(), month=month, only_adjustments=only
    )
    found, amount = reg.count_and_sum(engine, query)
    rows = [
        row | {"name": _named(names, row["counterparty"])} for row in reg.line_rows(engine, query, parts.ROWS_SHOWN)
    ]
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
        every = [row | {"name": _named(names, row["counterparty"])} for row in reg.line_rows(engine, query, None)]
        parts.download_csv(every, columns, f"forslag-{proposal.proposal_id}.csv")


show()
