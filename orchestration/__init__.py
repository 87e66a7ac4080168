"""Wiring: the command line and Dagster. No rule of the domain lives here."""
