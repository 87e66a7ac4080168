"""The declaration of every canonical table, read from `contracts/*.yaml`.

One declaration gives the loader's reading rules, the DuckDB types, the gates, the dbt source and the
documentation, so a rule is stated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

CONTRACTS = Path(__file__).parent / "contracts"

# Judged in this order, so that a parent is known before what names it.
ORDER = (
    "catalogue_item", "rate", "offer", "citizen", "service_package", "service_translation", "service_line", "individual_rate",
    "package_payer", "account_rule", "absence", "registration", "counterparty", "payout_terms", "charge_terms",
    "department", "budget", "opening_entry", "account", "posting", "payroll_posting", "citizen_residence",
    "citizen_status", "cpr_change", "address_protection", "guardianship", "incoming_invoice", "incoming_invoice_line",
    "payment_receipt",
)  # fmt: skip


@dataclass(frozen=True)
class ColumnType:
    """How a cell is read: DuckDB type, SQL expression over the trimmed text `{x}` (NULL where it cannot be
    read), and what a person is told it should have been."""

    duckdb: str
    read: str
    expected: str


def _scaled(digits: int, *, signed: bool) -> str:
    """SQL reading a decimal number exactly as an integer of 10^-digits units, without any float."""
    pattern = f"{'-?' if signed else ''}[0-9]+([.,][0-9]{{1,{digits}}})?"
    whole = "regexp_extract({x}, '^-?([0-9]+)', 1)"
    decimals = f"rpad(regexp_extract({{x}}, '[.,]([0-9]+)$', 1), {digits}, '0')"
    sign = "CASE WHEN {x}[1] = '-' THEN -1 ELSE 1 END"
    number = f"TRY_CAST({whole} || {decimals} AS BIGINT) * ({sign})"
    return f"CASE WHEN regexp_full_match({{x}}, '{pattern}') THEN {number} END"


def _matching(pattern: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({{x}}, '{pattern}') THEN {value} END"


_DATE = (
    "CASE WHEN regexp_full_match({x}, '[0-9]{2}-[0-9]{2}-[0-9]{4}') THEN CAST(try_strptime({x}, '%d-%m-%Y') AS DATE) "
    "WHEN regexp_full_match({x}, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN CAST(try_strptime({x}, '%Y-%m-%d') AS DATE) END"
)
_CPR = _matching("[0-9]{6}-?[0-9]{4}", "replace({x}, '-', '')")
_CVR = _matching("[0-9]{8}", "{x}")
_CODE = (
    "CASE WHEN regexp_full_match({x}, '[0-9]{1,6}') AND ltrim({x}, '0') IN ({municipalities}) THEN ltrim({x}, '0') END"
)
_MONTH = "(0[1-9]|1[0-2])"
_MONEY = "beløb{sign} med højst 2 decimaler og uden tusindtalsskilletegn"

TYPES = {
    "text": ColumnType("VARCHAR", "{x}", "en tekst"),
    "cvr": ColumnType("VARCHAR", "{x}", "et CVR-nummer på 8 cifre"),
    "ean": ColumnType("VARCHAR", "{x}", "et EAN-nummer på 13 cifre"),
    "cpr": ColumnType("VARCHAR", _CPR, "et CPR-nummer på 10 cifre"),
    "date": ColumnType("DATE", _DATE, "en dato som dd-mm-åååå eller åååå-mm-dd"),
    "month": ColumnType(
        "DATE", _matching(f"[0-9]{{4}}-{_MONTH}", "CAST({x} || '-01' AS DATE)"), "en måned som åååå-mm"
    ),
    "month_in_year": ColumnType(
        "BIGINT",
        _matching("([0-9]{4}-)?(0?[1-9]|1[0-2])", "CAST(split_part({x}, '-', -1) AS BIGINT)"),
        "en måned som åååå-mm eller 1–12",
    ),
    "year": ColumnType("BIGINT", _matching("[0-9]{4}", "CAST({x} AS BIGINT)"), "et årstal"),
    "yes_no": ColumnType("BOOLEAN", "CASE lower({x}) WHEN 'ja' THEN true WHEN 'nej' THEN false END", "ja eller nej"),
    "choice": ColumnType("VARCHAR", "CASE WHEN lower({x}) IN ({choices}) THEN lower({x}) END", "en af: {allowed}"),
    "municipality": ColumnType("VARCHAR", _CODE, "en kommunekode eller regionskode i registeret"),
    "counterparty": ColumnType(
        "VARCHAR",
        f"coalesce({_CVR}, {_CODE}, {_CPR})",
        "en kommunekode, regionskode, et CVR-nummer eller et CPR-nummer",
    ),
    "any_counterparty": ColumnType("VARCHAR", f"coalesce({_CVR}, {_CODE}, {_CPR}, {{x}})", "en modpart"),
    "account": ColumnType("VARCHAR", _matching("[0-9]{5,16}", "{x}"), "en konto på 5–16 cifre"),
    "integer": ColumnType("BIGINT", _matching("[0-9]+", "TRY_CAST({x} AS BIGINT)"), "et helt tal, mindst 0"),
    "money": ColumnType("BIGINT", _scaled(2, signed=False), "et " + _MONEY.format(sign=", mindst 0,")),
    "signed_money": ColumnType("BIGINT", _scaled(2, signed=True), "et " + _MONEY.format(sign="")),
    "quantity": ColumnType("BIGINT", _scaled(4, signed=False), "et antal, mindst 0, med højst 4 decimaler"),
    "signed_quantity": ColumnType("BIGINT", _scaled(4, signed=True), "et antal med højst 4 decimaler"),
    # E-invoices compute with up to ten decimals (settlement.md § 5).
    "exact": ColumnType("BIGINT", _scaled(10, signed=True), "et tal med højst 10 decimaler"),
    "percent": ColumnType("BIGINT", _scaled(2, signed=False), "en procent, mindst 0, med højst 2 decimaler"),
}


@dataclass(frozen=True)
class Column:
    """One column of a canonical table: its name in code, its loader name, and how it is read and judged."""

    name: str
    loader: str
    type: str
    meaning: str
    required: bool = False
    may_be_empty: bool = False
    personal: bool = False
    default: str | None = None
    parent: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def duckdb_type(self) -> str:
        return TYPES[self.type].duckdb

    @property
    def expected(self) -> str:
        return TYPES[self.type].expected.replace("{allowed}", ", ".join(self.choices))

    def read_sql(self, text: str, municipalities: Sequence[str]) -> str:
        """SQL that reads the text expression, NULL where it cannot be read."""
        choices = ", ".join(f"'{value}'" for value in self.choices)
        codes = ", ".join(f"'{code}'" for code in municipalities)
        read = TYPES[self.type].read
        return read.replace("{choices}", choices).replace("{municipalities}", codes).replace("{x}", text)


@dataclass(frozen=True)
class Contract:
    """One canonical table. `level` names the columns within which dated periods must not overlap. `kept` are columns beside
    the public ones that a row is remembered with; a source's mapping may fill them, a loader file may not."""

    table: str
    loader_file: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    level: tuple[str, ...] = ()
    period: tuple[str, str] | None = None
    public: bool = True
    personal: bool = False
    kept: tuple[Column, ...] = ()

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    @property
    def key_columns(self) -> list[Column]:
        return [self.column(name) for name in self.key]

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def stored(self) -> tuple[Column, ...]:
        """Every column of the canonical table that a row fills."""
        return self.columns + self.kept


@cache
def contracts() -> dict[str, Contract]:
    """Every canonical table's contract by table name, in the order they are judged."""
    return {table: _read(table) for table in ORDER}


def contract_for_file(loader_file: str) -> Contract | None:
    """The contract a loader file (without its ending) fills, or None where no file has that name."""
    return next((c for c in contracts().values() if c.loader_file == loader_file), None)


def _read(table: str) -> Contract:
    declared = yaml.safe_load((CONTRACTS / f"{table}.yaml").read_text(encoding="utf-8"))
    columns, kept = (
        tuple(Column(**{**c, "choices": tuple(c.get("choices", ()))}) for c in declared.pop(part, ()))
        for part in ("columns", "kept")
    )
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()}
    return Contract(table=table, columns=columns, kept=kept, **listed)
