"""Checks what must always hold of the ledger and names the first broken row (settlement.md § 9)."""

from __future__ import annotations

from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from settlement.instance import Instance
from settlement.ledger import bulk, hashing, mirror
from settlement.ledger.booking import DELIVERED, file_digest, kept_heads
from settlement.ledger.models import Document, LedgerLine, NumberSeries, OutboxItem, Posting, SettlementRun


def verify(instance: Instance, engine: Engine, head: str | None = None) -> list[str]:
    """What is broken, a sentence each; empty where all holds. `head` is a head once printed, to be found in the chain."""
    with Session(engine) as session:
        runs = session.scalars(select(SettlementRun).order_by(SettlementRun.sequence)).all()
        broken = [
            *_chain(session, runs),
            *_kept(instance, runs),
            *_sums(session, runs),
            *_numbers(session),
            *_files(instance, session),
            *_mirrored(instance, session, runs),
        ]
        if head and head not in {run.hash for run in runs}:
            broken.append(f"Hovedet {head[:16]}… findes ikke i kæden: den er afkortet eller skrevet om.")
    return broken


def _chain(session: Session, runs: list[SettlementRun]):
    """Lines hash into their document, documents into their run, runs into each other."""
    previous = ""
    for place, run in enumerate(runs, 1):
        if run.sequence != place:
            yield f"Kørsel {run.run_no}: kæden er brudt; kørslen er nr. {run.sequence} i kæden, men står som nr. {place}."
        if run.previous_hash != previous:
            yield f"Kørsel {run.run_no}: kæden er brudt; kørslen peger ikke på den forrige kørsels hash."
        documents = session.scalars(
            select(Document).where(Document.run_no == run.run_no).order_by(Document.counterparty, Document.number)
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
        if hashing.run_hash(run, [d.hash for d in documents]) != run.hash:
            yield f"Kørsel {run.run_no} eller dens bilag er ændret efter bogføringen."
        previous = run.hash


def _kept(instance: Instance, runs: list[SettlementRun]):
    """The chain against the heads kept outside the database: a rewritten or cut chain shows."""
    kept = kept_heads(instance)
    for archived, run in zip(kept, runs, strict=False):
        if archived != run.hash:
            yield f"Kørsel {run.run_no}: registerets hash er ikke den, arkivet gemte ved bogføringen."
            return
    if len(kept) > len(runs):
        yield f"Registeret har {len(runs)} kørsler, men arkivet kender {len(kept)}: kæden er afkortet."


def _mirrored(instance: Instance, session: Session, runs: list[SettlementRun]):
    """The ledger the engine reads is the register's, line by line."""
    for run in runs:
        path = mirror.file_of(instance, run.run_no, run.hash)
        if not path.exists():
            continue  # it is written from the register before it is read
        try:
            kept = pq.read_table(path)
        except (OSError, pa.ArrowException):
            yield f"Kørsel {run.run_no}: spejlet {path.name} i arkivet kan ikke læses. Slet filen; den skrives igen fra registeret."
            continue
        booked = pa.concat_tables(bulk.read(session.connection(), mirror.lines_of(run.run_no)))
        if not kept.cast(booked.schema).equals(booked):
            yield f"Kørsel {run.run_no}: spejlet {path.name} i arkivet er ikke registerets linjer."


def _sums(session: Session, runs: list[SettlementRun]):
    """Σ lines = document total = Σ debit = Σ credit; Σ documents = run."""
    line = LedgerLine
    lines = {
        (run_no, number): (amount, vat)
        for run_no, number, amount, vat in session.execute(
            select(line.run_no, line.document_number, func.sum(line.amount_oere), func.sum(line.vat_oere)).group_by(
                line.run_no, line.document_number
            )
        )
    }
    sides = {
        (run_no, number, side): amount
        for run_no, number, side, amount in session.execute(
            select(Posting.run_no, Posting.document_number, Posting.side, func.sum(Posting.amount_oere)).group_by(
                Posting.run_no, Posting.document_number, Posting.side
            )
        )
    }
    totals: dict[int, list[int]] = {run.run_no: [0, 0] for run in runs}
    for document in session.scalars(select(Document).order_by(Document.run_no, Document.number)):
        amount, vat, key = document.amount_oere, document.vat_oere, (document.run_no, document.number)
        if lines.get(key) != (amount, vat):
            yield f"Bilag {document.number}: linjernes sum er ikke bilagets total."
        debit, credit = sides.get((*key, "debet"), 0), sides.get((*key, "kredit"), 0)
        if not debit == credit == amount + vat:
            yield f"Bilag {document.number}: debet {debit}, kredit {credit} og total {amount + vat} øre er ikke ens."
        totals[document.run_no][0] += amount
        totals[document.run_no][1] += vat
    for run in runs:
        if totals[run.run_no] != [run.amount_oere, run.vat_oere]:
            yield f"Kørsel {run.run_no}: bilagenes sum er ikke kørslens total."


def _numbers(session: Session):
    """Document numbers are gapless per series and year; an earlier system's documents have none."""
    given = session.execute(
        select(
            Document.series, Document.year, func.count(), func.min(Document.sequence), func.max(Document.sequence)
        )
        .where(Document.run_no > 0)
        .group_by(Document.series, Document.year)
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
