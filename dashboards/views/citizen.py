"""Borger: one citizen's services and costs, by role and for a stated purpose; every look-up is logged first."""

from __future__ import annotations

import re
from decimal import Decimal

import streamlit as st

from dashboards import charts, desk, explained, parts
from dashboards import format as fmt
from dashboards.published import PublishedPersons, Row, open_persons
from settlement.faults import Fault
from settlement.ledger.access import log_access
from settlement.ledger.register import MAY_SEE_CITIZENS, writing

FOUND = "citizen-looked-up"
LOOK_UP, EXPORT = "opslag", "eksport"
DEFINITION = (
    "Værd: det, ydelsen er værd i leverancemåneden efter alt, der vides nu. Bogført: det, der er bogført i "
    "regnskabet. En controller og en revisor ser alle borgere, en sagsbehandler kun ydelser i egen afdeling, "
    "datateamet ingen. Hvert opslag skrives i adgangsloggen med bruger, tidspunkt og formål, før noget vises. En "
    "beskyttet adresse vises ikke."
)


def show() -> None:
    """Draws the page."""
    instance = desk.instance()
    engine = desk.register(instance)
    user = desk.signed_in(engine)
    build = desk.published(instance).build
    parts.header(
        "Borger",
        "Slå én borger op og se ydelser og udgifter måned for måned.",
        period=f"til og med {fmt.month(build.horizon)}",
        build=build,
        source="citizen, citizen_municipality, citizen_conflict, service_line_month (marts_person)",
        definition=DEFINITION,
    )
    if user.role not in MAY_SEE_CITIZENS:
        parts.empty_state(
            "Ingen adgang", f"Rollen {user.role} ser ingen borgere. Tal uden personer står på de andre sider."
        )
        return
    if user.role == "sagsbehandler" and not user.department:
        parts.empty_state(
            "Ingen afdeling",
            "Du er sagsbehandler uden afdeling og kan ingen borgere se. Få en afdeling sat på din bruger.",
        )
        return
    _search(engine, user)
    looked_up = st.session_state.get(FOUND)
    if looked_up is None:
        parts.empty_state("Ingen borger er slået op", "Skriv CPR-nummer og formål. Opslaget skrives i adgangsloggen.")
        return
    _citizen(instance, engine, user, open_persons(instance), looked_up)


def _search(engine, user) -> None:
    with st.form("citizen-search", clear_on_submit=True, border=True):
        left, right, button = st.columns([1.2, 3, 0.8], vertical_alignment="bottom")
        written = left.text_input("CPR-nummer", placeholder="ddmmåå-xxxx", autocomplete="off", key="citizen-cpr")
        purpose = right.text_input(
            "Formål med opslaget", placeholder="fx kontrol af regning fra Bostedet Åhuset", key="citizen-purpose"
        )
        if not button.form_submit_button("Slå op", type="primary", width="stretch"):
            return
    st.session_state.pop(FOUND, None)
    cpr = re.sub(r"[\s-]", "", written)
    if not re.fullmatch(r"[0-9]{10}", cpr):
        st.error("CPR-nummeret skal have ti cifre, skrevet ddmmååxxxx eller ddmmåå-xxxx.", icon=":material/block:")
        return
    if _log(engine, user, LOOK_UP, cpr, purpose):
        st.session_state[FOUND] = {"cpr": cpr, "purpose": purpose}


def _log(engine, user, action: str, cpr: str, purpose: str) -> bool:
    try:
        with writing(engine) as session:
            log_access(session, user.name, action, cpr, purpose)
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")
        return False
    return True


def _citizen(instance, engine, user, persons: PublishedPersons | None, looked_up: Row) -> None:
    cpr = looked_up["cpr"]
    only = user.department if user.role == "sagsbehandler" else None
    found = (
        persons.rows("SELECT * EXCLUDE (build_id) FROM marts_person.citizen WHERE cpr = $cpr", cpr=cpr)
        if persons
        else []
    )
    months = _months(persons, cpr, only) if found else []
    own = found and (only is None or months or only in found[0]["department"].split(", "))
    if not own:
        where = "i din afdeling" if only else "her"
        parts.empty_state(
            "Ingen borger", f"Der er ingen borger med det CPR-nummer {where}. Opslaget er skrevet i adgangsloggen."
        )
        return
    citizen = found[0]
    parts.section(citizen["name"] or "Uden navn", "")
    parts.facts(
        [
            ("CPR", f"{cpr[:6]}-{cpr[6:]}"),
            ("Adresse", "Beskyttet" if citizen["address_protected"] else citizen["address"] or fmt.NONE),
            ("Bopælskommune", desk.municipality_code_name(citizen["residence_municipality"])),
            ("Afdeling", citizen["department"] or fmt.NONE),
            ("Sagsbehandler", citizen["case_worker"] or fmt.NONE),
            ("Formål med opslaget", looked_up["purpose"]),
        ]
    )
    _municipalities(persons, cpr, months if only else None)
    _conflicts(persons, cpr)
    if not months:
        parts.empty_state("Ingen ydelser", "Borgeren har ingen ydelser, der er noget værd i perioden.", small=True)
        return
    _cost(months)
    _services(months)
    _month_table(instance, engine, user, months, looked_up)


def _municipalities(persons: PublishedPersons, cpr: str, own: list[Row] | None) -> None:
    """Where the citizen lives, and who acts and pays, by period; with `own` only of the packages of those months."""
    rows = persons.rows(
        """SELECT kind, package_id, valid_from, valid_to, municipality FROM marts_person.citizen_municipality
        WHERE cpr = $cpr ORDER BY kind, package_id, valid_from NULLS FIRST""",
        cpr=cpr,
    )
    if own is not None:
        rows = [row for row in rows if row["package_id"] in {"", *(month["package_id"] for month in own)}]
    columns = [
        parts.Column("kind", "Kommunen", str.capitalize),
        parts.Column("municipality", "Kommune", desk.municipality_code_name),
        parts.Column("package_id", "Pakke"),
        parts.day("valid_from", "Fra"),
        parts.day("valid_to", "Til"),
    ]
    parts.table(rows, columns, caption="Bopæls-, handle- og betalingskommune", name="municipalities", height=300)


def _conflicts(persons: PublishedPersons, cpr: str) -> None:
    rows = persons.rows(
        """SELECT column_name, system, value, dated, is_chosen FROM marts_person.citizen_conflict WHERE cpr = $cpr
        ORDER BY column_name, is_chosen DESC, system""",
        cpr=cpr,
    )
    if rows:
        columns = [
            parts.Column("column_name", "Felt"),
            parts.coded("system", "System"),
            parts.Column("value", "Siger"),
            parts.day("dated", "Udtræk"),
            parts.Column("is_chosen", "Gældende", fmt.yes_no),
        ]
        parts.table(rows, columns, caption="Hvad kildesystemerne er uenige om", name="citizen-conflicts", height=300)


def _months(persons: PublishedPersons, cpr: str, department: str | None) -> list[Row]:
    where, parameters = "cpr = $cpr", {"cpr": cpr}
    if department is not None:
        where, parameters = f"{where} AND department = $department", parameters | {"department": department}
    return persons.rows(
        f"""SELECT * EXCLUDE (build_id, cpr) FROM marts_person.service_line_month WHERE {where}
        ORDER BY delivery_month DESC, item_name, service_line_id""",
        **parameters,
    )


def _cost(months: list[Row]) -> None:
    totals: dict = {}
    for row in months:
        entitled, booked = totals.get(row["delivery_month"], (Decimal(0), Decimal(0)))
        totals[row["delivery_month"]] = (entitled + (row["entitled_dkk"] or 0), booked + (row["booked_dkk"] or 0))
    newest = max(totals)
    year = [fmt.add_months(newest, -i) for i in range(12)]
    last_year = sum((totals[at][0] for at in year if at in totals), Decimal(0))
    parts.figures(
        [
            parts.Figure(
                "month",
                f"Værd i {fmt.month(newest)}",
                fmt.kroner(totals[newest][0]),
                (f"Heraf bogført {fmt.kroner(totals[newest][1])}",),
            ),
            parts.Figure("year", "Værd i 12 måneder", fmt.kroner(last_year), (f"til og med {fmt.month(newest)}",)),
            parts.Figure("lines", "Ydelser", fmt.number(len({row["service_line_id"] for row in months}))),
        ]
    )
    shown = [at for at in reversed([fmt.add_months(newest, -i) for i in range(24)]) if at >= min(totals)]
    sums = [
        {"month": at, "entitled": totals.get(at, (Decimal(0),) * 2)[0], "booked": totals.get(at, (Decimal(0),) * 2)[1]}
        for at in shown
    ]
    parts.section(
        "Ydelsernes værd pr. måned", f"Højeste måned er {fmt.month(max(totals, key=lambda at: totals[at][0]))}."
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        charts.lines(
            [
                {
                    "month": fmt.short_month(row["month"]),
                    "series": title,
                    "value": charts.plain(row[key] / 1000),
                    "tip": f"{title} {fmt.month(row['month'])}: {fmt.kroner(row[key])}",
                }
                for key, title in (("entitled", "Værd"), ("booked", "Bogført"))
                for row in sums
            ],
            x=[fmt.short_month(at) for at in shown],
            y_title="1.000 kr.",
            alt_text="Værd og bogført pr. måned; tallene står i tabellen ved siden af",
        )
    with right:
        parts.table(
            sums[::-1],
            [parts.month("month", "Måned"), parts.money("entitled", "Værd"), parts.money("booked", "Bogført")],
            caption="Værd og bogført pr. måned",
            name="citizen-cost",
            height=330,
        )


def _counterparty(code: str | None) -> str:
    """A payer's name; a person, who may be another than the one looked up, is not shown by CPR number."""
    return "En person" if re.fullmatch(r"[0-9]{10}", code or "") else desk.municipality_code_name(code)


def _services(months: list[Row]) -> None:
    services: dict[str, Row] = {}
    for row in months:  # newest month first: a line is described as it is now
        service = services.setdefault(row["service_line_id"], row | {"entitled": Decimal(0), "booked": Decimal(0)})
        service["entitled"] += row["entitled_dkk"] or 0
        service["booked"] += row["booked_dkk"] or 0
    parts.section("Ydelser")
    parts.table(
        sorted(services.values(), key=lambda row: (row["end_date"] is not None, -row["start_date"].toordinal())),
        [
            parts.Column("service_line_id", "Ydelse"),
            parts.Column("item_name", "Katalogydelse"),
            parts.Column("paragraph", "Paragraf"),
            parts.Column("offer_name", "Tilbud"),
            parts.day("start_date", "Fra"),
            parts.day("end_date", "Til"),
            parts.coded("unit", "Enhed"),
            parts.coded("process", "Afregningsform"),
            parts.Column("counterparty", "Modpart", _counterparty),
            parts.Column("department", "Afdeling"),
            parts.money("entitled", "Værd i alt"),
            parts.money("booked", "Bogført i alt"),
        ],
        caption="Borgerens ydelser, igangværende øverst",
        name="citizen-services",
    )


def _month_table(instance, engine, user, months: list[Row], looked_up: Row) -> None:
    parts.section("Ydelser måned for måned")
    columns = [
        parts.month("delivery_month", "Leverancemåned"),
        parts.Column("service_line_id", "Ydelse"),
        parts.Column("package_id", "Pakke"),
        parts.Column("item_name", "Katalogydelse"),
        parts.Column("offer_name", "Tilbud"),
        parts.Column("quantity", "Antal", fmt.decimals_4, True),
        parts.coded("unit", "Enhed"),
        parts.coded("process", "Afregningsform"),
        parts.money("entitled_dkk", "Værd"),
        parts.money("booked_dkk", "Bogført"),
    ]
    parts.table(months, columns, caption="Ydelser pr. leverancemåned, nyeste øverst", name="citizen-months")
    explained.choose(instance, engine, months, "entitled_dkk", key="explain-month")
    parts.download_csv(
        months,
        columns,
        "borger.csv",
        on_click=_log,
        args=(engine, user, EXPORT, looked_up["cpr"], looked_up["purpose"]),
    )


show()
