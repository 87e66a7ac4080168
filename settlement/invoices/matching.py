"""Matches incoming invoices with commitments, set by set: which granted services each line is for, and what may be paid.

All works on a DuckDB connection whose temporary schema holds the relations named in INPUTS beside the engine's own
(`settle.entitle`): one SQL file per sentence, each a temporary table of the same name, in the order of STEPS.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

SQL = Path(__file__).parent / "sql"

# Relation → columns it must have. Of the engine's: piece, blocked, refused_line, day_weight, calendar_day, service_line,
# service_package, catalogue_item, registration, absence, hold, ledger_line.
INPUTS: dict[str, tuple[str, ...]] = {
    "invoice": (
        "document_id", "sender_cvr", "kind", "document_number", "received", "file_order", "issue_date", "receiver_ean",
        "corrects_number", "currency", "net_oere", "vat_oere", "payable_oere", "allowance_oere", "note",
    ),
    "invoice_line": (
        "document_id", "line_number", "item_name", "note", "period_from", "period_to", "quantity_e10", "price_e10",
        "amount_oere", "order_reference",
    ),
    "offer_owner": ("offer_id", "cvr"),
    "person": ("cpr", "name"),
    "citizen_state": ("cpr", "status", "from_date", "before"),
    "department_ean": ("department", "ean"),
    "terms": (
        "sender_cvr", "item_code", "valid_from", "valid_to", "tolerance_oere", "tolerance_pct_e2", "tolerance_units_e4",
        "on_price", "automatic_limit_oere",
    ),
    "account_alias": ("account", "alias"),
    "match_rule": ("sender_cvr", "item_words", "item_code"),
    "chosen_line": ("document_id", "line_number", "service_line_id", "delivery_month"),
    "set_aside": ("document_id", "line_number", "decision"),
    "approved": ("document_id",),
    "invalid": ("document_id", "rules"),
    "paid_line": ("document_id", "line_number", "service_line_id", "delivery_month", "price_oere", "account", "amount_oere"),
}  # fmt: skip

STEPS = (
    "duplicate", "charged", "commitment", "remaining", "chosen", "known_as", "said", "named", "nameless", "candidate", "allowed",
    "share", "fit", "agreed", "nameless_pair", "priced", "credited", "claim", "line_outcome", "invoice_outcome",
)  # fmt: skip

# How words are compared: in lower case, without signs, without the words that only say what follows them.
SAYING = (
    "født", "f", "fødselsdag", "cpr", "cprnr", "nr", "navn", "borger", "borgeren", "ref", "rekv", "rekvisition",
    "vedr", "vedrørende",
)  # fmt: skip
# Words of a line that name nobody.
ORDINARY = """
    levering leveret leverede ydelse ydelser ophold periode perioden måned måneden for i til fra af og på pr iht
    aftale aftalt faktura kreditnota kreditering dage døgn timer uger stk jan feb mar apr maj jun jul aug sep okt
    nov dec januar februar marts april juni juli august september oktober november december hermed faktureres
    samlefaktura
""".split()
MACROS = f"""
    CREATE OR REPLACE TEMP MACRO spoken(x) AS array_to_string(list_filter(
        string_split(regexp_replace(lower(coalesce(x, '')), '[^0-9a-zæøåäëïöüáéíóúèñçß]+', ' ', 'g'), ' '),
        lambda w: w <> '' AND w NOT IN {SAYING}), ' ');
    CREATE OR REPLACE TEMP MACRO initials(x) AS
        array_to_string(list_transform(string_split(lower(trim(coalesce(x, ''))), ' '), lambda w: left(w, 1)), '');
    -- A CPR number given without a registration has 60 added to its day.
    CREATE OR REPLACE TEMP MACRO birthday(cpr) AS
        concat(CASE WHEN cpr > '60' THEN CAST(CAST(cpr[1] AS BIGINT) - 6 AS VARCHAR) ELSE cpr[1] END, substr(cpr, 2, 5));
    CREATE OR REPLACE TEMP MACRO number_key(x) AS ltrim(regexp_replace(upper(x), '[^A-Z0-9ÆØÅ]', '', 'g'), '0');
    CREATE OR REPLACE TEMP TABLE ordinary_word AS SELECT unnest({ORDINARY}) AS word;"""


def sentences() -> dict[str, str]:
    """The SQL text of every step."""
    return {step: (SQL / f"{step}.sql").read_text(encoding="utf-8") for step in STEPS}


def match(con: duckdb.DuckDBPyConnection) -> None:
    """Leaves the temporary tables of STEPS: `claim` (what each line is paid for), `line_outcome` and `invoice_outcome`."""
    con.execute(MACROS)
    for step, sql in sentences().items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE {step} AS {sql}")
