"""Documents out: pure functions from booked documents to bytes. No clock, no database, no files."""
