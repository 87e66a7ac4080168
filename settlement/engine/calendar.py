"""Months and Danish public holidays (domain_rules.md § 12.5)."""

from __future__ import annotations

import calendar
from datetime import date
from functools import cache


def month_end(day: date) -> date:
    """The last day of the month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def add_months(day: date, months: int) -> date:
    """The first day of the month that lies `months` after the month of `day`."""
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def months_between(first: date, last: date) -> list[date]:
    """The first day of every month from the one of `first` to the one of `last`, both included."""
    count = (last.year - first.year) * 12 + last.month - first.month
    return [add_months(first, n) for n in range(count + 1)]


def parse_month(text: str) -> date:
    """The first day of a month written yyyy-mm. Raises ValueError."""
    year, _, month = text.partition("-")
    if len(year) != 4 or len(month) != 2:
        raise ValueError(f"«{text}» er ingen måned. Skriv åååå-mm.")
    return date(int(year), int(month), 1)


@cache
def public_holidays(first_year: int, last_year: int) -> frozenset[date]:
    """Holidays of Danish law on the date itself: Store bededag up to and including 2023, not from 2024.

    5 June, 24 and 31 December are weekdays here (they matter for bank days only).
    """
    import holidays

    return frozenset(holidays.country_holidays("DK", years=range(first_year, last_year + 1)))
