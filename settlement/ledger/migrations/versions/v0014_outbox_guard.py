"""what a booking left to deliver is never deleted, and no booking is left open"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.execute(
            "CREATE TRIGGER outbox_no_delete BEFORE DELETE ON outbox "
            "BEGIN SELECT RAISE(ABORT, 'rows of outbox are never deleted'); END"
        )
        return
    op.execute("CREATE TRIGGER outbox_no_delete BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse_change()")
    op.execute("CREATE TRIGGER outbox_no_truncate BEFORE TRUNCATE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()")
    op.execute(
        "CREATE FUNCTION refuse_open_booking() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM open_booking) THEN "
        "RAISE EXCEPTION 'rows of open_booking are never committed'; END IF; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER open_booking_never_committed AFTER INSERT ON open_booking "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_open_booking()"
    )
