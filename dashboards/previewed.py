"""The preview of a proposal on the page: what stands outside bounds, counterparties, causes and the largest changes."""

from __future__ import annotations

import streamlit as st

from dashboards import charts, parts
from dashboards import format as fmt
from dashboards.proposal_reading import ProposalReading
from dashboards.published import Row
from settlement import impact
from settlement.instance import Bounds
from settlement.ledger.bounds import STOPPED, subject
from settlement.ledger.models import Release

BARS = 12


def outside(preview: impact.Preview, bounds: Bounds, names: dict[str, str], released: list[Release]) -> None:
    """Mass changes with what they move per payer and account, and everything else outside a bound."""
    found = len(preview.mass_changes) + len(preview.outside)
    parts.section(
        "Uden for grænser",
        f"{fmt.count_of(found, 'forhold', 'forhold')} at se på, før der godkendes. Grænserne står i settings.toml."
        if found
        else "Intet er uden for grænserne i settings.toml.",
    )
    for change in preview.mass_changes:
        end = "Det skal frigives af en, der hverken har foreslået eller godkendt."
        if change.verdict == STOPPED:
            end = f"Over {bounds.stop_pct} pct. kan det ikke bogføres."
        st.error(f"{change.sentence}. {end}", icon=":material/block:")
    for release in released:
        st.success(
            f"Frigivet af {release.released_by} {fmt.moment(release.released_at)}: «{release.reason}».",
            icon=":material/verified_user:",
        )
    if preview.mass_changes:
        parts.table(
            [
                {
                    "what": subject(part.cause, part.item_code, part.is_late), "name": names[part.counterparty],
                    "account": part.account, "amount": fmt.oere(part.amount_oere),
                }
                for part in preview.mass_parts
            ],
            [
                parts.Column("what", "Masseændring"),
                parts.Column("name", "Modpart"),
                parts.Column("account", "Konto"),
                parts.money("amount", "Forskel mod bogført", signed=True),
            ],
            caption="Masseændringer pr. modpart og konto",
            name="mass-parts",
            height=320,
        )  # fmt: skip
    if preview.outside:
        parts.table(
            [{"what": impact.bound_text(thing, bounds)} for thing in preview.outside],
            [parts.Column("what", "Uden for grænsen")],
            caption="Linjer, ydelser og modparter uden for grænserne",
            name="outside",
            height=260,
        )


def parties(rows: list[Row], preview: impact.Preview) -> None:
    """Counterparties: the newest month beside the month before, what is proposed, and the run before."""
    month, before = fmt.month(preview.month), fmt.month(fmt.add_months(preview.month, -1))
    moved = [row for row in rows if row["change"]]
    changed = fmt.count_of(len(moved), "modpart har", "modparter har")
    parts.section("Modparter", f"{changed} et andet beløb i {month} end i {before}. Største ændring øverst.")
    sums = ("lines", "proposed", "earlier", "month", "month_before", "change", "run_before")
    parts.table(
        rows,
        [
            parts.Column("name", "Modpart"),
            parts.money("month", fmt.short_month(preview.month)),
            parts.money("month_before", fmt.short_month(fmt.add_months(preview.month, -1))),
            parts.money("change", "Ændring", signed=True),
            parts.percent("part", "Ændring i %", signed=True),
            parts.count("lines", "Linjer"),
            parts.money("proposed", "Forslag"),
            parts.money("earlier", "Heraf rettelser", signed=True),
            parts.money("run_before", "Seneste kørsel"),
            parts.Column("has_ean", "EAN"),
        ],
        caption=f"Beløb uden moms pr. modpart: ret til i {month} og {before}, forslaget og seneste kørsel",
        name="parties",
        total={"name": "I alt", **{key: sum(row[key] for row in rows) for key in sums}},
        height=400,
    )
    charts.horizontal(
        [_bar(row["name"], row["change"]) for row in moved[:BARS]],
        value_title="ændring i 1.000 kr.",
        number_format=",.0f",
        alt_text="De største ændringer pr. modpart mod måneden før; tallene står i tabellen ovenfor",
    )


def causes(read: ProposalReading, names: dict[str, str]) -> None:
    """Why the amounts move: the sums by cause, and the changes of one cause or of all, line by line."""
    preview = read.preview
    sums = [
        {"name": impact.cause_text(c.cause, c.is_late), "lines": c.service_lines, "amount": fmt.oere(c.amount_oere)}
        for c in preview.causes
    ]
    month, before = fmt.month(preview.month), fmt.month(fmt.add_months(preview.month, -1))
    compared = f"{month} mod {before} og tidligere måneder mod det bogførte" if preview.is_month_new else (
        "alle måneder mod det bogførte, for en tidligere kørsel har afregnet dem"
    )  # fmt: skip
    parts.section("Årsager", f"Hver ændret linje har én årsag: {compared}.")
    if not sums:
        return
    left, right = st.columns([3, 4], gap="large")
    with left:
        charts.horizontal(
            [_bar(row["name"], row["amount"]) for row in sorted(sums, key=lambda row: -abs(row["amount"]))[:BARS]],
            value_title="ændring i 1.000 kr.",
            number_format=",.0f",
            alt_text="Ændringer pr. årsag; tallene står i tabellen ved siden af",
        )
    with right:
        parts.table(
            sums,
            [
                parts.Column("name", "Årsag"),
                parts.count("lines", "Ydelser"),
                parts.money("amount", "Ændring", signed=True),
            ],
            caption="Ændringer pr. årsag",
            name="causes",
            total={"name": "I alt", "amount": sum(row["amount"] for row in sums)},
        )
    choices = {(c.cause, c.is_late): impact.cause_text(c.cause, c.is_late) for c in preview.causes}
    cause = st.selectbox(
        "Vis ændringer", [None, *choices], format_func=lambda c: choices[c] if c else "Alle årsager", key="changes-cause"
    )
    rows = [row | {"name": names[row["counterparty"]]} for row in read.changes(cause, parts.ROWS_SHOWN)]
    parts.table(
        rows,
        [
            parts.Column("service_line_id", "Ydelse"),
            parts.Column("item_name", "Katalogydelse"),
            parts.month("delivery_month", "Leverancemåned"),
            parts.Column("name", "Modpart"),
            parts.Column("cause", "Årsag"),
            parts.Column("facts", "Ændret siden seneste kørsel"),
            parts.money("amount", "Ændring", signed=True),
        ],
        caption="Største ændringer, de største først",
        name="largest-changes",
        height=360,
    )


def _bar(name: str, amount) -> Row:
    return {
        "name": name, "value": charts.plain(amount / 1000), "text": fmt.number(amount / 1000, signed=True),
        "tip": f"{name}: {fmt.kroner(amount, signed=True)}",
    }  # fmt: skip
