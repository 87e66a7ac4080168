"""The canonical serialisation that lines, documents, runs and proposals are hashed over. Version 1; of runs 1 or 2.

A text of fields in a fixed order between unit separators, hashed with SHA-256: anyone can recompute it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date

VERSION = "1"
SEPARATOR = "\x1f"

LINE_FIELDS = (
    "process", "service_line_id", "package_id", "cpr", "delivery_month", "quantity_num", "quantity_den", "price_oere",
    "amount_oere", "vat_oere", "vat_pct_e2", "counterparty", "account", "is_adjustment", "corrects", "item_name", "unit",
    "requisition", "line_source", "rate_source",
)  # fmt: skip
DOCUMENT_FIELDS = (
    "number", "run_no", "kind", "process", "counterparty", "name", "cvr", "ean", "address", "contact", "issue_date",
    "due_date", "amount_oere", "vat_oere",
)  # fmt: skip
_RUN_FIELDS = (
    "run_no", "proposal_id", "process", "timing", "through", "booking_date", "accounting_year", "accounting_period",
    "booked_at", "booked_by", "approved_by", "engine_version", "input_hash", "lines_hash", "amount_oere", "vat_oere",
    "previous_hash",
)  # fmt: skip
# By the run's own version: from 2 on a run's place in the chain is not its number.
RUN_FIELDS = {1: _RUN_FIELDS, 2: ("sequence", *_RUN_FIELDS)}
RUN_VERSION = max(RUN_FIELDS)
PROPOSAL_FIELDS = (
    "process", "timing", "through", "booking_date", "engine_version", "last_load_id", "lines_hash", "input_hash", "head_hash",
)  # fmt: skip


def text(value: object) -> str:
    """One field's text: dates as yyyy-mm-dd, booleans as true and false, nothing where there is no value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def serialise(fields: Iterable[object], version: str = VERSION) -> str:
    """The version and the fields as one text."""
    return SEPARATOR.join([version, *map(text, fields)])


def digest(fields: Iterable[object], version: str = VERSION) -> str:
    """SHA-256 of the version and the fields."""
    return hashlib.sha256(serialise(fields, version).encode()).hexdigest()


def row_hash(row: object, fields: Iterable[str], children: Iterable[str] = ()) -> str:
    """The hash of a row's named fields and of the hashes of what lies under it."""
    return digest([*(getattr(row, field) for field in fields), *children])


def run_hash(run, documents: Iterable[str]) -> str:
    """The hash of a run and of its documents' hashes, by the run's own version. A version not known here has none: ''."""
    if run.hash_version not in RUN_FIELDS:
        return ""
    fields = (getattr(run, field) for field in RUN_FIELDS[run.hash_version])
    return digest([*fields, *documents], str(run.hash_version))


def line_text_sql() -> str:
    """The DuckDB expression of a line's serialisation; `serialise` of its LINE_FIELDS gives the same."""
    parts = ", ".join(f"CAST({field} AS VARCHAR)" for field in LINE_FIELDS)
    return f"concat_ws(chr(31), '{VERSION}', {parts})"


def line_hash_sql() -> str:
    """The DuckDB expression of a line's hash; `row_hash(line, LINE_FIELDS)` gives the same."""
    return f"sha256({line_text_sql()})"
