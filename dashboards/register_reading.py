"""What the Afregning page reads of the register: aggregated in SQL, as plain rows, without CPR numbers."""

from __future__ import annotations

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from dashboards import format as fmt
from dashboards.published import Row
from settlement.ledger.models import (
    Approval,
    Document,
    LedgerLine,
    OutboxItem,
    ParkedLine,
    Proposal,
    ProposalParty,
    SettlementRun,
)


def _rows(engine: Engine, query: Select) -> list[Row]:
    with Session(engine) as session:
        return [dict(row) for row in session.execute(query).mappings()]


def approval_of(engine: Engine, proposal_id: int) -> Row | None:
    """Who approved a proposal and when, None where nobody has."""
    rows = _rows(engine, select(Approval.approved_by, Approval.approved_at).where(Approval.proposal_id == proposal_id))
    return rows[0] if rows else None


def runs(engine: Engine) -> list[Row]:
    """Every booked run with its number of documents, newest first."""
    run = SettlementRun
    return _rows(
        engine,
        select(
            run.run_no,
            run.process,
            run.timing,
            run.through,
            run.booking_date,
            run.booked_at,
            run.booked_by,
            run.approved_by,
            run.amount_oere,
            run.vat_oere,
            run.hash,
            func.count(Document.number).label("documents"),
        )
        .outerjoin(Document, Document.run_no == run.run_no)
        .group_by(run.run_no)
        .order_by(run.run_no.desc()),
    )


def run(engine: Engine, run_no: int | None) -> Row | None:
    """One booked run's last month and amount; None without a number."""
    of = SettlementRun
    found = _rows(engine, select(of.run_no, of.through, of.amount_oere).where(of.run_no == run_no)) if run_no else []
    return found[0] if found else None


def parties(engine: Engine, proposal_id: int) -> dict[str, Row]:
    """A proposal's counterparties as known when it was made, by their code."""
    party = ProposalParty
    query = select(party.counterparty, party.name, party.ean).where(party.proposal_id == proposal_id)
    return {row["counterparty"]: row for row in _rows(engine, query)}


def party_names(engine: Engine, codes: list[str]) -> dict[str, str]:
    """The names counterparties had on their latest documents, by their code."""
    document = Document
    query = select(document.counterparty, func.max(document.name).label("name")).where(document.counterparty.in_(codes))
    return {row["counterparty"]: row["name"] for row in _rows(engine, query.group_by(document.counterparty))}


def parked(engine: Engine, proposal_id: int) -> list[Row]:
    """The line-months a proposal leaves out, with reason."""
    line = ParkedLine
    return _rows(
        engine,
        select(line.service_line_id, line.delivery_month, line.counterparty, line.reason)
        .where(line.proposal_id == proposal_id)
        .order_by(line.reason, line.delivery_month, line.service_line_id),
    )


def document_lines(engine: Engine, run_no: int, number: str, limit: int) -> list[Row]:
    """The first lines of a booked document in order, with their amount in kroner."""
    line = LedgerLine
    query = (
        select(line.service_line_id, line.delivery_month, line.item_name, line.amount_oere)
        .where(line.run_no == run_no, line.document_number == number)
        .order_by(line.line_number)
        .limit(limit)
    )
    return [row | {"amount": fmt.oere(row["amount_oere"])} for row in _rows(engine, query)]


def documents(engine: Engine, run_no: int) -> list[Row]:
    """A run's documents with the state of their files."""
    files: dict[str, list[str]] = {}
    for item in outbox(engine, run_no):
        if item["document_number"]:
            files.setdefault(item["document_number"], []).append(f"{item['format']}: {item['status']}")
    document = Document
    found = _rows(
        engine,
        select(
            document.number,
            document.kind,
            document.counterparty,
            document.name,
            document.issue_date,
            document.due_date,
            document.amount_oere,
            document.vat_oere,
        )
        .where(document.run_no == run_no)
        .order_by(document.number),
    )
    return [
        row
        | {
            "amount": fmt.oere(row["amount_oere"]),
            "vat": fmt.oere(row["vat_oere"]),
            "files": ", ".join(files.get(row["number"], [])),
        }
        for row in found
    ]


def outbox(engine: Engine, run_no: int) -> list[Row]:
    """The files of a run."""
    item = OutboxItem
    return _rows(
        engine,
        select(item.outbox_id, item.document_number, item.format, item.status, item.path, item.last_error)
        .where(item.run_no == run_no)
        .order_by(item.outbox_id),
    )


def process_of(proposal: Proposal) -> str:
    """«Mellemkommunal, bagud»"""
    return f"{fmt.label(proposal.process)}, {proposal.timing}"
