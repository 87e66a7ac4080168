"""Fakturabetaling: an incoming invoice and what was granted, side by side; what people decide; and the payment of what is ready."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import desk, invoice_parts, parts, program
from dashboards import format as fmt
from dashboards.published import Published, Row, open_persons
from settlement.faults import Fault
from settlement.invoices import decisions
from settlement.invoices.reasons import OUTCOMES, PAYABLE, REASONS
from settlement.ledger.access import log_access
from settlement.ledger.register import MAY_BOOK, MAY_SEE_CITIZENS, writing

AT, LOGGED, NOTICE = (f"invoice-{kept}" for kept in ("at", "logged", "notice"))
SHOWN = 500
TODO = ("afventer", "delvist", "fejl_faktura", "fejl_registrering", "over_disponering", "borger")
DEFINITION = (
    "Hver faktura lægges ved siden af det, der er bevilget hos leverandøren i den periode, den dækker, og betales uden en "
    "person, når alle linjer svarer til det bevilgede inden for tolerancen, og der er så meget tilbage i måneden. Resten får "
    "en årsag. En persons beslutning gælder fra næste betaling; over grænsen skal en anden bekræfte den.\n"
    "Klar: kan betales nu, uden moms. Betalt: bogført i regnskabet; svaret er økonomisystemets kvittering."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    user = desk.signed_in(engine)
    reading = desk.published(instance)
    sums = {
        row["outcome"]: row
        for row in reading.rows(
            """SELECT outcome, count(*) AS documents, sum(ready_dkk) AS ready, sum(paid_dkk) AS paid, sum(payable_dkk) AS payable
            FROM marts.invoice_payment GROUP BY outcome"""
        )
    }
    waiting = sum(sums[o]["documents"] for o in TODO if o in sums)
    ready = [sums[o] for o in PAYABLE if o in sums]
    parts.header(
        "Fakturabetaling",
        f"{fmt.count_of(waiting, 'faktura venter', 'fakturaer venter')} på en person; "
        f"{fmt.kroner(sum((row['ready'] for row in ready), Decimal()))} er klar til betaling.",
        period="alle modtagne fakturaer",
        build=reading.build,
        source="invoice_payment, invoice_line, invoice_line_service; registeret: beslutninger",
        definition=DEFINITION,
    )
    _figures(sums, waiting, ready)
    if notice := st.session_state.pop(NOTICE, None):
        st.success(notice, icon=":material/check_circle:")
    may_decide = user.role in MAY_BOOK
    if may_decide:
        _pay(instance, engine, user, ready)
        _confirm(instance, engine, user)
        _rules(instance, engine, user)
    documents = _choose(reading, sums)
    if not documents:
        return
    document = _step(documents)
    if user.role not in MAY_SEE_CITIZENS:
        parts.empty_state("Ingen adgang til linjerne", f"Rollen {user.role} ser ingen borgere.", small=True)
        return
    _document(instance, engine, user, document, may_decide)


def _figures(sums: dict[str, Row], waiting: int, ready: list[Row]) -> None:
    def count(outcome: str) -> int:
        return sums[outcome]["documents"] if outcome in sums else 0

    parts.figures(
        [
            parts.Figure("waiting", "Venter på en person", fmt.number(waiting)),
            parts.Figure(
                "ready", "Klar til betaling", fmt.kroner(sum((row["ready"] for row in ready), Decimal())),
                (fmt.count_of(sum(row["documents"] for row in ready), "faktura", "fakturaer"),),
            ),
            parts.Figure(
                "paid", "Betalt", fmt.kroner(sum((row["paid"] for row in sums.values()), Decimal())),
                (fmt.count_of(count("betalt"), "faktura helt betalt", "fakturaer helt betalt"),),
            ),
            parts.Figure("duplicates", "Dubletter", fmt.number(count("dublet"))),
        ]
    )  # fmt: skip


def _pay(instance, engine, user, ready: list[Row]) -> None:
    count = sum(row["documents"] for row in ready)
    with Session(engine, expire_on_commit=False) as session:
        rejected = len(decisions.to_return(session, instance))
    said = f"Betal {fmt.count_of(count, 'klar faktura', 'klare fakturaer')}"
    back = f"send {fmt.count_of(rejected, 'afvist', 'afviste')} tilbage"
    said = f"{said}, og {back}" if count and rejected else back.capitalize() if rejected else said
    if st.button(
        said, type="primary", disabled=not (count or rejected), icon=":material/payments:", key="invoice-pay"
    ):
        try:
            with st.spinner("Matcher på ny og bogfører …"):
                answer = program.ask(instance, "invoice", "pay", f"--by={user.name}")
        except Fault as refusal:
            st.error(str(refusal), icon=":material/block:")
            return
        st.session_state[NOTICE] = answer["told"]
        st.rerun()


def _confirm(instance, engine, user) -> None:
    with Session(engine, expire_on_commit=False) as session:
        waiting = decisions.waiting(session, instance)
    if not waiting:
        return
    parts.section("Venter på en anden", "Beslutninger over grænsen gælder først, når en anden har bekræftet dem.")
    for decision in waiting:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.write(
            f"**{decision.decided_by}**: {decisions.ACTIONS[decision.action]} · {fmt.kroner(fmt.oere(decision.amount_oere))} · "
            f"CVR {decision.sender_cvr} · «{decision.reason}»"
        )
        if right.button("Bekræft", key=f"confirm-{decision.decision_id}", disabled=decision.decided_by == user.name):
            _do(engine, lambda session, d=decision: decisions.confirm(session, user_name=user.name, decision_id=d.decision_id),
                "Beslutningen er bekræftet og gælder ved næste betaling.")  # fmt: skip


def _rules(instance, engine, user) -> None:
    with Session(engine, expire_on_commit=False) as session:
        proposed = decisions.proposed_rules(session, instance)
    for rule in proposed:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.write(
            f"**Forslag til regel**: hos CVR {rule.sender_cvr} betyder «{rule.item_words}» ydelsen {rule.item_code}; valgt "
            f"{fmt.count_of(rule.choices, 'gang', 'gange')}."
        )
        if right.button("Gør til regel", key=f"rule-{rule.sender_cvr}-{rule.item_words}-{rule.item_code}"):
            _do(engine, lambda session, r=rule: decisions.accept_rule(
                session, instance, user_name=user.name, sender_cvr=r.sender_cvr, item_words=r.item_words, item_code=r.item_code
            ), "Reglen gælder fra næste match.")  # fmt: skip


def _choose(reading: Published, sums: dict[str, Row]) -> list[Row]:
    """The invoices of the chosen outcome, the oldest first; at most SHOWN of them are fetched."""
    outcomes = [o for o in OUTCOMES if o in sums]
    if not outcomes:
        parts.empty_state("Ingen fakturaer", "Læg e-fakturaer i landing/fakturaer, og kør «afregning run».")
        return []
    left, right = st.columns([2, 3])
    chosen = left.selectbox(
        "Udfald", outcomes, index=next((i for i, o in enumerate(outcomes) if o in TODO), 0),
        format_func=lambda o: f"{OUTCOMES[o][0]} ({fmt.number(sums[o]['documents'])})", key="invoice-outcome",
    )  # fmt: skip
    wanted = right.text_input("Leverandør eller fakturanummer", key="invoice-search").strip()
    documents = reading.rows(
        """SELECT * EXCLUDE (build_id) FROM marts.invoice_payment
        WHERE outcome = $outcome AND ($wanted = '' OR sender_cvr = $wanted OR contains(lower(document_number), lower($wanted))
            OR contains(lower(sender_name), lower($wanted)))
        ORDER BY received, due_date, sender_cvr, document_number LIMIT $shown""",
        outcome=chosen, wanted=wanted, shown=SHOWN,
    )  # fmt: skip
    parts.section(OUTCOMES[chosen][0], OUTCOMES[chosen][1])
    columns = [
        parts.Column("sender_name", "Leverandør"),
        parts.Column("sender_cvr", "CVR"),
        parts.Column("document_number", "Nummer"),
        parts.coded("kind", "Art"),
        parts.day("issue_date", "Dato"),
        parts.day("due_date", "Forfald"),
        parts.money("payable_dkk", "Til betaling"),
        parts.Column("reason", "Årsag", lambda reason: REASONS[reason][0] if reason else fmt.NONE),
        parts.money("ready_dkk", "Klar"),
        parts.money("paid_dkk", "Betalt"),
        parts.Column("voucher", "Bilag"),
        parts.coded("receipt_status", "Økonomisystemet"),
    ]
    parts.table(documents, columns, caption="Fakturaer", name="invoices", limit=50, height=260)
    parts.download_csv(documents, columns, "fakturaer.csv")
    return documents


def _step(documents: list[Row]) -> Row:
    """The invoice looked at: chosen by name, or stepped to with the arrows (Alt and ← →)."""
    key = tuple(document["document_id"] for document in documents)
    if st.session_state.get(AT, (None, 0))[0] != key:
        st.session_state[AT] = (key, 0)
    at = st.session_state[AT][1]
    before, after, place = st.columns([1, 1, 6], vertical_alignment="center")

    def step(by: int) -> None:
        st.session_state[AT] = (key, at + by)

    before.button("Forrige", shortcut="Alt+Left", disabled=at == 0, key="invoice-before", on_click=step, args=(-1,))
    after.button("Næste", shortcut="Alt+Right", disabled=at == len(documents) - 1, key="invoice-after", on_click=step, args=(1,))
    place.write(f"Faktura {at + 1} af {len(documents)}" + (" (de første)" if len(documents) == SHOWN else ""))
    return documents[at]


def _document(instance, engine, user, document: Row, may_decide: bool) -> None:
    persons = open_persons(instance)
    lines = persons.rows(
        """SELECT * EXCLUDE (build_id) FROM marts_person.invoice_line WHERE document_id = $id
        ORDER BY try_cast(line_number AS INT), line_number""",
        id=document["document_id"],
    )
    services = persons.rows(
        """SELECT s.* EXCLUDE (build_id), c.name FROM marts_person.invoice_line_service AS s
        LEFT JOIN marts_person.citizen AS c ON c.cpr = s.cpr WHERE s.document_id = $id ORDER BY s.line_number, s.delivery_month""",
        id=document["document_id"],
    )
    if not _log(engine, user, document, {row["cpr"] for row in services}):
        return
    left, right = st.columns(2, gap="medium")
    with left:
        told = invoice_parts.paper(instance, document)
    with right:
        invoice_parts.granted(document, lines, services)
        made = _decisions(instance, engine, document)
        if may_decide and document["outcome"] not in ("betalt", "dublet"):
            _decide(engine, user, document, lines, services, told)
        invoice_parts.decided(made)


def _log(engine, user, document: Row, citizens: set[str]) -> bool:
    """Every citizen shown is logged, once for each time an invoice is opened."""
    if st.session_state.get(LOGGED) == document["document_id"]:
        return True
    try:
        with writing(engine) as session:
            for cpr in sorted(citizens):
                log_access(session, user.name, "opslag", cpr, f"Fakturabetaling: faktura {document['document_number']}")
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return False
    st.session_state[LOGGED] = document["document_id"]
    return True


def _decisions(instance, engine, document: Row):
    with Session(engine, expire_on_commit=False) as session:
        return [d for d in decisions.in_force(session, instance) if d.document_id == document["document_id"]]


def _decide(engine, user, document: Row, lines: list[Row], services: list[Row], told: str) -> None:
    """What a person decides of one line, or of the whole invoice; the services offered are those the line may be for, and
    `told` is the reason proposed for a rejection."""
    by_line = {line["line_number"]: line for line in lines}
    numbers = [n for n, line in by_line.items() if line["reason"] not in ("", "betalt")] or list(by_line)
    number = st.selectbox(
        "Linje at afgøre", numbers,
        format_func=lambda n: f"{n} · {by_line[n]['item_name']} · {fmt.kroner(by_line[n]['amount_dkk'])}",
        key=f"line-{document['document_id'][:12]}",
    )  # fmt: skip
    place = f"{document['document_id'][:12]}-{number}"
    possible = [s for s in services if s["role"] != "betalt" and s["line_number"] == number]
    names = {s["service_line_id"]: f"{s['service_line_id']} · {s['item_name']} · {s['name'] or ''}" for s in possible}
    charged = (by_line[number]["period_from"] or document["issue_date"]).replace(day=1)
    # Enter in a field would press the first button, and pay.
    with st.form(f"decide-{place}", border=True, enter_to_submit=False):
        chosen = st.selectbox(
            "Ydelse", list(names), index=0 if names else None, format_func=lambda s: names.get(s, s),
            placeholder="Skriv et ydelse_id", accept_new_options=True, key=f"service-{place}",
        )  # fmt: skip
        first, second = st.columns([1, 2])
        months = sorted({charged, *(s["delivery_month"] for s in possible)})
        month = first.selectbox("Leverancemåned", months, format_func=fmt.month, key=f"month-{place}")
        reason = second.text_input("Begrundelse; leverandøren læser den ved afvisning", told, key=f"reason-{place}")
        left, right = st.columns(2)
        pressed = {
            "match": left.form_submit_button("Betal linjen som ydelsen", shortcut="Alt+B", width="stretch"),
            "omtvist": right.form_submit_button("Omtvist linjen", shortcut="Alt+O", width="stretch"),
            "godkend": left.form_submit_button("Godkend fakturaen", shortcut="Alt+G", width="stretch"),
            "afvis": right.form_submit_button("Afvis fakturaen", shortcut="Alt+A", width="stretch"),
        }
    action = next((name for name, was in pressed.items() if was), None)
    if action is None:
        return
    if action != "afvis" and reason == told:
        reason = ""  # why it goes back is not why it is paid
    line = by_line[number]
    is_whole = action in ("godkend", "afvis")
    amount = document["payable_dkk"] if is_whole else line["amount_dkk"]
    _do(engine, lambda session: decisions.decide(
        session, user_name=user.name, action=action, document_id=document["document_id"], sender_cvr=document["sender_cvr"],
        document_number=document["document_number"],
        amount_oere=int(amount * 100), reason=reason, line_number="" if is_whole else number,
        service_line_id=(chosen or "") if action == "match" else "", delivery_month=month if action == "match" else None,
        item_words=line["item_words"],
        item_code=next((s["item_code"] for s in possible if s["service_line_id"] == chosen), "") if action == "match" else "",
    ), "Beslutningen er gemt og gælder ved næste betaling.")  # fmt: skip


def _do(engine, change, told: str) -> None:
    """Makes one change in the register, and says it; a refusal is shown as its sentence."""
    try:
        with writing(engine) as session:
            change(session)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return
    st.session_state[NOTICE] = told
    st.rerun()


show()
