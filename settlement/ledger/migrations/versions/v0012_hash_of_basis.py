"""a booked line's hash may be its basis's: runs booked before keep those of their lines, by which `verify` still reads them"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP VIEW ledger_line")
    guards = [] if is_postgresql else op.get_bind().scalars(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'booked_line'")
    ).all()  # fmt: skip
    # SQLite cannot take NOT NULL from a column: there the rows move to a table without it, and the old one's triggers go.
    with op.batch_alter_table("booked_line", table_kwargs={"sqlite_with_rowid": False}) as line:
        line.alter_column("hash", existing_type=sa.LargeBinary(), nullable=True)
    for guard in guards:
        op.execute(guard)
    covering = "coalesce(l.hash, b.hash)"
    covering = f"encode({covering}, 'hex') COLLATE \"C\"" if is_postgresql else f"lower(hex({covering}))"
    op.execute(f"""
        CREATE VIEW ledger_line AS
        SELECT
            l.line_number, b.run_no, b.document_number, r.booking_date, coalesce(p.created_at, r.booked_at) AS recorded_at,
            r.process, b.service_line_id, b.package_id, b.cpr, l.delivery_month, l.quantity_num, l.quantity_den, b.price_oere,
            l.amount_oere, l.vat_oere, b.vat_pct_e2, b.counterparty, b.account, b.is_adjustment, b.corrects, b.item_name, b.unit,
            b.requisition, b.line_source, b.rate_source, {covering} AS content_hash
        FROM booked_line AS l
        JOIN booked_basis AS b ON b.basis_no = l.basis_no
        JOIN settlement_run AS r ON r.run_no = b.run_no
        LEFT JOIN proposal AS p ON p.proposal_id = r.proposal_id""")
