"""people's overrides of findings of quality rules, confirmed by another person"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "quality_override",
        sa.Column("override_id", number, nullable=False),
        sa.Column("lifts", number, nullable=True),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("finding_key", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["user_account.name"], name=op.f("fk_quality_override_decided_by")),
        sa.ForeignKeyConstraint(["lifts"], ["quality_override.override_id"], name=op.f("fk_quality_override_lifts")),
        sa.PrimaryKeyConstraint("override_id", name=op.f("pk_quality_override")),
    )
    op.create_table(
        "quality_override_confirmation",
        sa.Column("override_id", number, nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["confirmed_by"], ["user_account.name"], name=op.f("fk_quality_override_confirmation_confirmed_by")
        ),
        sa.ForeignKeyConstraint(
            ["override_id"], ["quality_override.override_id"], name=op.f("fk_quality_override_confirmation_override_id")
        ),
        sa.PrimaryKeyConstraint("override_id", name=op.f("pk_quality_override_confirmation")),
    )
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("quality_override", "quality_override_confirmation"):
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
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE override_id = NEW.override_id) "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
