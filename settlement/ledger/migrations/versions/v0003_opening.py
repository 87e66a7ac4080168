"""runs of what an earlier system has charged: without proposal, before run 1, with that system's document numbers"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A table comes after those it points to.
REMADE = ("settlement_run", "document", "ledger_line", "posting", "outbox")


def upgrade() -> None:
    """Makes the booked tables anew around their rows, for SQLite alters no key; the same triggers stand on them after.

    Old runs keep their hash, made by version 1, and their place in the chain, which was their number.
    """
    triggers = _triggers()
    columns = {}
    for table in reversed(REMADE):
        columns[table] = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]
        op.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")
        op.drop_table(table)
    _create()
    new = {
        "settlement_run": {"sequence": "run_no", "hash_version": "1"},
        "posting": {"run_no": "(SELECT d.run_no FROM document AS d WHERE d.number = kept_posting.document_number)"},
    }
    for table in REMADE:
        added = new.get(table, {})
        op.execute(
            f"INSERT INTO {table} ({', '.join([*columns[table], *added])}) "
            f"SELECT {', '.join([*columns[table], *added.values()])} FROM kept_{table}"
        )
        op.execute(f"DROP TABLE kept_{table}")
    for trigger in triggers:
        op.execute(sa.text(trigger.replace(":", "\\:")))


def _triggers() -> list[str]:
    """The sentences that made the triggers of the tables made anew."""
    tables = ", ".join(f"'{table}'" for table in REMADE)
    if op.get_bind().dialect.name == "postgresql":
        found = (
            "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid "
            f"WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace AND c.relname IN ({tables})"
        )
    else:
        found = f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({tables})"
    return list(op.get_bind().exec_driver_sql(found).scalars())


def _whole(name: str, nullable: bool = False, **how) -> sa.Column:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=nullable, **how)


def _text(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=nullable) for name in names]


def _day(name: str) -> sa.Column:
    return sa.Column(name, sa.Date(), nullable=False)


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_no"], ["settlement_run.run_no"], name=op.f(f"fk_{table}_run_no"))


def _of_document(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["run_no", "document_number"], ["document.run_no", "document.number"], name=op.f(f"fk_{table}_document")
    )


def _create() -> None:
    op.create_table(
        "settlement_run",
        _whole("run_no", autoincrement=False), _whole("sequence"), _whole("proposal_id", nullable=True),
        *_text("process", "timing"), _day("through"), _day("booking_date"), _whole("accounting_year"),
        _whole("accounting_period"), sa.Column("booked_at", sa.DateTime(), nullable=False),
        *_text("booked_by", "approved_by", "engine_version", "input_hash", "lines_hash"), _whole("amount_oere"),
        _whole("vat_oere"), *_text("previous_hash"), _whole("hash_version"), *_text("hash"),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.proposal_id"], name=op.f("fk_settlement_run_proposal_id")),
        sa.PrimaryKeyConstraint("run_no", name=op.f("pk_settlement_run")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_settlement_run_proposal_id")),
        sa.UniqueConstraint("sequence", name=op.f("uq_settlement_run_sequence")),
    )  # fmt: skip
    op.create_table(
        "document",
        _whole("run_no"), *_text("number"), *_text("series", nullable=True), _whole("year", nullable=True),
        _whole("sequence", nullable=True), *_text("kind", "process", "counterparty", "name", "cvr", "ean", "address", "contact"),
        _day("issue_date"), _day("due_date"), _whole("amount_oere"), _whole("vat_oere"), *_text("hash"),
        _of_run("document"),
        sa.PrimaryKeyConstraint("run_no", "number", name=op.f("pk_document")),
        sa.UniqueConstraint("series", "year", "sequence", name=op.f("uq_document_series")),
    )  # fmt: skip
    op.create_table(
        "ledger_line",
        _whole("line_number", autoincrement=False), _whole("run_no"), *_text("document_number"), _day("booking_date"),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        *_text("process", "service_line_id", "package_id", "cpr"), _day("delivery_month"), _whole("quantity_num"),
        _whole("quantity_den"), _whole("price_oere"), _whole("amount_oere"), _whole("vat_oere"), _whole("vat_pct_e2"),
        *_text("counterparty", "account"), sa.Column("is_adjustment", sa.Boolean(), nullable=False),
        *_text("corrects", "item_name", "unit", "requisition", "line_source", "rate_source", "content_hash"),
        _of_document("ledger_line"),
        sa.PrimaryKeyConstraint("line_number", name=op.f("pk_ledger_line")),
    )  # fmt: skip
    op.create_index("ix_ledger_line_of_document", "ledger_line", ["run_no", "document_number"])
    op.create_index("ix_ledger_line_of_month", "ledger_line", ["service_line_id", "delivery_month"])
    op.create_table(
        "posting",
        _whole("posting_id", autoincrement=False), _whole("run_no"), *_text("document_number", "account", "side"),
        _whole("amount_oere"),
        _of_document("posting"),
        sa.PrimaryKeyConstraint("posting_id", name=op.f("pk_posting")),
    )  # fmt: skip
    op.create_index("ix_posting_of_document", "posting", ["run_no", "document_number"])
    op.create_table(
        "outbox",
        *_text("outbox_id"), _whole("run_no"), *_text("document_number", nullable=True),
        *_text("format", "status", "path", "sha256"), _whole("attempts"), *_text("last_error"),
        sa.Column("delivered_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["run_no"], ["settlement_run.run_no"], name=op.f("fk_outbox_run_no")),
        _of_document("outbox"),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
    )  # fmt: skip
    op.create_index(op.f("ix_outbox_run_no"), "outbox", ["run_no"])
