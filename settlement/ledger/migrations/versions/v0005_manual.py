"""manual lines, accounting periods closed and opened with a trace, and when a failed delivery is tried again"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Append-only tables → primary key.
ADDED_TO = {
    "manual_line": "manual_id",
    "manual_line_confirmation": "manual_id",
    "period_change": "change_id",
    "period_confirmation": "change_id",
}


def upgrade() -> None:
    op.create_table(
        "manual_line",
        _whole("manual_id"), _whole("withdraws", nullable=True), *_text("process", "package_id"),
        sa.Column("delivery_month", sa.Date(), nullable=False), _whole("amount_oere"),
        *_text("item_name", "account", "reason", "decided_by"), _moment("decided_at"),
        _by_user("manual_line", "decided_by"),
        sa.ForeignKeyConstraint(["withdraws"], ["manual_line.manual_id"], name=op.f("fk_manual_line_withdraws")),
        sa.PrimaryKeyConstraint("manual_id", name=op.f("pk_manual_line")),
    )  # fmt: skip
    # Who closed a period before this version need not be a user of the register.
    op.create_table(
        "period_change",
        _whole("change_id"), _whole("year"), _whole("period"), sa.Column("opens", sa.Boolean(), nullable=False),
        *_text("reason", "decided_by"), _moment("decided_at"),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_period_change")),
    )  # fmt: skip
    for table, of in (("manual_line_confirmation", "manual_line"), ("period_confirmation", "period_change")):
        key = ADDED_TO[table]
        op.create_table(
            table,
            _whole(key), *_text("confirmed_by"), _moment("confirmed_at"), _by_user(table, "confirmed_by"),
            sa.ForeignKeyConstraint([key], [f"{of}.{key}"], name=op.f(f"fk_{table}_{key}")),
            sa.PrimaryKeyConstraint(key, name=op.f(f"pk_{table}")),
        )  # fmt: skip
    op.execute(
        "INSERT INTO period_change (year, period, opens, reason, decided_by, decided_at) "
        "SELECT year, period, false, '', closed_by, closed_at FROM closed_period ORDER BY year, period"
    )
    op.drop_table("closed_period")
    op.add_column("outbox", _moment("next_attempt_at", nullable=True))
    for table, key in ADDED_TO.items():
        _guard(table, key)


def _whole(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=nullable)


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _moment(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(), nullable=nullable)


def _by_user(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["user_account.name"], name=op.f(f"fk_{table}_{column}"))


def _guard(table: str, key: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for action, each in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
    replaces = f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"
    for name, when in (("update", f"UPDATE ON {table}"), ("delete", f"DELETE ON {table}"), ("replace", replaces)):
        op.execute(
            f"CREATE TRIGGER {table}_no_{name} BEFORE {when} "
            f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
        )
