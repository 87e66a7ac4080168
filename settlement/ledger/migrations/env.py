"""Alembic's entry: migrates the register on the connection `register.upgrade` hands over."""

from alembic import context

from settlement.ledger.guards import OpenBooking

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=OpenBooking.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
