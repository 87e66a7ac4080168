"""Payroll postings of the own offers' employees in the last half year: about three quarters of what the offers cost.

They stand on the accounts that the offers' services are posted on, so they are a part of the finance system's postings.
"""

from __future__ import annotations

import hashlib
from random import Random

from ingestion.demo.extracts import Extracts
from ingestion.demo.finance import Costs, Month
from ingestion.demo.finance_systems import kroner
from ingestion.demo.offers import Offer, Offers
from ingestion.demo.records import number

PAYROLL_MONTHS = 6
WAGES_OF_COST_PCT = 75
# A full-time employee a month: hours (37 × 52 / 12), base pay in øre, and what an employee costs with all the rest.
FULL_TIME_HOURS_E4, BASE_PAY_OERE, FULL_COST_OERE = 1_603_333, 34_500_00, 43_500_00
WEEKLY_HOURS = (37, 37, 37, 34, 32, 30, 28, 25)
AT_NIGHT_TOO = ("BL43-INST", "BL32-AFL", "BL114-EFT", "BL90-AFL", "SEL107", "SEL108", "ABL105", "SEL110")


def write_payroll(extracts: Extracts, offers: Offers, costs: Costs, seed: int) -> None:
    """One run a month, delivered when it is over."""
    rng = Random(f"{seed}:payroll")
    lines = dict.fromkeys(range(len(costs.months)), 0)
    for offer in offers.all:
        months = range(len(costs.months))[-PAYROLL_MONTHS:]
        cost = costs.at_own_offers.get(offer.number)
        if not cost or not any(cost[month] for month in months):
            continue
        monthly = sum(cost[month] for month in months) // len(months) * WAGES_OF_COST_PCT // 100
        for turn in range(max(1, round(monthly / FULL_COST_OERE))):
            who = hashlib.sha256(f"{seed}:{offer.number}:{turn}".encode()).hexdigest()[:12].upper()
            weekly = rng.choice(WEEKLY_HOURS)
            begins = rng.randrange(len(months)) if rng.random() < 0.1 else 0
            for month in months[begins:]:
                lines[month] = _pay(extracts, costs.months[month], offer, who, weekly, lines[month], rng)


def _pay(extracts: Extracts, month: Month, offer: Offer, who: str, weekly: int, line: int, rng: Random) -> int:
    """Writes an employee's month; returns the number of the run's last line."""
    hours_e4 = FULL_TIME_HOURS_E4 * weekly // 37
    base = BASE_PAY_OERE * weekly // 37
    paid = [("0100", "G", base, hours_e4), ("0900", "P", base * 17 // 100, 0)]
    if offer.item.code in AT_NIGHT_TOO:
        paid.append(("0310", "T", base * rng.randint(8, 16) // 100, 0))
    if rng.random() < 0.06:
        extra_e4 = rng.randint(2, 20) * 10_000
        paid.append(("0250", "O", base * extra_e4 * 3 // (hours_e4 * 2), extra_e4))
    if rng.random() < 0.03:
        paid.append(("0810", "R", -base * rng.randint(10, 60) // 100, 0))
    delivery = int(month.last > extracts.dates[0])
    for wage_type, group, amount, hours in paid:
        line += 1
        row = {
            "Kørsel": f"{month.name}-1", "Løbenr.": line, "Medarbejder": who, "Lønart": wage_type,
            "Lønartsgruppe": group, "Afdeling": offer.department, "Institution": offer.id,
            "Periode": f"{month.first:%m-%Y}", "Kontostreng": offer.item.account, "Beløb": kroner(amount, "."),
            "Timer": number(hours, ","),
        }  # fmt: skip
        extracts.write("loen", "posteringer", delivery, row)
    return line
