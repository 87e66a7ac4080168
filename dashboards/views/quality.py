"""Datakvalitet: what arrived, what was refused or warned of and why, and the gates' verdicts."""

from __future__ import annotations

import streamlit as st

from dashboards import desk, parts
from dashboards import format as fmt
from dashboards.published import Published, Row
from settlement.faults import Fault
from settlement.ledger.decisions import set_aside_refused
from settlement.ledger.register import MAY_BOOK, writing

DEFINITION = (
    "Rækker læst = godkendt + karantæne + ikke brugt (rækker, som kildens mapping ikke bruger). Karantæne: rækken "
    "er afvist med en årsag og ændrer intet, før den er rettet i kilden og sendt igen. Advarsel: rækken er med, "
    "men bør kontrolleres. Åben: årsagen er der endnu. En port dømmer hver levering; bogføring kræver, at den er "
    "grøn. Cellernes indhold vises ikke her; de står i filen på rækken."
)
FINDINGS = """(len($systems) = 0 OR list_contains($systems, system)) AND ($load = 0 OR load_id = $load)"""


# A warning's own code speaks English; where it is about says the same in the loader file's words.
REASON = "CASE WHEN kind = 'advarsel' THEN concat_ws(': ', loader_file, column_name) ELSE reason END"


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    reading = desk.published(instance)
    loads = reading.rows(
        """SELECT load_id, max(received_at) AS received_at, max(dated) AS dated, string_agg(DISTINCT system, ', '
            ORDER BY system) AS systems
        FROM marts.file_quality GROUP BY load_id ORDER BY load_id DESC"""
    )
    head = st.container()
    if not loads:
        with head:
            _header(reading, "Der er ikke indlæst noget endnu.", "–")
        parts.empty_state(
            "Ingen leveringer",
            "Læg udtræk i landing-mapperne og kør «afregning run», eller indlæs med «afregning load».",
        )
        return
    chosen = _filters(reading, loads)
    files = reading.rows(
        f"""SELECT * EXCLUDE (build_id, file_hash) FROM marts.file_quality WHERE {FINDINGS}
        ORDER BY load_id DESC, system, file_name""",
        **chosen,
    )
    open_now = reading.row(
        f"""SELECT count(*) FILTER (WHERE kind = 'karantæne') AS refused, count(*) FILTER (WHERE kind = 'advarsel')
            AS warned
        FROM marts.quality_finding WHERE is_open AND {FINDINGS}""",
        **chosen,
    )
    totals = {
        key: sum(row[key] for row in files)
        for key in ("rows_read", "rows_accepted", "rows_quarantined", "rows_outdated", "rows_unmapped", "rows_warned")
    }
    part = fmt.share(totals["rows_accepted"], totals["rows_read"] - totals["rows_unmapped"])
    with head:
        _header(
            reading,
            f"{fmt.percent(part)} af rækkerne er godkendt. "
            f"{fmt.count_of(open_now['refused'], 'afvist række', 'afviste rækker')} og "
            f"{fmt.count_of(open_now['warned'], 'advarsel', 'advarsler')} er åbne.",
            f"{fmt.count_of(len({row['load_id'] for row in files}), 'levering', 'leveringer')}",
        )
    parts.figures(
        [
            parts.Figure("rows_read", "Rækker læst", fmt.number(totals["rows_read"])),
            parts.Figure(
                "rows_accepted",
                "Godkendt",
                fmt.number(totals["rows_accepted"]),
                (f"{fmt.percent(part)} af de brugte rækker",),
            ),
            parts.Figure(
                "rows_quarantined",
                "I karantæne",
                fmt.number(totals["rows_quarantined"]),
                (f"{fmt.number(open_now['refused'])} er åbne nu",),
            ),
            parts.Figure(
                "rows_warned",
                "Med advarsel",
                fmt.number(totals["rows_warned"]),
                (f"{fmt.number(open_now['warned'])} er åbne nu",),
            ),
        ]
    )
    _files(files, totals)
    _findings(engine, reading, chosen)
    _verdicts(reading, chosen)


def _header(reading: Published, conclusion: str, period: str) -> None:
    parts.header(
        "Datakvalitet",
        conclusion,
        period=period,
        build=reading.build,
        source="file_quality, quality_finding, gate_verdict",
        definition=DEFINITION,
    )


def _filters(reading: Published, loads: list[Row]) -> dict:
    by_id = {row["load_id"]: row for row in loads}
    left, right = st.columns([3, 2])
    load = left.selectbox(
        "Levering",
        [0, *by_id],
        format_func=lambda i: (
            "Alle leveringer"
            if i == 0
            else f"Levering {i} · udtræk {fmt.day(by_id[i]['dated'])} · {by_id[i]['systems']}"
        ),
        key="quality-load",
    )
    systems = right.multiselect(
        "System",
        reading.values("SELECT DISTINCT system FROM marts.file_quality ORDER BY 1"),
        format_func=fmt.label,
        placeholder="Alle systemer",
        key="quality-system",
    )
    return {"load": load, "systems": systems}


def _files(files: list[Row], totals: Row) -> None:
    parts.section("Filer", "Læst = godkendt + karantæne + forældet + ikke brugt, for hver fil.")
    parts.table(
        files,
        [
            parts.Column("load_id", "Levering", figure=True),
            parts.coded("system", "System"),
            parts.Column("file_name", "Fil"),
            parts.day("dated", "Udtræk"),
            parts.Column("received_at", "Modtaget", fmt.moment),
            parts.count("rows_read", "Læst"),
            parts.count("rows_accepted", "Godkendt"),
            parts.count("rows_quarantined", "Karantæne"),
            parts.count("rows_outdated", "Forældet"),
            parts.count("rows_unmapped", "Ikke brugt"),
            parts.count("rows_warned", "Advarsler"),
        ],
        caption="Rækker pr. levering og fil",
        name="files",
        total=totals,
        height=400,
    )


def _findings(engine, reading: Published, chosen: dict) -> None:
    parts.section("Fund", "Hver afvist række og hver advarsel, med hvad der er galt, og hvad der skal gøres.")
    first, second, third = st.columns([1, 2, 1], vertical_alignment="bottom")
    kind = first.selectbox("Type", ["karantæne", "advarsel"], format_func=str.capitalize, key="finding-kind")
    only_open = third.checkbox("Kun åbne", value=True, key="finding-open")
    where = f"kind = $kind AND (is_open OR NOT $only_open) AND {FINDINGS}"
    parameters = chosen | {"kind": kind, "only_open": only_open}
    reasons = reading.rows(
        f"SELECT {REASON} AS reason, count(*) AS number_of FROM marts.quality_finding WHERE {where} GROUP BY 1 ORDER BY "
        "number_of DESC, reason",
        **parameters,
    )
    number_of = {row["reason"]: row["number_of"] for row in reasons}
    reason = second.selectbox(
        "Årsag",
        ["", *number_of],
        format_func=lambda r: (
            f"{fmt.label(r)} ({fmt.number(number_of[r])})"
            if r
            else f"Alle årsager ({fmt.number(sum(number_of.values()))})"
        ),
        key="finding-reason",
    )
    rows = reading.rows(
        f"""SELECT load_id, system, file_name, file_hash, row, loader_file, column_name, {REASON} AS reason, message,
            service_line_id, is_open
        FROM marts.quality_finding WHERE {where} AND ($reason = '' OR {REASON} = $reason) ORDER BY load_id DESC,
            file_name, row""",
        **parameters,
        reason=reason,
    )
    columns = [
        parts.Column("load_id", "Levering", figure=True),
        parts.Column("file_name", "Fil"),
        parts.Column("row", "Række", figure=True),
        parts.Column("column_name", "Kolonne"),
        parts.Column("reason", "Årsag", fmt.label),
        parts.Column("message", "Hvad er galt, og hvad gøres"),
        parts.Column("service_line_id", "Ydelse"),
        parts.Column("is_open", "Åben", fmt.yes_no),
    ]
    parts.table(rows, columns, caption=f"{fmt.count_of(len(rows), 'fund', 'fund')}", name="findings")
    parts.download_csv(rows, columns, f"fund-{kind}.csv")
    parking = [row for row in rows if kind == "karantæne" and row["is_open"] and row["service_line_id"]]
    user = desk.signed_in(engine)
    if parking and user.role in MAY_BOOK:
        _set_aside(engine, user, parking)


def _set_aside(engine, user, parking: list[Row]) -> None:
    with (
        st.expander("Sæt en afvist række til side, så dens ydelse ikke længere er parkeret"),
        st.form("set-aside", clear_on_submit=True),
    ):
        row = st.selectbox(
            "Afvist række",
            parking,
            key="aside-row",
            format_func=lambda r: (
                f"{r['service_line_id']} · {r['file_name']} række {r['row']} · {fmt.label(r['reason'])}"
            ),
        )
        reason = st.text_input("Begrundelse", key="aside-reason")
        if st.form_submit_button("Sæt til side"):
            try:
                with writing(engine) as session:
                    set_aside_refused(
                        session,
                        user_name=user.name,
                        file_hash=row["file_hash"],
                        row=row["row"],
                        service_line_id=row["service_line_id"],
                        reason=reason,
                    )
            except Fault as refusal:
                st.error(str(refusal), icon=":material/block:")
            else:
                st.success(
                    "Afgørelsen er gemt. Ydelsen afregnes igen fra næste forslag.", icon=":material/check_circle:"
                )


def _verdicts(reading: Published, chosen: dict) -> None:
    parts.section("Kvalitetsporte", "Bogføring kræver, at portene for den seneste levering er grønne.")
    rows = reading.rows(
        """SELECT DISTINCT load_id, gate, rules_version, verdict, detail, judged_at FROM marts.gate_verdict
        WHERE $load = 0 OR load_id = $load ORDER BY load_id DESC, gate""",
        load=chosen["load"],
    )
    parts.table(
        rows,
        [
            parts.Column("load_id", "Levering", figure=True),
            parts.Column("gate", "Port"),
            parts.coded("verdict", "Dom"),
            parts.Column("detail", "Begrundelse"),
            parts.Column("judged_at", "Dømt", fmt.moment),
            parts.Column("rules_version", "Regler"),
        ],
        caption="Portenes domme",
        name="verdicts",
        height=360,
    )


show()
