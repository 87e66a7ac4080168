"""which payment run told the finance system, and through it the sender, of a rejected invoice"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "invoice_return"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        TABLE,
        sa.Column("decision_id", number, nullable=False),
        sa.Column("run_no", number, nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["invoice_decision.decision_id"], name=op.f(f"fk_{TABLE}_decision_id")),
        sa.ForeignKeyConstraint(["run_no"], ["settlement_run.run_no"], name=op.f(f"fk_{TABLE}_run_no")),
        sa.PrimaryKeyConstraint("decision_id", name=op.f(f"pk_{TABLE}")),
    )
    op.create_index(op.f(f"ix_{TABLE}_run_no"), TABLE, ["run_no"])
    # Until now a rejection left with the first payment run after it.
    op.execute(f"""
        INSERT INTO {TABLE} (decision_id, run_no)
        SELECT d.decision_id, min(r.run_no) FROM invoice_decision AS d
        JOIN settlement_run AS r ON r.process = 'faktura' AND r.run_no > 0 AND r.booked_at >= d.decided_at
        WHERE d.action = 'afvis' AND d.withdraws IS NULL AND NOT EXISTS (
            SELECT 1 FROM invoice_decision AS w WHERE w.withdraws = d.decision_id AND w.decided_at <= r.booked_at
        ) GROUP BY d.decision_id""")
    _never_changed()


def _never_changed() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for action in ("UPDATE", "DELETE"):
        name = f"{TABLE}_no_{action.lower()}"
        if is_postgresql:
            op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {TABLE} FOR EACH ROW EXECUTE FUNCTION refuse_change()")
        else:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {TABLE} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {TABLE} are never changed'); END"
            )
    if is_postgresql:
        op.execute(
            f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    else:
        # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
        op.execute(
            f"CREATE TRIGGER {TABLE}_no_replace BEFORE INSERT ON {TABLE} "
            f"WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE decision_id = NEW.decision_id) "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {TABLE} are never changed'); END"
        )
