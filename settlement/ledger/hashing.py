"""The canonical serialisation that lines, documents, runs and proposals are hashed over.

A text of a version and fields in a fixed order between unit separators, hashed with SHA-256: anyone can recompute it. A
run's version says which fields it and what lies under it are hashed over. From version 4 on a basis's text is its own fields and
then those of its lines (MONTH_FIELDS), month by month; a line has no hash of its own. A document's text ends with the hashes
under it, written in hexadecimal: its bases by their number. From version 5 on its postings (POSTING_FIELDS) follow, by their
number.

In version 3 a line has a hash of its own fields and the number of its basis, the basis one of its own fields alone, and a
document's text ends with those of its bases and then of its lines by their number. In versions 1 and 2 a line's text has all
(LINE_FIELDS), and a document's text ends with the hashes of its lines alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date

VERSION = "1"
SEPARATOR = "\x1f"

LINE_FIELDS = (
    "process", "service_line_id", "package_id", "cpr", "delivery_month", "quantity_num", "quantity_den", "price_oere",
    "amount_oere", "vat_oere", "vat_pct_e2", "counterparty", "account", "is_adjustment", "corrects", "item_name", "unit",
    "requisition", "line_source", "rate_source",
)  # fmt: skip
# From version 3 on.
BASIS_FIELDS = (
    "basis_no", "service_line_id", "package_id", "cpr", "price_oere", "vat_pct_e2", "counterparty", "account", "is_adjustment",
    "corrects", "item_name", "unit", "requisition", "line_source", "rate_source",
)  # fmt: skip
# Of a line beside its basis. The month first: a basis's lines have one of each, and their texts' order is that of the months.
MONTH_FIELDS = ("delivery_month", "line_number", "quantity_num", "quantity_den", "amount_oere", "vat_oere")
# The same as version 3 had them.
MONTH_FIELDS_3 = ("line_number", "basis_no", "delivery_month", "quantity_num", "quantity_den", "amount_oere", "vat_oere")
DOCUMENT_FIELDS = (
    "number", "run_no", "kind", "process", "counterparty", "name", "cvr", "ean", "address", "contact", "issue_date",
    "due_date", "amount_oere", "vat_oere",
)  # fmt: skip
# From version 5 on.
POSTING_FIELDS = ("posting_id", "account", "side", "amount_oere")
_RUN_FIELDS = (
    "run_no", "proposal_id", "process", "timing", "through", "booking_date", "accounting_year", "accounting_period",
    "booked_at", "booked_by", "approved_by", "engine_version", "input_hash", "lines_hash", "amount_oere", "vat_oere",
    "previous_hash",
)  # fmt: skip
# By the run's own version: from 2 on a run's place in the chain is not its number; from 3 on its lines have bases, which from
# 4 on are hashed with them.
RUN_FIELDS = {1: _RUN_FIELDS, **dict.fromkeys((2, 3, 4, 5), ("sequence", *_RUN_FIELDS))}
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


def row_hash(row: object, fields: Iterable[str]) -> str:
    """The hash of a row's named fields."""
    return digest(getattr(row, field) for field in fields)


def document_hash(document, children: str, version: int, postings: Iterable[Iterable[object]]) -> str:
    """The hash of a document of a run of that version. `children`: the hashes under it (`children_sql`); `postings`: its own
    (`postings_by_document`), which versions before 5 are not hashed over."""
    fields = [getattr(document, field) for field in DOCUMENT_FIELDS]
    if children:
        fields.append(children)
    if version >= 5:
        fields += (value for posting in postings for value in posting)
    return digest(fields, VERSION if version < 3 else str(version))


def postings_by_document(postings: Iterable[Mapping[str, object]]) -> dict[str, list[list[object]]]:
    """Document number → the fields of its postings, in the order of their numbers, of one run's."""
    found: dict[str, list[list[object]]] = {}
    for posting in sorted(postings, key=lambda p: p["posting_id"]):
        found.setdefault(posting["document_number"], []).append([posting[field] for field in POSTING_FIELDS])
    return found


def run_hash(run, documents: Iterable[str]) -> str:
    """The hash of a run and of its documents' hashes, by the run's own version. A version not known here has none: ''."""
    if run.hash_version not in RUN_FIELDS:
        return ""
    fields = (getattr(run, field) for field in RUN_FIELDS[run.hash_version])
    return digest([*fields, *documents], str(run.hash_version))


def text_sql(fields: Iterable[str] = LINE_FIELDS, version: object = VERSION) -> str:
    """The DuckDB expression of a row's serialisation; `serialise` of its fields gives the same."""
    return f"concat_ws(chr(31), '{version}', {_texts(fields)})"


def _texts(fields: Iterable[str]) -> str:
    return ", ".join(f"CAST({field} AS VARCHAR)" for field in fields)


def hash_sql(fields: Iterable[str], version: object) -> str:
    """The DuckDB expression of a row's hash as bytes."""
    return f"unhex(sha256({text_sql(fields, version)}))"


def basis_hash_sql(version: int) -> str:
    """The DuckDB expression of a basis's hash as bytes, of a run of version 3 or later; from 4 on, which a basis's text has
    said since, with its `months` (`months_sql`)."""
    return hash_sql(BASIS_FIELDS, 3) if version < 4 else hash_sql((*BASIS_FIELDS, "months"), 4)


def months_sql(line: str) -> str:
    """The DuckDB query of (basis_no, the fields of its lines as its text ends with them), of a relation of lines."""
    # Sorted as texts: that costs a fourth of what ordering an aggregate does.
    texts = f"list_sort(list(concat_ws(chr(31), {_texts(MONTH_FIELDS)})))"
    return f"SELECT basis_no, array_to_string({texts}, chr(31)) AS months FROM {line} GROUP BY basis_no"


def children_sql(basis: str, line: str | None = None) -> str:
    """The DuckDB query of (run_no, document_number, the hashes under it in order, as a document's text has them), of
    relations of bases and, where there can be lines with hashes of their own, of lines."""
    hashed = f"SELECT run_no, document_number, false AS is_line, basis_no AS number, hash FROM {basis} WHERE hash IS NOT NULL"
    if line:
        hashed += f"""
            UNION ALL SELECT b.run_no, b.document_number, true, l.line_number, l.hash
            FROM {line} AS l JOIN {basis} AS b ON b.basis_no = l.basis_no WHERE l.hash IS NOT NULL"""
    return f"""
        SELECT run_no, document_number, string_agg(lower(hex(hash)), chr(31) ORDER BY is_line, number) FROM ({hashed})
        GROUP BY run_no, document_number"""
