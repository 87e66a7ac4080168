"""Units of a service line day by day, as settlement.md § 3 weighs them: what a supplier that keeps count may charge."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from functools import cache

from ingestion.demo.case import Line
from ingestion.demo.catalogue import Item
from ingestion.demo.finance import Month
from settlement.engine.calendar import public_holidays

# First days of the parts that a month may be charged in.
PART_STARTS = (1, 8, 15, 22)
Spell = tuple[date, date]


def part_of(day: date) -> int:
    """Which part of its month a day lies in."""
    return min(3, (day.day - 1) // 7)


def units_by_part(line: Line, end: date | None, month: Month, spells: list[Spell]) -> tuple[Fraction, ...]:
    """The units of a month in each of its parts, the line's own number of units and absence counted in."""
    weights, basis = _day_weights(line, end, month, _reduced_days(line.item, spells))
    parts = [0] * len(PART_STARTS)
    for day, weight in weights:
        parts[part_of(day)] += weight
    return tuple(Fraction(part * line.units_e4, basis * 10_000) for part in parts)


def units_of_a_day(item: Item, days_in_month: int) -> Fraction:
    """What one day more would add; a whole unit where the unit is no time."""
    return Fraction(1, {"uge": 7, "time": 7, "maaned": days_in_month, "aar": 12 * days_in_month}.get(item.unit, 1))


def _day_weights(line: Line, end: date | None, month: Month, reduced: list[Spell]) -> tuple[list[tuple[date, int]], int]:
    """(day, weight) of the days of a month that the line covers, in parts of the basis."""
    item = line.item
    first, last = max(line.start, month.first), min(end or month.last, month.last)
    if end and end > line.start and not item.departure_day_paid:
        last = min(last, end - timedelta(1))
    basis = {"uge": 7, "time": 7, "aar": 12 * month.days}.get(item.unit, 1)
    if item.unit == "maaned":
        basis = {"tredivedel": 30, "hel": 1}.get(item.proration, month.days)
    found = []
    for n in range((last - first).days + 1):
        day = first + timedelta(n)
        weight = 1
        if item.unit == "hverdag":
            weight = int(day.weekday() < 5 and day not in _holidays(day.year))
        elif item.unit == "engang":
            weight = int(day == line.start)
        elif item.unit == "maaned" and item.proration == "hel":
            weight = int(n == 0)
        elif item.unit == "maaned" and item.proration == "tredivedel":
            weight = 31 - month.days if day == month.last and month.days < 30 else int(day.day <= 30)
        pct = item.absence_pct if any(a <= day <= b for a, b in reduced) else 100
        found.append((day, weight * pct))
    return found, basis * 100


def _reduced_days(item: Item, spells: list[Spell]) -> list[Spell]:
    """The days of absence that do not count in full; touching spells are one, counted from its own first day."""
    if item.absence_pct == 100 or item.unit in ("leveret", "engang") or item.proration == "hel":
        return []
    merged: list[Spell] = []
    for first, last in sorted(spells):
        if merged and first <= merged[-1][1] + timedelta(1):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return [(first + timedelta(item.absence_full_days), last) for first, last in merged]


@cache
def _holidays(year: int) -> frozenset[date]:
    return frozenset(public_holidays(year, year))
