"""The register and the ledger: people's decisions, proposals, and booked rows that never change."""
