"""Overblik: the key figures against last month and budget, cost over time, what changed, and what waits for someone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import charts, desk, parts
from dashboards import format as fmt
from dashboards.published import Published, Row
from settlement.ledger.proposals import open_proposals

COST = ("faktura", "intern", "udbetaling")
SIDES = {"Udgifter": COST, "Opkrævet hos andre": ("mellemkommunal",)}
DEFINITION = (
    "Forbrug: posteringer i økonomisystemet efter leverancemåned. Forventet årsforbrug: forbrug i de "
    "færdigbogførte måneder, derefter det disponerede (de bevilgede ydelsers pris måned for måned; indtægt fra "
    "andre kommuner trækkes fra). Korrigeret budget: oprindeligt budget, tillæg og overførsler.\n"
    "Udgifter til ydelser: det, ydelserne er værd (afregningsform intern, faktura og udbetaling). Opkrævet hos "
    "andre: det, andre kommuner og regioner skal betale (mellemkommunal).\n"
    "Belægning: indskrevne døgn / (pladser × døgn) i egne tilbud. Forløb: en borger tæller én gang pr. paragraf "
    "og forretningsområde; primo + tilgang − afgang = ultimo."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    reading = desk.published(instance)
    now = reading.build.horizon
    before = fmt.add_months(now, -1)
    year = _year(reading, now)
    areas = _areas(reading, before, now)
    parts.header(
        "Overblik",
        _conclusion(year, areas, now, before),
        period=f"{fmt.month(now)} og 12 måneder tilbage",
        build=reading.build,
        source="budget_follow_up, cost_month, occupancy_offer, movement; forslag fra registeret",
        definition=DEFINITION,
    )
    parts.figures(_figures(reading, year, now, before))
    _cost_over_time(reading, now)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _changes(areas, now, before)
    with right:
        _waiting(instance, reading)


def _year(reading: Published, now: date) -> Row:
    return reading.row(
        """SELECT coalesce(sum(budget_dkk), 0) AS budget, coalesce(sum(expected_dkk), 0) AS expected,
            coalesce(sum(deviation_dkk), 0) AS deviation
        FROM marts.budget_follow_up WHERE year(month) = year($now::DATE)""",
        now=now,
    )


def _areas(reading: Published, before: date, now: date) -> list[Row]:
    return reading.rows(
        """SELECT coalesce(business_area, 'Uden forretningsområde') AS area, process = 'mellemkommunal' AS is_income,
            coalesce(sum(entitled_dkk) FILTER (WHERE month = $before), 0) AS before,
            coalesce(sum(entitled_dkk) FILTER (WHERE month = $now), 0) AS now
        FROM marts.cost_month WHERE month IN ($before, $now) AND process IN ('mellemkommunal', 'faktura', 'intern',
            'udbetaling')
        GROUP BY ALL ORDER BY is_income, now DESC, area""",
        before=before,
        now=now,
    )


def _conclusion(year: Row, areas: list[Row], now: date, before: date) -> str:
    if not year["budget"]:
        first = f"Forventet årsforbrug {now.year} er {fmt.millions(year['expected'])}; der er intet budget for året."
    else:
        part = fmt.share(abs(year["deviation"]), abs(year["budget"]))
        side = "over" if year["deviation"] > 0 else "under"
        first = (
            f"Forventet årsforbrug {now.year} er {fmt.millions(year['expected'])}, "
            f"{fmt.millions(abs(year['deviation']))} "
            f"({fmt.percent(part)}) {side} det korrigerede budget."
        )
    costs = [row for row in areas if not row["is_income"]]
    if not costs:
        return first
    largest = max(costs, key=lambda row: abs(row["now"] - row["before"]))
    moved = largest["now"] - largest["before"]
    second = f"Største ændring i udgifter siden {fmt.month(before)}: {largest['area']}"
    return f"{first} {second} ({fmt.millions(moved, signed=True)})."


def _figures(reading: Published, year: Row, now: date, before: date) -> list[parts.Figure]:
    previous = fmt.month(before)
    posted = reading.closed_through
    cards = []
    if posted:
        spent = reading.row(
            """SELECT sum(actual_dkk) FILTER (WHERE month = $at) AS now, sum(budget_dkk) FILTER (WHERE month = $at)
                AS budget,
                coalesce(sum(actual_dkk) FILTER (WHERE month = $before), 0) AS before FROM marts.budget_follow_up""",
            at=posted,
            before=fmt.add_months(posted, -1),
        )
        cards.append(
            parts.Figure(
                "forbrug",
                f"Forbrug, {fmt.month(posted)}",
                fmt.millions(spent["now"]),
                (
                    parts.change(spent["now"], spent["before"], fmt.month(fmt.add_months(posted, -1))),
                    parts.change(spent["now"], spent["budget"] or Decimal(0), "månedens budget"),
                ),
            )
        )
    cards.append(
        parts.Figure(
            "forventet",
            f"Forventet årsforbrug {now.year}",
            fmt.millions(year["expected"]),
            (f"Korrigeret budget {fmt.millions(year['budget'])}", _over_or_under(year["deviation"])),
        )
    )
    for name, title, processes in (
        ("udgift", f"Udgifter til ydelser, {fmt.month(now)}", COST),
        ("opkraevet", f"Opkrævet hos andre, {fmt.month(now)}", ("mellemkommunal",)),
    ):
        sums = reading.row(
            """SELECT coalesce(sum(entitled_dkk) FILTER (WHERE month = $now), 0) AS now,
                coalesce(sum(entitled_dkk) FILTER (WHERE month = $before), 0) AS before,
                coalesce(sum(booked_dkk) FILTER (WHERE month = $now), 0) AS booked
            FROM marts.cost_month WHERE list_contains($processes, process)""",
            now=now,
            before=before,
            processes=list(processes),
        )
        compare = [parts.change(sums["now"], sums["before"], previous)]
        if name == "opkraevet":
            compare.append(f"Heraf bogført {fmt.millions(sums['booked'])}")
        cards.append(parts.Figure(name, title, fmt.millions(sums["now"]), tuple(compare)))
    return [*cards, *_stay_figures(reading, now, before)]


def _stay_figures(reading: Published, now: date, before: date) -> list[parts.Figure]:
    stay = reading.row(
        """SELECT sum(enrolled_days) FILTER (WHERE month = $now) AS enrolled, sum(place_days) FILTER (WHERE month =
            $now) AS places,
            sum(enrolled_days) FILTER (WHERE month = $before) AS enrolled_before,
            sum(place_days) FILTER (WHERE month = $before) AS places_before,
            sum(budgeted_occupancy_pct * place_days) FILTER (WHERE month = $now) AS budgeted_sum,
            sum(place_days) FILTER (WHERE month = $now AND budgeted_occupancy_pct IS NOT NULL) AS budgeted_days
        FROM marts.occupancy_offer WHERE owner_kind = 'egen'""",
        now=now,
        before=before,
    )
    cards = []
    if stay["places"]:
        pct = fmt.share(stay["enrolled"], stay["places"])
        compare = []
        if stay["places_before"]:
            was = fmt.share(stay["enrolled_before"], stay["places_before"])
            compare.append(
                f"{'▲' if pct > was else '▼' if pct < was else '='} {fmt.points(pct - was)} mod {fmt.month(before)}"
            )
        if stay["budgeted_days"]:
            compare.append(f"Budgetteret {fmt.percent(stay['budgeted_sum'] / stay['budgeted_days'])}")
        cards.append(
            parts.Figure("belaegning", f"Belægning i egne tilbud, {fmt.month(now)}", fmt.percent(pct), tuple(compare))
        )
    stock = reading.row(
        """SELECT coalesce(sum(opening), 0) AS opening, coalesce(sum(entries), 0) AS entries, coalesce(sum(exits), 0)
            AS exits,
            coalesce(sum(closing), 0) AS closing FROM marts.movement WHERE month = $now""",
        now=now,
    )
    cards.append(
        parts.Figure(
            "forloeb",
            f"Igangværende forløb, ultimo {fmt.month(now)}",
            fmt.number(stock["closing"]),
            (
                parts.change(Decimal(stock["closing"]), Decimal(stock["opening"]), "primo", fmt.number),
                f"Tilgang {fmt.number(stock['entries'])}, afgang {fmt.number(stock['exits'])}",
            ),
        )
    )
    return cards


def _over_or_under(deviation: Decimal) -> str:
    if not deviation:
        return "= på budget"
    return f"▲ Merforbrug {fmt.millions(deviation)}" if deviation > 0 else f"▼ Mindreforbrug {fmt.millions(-deviation)}"


def _cost_over_time(reading: Published, now: date) -> None:
    first = fmt.add_months(now, -12)
    side = st.segmented_control("Vis", list(SIDES), default="Udgifter", required=True, key="overview-side")
    rows = reading.rows(
        """SELECT month, coalesce(business_area, 'Uden forretningsområde') AS area, sum(entitled_dkk) AS dkk
        FROM marts.cost_month WHERE month BETWEEN $first AND $now AND list_contains($processes, process)
        GROUP BY ALL ORDER BY month, area""",
        first=first,
        now=now,
        processes=list(SIDES[side]),
    )
    months = [fmt.add_months(first, i) for i in range(13)]
    areas = sorted({row["area"] for row in rows}, key=lambda area: -sum(r["dkk"] for r in rows if r["area"] == area))
    value = {(row["month"], row["area"]): row["dkk"] for row in rows}
    title = (
        "Udgifter til ydelser pr. forretningsområde"
        if side == "Udgifter"
        else "Opkrævet hos andre pr. forretningsområde"
    )
    parts.section(title, _trend_sentence(value, areas, months))
    left, right = st.columns([5, 4], gap="medium")
    with left:
        charts.lines(
            [
                {
                    "month": fmt.short_month(at),
                    "series": area,
                    "value": charts.plain(value.get((at, area), Decimal(0)) / 1_000_000),
                    "tip": f"{area}, {fmt.month(at)}: {fmt.whole_kroner(value.get((at, area), Decimal(0)))}",
                }
                for area in areas
                for at in months
            ],
            x=[fmt.short_month(at) for at in months],
            y_title="mio. kr. pr. måned",
            alt_text=f"{title} fra {fmt.month(first)} til {fmt.month(now)}; tallene står i tabellen ved siden af",
            height=360,
        )
    with right:
        table = [
            {"month": at, "total": sum((value.get((at, area), Decimal(0)) for area in areas), Decimal(0))}
            | {area: value.get((at, area), Decimal(0)) for area in areas}
            for at in reversed(months)
        ]
        parts.table(
            table,
            [
                parts.month("month", "Måned"),
                *(parts.whole_money(area, area) for area in areas),
                parts.whole_money("total", "I alt"),
            ],
            caption=title,
            name="cost-month",
            height=400,
        )


def _trend_sentence(value: dict, areas: list[str], months: list[date]) -> str:
    def total(at: date) -> Decimal:
        return sum((value.get((at, area), Decimal(0)) for area in areas), Decimal(0))

    if not total(months[0]):
        return f"I alt {fmt.millions(total(months[-1]))} i {fmt.month(months[-1])}."
    part = fmt.share(total(months[-1]) - total(months[0]), total(months[0]))
    newest = f"I alt {fmt.millions(total(months[-1]))} i {fmt.month(months[-1])}"
    return f"{newest}, {fmt.percent(part, signed=True)} mod samme måned året før."


def _changes(areas: list[Row], now: date, before: date) -> None:
    parts.section(
        f"Hvad er ændret siden {fmt.month(before)}", "Største ændringer øverst; udgifter og opkrævning hver for sig."
    )
    rows = [
        row
        | {
            "side": "Opkrævet hos andre" if row["is_income"] else "Udgift",
            "change": row["now"] - row["before"],
            "part": fmt.share(row["now"] - row["before"], abs(row["before"])),
        }
        for row in areas
    ]
    parts.table(
        sorted(rows, key=lambda row: -abs(row["change"])),
        [
            parts.Column("area", "Forretningsområde"),
            parts.Column("side", "Art"),
            parts.whole_money("before", fmt.month(before).capitalize()),
            parts.whole_money("now", fmt.month(now).capitalize()),
            parts.whole_money("change", "Ændring", signed=True),
            parts.percent("part", "Ændring i %", signed=True),
        ],
        caption="Ændring pr. forretningsområde",
        name="changes",
    )


def _waiting(instance, reading: Published) -> None:
    with Session(desk.register(instance)) as session:
        proposals = [
            {
                "what": f"{fmt.label(p.process)}, {p.timing}",
                "through": p.through,
                "lines": p.line_count,
                "amount": fmt.oere(p.amount_oere),
            }
            for p in open_proposals(session)
        ]
    parts.section("Venter på en afgørelse", "Godkendes og bogføres på siden Afregning.")
    parts.table(
        proposals,
        [
            parts.Column("what", "Forslag"),
            parts.month("through", "Til og med"),
            parts.count("lines", "Linjer"),
            parts.whole_money("amount", "Beløb"),
        ],
        caption="Åbne forslag",
        name="open-proposals",
    )
    exceptions = reading.rows(
        """SELECT 'Parkeret' AS kind, reason, count(*) AS number_of FROM marts.parked_line GROUP BY reason
        UNION ALL SELECT 'Karantæne', reason, count(*) FROM marts.quality_finding
            WHERE is_open AND kind = 'karantæne' GROUP BY reason
        UNION ALL SELECT 'Advarsel', 'alle årsager', count(*) FROM marts.quality_finding
            WHERE is_open AND kind = 'advarsel' HAVING count(*) > 0
        ORDER BY number_of DESC""",
    )
    parts.table(
        exceptions,
        [parts.Column("kind", "Type"), parts.coded("reason", "Årsag"), parts.count("number_of", "Antal")],
        caption="Åbne undtagelser",
        name="open-exceptions",
        total={"number_of": sum(row["number_of"] for row in exceptions)},
    )


show()
