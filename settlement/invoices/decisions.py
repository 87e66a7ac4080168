"""What people decide on incoming invoices: which service a line is for, that one is paid, goes back, or is disputed.

A decision on more than the limit (`to_personer_kr`) takes effect when another person confirms it. Of several decisions on the
same line the newest in force counts; one may be withdrawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.instance import Instance
from settlement.ledger.models import InvoiceDecision, InvoiceDecisionConfirmation, InvoiceReturn, MatchRule, PaidInvoice
from settlement.ledger.register import MAY_BOOK, now, user_with_right, written

ACTIONS = {
    "match": "hører til ydelsen",
    "godkend": "betales, som den er matchet",
    "afvis": "går tilbage til afsenderen",
    "omtvist": "parkeres som omtvistet",
}
REPEATED = 3  # so many choices of the same words at the same sender are proposed as a rule


@dataclass(frozen=True)
class ProposedRule:
    """A choice that people have repeated: at that sender, those words mean this kind of service."""

    sender_cvr: str
    item_words: str
    item_code: str
    choices: int


def decide(
    session: Session, *, user_name: str, action: str, document_id: str, sender_cvr: str,
    document_number: str, amount_oere: int, reason: str,
    line_number: str = "", service_line_id: str = "", delivery_month: date | None = None, item_words: str = "",
    item_code: str = "",
) -> InvoiceDecision:  # fmt: skip
    """Keeps a decision on `amount_oere` of an invoice (signed). Raises Fault without right or reason, for an unknown action,
    a match without line, service line or month, or an approval of one line alone."""
    user_with_right(session, user_name, MAY_BOOK, "afgøre fakturaer")
    if action not in ACTIONS:
        raise InputFault(f"«{action}» kan ikke gøres ved en faktura. Vælg en af: {', '.join(ACTIONS)}.")
    reason = written(reason, "Beslutningen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    if action in ("match", "omtvist") and not line_number:
        raise InputFault("Angiv fakturaens linje: beslutningen gælder én linje.")
    if action == "match" and not (service_line_id and delivery_month):
        raise InputFault("Angiv ydelsen og leverancemåneden, som linjen er for.")
    if action == "godkend" and line_number:
        raise InputFault("En faktura godkendes som helhed. Vælg ydelse for en enkelt linje med «match».")
    decision = InvoiceDecision(
        action=action, document_id=document_id, line_number=line_number, sender_cvr=sender_cvr,
        document_number=document_number, amount_oere=amount_oere,
        service_line_id=service_line_id, delivery_month=delivery_month, item_words=item_words, item_code=item_code,
        reason=reason, decided_by=user_name, decided_at=now(),
    )  # fmt: skip
    session.add(decision)
    session.flush()
    return decision


def withdraw(session: Session, *, user_name: str, decision_id: int, reason: str) -> InvoiceDecision:
    """Takes a decision back. Raises Fault without right or reason, where it is withdrawn, or something is paid by then."""
    user_with_right(session, user_name, MAY_BOOK, "afgøre fakturaer")
    decision = session.get(InvoiceDecision, decision_id)
    taken = session.scalars(select(InvoiceDecision).where(InvoiceDecision.withdraws == decision_id)).first()
    if decision is None or decision.withdraws or taken:
        raise StateFault(f"Beslutning {decision_id} gælder ikke. Se fakturaens beslutninger på siden Fakturabetaling.")
    if session.get(PaidInvoice, decision.document_id):
        raise StateFault(f"Fakturaen er betalt, så beslutning {decision_id} kan ikke trækkes tilbage. Bed om en kreditnota.")
    reason = written(reason, "Tilbagetrækningen mangler en begrundelse. Skriv hvorfor, og prøv igen.")
    back = InvoiceDecision(
        withdraws=decision_id, action=decision.action, document_id=decision.document_id, line_number=decision.line_number,
        sender_cvr=decision.sender_cvr, document_number=decision.document_number, amount_oere=decision.amount_oere,
        reason=reason, decided_by=user_name,
        decided_at=now(),
    )  # fmt: skip
    session.add(back)
    session.flush()
    return back


def confirm(session: Session, *, user_name: str, decision_id: int) -> InvoiceDecision:
    """Another person's confirmation. Raises StateFault without right, or for one's own decision."""
    user_with_right(session, user_name, MAY_BOOK, "bekræfte beslutninger om fakturaer")
    decision = session.get(InvoiceDecision, decision_id)
    if decision is None:
        raise StateFault(f"Beslutning {decision_id} findes ikke. Se dem, der venter, på siden Fakturabetaling.")
    if decision.decided_by == user_name:
        raise StateFault(f"«{user_name}» har selv truffet beslutning {decision_id}. En anden skal bekræfte den.")
    if session.get(InvoiceDecisionConfirmation, decision_id) is None:
        session.add(InvoiceDecisionConfirmation(decision_id=decision_id, confirmed_by=user_name, confirmed_at=now()))
    return decision


def in_force(session: Session, instance: Instance, before: datetime = datetime.max) -> list[InvoiceDecision]:
    """The decisions that have taken effect before that moment, the newest on each line (or whole invoice) alone."""
    made, confirmed = _made(session, before)
    newest: dict[tuple[str, str], InvoiceDecision] = {}
    for decision in made:
        if decision.decision_id in confirmed or not needs_two(instance, decision):
            newest[decision.document_id, decision.line_number] = decision
    return list(newest.values())


def waiting(session: Session, instance: Instance) -> list[InvoiceDecision]:
    """Decisions that nobody has confirmed and that need it."""
    made, confirmed = _made(session, datetime.max)
    return [d for d in made if needs_two(instance, d) and d.decision_id not in confirmed]


def to_return(session: Session, instance: Instance) -> list[InvoiceDecision]:
    """The rejections in force that no payment run has told the finance system of."""
    told = set(session.scalars(select(InvoiceReturn.decision_id)))
    return [d for d in in_force(session, instance) if d.action == "afvis" and d.decision_id not in told]


def needs_two(instance: Instance, decision: InvoiceDecision) -> bool:
    """Whether a decision pays more than one person may decide on."""
    pays = decision.action in ("match", "godkend")
    return pays and abs(decision.amount_oere) > instance.invoices.two_persons_oere


def _made(session: Session, before: datetime) -> tuple[list[InvoiceDecision], set[int]]:
    """Decisions not withdrawn, in order, and which are confirmed."""
    made = session.scalars(
        select(InvoiceDecision).where(InvoiceDecision.decided_at < before).order_by(InvoiceDecision.decision_id)
    ).all()
    withdrawn = {d.withdraws for d in made if d.withdraws}
    confirmed = set(session.scalars(
        select(InvoiceDecisionConfirmation.decision_id).where(InvoiceDecisionConfirmation.confirmed_at < before)
    ))  # fmt: skip
    return [d for d in made if not d.withdraws and d.decision_id not in withdrawn], confirmed


def proposed_rules(session: Session, instance: Instance) -> list[ProposedRule]:
    """Choices repeated often enough to be a rule, and that none is; the most repeated first."""
    known = {(rule.sender_cvr, rule.item_words, rule.item_code) for rule in rules(session)}
    chosen = Counter(
        (d.sender_cvr, d.item_words, d.item_code) for d in in_force(session, instance) if d.action == "match" and d.item_code
    )
    return [ProposedRule(*what, count) for what, count in chosen.most_common() if count >= REPEATED and what not in known]


def accept_rule(
    session: Session, instance: Instance, *, user_name: str, sender_cvr: str, item_words: str, item_code: str
) -> MatchRule:
    """Makes a proposed rule one. Raises Fault without right, or where people have not made that choice often enough."""
    user_with_right(session, user_name, MAY_BOOK, "godkende regler for fakturaer")
    proposed = {(p.sender_cvr, p.item_words, p.item_code) for p in proposed_rules(session, instance)}
    if (sender_cvr, item_words, item_code) not in proposed:
        raise StateFault(f"Der er ikke foreslået en regel om «{item_words}» hos CVR {sender_cvr}. Se dem på siden Fakturabetaling.")
    rule = MatchRule(
        sender_cvr=sender_cvr, item_words=item_words, item_code=item_code, accepted_by=user_name, accepted_at=now()
    )
    session.add(rule)
    session.flush()
    return rule


def withdraw_rule(session: Session, *, user_name: str, rule_id: int) -> MatchRule:
    """Takes a rule back. Raises StateFault without right, or where it is not in force."""
    user_with_right(session, user_name, MAY_BOOK, "fjerne regler for fakturaer")
    rule = next((r for r in rules(session) if r.rule_id == rule_id), None)
    if rule is None:
        raise StateFault(f"Regel {rule_id} gælder ikke. Se reglerne på siden Fakturabetaling.")
    back = MatchRule(
        withdraws=rule_id, sender_cvr=rule.sender_cvr, item_words=rule.item_words, item_code=rule.item_code,
        accepted_by=user_name, accepted_at=now(),
    )  # fmt: skip
    session.add(back)
    session.flush()
    return back


def rules(session: Session, before: datetime = datetime.max) -> list[MatchRule]:
    """The rules accepted, and not withdrawn, before that moment."""
    made = session.scalars(select(MatchRule).where(MatchRule.accepted_at < before).order_by(MatchRule.rule_id)).all()
    withdrawn = {rule.withdraws for rule in made if rule.withdraws}
    return [rule for rule in made if not rule.withdraws and rule.rule_id not in withdrawn]
