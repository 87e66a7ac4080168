"""booked rows come only from a booking, and nothing is emptied or replaced"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BOOKED = ("settlement_run", "document", "ledger_line", "posting", "number_series")
# Append-only, but added to by others than a booking: table → primary key.
ADDED_TO = {
    "proposal": ("proposal_id",),
    "proposal_line": ("proposal_id", "ordinal"),
    "proposal_party": ("proposal_id", "counterparty"),
    "parked_line": ("proposal_id", "service_line_id", "delivery_month", "counterparty"),
    "approval": ("proposal_id",),
    "decision": ("decision_id",),
    "access_log": ("access_id",),
    "gate_verdict": ("verdict_id",),
}


def upgrade() -> None:
    op.create_table(
        "open_booking",
        sa.Column("run_no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("run_no", name=op.f("pk_open_booking")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION demand_open_booking() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NOT EXISTS (SELECT 1 FROM open_booking) THEN "
        "RAISE EXCEPTION 'rows of % are never written outside a booking', TG_TABLE_NAME; END IF; RETURN NULL; END $$"
    )
    for table in BOOKED:
        # Once per statement: a row's own trigger would cost more than the row.
        _trigger(table, "insert_in_booking", "INSERT", "STATEMENT", "demand_open_booking")
    _trigger("number_series", "update_in_booking", "UPDATE", "STATEMENT", "demand_open_booking")
    _trigger("number_series", "no_delete", "DELETE", "ROW", "refuse_change")
    for action in ("UPDATE", "DELETE"):
        _trigger("gate_verdict", f"no_{action.lower()}", action, "ROW", "refuse_change")
    for table in (*BOOKED, *ADDED_TO):
        _trigger(table, "no_truncate", "TRUNCATE", "STATEMENT", "refuse_change")


def _trigger(table: str, name: str, action: str, each: str, function: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_{name} BEFORE {action} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}()"
    )


def _guard_sqlite() -> None:
    outside = "WHEN NOT EXISTS (SELECT 1 FROM open_booking)"
    for table in BOOKED:
        _refuse(table, "insert_in_booking", f"INSERT ON {table} {outside}", "written outside a booking")
    _refuse("number_series", "update_in_booking", f"UPDATE ON number_series {outside}", "written outside a booking")
    _refuse("number_series", "no_delete", "DELETE ON number_series", "changed")
    for action in ("UPDATE", "DELETE"):
        _refuse("gate_verdict", f"no_{action.lower()}", f"{action} ON gate_verdict", "changed")
    for table, key in ADDED_TO.items():
        # INSERT OR REPLACE removes the row that was there without a word to its delete trigger.
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        _refuse(table, "no_replace", f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})", "changed")


def _refuse(table: str, name: str, when: str, never: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'rows of {table} are never {never}'); END"
    )
