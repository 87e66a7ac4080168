"""What the Afregning page reads of one proposal: its lines and their causes, through DuckDB, without CPR numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dashboards import format as fmt
from dashboards.published import Row
from settlement import impact
from settlement.instance import Bounds, Instance
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
    """One proposal's lines and preview, read once; amounts in øre unless said."""

    def __init__(self, instance: Instance, engine: Engine, proposal: Proposal):
        self._con = duckdb.connect()
        with opened(instance, proposal) as con, Session(engine) as session:
            self.preview = impact.compute(con, instance, session, proposal)
            self._copy(con, "line", f"SELECT {LINE_COLUMNS} FROM proposed ORDER BY {LINE_ORDER}")
            self._copy(con, "change", f"""
                SELECT m.*, i.name AS item_name FROM ({impact.LARGEST}) AS m JOIN catalogue_item AS i USING (item_code)
                ORDER BY abs(amount_oere) DESC, service_line_id, delivery_month, counterparty""")

    def _copy(self, con: duckdb.DuckDBPyConnection, table: str, sql: str) -> None:
        self._con.register("copied", con.execute(sql).to_arrow_table())
        self._con.execute(f"CREATE TABLE {table} AS FROM copied")
        self._con.unregister("copied")

    def rows(self, sql: str, **parameters) -> list[Row]:
        """The answer to one SELECT over `line` and `change`; parameters are named `$name`."""
        cursor = self._con.cursor().execute(sql, parameters or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def changes(self, cause: tuple[str, bool] | None, limit: int | None) -> list[Row]:
        """Service line × month × counterparty × cause, the largest first; of one (cause, is_late) or of all."""
        chosen = "WHERE (cause, is_late) = ($cause, $is_late)" if cause else ""
        limited = f"LIMIT {limit}" if limit else ""
        found = self.rows(
            f"SELECT * FROM change {chosen} {limited}", **({"cause": cause[0], "is_late": cause[1]} if cause else {})
        )
        return [
            row | {"amount": fmt.oere(row["amount_oere"]), "cause": impact.cause_text(row["cause"], row["is_late"])}
            for row in found
        ]

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
        return [
            row
            | {
                "quantity": fmt.quantity(row["quantity_num"], row["quantity_den"]), "price": fmt.oere(row["price_oere"]),
                "amount": fmt.oere(row["amount_oere"]), "vat": fmt.oere(row["vat_oere"]),
            }  # fmt: skip
            for row in found
        ]


def read(instance: Instance, engine: Engine, proposal: Proposal) -> ProposalReading:
    """A proposal read once per server: it never changes, nor does the run before it."""
    return _read(str(instance.home), proposal.proposal_id, proposal.hash, instance.bounds, instance, engine, proposal)


@st.cache_resource(max_entries=8, show_spinner="Læser forslaget …")
def _read(
    home: str, proposal_id: int, proposal_hash: str, bounds: Bounds, _instance: Instance, _engine: Engine, _proposal: Proposal
) -> ProposalReading:
    return ProposalReading(_instance, _engine, _proposal)
