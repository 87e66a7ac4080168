"""Count and sum expected against count and sum found: of a run before anything leaves, of each file, and of all afterwards."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from lxml import etree
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from settlement.documents.invoice_return import posted_in
from settlement.documents.model import DEBIT
from settlement.instance import Instance
from settlement.ledger.booking import DELIVERED, file_digest
from settlement.ledger.bounds import kroner
from settlement.ledger.invoice_returns import PAID, postings_of, spread, system_of
from settlement.ledger.models import Document, LedgerLine, OutboxItem, Posting, Proposal, SettlementRun
from settlement.ledger.printed_lines import printed_lines
from settlement.processes import INVOICES, booked_process

CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
Total = tuple[int, int]  # how many, and their sum in øre


def lacking(session: Session, run_no: int) -> str:
    """Why a booked run must not be handed over, in a sentence with the exact sum: its lines, recounted, are not those that
    were proposed and booked, or a document has lost its files' places in the outbox; '' where it is whole."""
    run = session.get(SettlementRun, run_no)
    line, document = LedgerLine, Document
    lines, amount, vat = session.execute(
        select(func.count(), func.sum(line.amount_oere), func.sum(line.vat_oere)).where(line.run_no == run_no)
    ).one()
    proposed = session.get(Proposal, run.proposal_id).line_count
    whole, found = (proposed, run.amount_oere + run.vat_oere), (lines, int(amount or 0) + int(vat or 0))
    if found != whole:
        return f"Kørsel {run_no} afleveres ikke: {_missing('linjer', whole, found)}. Kør «afregning verify»."
    summed = {
        number: (int(amount), int(vat))
        for number, amount, vat in session.execute(
            select(line.document_number, func.sum(line.amount_oere), func.sum(line.vat_oere))
            .where(line.run_no == run_no).group_by(line.document_number)
        )
    }  # fmt: skip
    documents = session.execute(
        select(document.number, document.amount_oere, document.vat_oere).where(document.run_no == run_no)
    ).all()
    for number, amount, vat in documents:
        if summed.get(number) != (amount, vat):
            has = sum(summed.get(number, (0, 0)))
            return (
                f"Kørsel {run_no} afleveres ikke: bilag {number} er på {kroner(amount + vat)} kr., dets linjer på {kroner(has)} "
                f"kr.; forskellen er {kroner(amount + vat - has)} kr. Kør «afregning verify»."
            )
    wanted, lost = lost_items(session, run)
    if lost:
        return (
            f"Kørsel {run_no} afleveres ikke: {wanted} filer ventet, {wanted - len(lost)} står i udbakken; {min(lost)} "
            "mangler. Kør «afregning verify»."
        )
    return ""


def counted(session: Session, run_no: int) -> str:
    """What was expected of a booked run and what is there, before and after the hand-over, in one sentence with the sums."""
    run, line, item = session.get(SettlementRun, run_no), LedgerLine, OutboxItem
    lines, amount, vat = session.execute(
        select(func.count(), func.sum(line.amount_oere), func.sum(line.vat_oere)).where(line.run_no == run_no)
    ).one()
    proposed = session.get(Proposal, run.proposal_id).line_count
    files = session.execute(select(item.status, func.count()).where(item.run_no == run_no).group_by(item.status)).all()
    delivered = sum(count for status, count in files if status == DELIVERED)
    return (
        f"Kørsel {run_no}: {proposed} linjer på {kroner(run.amount_oere + run.vat_oere)} kr. med moms ventet, {lines} på "
        f"{kroner(int(amount or 0) + int(vat or 0))} kr. bogført; {sum(count for _, count in files)} filer ventet, {delivered} "
        "afleveret."
    )


def lost_items(session: Session, run: SettlementRun) -> tuple[int, set[str]]:
    """How many files the outbox should hold of a booked run, and those it does not, by outbox_id."""
    # A payment run's files are named by the finance system of its day.
    wanted = set() if run.process == INVOICES.name else {f"{run.run_no}/koersel-{run.run_no}-omposteringsbilag.csv"}
    if booked_process(run.process).is_sent:
        documents = session.execute(select(Document.number, Document.kind).where(Document.run_no == run.run_no)).all()
        wanted |= {f"{run.run_no}/{number}.pdf" for number, _ in documents}
        wanted |= {f"{run.run_no}/{number}.xml" for number, kind in documents if kind != "internbilag"}
    return len(wanted), wanted - set(session.scalars(select(OutboxItem.outbox_id).where(OutboxItem.run_no == run.run_no)))


def unlike(session: Session, item: OutboxItem, content: bytes) -> str:
    """Why a file is not what was booked, in a sentence with the exact sum, from the file read back; '' where it is."""
    if item.format == "opus":
        whole, found = _posted(session, item.run_no), _posted_in(content)
        for side in ("debet", "kredit"):
            if whole[side] != found[side]:
                return f"{item.outbox_id} afleveres ikke: {_missing(f'posteringer i {side}', whole[side], found[side])}."
        return ""
    if item.format.startswith(PAID):
        run = session.get(SettlementRun, item.run_no)
        postings = postings_of(session, run)
        owed = -sum(posting.amount_oere for posting in postings if posting.is_creditor)
        if owed != run.amount_oere + run.vat_oere:
            return (
                f"{item.outbox_id} afleveres ikke: {kroner(owed)} kr. til leverandørerne, men kørslen er på "
                f"{kroner(run.amount_oere + run.vat_oere)} kr. Kør «afregning verify»."
            )
        of_run = select(OutboxItem.format).where(OutboxItem.run_no == item.run_no)
        files = spread(session.scalars(of_run.where(OutboxItem.format.startswith(PAID, autoescape=True))), postings)
        if (placed := sum(map(len, files.values()))) != len(postings):
            return (
                f"{item.outbox_id} afleveres ikke: kørslens filer i udbakken har {placed} af dens {len(postings)} posteringer. "
                "Kør «afregning verify»."
            )
        found = posted_in(system_of(item.format), content)
        for side, is_side in (("debet", lambda oere: oere > 0), ("kredit", lambda oere: oere < 0)):
            amounts = [abs(posting.amount_oere) for posting in files[item.format] if is_side(posting.amount_oere)]
            if found[side] != (len(amounts), sum(amounts)):
                missing = _missing(f"posteringer i {side}", (len(amounts), sum(amounts)), found[side])
                return f"{item.outbox_id} afleveres ikke: {missing}."
        return ""
    if item.format == "oioubl":
        document = session.get(Document, (item.run_no, item.document_number))
        count = len(printed_lines(session, document))
        lines, amount, payable = _invoiced_in(content)
        whole = (count, document.amount_oere)
        if (lines, amount) != whole:
            return f"{item.outbox_id} afleveres ikke: {_missing('linjer', whole, (lines, amount))}."
        if payable != document.amount_oere + document.vat_oere:
            return (
                f"{item.outbox_id} afleveres ikke: {kroner(payable)} kr. at betale, men bilaget er på "
                f"{kroner(document.amount_oere + document.vat_oere)} kr."
            )
    return ""


def lost(instance: Instance, session: Session, item: OutboxItem) -> str:
    """Why a file handed over is no longer the one that was written; '' where it lies there whole."""
    path = instance.outbox / item.path
    if not path.exists():
        return f"{item.outbox_id} er skrevet, men ligger ikke i udbakken. Kør «afregning deliver --now»; så skrives den igen."
    content = path.read_bytes()
    if file_digest(content) == item.sha256:
        return ""
    return unlike(session, item, content) or f"{item.outbox_id} i udbakken er ikke den fil, der blev skrevet."


def _missing(what: str, whole: Total, found: Total) -> str:
    return (
        f"{whole[0]} {what} på {kroner(whole[1])} kr. ventet, {found[0]} på {kroner(found[1])} kr. fundet; "
        f"{whole[0] - found[0]} på {kroner(whole[1] - found[1])} kr. mangler"
    )


def _invoiced_in(content: bytes) -> tuple[int, int, int]:
    """Lines, their sum and what is to be paid, signed as booked: a credit note turns every sign."""
    root = etree.fromstring(content)
    is_credit = etree.QName(root).localname == "CreditNote"
    lines = [_oere(line.find(f"{CBC}LineExtensionAmount").text) for line in root.iterfind(
        f"{CAC}CreditNoteLine" if is_credit else f"{CAC}InvoiceLine")]  # fmt: skip
    payable = _oere(root.find(f"{CAC}LegalMonetaryTotal/{CBC}PayableAmount").text)
    sign = -1 if is_credit else 1
    return len(lines), sign * sum(lines), sign * payable


def _posted(session: Session, run_no: int) -> dict[str, Total]:
    """Postings by the side they stand on: one below 0 stands on the other side."""
    sides: dict[str, list[int]] = {"debet": [], "kredit": []}
    for side, amount in session.execute(select(Posting.side, Posting.amount_oere).where(Posting.run_no == run_no)):
        sides["debet" if (side == "debet") == (amount > 0) else "kredit"].append(abs(amount))
    return {side: (len(amounts), sum(amounts)) for side, amounts in sides.items()}


def _posted_in(content: bytes) -> dict[str, Total]:
    sides: dict[str, list[int]] = {"debet": [], "kredit": []}
    for row in csv.DictReader(io.StringIO(content.decode("utf-8")), delimiter=";"):
        sides["debet" if row["Debet/kredit"] == DEBIT else "kredit"].append(_oere(row["Beløb"].replace(",", ".")))
    return {side: (len(amounts), sum(amounts)) for side, amounts in sides.items()}


def _oere(text: str) -> int:
    return int(Decimal(text).scaleb(2))
