"""whole extracts held back, and people's release of them"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "held_extract",
        sa.Column("held_id", number, nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("dated", sa.Date(), nullable=False),
        sa.Column("rows_withdrawn", number, nullable=False),
        sa.Column("rows_living", number, nullable=False),
        sa.Column("moved_oere", number, nullable=False),
        sa.Column("held_at", sa.DateTime(), nullable=False),
        sa.Column("gone_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("held_id", name=op.f("pk_held_extract")),
    )
    op.create_index(op.f("ix_held_extract_sha256"), "held_extract", ["sha256"])
    op.create_table(
        "extract_release",
        sa.Column("held_id", number, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("released_by", sa.String(), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["held_id"], ["held_extract.held_id"], name=op.f("fk_extract_release_held_id")),
        sa.ForeignKeyConstraint(["released_by"], ["user_account.name"], name=op.f("fk_extract_release_released_by")),
        sa.PrimaryKeyConstraint("held_id", name=op.f("pk_extract_release")),
    )
    # A held extract's row is changed once, when it is gone; a release never.
    changed = (
        ("held_extract", "UPDATE", "OLD.gone_at IS NOT NULL OR NEW.gone_at IS NULL"),
        ("held_extract", "DELETE", "true"), ("extract_release", "UPDATE", "true"), ("extract_release", "DELETE", "true"),
    )  # fmt: skip
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table, action, when in changed:
        name = f"{table}_no_{action.lower()}"
        if is_postgresql:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse_change()"
            )
        else:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} WHEN {when} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
    for table in ("held_extract", "extract_release"):
        if is_postgresql:
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        else:
            # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE held_id = NEW.held_id) "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
