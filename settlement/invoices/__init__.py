"""Incoming e-invoices: matched with what was granted, decided on, paid, and returned to the finance system."""
