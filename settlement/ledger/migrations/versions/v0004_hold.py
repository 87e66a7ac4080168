"""people's holds on lines, citizens and counterparties, confirmed by another person"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hold",
        sa.Column("hold_id", number, nullable=False),
        sa.Column("releases", number, nullable=True),
        sa.Column("service_line_id", sa.String(), nullable=False),
        sa.Column("cpr", sa.String(), nullable=False),
        sa.Column("counterparty", sa.String(), nullable=False),
        sa.Column("from_month", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["user_account.name"], name=op.f("fk_hold_decided_by")),
        sa.ForeignKeyConstraint(["releases"], ["hold.hold_id"], name=op.f("fk_hold_releases")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_hold")),
    )
    op.create_table(
        "hold_confirmation",
        sa.Column("hold_id", number, nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["confirmed_by"], ["user_account.name"], name=op.f("fk_hold_confirmation_confirmed_by")),
        sa.ForeignKeyConstraint(["hold_id"], ["hold.hold_id"], name=op.f("fk_hold_confirmation_hold_id")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_hold_confirmation")),
    )
    for table in ("hold", "hold_confirmation"):
        for action in ("UPDATE", "DELETE"):
            name = f"{table}_no_{action.lower()}"
            if op.get_bind().dialect.name == "postgresql":
                op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
            else:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
                )
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        else:
            # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE hold_id = NEW.hold_id) "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
