"""What explains one amount: its structure, and the Danish sentences a person recomputes it from with a pocket calculator.

No sentence holds a CPR number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from settlement.engine.calendar import month_end
from settlement.ledger.lines_file import money_text, quantity_text

REASONS = {
    "mangler_takst": "en dag med vægt har ingen takst. Tilføj en takst, der dækker dagen",
    "mangler_betaler": "en dag med vægt har ingen betaler. Tilføj en betaler, der dækker dagen",
    "afventer_rettelse": "en række for ydelsen er afvist. Ret rækken, eller sæt den til side",
    "tilbageholdt": "en medarbejder holder den tilbage, til tilbageholdelsen ophæves",
}


@dataclass(frozen=True)
class Stretch:
    """Days on which everything stands still (for delivered units: one registration); øre and exact fractions.

    `numerator`/`denominator` is the quantity in lowest terms: count × weight × absence.
    """

    first: date
    last: date
    weight: int
    basis: int
    counts: str
    quantity_e4: int
    absence_pct_e2: int
    numerator: int
    denominator: int
    price_oere: int | None
    price_origin: str
    process: str
    payer: str
    counterparty: str
    account: str


@dataclass(frozen=True)
class Piece:
    """Entitled (settlement.md § 5): one price, counterparty and account."""

    process: str
    counterparty: str
    account: str
    price_oere: int
    numerator: int
    denominator: int
    amount_oere: int
    vat_pct_e2: int
    vat_oere: int


@dataclass(frozen=True)
class Booking:
    """One line in the ledger; run 0 is the earlier system's."""

    run_no: int
    process: str
    document_number: str
    booking_date: date
    counterparty: str
    account: str
    price_oere: int
    numerator: int
    denominator: int
    amount_oere: int
    vat_oere: int
    corrects: str
    booked_by: str
    approved_by: str
    engine_version: str


@dataclass(frozen=True)
class Change:
    """Entitled − booked on one key: what the run would book."""

    process: str
    counterparty: str
    account: str
    price_oere: int
    numerator: int
    denominator: int
    amount_oere: int
    vat_oere: int
    corrects: str


@dataclass(frozen=True)
class LateClaim:
    """What is owed beyond what is booked, and not booked because the last day to claim it is past; net, øre."""

    counterparty: str
    net_oere: int
    last_day: date


@dataclass(frozen=True)
class Explanation:
    """Everything behind the amounts of one service line and delivery month, in the order a reader needs it."""

    service_line_id: str
    month: date
    basis: str
    line: str
    absences: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    pieces: tuple[Piece, ...]
    bookings: tuple[Booking, ...]
    changes: tuple[Change, ...] = ()
    parked: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    late: tuple[LateClaim, ...] = ()


def sentences(told: Explanation) -> Iterator[str]:
    """The whole explanation in Danish sentences."""
    yield told.line
    yield told.basis
    yield from told.absences
    if not told.stretches:
        yield f"Ingen dag i {told.month:%Y-%m} har vægt."
    for stretch in told.stretches:
        yield stretch_text(stretch)
    yield from amount_sentences(told)
    yield from outcome_sentences(told)


def stretch_text(s: Stretch) -> str:
    """«01-05-2026 – 31-05-2026: 20 hverdage (…): antal 1 × vægt 20/1 × 50 pct. = 10/1 (10,0000). Takst …»"""
    price = f"{money_text(s.price_oere)} kr. ({s.price_origin})" if s.price_oere is not None else "mangler"
    return (
        f"{period_text(s.first, s.last)}: {s.counts}: {quantity_sum(s)} = {s.numerator}/{s.denominator} "
        f"({quantity_text(s.numerator, s.denominator)}). Takst {price}. Betaler {s.payer}. "
        f"{s.process.capitalize()}, modpart {s.counterparty}. Konto {s.account}."
    )


def quantity_sum(s: Stretch) -> str:
    """«antal 1 × vægt 20/1 × 50 pct.»: the factors of a stretch's quantity."""
    absence = f" × {short_text(s.absence_pct_e2, 100)} pct." if s.absence_pct_e2 != 10_000 else ""
    return f"antal {short_text(s.quantity_e4, 10_000)} × vægt {s.weight}/{s.basis}{absence}"


def amount_sentences(told: Explanation) -> Iterator[str]:
    """Per piece: price × quantity before rounding, the one rounding, and VAT."""
    for p in told.pieces:
        yield (
            f"Værd, {p.process}, modpart {p.counterparty}, konto {p.account or 'ingen'}: {money_text(p.price_oere)} kr. × "
            f"{p.numerator}/{p.denominator} ({quantity_text(p.numerator, p.denominator)}) = {product_text(p)} kr., "
            f"afrundet én gang til hele øre: {money_text(p.amount_oere)} kr."
            + (
                f" Moms {short_text(p.vat_pct_e2, 100)} pct. af {money_text(p.amount_oere)} kr.: {money_text(p.vat_oere)} kr."
                if p.vat_pct_e2
                else ""
            )
        )
    if told.stretches and not told.pieces:
        yield f"{told.month:%Y-%m} er 0 værd, eller der mangler en takst."


def product_text(p: Piece) -> str:
    """Price × quantity in kroner, cut (not rounded) after 6 decimals: «…» where more follow, so that it rounds the same."""
    millionths, rest = divmod(abs(p.price_oere * p.numerator) * 10_000, p.denominator)
    sign = "-" if p.numerator < 0 else ""
    return f"{sign}{millionths // 1_000_000},{millionths % 1_000_000:06d}{'…' if rest else ''}"


def outcome_sentences(told: Explanation) -> Iterator[str]:
    """What is booked and by whom, what would be booked now, and why something rests."""
    for b in told.bookings:
        source = (
            "Åbningspost fra det tidligere system (kørsel 0)" if b.run_no <= 0
            else f"Bogført i kørsel {b.run_no}, bilag {b.document_number}, {b.booking_date:%d-%m-%Y}"
        )  # fmt: skip
        yield (
            f"{source}, {b.process}: {quantity_text(b.numerator, b.denominator)} × {money_text(b.price_oere)} kr. = "
            f"{money_text(b.amount_oere)} kr. til {b.counterparty}, konto {b.account or 'ingen'}"
            f"{f' + {money_text(b.vat_oere)} kr. i moms' if b.vat_oere else ''}"
            f"{f', regulering af {b.corrects}' if b.corrects else ''}."
            + (
                f" Bogført af {b.booked_by}, godkendt af {b.approved_by}, regelversion {b.engine_version}."
                if b.run_no > 0
                else ""
            )
        )
    booked = sum(b.amount_oere for b in told.bookings)
    yield f"I alt bogført for {told.month:%Y-%m} (til og med {month_end(told.month):%d-%m-%Y}): {money_text(booked)} kr."
    for reason in told.parked:
        yield f"Måneden er parkeret ({reason}): {REASONS.get(reason, reason)}."
        if reason == "tilbageholdt":
            yield from told.holds
    if not told.changes and not told.parked and not told.late:
        yield "Forskel: intet at bogføre."
    for c in told.changes:
        yield (
            f"Forskel, {c.process}, modpart {c.counterparty}, konto {c.account or 'ingen'}: værd − bogført = "
            f"{quantity_text(c.numerator, c.denominator)} × {money_text(c.price_oere)} kr. = {money_text(c.amount_oere)} kr."
            f"{f' og moms {money_text(c.vat_oere)} kr.' if c.vat_oere else ''}"
            f"{f', regulering af {c.corrects}' if c.corrects else ''}."
        )
    for claim in told.late:
        yield (
            f"Kravet på {money_text(claim.net_oere)} kr. mod {claim.counterparty} er parkeret (for_sent): "
            f"fristen var {claim.last_day:%d-%m-%Y}. En controller kan lade det komme med, med en begrundelse."
        )


def named(counterparty: str | None) -> str:
    """A counterparty's code; a person is not shown by CPR number."""
    if not counterparty:
        return "mangler"
    return "en person" if re.fullmatch(r"[0-9]{10}", counterparty) else counterparty


def short_text(value: int, scale: int) -> str:
    """A scaled whole number without trailing zeros: 125000 of 10000 → «12,5»."""
    whole, rest = divmod(abs(value), scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{',' + digits if digits else ''}"


def period_text(first: date, last: date) -> str:
    """«01-05-2026 – 31-05-2026»; one day alone; an open end as «åben»."""
    ends = "åben" if last == date.max else f"{last:%d-%m-%Y}"
    return f"{first:%d-%m-%Y}" if first == last else f"{first:%d-%m-%Y} – {ends}"
