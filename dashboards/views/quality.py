"""Datakvalitet: what arrived, what was refused or warned of and why, and the gates' verdicts."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboards import charts, desk, overridden, parts
from dashboards import format as fmt
from dashboards.published import Published, Row
from settlement.faults import Fault
from settlement.ledger.decisions import set_aside_refused
from settlement.ledger.register import DECENTRAL, MAY_BOOK, writing

DEFINITION = (
    "Rækker læst = godkendt + karantæne + ikke brugt (rækker, som kildens mapping ikke bruger). Karantæne: rækken "
    "er afvist med en årsag og ændrer intet, før den er rettet i kilden og sendt igen. Advarsel: rækken er med, "
    "men bør kontrolleres. Åben: årsagen er der endnu. En port dømmer hver levering; bogføring kræver, at den er "
    "grøn. Cellernes indhold vises ikke her; de står i filen på rækken.\n"
    "En regel ser på alt, der gælder, efter hver indlæsning: fundet åbnes, når det opstår, og lukkes, når det er rettet. "
    "Regler advarer; kommunen kan lade dem parkere eller afvise fra en dato, og indtil da melder de kun, hvad de ville have "
    "gjort. Et fund, to personer har tilsidesat, parkerer ikke og tæller ikke som åbent. Alder: dage siden det udtræk, der "
    "åbnede fundet."
)
CHOSEN = "(len($systems) = 0 OR list_contains($systems, system))"
# A decentral user ($department) sees what is about the department, and what the department itself has handed in where nobody
# can tell whom it is about.
OWN = """($department = '' OR department = $department
    OR (department IS NULL AND list_contains($colleagues, received_by)))"""
FINDINGS = f"""{CHOSEN} AND ($load = 0 OR load_id = $load) AND {OWN}
    AND (len($owners) = 0 OR list_contains($owners, owner))"""
FILES = f"""{CHOSEN} AND ($load = 0 OR load_id = $load) AND ($department = '' OR load_id IN (
    SELECT load_id FROM marts.load WHERE list_contains($colleagues, received_by)))"""
TREND = f"""{CHOSEN} AND (len($owners) = 0 OR list_contains($owners, owner))
    AND ($department = '' OR department = $department) AND ($reason = '' OR reason = $reason)"""


# A warning's own code speaks English; where it is about says the same in the loader file's words.
REASON = "CASE WHEN kind = 'advarsel' THEN concat_ws(': ', loader_file, column_name) ELSE reason END"


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    reading = desk.published(instance)
    user = desk.signed_in(engine)
    scope = _scope(engine, user)
    loads = reading.rows(
        f"""SELECT load_id, max(received_at) AS received_at, max(dated) AS dated, string_agg(DISTINCT system, ', '
            ORDER BY system) AS systems
        FROM marts.file_quality WHERE {FILES} GROUP BY load_id ORDER BY load_id DESC""",
        load=0,
        systems=[],
        **scope,
    )
    head = st.container()
    if not loads and not scope["department"]:
        with head:
            _header(reading, "Der er ikke indlæst noget endnu.", "–")
        parts.empty_state(
            "Ingen leveringer",
            "Læg udtræk i landing-mapperne og kør «afregning run», eller indlæs med «afregning load».",
        )
        return
    chosen = _filters(reading, loads, scope)
    files = reading.rows(
        f"""SELECT * EXCLUDE (build_id, file_hash) FROM marts.file_quality WHERE {FILES}
        ORDER BY load_id DESC, system, file_name""",
        **{key: value for key, value in chosen.items() if key != "owners"},
    )
    open_now = reading.row(
        f"""SELECT count(*) FILTER (WHERE kind = 'karantæne') AS refused, count(*) FILTER (WHERE kind = 'advarsel')
            AS warned, count(*) FILTER (WHERE kind = 'regel') AS found
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
            f"{fmt.count_of(open_now['refused'], 'afvist række', 'afviste rækker')}, "
            f"{fmt.count_of(open_now['found'], 'regelfund', 'regelfund')} og "
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
            parts.Figure("found_open", "Åbne regelfund", fmt.number(open_now["found"])),
        ]
    )
    _open_by_reason(reading, chosen)
    _trend(reading, chosen)
    _findings(engine, user, reading, chosen)
    _files(files, totals)
    if not scope["department"]:
        _verdicts(reading, chosen)


def _scope(engine, user) -> dict:
    """What of all findings the user sees: all of them, or a decentral user's own department's."""
    if user.role != DECENTRAL:
        return {"department": "", "colleagues": []}
    if not user.department:
        parts.empty_state("Ingen afdeling", "En decentral bruger skal have en afdeling. Bed en administrator om at oprette den.")
        st.stop()
    return {
        "department": user.department,
        "colleagues": [u.name for u in desk.users(engine) if (u.role, u.department) == (user.role, user.department)],
    }


def _header(reading: Published, conclusion: str, period: str) -> None:
    parts.header(
        "Datakvalitet",
        conclusion,
        period=period,
        build=reading.build,
        source="file_quality, quality_finding, quality_trend, gate_verdict; tilsidesættelser direkte fra registeret",
        definition=DEFINITION,
    )


def _filters(reading: Published, loads: list[Row], scope: dict) -> dict:
    by_id = {row["load_id"]: row for row in loads}
    left, middle, right = st.columns([3, 2, 2])
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
    systems = middle.multiselect(
        "System",
        reading.values(f"SELECT DISTINCT system FROM marts.quality_finding WHERE {OWN} ORDER BY 1", **scope)
        if scope["department"]
        else reading.values("SELECT DISTINCT system FROM marts.file_quality ORDER BY 1"),
        format_func=fmt.label,
        placeholder="Alle systemer",
        key="quality-system",
    )
    owners = right.multiselect(
        "Ejer",
        reading.values(f"SELECT DISTINCT owner FROM marts.quality_finding WHERE {OWN} ORDER BY 1", **scope),
        format_func=fmt.label,
        placeholder="Alle ejere",
        key="quality-owner",
    )
    return {"load": load, "systems": systems, "owners": owners, **scope}


def _open_by_reason(reading: Published, chosen: dict) -> None:
    """What is open, by reason: refused rows to the left, rules' findings to the right."""
    parts.section("Åbne fejl", "Rækker, porten afviste, og hvad reglerne finder i det, der gælder.")
    for column, kind, caption in zip(
        st.columns(2), ("karantæne", "regel"), ("Karantæne efter årsag", "Regelfund efter regel"), strict=True
    ):
        rows = reading.rows(
            f"""SELECT coalesce(any_value(title), reason) AS reason, any_value(severity) AS severity,
                any_value(bites_from) AS bites_from, count(*) AS number_of, min(opened_on) AS oldest,
                greatest(0, date_diff('day', min(opened_on), $today)) AS age
            FROM marts.quality_finding WHERE kind = $kind AND is_open AND {FINDINGS}
            GROUP BY quality_finding.reason ORDER BY number_of DESC, 1""",
            **chosen,
            kind=kind,
            today=date.today(),
        )
        rows = [row | {"severity": _severity(row)} for row in rows]
        columns = [parts.Column("reason", "Årsag" if kind == "karantæne" else "Regel", fmt.label)]
        if kind == "regel":
            columns.append(parts.Column("severity", "Virkning"))
        columns += [parts.count("number_of", "Åbne"), parts.day("oldest", "Ældste"), parts.count("age", "Dage")]
        with column:
            parts.table(rows, columns, caption=caption, name=f"open-{kind}", height=320)


def _severity(row: Row) -> str:
    """«parkerer fra 01-03-2025»; before that day «varslet: …»."""
    if not row["bites_from"]:
        return fmt.label(row["severity"])
    warned = "varslet: " if row["bites_from"] > date.today() else ""
    return f"{warned}{fmt.label(row['severity'])} fra {fmt.day(row['bites_from'])}"


def _trend(reading: Published, chosen: dict) -> None:
    parts.section("Udvikling", "Fejl åbnet og lukket pr. måned, og hvor mange der var åbne ved månedens slutning.")
    parameters = {key: value for key, value in chosen.items() if key not in ("load", "colleagues")}
    reasons = reading.rows(
        f"SELECT reason, sum(opened) AS number_of FROM marts.quality_trend WHERE {TREND} GROUP BY 1 ORDER BY 2 DESC, 1",
        **parameters,
        reason="",
    )
    reason = st.selectbox(
        "Regel eller årsag",
        ["", *(row["reason"] for row in reasons)],
        format_func=lambda r: fmt.label(r) if r else "Alle",
        key="trend-reason",
    )
    rows = reading.rows(
        f"""SELECT month, sum(opened)::BIGINT AS opened, sum(closed)::BIGINT AS closed, sum(open_at_end)::BIGINT AS open_at_end
        FROM marts.quality_trend WHERE {TREND} GROUP BY month ORDER BY month""",
        **parameters,
        reason=reason,
    )
    named = {"opened": "Åbnet", "closed": "Lukket", "open_at_end": "Åbne ved udgangen"}
    if rows:
        charts.lines(
            [
                {"month": fmt.short_month(row["month"]), "series": series, "value": charts.plain(row[key]),
                 "tip": f"{fmt.month(row['month'])}: {series.lower()} {fmt.number(row[key])}"}
                for key, series in named.items() for row in rows
            ],
            x=[fmt.short_month(row["month"]) for row in rows],
            y_title="Antal",
            alt_text="Linjer med fejl åbnet, lukket og åbne pr. måned; tallene står i tabellen nedenfor.",
            height=260,
        )  # fmt: skip
    parts.table(
        rows[::-1],
        [parts.month("month", "Måned"), *(parts.count(key, title) for key, title in named.items())],
        caption="Fejl pr. måned",
        name="trend",
        height=240,
    )


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


def _findings(engine, user, reading: Published, chosen: dict) -> None:
    parts.section("Fund", "Hver afvist række, hvert regelfund og hver advarsel, med hvad der er galt, og hvad der skal gøres.")
    first, second, third = st.columns([1, 2, 1], vertical_alignment="bottom")
    kind = first.selectbox("Type", ["karantæne", "regel", "advarsel"], format_func=str.capitalize, key="finding-kind")
    only_open = third.checkbox("Kun åbne", value=True, key="finding-open")
    where = f"kind = $kind AND (is_open OR is_overridden OR NOT $only_open) AND {FINDINGS}"
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
            service_line_id, is_open, is_overridden, finding_key, quality_finding.reason AS rule, owner, severity, bites_from,
            opened_on, greatest(0, date_diff('day', opened_on, coalesce(closed_on, $today))) AS age
        FROM marts.quality_finding WHERE {where} AND ($reason = '' OR {REASON} = $reason) ORDER BY load_id DESC,
            file_name, row""",
        **parameters,
        reason=reason,
        today=date.today(),
    )
    rows, standing = overridden.beside(engine, rows, only_open)
    rows = [row | {"severity": _severity(row)} for row in rows]
    columns = [
        parts.Column("load_id", "Levering", figure=True),
        parts.Column("file_name", "Fil"),
        parts.Column("row", "Række", figure=True),
        *([] if kind == "regel" else [parts.Column("column_name", "Kolonne")]),
        parts.Column("reason", "Årsag", fmt.label),
        parts.Column("message", "Hvad er galt, og hvad gøres"),
        parts.Column("finding_key", "Nøgle") if kind == "regel" else parts.Column("service_line_id", "Ydelse"),
        parts.coded("owner", "Ejer"),
        parts.count("age", "Dage"),
        *([] if kind == "karantæne" else [parts.Column("severity", "Virkning")]),
        parts.Column("is_open", "Åben", fmt.yes_no),
    ]
    parts.table(rows, columns, caption=f"{fmt.count_of(len(rows), 'fund', 'fund')}", name="findings")
    parts.download_csv(rows, columns, f"fund-{kind}.csv")
    parking = [row for row in rows if kind == "karantæne" and row["is_open"] and row["service_line_id"]]
    if parking and user.role in MAY_BOOK:
        _set_aside(engine, user, parking)
    if kind == "regel":
        overridden.show(engine, user, [row for row in rows if row["is_open"]], standing)


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
