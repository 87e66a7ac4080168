"""Gate verdicts are data: booking demands a green verdict of every gate on every load behind the proposal."""

from __future__ import annotations

from sqlalchemy import desc, select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.ledger.models import GateVerdict
from settlement.ledger.register import now

ROWS, CANONICAL, PROFILE = "rækker", "kanonisk", "profil"
GREEN, RED = "grøn", "rød"
REQUIRED = (ROWS, CANONICAL)


def record_verdict(
    session: Session, *, load_id: int, gate: str, input_version: str, rules_version: str, green: bool, detail: str
) -> None:
    """Keeps a verdict; the same gate on the same input by the same rules is kept once."""
    verdict = GREEN if green else RED
    newest = _newest(session).get((load_id, gate))
    if newest and (newest.input_version, newest.rules_version, newest.verdict) == (
        input_version,
        rules_version,
        verdict,
    ):
        return
    session.query(GateVerdict).filter_by(
        load_id=load_id, gate=gate, input_version=input_version, rules_version=rules_version
    ).delete()
    session.add(
        GateVerdict(
            load_id=load_id,
            gate=gate,
            input_version=input_version,
            rules_version=rules_version,
            verdict=verdict,
            detail=detail,
            judged_at=now(),
        )  # fmt: skip
    )


def demand_green(session: Session, last_load_id: int) -> None:
    """Raises StateFault where a load up to `last_load_id` lacks a required verdict, or any gate is red on it."""
    newest = _newest(session)
    for load_id in range(1, last_load_id + 1):
        for gate in REQUIRED:
            if (load_id, gate) not in newest:
                raise StateFault(
                    f"Indlæsning {load_id} er ikke bedømt af gaten «{gate}». Kør «afregning run», og prøv igen."
                )
    for (load_id, gate), verdict in newest.items():
        if load_id <= last_load_id and verdict.verdict != GREEN:
            raise StateFault(
                f"Gaten «{gate}» er rød for indlæsning {load_id}: {verdict.detail} "
                "Send en rettet levering, og kør «afregning run», før der bogføres."
            )


def _newest(session: Session) -> dict[tuple[int, str], GateVerdict]:
    newest: dict[tuple[int, str], GateVerdict] = {}
    for verdict in session.scalars(select(GateVerdict).order_by(desc(GateVerdict.verdict_id))):
        newest.setdefault((verdict.load_id, verdict.gate), verdict)
    return newest
