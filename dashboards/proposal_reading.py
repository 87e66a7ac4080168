"""What the Afregning page reads of one proposal: its lines from the archive, through DuckDB, without CPR numbers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import Any

import streamlit as st

from dashboards import format as fmt
from dashboards.published import Row
from settlement.instance import Instance
from settlement.ledger.models import Proposal
from settlement.ledger.proposals import opened

LINE_COLUMNS = (
    "service_line_id, package_id, item_name, unit, delivery_month, quantity_num, quantity_den, price_oere, amount_oere, "
    "vat_oere, counterparty, account, is_adjustment, corrects"
)
# As in the ledger's file.
LINE_ORDER = "service_line_id, delivery_month, price_oere, counterparty, account"


@dataclass(frozen=True)
class Chosen:
    """Which of a proposal's lines a person wants to see; empty is all."""

    counterparty: str = ""
    text: str = ""
    month: date | None = None
    only_adjustments: bool = False

    @property
    def condition(self) -> str:
        """The WHERE of the choice, with `parameters`."""
        chosen = []
        if self.counterparty:
            chosen.append("counterparty = $counterparty")
        if self.text:
            columns = ("service_line_id", "package_id", "item_name")
            chosen.append(f"({' OR '.join(f'contains(lower({c}), lower($text))' for c in columns)})")
        if self.month:
            chosen.append("delivery_month = $month")
        if self.only_adjustments:
            chosen.append("is_adjustment")
        return " AND ".join(chosen) or "true"

    @property
    def parameters(self) -> dict[str, Any]:
        given = {"counterparty": self.counterparty, "text": self.text, "month": self.month}
        return {name: value for name, value in given.items() if value}


class ProposalReading:
    """One proposal, opened. Grain of what the methods give: in each; amounts in øre unless said."""

    def __init__(self, instance: Instance, proposal: Proposal):
        self._open = ExitStack()
        self._con = self._open.enter_context(opened(instance, proposal))
        self._con.execute(f"CREATE TEMP TABLE line AS SELECT {LINE_COLUMNS} FROM proposed ORDER BY {LINE_ORDER}")

    def rows(self, sql: str, **parameters) -> list[Row]:
        """The answer to one SELECT; parameters are named `$name`."""
        cursor = self._con.cursor().execute(sql, parameters or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def by_counterparty(self) -> dict[str, Row]:
        """Proposed lines and amount by counterparty."""
        found = self.rows("SELECT counterparty, count(*) AS lines, sum(amount_oere)::BIGINT AS now FROM line GROUP BY 1")
        return {row["counterparty"]: row for row in found}

    def by_line(self) -> dict[tuple[str, str], Row]:
        """Proposed amount and item by service line and counterparty."""
        found = self.rows("""
            SELECT service_line_id, counterparty, max(item_name) AS item_name, sum(amount_oere)::BIGINT AS now
            FROM line GROUP BY 1, 2""")
        return {(row["service_line_id"], row["counterparty"]): row for row in found}

    def adjustments(self) -> Row:
        """How many lines correct earlier ones, and their sum."""
        return self.rows(
            "SELECT count(*) AS lines, coalesce(sum(amount_oere), 0)::BIGINT AS amount FROM line WHERE is_adjustment"
        )[0]

    def months(self) -> list[date]:
        """The delivery months with lines, newest first."""
        return [row["delivery_month"] for row in self.rows("SELECT DISTINCT delivery_month FROM line ORDER BY 1 DESC")]

    def count_and_sum(self, chosen: Chosen) -> tuple[int, int]:
        """How many lines are chosen, and their amount."""
        (row,) = self.rows(
            "SELECT count(*) AS lines, coalesce(sum(amount_oere), 0)::BIGINT AS amount FROM line "
            f"WHERE {chosen.condition}", **chosen.parameters,
        )  # fmt: skip
        return row["lines"], row["amount"]

    def lines(self, chosen: Chosen, limit: int | None) -> list[Row]:
        """The chosen lines in the order of the ledger's file, with kroner and a written quantity."""
        limited = f"LIMIT {limit}" if limit else ""
        found = self.rows(
            f"SELECT * FROM line WHERE {chosen.condition} ORDER BY {LINE_ORDER} {limited}", **chosen.parameters
        )
        return [with_kroner(row) for row in found]


@st.cache_resource(max_entries=8, show_spinner="Åbner forslaget …")
def read(_instance: Instance, _proposal: Proposal, home: str, proposal_hash: str) -> ProposalReading:
    """A proposal opened once per server; it never changes, so its instance and hash name it."""
    return ProposalReading(_instance, _proposal)


def with_kroner(row: Row) -> Row:
    """A line with its figures as a person reads them."""
    return row | {
        "quantity": fmt.quantity(row["quantity_num"], row["quantity_den"]), "price": fmt.oere(row["price_oere"]),
        "amount": fmt.oere(row["amount_oere"]), "vat": fmt.oere(row["vat_oere"]),
    }  # fmt: skip
