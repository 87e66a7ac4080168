"""The preview of a proposal in words, for the command line: the same figures as the page's."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from settlement import impact
from settlement.engine.calendar import add_months
from settlement.faults import StateFault
from settlement.impact import party_name
from settlement.instance import Instance
from settlement.ledger.bounds import kroner, released
from settlement.ledger.models import Proposal
from settlement.ledger.proposals import open_proposals, opened
from settlement.processes import process as process_named

SHOWN = 15


def preview(instance: Instance, engine: Engine, proposal_id: int | None) -> Iterator[str]:
    """The preview of one proposal, or of every open one, a sentence to a line. Raises StateFault for one that is not there."""
    with Session(engine) as session:
        if proposal_id is None:
            chosen = open_proposals(session)
        else:
            found = session.get(Proposal, proposal_id)
            if found is None:
                raise StateFault(f"Forslag {proposal_id} findes ikke. Se de åbne med «afregning preview».")
            chosen = [found]
        for proposal in chosen:
            yield from _of_proposal(instance, session, proposal)
        if not chosen:
            yield "Ingen forslag venter."


def _of_proposal(instance: Instance, session: Session, proposal: Proposal) -> Iterator[str]:
    with opened(instance, proposal) as con:
        found = impact.compute(con, instance, session, proposal)
        largest = con.execute(f"{impact.LARGEST} LIMIT {SHOWN}").fetchall()
    kind = "".join([
        f", hastekørsel: kun modpart {party_name(proposal.only_counterparty)}" if proposal.only_counterparty else "",
        f", tilbagekaldelse af bilag {proposal.withdraws}" if proposal.withdraws else "",
    ])  # fmt: skip
    yield (
        f"Forslag {proposal.proposal_id}: {process_named(proposal.process).title}, {proposal.timing}, til og med "
        f"{proposal.through:%Y-%m}{kind}: {proposal.line_count} linjer, {kroner(proposal.amount_oere)} kr."
        + (f" og {kroner(proposal.vat_oere)} kr. moms." if proposal.vat_oere else "")
    )
    month, before = f"{found.month:%Y-%m}", f"{add_months(found.month, -1):%Y-%m}"
    run = f"; kørsel {found.run_before}" if found.run_before else ""
    yield f"Modparter: {month} / {before} / ændring; forslag (heraf tidligere måneder){run}, i kr."
    parties = sorted(found.parties, key=lambda p: (-abs(p.month_oere - p.month_before_oere), p.counterparty))
    for p in parties[:SHOWN]:
        yield (
            f"  {party_name(p.counterparty)}: {kroner(p.month_oere)} / {kroner(p.month_before_oere)} / "
            f"{kroner(p.month_oere - p.month_before_oere)}; {kroner(p.proposed_oere)} ({kroner(p.earlier_oere)})"
            + (f"; {kroner(p.run_before_oere)}" if found.run_before else "")
        )
    if len(parties) > SHOWN:
        yield f"  … og {len(parties) - SHOWN} modparter, der ændrer sig mindre"
    yield "Årsager:"
    for c in found.causes:
        yield f"  {impact.cause_text(c.cause, c.is_late)}: {c.service_lines} ydelser, {kroner(c.amount_oere)} kr."
    yield "Største ændringer:"
    for line, _, delivery_month, party, cause, is_late, facts, amount in largest:
        why = impact.cause_text(cause, is_late) + (f" (ændret: {facts})" if facts else "")
        yield f"  {line} {delivery_month:%Y-%m}, {party_name(party)}: {why}, {kroner(amount)} kr."
    yield "Uden for grænser:" if found.outside or found.mass_changes else "Intet er uden for grænserne."
    for change in found.mass_changes:
        yield f"  Masseændring, der {change.verdict}: {change.sentence}."
        for part in found.mass_parts:
            if part[:3] == (change.cause, change.item_code, change.is_late):
                yield f"    {party_name(part.counterparty)}, konto {part.account or 'mangler'}: {kroner(part.amount_oere)} kr."
    for release in released(session, proposal):
        yield f"  Frigivet af {release.released_by} {release.released_at:%d-%m-%Y}: {release.reason}"
    for thing in found.outside:
        yield f"  {impact.bound_text(thing, instance.bounds)}"
    for reason, lines in found.parked:
        yield f"Parkeret som {reason}: {lines} linjemåneder."

