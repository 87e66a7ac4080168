"""people's decisions on incoming invoices, accepted match rules, and what has been paid"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEYS = {
    "invoice_decision": ("decision_id",),
    "invoice_decision_confirmation": ("decision_id",),
    "match_rule": ("rule_id",),
    "paid_invoice": ("document_id",),
    "invoice_payment": ("document_id", "line_number", "part_no"),
}


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

    def text(name: str) -> sa.Column:
        return sa.Column(name, sa.String(), nullable=False)

    def of_user(table: str, column: str) -> sa.ForeignKeyConstraint:
        return sa.ForeignKeyConstraint([column], ["user_account.name"], name=op.f(f"fk_{table}_{column}"))

    def own(table: str, column: str, key: str) -> sa.ForeignKeyConstraint:
        return sa.ForeignKeyConstraint([column], [f"{table}.{key}"], name=op.f(f"fk_{table}_{column}"))

    op.create_table(
        "invoice_decision",
        sa.Column("decision_id", number, nullable=False),
        sa.Column("withdraws", number, nullable=True),
        *map(text, ("document_id", "line_number", "action", "service_line_id")),
        sa.Column("delivery_month", sa.Date(), nullable=True),
        *map(text, ("sender_cvr", "document_number", "item_words", "item_code")),
        sa.Column("amount_oere", number, nullable=False),
        *map(text, ("reason", "decided_by")),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        of_user("invoice_decision", "decided_by"),
        own("invoice_decision", "withdraws", "decision_id"),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_invoice_decision")),
    )
    op.create_index(op.f("ix_invoice_decision_document_id"), "invoice_decision", ["document_id"])
    op.create_table(
        "invoice_decision_confirmation",
        sa.Column("decision_id", number, nullable=False),
        text("confirmed_by"),
        sa.Column("confirmed_at", sa.DateTime(), nullable=False),
        of_user("invoice_decision_confirmation", "confirmed_by"),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["invoice_decision.decision_id"], name=op.f("fk_invoice_decision_confirmation_decision_id")
        ),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_invoice_decision_confirmation")),
    )
    op.create_table(
        "match_rule",
        sa.Column("rule_id", number, nullable=False),
        sa.Column("withdraws", number, nullable=True),
        *map(text, ("sender_cvr", "item_words", "item_code", "accepted_by")),
        sa.Column("accepted_at", sa.DateTime(), nullable=False),
        of_user("match_rule", "accepted_by"),
        own("match_rule", "withdraws", "rule_id"),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_match_rule")),
    )
    op.create_table(
        "paid_invoice",
        *map(text, ("document_id", "sender_cvr", "kind", "number_key")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_paid_invoice")),
        sa.UniqueConstraint("sender_cvr", "kind", "number_key", name=op.f("uq_paid_invoice_sender_cvr")),
    )
    op.create_table(
        "invoice_payment",
        *map(text, ("document_id", "line_number")),
        sa.Column("part_no", number, nullable=False),
        sa.Column("run_no", number, nullable=False),
        *map(text, ("document_number", "service_line_id")),
        sa.Column("delivery_month", sa.Date(), nullable=False),
        sa.Column("price_oere", number, nullable=False),
        text("account"),
        *(sa.Column(name, number, nullable=False) for name in ("invoiced_oere", "agreed_oere", "amount_oere", "vat_oere")),
        *map(text, ("found_by", "account_alias", "vat_alias", "creditor_alias")),
        sa.ForeignKeyConstraint(["document_id"], ["paid_invoice.document_id"], name=op.f("fk_invoice_payment_document_id")),
        sa.PrimaryKeyConstraint("document_id", "line_number", "part_no", name=op.f("pk_invoice_payment")),
    )
    op.create_index("ix_invoice_payment_of_document", "invoice_payment", ["run_no", "document_number"])
    for table, key in KEYS.items():
        _never_changed(table, key)


def _never_changed(table: str, key: tuple[str, ...]) -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for action in ("UPDATE", "DELETE"):
        name = f"{table}_no_{action.lower()}"
        if is_postgresql:
            op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
        else:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
    if is_postgresql:
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    else:
        # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
        )
