"""The business processes: each a few choices on the same engine and ledger (glossary: afregningsform)."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.faults import InputFault


@dataclass(frozen=True)
class Process:
    """One process that settles: its name in loader files, its title, and what its counterparties are."""

    name: str
    title: str
    counterparty_kind: str


PROCESSES = {
    "mellemkommunal": Process("mellemkommunal", "Mellemkommunal afregning", "kommune"),
    "intern": Process("intern", "Intern afregning", "afdeling"),
}
TIMINGS = ("bagud", "forud")


def process(name: str) -> Process:
    """The process of that name. Raises InputFault for one that does not settle here."""
    if name not in PROCESSES:
        raise InputFault(f"Processen «{name}» kan ikke afregnes. Vælg en af: {', '.join(PROCESSES)}.")
    return PROCESSES[name]
