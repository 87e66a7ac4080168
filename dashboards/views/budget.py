"""Budgetopfølgning: budget, actual, commitment, expected and deviation by account, department and month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import streamlit as st

from dashboards import charts, desk, parts
from dashboards import format as fmt
from dashboards.published import Published, Row

GROUPS = {
    "Konto": ("account", "account_name", "Konto", "Kontonavn"),
    "Afdeling": ("department", "department_name", "Afdeling", "Afdelingens navn"),
    "Måned": ("month", None, "Måned", ""),
}
SUMS = """coalesce(sum(budget_dkk), 0) AS budget, coalesce(sum(actual_dkk), 0) AS actual,
    coalesce(sum(expected_dkk - actual_dkk), 0) AS rest, coalesce(sum(expected_dkk), 0) AS expected,
    coalesce(sum(deviation_dkk), 0) AS deviation"""
CHOSEN = """year(month) = $year AND (len($departments) = 0 OR list_contains($departments, coalesce(department, '')))
    AND (len($accounts) = 0 OR list_contains($accounts, coalesce(account, '')))"""
DEFINITION = (
    "Budget: oprindeligt budget, tillæg og overførsler; et årsbudget er fordelt ligeligt på 12 måneder, resten af "
    "ørerne i december. Forbrug: posteringer efter leverancemåned, ellers bogføringsmåned. Forventet: forbrug i "
    "de færdigbogførte måneder, det disponerede (hvad de bevilgede ydelser koster, leverede enheder fremskrevet) i resten. "
    "Et kommende år er med, når det har et budget. Disponeret rest: "
    "forventet − forbrug. Afvigelse: forventet − budget; plus er merforbrug, minus er mindreforbrug. Indtægter er "
    "negative."
)


def show() -> None:
    """Draws the page."""
    reading = desk.published(desk.instance())
    head = st.container()
    years = reading.values("SELECT DISTINCT year(month) FROM marts.budget_follow_up ORDER BY 1 DESC")
    if not years:
        with head:
            _header(reading, "Der er hverken budget, posteringer eller disponering endnu.", "–")
        return
    chosen = _filters(reading, years)
    total = reading.row(
        f"SELECT {SUMS} FROM marts.budget_follow_up WHERE {CHOSEN}",
        **chosen,
    )
    with head:
        _header(reading, _conclusion(total, chosen["year"]), f"{chosen['year']}")
    parts.figures(_figures(total, reading.closed_through))
    _by_month(reading, chosen)
    _by_group(reading, chosen, total)


def _header(reading: Published, conclusion: str, period: str) -> None:
    parts.header(
        "Budgetopfølgning",
        conclusion,
        period=period,
        build=reading.build,
        source="budget_follow_up (budget og posteringer fra OPUS, disponering fra ydelserne)",
        definition=DEFINITION,
    )


def _filters(reading: Published, years: list[int]) -> dict:
    horizon = reading.build.horizon.year
    with st.container(border=True):
        left, middle, right = st.columns([1, 2, 3])
        year = left.selectbox("År", years, index=years.index(horizon) if horizon in years else 0, key="budget-year")
        departments = {
            row["department"]: row["name"]
            for row in reading.rows(
                """SELECT DISTINCT coalesce(department, '') AS department,
                    coalesce(nullif(department_name, ''), nullif(department, ''), 'Uden afdeling') AS name
                FROM marts.budget_follow_up WHERE year(month) = $year ORDER BY name""",
                year=year,
            )
        }
        chosen_departments = middle.multiselect(
            "Afdelinger",
            list(departments),
            format_func=departments.get,
            placeholder="Alle afdelinger",
            key="budget-departments",
        )
        accounts = {
            row["account"]: row["name"]
            for row in reading.rows(
                """SELECT DISTINCT coalesce(account, '') AS account, concat_ws(' ', coalesce(nullif(account, ''),
                    'Uden konto'),
                    account_name) AS name FROM marts.budget_follow_up WHERE year(month) = $year ORDER BY name""",
                year=year,
            )
        }
        chosen_accounts = right.multiselect(
            "Konti", list(accounts), format_func=accounts.get, placeholder="Alle konti", key="budget-accounts"
        )
    return {"year": year, "departments": chosen_departments, "accounts": chosen_accounts}


def _conclusion(total: Row, year: int) -> str:
    if not total["deviation"]:
        return f"Forventet årsforbrug {year} er {fmt.millions(total['expected'])}, som budgettet."
    part = fmt.share(abs(total["deviation"]), abs(total["budget"]))
    kind = "et merforbrug" if total["deviation"] > 0 else "et mindreforbrug"
    return (
        f"Forventet årsforbrug {year} er {fmt.millions(total['expected'])} mod et budget på "
        f"{fmt.millions(total['budget'])}: "
        f"{kind} på {fmt.millions(abs(total['deviation']))}" + (f" ({fmt.percent(part)})." if part is not None else "")
    )


def _figures(total: Row, closed: date | None) -> list[parts.Figure]:
    used = fmt.share(total["actual"], total["budget"])
    posted = f"Færdigbogført til og med {fmt.month(closed)}" if closed else "Ingen måned er færdigbogført"
    kind = "▲ Merforbrug" if total["deviation"] > 0 else "▼ Mindreforbrug" if total["deviation"] < 0 else "= På budget"
    return [
        parts.Figure("budget", "Korrigeret budget", fmt.whole_kroner(total["budget"])),
        parts.Figure(
            "actual",
            "Forbrug til dato",
            fmt.whole_kroner(total["actual"]),
            (posted, f"{fmt.percent(used)} af budgettet"),
        ),
        parts.Figure("rest", "Disponeret rest", fmt.whole_kroner(total["rest"])),
        parts.Figure("expected", "Forventet årsforbrug", fmt.whole_kroner(total["expected"])),
        parts.Figure("deviation", "Afvigelse", fmt.whole_kroner(total["deviation"], signed=True), (kind,)),
    ]


def _by_month(reading: Published, chosen: dict) -> None:
    closed = reading.closed_through
    rows = reading.rows(
        f"SELECT month, {SUMS} FROM marts.budget_follow_up WHERE {CHOSEN} GROUP BY month ORDER BY month", **chosen
    )
    if not rows:
        parts.empty_state("Ingen tal", "Ingen konti passer til valget. Vælg færre afgrænsninger.", small=True)
        return
    over = [row for row in rows if row["deviation"] > 0]
    parts.section(
        "Måned for måned",
        f"{fmt.count_of(len(over), 'måned', 'måneder')} af {len(rows)} ligger over budget. Den stiplede linje er "
        "budgettet.",
    )
    left, right = st.columns([1, 1], gap="large")
    with left:
        charts.bars_with_line(
            [
                {
                    "month": fmt.short_month(row["month"]),
                    "value": charts.plain(row["expected"] / 1_000_000),
                    "kind": "Forbrug" if closed and row["month"] <= closed else "Disponeret",
                    "target": charts.plain(row["budget"] / 1_000_000),
                    "tip": f"{fmt.month(row['month'])}: forventet {fmt.whole_kroner(row['expected'])}, budget "
                    "{fmt.whole_kroner(row['budget'])}",
                }
                for row in rows
            ],
            x=[fmt.short_month(row["month"]) for row in rows],
            bars="Forbrug",
            line="Budget",
            y_title="mio. kr.",
            alt_text="Forbrug eller disponeret pr. måned mod budget; tallene står i tabellen ved siden af",
            height=340,
        )
    with right:
        parts.table(
            rows,
            [
                parts.month("month", "Måned"),
                parts.whole_money("budget", "Budget"),
                parts.whole_money("actual", "Forbrug"),
                parts.whole_money("expected", "Forventet"),
                parts.whole_money("deviation", "Afvigelse", signed=True),
            ],
            caption="Pr. måned; afvigelse med plus er merforbrug",
            name="budget-month",
            height=380,
        )


def _by_group(reading: Published, chosen: dict, total: Row) -> None:
    parts.section("Fordelt", "Største merforbrug øverst, største mindreforbrug nederst.")
    group = st.segmented_control("Fordel på", list(GROUPS), default="Konto", required=True, key="budget-group")
    key, name, title, name_title = GROUPS[group]
    named = f", max({name}) AS name" if name else ""
    rows = reading.rows(
        f"SELECT {key} AS key{named}, {SUMS} FROM marts.budget_follow_up WHERE {CHOSEN} GROUP BY {key} "
        f"ORDER BY {'deviation DESC, key' if name else 'key'}",
        **chosen,
    )
    rows = [row | {"used": fmt.share(row["actual"], row["budget"]), "part": _deviation_pct(row)} for row in rows]
    first = parts.month("key", title) if key == "month" else parts.Column("key", title)
    columns = [
        first,
        *([parts.Column("name", name_title)] if name else []),
        parts.money("budget", "Budget"),
        parts.money("actual", "Forbrug til dato"),
        parts.percent("used", "Forbrug i %"),
        parts.money("rest", "Disponeret rest"),
        parts.money("expected", "Forventet årsforbrug"),
        parts.money("deviation", "Afvigelse (+ er merforbrug)", signed=True),
        parts.percent("part", "Afvigelse i %", signed=True),
    ]
    parts.table(
        rows,
        columns,
        caption=f"Budgetopfølgning {chosen['year']} pr. {title.lower()}",
        name="budget-group",
        total=total | {"used": fmt.share(total["actual"], total["budget"]), "part": _deviation_pct(total)},
        height=560,
    )
    grain = reading.rows(
        f"""SELECT month, account, account_name, department, department_name, budget_dkk, actual_dkk, commitment_dkk,
            expected_dkk, deviation_dkk FROM marts.budget_follow_up WHERE {CHOSEN} ORDER BY month, account,
                department""",
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
            parts.money("budget_dkk", "budget"),
            parts.money("actual_dkk", "forbrug"),
            parts.money("commitment_dkk", "disponeret"),
            parts.money("expected_dkk", "forventet"),
            parts.money("deviation_dkk", "afvigelse_merforbrug"),
        ],
        f"budgetopfoelgning-{chosen['year']}.csv",
    )


def _deviation_pct(row: Row) -> Decimal | None:
    return fmt.share(row["deviation"], abs(row["budget"]))


show()
