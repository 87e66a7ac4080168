"""The terms an incoming invoice is judged by: tolerance, what a deviating price does, and how much needs no person.

The municipality's own stand in `reference/faktura_vilkaar.csv`, dated, per supplier (CVR) and kind of service; an empty cell
holds for all. What it does not say follows `[fakturabetaling]` in the settings.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from settlement.faults import InputFault
from settlement.instance import Instance

ON_PRICE = ("som_faktureret", "som_aftalt", "intet")


@dataclass(frozen=True)
class Terms:
    """One row of terms: amounts in øre, per cent and units in ten-thousandths (`_e2`, `_e4`)."""

    sender_cvr: str
    item_code: str
    valid_from: date
    valid_to: date
    tolerance_oere: int
    tolerance_pct_e2: int
    tolerance_units_e4: int
    on_price: str
    automatic_limit_oere: int


def terms(instance: Instance) -> list[Terms]:
    """The municipality's terms, and the ones that hold for all. Raises InputFault, with the row, where one cannot be read."""
    settings = instance.invoices
    found = [Terms("", "", date.min, date.max, settings.tolerance_oere, 0, 0, "intet", settings.automatic_oere)]
    if not instance.invoice_terms.exists():
        return found
    with instance.invoice_terms.open(encoding="utf-8-sig", newline="") as handle:
        for number, row in enumerate(csv.DictReader(handle, delimiter=";"), 2):
            try:
                found.append(_read(row, found[0]))
            except (KeyError, ValueError, InvalidOperation) as broken:
                raise InputFault(
                    f"{instance.invoice_terms.name} række {number} kan ikke læses ({broken}). Datoer skrives åååå-mm-dd, beløb "
                    f"med decimalkomma, og ved_prisafvigelse er en af: {', '.join(ON_PRICE)}."
                ) from broken
    return found


def _read(row: dict[str, str], general: Terms) -> Terms:
    on_price = row["ved_prisafvigelse"] or general.on_price
    if on_price not in ON_PRICE:
        raise ValueError(f"ved_prisafvigelse er «{on_price}»")
    return Terms(
        sender_cvr=row["cvr"], item_code=row["ydelseskode"], valid_from=date.fromisoformat(row["gyldig_fra"]),
        valid_to=date.fromisoformat(row["gyldig_til"] or "9999-12-31"),
        tolerance_oere=_scaled(row["tolerance_kr"], 2, general.tolerance_oere),
        tolerance_pct_e2=_scaled(row["tolerance_pct"], 2, 0), tolerance_units_e4=_scaled(row["tolerance_antal"], 4, 0),
        on_price=on_price, automatic_limit_oere=_scaled(row["automatisk_kr"], 2, general.automatic_limit_oere),
    )  # fmt: skip


def _scaled(text: str, digits: int, otherwise: int) -> int:
    if not text:
        return otherwise
    number = Decimal(text.replace(",", ".")).scaleb(digits)
    if number < 0 or number != number.to_integral_value():
        raise ValueError(f"«{text}» har for mange decimaler eller er under 0")
    return int(number)
