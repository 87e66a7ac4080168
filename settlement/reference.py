"""Dated reference data from `data/reference`: registers, parameters and posting rules.

Every value has valid-from, source and certainty. What has no value on a day is an error that names it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from settlement.faults import InputFault, ParameterMissing
from settlement.instance import REFERENCE, Instance


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (REFERENCE / name).open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle))


def _in_force(row: dict[str, str], day: date) -> bool:
    return row["valid_from"] <= day.isoformat() and (not row["valid_to"] or day.isoformat() <= row["valid_to"])


@cache
def municipality_names() -> dict[str, str]:
    """Name by code (without leading zeros) of every municipality and region the register has ever held."""
    named = {row["kommunekode"].lstrip("0"): f"{row['navn']} Kommune" for row in _rows("kommuner.csv")}
    return named | {row["regionskode"]: row["navn"] for row in _rows("regioner.csv")}


def municipality_codes() -> tuple[str, ...]:
    """The codes `municipality_names` knows."""
    return tuple(municipality_names())


def parameter(name: str, day: date) -> int:
    """The whole-number value in force on a day. Raises ParameterMissing where there is none."""
    for row in _rows("parameters.csv"):
        if row["name"] == name and _in_force(row, day):
            return int(row["value"])
    raise ParameterMissing(
        f"Parameteren {name} har ingen værdi den {day:%d-%m-%Y}. Tilføj den i data/reference/parameters.csv."
    )


def posting_account(process: str, role: str, day: date) -> str:
    """The account a process books a role (receivable, income, vat) on. Raises ParameterMissing."""
    for row in _rows("posting_rules.csv"):
        if (row["process"], row["role"]) == (process, role) and _in_force(row, day):
            return row["account"]
    raise ParameterMissing(
        f"Posteringsreglen {process}/{role} mangler den {day:%d-%m-%Y}. Tilføj den i data/reference/posting_rules.csv."
    )


@dataclass(frozen=True)
class AccountRule:
    """One dated account for a function, grouping and kind of the municipality's own chart."""

    valid_from: date
    valid_to: date
    function_code: str
    grouping_code: str
    cost_type_code: str
    account: str


def account_rules(instance: Instance) -> list[AccountRule]:
    """The instance's own posting rules. Raises InputFault where the file cannot be read."""
    path: Path = instance.account_rules
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as handle:
        try:
            return [
                AccountRule(
                    date.fromisoformat(row["gyldig_fra"]),
                    date.fromisoformat(row["gyldig_til"] or "9999-12-31"),
                    row["funktion"], row["gruppering"], row["art"], row["konto"],
                )
                for row in csv.DictReader(handle, delimiter=";")
            ]  # fmt: skip
        except (KeyError, ValueError) as broken:
            raise InputFault(f"{path.name}: kan ikke læses ({broken}). Datoer skrives åååå-mm-dd.") from broken
