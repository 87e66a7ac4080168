"""a proposal's lines lie in the archive; urgent proposals and withdrawals say what they are

Lines of the ledger are looked up by document here and by service line in the mirror: their second index goes.
Lines of proposals made before are gone with their table: what was booked of them stands in the ledger, and a proposal that
was not booked is made anew by the next run.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("proposal_line")
    op.drop_index("ix_ledger_line_of_month", "ledger_line")
    for column in ("only_counterparty", "withdraws", "reason"):
        op.add_column("proposal", sa.Column(column, sa.String(), nullable=False, server_default=""))
