"""The panel beside the amounts: how one chosen line's amount came about, from the facts its proposal was made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
from sqlalchemy import Engine

from dashboards import format as fmt
from dashboards import parts
from dashboards.published import Row
from settlement.explain import explain_proposal, newest_proposal_of
from settlement.explanation import Explanation, amount_sentences, outcome_sentences, quantity_sum
from settlement.faults import Fault
from settlement.instance import Instance

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
    the newest proposal of the row's process is what explains it.
    """
    told: dict[tuple, Row] = {}
    for row in rows:
        told.setdefault((row["service_line_id"], row["delivery_month"], row.get("process", "")), row)
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
        of = proposal_id or newest_proposal_of(instance, engine, process, line, month)
        if of is None:
            parts.empty_state("Ingen forklaring", NOTHING_PROPOSED, small=True)
            return
        with st.spinner("Læser grundlaget …"):
            show(explain_proposal(instance, engine, of, line, month))
    except Fault as refusal:
        st.error(str(refusal), icon=":material/block:")


def _title(told: dict[tuple, Row], amount: str) -> Callable[[tuple], str]:
    return lambda at: f"{at[0]} · {fmt.month(at[1])} · {told[at]['item_name']} · {fmt.kroner(told[at][amount])}"


def show(told: Explanation) -> None:
    """The explanation as sentences with the days in a table between them."""
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
            parts.Column("counterparty", "Modpart"),
            parts.Column("account", "Konto"),
        ],
        caption=f"Ydelse {told.service_line_id}, {fmt.month(told.month)}: dage med vægt",
        name="explain-days",
    )
    parts.sentences([*amount_sentences(told), *outcome_sentences(told)], name="explain-amounts")
