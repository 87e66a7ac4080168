"""Belægning: enrolled days against places per offer, and the same days per paying municipality."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from dashboards import charts, desk, parts
from dashboards import format as fmt
from dashboards.published import Published, Row

VIEWS = ("Pr. tilbud", "Pr. betalingskommune")
REPORTED_POINTS = 5  # a deviation of so many points is reported quarterly (statistics_reports.md §3, KKR)
CHART_ROWS = 25
OWN = "egen"
CHOSEN = """month BETWEEN $first AND $last AND (len($offers) = 0 OR list_contains($offers, offer_id))"""
DEFINITION = (
    "Belægning: indskrevne døgn / (pladser × døgn) i perioden; tilbud, der kun har hverdage, tæller hverdage. "
    "Indskrevne døgn kommer fra ophold (døgn, hverdag, uge, måned, år), ikke fra timer, leverede enheder eller "
    "engangsbeløb; fravær tæller med, pladsen er optaget. Over 100 % er overbelægning og lovligt. Budgetteret: "
    "tilbuddets budgetterede belægning, vægtet med pladsdøgn. En afvigelse på 5 procentpoint eller mere er "
    "mærket; den indberettes kvartalsvis efter rammeaftalen. Omsætning: det, de indskrevne døgn er værd. I andres "
    "tilbud kendes kun de borgere, kommunen selv har dér, så belægningen er kun hele tilbuddets for egne tilbud, "
    "som siden begynder med."
)


def show() -> None:
    """Draws the page."""
    reading = desk.published(desk.instance())
    head = st.container()
    months = reading.values("SELECT DISTINCT month FROM marts.occupancy_offer ORDER BY 1")
    if not months:
        with head:
            _header(reading, "Der er ingen tilbud med pladser og indskrevne endnu.", "–")
        return
    view, chosen = _filters(reading, months)
    period = f"{fmt.month(chosen['first'])} til {fmt.month(chosen['last'])}"
    if not reading.row(f"SELECT count(*) AS rows_found FROM marts.occupancy_offer WHERE {CHOSEN}", **chosen)[
        "rows_found"
    ]:
        with head:
            _header(reading, "Ingen tilbud passer til valget.", period)
        return
    (_offers if view == VIEWS[0] else _municipalities)(reading, head, chosen, period)


def _header(reading: Published, conclusion: str, period: str) -> None:
    parts.header(
        "Belægning",
        conclusion,
        period=period,
        build=reading.build,
        source="occupancy_offer, occupancy_municipality (pladser fra tilbud, døgn fra ydelserne)",
        definition=DEFINITION,
    )


def _filters(reading: Published, months: list) -> tuple[str, dict]:
    offers = reading.rows(
        "SELECT DISTINCT offer_id, offer_name, owner_kind, paragraph FROM marts.occupancy_offer ORDER BY "
        "offer_name, offer_id"
    )
    with st.container(border=True):
        view = st.segmented_control("Vis", VIEWS, default=VIEWS[0], required=True, key="occupancy-view")
        first_column, last_column, owner_column, paragraph_column, offer_column = st.columns([1.3, 1.3, 1.7, 1.3, 2.6])
        start = max(len(months) - 12, 0)
        first = first_column.selectbox("Fra", months, index=start, format_func=fmt.month, key="occupancy-first")
        later = [at for at in months if at >= first]
        last = last_column.selectbox(
            "Til og med", later, index=len(later) - 1, format_func=fmt.month, key="occupancy-last"
        )
        kinds = sorted({o["owner_kind"] for o in offers if o["owner_kind"]})
        owners = owner_column.multiselect(
            "Ejer",
            kinds,
            default=[kind for kind in kinds if kind == OWN],
            format_func=fmt.label,
            placeholder="Alle",
            key="occupancy-owner",
        )
        paragraphs = paragraph_column.multiselect(
            "Paragraf",
            sorted({o["paragraph"] for o in offers if o["paragraph"]}),
            placeholder="Alle",
            key="occupancy-paragraph",
        )
        fitting = {
            o["offer_id"]: o["offer_name"] or o["offer_id"]
            for o in offers
            if (not owners or o["owner_kind"] in owners) and (not paragraphs or o["paragraph"] in paragraphs)
        }
        picked = offer_column.multiselect(
            "Tilbud", list(fitting), format_func=fitting.get, placeholder="Alle, der passer", key="occupancy-offers"
        )
    chosen_offers = picked or (list(fitting) if owners or paragraphs else [])
    # No offer fits both owner and paragraph: an id that none has keeps the answer empty instead of unfiltered.
    return view, {
        "first": first,
        "last": last,
        "offers": chosen_offers or ([] if fitting and not (owners or paragraphs) else ["-"]),
    }


def _pct(row: Row) -> Decimal | None:
    return fmt.share(row["enrolled_days"], row["place_days"])


def _offers(reading: Published, head, chosen: dict, period: str) -> None:
    sums = """sum(place_days) AS place_days, sum(enrolled_days) AS enrolled_days,
        sum(place_days) FILTER (WHERE budgeted_occupancy_pct IS NOT NULL) AS budgeted_days,
        sum(enrolled_days) FILTER (WHERE budgeted_occupancy_pct IS NOT NULL) AS enrolled_budgeted,
        sum(budgeted_occupancy_pct * place_days) AS budgeted_sum"""
    rows = reading.rows(
        f"""SELECT offer_id, max(offer_name) AS offer_name, max(owner_kind) AS owner_kind, max(paragraph) AS paragraph,
            max(department) AS department, max_by(places, month) AS places, {sums}
        FROM marts.occupancy_offer WHERE {CHOSEN} GROUP BY offer_id ORDER BY offer_name, offer_id""",
        **chosen,
    )
    rows = sorted((_with_deviation(row) for row in rows), key=lambda row: -(row["pct"] or 0))
    total = _with_deviation(reading.row(f"SELECT {sums} FROM marts.occupancy_offer WHERE {CHOSEN}", **chosen))
    marked = [row for row in rows if row["mark"].startswith(("▲", "▼"))]
    with head:
        _header(
            reading,
            f"Belægningen er {fmt.percent(total['pct'])} mod budgetteret {fmt.percent(total['budgeted'])}. "
            f"{fmt.count_of(len(marked), 'tilbud afviger', 'tilbud afviger')} mindst {REPORTED_POINTS} procentpoint.",
            period,
        )
    parts.figures(
        [
            parts.Figure(
                "pct", "Belægning", fmt.percent(total["pct"]), (f"Budgetteret {fmt.percent(total['budgeted'])}",)
            ),
            parts.Figure("enrolled_days", "Indskrevne døgn", fmt.number(total["enrolled_days"])),
            parts.Figure("place_days", "Pladsdøgn", fmt.number(total["place_days"])),
            parts.Figure("offers", "Tilbud", fmt.number(len(rows)), (f"{len(marked)} med stor afvigelse",)),
        ]
    )
    left, right = st.columns(2, gap="large")
    with left:
        shown = rows[:CHART_ROWS]
        more = f" De {CHART_ROWS} højeste af {len(rows)} er tegnet." if len(rows) > CHART_ROWS else ""
        parts.section("Tilbud", f"Søjlen er den faktiske belægning, det røde mærke den budgetterede.{more}")
        charts.horizontal(
            [
                {
                    "name": row["offer_name"] or row["offer_id"],
                    "value": charts.plain(row["pct"]),
                    "text": fmt.percent(row["pct"]),
                    "target": charts.plain(row["budgeted"]),
                    "tip": f"{row['offer_name']}: {fmt.percent(row['pct'])}, budgetteret "
                    "{fmt.percent(row['budgeted'])}",
                }
                for row in shown
            ],
            value_title="belægning i %",
            target="target",
            number_format=",.0f",
            alt_text="Belægning pr. tilbud mod budgetteret; tallene står i tabellen",
        )
    with right:
        _trend(reading, chosen)
    columns = [
        parts.Column("offer_name", "Tilbud"),
        parts.coded("owner_kind", "Ejer"),
        parts.Column("paragraph", "Paragraf"),
        parts.count("places", "Pladser"),
        parts.count("place_days", "Pladsdøgn"),
        parts.count("enrolled_days", "Indskrevne døgn"),
        parts.percent("pct", "Belægning"),
        parts.percent("budgeted", "Budgetteret"),
        parts.Column("deviation", "Afvigelse", fmt.points, True),
        parts.Column("mark", "Mærke"),
    ]
    parts.table(
        rows,
        columns,
        caption=f"Belægning pr. tilbud, {period}",
        name="occupancy-offer",
        total=total,
    )
    parts.download_csv(rows, columns, "belaegning-tilbud.csv")


def _with_deviation(row: Row) -> Row:
    pct = _pct(row)
    budgeted = Decimal(row["budgeted_sum"]) / row["budgeted_days"] if row["budgeted_days"] else None
    # Offers without a budgeted occupancy are no part of the deviation.
    deviation = fmt.share(row["enrolled_budgeted"], row["budgeted_days"]) - budgeted if budgeted is not None else None
    mark = ""
    if deviation is not None and abs(deviation) >= REPORTED_POINTS:
        mark = "▲ over" if deviation > 0 else "▼ under"
    return row | {"pct": pct, "budgeted": budgeted, "deviation": deviation, "mark": mark}


def _trend(reading: Published, chosen: dict) -> None:
    rows = reading.rows(
        f"""SELECT month, sum(place_days) AS place_days, sum(enrolled_days) AS enrolled_days FROM marts.occupancy_offer
        WHERE {CHOSEN} GROUP BY month ORDER BY month""",
        **chosen,
    )
    pcts = [(row["month"], _pct(row)) for row in rows]
    known = [(at, pct) for at, pct in pcts if pct is not None]
    sentence = (
        f"Fra {fmt.percent(known[0][1])} i {fmt.month(known[0][0])} til {fmt.percent(known[-1][1])} i "
        f"{fmt.month(known[-1][0])}."
        if known
        else ""
    )
    parts.section("Udvikling", sentence)
    charts.lines(
        [
            {
                "month": fmt.short_month(at),
                "series": "Belægning",
                "value": charts.plain(pct),
                "tip": f"{fmt.month(at)}: {fmt.percent(pct)}",
            }
            for at, pct in known
        ],
        x=[fmt.short_month(at) for at, _ in known],
        y_title="belægning i %",
        alt_text="Belægning pr. måned; tallene står i tabellen",
        height=230,
    )
    parts.table(
        [
            {"month": row["month"], "enrolled": row["enrolled_days"], "places": row["place_days"], "pct": _pct(row)}
            for row in reversed(rows)
        ],
        [
            parts.month("month", "Måned"),
            parts.count("enrolled", "Indskrevne døgn"),
            parts.count("places", "Pladsdøgn"),
            parts.percent("pct", "Belægning"),
        ],
        caption="Belægning pr. måned",
        name="occupancy-month",
        height=260,
    )


def _municipalities(reading: Published, head, chosen: dict, period: str) -> None:
    rows = reading.rows(
        f"""SELECT municipality, max(municipality_name) AS municipality_name, bool_or(is_own) AS is_own,
            count(DISTINCT offer_id) AS offers, sum(enrolled_days) AS enrolled_days, sum(revenue_dkk) AS revenue
        FROM marts.occupancy_municipality WHERE {CHOSEN} GROUP BY municipality ORDER BY enrolled_days DESC,
            municipality""",
        **chosen,
    )
    days = sum(row["enrolled_days"] for row in rows)
    rows = [
        row | {"share": fmt.share(row["enrolled_days"], days), "name": row["municipality_name"] or row["municipality"]}
        for row in rows
    ]
    own = sum(row["enrolled_days"] for row in rows if row["is_own"])
    revenue = sum((row["revenue"] for row in rows if not row["is_own"]), Decimal(0))
    with head:
        _header(
            reading,
            f"{fmt.percent(fmt.share(days - own, days))} af døgnene betales af andre, i alt {fmt.millions(revenue)}"
            if days
            else "Ingen indskrevne døgn passer til valget.",
            period,
        )
    parts.figures(
        [
            parts.Figure("days", "Indskrevne døgn", fmt.number(days)),
            parts.Figure(
                "own", "Egne borgeres døgn", fmt.number(own), (f"{fmt.percent(fmt.share(own, days))} af alle",)
            ),
            parts.Figure(
                "foreign",
                "Andres døgn",
                fmt.number(days - own),
                (f"{fmt.percent(fmt.share(days - own, days))} af alle",),
            ),
            parts.Figure("revenue", "Omsætning fra andre", fmt.whole_kroner(revenue)),
        ]
    )
    left, right = st.columns(2, gap="large")
    with left:
        parts.section("Andre betalingskommuner", "De 15 med flest døgn.")
        charts.horizontal(
            [
                {
                    "name": row["name"],
                    "value": charts.plain(row["enrolled_days"]),
                    "text": fmt.number(row["enrolled_days"]),
                    "tip": f"{row['name']}: {fmt.number(row['enrolled_days'])} døgn",
                }
                for row in [row for row in rows if not row["is_own"]][:15]
            ],
            value_title="indskrevne døgn",
            number_format=",.0f",
            alt_text="Indskrevne døgn pr. anden betalingskommune; tallene står i tabellen",
        )
    columns = [
        parts.Column("name", "Betalingskommune"),
        parts.Column("is_own", "Egen", fmt.yes_no),
        parts.count("offers", "Tilbud"),
        parts.count("enrolled_days", "Indskrevne døgn"),
        parts.percent("share", "Andel"),
        parts.money("revenue", "Omsætning"),
    ]
    with right:
        parts.section("Alle betalingskommuner")
        parts.table(rows, columns, caption=f"Belægning pr. betalingskommune, {period}", name="occupancy-municipality")
    detail = reading.rows(
        f"""SELECT max(offer_name) AS offer_name, max(municipality_name) AS name, bool_or(is_own) AS is_own,
            sum(enrolled_days) AS enrolled_days, sum(revenue_dkk) AS revenue,
            sum(sum(enrolled_days)) OVER (PARTITION BY offer_id) AS offer_days
        FROM marts.occupancy_municipality WHERE {CHOSEN} GROUP BY offer_id, municipality ORDER BY offer_name,
            enrolled_days DESC, name""",
        **chosen,
    )
    detail = [row | {"share": fmt.share(row["enrolled_days"], row["offer_days"])} for row in detail]
    parts.section("Tilbud og betalingskommune", "Andelen er af tilbuddets egne indskrevne døgn.")
    detail_columns = [
        parts.Column("offer_name", "Tilbud"),
        parts.Column("name", "Betalingskommune"),
        parts.Column("is_own", "Egen", fmt.yes_no),
        parts.count("enrolled_days", "Indskrevne døgn"),
        parts.percent("share", "Andel"),
        parts.money("revenue", "Omsætning"),
    ]
    parts.table(detail, detail_columns, caption="Tilbud × betalingskommune", name="occupancy-detail")
    parts.download_csv(detail, detail_columns, "belaegning-kommuner.csv")


show()
