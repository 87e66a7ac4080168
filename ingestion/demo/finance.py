"""Chart of accounts, budget and postings near what the demo's services cost, and the posting rules."""

from __future__ import annotations

import csv
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

from ingestion.demo.catalogue import (
    DEPARTMENTS,
    ITEMS,
    PROJECT_COST_CENTRE,
    Item,
    account,
    income_account,
    private_account,
)
from ingestion.demo.finance_systems import CARRIED_OVER, ORIGINAL, SUPPLEMENTARY, FinanceSystem
from ingestion.demo.offers import Offer


@dataclass(frozen=True)
class Month:
    """A calendar month of the history."""

    first: date
    last: date
    weekdays: int

    @property
    def days(self) -> int:
        return self.last.day

    @property
    def name(self) -> str:
        return f"{self.first:%Y-%m}"


def months_until(last: date, count: int) -> list[Month]:
    """The `count` months that end with the one of `last`, oldest first."""
    number = last.year * 12 + last.month - 1
    months = []
    for year, index in (divmod(n, 12) for n in range(number - count + 1, number + 1)):
        first, days = date(year, index + 1, 1), monthrange(year, index + 1)[1]
        weekdays = sum((first + timedelta(d)).weekday() < 5 for d in range(days))
        months.append(Month(first, first.replace(day=days), weekdays))
    return months


class Costs:
    """What services cost in øre by (account, department, month), and at own offers (whoever pays) by (offer, month).

    Grows with the accounts and the offers, not with the cases.
    """

    def __init__(self, months: list[Month]) -> None:
        self.months = months
        self.by_key: dict[tuple[str, str], list[int]] = {}
        self.at_own_offers: dict[int, list[int]] = {}

    def add(self, konto: str, department: str, month: int, amount_oere: int, offer: Offer | None = None) -> None:
        self.by_key.setdefault((konto, department), [0] * len(self.months))[month] += amount_oere
        if offer and offer.own:
            self.at_own_offers.setdefault(offer.number, [0] * len(self.months))[month] += abs(amount_oere)

    def add_line(
        self, konto: str, department: str, item: Item, price_oere: dict[int, int], units_e4: int, start: date,
        end: date,
        sign: int, offer: Offer | None = None,
    ) -> None:  # fmt: skip
        """A service line, roughly: holidays, absence and departure days are left to the settlement."""
        for number, month in enumerate(self.months):
            first, last = max(start, month.first), min(end, month.last)
            if first > last:
                if month.first > end:
                    break
                continue
            days, price = (last - first).days + 1, price_oere[month.first.year]
            if item.unit == "doegn":
                amount = price * days
            elif item.unit == "hverdag":
                amount = price * days * month.weekdays // month.days
            elif item.unit in ("uge", "time"):
                amount = price * days // 7
            elif item.unit == "aar":
                amount = price * days // (12 * month.days)
            elif item.unit == "engang":
                amount = price if first == start else 0
            else:
                amount = price if item.proration == "hel" else price * days // month.days
            self.add(konto, department, number, sign * amount * units_e4 // 10_000, offer)


def write_finance(
    finance: FinanceSystem, costs: Costs, deliveries: tuple[date, date], seed: int
) -> None:
    """Chart of accounts, budget for every month to the end of the last year, and postings by delivery month."""
    rng = Random(f"{seed}:finance")
    _write_chart(finance)
    _write_budget(finance, costs, rng)
    _write_postings(finance, costs, deliveries, rng)


def write_posting_rules(path: Path, valid_from: date) -> None:
    """The municipality's own posting rules: (function, grouping, kind) → account, as a dated CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rules = dict.fromkeys((item.function, item.grouping, item.kind) for item in ITEMS.values())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerow(("gyldig_fra", "gyldig_til", "funktion", "gruppering", "art", "konto"))
        writer.writerows((valid_from.isoformat(), "", *rule, account(*rule)) for rule in rules)


def _write_chart(finance: FinanceSystem) -> None:
    names: dict[str, str] = {}
    for item in ITEMS.values():
        names.setdefault(item.account, item.name)
        names.setdefault(income_account(item), f"{item.name}, betaling fra kommuner")
        names.setdefault(account(item.function, item.grouping, item.kind, PROJECT_COST_CENTRE), f"{item.name}, projekt")
        if item.private_grouping:
            names.setdefault(private_account(item), f"{item.name}, private leverandører")
    for konto, title in sorted(names.items()):
        finance.account(konto, title, DEPARTMENTS[0][0])


def _write_budget(finance: FinanceSystem, costs: Costs, rng: Random) -> None:
    months = costs.months
    for (konto, department), amounts in sorted(costs.by_key.items()):
        for year in range(months[0].first.year, months[-1].first.year + 1):
            known = [amount for month, amount in zip(months, amounts, strict=True) if month.first.year == year]
            monthly = sum(known) // len(known) * rng.randint(930, 1050) // 1000 // 100_00 * 100_00
            first = months[0].first.month if year == months[0].first.year else 1
            if 0 < abs(monthly) < 5_000_00:  # small accounts are budgeted for the year as a whole
                finance.budget(0, year, konto, department, ORIGINAL, None, monthly * (13 - first))
                continue
            for month in range(first, 13):
                finance.budget(0, year, konto, department, ORIGINAL, month, monthly)
            if rng.random() < 0.12:
                amount = monthly * rng.randint(2, 6) // 10
                # The latest appropriation comes with the second delivery.
                delivery = int(year == months[-1].first.year)
                finance.budget(delivery, year, konto, department, SUPPLEMENTARY, 12, amount)
            if rng.random() < 0.08:
                finance.budget(0, year, konto, department, CARRIED_OVER, first, monthly * rng.randint(-3, 3) // 10)


def _write_postings(finance: FinanceSystem, costs: Costs, deliveries: tuple[date, date], rng: Random) -> None:
    names = {konto: item.name for item in ITEMS.values() for konto in (item.account, income_account(item))}
    names |= {private_account(item): item.name for item in ITEMS.values() if item.private_grouping}
    first_day, last_day = deliveries
    voucher = 4_100_000_000
    for (konto, department), amounts in sorted(costs.by_key.items()):
        for month, amount in zip(costs.months, amounts, strict=True):
            total = amount * rng.randint(975, 1025) // 1000
            parts = rng.randint(1, 4)
            voucher += 1
            for position in range(1, parts + 1):
                part = total - (parts - 1) * (total // parts) if position == parts else total // parts
                posted = month.last + timedelta(rng.randint(-4, 28))
                if not part or posted > last_day:
                    continue
                finance.posting(
                    int(posted > first_day), voucher, position, konto, department, posted, month.name, part, names[konto]
                )
