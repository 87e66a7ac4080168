"""Ydelsesoversættelse: the sources' service codes that are no catalogue item, the decision of what they are, and what the
sources disagree of."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboards import desk, parts, program
from dashboards import format as fmt
from dashboards.published import Published, Row
from settlement.faults import Fault
from settlement.ledger.register import MAY_BOOK

DECIDED, PREVIEW, NOTICE = (f"worklist-{kept}" for kept in ("decided", "preview", "notice"))
DEFINITION = (
    "En ydelse fra et kildesystem har systemets egen ydelseskode. Er koden ikke i kataloget, og er den ikke oversat på den dag, "
    "ydelsen begynder, venter rækken i karantæne og står her. En beslutning er en indlæsning som alle andre: den gælder også "
    "det, der er indlæst før, og den kan fortrydes.\n"
    "Forslag: katalogydelser, som ligner i kode eller navn, har tilbuddets paragraf, bruges på samme tilbud eller er "
    "svaret på systemets andre koder.\n"
    "Uenighed: hvad hvert system senest har sagt om det samme felt. Gældende er det system, indstillingen [kilder] sætter "
    "først, ellers det nyeste. Om borgere vises her kun, at systemerne er uenige; hvem og om hvad står på Borger."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    user = desk.signed_in(desk.register(instance))
    reading = desk.published(instance)
    decided = st.session_state.get(DECIDED, set())
    codes = [
        code
        for code in reading.rows(
            """SELECT * EXCLUDE (build_id) FROM marts.service_worklist
            ORDER BY waiting_rows + service_lines DESC, source_system, source_code"""
        )
        if (code["source_system"], code["source_code"]) not in decided
    ]
    conflicts = reading.row("SELECT count(*) AS fields FROM marts.source_conflict WHERE is_chosen")["fields"]
    parts.header(
        "Ydelsesoversættelse",
        f"{fmt.count_of(len(codes), 'kode venter', 'koder venter')} på en beslutning. "
        f"{fmt.count_of(conflicts, 'felt siges', 'felter siges')} forskelligt af kildesystemerne.",
        period="alt indlæst",
        build=reading.build,
        source="service_worklist, service_suggestion, source_conflict",
        definition=DEFINITION,
    )
    parts.figures(
        [
            parts.Figure("codes", "Koder uden ydelse", fmt.number(len(codes))),
            parts.Figure("waiting_rows", "Rækker, der venter", fmt.number(sum(code["waiting_rows"] for code in codes))),
            parts.Figure("conflicts", "Felter med uenighed", fmt.number(conflicts)),
        ]
    )
    if notice := st.session_state.pop(NOTICE, None):
        st.success(notice, icon=":material/check_circle:")
    _codes(codes)
    if codes:
        chosen = _choose(reading, codes)
        if user.role in MAY_BOOK:
            _decide(instance, user, *chosen)
        else:
            parts.empty_state("Kun visning", f"Rollen {user.role} kan ikke oversætte ydelseskoder.", small=True)
    _conflicts(reading)


def _codes(codes: list[Row]) -> None:
    parts.section("Koder uden ydelse", "Hver kode, med hvad der venter på den.")
    columns = [
        parts.coded("source_system", "Kilde"),
        parts.Column("source_code", "Kode"),
        parts.Column("source_name", "Kildens navn"),
        parts.count("waiting_rows", "Rækker venter"),
        parts.count("service_lines", "Ydelser uden beslutning"),
        parts.count("citizens", "Borgere"),
        parts.day("first_start", "Første start"),
        parts.Column("first_seen", "Set første gang", fmt.moment),
    ]
    if not codes:
        parts.empty_state("Ingen koder venter", "Alle kildernes ydelseskoder er i kataloget eller oversat.", small=True)
        return
    parts.table(codes, columns, caption="Koder, der venter på en beslutning", name="codes", height=320)
    parts.download_csv(codes, columns, "ydelseskoder.csv")


def _choose(reading: Published, codes: list[Row]) -> tuple[Row, list[Row]]:
    parts.section("Beslut", "Vælg en kode, se forslagene, og se, hvad beslutningen ændrer, før den gøres.")
    code = st.selectbox(
        "Kode",
        codes,
        format_func=lambda c: " · ".join(
            part for part in (fmt.label(c["source_system"]), c["source_code"], c["source_name"]) if part
        ),
        key="worklist-code",
    )
    suggestions = reading.rows(
        """SELECT item_code, item_name, points, reason FROM marts.service_suggestion
        WHERE source_system = $system AND source_code = $code ORDER BY place""",
        system=code["source_system"],
        code=code["source_code"],
    )
    columns = [
        parts.Column("item_code", "Ydelseskode"),
        parts.Column("item_name", "Navn"),
        parts.count("points", "Point"),
        parts.Column("reason", "Hvorfor"),
    ]
    if suggestions:
        parts.table(suggestions, columns, caption="Forslag fra kataloget", name="suggestions", height=320)
    else:
        parts.empty_state("Ingen forslag", "Intet i kataloget ligner koden. Skriv katalogets ydelseskode selv.", small=True)
    return code, suggestions


def _decide(instance, user, code: Row, suggestions: list[Row]) -> None:
    place = f"{code['source_system']}-{code['source_code']}"
    names = {s["item_code"]: s["item_name"] for s in suggestions}
    with st.form(f"decide-{place}"):
        left, right = st.columns([3, 1])
        item = left.selectbox(
            "Katalogydelse",
            list(names),
            index=0 if names else None,
            format_func=lambda i: f"{i} · {names[i]}" if names.get(i) else i,
            placeholder="Vælg et forslag, eller skriv en ydelseskode",
            accept_new_options=True,
            key=f"item-{place}",
        )
        since = right.date_input(
            "Gælder fra", value=code["first_start"] or date.today(), format="DD-MM-YYYY", key=f"from-{place}"
        )
        reason = st.text_input("Begrundelse", key=f"reason-{place}")
        look, decide = st.columns([1, 4])
        looked = look.form_submit_button("Se, hvad det ændrer", icon=":material/preview:")
        if decide.form_submit_button("Beslut", type="primary", icon=":material/check:"):
            _answer(instance, user, code, item, since, reason, preview=False)
        elif looked:
            _answer(instance, user, code, item, since, reason, preview=True)
    seen = st.session_state.get(PREVIEW)
    if seen and seen["place"] == place:
        _preview(seen)


def _answer(instance, user, code: Row, item: str | None, since: date, reason: str, *, preview: bool) -> None:
    """Asks the program to tell, or to do, what a decision is; a refusal is shown as its sentence."""
    st.session_state.pop(PREVIEW, None)
    if not item or not (preview or reason.strip()):
        st.error("Vælg en katalogydelse, og skriv en begrundelse.", icon=":material/block:")
        return
    system, name = code["source_system"], code["source_code"]
    command = [
        "worklist", "decide", system, name, item, f"--from={since:%Y-%m-%d}", f"--by={user.name}",
        f"--reason={reason.strip() or 'overvejes'}",
        *(["--preview"] if preview else []),
    ]  # fmt: skip
    try:
        with st.spinner("Regner ud, hvad det ville ændre …" if preview else "Gemmer beslutningen …"):
            answer = program.ask(instance, *command)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return
    if preview:
        st.session_state[PREVIEW] = answer | {"place": f"{system}-{name}", "item": item}
        return
    st.session_state.setdefault(DECIDED, set()).add((system, name))
    st.session_state[NOTICE] = (
        f"{name} er {item} fra {fmt.day(since)}: indlæsning {answer['load_id']}, "
        f"{fmt.count_of(answer['service_lines'], 'ydelse er ny eller ændret', 'ydelser er nye eller ændrede')}. "
        "Tallene på de andre sider følger med ved næste kørsel."
    )
    st.rerun()


def _preview(seen: Row) -> None:
    lines = next((t for t in seen["tables"] if t["table"] == "service_line"), {"new": 0, "changed": 0})
    parts.sentences(
        [
            f"Som {seen['item']}: {fmt.count_of(lines['new'], 'ydelse', 'ydelser')} ville gå ind, og "
            f"{lines['changed']} ville få den i stedet for en anden. Intet er gemt endnu."
        ],
        name="worklist-preview",
    )
    month = fmt.month(date.fromisoformat(f"{seen['through']}-01"))
    money = [
        process
        | {
            "before": fmt.oere(process["before_oere"]),
            "after": fmt.oere(process["after_oere"]),
            "difference": fmt.oere(process["after_oere"] - process["before_oere"]),
        }
        for process in seen["processes"]
    ]
    if not money:
        parts.empty_state("Ingen beløb ændres", f"Ydelserne er det samme værd til og med {month}.", small=True)
        return
    parts.table(
        money,
        [
            parts.coded("process", "Afregningsform"),
            parts.money("before", "Før"),
            parts.money("after", "Efter"),
            parts.money("difference", "Forskel", signed=True),
        ],
        caption=f"Hvad ydelserne er værd uden moms til og med {month}",
        name="worklist-money",
    )


def _conflicts(reading: Published) -> None:
    parts.section("Hvad systemerne er uenige om", "Intet overskrives: hvert systems ord står, til de er enige.")
    rows = reading.rows(
        """SELECT loader_file, subject, column_name, system, value, dated, is_chosen FROM marts.source_conflict
        ORDER BY loader_file, subject, column_name, is_chosen DESC, system"""
    )
    columns = [
        parts.Column("loader_file", "Indlæsningsfil"),
        parts.Column("subject", "Nøgle"),
        parts.Column("column_name", "Felt"),
        parts.coded("system", "System"),
        parts.Column("value", "Siger"),
        parts.day("dated", "Udtræk"),
        parts.Column("is_chosen", "Gældende", fmt.yes_no),
    ]
    parts.table(rows, columns, caption="Felter, som flere systemer siger forskelligt", name="conflicts", height=420)
    parts.download_csv(rows, columns, "uenighed.csv")


show()
