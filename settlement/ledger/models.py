"""The register's tables. Money in whole øre, months as their first day, moments in UTC.

Booked tables (settlement_run, document, booked_basis, booked_line, posting), proposals and the access log are only ever
added to; triggers made by the migrations refuse update and delete. `ledger_line` is a view of the booked lines.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Integer, MetaData, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # SQLite numbers new rows itself only where the key's type is INTEGER; it holds 64 bits all the same.
    type_annotation_map = {int: BigInteger().with_variant(Integer(), "sqlite")}


class View(Base):
    """What is read as one relation and kept in several; made by the migrations."""

    __abstract__ = True
    metadata = MetaData()


class User(Base):
    """One person who may use the register."""

    __tablename__ = "user_account"
    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    department: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]


class GateVerdict(Base):
    """One gate's verdict on one load, by the version of its input and of the rules: grøn, rød or afventer.

    `scope` names the systems the load's files came from. The newest verdict of a load and gate counts.
    """

    __tablename__ = "gate_verdict"
    verdict_id: Mapped[int] = mapped_column(primary_key=True)
    load_id: Mapped[int]
    scope: Mapped[str]
    gate: Mapped[str]
    input_version: Mapped[str]
    rules_version: Mapped[str]
    verdict: Mapped[str]
    detail: Mapped[str]
    judged_at: Mapped[datetime]


class Proposal(Base):
    """What one run would book; immutable. `hash` covers the hashes of its lines, its input and the ledger's head.

    Its lines lie in the archive, under the hash of their file. An urgent proposal has one counterparty's lines alone, a
    withdrawal the counter-lines of the document it names, with a reason; both names are in the input's hash.
    """

    __tablename__ = "proposal"
    proposal_id: Mapped[int] = mapped_column(primary_key=True)
    process: Mapped[str]
    timing: Mapped[str]
    through: Mapped[date]
    booking_date: Mapped[date]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    engine_version: Mapped[str]
    last_load_id: Mapped[int]
    line_count: Mapped[int]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    lines_hash: Mapped[str]
    input_hash: Mapped[str]
    head_hash: Mapped[str]
    hash: Mapped[str] = mapped_column(index=True)
    only_counterparty: Mapped[str] = mapped_column(default="", server_default="")
    withdraws: Mapped[str] = mapped_column(default="", server_default="")
    reason: Mapped[str] = mapped_column(default="", server_default="")


class ProposalParty(Base):
    """One counterparty of a proposal, as known when it was made."""

    __tablename__ = "proposal_party"
    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposal.proposal_id"), primary_key=True)
    counterparty: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    cvr: Mapped[str]
    ean: Mapped[str]
    address: Mapped[str]
    contact: Mapped[str]


class ParkedLine(Base):
    """One service line × delivery month left out of a proposal, with the reason (late claims per counterparty)."""

    __tablename__ = "parked_line"
    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposal.proposal_id"), primary_key=True)
    service_line_id: Mapped[str] = mapped_column(primary_key=True)
    delivery_month: Mapped[date] = mapped_column(primary_key=True)
    counterparty: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]


class Approval(Base):
    """Another person's approval of a proposal, by its hash."""

    __tablename__ = "approval"
    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposal.proposal_id"), primary_key=True)
    proposal_hash: Mapped[str]
    approved_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    approved_at: Mapped[datetime]


class SettlementRun(Base):
    """One booked run. `hash` covers its documents and the run before it: the ledger's chain, in order of `sequence`.

    Runs 0, −1, −2 … hold what an earlier system has charged (loader.md, aabningsposter) and are shown as run 0: they
    have no proposal, no approval and nothing to send. `hash_version` names the fields hashed (`hashing.RUN_FIELDS`).
    """

    __tablename__ = "settlement_run"
    run_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(unique=True)
    proposal_id: Mapped[int | None] = mapped_column(ForeignKey("proposal.proposal_id"), unique=True)
    process: Mapped[str]
    timing: Mapped[str]
    through: Mapped[date]
    booking_date: Mapped[date]
    accounting_year: Mapped[int]
    accounting_period: Mapped[int]
    booked_at: Mapped[datetime]
    booked_by: Mapped[str]
    approved_by: Mapped[str]
    engine_version: Mapped[str]
    input_hash: Mapped[str]
    lines_hash: Mapped[str]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    previous_hash: Mapped[str]
    hash_version: Mapped[int]
    hash: Mapped[str]


def _of_document(table: str) -> ForeignKeyConstraint:
    columns = ["run_no", "document_number"]
    return ForeignKeyConstraint(columns, ["document.run_no", "document.number"], name=f"fk_{table}_document")


class Document(Base):
    """One document: one counterparty, process, EAN and run. Numbers are gapless per series and year.

    An earlier system's document stands under that system's number, outside the series, with every counterparty on it.
    """

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("series", "year", "sequence"),)
    run_no: Mapped[int] = mapped_column(ForeignKey("settlement_run.run_no"), primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    series: Mapped[str | None]
    year: Mapped[int | None]
    sequence: Mapped[int | None]
    kind: Mapped[str]
    process: Mapped[str]
    counterparty: Mapped[str]
    name: Mapped[str]
    cvr: Mapped[str]
    ean: Mapped[str]
    address: Mapped[str]
    contact: Mapped[str]
    issue_date: Mapped[date]
    due_date: Mapped[date]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    hash: Mapped[str]


class BookedBasis(Base):
    """What a run's lines of one service line share: its price, payer, account and document, what was known of it, and the
    document they correct.

    `hash` covers it from run version 3 on, and from 4 on its lines too; before that every line's hash covers its basis, and
    there is none here.
    """

    __tablename__ = "booked_basis"
    __table_args__ = (Index("ix_booked_basis_of_document", "run_no", "document_number"),)
    basis_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_no: Mapped[int]
    document_number: Mapped[str]
    service_line_id: Mapped[str]
    price_oere: Mapped[int]
    counterparty: Mapped[str]
    account: Mapped[str]
    package_id: Mapped[str]
    cpr: Mapped[str]
    vat_pct_e2: Mapped[int]
    is_adjustment: Mapped[bool]
    corrects: Mapped[str]
    item_name: Mapped[str]
    unit: Mapped[str]
    requisition: Mapped[str]
    line_source: Mapped[str]
    rate_source: Mapped[str]
    hash: Mapped[bytes | None]


class BookedLine(Base):
    """One booked line: entitled − booked of its basis in one delivery month (settlement.md § 6).

    Numbered upwards from 1; what an earlier system charged downwards from 0, for it comes before all else. No foreign key
    points from here or from its basis: a row's own check would cost more than the row. Booking makes them of one join, and
    `verify` finds a row that has lost what it belongs to. From run version 4 on its basis's hash covers it, and it has none.
    """

    __tablename__ = "booked_line"
    __table_args__ = {"sqlite_with_rowid": False}
    basis_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    delivery_month: Mapped[date] = mapped_column(primary_key=True)
    line_number: Mapped[int]
    quantity_num: Mapped[int]
    quantity_den: Mapped[int]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    hash: Mapped[bytes | None]


class LedgerLine(View):
    """One booked line, whole: with its basis, and with its run's process, booking date and the moment it was learned.

    Delivery month, recorded time, booking date and accounting period (the run's) are kept apart. `content_hash` is the hash
    that covers the line's fields: its own, or from run version 4 on its basis's.
    """

    __tablename__ = "ledger_line"
    line_number: Mapped[int] = mapped_column(primary_key=True)
    run_no: Mapped[int]
    document_number: Mapped[str]
    booking_date: Mapped[date]
    recorded_at: Mapped[datetime]
    process: Mapped[str]
    service_line_id: Mapped[str]
    package_id: Mapped[str]
    cpr: Mapped[str]
    delivery_month: Mapped[date]
    quantity_num: Mapped[int]
    quantity_den: Mapped[int]
    price_oere: Mapped[int]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    vat_pct_e2: Mapped[int]
    counterparty: Mapped[str]
    account: Mapped[str]
    is_adjustment: Mapped[bool]
    corrects: Mapped[str]
    item_name: Mapped[str]
    unit: Mapped[str]
    requisition: Mapped[str]
    line_source: Mapped[str]
    rate_source: Mapped[str]
    content_hash: Mapped[str]


class Posting(Base):
    """One posting of a document, signed as booked. Per document debit = credit = total with VAT."""

    __tablename__ = "posting"
    __table_args__ = (_of_document("posting"), Index("ix_posting_of_document", "run_no", "document_number"))
    posting_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_no: Mapped[int]
    document_number: Mapped[str]
    account: Mapped[str]
    side: Mapped[str]
    amount_oere: Mapped[int]


class OutboxItem(Base):
    """One file to deliver, written once per id and identical when written again."""

    __tablename__ = "outbox"
    __table_args__ = (_of_document("outbox"),)
    outbox_id: Mapped[str] = mapped_column(primary_key=True)
    run_no: Mapped[int] = mapped_column(ForeignKey("settlement_run.run_no"), index=True)
    document_number: Mapped[str | None]
    format: Mapped[str]
    status: Mapped[str]
    path: Mapped[str] = mapped_column(default="")
    sha256: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    next_attempt_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]


class NumberSeries(Base):
    """The last number given in a series and year."""

    __tablename__ = "number_series"
    series: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[int]


class Decision(Base):
    """A person's decision: a late claim let through, or a refused row set aside. Dated, with a reason."""

    __tablename__ = "decision"
    decision_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    service_line_id: Mapped[str]
    delivery_month: Mapped[date | None]
    counterparty: Mapped[str] = mapped_column(default="")
    file_hash: Mapped[str] = mapped_column(default="")
    row: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str]
    decided_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    decided_at: Mapped[datetime]


class Hold(Base):
    """One person's hold on a line, a citizen or a counterparty, or (with `releases`) the release of one."""

    __tablename__ = "hold"
    hold_id: Mapped[int] = mapped_column(primary_key=True)
    releases: Mapped[int | None] = mapped_column(ForeignKey("hold.hold_id"))
    service_line_id: Mapped[str] = mapped_column(default="")
    cpr: Mapped[str] = mapped_column(default="")
    counterparty: Mapped[str] = mapped_column(default="")
    from_month: Mapped[date]
    reason: Mapped[str]
    decided_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    decided_at: Mapped[datetime]


class HoldConfirmation(Base):
    """Another person's confirmation, by which a hold or a release takes effect."""

    __tablename__ = "hold_confirmation"
    hold_id: Mapped[int] = mapped_column(ForeignKey("hold.hold_id"), primary_key=True)
    confirmed_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    confirmed_at: Mapped[datetime]


class QualityOverride(Base):
    """One person's override of one rule's finding on one key, or (with `lifts`) the lifting of one."""

    __tablename__ = "quality_override"
    override_id: Mapped[int] = mapped_column(primary_key=True)
    lifts: Mapped[int | None] = mapped_column(ForeignKey("quality_override.override_id"))
    rule: Mapped[str]
    finding_key: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    decided_at: Mapped[datetime]


class QualityOverrideConfirmation(Base):
    """Another person's confirmation, by which an override or a lifting takes effect."""

    __tablename__ = "quality_override_confirmation"
    override_id: Mapped[int] = mapped_column(ForeignKey("quality_override.override_id"), primary_key=True)
    confirmed_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    confirmed_at: Mapped[datetime]


class ManualLine(Base):
    """One person's one-off line on a package, amount signed, or (with `withdraws`) the withdrawal of one."""

    __tablename__ = "manual_line"
    manual_id: Mapped[int] = mapped_column(primary_key=True)
    withdraws: Mapped[int | None] = mapped_column(ForeignKey("manual_line.manual_id"))
    process: Mapped[str]
    package_id: Mapped[str]
    delivery_month: Mapped[date]
    amount_oere: Mapped[int]
    item_name: Mapped[str]
    account: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    decided_at: Mapped[datetime]


class ManualLineConfirmation(Base):
    """Another person's confirmation, by which a manual line or its withdrawal takes effect."""

    __tablename__ = "manual_line_confirmation"
    manual_id: Mapped[int] = mapped_column(ForeignKey("manual_line.manual_id"), primary_key=True)
    confirmed_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    confirmed_at: Mapped[datetime]


class PeriodChange(Base):
    """One person's closing of an accounting period (1–12, 13 is supplementary), or with `opens` its opening again."""

    __tablename__ = "period_change"
    change_id: Mapped[int] = mapped_column(primary_key=True)
    year: Mapped[int]
    period: Mapped[int]
    opens: Mapped[bool]
    reason: Mapped[str]
    decided_by: Mapped[str]
    decided_at: Mapped[datetime]


class PeriodConfirmation(Base):
    """Another person's confirmation, by which an opening takes effect."""

    __tablename__ = "period_confirmation"
    change_id: Mapped[int] = mapped_column(ForeignKey("period_change.change_id"), primary_key=True)
    confirmed_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    confirmed_at: Mapped[datetime]


class Release(Base):
    """One person's release of what a proposal's bounds stop, neither its proposer nor its approver."""

    __tablename__ = "release"
    release_id: Mapped[int] = mapped_column(primary_key=True)
    proposal_hash: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    reason: Mapped[str]
    released_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    released_at: Mapped[datetime]


class InvoiceDecision(Base):
    """One person's decision on an incoming invoice, or (with `withdraws`) the withdrawal of one.

    `action`: match (that line is for this service line and delivery month), godkend (the whole is paid as it was matched),
    afvis (it, or that line, goes back to the sender, who reads the reason), omtvist (that line is parked). `amount_oere` is
    what it decides on; `item_words` the supplier's words for the kind of service and `item_code` ours, of a match.
    """

    __tablename__ = "invoice_decision"
    decision_id: Mapped[int] = mapped_column(primary_key=True)
    withdraws: Mapped[int | None] = mapped_column(ForeignKey("invoice_decision.decision_id"))
    document_id: Mapped[str] = mapped_column(index=True)
    line_number: Mapped[str] = mapped_column(default="")
    action: Mapped[str]
    service_line_id: Mapped[str] = mapped_column(default="")
    delivery_month: Mapped[date | None]
    sender_cvr: Mapped[str]
    document_number: Mapped[str]
    item_words: Mapped[str] = mapped_column(default="")
    item_code: Mapped[str] = mapped_column(default="")
    amount_oere: Mapped[int]
    reason: Mapped[str]
    decided_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    decided_at: Mapped[datetime]


class InvoiceDecisionConfirmation(Base):
    """Another person's confirmation, by which a decision on more than the limit takes effect."""

    __tablename__ = "invoice_decision_confirmation"
    decision_id: Mapped[int] = mapped_column(ForeignKey("invoice_decision.decision_id"), primary_key=True)
    confirmed_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    confirmed_at: Mapped[datetime]


class InvoiceReturn(Base):
    """One rejection of an invoice, and the payment run whose list of rejected invoices told of it."""

    __tablename__ = "invoice_return"
    decision_id: Mapped[int] = mapped_column(ForeignKey("invoice_decision.decision_id"), primary_key=True)
    run_no: Mapped[int] = mapped_column(ForeignKey("settlement_run.run_no"), index=True)


class MatchRule(Base):
    """What a sender's words for a kind of service mean, as a person accepted it, or (with `withdraws`) its withdrawal."""

    __tablename__ = "match_rule"
    rule_id: Mapped[int] = mapped_column(primary_key=True)
    withdraws: Mapped[int | None] = mapped_column(ForeignKey("match_rule.rule_id"))
    sender_cvr: Mapped[str]
    item_words: Mapped[str]
    item_code: Mapped[str]
    accepted_by: Mapped[str] = mapped_column(ForeignKey("user_account.name"))
    accepted_at: Mapped[datetime]


class PaidInvoice(Base):
    """One incoming invoice or credit note that something has been paid of. A sender's number is paid once, however it is
    written (`number_key`)."""

    __tablename__ = "paid_invoice"
    __table_args__ = (UniqueConstraint("sender_cvr", "kind", "number_key"),)
    document_id: Mapped[str] = mapped_column(primary_key=True)
    sender_cvr: Mapped[str]
    kind: Mapped[str]
    number_key: Mapped[str]


class InvoicePayment(Base):
    """One part of one line of a paid invoice: what was paid of it for a service line, month, price and account, on which
    voucher of ours. Parts are numbered from 1, so a line is paid once. Øre, signed as booked. The aliases are the finance
    system's own numbers of the accounts that day, empty where it has none."""

    __tablename__ = "invoice_payment"
    __table_args__ = (Index("ix_invoice_payment_of_document", "run_no", "document_number"),)
    document_id: Mapped[str] = mapped_column(ForeignKey("paid_invoice.document_id"), primary_key=True)
    line_number: Mapped[str] = mapped_column(primary_key=True)
    part_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_no: Mapped[int]
    document_number: Mapped[str]
    service_line_id: Mapped[str]
    delivery_month: Mapped[date]
    price_oere: Mapped[int]
    account: Mapped[str]
    invoiced_oere: Mapped[int]
    agreed_oere: Mapped[int]
    amount_oere: Mapped[int]
    vat_oere: Mapped[int]
    found_by: Mapped[str]
    account_alias: Mapped[str]
    vat_alias: Mapped[str]
    creditor_alias: Mapped[str]


class AccessLog(Base):
    """Who looked at or changed what about whom, and why."""

    __tablename__ = "access_log"
    access_id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    user_name: Mapped[str]
    action: Mapped[str]
    cpr: Mapped[str] = mapped_column(index=True)
    purpose: Mapped[str]


def relation(name: str) -> Table:
    """A table or view of the register."""
    return View.metadata.tables[name] if name in View.metadata.tables else Base.metadata.tables[name]
