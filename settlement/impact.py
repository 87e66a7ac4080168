"""The preview of a proposal: what it changes against last month and the run before, why, and what stands outside bounds.

Read from the opened proposal, before anyone approves it; the command and the page show the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import duckdb
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from settlement.explanation import named
from settlement.instance import Instance
from settlement.ledger import bounds, changes
from settlement.ledger.models import Document, ParkedLine, Proposal
from settlement.reference import municipality_names


class Party(NamedTuple):
    """One counterparty, øre: what is proposed, of that for earlier months, entitled in the newest month and the month before
    it, and what the run before charged."""

    counterparty: str
    lines: int
    proposed_oere: int
    earlier_oere: int
    month_oere: int
    month_before_oere: int
    run_before_oere: int


class CauseSum(NamedTuple):
    """One cause, of late facts or of the newest month against the month before, øre without VAT; of `moms` it is VAT alone."""

    is_late: bool
    cause: str
    service_lines: int
    amount_oere: int


class Outside(NamedTuple):
    """One thing outside a bound: a line, a service line, a counterparty; or the number of service lines in the amounts' place."""

    bound: str
    service_line_id: str
    delivery_month: date
    counterparty: str
    now: int
    before: int | None


class MassPart(NamedTuple):
    """What a mass change moves for one counterparty on one account, øre."""

    cause: str
    item_code: str
    is_late: bool
    counterparty: str
    account: str
    amount_oere: int


@dataclass(frozen=True)
class Preview:
    """What a person must see before approving. `is_month_new`: no run has settled the newest month before."""

    month: date
    is_month_new: bool
    run_before: int | None
    parties: list[Party]
    causes: list[CauseSum]
    outside: list[Outside]
    mass_changes: list[bounds.MassChange]
    mass_parts: list[MassPart]
    parked: list[tuple[str, int]]


_PARTIES = """
WITH side AS (
    SELECT counterparty, delivery_month, amount_oere, 1 AS lines, amount_oere AS proposed_oere FROM difference
    UNION ALL
    SELECT g.counterparty, g.delivery_month, g.amount_oere, 0, 0
    FROM ledger_line AS g JOIN compared AS c ON c.process = g.process AND g.delivery_month IN (c.month, c.month_before)
        AND (c.only_counterparty = '' OR c.only_counterparty = g.counterparty)
    JOIN service_line AS l ON l.service_line_id = g.service_line_id AND l.timing = c.timing
)
SELECT counterparty, sum(lines)::BIGINT, sum(proposed_oere)::BIGINT,
    coalesce(sum(proposed_oere) FILTER (delivery_month < month OR NOT is_fresh), 0)::BIGINT,
    coalesce(sum(amount_oere) FILTER (delivery_month = month), 0)::BIGINT,
    coalesce(sum(amount_oere) FILTER (delivery_month = month_before), 0)::BIGINT
FROM side JOIN compared ON true GROUP BY counterparty"""


def compute(con: duckdb.DuckDBPyConnection, instance: Instance, session: Session, proposal: Proposal) -> Preview:
    """The preview, on a connection that holds the opened proposal (`proposals.opened`); leaves the tables of
    `changes.compute`, where every changed line has its cause."""
    changes.compute(con, instance, session, proposal)
    before = changes.run_before(session, proposal)
    parties = {row[0]: row[1:] for row in con.execute(_PARTIES).fetchall()}
    charged = dict(session.execute(
        select(Document.counterparty, func.sum(Document.amount_oere)).where(Document.run_no == (before.run_no if before else None))
        .group_by(Document.counterparty)
    ).all())  # fmt: skip
    mass = [] if proposal.withdraws else bounds.mass_changes(con, instance.bounds)
    parts = con.execute("""
        SELECT DISTINCT cause, coalesce(item_code, '') AS item_code, is_late, counterparty, account, sum(amount_oere)::BIGINT
        FROM mass_line
        GROUP BY GROUPING SETS ((cause, item_code, is_late, counterparty, account), (cause, is_late, counterparty, account))
        HAVING sum(amount_oere) <> 0 ORDER BY ALL""").fetchall() if mass else []  # fmt: skip
    over = {(change.cause, change.item_code, change.is_late) for change in mass}
    month, is_fresh = con.execute("SELECT month, is_fresh FROM compared").fetchone()
    return Preview(
        month=month, is_month_new=is_fresh, run_before=before.run_no if before else None,
        parties=[
            Party(code, *parties.get(code, (0, 0, 0, 0, 0)), int(charged.get(code, 0))) for code in sorted({*parties, *charged})
        ],
        causes=[CauseSum(*row) for row in con.execute("""
            SELECT is_late, cause, count(DISTINCT service_line_id), sum(amount_oere + moms_oere)::BIGINT FROM change
            GROUP BY ALL ORDER BY is_late, abs(sum(amount_oere + moms_oere)) DESC, cause""").fetchall()],
        outside=[Outside(*row) for row in bounds.outside(con, instance.bounds)],
        mass_changes=mass, mass_parts=[MassPart(*row) for row in parts if row[:3] in over],
        parked=[(reason, lines) for reason, lines in session.execute(
            select(ParkedLine.reason, func.count()).where(ParkedLine.proposal_id == proposal.proposal_id)
            .group_by(ParkedLine.reason).order_by(ParkedLine.reason)
        )],
    )  # fmt: skip


# Grain: service line × month × counterparty × cause: what moved, by size; a change of account stands with its net, 0 is left out.
LARGEST = """
SELECT service_line_id, item_code, delivery_month, counterparty, cause, is_late, facts,
    sum(amount_oere + moms_oere)::BIGINT AS amount_oere
FROM change GROUP BY ALL HAVING sum(amount_oere + moms_oere) <> 0
ORDER BY abs(sum(amount_oere + moms_oere)) DESC, service_line_id, delivery_month, counterparty"""


def cause_text(cause: str, is_late: bool) -> str:
    """«Takst», «Sen oplysning: takst»"""
    name = changes.CAUSES[cause]
    is_told_late = is_late and cause not in ("foerste", "tilbagekaldt")
    return f"Sen oplysning: {name[0].lower()}{name[1:]}" if is_told_late else name


def party_name(counterparty: str) -> str:
    """A municipality or region by its name, anything else by its code; a person is not shown by CPR number."""
    return municipality_names().get(counterparty, named(counterparty))


def bound_text(found: Outside, limits) -> str:
    """What is outside, and how far, in one sentence without a person's name."""
    kr = bounds.kroner
    if found.bound == "linje_kr":
        return (
            f"Ydelse {found.service_line_id}, {found.delivery_month:%Y-%m}: linjen er på {kr(found.now)} kr.; grænsen er "
            f"{kr(limits.line_oere)} kr."
        )
    if found.bound == "faerre_ydelser_pct":
        return (
            f"{found.now} ydelser har ret til noget i {found.delivery_month:%Y-%m} mod {found.before} måneden før; et fald over "
            f"{limits.fewer_lines_pct} pct. vises."
        )
    if found.bound == "linje_pct":
        subject, limit = f"Ydelse {found.service_line_id}", limits.line_pct
    else:
        subject, limit = party_name(found.counterparty), limits.counterparty_pct
    return (
        f"{subject}: {kr(found.now)} kr. i {found.delivery_month:%Y-%m} mod {kr(found.before)} kr. måneden før; en ændring over "
        f"{limit} pct. vises."
    )
