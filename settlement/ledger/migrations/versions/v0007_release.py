"""people's releases of mass changes, each of one proposal by its hash"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "release",
        sa.Column("release_id", number, nullable=False),
        sa.Column("proposal_hash", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("released_by", sa.String(), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["released_by"], ["user_account.name"], name=op.f("fk_release_released_by")),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_release")),
    )
    op.create_index(op.f("ix_release_proposal_hash"), "release", ["proposal_hash"])
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for action in ("UPDATE", "DELETE"):
        name = f"release_no_{action.lower()}"
        if is_postgresql:
            op.execute(f'CREATE TRIGGER {name} BEFORE {action} ON "release" FOR EACH ROW EXECUTE FUNCTION refuse_change()')
        else:
            op.execute(
                f'CREATE TRIGGER {name} BEFORE {action} ON "release" '
                "BEGIN SELECT RAISE(ABORT, 'rows of release are never changed'); END"
            )
    if is_postgresql:
        op.execute(
            'CREATE TRIGGER release_no_truncate BEFORE TRUNCATE ON "release" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()'
        )
    else:
        # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
        op.execute(
            'CREATE TRIGGER release_no_replace BEFORE INSERT ON "release" '
            'WHEN EXISTS (SELECT 1 FROM "release" WHERE release_id = NEW.release_id) '
            "BEGIN SELECT RAISE(ABORT, 'rows of release are never changed'); END"
        )
