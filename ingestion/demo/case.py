"""What one case of the demo is: the citizen's decision and its service lines, with the days they became known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from ingestion.demo.catalogue import Care, Item
from ingestion.demo.offers import Offer


@dataclass
class Line:
    """A service line. `known` and `end_known` are the days the case system learned of it and of its end."""

    number: int
    item: Item
    offer: Offer | None
    start: date
    end: date | None
    known: date
    end_known: date
    process: str = ""
    units_e4: int = 10_000
    advance: bool = False
    account: str = ""
    refund_9c: bool = False
    payee_cpr: str = ""
    own_price_oere: int | None = None
    withdrawn: bool = False

    def end_at(self, day: date) -> date | None:
        return self.end if self.end and self.end_known <= day else None


@dataclass
class Case:
    """One citizen's decision and its service lines, the main one first."""

    number: int
    care: Care
    cpr: str
    born: date
    citizen_name: str
    street: str
    postal_code: str
    lives_in: str
    payer: str
    granted: date
    guardian_cpr: str
    worker: str
    requisition: str
    protected: bool
    applied: bool = False
    annulled: bool = False
    moved_to: str = ""
    payers: list[tuple[date, date | None, str, int]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @property
    def main(self) -> Line:
        return self.lines[0]

    def status_at(self, delivery: int, day: date) -> str:
        if self.annulled and delivery:
            return "CANCELLED"
        end = self.main.end_at(day)
        return "DRAFT" if self.applied else "CLOSED" if end and end <= day else "GRANTED"
