"""A municipality that does not exist: extracts as each source system would make them, of any size, in bounded memory.

Same arguments, same bytes: all chance comes from the seed, and no clock is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ingestion.demo.cases import Caseload
from ingestion.demo.dirt import DIRTY_KINDS, EXTRA_COLUMNS, Dirt
from ingestion.demo.eldercare import Eldercare
from ingestion.demo.extracts import Extracts
from ingestion.demo.finance import Costs, months_until, write_finance, write_posting_rules
from ingestion.demo.finance_systems import FINANCE_SYSTEMS
from ingestion.demo.invoices import DOCUMENTS, LARGEST, Invoices
from ingestion.demo.offers import Offers, rate_starts, write_lists
from ingestion.demo.payroll import write_payroll
from ingestion.demo.people import CprNumbers, Municipalities
from ingestion.demo.registry import Registry

__all__ = ["DIRTY_KINDS", "FINANCE_SYSTEMS", "write_demo"]

CASE_SYSTEMS = ("dubu", "sensum", "cura", "tilbud", "loen", "cpr")

POPULATIONS = (1_000, 6_000_000)
MONTHS = (2, 120)
CASES_PER_MESSAGE = 20_000


def write_demo(
    landing: Path, *, population: int = 58_000, months: int = 24, until: str, seed: int = 1, municipality: str = "661",
    finance: str = "opus", invoices: int = DOCUMENTS, reference: Path, progress: Callable[[str], None],
) -> dict[str, object]:  # fmt: skip
    """Writes every system's extracts into `landing/<system>/`, in two deliveries, and the posting rules beside it.

    The first delivery is a full extract at the end of the month before `until` (yyyy-mm), the second what came since,
    to the end of `until`. `finance` is the municipality's finance system (opus, prisme or oes). `reference` holds
    kommuner.csv. `invoices` is the most e-invoices and credit notes that private suppliers send; what each really is
    stands in `demo/` beside the landing folder. Returns {"files": rows by file, "dirty": what was planted (kind, file,
    rows, outcome, reason), "cases", "deliveries": the two dates, "invoices": their mix}. Raises ValueError on arguments
    out of range.
    """
    if not POPULATIONS[0] <= population <= POPULATIONS[1]:
        raise ValueError(f"Befolkningen er {population}; vælg et tal fra {POPULATIONS[0]} til {POPULATIONS[1]}.")
    if not MONTHS[0] <= months <= MONTHS[1]:
        raise ValueError(f"Antal måneder er {months}; vælg et tal fra {MONTHS[0]} til {MONTHS[1]}.")
    if not re.fullmatch(r"20[0-3]\d-(0[1-9]|1[0-2])", until):
        raise ValueError(f"Sidste måned er «{until}»; skriv den som åååå-mm, fra 2000 til 2036.")
    if finance not in FINANCE_SYSTEMS:
        raise ValueError(f"Økonomisystemet {finance} kendes ikke; vælg {', '.join(FINANCE_SYSTEMS)}.")
    if not 0 <= invoices <= LARGEST:
        raise ValueError(f"Antal fakturaer er {invoices}; vælg et tal fra 0 til {LARGEST}.")
    history = months_until(date.fromisoformat(f"{until}-01"), months)
    municipalities = Municipalities(reference, municipality)
    cpr = CprNumbers()
    extracts = Extracts(landing, history[-2].last, history[-1].last, (*CASE_SYSTEMS, finance), EXTRA_COLUMNS)
    books = FINANCE_SYSTEMS[finance](extracts)
    offers = Offers(population, municipalities, cpr, seed, history[-1].last)
    costs = Costs(history)
    progress(f"Demokommune {municipalities.own.name} med {population} indbyggere: {len(offers.all)} tilbud.")
    registry = Registry(extracts, municipalities, cpr, seed)
    suppliers = Invoices(extracts, offers, municipalities, cpr, history, invoices, seed)
    caseload = Caseload(extracts, municipalities, offers, cpr, costs, suppliers, population, seed)
    eldercare = Eldercare(extracts, municipalities, offers, cpr, costs, registry, suppliers, population, seed)
    dirt = Dirt(extracts, caseload, offers, books)
    cases = 0
    for cases, case in enumerate(caseload.cases(), start=1):
        dirt.after(case)
        registry.after(case)
        eldercare.after(case)
        if cases % CASES_PER_MESSAGE == 0:
            progress(f"{cases} sager skrevet, senest {case.main.item.name.lower()}.")
    elders = eldercare.finish()
    progress(f"{elders} borgere med hjælp i hjemmet.")
    offers.settle_places((history[-1].last - history[0].first).days + 1)
    write_lists(extracts, offers, municipalities, history[0].first)
    write_finance(books, costs, extracts.dates, seed)
    write_payroll(extracts, offers, costs, seed)
    mix = suppliers.finish()
    progress(_mix_sentence(mix))
    planted = dirt.finish()
    extracts.close()
    write_posting_rules(
        landing.parent / "reference" / "account_rules.csv", rate_starts(history[0].first, history[0].first)[0]
    )
    progress(
        f"{cases} sager, {sum(extracts.rows.values())} rækker i {len(extracts.rows)} filer skrevet til {landing.name}."
    )
    return {
        "deliveries": [day.isoformat() for day in extracts.dates],
        "cases": cases,
        "files": dict(sorted(extracts.rows.items())),
        "dirty": planted,
        "invoices": mix,
    }


def _mix_sentence(mix: dict) -> str:
    counts = [f"{what} {count}" for what, count in (mix["kinds"] | mix["formats"]).items()]
    return (
        f"{mix['documents']} fakturaer og kreditnotaer fra {mix['suppliers']} private leverandører, "
        f"{mix['without_reference']} uden vores reference: {', '.join(counts)}."
    )
