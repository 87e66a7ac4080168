"""Bounds of a proposal: what is listed before approval, and the mass changes of rates, rules or keys that stop a booking.

A mass change moves money already booked on many service lines at once, by one price, rule, payer or account, or as a batch
of registrations sent twice does. Above one share of the booked it must be released by a person who neither proposed nor
approved; above another it is not booked.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.instance import Bounds, Instance
from settlement.ledger import changes
from settlement.ledger.models import Approval, Proposal, Release, SettlementRun
from settlement.ledger.proposals import opened
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written

MASS = "masseaendring"
RELEASABLE, STOPPED = "frigives", "stoppes"
# Delivered quantities sway from month to month; a batch sent twice adds about as much again as was booked.
DOUBLED_PCT = 80
SUBJECTS = {
    "takst": "Taksten på {}", "moms": "Momssatsen på {}", "regler": "Katalog eller regler for {}", "betaler": "Skift af betaler",
    "kontering": "Skift af konto", "antal": "Leveret antal af {}",
}  # fmt: skip

# Grain: service line × month × counterparty × account × cause, of what moves booked money by a price, rule or key.
_MASS_LINE = """
CREATE OR REPLACE TEMP TABLE mass_line AS
SELECT cause, CASE WHEN cause IN ('takst', 'moms', 'regler', 'antal') THEN item_code ELSE '' END AS item_code, is_late,
    service_line_id, counterparty, account, amount_oere + moms_oere AS amount_oere, booked_oere
FROM change SEMI JOIN (SELECT service_line_id, delivery_month FROM beside WHERE booked_oere <> 0) AS b
    USING (service_line_id, delivery_month)
WHERE cause IN ('takst', 'moms', 'regler', 'antal', 'betaler', 'kontering')"""

# By kind of service, and last over all kinds together. A price or rule is measured by what it touches, a key by all that is
# compared: what it touches it moves whole.
_MASS = """
WITH per_key AS (
    SELECT cause, item_code, is_late, counterparty, account, sum(amount_oere)::BIGINT AS amount_oere FROM mass_line GROUP BY ALL
),
moved AS (
    SELECT cause, coalesce(item_code, '') AS item_code, is_late, greatest(coalesce(sum(amount_oere) FILTER (amount_oere > 0), 0),
        -coalesce(sum(amount_oere) FILTER (amount_oere < 0 AND cause <> 'antal'), 0))::BIGINT AS moved_oere
    FROM per_key GROUP BY GROUPING SETS ((cause, item_code, is_late), (cause, is_late))
    HAVING grouping(item_code) = 0 OR count(DISTINCT item_code) > 1
),
touched AS (
    SELECT cause, coalesce(item_code, '') AS item_code, is_late, count(DISTINCT service_line_id) AS service_lines,
        sum(abs(booked_oere))::BIGINT AS booked_oere
    FROM mass_line GROUP BY GROUPING SETS ((cause, item_code, is_late), (cause, is_late))
    HAVING grouping(item_code) = 0 OR count(DISTINCT item_code) > 1
)
SELECT m.cause, m.item_code, m.is_late, t.service_lines, m.moved_oere,
    CASE WHEN m.cause NOT IN ('betaler', 'kontering') THEN t.booked_oere
    ELSE (
        -- Booked of the month before is laid beside the newest month whole: its own corrections are not counted again.
        SELECT coalesce(sum(abs(booked_oere)), 0)::BIGINT
        FROM beside JOIN compared ON NOT (is_fresh AND delivery_month = month_before)
    ) END AS booked_oere
FROM moved AS m JOIN touched AS t USING (cause, item_code, is_late)
WHERE t.service_lines >= $mass_lines OR m.cause NOT IN ('betaler', 'kontering') AND m.moved_oere >= $mass_oere
ORDER BY m.cause NOT IN ('betaler', 'kontering') AND m.item_code = '', m.moved_oere DESC, m.cause, m.item_code, m.is_late"""

_OUTSIDE = """
WITH line AS (
    SELECT service_line_id, delivery_month, sum(now_oere)::BIGINT AS now_oere, sum(before_oere)::BIGINT AS before_oere
    FROM beside JOIN compared ON is_fresh AND delivery_month = month GROUP BY ALL
),
party AS (
    SELECT counterparty, sum(now_oere)::BIGINT AS now_oere, sum(before_oere)::BIGINT AS before_oere
    FROM beside JOIN compared ON is_fresh AND delivery_month = month GROUP BY ALL
)
FROM (
SELECT 'linje_kr' AS bound, service_line_id, delivery_month, counterparty, amount_oere AS now_oere,
    NULL::BIGINT AS before_oere
FROM difference WHERE abs(amount_oere) > $line_oere
UNION ALL
SELECT 'linje_pct', service_line_id, delivery_month, '', now_oere, before_oere FROM line
WHERE now_oere <> 0 AND before_oere <> 0 AND abs(now_oere - before_oere) > $least_oere
    AND abs(now_oere - before_oere)::HUGEINT * 100 > abs(before_oere)::HUGEINT * $line_pct
UNION ALL
SELECT 'modpart_pct', '', month, counterparty, now_oere, before_oere FROM party JOIN compared ON true
WHERE before_oere <> 0 AND abs(now_oere - before_oere) > $least_oere
    AND abs(now_oere - before_oere)::HUGEINT * 100 > abs(before_oere)::HUGEINT * $counterparty_pct
) ORDER BY bound, abs(now_oere - coalesce(before_oere, 0)) DESC, service_line_id, counterparty"""


@dataclass(frozen=True)
class MassChange:
    """One price, rule, key or kind of delivery that moves booked money on `service_lines` lines, from the newest month on or
    (`is_late`) in months that are booked: `moved_oere` is the larger of what it
    charges and what it credits, per counterparty and account; `booked_oere` what that is measured by. No `item_code`: of all
    kinds of service together."""

    cause: str
    item_code: str
    is_late: bool
    service_lines: int
    moved_oere: int
    booked_oere: int
    verdict: str

    @property
    def subject(self) -> str:
        """What moves it: «Taksten på 105 tilbage i tid»."""
        return subject(self.cause, self.item_code, self.is_late)

    @property
    def sentence(self) -> str:
        """What moves, exactly."""
        tenths = self.moved_oere * 1000 // self.booked_oere
        return (
            f"{self.subject} flytter {kroner(self.moved_oere)} kr. på {self.service_lines} bogførte "
            f"ydelser, {tenths // 10},{tenths % 10} pct. af {kroner(self.booked_oere)} kr. bogført"
        )


def subject(cause: str, item_code: str, is_late: bool) -> str:
    """What a mass change is about, in words."""
    return SUBJECTS[cause].format(item_code or "flere katalogydelser") + (" tilbage i tid" if is_late else "")


def kroner(oere: int) -> str:
    """«-1.234,50»"""
    return f"{'-' if oere < 0 else ''}{abs(oere) // 100:,}".replace(",", ".") + f",{abs(oere) % 100:02d}"


def mass_changes(con: duckdb.DuckDBPyConnection, bounds: Bounds) -> list[MassChange]:
    """The mass changes above a limit, after `changes.compute`: the largest first, those of all kinds of service last. Leaves
    `mass_line`."""
    con.execute(_MASS_LINE)
    found = []
    limits = {"mass_lines": bounds.mass_lines, "mass_oere": bounds.mass_oere}
    for cause, item, is_late, lines, moved, booked in con.execute(_MASS, limits).fetchall():
        is_quantity, is_few = cause == "antal", lines < bounds.mass_lines
        # On few service lines a large change may be right: it is stopped by none, and needs a person from where others are.
        least_pct = DOUBLED_PCT if is_quantity else bounds.stop_pct if is_few else bounds.release_pct
        if booked and moved * 100 > booked * least_pct:
            is_stopped = moved * 100 > booked * bounds.stop_pct and not is_quantity and not is_few
            verdict = STOPPED if is_stopped else RELEASABLE
            # All kinds together tell of what no kind tells of by itself.
            if item or not any((f.cause, f.is_late) == (cause, is_late) and verdict in (f.verdict, RELEASABLE) for f in found):
                found.append(MassChange(cause, item, is_late, lines, moved, booked, verdict))
    return found


def outside(con: duckdb.DuckDBPyConnection, bounds: Bounds) -> list[tuple]:
    """(bound, service_line_id, delivery_month, counterparty, now_oere, before_oere) of all outside a bound, after
    `changes.compute`; a fall in the number of service lines has their numbers in place of the amounts."""
    limits = {name: getattr(bounds, name) for name in ("line_oere", "line_pct", "counterparty_pct", "least_oere")}
    found = con.execute(_OUTSIDE, limits).fetchall()
    month, now_lines, before_lines = con.execute("""
        SELECT any_value(month), count(DISTINCT service_line_id) FILTER (has_now),
            count(DISTINCT service_line_id) FILTER (has_before)
        FROM beside JOIN compared ON is_fresh AND delivery_month = month""").fetchone()
    if (before_lines - now_lines) * 100 > before_lines * bounds.fewer_lines_pct:
        found.insert(0, ("faerre_ydelser_pct", "", month, "", now_lines, before_lines))
    return found


def mass_changes_of(
    con: duckdb.DuckDBPyConnection, instance: Instance, session: Session, proposal: Proposal
) -> list[MassChange]:  # fmt: skip
    """The mass changes above a limit of a proposal opened on `con`: always the same, whatever is booked meanwhile."""
    if proposal.withdraws:
        return []  # a document withdrawn by name is its own decision
    if not con.execute("SELECT 1 FROM ledger_line WHERE process = ? LIMIT 1", [proposal.process]).fetchone():
        return []  # nothing booked is moved
    changes.compute(con, instance, session, proposal)
    return mass_changes(con, instance.bounds)


def demand_released(
    found: list[MassChange], instance: Instance, session: Session, proposal: Proposal, approval: Approval
) -> None:  # fmt: skip
    """Raises StateFault with the exact sum where a mass change that was found stops the booking."""
    _demand(proposal, found, instance.bounds, _released_by(session, proposal) - {
        proposal.created_by, approval.approved_by,
    })  # fmt: skip


def _demand(proposal: Proposal, found: list[MassChange], bounds: Bounds, released_by: set[str]) -> None:
    for change in found:
        if change.verdict == STOPPED:
            raise StateFault(
                f"Forslag {proposal.proposal_id} kan ikke bogføres: {change.sentence}; over {bounds.stop_pct} pct. kan det ikke "
                "frigives. Ret takst, regel eller kontering, eller hæv stoppes_pct i settings.toml."
            )
    if found and not released_by:
        raise StateFault(
            f"Forslag {proposal.proposal_id} afventer frigivelse: {found[0].sentence}; det skal "
            f"frigives af en, der hverken har foreslået eller godkendt: «afregning release {proposal.proposal_id}»."
        )


def _released_by(session: Session, proposal: Proposal) -> set[str]:
    of_proposal = select(Release.released_by).where(Release.proposal_hash == proposal.hash, Release.kind == MASS)
    return set(session.scalars(of_proposal))


def released(session: Session, proposal: Proposal) -> list[Release]:
    """Who released the proposal's mass changes, and why."""
    return list(session.scalars(select(Release).where(Release.proposal_hash == proposal.hash).order_by(Release.release_id)))


def release(instance: Instance, session: Session, *, proposal_id: int, user_name: str, reason: str) -> Release:
    """A person's release of a proposal's mass changes. Raises Fault without right or reason, for one's own proposal or
    approval, where nothing waits for release, or where a change is above what can be released."""
    user_with_right(session, user_name, MAY_BOOK, "frigive masseændringer")
    proposal = session.get(Proposal, proposal_id)
    if proposal is None:
        raise StateFault(f"Forslag {proposal_id} findes ikke. Lav et nyt forslag.")
    if session.scalars(select(SettlementRun).where(SettlementRun.proposal_id == proposal_id)).first():
        raise StateFault(f"Forslag {proposal_id} er bogført. Der er intet at frigive.")
    approval = session.get(Approval, proposal_id)
    for person, did in ((proposal.created_by, "lavet"), (approval.approved_by if approval else "", "godkendt")):
        if person == user_name:
            raise StateFault(f"«{user_name}» har {did} forslag {proposal_id}. En anden skal frigive det.")
    reason = written(reason, "Frigivelsen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    with opened(instance, proposal) as con:
        found = mass_changes_of(con, instance, session, proposal)
    if not found:
        raise StateFault(f"Forslag {proposal_id} har ingen masseændring, der skal frigives. Godkend og bogfør det.")
    _demand(proposal, found, instance.bounds, {user_name})
    kept = Release(proposal_hash=proposal.hash, kind=MASS, reason=reason, released_by=user_name, released_at=now())
    session.add(kept)
    session.flush()
    return kept
