"""The panel beside the amounts: how one chosen line's amount came about, from the facts its proposal was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import streamlit as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dashboards import format as fmt
from dashboards import parts
from dashboards.published import Row, open_published
from settlement.explain import explain_proposal, newest_proposal_of
from settlement.explanation import Explanation, Refusal, amount_sentences, outcome_sentences, quantity_sum, titled
from settlement.faults import Fault
from settlement.instance import Instance
from settlement.ledger.decisions import SET_ASIDE
from settlement.ledger.models import Decision

NOTHING_PROPOSED = "Der er endnu intet forslag at forklare beløbet af. Det kommer med næste kørsel («afregning run»)."


def choose(
    instance: Instance,
    engine: Engine,
    rows: Sequence[Row],
    amount: str,
    *,
    key: str,
    proposal_id: int | None = None,
) -> None:
    """A choice among the rows shown, and the explanation of the chosen; nothing is computed before a choice.

    A row has service_line_id, delivery_month, item_name and its amount in kroner under `amount`. Without `proposal_id`
    the newest proposal of the row's process is what explains it, against what is booked by now: the row's `booked_dkk`.
    """
    told = _summed(rows, amount)
    chosen = st.selectbox(
        "Sådan er beløbet blevet til",
        list(told),
        index=None,
        placeholder="Vælg en ydelse og måned, og se dage, vægte, takst, afrunding og bogføring",
        format_func=_title(told, amount),
        key=key,
    )
    if chosen is None:
        return
    line, month, process = chosen
    try:
        # A month with days of several processes names them all.
        of = proposal_id or newest_proposal_of(instance, engine, process.split(", "), line, month)
        if of is None:
            parts.empty_state("Ingen forklaring", NOTHING_PROPOSED, small=True)
            return
        with st.spinner("Læser grundlaget …"):
            explanation = explain_proposal(instance, engine, of, line, month, booked_now=not proposal_id)
            if "afventer_rettelse" in explanation.parked:
                explanation = replace(explanation, refused=tuple(_refused(instance, engine, line)))
            show(explanation, None if proposal_id else told[chosen])
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")


def _summed(rows: Sequence[Row], amount: str) -> dict[tuple, Row]:
    """The choices: what is explained is a line's month, so that its rows of several prices are one, with their sum."""
    told: dict[tuple, Row] = {}
    for row in rows:
        key = (row["service_line_id"], row["delivery_month"], row.get("process", ""))
        if key in told and row[amount] is not None:
            told[key] = told[key] | {amount: (told[key][amount] or 0) + row[amount]}
        else:
            told.setdefault(key, row)
    return told


def _refused(instance: Instance, engine: Engine, service_line_id: str) -> Iterator[Refusal]:
    """The open rows and findings that the line waits for, as published; without what a person has set aside since."""
    published = open_published(instance)
    with Session(engine) as session:
        decided = session.execute(select(Decision.file_hash, Decision.row).where(Decision.kind == SET_ASIDE))
        set_aside = {tuple(row) for row in decided}
    rows = published.rows(
        """SELECT file_name, file_hash, row, coalesce(column_name, '') AS column_name, message FROM marts.quality_finding
        WHERE service_line_id = $line AND is_open AND severity IN ('refuse', 'park') ORDER BY file_name, row""",
        line=service_line_id,
    ) if published else []  # fmt: skip
    for row in rows:
        if (row["file_hash"], row["row"]) not in set_aside:
            yield Refusal(row["file_name"], row["row"], row["column_name"], row["message"])


def _since(told: Explanation, row: Row) -> Iterator[str]:
    """Where more has been booked than the page's figures know, or less: so that text and row are not read as one."""
    booked = fmt.oere(sum(b.amount_oere for b in told.bookings))
    if booked != (row["booked_dkk"] or 0):
        yield (
            f"Tabellen på siden viser {fmt.kroner(row['booked_dkk'] or 0)} bogført. Den er fra før det seneste, der er "
            "bogført, og følger med ved næste kørsel («afregning run»)."
        )


def _title(told: dict[tuple, Row], amount: str) -> Callable[[tuple], str]:
    return lambda at: f"{at[0]} · {fmt.month(at[1])} · {told[at]['item_name']} · {fmt.kroner(told[at][amount])}"


def show(told: Explanation, row: Row | None = None) -> None:
    """The explanation as sentences with the days in a table between them; with `row` what it has not caught up with."""
    parts.sentences([told.line, told.basis, *told.absences], name="explain-facts")
    parts.table(
        [
            {
                "period": f"{fmt.day(s.first)} – {fmt.day(s.last)}" if s.first != s.last else fmt.day(s.first),
                "counts": s.counts,
                "sum": quantity_sum(s),
                "quantity": f"{s.numerator}/{s.denominator} = {fmt.quantity(s.numerator, s.denominator)}",
                "price": fmt.oere(s.price_oere),
                "origin": s.price_origin,
                "payer": s.payer,
                "process": titled(s.process),
                "counterparty": s.counterparty,
                "account": s.account,
            }
            for s in told.stretches
        ],
        [
            parts.Column("period", "Dage"),
            parts.Column("counts", "Tæller"),
            parts.Column("sum", "Antal × vægt × fravær"),
            parts.Column("quantity", "Mængde"),
            parts.money("price", "Takst"),
            parts.Column("origin", "Takstens kilde"),
            parts.Column("payer", "Betaler"),
            parts.Column("process", "Afregningsform"),
            parts.Column("counterparty", "Modpart"),
            parts.Column("account", "Konto"),
        ],
        caption=f"Ydelse {told.service_line_id}, {fmt.month(told.month)}: dage med vægt",
        name="explain-days",
    )
    since = _since(told, row) if row else ()
    parts.sentences([*amount_sentences(told), *outcome_sentences(told), *since], name="explain-amounts")
