"""Disponering: what is granted is worth by month, what is realised of it, what remains, and why it has changed."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboards import charts, desk, parts
from dashboards import format as fmt
from dashboards.published import Published, Row
from settlement.engine.calendar import month_end
from settlement.explanation import REASONS
from settlement.impact import cause_text

GROUPS = {
    "Konto": ("account", "account_name", "Kontonavn"),
    "Afdeling": ("department", "department_name", "Afdelingens navn"),
    "Ydelse": ("item_code", "item_name", "Ydelsens navn"),
    "Afregningsform": ("process", None, ""),
    "Måned": ("month", None, ""),
}
SUMS = """coalesce(sum(expected_dkk), 0) AS expected, coalesce(sum(projected_dkk), 0) AS projected,
    coalesce(sum(realised_dkk), 0) AS realised, coalesce(sum(remaining_dkk), 0) AS remaining,
    coalesce(sum(expected_dkk) FILTER (process IN ('faktura', 'intern', 'udbetaling')), 0) AS cost,
    coalesce(sum(expected_dkk) FILTER (process NOT IN ('faktura', 'intern', 'udbetaling')), 0) AS income"""
CHANGES = """coalesce(sum(opening_dkk), 0) AS opening, coalesce(sum(change_dkk), 0) AS change,
    coalesce(sum(closing_dkk), 0) AS closing"""
OF_CHOICE = """(len($departments) = 0 OR list_contains($departments, department))
    AND (len($accounts) = 0 OR list_contains($accounts, account))
    AND (len($items) = 0 OR list_contains($items, coalesce(item_code, '')))"""
BLOCKED = """count(DISTINCT service_line_id) FILTER (year(month) = $year) AS lines_of_year,
    count(DISTINCT (service_line_id, month)) FILTER (year(month) = $year) AS months_of_year,
    coalesce(sum(expected_dkk) FILTER (year(month) = $year), 0) AS expected,
    count(DISTINCT service_line_id) AS lines, count(DISTINCT (service_line_id, month)) AS months"""
WITHOUT = {
    "mangler_takst": "Hertil kommer {lines} uden takst i {months}.",
    "mangler_betaler": "{lines} er uden betaler i {months}.",
}
MONTHS_SHOWN = 36
DEFINITION = (
    "Forventet: hvad de bevilgede ydelser er værd pr. leverancemåned uden moms, til og med december to år frem; en åben slutdato "
    "fremskrives, og leverede enheder (besøg, måltider, ture) fremskrives som gennemsnittet af ydelsens seneste tre hele måneder. "
    "Dage uden takst er ikke med, før de har en; en måned uden betaler er med, men kan ikke afregnes: begge er talt op under «Uden "
    "takst eller betaler». Realiseret: bogført her på platformen for leverancemåneden. "
    "Rest: disponeret og ikke realiseret; forventet = realiseret + rest. Ændring: hvad vi ved nu, mod hvad vi "
    "vidste, da måneden sluttede; primo + ændringer = ultimo. Indtægter er negative."
)


def show() -> None:
    """Draws the page."""
    reading = desk.published(desk.instance())
    head = st.container()
    years = reading.values(
        """SELECT year(month) FROM marts.commitment_month UNION SELECT year(month) FROM marts.commitment_blocked
        ORDER BY 1 DESC"""
    )
    if not years:
        with head:
            _header(reading, "Der er ingen bevilgede ydelser med penge i endnu.", "–")
        return
    chosen = _filters(reading, years)
    total = reading.row(f"SELECT {SUMS} FROM marts.commitment_month WHERE year(month) = $year AND {OF_CHOICE}", **chosen)
    moved = reading.row(f"SELECT {CHANGES} FROM marts.commitment_change WHERE delivery_year = $year AND {OF_CHOICE}", **chosen)
    blocked = reading.rows(
        f"""SELECT reason, {BLOCKED} FROM marts.commitment_blocked WHERE year(month) >= $year AND {OF_CHOICE}
        GROUP BY reason ORDER BY reason DESC""",
        **chosen,
    )
    since = month_end(reading.build.horizon)
    with head:
        _header(reading, _conclusion(total, moved, chosen["year"], since) + _besides(blocked), f"{chosen['year']}")
    parts.figures(_figures(total, moved, blocked, since))
    _by_month(reading, chosen)
    _by_group(reading, chosen, total)
    _without(reading, chosen, blocked)
    _by_cause(reading, chosen, moved, since)


def _header(reading: Published, conclusion: str, period: str) -> None:
    parts.header(
        "Disponering",
        conclusion,
        period=period,
        build=reading.build,
        source="commitment_month, commitment_change og commitment_blocked (ydelser og bogførte linjer)",
        definition=DEFINITION,
    )


def _filters(reading: Published, years: list[int]) -> dict:
    horizon = reading.build.horizon.year

    def choices(key: str, name: str, none: str) -> dict[str, str]:
        rows = reading.rows(
            f"""SELECT coalesce({key}, '') AS key, coalesce(nullif(concat_ws(' ', nullif({key}, ''),
                CASE WHEN {key} <> '' THEN any_value({name}) END), ''), $none) AS name
            FROM (SELECT {key}, {name} FROM marts.commitment_month UNION ALL BY NAME SELECT {key} FROM marts.commitment_blocked)
            GROUP BY {key} ORDER BY name""",
            none=none,
        )
        return {row["key"]: row["name"] for row in rows}

    with st.container(border=True):
        year_of, of_department, of_account, of_item = st.columns([1, 2, 2, 2])
        year = year_of.selectbox("År", years, index=years.index(horizon) if horizon in years else 0, key="commitment-year")
        picked = {}
        for place, name, options, everything in (
            (of_department, "Afdelinger", choices("department", "department_name", "Uden afdeling"), "Alle afdelinger"),
            (of_account, "Konti", choices("account", "account_name", "Uden konto"), "Alle konti"),
            (of_item, "Ydelser", choices("item_code", "item_name", "Manuelle linjer"), "Alle ydelser"),
        ):
            picked[name] = place.multiselect(
                name, list(options), format_func=options.get, placeholder=everything, key=f"commitment-{name.lower()}"
            )
    return {"year": year, "departments": picked["Afdelinger"], "accounts": picked["Konti"], "items": picked["Ydelser"]}


def _conclusion(total: Row, moved: Row, year: int, since: date) -> str:
    rest = fmt.millions(total["remaining"])
    said = f"Der er disponeret {fmt.millions(total['expected'])} netto i {year}; {rest} er ikke bogført."
    if not moved["opening"] and moved["closing"]:
        return f"{said} Alt er nyt: platformen kendte intet af det den {fmt.day(since)}."
    if not moved["change"]:
        return f"{said} Det disponerede er uændret siden {fmt.day(since)}."
    more = "mere" if moved["change"] > 0 else "mindre"
    return f"{said} Det disponerede er {fmt.millions(abs(moved['change']))} {more} end {fmt.day(since)}."


def _besides(blocked: list[Row]) -> str:
    """What the year's sum does not tell: the granted months that lack a price or a payer."""
    return "".join(
        " "
        + WITHOUT[row["reason"]].format(
            lines=fmt.count_of(row["lines_of_year"], "ydelse", "ydelser"),
            months=fmt.count_of(row["months_of_year"], "måned", "måneder"),
        )
        for row in blocked
        if row["months_of_year"]
    )


def _figures(total: Row, moved: Row, blocked: list[Row], since: date) -> list[parts.Figure]:
    realised = fmt.share(total["realised"], total["expected"])
    return [
        parts.Figure(
            "expected",
            "Forventet i året",
            fmt.whole_kroner(total["expected"]),
            (
                f"Udgifter {fmt.millions(total['cost'])}, indtægter {fmt.millions(total['income'])}",
                f"Heraf fremskrevne enheder {fmt.millions(total['projected'])}",
                *(
                    f"{fmt.label(row['reason'])}: {fmt.count_of(row['lines_of_year'], 'ydelse', 'ydelser')}"
                    for row in blocked
                    if row["months_of_year"]
                ),
            ),
        ),
        parts.Figure(
            "realised",
            "Realiseret",
            fmt.whole_kroner(total["realised"]),
            (f"{fmt.percent(realised)} af det forventede",) if realised is not None else (),
        ),
        parts.Figure("remaining", "Rest", fmt.whole_kroner(total["remaining"])),
        parts.Figure(
            "change",
            "Ændring siden sidst",
            fmt.whole_kroner(moved["change"], signed=True),
            (f"Fra {fmt.millions(moved['opening'])} pr. {fmt.day(since)} til {fmt.millions(moved['closing'])}",),
        ),
    ]


def _by_month(reading: Published, chosen: dict) -> None:
    horizon = reading.build.horizon
    rows = reading.rows(
        f"""SELECT month, {SUMS} FROM marts.commitment_month WHERE year(month) >= $year AND {OF_CHOICE}
        GROUP BY month ORDER BY month LIMIT {MONTHS_SHOWN}""",
        **chosen,
    )
    if not rows:
        parts.empty_state("Ingen tal", "Ingen ydelser passer til valget. Vælg færre afgrænsninger.", small=True)
        return
    parts.section(
        "Måned for måned",
        f"Fra januar {chosen['year']} til og med {fmt.month(rows[-1]['month'])}. Den stiplede linje er det realiserede.",
    )
    charts.bars_with_line(
        [
            {
                "month": fmt.short_month(row["month"]),
                "value": charts.plain(row["expected"] / 1_000_000),
                "kind": "Forventet" if row["month"] <= horizon else "Forventet, kommende måneder",
                "target": charts.plain(row["realised"] / 1_000_000),
                "tip": f"{fmt.month(row['month'])}: forventet {fmt.whole_kroner(row['expected'])}, realiseret "
                f"{fmt.whole_kroner(row['realised'])}, rest {fmt.whole_kroner(row['remaining'])}",
            }
            for row in rows
        ],
        x=[fmt.short_month(row["month"]) for row in rows],
        bars="Forventet",
        line="Realiseret",
        y_title="mio. kr.",
        alt_text="Forventet pr. måned mod realiseret; tallene står i tabellen, når du fordeler på måned",
        height=340,
    )


def _by_group(reading: Published, chosen: dict, total: Row) -> None:
    parts.section("Fordelt", "Det største forventede beløb øverst.")
    group = st.segmented_control("Fordel på", list(GROUPS), default="Konto", required=True, key="commitment-group")
    key, name, name_title = GROUPS[group]
    rows = reading.rows(
        f"""SELECT {key} AS key{f", max({name}) AS name" if name else ""}, {SUMS} FROM marts.commitment_month
        WHERE year(month) = $year AND {OF_CHOICE} GROUP BY {key}
        ORDER BY {"key" if key == "month" else "abs(expected) DESC, key"}""",
        **chosen,
    )
    first = {"month": parts.month, "process": parts.coded}.get(key, parts.Column)("key", group)
    parts.table(
        rows,
        [
            first,
            *([parts.Column("name", name_title)] if name else []),
            parts.money("expected", "Forventet"),
            parts.money("projected", "Heraf fremskrevet"),
            parts.money("realised", "Realiseret"),
            parts.money("remaining", "Rest"),
        ],
        caption=f"Disponering {chosen['year']} pr. {group.lower()}",
        name="commitment-group",
        total=total,
    )
    grain = reading.rows(
        f"""SELECT month, account, account_name, department, department_name, item_code, item_name, process, expected_dkk,
            projected_dkk, realised_dkk, remaining_dkk, service_lines
        FROM marts.commitment_month WHERE year(month) = $year AND {OF_CHOICE} ORDER BY ALL""",
        **chosen,
    )
    parts.download_csv(
        grain,
        [
            parts.day("month", "maaned"),
            parts.Column("account", "konto"),
            parts.Column("account_name", "kontonavn"),
            parts.Column("department", "afdeling"),
            parts.Column("department_name", "afdelingsnavn"),
            parts.Column("item_code", "ydelseskode"),
            parts.Column("item_name", "ydelse"),
            parts.Column("process", "afregningsform"),
            parts.money("expected_dkk", "forventet"),
            parts.money("projected_dkk", "heraf_fremskrevet"),
            parts.money("realised_dkk", "realiseret"),
            parts.money("remaining_dkk", "rest"),
            parts.count("service_lines", "ydelser"),
        ],
        f"disponering-{chosen['year']}.csv",
    )


def _without(reading: Published, chosen: dict, blocked: list[Row]) -> None:
    """What cannot be committed, counted, and the lines whose rate or payer is to be mended."""
    if not blocked:
        parts.section("Uden takst eller betaler", f"Alle måneder fra januar {chosen['year']} har en takst og en betaler.")
        return
    parts.section(
        "Uden takst eller betaler",
        f"Bevilgede måneder fra januar {chosen['year']}, hvor mindst én dag mangler en takst eller en betaler. De parkeres, når de "
        "skal afregnes; det forventede tæller kun de dage, der har en takst.",
    )
    parts.table(
        blocked,
        [
            parts.Column("reason", "Hvad der mangler", lambda reason: f"{fmt.label(reason)}: {REASONS[reason]}."),
            parts.count("lines_of_year", f"Ydelser i {chosen['year']}"),
            parts.count("months_of_year", f"Måneder i {chosen['year']}"),
            parts.money("expected", f"Heraf i det forventede {chosen['year']}"),
            parts.count("lines", f"Ydelser fra {chosen['year']}"),
            parts.count("months", f"Måneder fra {chosen['year']}"),
        ],
        caption=f"Bevilget uden takst eller betaler fra {chosen['year']}",
        name="commitment-blocked",
    )
    lines = reading.rows(
        f"""SELECT service_line_id, item_name, department, process, reason, min(month) AS first_month, max(month) AS last_month,
            count(DISTINCT month) AS months, sum(expected_dkk) AS expected_dkk
        FROM marts.commitment_blocked WHERE year(month) >= $year AND {OF_CHOICE}
        GROUP BY service_line_id, item_name, department, process, reason
        ORDER BY first_month, months DESC, service_line_id, process""",
        **chosen,
    )
    columns = [
        parts.Column("service_line_id", "Ydelse"),
        parts.Column("item_name", "Ydelsens navn"),
        parts.Column("department", "Afdeling"),
        parts.coded("process", "Afregningsform"),
        parts.coded("reason", "Årsag"),
        parts.month("first_month", "Første måned"),
        parts.month("last_month", "Sidste måned"),
        parts.count("months", "Måneder"),
        parts.money("expected_dkk", "Heraf i det forventede"),
    ]
    parts.table(lines, columns, caption="Ydelser, der mangler en takst eller en betaler", name="commitment-blocked-lines")
    parts.download_csv(lines, columns, f"disponering-{chosen['year']}-uden-takst-eller-betaler.csv")


def _by_cause(reading: Published, chosen: dict, moved: Row, since: date) -> None:
    rows = reading.rows(
        f"""SELECT cause, is_late, {CHANGES} FROM marts.commitment_change
        WHERE delivery_year = $year AND {OF_CHOICE} AND cause <> 'uaendret' GROUP BY cause, is_late
        ORDER BY abs(change) DESC, cause, is_late""",
        **chosen,
    )
    parts.section(
        f"Ændret siden {fmt.day(since)}",
        f"Primo {fmt.kroner(moved['opening'])} + ændringer {fmt.kroner(moved['change'])} = ultimo {fmt.kroner(moved['closing'])} "
        "En sen oplysning er om måneder, der var slut, før vi fik den.",
    )
    causes = {cause_text(row["cause"], row["is_late"]): row for row in rows}
    parts.table(
        [row | {"text": text} for text, row in causes.items()],
        [
            parts.Column("text", "Årsag"),
            parts.money("opening", "Primo af det ændrede"),
            parts.money("change", "Ændring", signed=True),
            parts.money("closing", "Ultimo af det ændrede"),
        ],
        caption=f"Ændringer af disponeringen {chosen['year']} efter årsag",
        name="commitment-cause",
        total={"change": moved["change"]},
    )
    if not rows:
        return
    picked = causes[st.selectbox("Vis ydelserne bag", list(causes), key="commitment-cause")]
    lines = reading.rows(
        f"""SELECT service_line_id, item_name, department, account, process, opening_dkk, change_dkk, closing_dkk
        FROM marts.commitment_change_line
        WHERE delivery_year = $year AND {OF_CHOICE} AND cause = $cause AND is_late = $late
        ORDER BY abs(change_dkk) DESC, service_line_id, process, account""",
        cause=picked["cause"],
        late=picked["is_late"],
        **chosen,
    )
    columns = [
        parts.Column("service_line_id", "Ydelse"),
        parts.Column("item_name", "Ydelsens navn"),
        parts.Column("department", "Afdeling"),
        parts.Column("account", "Konto"),
        parts.coded("process", "Afregningsform"),
        parts.money("opening_dkk", "Primo"),
        parts.money("change_dkk", "Ændring", signed=True),
        parts.money("closing_dkk", "Ultimo"),
    ]
    parts.table(
        lines,
        columns,
        caption=f"Ydelserne bag «{cause_text(picked['cause'], picked['is_late'])}»",
        name="commitment-lines",
        total={"change_dkk": picked["change"]},
    )
    parts.download_csv(lines, columns, f"disponering-{chosen['year']}-{picked['cause']}.csv")


show()
