"""The business processes: each a few choices on the same engine and ledger (glossary: afregningsform)."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.faults import UsageFault


@dataclass(frozen=True)
class Process:
    """One process that settles.

    `document_kind` is what a document of it is called where its net is above 0; `counterparty_side` the side of the
    posting on the counterparty's account; `is_sent` whether its documents leave as e-invoice and PDF.
    """

    name: str
    title: str
    document_kind: str
    counterparty_side: str
    is_sent: bool


# Proposed every night.
PROCESSES = {
    "mellemkommunal": Process("mellemkommunal", "Mellemkommunal afregning", "faktura", "debet", is_sent=True),
    "intern": Process("intern", "Intern afregning", "faktura", "debet", is_sent=True),
}
# Entitlement, difference and booking; proposed on demand until their payment files and terms are built.
ON_DEMAND = {
    "udbetaling": Process("udbetaling", "Udbetaling", "udbetaling", "kredit", is_sent=False),
    "personopkraevning": Process("personopkraevning", "Personopkrævning", "opkraevning", "debet", is_sent=False),
    "beboerbetaling": Process("beboerbetaling", "Beboerbetaling", "opkraevning", "debet", is_sent=False),
}
# Booked by payment of incoming invoices (settlement/invoices), never proposed by the engine.
INVOICES = Process("faktura", "Fakturabetaling", "fakturabetaling", "kredit", is_sent=False)
TIMINGS = ("bagud", "forud")


def process(name: str) -> Process:
    """The process of that name. Raises UsageFault for one that does not settle here."""
    known = PROCESSES | ON_DEMAND
    if name not in known:
        raise UsageFault(f"Processen «{name}» kan ikke afregnes. Vælg en af: {', '.join(known)}.")
    return known[name]


def booked_process(name: str) -> Process:
    """The process of a booked run. Raises UsageFault for one that books nothing."""
    return INVOICES if name == INVOICES.name else process(name)
