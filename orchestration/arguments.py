"""What a person writes on the command line, read exactly; a sentence says what is wrong with it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import date, datetime

from settlement.engine.calendar import parse_month


def month(text: str) -> date:
    """«2026-09» as the month's first day."""
    try:
        return parse_month(text)
    except ValueError:
        raise ArgumentTypeError(f"«{text}» er ingen måned. Skriv åååå-mm.") from None


def day(text: str) -> date:
    """«30-09-2026» or «2026-09-30»."""
    for pattern in ("%d-%m-%Y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, pattern).date()
        except ValueError:
            continue
    raise ArgumentTypeError(f"«{text}» er ingen dato. Skriv dd-mm-åååå eller åååå-mm-dd.")


def period(text: str) -> tuple[int, int]:
    """«2025-13» as (year, accounting period); 13 is the supplementary one."""
    found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-3])", text)
    if not found:
        raise ArgumentTypeError(f"«{text}» er ingen regnskabsperiode. Skriv åååå-01 til åååå-12, eller åååå-13 (supplement).")
    return int(found[1]), int(found[2])


def kroner(text: str) -> int:
    """«-1.234,50» in whole øre."""
    found = re.fullmatch(r"(-?)([0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,([0-9]{2}))?", text)
    if not found:
        raise ArgumentTypeError(f"«{text}» er intet beløb. Skriv kroner og to decimaler, f.eks. 1234,50 eller -500,00.")
    oere = int(found[2].replace(".", "")) * 100 + int(found[3] or 0)
    return -oere if found[1] else oere
