"""a booked line is a narrow row of numbers, and what it shares with others of its run stands once; ledger_line is a view

Hashes stay as they are, as bytes: runs booked before keep their version, by which `verify` still reads them. Booking date,
process and the moment a line was learned are the run's and its proposal's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# By order of what the engine numbers lines by, then all else that is known of a service line.
BASIS = (
    "run_no", "service_line_id", "price_oere", "counterparty", "account", "document_number", "package_id", "cpr", "vat_pct_e2",
    "is_adjustment", "corrects", "item_name", "unit", "requisition", "line_source", "rate_source",
)  # fmt: skip
LINE = ("line_number", "delivery_month", "quantity_num", "quantity_den", "amount_oere", "vat_oere")
WHOLE = {"run_no", "price_oere", "vat_pct_e2", "quantity_num", "quantity_den", "amount_oere", "vat_oere", "line_number"}


def upgrade() -> None:
    _create()
    _move()
    op.drop_table("ledger_line")
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("booked_basis", "booked_line"):
        _guard_postgresql(table) if is_postgresql else _guard_sqlite(table)
    _create_view("encode(l.hash, 'hex') COLLATE \"C\"" if is_postgresql else "lower(hex(l.hash))")


def _column(name: str) -> sa.Column:
    if name in WHOLE:
        return sa.Column(name, _number(), nullable=False)
    kinds = {"delivery_month": sa.Date(), "is_adjustment": sa.Boolean()}
    return sa.Column(name, kinds.get(name, sa.String()), nullable=False)


def _number() -> sa.types.TypeEngine:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create() -> None:
    op.create_table(
        "booked_basis",
        sa.Column("basis_no", _number(), autoincrement=False, nullable=False),
        *map(_column, BASIS),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("basis_no", name=op.f("pk_booked_basis")),
    )
    op.create_index("ix_booked_basis_of_document", "booked_basis", ["run_no", "document_number"])
    op.create_table(
        "booked_line",
        sa.Column("basis_no", _number(), autoincrement=False, nullable=False),
        *map(_column, LINE),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("basis_no", "delivery_month", name=op.f("pk_booked_line")),
        sqlite_with_rowid=False,
    )


def _move() -> None:
    """Every booked line: what it shares once, in the order of the numbers that a booking gives, and the rest by its number."""
    connection = op.get_bind()
    to_bytes = "decode(content_hash, 'hex')"
    if connection.dialect.name == "sqlite":  # older ones have no unhex
        connection.connection.driver_connection.create_function("from_hex", 1, bytes.fromhex, deterministic=True)
        to_bytes = "from_hex(content_hash)"
    basis, line = ", ".join(BASIS), ", ".join(LINE)
    op.execute(f"CREATE TEMPORARY TABLE moved AS SELECT *, dense_rank() OVER (ORDER BY {basis}) AS basis_no FROM ledger_line")
    op.execute(f"INSERT INTO booked_basis (basis_no, {basis}) SELECT DISTINCT basis_no, {basis} FROM moved ORDER BY basis_no")
    op.execute(
        f"INSERT INTO booked_line (basis_no, {line}, hash) SELECT basis_no, {line}, {to_bytes} FROM moved "
        "ORDER BY basis_no, delivery_month"
    )
    op.execute("DROP TABLE moved")


def _guard_postgresql(table: str) -> None:
    for name, action, each, function in (
        # Once per statement: a row's own trigger would cost more than the row.
        ("insert_in_booking", "INSERT", "STATEMENT", "demand_open_booking"),
        ("no_update", "UPDATE", "ROW", "refuse_change"),
        ("no_delete", "DELETE", "ROW", "refuse_change"),
        ("no_truncate", "TRUNCATE", "STATEMENT", "refuse_change"),
    ):
        op.execute(f"CREATE TRIGGER {table}_{name} BEFORE {action} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}()")


def _guard_sqlite(table: str) -> None:
    for name, when, never in (
        ("insert_in_booking", f"INSERT ON {table} WHEN NOT EXISTS (SELECT 1 FROM open_booking)", "written outside a booking"),
        ("no_update", f"UPDATE ON {table}", "changed"),
        ("no_delete", f"DELETE ON {table}", "changed"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'rows of {table} are never {never}'); END"
        )


def _create_view(line_hash: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        # A column that a view reads cannot change its collation afterwards: it gets here what `register.upgrade` gives all.
        for table in ("booked_basis", "settlement_run", "proposal"):
            for column in sa.inspect(op.get_bind()).get_columns(table):
                if isinstance(column["type"], sa.String) and column["type"].collation != "C":
                    op.execute(f'ALTER TABLE {table} ALTER COLUMN {column["name"]} TYPE varchar COLLATE "C"')
    op.execute(f"""
        CREATE VIEW ledger_line AS
        SELECT
            l.line_number, b.run_no, b.document_number, r.booking_date, coalesce(p.created_at, r.booked_at) AS recorded_at,
            r.process, b.service_line_id, b.package_id, b.cpr, l.delivery_month, l.quantity_num, l.quantity_den, b.price_oere,
            l.amount_oere, l.vat_oere, b.vat_pct_e2, b.counterparty, b.account, b.is_adjustment, b.corrects, b.item_name, b.unit,
            b.requisition, b.line_source, b.rate_source, {line_hash} AS content_hash
        FROM booked_line AS l
        JOIN booked_basis AS b ON b.basis_no = l.basis_no
        JOIN settlement_run AS r ON r.run_no = b.run_no
        LEFT JOIN proposal AS p ON p.proposal_id = r.proposal_id""")
