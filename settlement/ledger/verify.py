"""Checks what must always hold of the ledger and names the first broken row (settlement.md § 9)."""

from __future__ import annotations

from itertools import groupby

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from settlement.instance import Instance
from settlement.ledger import hashing
from settlement.ledger.booking import DELIVERED, file_digest, kept_heads
from settlement.ledger.models import Document, LedgerLine, NumberSeries, OutboxItem, Posting, SettlementRun


def verify(instance: Instance, engine: Engine, head: str | None = None) -> list[str]:
    """What is broken, a sentence each; empty where all holds. `head` is a head once printed, to be found in the chain."""
    with Session(engine) as session:
        runs = session.scalars(select(SettlementRun).order_by(SettlementRun.run_no)).all()
        broken = [
            *_chain(session, runs),
            *_kept(instance, runs),
            *_sums(session, runs),
            *_numbers(session),
            *_files(instance, session),
        ]
        if head and head not in {run.hash for run in runs}:
            broken.append(f"Hovedet {head[:16]}… findes ikke i kæden: den er afkortet eller skrevet om.")
    return broken


def _chain(session: Session, runs: list[SettlementRun]):
    """Lines hash into their document, documents into their run, runs into each other."""
    previous = ""
    for run in runs:
        if run.previous_hash != previous:
            yield f"Kørsel {run.run_no}: kæden er brudt; kørslen peger ikke på den forrige kørsels hash."
        documents = session.scalars(
            select(Document).where(Document.run_no == run.run_no).order_by(Document.counterparty)
        ).all()
        lines = session.scalars(
            select(LedgerLine)
            .where(LedgerLine.run_no == run.run_no)
            .order_by(LedgerLine.document_number, LedgerLine.line_number)
            .execution_options(yield_per=10_000)
        )
        hashes: dict[str, list[str]] = {}
        for number, group in groupby(lines, key=lambda line: line.document_number):
            hashes[number] = []
            for line in group:
                if hashing.row_hash(line, hashing.LINE_FIELDS) != line.content_hash:
                    yield f"Linje {line.line_number} i bilag {number} (kørsel {run.run_no}) er ændret efter bogføringen."
                hashes[number].append(line.content_hash)
        for document in documents:
            if hashing.row_hash(document, hashing.DOCUMENT_FIELDS, hashes.pop(document.number, [])) != document.hash:
                yield f"Bilag {document.number} (kørsel {run.run_no}) eller dets linjer er ændret efter bogføringen."
        for number in hashes:
            yield f"Kørsel {run.run_no} har linjer i bilag {number}, som ikke findes."
        if hashing.row_hash(run, hashing.RUN_FIELDS, [d.hash for d in documents]) != run.hash:
            yield f"Kørsel {run.run_no} eller dens bilag er ændret efter bogføringen."
        previous = run.hash


def _kept(instance: Instance, runs: list[SettlementRun]):
    """The chain against the heads kept outside the database: a rewritten or cut chain shows."""
    kept = kept_heads(instance)
    for number, (archived, run) in enumerate(zip(kept, runs, strict=False), 1):
        if archived != run.hash:
            yield f"Kørsel {number}: registerets hash er ikke den, arkivet gemte ved bogføringen."
            return
    if len(kept) > len(runs):
        yield f"Registeret slutter ved kørsel {len(runs)}, men arkivet kender {len(kept)}: kæden er afkortet."


def _sums(session: Session, runs: list[SettlementRun]):
    """Σ lines = document total = Σ debit = Σ credit; Σ documents = run."""
    line = LedgerLine
    lines = {
        number: (amount, vat)
        for number, amount, vat in session.execute(
            select(line.document_number, func.sum(line.amount_oere), func.sum(line.vat_oere)).group_by(
                line.document_number
            )
        )
    }
    sides = {
        (number, side): amount
        for number, side, amount in session.execute(
            select(Posting.document_number, Posting.side, func.sum(Posting.amount_oere)).group_by(
                Posting.document_number, Posting.side
            )
        )
    }
    totals: dict[int, list[int]] = {run.run_no: [0, 0] for run in runs}
    for document in session.scalars(select(Document).order_by(Document.run_no, Document.number)):
        amount, vat = document.amount_oere, document.vat_oere
        if lines.get(document.number) != (amount, vat):
            yield f"Bilag {document.number}: linjernes sum er ikke bilagets total."
        debit, credit = sides.get((document.number, "debet"), 0), sides.get((document.number, "kredit"), 0)
        if not debit == credit == amount + vat:
            yield f"Bilag {document.number}: debet {debit}, kredit {credit} og total {amount + vat} øre er ikke ens."
        totals[document.run_no][0] += amount
        totals[document.run_no][1] += vat
    for run in runs:
        if totals[run.run_no] != [run.amount_oere, run.vat_oere]:
            yield f"Kørsel {run.run_no}: bilagenes sum er ikke kørslens total."


def _numbers(session: Session):
    """Document numbers are gapless per series and year."""
    given = session.execute(
        select(
            Document.series, Document.year, func.count(), func.min(Document.sequence), func.max(Document.sequence)
        ).group_by(Document.series, Document.year)
    )
    for series, year, count, lowest, highest in given:
        last = session.get(NumberSeries, (series, year))
        if lowest != 1 or highest != count or last is None or last.last != highest:
            yield f"Bilagsnumre i serie {series} {year} har huller: {count} bilag, højeste nummer {highest}."


def _files(instance: Instance, session: Session):
    """Delivered files are those that were written."""
    for item in session.scalars(select(OutboxItem).where(OutboxItem.status == DELIVERED)):
        path = instance.outbox / item.path
        if not path.exists():
            yield f"Udbakken mangler {item.path}, som er leveret."
        elif file_digest(path.read_bytes()) != item.sha256:
            yield f"Udbakkens {item.path} er ikke den fil, der blev leveret."
