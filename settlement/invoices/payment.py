"""Payment: everything approved becomes one run of process `faktura` in the ledger, in one database transaction.

A voucher (document) per invoice, numbered without gaps; a ledger line per service line, delivery month, price and account that
an invoice line is for; postings, hash chain and outbox as any run; and the note, beside the ledger, of what is paid of each
invoice line, which lets no line and no supplier's number be paid twice. The run also tells of the invoices people have rejected
since the one before; where nothing is paid, it has no voucher and no line, and tells of them alone.
"""

from __future__ import annotations

import os
import re
from datetime import date

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from settlement.documents.invoice_return import returned_file_name
from settlement.engine import settle
from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.invoices.decisions import to_return
from settlement.invoices.matching import SQL
from settlement.ledger import booked_lines, hashing, heads, periods
from settlement.ledger.booking import WAITING, insert_run, new_run, next_number
from settlement.ledger.frozen import file_hash
from settlement.ledger.gates import demand_green
from settlement.ledger.guards import booking_opened, one_at_a_time
from settlement.ledger.invoice_returns import RETURNED, paid_files
from settlement.ledger.models import (
    Document,
    InvoiceDecision,
    InvoicePayment,
    InvoiceReturn,
    OutboxItem,
    PaidInvoice,
    Proposal,
    ProposalParty,
    SettlementRun,
)  # fmt: skip
from settlement.ledger.proposals import lines_file, newest_hash
from settlement.ledger.register import MAY_BOOK, now, user_with_right, writing
from settlement.processes import INVOICES
from settlement.reference import posting_account

PAYMENT, CREDIT = "fakturabetaling", "leverandoerkreditnota"
SERIES = "B"


def number_key(document_number: str) -> str:
    """A supplier's number as it is compared: without signs and leading zeros, in capitals. Matching has a macro of that name."""
    return re.sub(r"[^A-Z0-9ÆØÅ]", "", document_number.upper()).lstrip("0")


def matched_head(engine: Engine) -> str:
    """The ledger's head for invoice payments, to be read before matching: `pay` books only where it still stands."""
    with Session(engine) as session:
        return newest_hash(session, INVOICES.name)


def pay(
    instance: Instance, engine: Engine, con: duckdb.DuckDBPyConnection, *, head: str, booking_date: date, user_name: str,
    last_load_id: int,
) -> SettlementRun | None:  # fmt: skip
    """Books what matching on `con` (`matching.match`) found payable, and sends what is rejected back; returns the run, None where
    there is neither.

    Raises StateFault without right, where the ledger has moved since `head`, a gate is not green or the period is closed.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE payment AS {(SQL / 'payment.sql').read_text(encoding='utf-8')}")
    parties = con.execute("""
        SELECT DISTINCT ON (p.document_id)
            p.document_id, p.sender_cvr, p.kind, p.invoice_number, coalesce(i.sender_name, p.sender_cvr)
        FROM payment AS p JOIN invoice AS i ON i.document_id = p.document_id ORDER BY p.document_id""").fetchall()
    lines, aliases = (con.sql(f"FROM {table}").to_arrow_table() for table in ("payment", "account_alias"))
    with writing(engine) as session, duckdb.connect() as own:
        one_at_a_time(session)
        heads.complete(instance, session)
        user_with_right(session, user_name, MAY_BOOK, "betale fakturaer")
        rejected = _rejected(session, instance, con)
        if not parties and not rejected:
            return None
        if newest_hash(session, INVOICES.name) != head:
            raise StateFault("Der er betalt fakturaer, siden de blev matchet. Kør «afregning invoice pay» igen.")
        demand_green(session, last_load_id)
        period = periods.demand_open(session, booking_date, None, booking_date)
        _complete(own, session, lines)
        proposal = _proposal(session, instance, own, head, booking_date, user_name, last_load_id)
        run = new_run(session, proposal, approved_by="", user_name=user_name, accounting_period=period)
        with booking_opened(session, run.run_no):
            documents = _documents(session, own, run, parties)
            own.execute("CREATE TEMP VIEW known AS FROM payment JOIN voucher USING (document_id)")
            booked_lines.number(own, session, run.run_no, lines="known", known="known")
            insert_run(session, own, instance, run, documents)
            own.register("account_alias", aliases)
            _note(session, own, run, parties)
            session.add_all(InvoiceReturn(decision_id=decision.decision_id, run_no=run.run_no) for decision in rejected)
            # The layouts refuse a file of no posting.
            names = paid_files(session, run, instance.invoices.finance_system) if parties else {}
            names |= {RETURNED: returned_file_name(run.run_no)}
            session.add_all(
                OutboxItem(outbox_id=f"{run.run_no}/{name}", run_no=run.run_no, document_number=None, format=form, status=WAITING)
                for form, name in names.items()
            )
    with Session(engine) as session:
        heads.complete(instance, session)
    return run


def _rejected(session: Session, instance: Instance, con: duckdb.DuckDBPyConnection) -> list[InvoiceDecision]:
    """The rejections to tell of, but not one of what is paid here: that was made after matching."""
    paid = set(con.execute(
        "SELECT document_id, line_number FROM payment UNION SELECT document_id, '' FROM payment"
    ).fetchall())  # fmt: skip
    return [d for d in to_return(session, instance) if (d.document_id, d.line_number) not in paid]


def _proposal(
    session: Session, instance: Instance, con, head: str, booking_date: date, user_name: str, last_load_id: int
) -> Proposal:
    """What is paid, kept as a proposal is: its lines in the archive under their hash; they are the run's frozen input too."""
    folder = instance.archive / "proposals"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{os.getpid()}.part"
    con.execute(f"COPY (FROM payment ORDER BY ALL) TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)")
    count, amount, vat, through = con.execute("""
        SELECT count(*), coalesce(sum(amount_oere), 0)::BIGINT, coalesce(sum(vat_oere), 0)::BIGINT, max(delivery_month)
        FROM payment""").fetchone()
    digest = file_hash(unfinished)
    proposal = Proposal(
        process=INVOICES.name, timing="bagud", through=through or booking_date.replace(day=1), booking_date=booking_date,
        created_at=now(), created_by=user_name, engine_version=settle.VERSION, last_load_id=last_load_id, line_count=count,
        amount_oere=amount, vat_oere=vat, lines_hash=digest, input_hash=digest, head_hash=head, only_counterparty="", withdraws="",
    )  # fmt: skip
    proposal.hash = hashing.row_hash(proposal, hashing.PROPOSAL_FIELDS)
    os.replace(unfinished, lines_file(instance, proposal))
    session.add(proposal)
    session.flush()
    session.add(ProposalParty(
        proposal_id=proposal.proposal_id, counterparty=instance.municipality, kind="egen", name=instance.municipality, cvr="",
        ean="", address="", contact="",
    ))  # fmt: skip
    return proposal


def _documents(session: Session, con, run: SettlementRun, parties: list[tuple]) -> list[Document]:
    """One voucher per invoice; `contact` is the supplier's own number."""
    totals = {
        document_id: (amount, vat)
        for document_id, amount, vat in con.execute(
            "SELECT document_id, sum(amount_oere)::BIGINT, sum(vat_oere)::BIGINT FROM payment GROUP BY document_id"
        ).fetchall()
    }
    documents = []
    for document_id, cvr, kind, number, name in parties:
        sequence = next_number(session, SERIES, run.booking_date.year)
        amount, vat = totals[document_id]
        documents.append(Document(
            number=f"{SERIES}{run.booking_date.year}-{sequence:06d}", run_no=run.run_no, series=SERIES, year=run.booking_date.year,
            sequence=sequence, kind=CREDIT if kind == "kreditnota" else PAYMENT, process=INVOICES.name, counterparty=cvr,
            name=name, cvr=cvr, ean="", address="", contact=number, issue_date=run.booking_date, due_date=run.booking_date,
            amount_oere=amount, vat_oere=vat,
        ))  # fmt: skip
    numbers = [[party[0] for party in parties], [document.number for document in documents]]
    con.register("voucher", pa.table([pa.array(n, pa.string()) for n in numbers], names=["document_id", "document_number"]))
    return documents


def _complete(con, session: Session, lines: pa.Table) -> None:
    """`payment`: the lines with all that a booked line has but its voucher (`hashing.LINE_FIELDS`). What comes after an earlier
    payment of the same service line and month corrects that payment's voucher."""
    con.register("found", lines)
    con.register("earlier", _earlier(session))
    con.execute("""
        CREATE TEMP TABLE payment AS
        SELECT p.*, p.sender_cvr AS counterparty, e.voucher IS NOT NULL AS is_adjustment, coalesce(e.voucher, '') AS corrects,
            '' AS rate_source
        FROM found AS p
        LEFT JOIN earlier AS e ON e.service_line_id = p.service_line_id AND e.delivery_month = p.delivery_month""")


def _earlier(session: Session) -> pa.Table:
    """Service line × delivery month paid before, and the voucher of the latest payment."""
    rows: dict[tuple[str, date], str] = {}
    paid = InvoicePayment
    for line, month, number in session.execute(
        select(paid.service_line_id, paid.delivery_month, paid.document_number).order_by(paid.run_no, paid.document_number)
    ):
        rows[line, month] = number
    return pa.table({
        "service_line_id": pa.array([line for line, _ in rows], pa.string()),
        "delivery_month": pa.array([month for _, month in rows], pa.date32()),
        "voucher": pa.array(list(rows.values()), pa.string()),
    })  # fmt: skip


def _note(session: Session, con, run: SettlementRun, parties: list[tuple]) -> None:
    """What is paid of each invoice: the register's own keys refuse a second time."""
    known = set(session.scalars(select(PaidInvoice.document_id).where(PaidInvoice.document_id.in_([p[0] for p in parties]))))
    rows = [
        {"document_id": document_id, "sender_cvr": cvr, "kind": kind, "number_key": number_key(number)}
        for document_id, cvr, kind, number, _ in parties if document_id not in known
    ]  # fmt: skip
    if rows:
        session.execute(insert(PaidInvoice), rows)
    creditor, fallback, vat = (posting_account(run.process, role, run.booking_date) for role in ("counterparty", "lines", "vat"))

    def alias(account: str) -> str:
        return f"coalesce((SELECT any_value(a.alias) FROM account_alias AS a WHERE a.account = {account}), '')"

    cursor = con.execute(f"""
        SELECT p.document_id, line_number, part_no, {run.run_no} AS run_no, v.document_number, service_line_id, delivery_month,
            price_oere, account, any_value(invoiced_oere) AS invoiced_oere,
            coalesce(sum(amount_oere) FILTER (WHERE deviation = ''), 0)::BIGINT AS agreed_oere,
            sum(amount_oere)::BIGINT AS amount_oere, sum(vat_oere)::BIGINT AS vat_oere, any_value(found_by) AS found_by,
            {alias(f"coalesce(nullif(p.account, ''), '{fallback}')")} AS account_alias, {alias(f"'{vat}'")} AS vat_alias,
            {alias(f"'{creditor}'")} AS creditor_alias
        FROM payment AS p JOIN voucher AS v ON v.document_id = p.document_id GROUP BY ALL ORDER BY ALL""")
    names = [column[0] for column in cursor.description]
    while part := cursor.fetchmany(20_000):
        session.execute(insert(InvoicePayment), [dict(zip(names, row, strict=True)) for row in part])
