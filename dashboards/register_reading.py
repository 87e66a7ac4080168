"""What the Afregning page reads of the register: aggregated in SQL, as plain rows, without CPR numbers."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Engine, Select, case, func, literal, or_, select, union_all
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
    ProposalLine,
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


def previous_run(engine: Engine, process: str, timing: str) -> Row | None:
    """The latest booked run of the same process and timing: what a proposal is laid beside."""
    run = SettlementRun
    found = _rows(
        engine,
        select(run.run_no, run.through, run.amount_oere)
        .where(run.process == process, run.timing == timing)
        .order_by(run.run_no.desc())
        .limit(1),
    )
    return found[0] if found else None


def _beside(proposal_id: int, run_no: int | None, *keys: str):
    """Proposed and earlier booked amounts on the same keys, one row per line, to be summed."""
    line, booked = ProposalLine, LedgerLine
    now = select(
        *(getattr(line, key) for key in keys),
        line.item_name,
        line.amount_oere.label("now"),
        literal(0).label("before"),
        literal(1).label("lines"),
    ).where(line.proposal_id == proposal_id)
    before = select(
        *(getattr(booked, key) for key in keys), booked.item_name, literal(0), booked.amount_oere, literal(0)
    ).where(booked.run_no == run_no)
    return union_all(now, before).subquery()


def by_counterparty(engine: Engine, proposal_id: int, run_no: int | None) -> list[Row]:
    """One row per counterparty: proposed against the earlier run; øre."""
    side = _beside(proposal_id, run_no, "counterparty")
    party = ProposalParty
    summed = (
        select(
            side.c.counterparty,
            func.sum(side.c.now).label("now"),
            func.sum(side.c.before).label("before"),
            func.sum(side.c.lines).label("lines"),
        )
        .group_by(side.c.counterparty)
        .subquery()
    )
    document_name = (
        select(func.max(Document.name)).where(Document.counterparty == summed.c.counterparty).scalar_subquery()
    )
    return _rows(
        engine,
        select(
            summed,
            func.coalesce(func.nullif(party.name, ""), document_name, summed.c.counterparty).label("name"),
            case((party.ean == "", "nej"), else_="ja").label("has_ean"),
        )
        .outerjoin(party, (party.counterparty == summed.c.counterparty) & (party.proposal_id == proposal_id))
        .order_by(func.abs(summed.c.now - summed.c.before).desc(), summed.c.counterparty),
    )


def largest_changes(engine: Engine, proposal_id: int, run_no: int | None, limit: int = 10) -> list[Row]:
    """The service lines whose amount moves most against the earlier run; øre."""
    side = _beside(proposal_id, run_no, "service_line_id", "counterparty")
    now, before = func.sum(side.c.now), func.sum(side.c.before)
    return _rows(
        engine,
        select(
            side.c.service_line_id,
            side.c.counterparty,
            func.max(side.c.item_name).label("item_name"),
            now.label("now"),
            before.label("before"),
        )
        .group_by(side.c.service_line_id, side.c.counterparty)
        .having(now != before)
        .order_by(func.abs(now - before).desc(), side.c.service_line_id)
        .limit(limit),
    )


def adjustments(engine: Engine, proposal_id: int) -> Row:
    """How many of a proposal's lines correct earlier ones, and their sum in øre."""
    line = ProposalLine
    return _rows(
        engine,
        select(func.count().label("lines"), func.coalesce(func.sum(line.amount_oere), 0).label("amount")).where(
            line.proposal_id == proposal_id, line.is_adjustment
        ),
    )[0]


def parked(engine: Engine, proposal_id: int) -> list[Row]:
    """The line-months a proposal leaves out, with reason."""
    line = ParkedLine
    return _rows(
        engine,
        select(line.service_line_id, line.delivery_month, line.counterparty, line.reason)
        .where(line.proposal_id == proposal_id)
        .order_by(line.reason, line.delivery_month, line.service_line_id),
    )


def lines(
    engine: Engine,
    proposal_id: int,
    *,
    counterparty: str = "",
    text: str = "",
    month: date | None = None,
    only_adjustments: bool = False,
) -> Select:
    """The query for a proposal's lines that fit the filters, without CPR numbers."""
    line = ProposalLine
    query = select(
        line.service_line_id,
        line.package_id,
        line.item_name,
        line.unit,
        line.delivery_month,
        line.quantity_num,
        line.quantity_den,
        line.price_oere,
        line.amount_oere,
        line.vat_oere,
        line.counterparty,
        line.account,
        line.is_adjustment,
        line.corrects,
    ).where(line.proposal_id == proposal_id)
    if counterparty:
        query = query.where(line.counterparty == counterparty)
    if text:
        query = query.where(
            or_(
                *(
                    field.contains(text, autoescape=True)
                    for field in (line.service_line_id, line.package_id, line.item_name)
                )
            )
        )
    if month:
        query = query.where(line.delivery_month == month)
    if only_adjustments:
        query = query.where(line.is_adjustment)
    return query


def count_and_sum(engine: Engine, query: Select) -> tuple[int, int]:
    """How many lines a query gives and their amount in øre."""
    inner = query.subquery()
    row = _rows(
        engine,
        select(
            func.count().label("lines"), func.coalesce(func.sum(inner.c.amount_oere), 0).label("amount")
        ).select_from(inner),
    )[0]
    return row["lines"], row["amount"]


def line_rows(engine: Engine, query: Select, limit: int | None) -> list[Row]:
    """The lines themselves, in the order of the ledger file, with kroner and a written quantity."""
    line = ProposalLine
    ordered = query.order_by(
        line.service_line_id, line.delivery_month, line.price_oere, line.counterparty, line.account
    ).limit(limit)
    return [
        row
        | {
            "quantity": fmt.quantity(row["quantity_num"], row["quantity_den"]),
            "price": fmt.oere(row["price_oere"]),
            "amount": fmt.oere(row["amount_oere"]),
            "vat": fmt.oere(row["vat_oere"]),
        }
        for row in _rows(engine, ordered)
    ]


def line_months(engine: Engine, proposal_id: int) -> list[date]:
    """The delivery months a proposal has lines in, newest first."""
    line = ProposalLine
    return [
        row["delivery_month"]
        for row in _rows(
            engine,
            select(line.delivery_month)
            .where(line.proposal_id == proposal_id)
            .distinct()
            .order_by(line.delivery_month.desc()),
        )
    ]


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
