"""Gate verdicts are data: booking demands a green verdict of every gate on every load behind the proposal."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import desc, select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.ledger.models import GateVerdict
from settlement.ledger.register import now

ROWS, CANONICAL, PROFILE = "rækker", "kanonisk", "profil"
GREEN, RED, PENDING = "grøn", "rød", "afventer"
REQUIRED = (ROWS, CANONICAL)


def record_verdict(
    session: Session, *, load_id: int, scope: str, gate: str, input_version: str, rules_version: str, verdict: str,
    detail: str,
) -> None:  # fmt: skip
    """Adds a verdict where it says something new. Earlier verdicts stay."""
    newest = newest_verdicts(session).get((load_id, gate))
    said = (input_version, rules_version, verdict)
    if newest is None or (newest.input_version, newest.rules_version, newest.verdict) != said:
        session.add(
            GateVerdict(
                load_id=load_id, scope=scope, gate=gate, input_version=input_version, rules_version=rules_version,
                verdict=verdict, detail=detail, judged_at=now(),
            )  # fmt: skip
        )


def demand_green(session: Session, last_load_id: int) -> None:
    """Raises StateFault where a load up to `last_load_id` lacks a verdict, or a gate is red on it.

    A delivery whose profile is red is lifted by a later one of the same systems whose profile is green.
    """
    newest = {key: v for key, v in newest_verdicts(session).items() if v.load_id <= last_load_id}
    for load_id in range(1, last_load_id + 1):
        for gate in REQUIRED:
            if (load_id, gate) not in newest:
                raise StateFault(_unjudged(load_id, gate))
    for (load_id, gate), verdict in newest.items():
        if verdict.verdict == GREEN or (gate == PROFILE and _lifted(verdict, newest.values())):
            continue
        if verdict.verdict == PENDING:
            raise StateFault(_unjudged(load_id, gate))
        raise StateFault(
            f"Gaten «{gate}» er rød for indlæsning {load_id}: {verdict.detail} "
            "Send en rettet levering, og kør «afregning run», før der bogføres."
        )


def newest_verdicts(session: Session) -> dict[tuple[int, str], GateVerdict]:
    """The newest verdict by load and gate."""
    newest: dict[tuple[int, str], GateVerdict] = {}
    for verdict in session.scalars(select(GateVerdict).order_by(desc(GateVerdict.verdict_id))):
        newest.setdefault((verdict.load_id, verdict.gate), verdict)
    return newest


def _lifted(verdict: GateVerdict, others: Iterable[GateVerdict]) -> bool:
    systems = set(verdict.scope.split(", "))
    return any(
        other.gate == PROFILE and other.verdict == GREEN and other.load_id > verdict.load_id
        and systems <= set(other.scope.split(", "))
        for other in others
    )  # fmt: skip


def _unjudged(load_id: int, gate: str) -> str:
    return f"Indlæsning {load_id} er ikke bedømt af gaten «{gate}». Kør «afregning run», og prøv igen."
