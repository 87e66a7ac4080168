"""Indlæsning: templates, upload with a preview of what it would change, undoing of a load, and extracts that are held back."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from datetime import date
from pathlib import Path

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import desk, parts, program
from dashboards import format as fmt
from dashboards.published import Published, Row, open_published
from settlement.faults import Fault
from settlement.ledger import extracts
from settlement.ledger.register import DECENTRAL, MAY_BOOK, MAY_LOAD, writing

SEND, TEMPLATES, LOADS, HELD = VIEWS = ("Indlæs filer", "Skabeloner", "Seneste indlæsninger", "Holdt tilbage")
PREVIEW, RECEIPTS, UPLOADS, UNDO, NOTICE = (f"intake-{kept}" for kept in ("preview", "receipts", "uploads", "undo", "notice"))
LOADS_SHOWN = 50
DEFINITION = (
    "En indlæsning dømmes under ét: gode rækker går ind, afviste rækker sættes i karantæne med en årsag. Hvad den ville "
    "ændre, regnes ud, før den gøres: rækker, der ville være nye, ændrede eller trukket tilbage, og hvad ydelserne er værd før "
    "og efter til og med den seneste hele måned. Intet er gemt, før der er indlæst.\n"
    "En fortrydelse er en ny indlæsning: det, den gamle ændrede, står igen som før den; hvad en senere indlæsning har ændret "
    "siden, bliver. Begge står i historikken.\n"
    "Et fuldt udtræk, der ville trække for mange rækker tilbage, er holdt tilbage, til en controller frigiver det. Det tages "
    "ind ved næste kørsel; så følger også tallene på de andre sider."
)
COUNTS = [
    parts.count("rows_read", "Læst"),
    parts.count("rows_accepted", "Modtaget"),
    parts.count("rows_quarantined", "Karantæne"),
    parts.count("rows_outdated", "Forældet"),
    parts.count("rows_warned", "Advarsler"),
]
CHANGED = [
    parts.Column("file", "Indlæsningsfil"),
    parts.count("new", "Nye"),
    parts.count("changed", "Ændrede"),
    parts.count("withdrawn", "Trukket tilbage"),
]


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    user = desk.signed_in(engine)
    reading = open_published(instance)
    with Session(engine, expire_on_commit=False) as session:
        held = extracts.waiting(session)
    unreleased = sum(1 for _, by in held if by is None)
    parts.header(
        "Indlæsning",
        f"{fmt.count_of(unreleased, 'udtræk er', 'udtræk er')} holdt tilbage og venter på en beslutning."
        if unreleased
        else "Ingen udtræk er holdt tilbage.",
        period="de seneste indlæsninger",
        build=reading.build if reading else None,
        source="load; holdte udtræk direkte fra registeret",
        definition=DEFINITION,
    )
    if notice := st.session_state.pop(NOTICE, None):
        st.success(notice, icon=":material/check_circle:")
    # A decentral user hands in files; what others have handed in is theirs to see and undo.
    views = (SEND, TEMPLATES) if user.role == DECENTRAL else VIEWS
    view = st.segmented_control("Vis", views, default=SEND, required=True, key="intake-view")
    if view == TEMPLATES:
        _templates(instance)
    elif view == LOADS:
        _loads(instance, user, reading)
    elif view == HELD:
        _held(engine, user, held)
    elif user.role in MAY_LOAD:
        _send(instance, user)
    else:
        parts.empty_state("Kun visning", f"Rollen {user.role} kan ikke indlæse filer.", small=True)


def _send(instance, user) -> None:
    parts.section("Indlæs filer", "Vælg filer, se, hvad de ville ændre, og indlæs dem så. En zip pakkes ud.")
    sent = st.file_uploader(
        "Indlæsningsfiler (CSV, XLSX eller zip), navngivet som skabelonerne",
        accept_multiple_files=True,
        key=f"{UPLOADS}-{st.session_state.get(UPLOADS, 0)}",
    )
    files = [(file.name, file.getvalue()) for file in sent]
    same = hashlib.sha256(repr([(name, hashlib.sha256(content).hexdigest()) for name, content in files]).encode()).hexdigest()
    if st.session_state.get(PREVIEW, {}).get("files") != same:
        st.session_state.pop(PREVIEW, None)
    if files and st.button("Se, hvad det ændrer", icon=":material/preview:", key="intake-look"):
        with st.spinner("Regner ud, hvad det ville ændre …"):
            answer = _ask(instance, files, "load", f"--by={user.name}", "--preview")
            if answer:
                st.session_state[PREVIEW] = {"files": same, "answer": answer}
    if seen := st.session_state.get(PREVIEW):
        _preview(seen["answer"])
        usable = any(not file["fault"] for file in seen["answer"]["files"])
        if st.button("Indlæs", type="primary", icon=":material/publish:", key="intake-load", disabled=not usable):
            with st.spinner("Indlæser …"):
                answer = _ask(instance, files, "load", f"--by={user.name}")
                if answer:
                    _keep_receipt(answer)
            if answer:
                st.session_state[UPLOADS] = st.session_state.get(UPLOADS, 0) + 1
                del st.session_state[PREVIEW]
                st.rerun()
    elif (receipts := st.session_state.get(RECEIPTS)) and "undoes" not in receipts[-1]:
        _receipt(receipts[-1])


def _ask(instance, files, *command) -> Row | None:
    """The program's answer to a command with the files sent; shown as its sentence where it has none."""
    try:
        with program.written(files) as paths:
            return program.ask(instance, *command, *paths)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return None


def _keep_receipt(answer: Row) -> None:
    st.session_state.setdefault(RECEIPTS, []).append(answer)


def _preview(answer: Row) -> None:
    parts.section("Det ville ændre", "Intet er gemt endnu.")
    _files(answer)
    _changes(answer)


def _receipt(answer: Row) -> None:
    if answer["load_id"] is None:
        st.error("Intet er indlæst. Ret filerne, og send dem igen.", icon=":material/block:")
    else:
        st.success(
            f"Indlæsning {answer['load_id']} er gennemført. Tallene på de andre sider følger med ved næste kørsel.",
            icon=":material/check_circle:",
        )
    parts.section("Kvittering")
    _files(answer)
    _rows_changed(answer)


def _files(answer: Row) -> None:
    """Rows per file, what was refused and why; no cell of any row."""
    for file in answer["files"]:
        if file["fault"] or file["held"]:
            st.error(file["fault"] or file["held"], icon=":material/block:")
    read = [file for file in answer["files"] if not file["fault"] and not file["held"]]
    if read:
        parts.table(read, [parts.Column("name", "Fil"), *COUNTS], caption="Rækker pr. fil", name="intake-files", height=320)
    parts.sentences([remark for file in read for remark in file["remarks"]], name="intake-remarks")
    if refused := answer.get("refused"):
        parts.table(
            refused,
            [
                parts.Column("name", "Fil"),
                parts.count("rows", "Rækker"),
                parts.Column("reason", "Årsag", fmt.label),
                parts.Column("column", "Kolonne"),
                parts.Column("message", "Hvad er galt, og hvad gøres"),
            ],
            caption="Rækker, der ville blive afvist",
            name="intake-refused",
            height=320,
        )


def _changes(answer: Row) -> None:
    _rows_changed(answer)
    if answer.get("left"):
        rows = fmt.count_of(answer["left"], "række", "rækker")
        parts.sentences([f"{rows} er ændret af senere indlæsninger og bliver, som de er."], name="intake-left")
    month = fmt.month(date.fromisoformat(f"{answer['through']}-01"))
    money = [
        process
        | {
            "before": fmt.oere(process["before_oere"]),
            "after": fmt.oere(process["after_oere"]),
            "difference": fmt.oere(process["after_oere"] - process["before_oere"]),
        }
        for process in answer["processes"]
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
            parts.count("line_months", "Ydelsesmåneder"),
        ],
        caption=f"Hvad ydelserne er værd uden moms til og med {month}",
        name="intake-money",
        total={key: sum(row[key] for row in money) for key in ("before", "after", "difference", "line_months")},
    )


def _rows_changed(answer: Row) -> None:
    if answer["tables"]:
        parts.table(answer["tables"], CHANGED, caption="Rækker pr. indlæsningsfil", name="intake-tables", height=320)
    else:
        parts.empty_state("Ingen rækker ændres", "Filerne siger det, der står i forvejen, eller intet kunne bruges.", small=True)


def _templates(instance) -> None:
    parts.section("Skabeloner", "Udfyld en skabelon, og behold filens navn. Kolonnernes rækkefølge er fri, og kun nøglen skal med.")
    try:
        described, content = _written_templates(instance)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return
    by_name = {file["file"]: file for file in described}
    chosen = st.selectbox("Indlæsningsfil", list(by_name), format_func=lambda name: by_name[name]["title"], key="template")
    with st.container(horizontal=True):
        for ending, kind in (("xlsx", "Excel"), ("csv", "CSV")):
            name = f"{chosen}.{ending}"
            st.download_button(
                f"Hent {name}", content[name], name, key=f"template-{kind}", icon=":material/download:", on_click="ignore"
            )
        st.download_button(
            "Hent alle (zip)", content["skabeloner.zip"], "skabeloner.zip", key="template-all", icon=":material/folder_zip:",
            on_click="ignore",
        )  # fmt: skip
    columns = [
        column | {"needed": "nøgle" if column["is_key"] else fmt.yes_no(column["required"])}
        for column in by_name[chosen]["columns"]
    ]
    parts.table(
        columns,
        [
            parts.Column("name", "Kolonne"),
            parts.Column("meaning", "Hvad den siger"),
            parts.Column("expected", "Skrives som"),
            parts.Column("needed", "Skal udfyldes"),
            parts.Column("default", "Standardværdi"),
            parts.Column("example", "Eksempel"),
        ],
        caption=f"Kolonner i {chosen}. Kolonner, du sletter, ændrer intet; en tom celle sætter standardværdien",
        name="template-columns",
        height=640,
    )


@st.cache_resource(show_spinner="Skriver skabelonerne …")
def _written_templates(_instance) -> tuple[list[Row], dict[str, bytes]]:
    """What each template's columns mean, and the files by name, with all of them in one zip. The same for every instance."""
    with tempfile.TemporaryDirectory(prefix="afregning-") as folder:
        described = program.ask(_instance, "templates", "--out", folder)
        content = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, written in content.items():
            archive.writestr(name, written)
    return described, content | {"skabeloner.zip": packed.getvalue()}


def _loads(instance, user, reading: Published | None) -> None:
    parts.section("Seneste indlæsninger", "Tællet ved den seneste kørsel; dem, du selv har gjort siden, står øverst.")
    rows = _newest_loads(reading)
    if not rows:
        parts.empty_state("Der er ingen indlæsninger endnu", "Indlæs filer, eller læg udtræk i landing-mapperne.", small=True)
        return
    parts.table(
        rows,
        [
            parts.Column("load_id", "Indlæsning", figure=True),
            parts.Column("received_at", "Hvornår", lambda at: fmt.moment(at) if at else "netop nu"),
            parts.Column("received_by", "Hvem"),
            parts.Column("system", "System", _systems),
            parts.day("dated", "Udtræk"),
            parts.count("files", "Filer"),
            parts.count("rows_read", "Læst"),
            parts.count("rows_accepted", "Modtaget"),
            parts.count("rows_quarantined", "Karantæne"),
            parts.count("rows_withdrawn", "Trukket tilbage"),
            parts.Column("undoes", "Fortryder"),
            parts.Column("undone_by", "Fortrudt i"),
        ],
        caption="De seneste indlæsninger",
        name="loads",
    )
    if user.role in MAY_LOAD:
        _undo(instance, user, {row["load_id"]: row for row in rows if not row["undone_by"]})


def _systems(systems: str) -> str:
    return ", ".join(fmt.label(system) for system in systems.split(", "))


def _newest_loads(reading: Published | None) -> list[Row]:
    """The loads of the published build, newest first, and above them those of this session that came after it."""
    rows = reading.rows(f"FROM marts.load ORDER BY load_id DESC LIMIT {LOADS_SHOWN}") if reading else []
    by_id = {row["load_id"]: dict(row) for row in rows}
    for answer in st.session_state.get(RECEIPTS, ()):
        if answer["load_id"] and answer["load_id"] not in by_id:
            files = [file for file in answer["files"] if not file["fault"]]
            sums = {key: sum(file[key] for file in files) for key in ("rows_read", "rows_accepted", "rows_quarantined")}
            by_id[answer["load_id"]] = sums | {
                "load_id": answer["load_id"], "received_at": None, "received_by": st.session_state[desk.USER],
                "system": "indlaesning" if files else "", "dated": date.today(), "files": len(files),
                "rows_withdrawn": 0, "undoes": answer.get("undoes"), "undone_by": None,
            }  # fmt: skip
            if answer.get("undoes") in by_id:
                by_id[answer["undoes"]]["undone_by"] = answer["load_id"]
    return sorted(by_id.values(), key=lambda row: -row["load_id"])


def _undo(instance, user, standing: dict[int, Row]) -> None:
    parts.section(
        "Fortryd en indlæsning", "Se først, hvad det ville ændre. Et nyt, rigtigt udtræk er ofte bedre end en fortrydelse."
    )
    number = st.selectbox(
        "Indlæsning",
        list(standing),
        key="undo-load",
        format_func=lambda i: (
            f"Indlæsning {i} · {standing[i]['received_by']} · {_systems(standing[i]['system'])} · "
            f"{fmt.count_of(standing[i]['rows_accepted'], 'række', 'rækker')} modtaget"
        ),
    )
    if st.session_state.get(UNDO, {}).get("undoes") != number:
        st.session_state.pop(UNDO, None)
    if st.button("Se, hvad en fortrydelse ændrer", icon=":material/preview:", key="undo-look"):
        with st.spinner("Regner ud, hvad det ville ændre …"):
            if answer := _ask(instance, [], "undo", str(number), f"--by={user.name}", "--preview"):
                st.session_state[UNDO] = answer
    if not (seen := st.session_state.get(UNDO)):
        return
    _changes(seen)
    with st.form("undo"):
        reason = st.text_input("Begrundelse (ingen navne eller CPR-numre)", key="undo-reason")
        if st.form_submit_button("Fortryd", type="primary", icon=":material/undo:"):
            with st.spinner("Fortryder …"):
                answer = _ask(instance, [], "undo", str(number), f"--by={user.name}", f"--reason={reason}")
                if answer:
                    _keep_receipt(answer)
            if answer:
                del st.session_state[UNDO]
                st.session_state[NOTICE] = (
                    f"Indlæsning {number} er fortrudt i indlæsning {answer['load_id']}. Tallene på de andre sider følger med ved "
                    "næste kørsel."
                )
                st.rerun()


def _held(engine, user, held) -> None:
    parts.section("Holdt tilbage", "Fulde udtræk, der ville trække for mange rækker tilbage. Bestil dem igen, eller frigiv dem.")
    if not held:
        parts.empty_state("Ingen udtræk er holdt tilbage", "Et udtræk, der mangler mange rækker, vises her.", small=True)
        return
    parts.table(
        [
            {
                "name": extract.name, "system": extract.system, "dated": extract.dated, "held_at": extract.held_at,
                "rows_withdrawn": extract.rows_withdrawn, "rows_living": extract.rows_living,
                "moved": fmt.oere(extract.moved_oere), "hash": extract.sha256[:12],
                "released": f"{by.released_by}: {by.reason}" if by else "nej",
            }
            for extract, by in held
        ],
        [
            parts.Column("name", "Fil"),
            parts.coded("system", "System"),
            parts.day("dated", "Udtræk"),
            parts.Column("held_at", "Holdt tilbage", fmt.moment),
            parts.count("rows_withdrawn", "Ville trækkes tilbage"),
            parts.count("rows_living", "Af"),
            parts.money("moved", "Flytter"),
            parts.Column("hash", "Hash"),
            parts.Column("released", "Frigivet"),
        ],
        caption="Holdte udtræk, med hvad de ville ændre, da de blev holdt",
        name="held",
    )  # fmt: skip
    waiting = {extract.sha256: extract for extract, by in held if by is None}
    if not waiting:
        return
    if user.role not in MAY_BOOK:
        parts.empty_state("Kun visning", f"Rollen {user.role} kan ikke frigive udtræk. Det kan en controller.", small=True)
        return
    with st.form("release-extract", clear_on_submit=True):
        chosen = st.selectbox(
            "Udtræk",
            list(waiting),
            key="release-extract-hash",
            format_func=lambda sha: (
                f"{waiting[sha].name} · {fmt.count_of(waiting[sha].rows_withdrawn, 'række', 'rækker')} · "
                f"{fmt.kroner(fmt.oere(waiting[sha].moved_oere))}"
            ),
        )
        reason = st.text_input("Begrundelse", key="release-extract-reason")
        if st.form_submit_button("Frigiv", icon=":material/lock_open:"):
            try:
                with writing(engine) as session:
                    released = extracts.release(session, user_name=user.name, prefix=chosen, reason=reason)
            except Fault as refusal:
                st.error(str(refusal), icon=":material/block:")
            else:
                st.session_state[NOTICE] = f"{released.name} er frigivet af {user.name} og tages ind ved næste kørsel."
                st.rerun()


show()
