"""What explains one amount: its structure, and the Danish sentences a person recomputes it from with a pocket calculator.

No sentence holds a CPR number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from settlement.engine.calendar import month_end
from settlement.ledger.lines_file import money_text, quantity_text
from settlement.ledger.register import CPR_LIKE
from settlement.processes import ON_DEMAND, PROCESSES

REASONS = {
    "mangler_takst": "en dag med vægt har ingen takst. Tilføj en takst, der dækker dagen",
    "mangler_betaler": "en dag med vægt har ingen betaler. Tilføj en betaler, der dækker dagen",
    "afventer_rettelse": "en række for ydelsen er afvist, eller en regel har et fund. Ret det, eller sæt det til side",
    "tilbageholdt": "en medarbejder holder den tilbage, til tilbageholdelsen ophæves",
}
# Of internal settlement the department pays: the engine's reason is the same, what a person must send is not.
NO_DEPARTMENT = "pakken har ingen afdeling at afregne internt med. Skriv afdelingen på pakken"
MISSING = "mangler"
SHOWN_ROWS = 10
SETTLED = PROCESSES.keys() | ON_DEMAND.keys()
TITLES = {name: process.title for name, process in (PROCESSES | ON_DEMAND).items()} | {
    "faktura": "Faktura", "ingen": "Afregnes ikke",
}  # fmt: skip

UNITS = {
    "doegn": "pris pr. døgn", "hverdag": "pris pr. hverdag", "uge": "pris pr. uge", "maaned": "pris pr. måned",
    "aar": "pris pr. år", "time": "pris pr. time, antal er timer om ugen", "leveret": "pris pr. leveret enhed",
    "engang": "engangsbeløb",
}  # fmt: skip
PRORATIONS = {"faktisk": "månedens faktiske dage", "tredivedel": "tredivtedele", "hel": "hel måned"}


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
class Compared:
    """A process the month has days or bookings in; `limit` says why worth and booked are not compared, or not all of it, and
    is empty where they are."""

    process: str
    limit: str = ""


@dataclass(frozen=True)
class Refusal:
    """A refused row (or a rule's finding) that the line waits for: never the value, which may be personal."""

    file: str
    row: int
    column: str
    message: str


@dataclass(frozen=True)
class Explanation:
    """Everything behind the amounts of one service line and delivery month, in the order a reader needs it.

    `before_run` is the run that booked the proposal told of, where the bookings are those before it.
    """

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
    compared: tuple[Compared, ...] = ()
    refused: tuple[Refusal, ...] = ()
    before_run: int | None = None

    @property
    def processes(self) -> list[str]:
        """The processes the month has days or bookings in."""
        return sorted({s.process for s in self.stretches} | {b.process for b in self.bookings})


def sentences(told: Explanation) -> Iterator[str]:
    """The whole explanation in Danish sentences."""
    yield told.line
    yield told.basis
    yield from told.absences
    if not told.stretches:
        yield f"Ingen dag i {month_text(told.month)} har vægt."
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
        f"{titled(s.process)}, modpart {s.counterparty}. Konto {s.account}."
    )


def quantity_sum(s: Stretch) -> str:
    """«antal 1 × vægt 20/1 × 50 pct.»: the factors of a stretch's quantity."""
    absence = f" × {short_text(s.absence_pct_e2, 100)} pct." if s.absence_pct_e2 != 10_000 else ""
    return f"antal {short_text(s.quantity_e4, 10_000)} × vægt {s.weight}/{s.basis}{absence}"


def amount_sentences(told: Explanation) -> Iterator[str]:
    """Per piece: price × quantity before rounding, the one rounding, and VAT."""
    for p in told.pieces:
        yield (
            f"Værd, {_inside(p.process)}, modpart {p.counterparty}, konto {p.account or 'ingen'}: {money_text(p.price_oere)} kr. × "
            f"{p.numerator}/{p.denominator} ({quantity_text(p.numerator, p.denominator)}) = {product_text(p)} kr., "
            f"afrundet én gang til hele øre: {money_text(p.amount_oere)} kr."
            + (
                f" Moms {short_text(p.vat_pct_e2, 100)} pct. af {money_text(p.amount_oere)} kr.: {money_text(p.vat_oere)} kr."
                if p.vat_pct_e2
                else ""
            )
        )
    if told.stretches and not told.pieces:
        yield f"{month_text(told.month)} er 0 værd, eller der mangler en takst."


def product_text(p: Piece) -> str:
    """Price × quantity in kroner, cut (not rounded) after 6 decimals: «…» where more follow, so that it rounds the same."""
    millionths, rest = divmod(abs(p.price_oere * p.numerator) * 10_000, p.denominator)
    sign = "-" if p.numerator < 0 else ""
    return f"{sign}{millionths // 1_000_000},{millionths % 1_000_000:06d}{'…' if rest else ''}"


def outcome_sentences(told: Explanation) -> Iterator[str]:
    """What is booked and by whom, what would be booked now, and why something rests or is not compared."""
    for b in told.bookings:
        yield _booking_text(b)
    booked, vat = sum(b.amount_oere for b in told.bookings), sum(b.vat_oere for b in told.bookings)
    yield (
        f"I alt bogført{f' før kørsel {told.before_run}' if told.before_run else ''} for {month_text(told.month)} "
        f"(til og med {day_text(month_end(told.month))}): {money_text(booked)} kr."
        f"{f' og {money_text(vat)} kr. i moms.' if any(b.vat_oere for b in told.bookings) else ''}"
    )
    for reason in told.parked:
        yield f"Måneden er parkeret ({reason}): {_reason_text(told, reason)}."
        if reason == "tilbageholdt":
            yield from told.holds
        if reason == "afventer_rettelse":
            yield from _refusal_sentences(told.refused)
    yield from _difference_sentences(told)
    for claim in told.late:
        yield (
            f"Kravet på {money_text(claim.net_oere)} kr. mod {claim.counterparty} er parkeret (for_sent): "
            f"fristen var {day_text(claim.last_day)}. En controller kan lade det komme med, med en begrundelse."
        )


def _booking_text(b: Booking) -> str:
    if b.run_no <= 0:
        source = "Åbningspost fra det tidligere system (kørsel 0)"
        source += f", bilag {b.document_number}" if b.document_number else ""
    else:
        source = f"Bogført i kørsel {b.run_no}, bilag {b.document_number}, {day_text(b.booking_date)}"
    text = (
        f"{source}, {_inside(b.process)}: {quantity_text(b.numerator, b.denominator)} × {money_text(b.price_oere)} kr. = "
        f"{money_text(b.amount_oere)} kr. til {b.counterparty}, konto {b.account or 'ingen'}"
        f"{f' + {money_text(b.vat_oere)} kr. i moms' if b.vat_oere else ''}"
        f"{f', regulering af {b.corrects}' if b.corrects else ''}."
    )
    if b.run_no > 0:
        text += f" Bogført af {b.booked_by}, godkendt af {b.approved_by}, regelversion {b.engine_version}."
    return text


def _reason_text(told: Explanation, reason: str) -> str:
    lacks_department = any(s.process == "intern" and s.counterparty.startswith(MISSING) for s in told.stretches)
    if reason != "mangler_betaler" or not lacks_department:
        return REASONS.get(reason, reason)
    lacks_payer = any(s.payer == MISSING for s in told.stretches)
    return f"{NO_DEPARTMENT}; {REASONS[reason]}" if lacks_payer else NO_DEPARTMENT


def _refusal_sentences(refused: tuple[Refusal, ...]) -> Iterator[str]:
    for r in refused[:SHOWN_ROWS]:
        text = f"Venter på {r.file}, række {r.row}{f', kolonne {r.column}' if r.column else ''}: {r.message}"
        # A file's name, or a rule's message, is another's text.
        yield CPR_LIKE.sub("(skjult)", text)
    if len(refused) > SHOWN_ROWS:
        yield f"Og {len(refused) - SHOWN_ROWS} rækker mere, se siden Datakvalitet."


def _difference_sentences(told: Explanation) -> Iterator[str]:
    """What would be booked; «intet at bogføre» only of a process whose worth and bookings have been compared."""
    of_run = f" bogført i kørsel {told.before_run}" if told.before_run else ""
    for c in told.changes:
        yield _ended(
            f"Forskel{of_run}, {_inside(c.process)}, modpart {c.counterparty}, konto {c.account or 'ingen'}: værd − bogført = "
            f"{quantity_text(c.numerator, c.denominator)} × {money_text(c.price_oere)} kr. = {money_text(c.amount_oere)} kr."
            f"{f' og moms {money_text(c.vat_oere)} kr.' if c.vat_oere else ''}"
            f"{f', regulering af {c.corrects}' if c.corrects else ''}"
        )
    changed = {c.process for c in told.changes}
    rests = {"mellemkommunal"} if told.late else set()
    for c in told.compared:
        head = f"Forskel, {_inside(c.process)}" if len(told.compared) > 1 else "Forskel"
        if c.limit:
            yield f"{head}: {c.limit}"
        elif not told.parked and c.process not in changed | rests:
            yield f"{head}{f' før kørsel {told.before_run}' if told.before_run else ''}: intet at bogføre."
    if not told.compared and not told.parked and not told.changes:
        yield "Forskel: intet at bogføre."  # nothing is worth anything, and nothing is booked


def starts_text(first: date, month: date) -> str:
    """Why a month before the process's first is not compared."""
    return f"afregnes her fra {month_text(first)} (afregnes_fra), så for {month_text(month)} bogføres intet her."


def unsettled_text(process: str, stated: str | None, offer_id: str | None, is_known: bool, owner: str | None) -> str:
    """Why no run settles faktura and ingen, by loader.md: the line says so, or it follows from its offer."""
    remedy = " Skriv en afregningsform på ydelsen, hvis den skal afregnes."
    if stated == process:
        why, remedy = f", fordi ydelsens afregningsform er {process}", ""
    elif process == "faktura":
        why, remedy = f", fordi tilbud {offer_id} har en anden ejer ({owner})" if owner not in (None, "egen") else "", ""
    elif not offer_id:
        why = ", fordi ydelsen intet tilbud har"
    elif not is_known:
        why = f", fordi tilbud {offer_id} ikke findes i tilbud"
        remedy = " Send tilbuddet, eller skriv en afregningsform på ydelsen."
    elif owner is None:
        why = f", fordi tilbud {offer_id} ikke har et ejerforhold"
        remedy = " Skriv tilbuddets ejerforhold eller en afregningsform på ydelsen."
    else:
        why, remedy = "", ""
    remedy = " Den betales efter leverandørens fakturaer, se siden Fakturabetaling." if process == "faktura" else remedy
    return f"afregnes ikke her ({process}){why}.{remedy}"


def payer_text(w: dict, at: dict) -> str:
    """A stretch's payer, and which of the dated facts `at` it (by layer) says so; of counterparty and account likewise."""
    if w["payer"] is None:
        return MISSING
    return f"{w['payer']} ({'pakkens daterede betaler' if 'payer' in at else 'pakkens betalingskommune'})"


def counterparty_text(w: dict, line: dict) -> str:
    stated = {"payee_id": "udbetalingsvilkår", "payer_cpr": "opkrævningsvilkår"}
    if w["process"] in ("mellemkommunal", "intern"):
        origin = "betaleren" if w["process"] == "mellemkommunal" else "pakkens afdeling"
    elif w["process"] in ("udbetaling", "personopkraevning", "beboerbetaling"):
        terms = "payee_id" if w["process"] == "udbetaling" else "payer_cpr"
        origin = stated[terms] if line[terms] else "borgeren selv"
    else:
        return counterparty_of(w)
    return f"{named(w['counterparty'])} ({origin})"


def counterparty_of(row: dict) -> str:
    """What no run settles has no counterparty to lack."""
    return named(row["counterparty"]) if row["counterparty"] or row["process"] in SETTLED else "ingen"


def account_text(w: dict, line: dict, at: dict) -> str:
    if not w["account"]:
        return "ingen"
    origin = "konteringsregel efter funktion, gruppering og art"
    if "line_account" in at:
        origin = "ydelsens kontoregel"
    elif line["account"]:
        origin = "ydelsens egen konto"
    return f"{w['account']} ({origin})"


def titled(process: str) -> str:
    """A process's Danish title."""
    return TITLES.get(process, process.capitalize())


def _inside(process: str) -> str:
    """The title inside a sentence."""
    return titled(process)[0].lower() + titled(process)[1:]


def _ended(text: str) -> str:
    """A sentence that ends in «kr.» has its full stop already."""
    return text if text.endswith(".") else f"{text}."


def line_text(line: dict, source: str) -> str:
    """The service line with its kind of service and package, and what of them makes it worth nothing."""
    ends = day_text(line["end_date"]) if line["end_date"] else "åben"
    unit = UNITS[line["unit"]] + (f" efter {PRORATIONS[line['proration']]}" if line["unit"] == "maaned" else "")
    text = (
        f"Ydelse {line['service_line_id']}: {line['name'] or line['item_code']} ({unit}), "
        f"{day_text(line['start_date'])} – {ends}, antal {short_text(line['quantity_e4'], 10_000)}, {line['timing']}. "
        f"Kilde: {source}."
    )
    if line["withdrawn"] or line["package_withdrawn"] or line["status"] in ("ansoegt", "annulleret"):
        text += f" Ydelsen eller pakken er trukket tilbage, eller pakken er {line['status']}: den giver ret til 0."
    elif not line["departure_day_paid"] and line["unit"] != "leveret" and line["end_date"]:
        text += " Afrejsedagen betales ikke: slutdatoen har vægt 0, medmindre den også er første dag."
    return text


def count_text(unit: str, proration: str, weight: int, first: date, last: date, holidays: Collection[date]) -> str:
    """What the weight counts, in words: «22 dage mandag–fredag − 1 helligdag (01-05-2026) = 21 hverdage»."""
    days, in_month = (last - first).days + 1, month_end(first).day
    counted = f"{days} {'dag' if days == 1 else 'dage'}"
    if unit == "leveret":
        return f"registreret {short_text(weight, 10_000)}"
    if unit == "engang":
        return "ydelsens første dag bærer det hele"
    if unit == "hverdag":
        dates = [first + timedelta(days=n) for n in range(days)]
        workdays = [day for day in dates if day.weekday() < 5]
        free = [day_text(day) for day in workdays if day in holidays]
        text = f"{counted}, heraf {len(workdays)} mandag–fredag"
        if free:
            text += f" − {len(free)} {'helligdag' if len(free) == 1 else 'helligdage'} ({', '.join(free)})"
        return f"{text} = {weight} {'hverdag' if weight == 1 else 'hverdage'}"
    if unit == "uge":
        return f"{counted} à 1/7 uge"
    if unit == "time":
        return f"{counted} à 1/7 af ugens timer"
    if unit == "aar":
        return f"{counted} à 1/(12 × månedens {in_month} dage) år"
    if unit == "maaned" and proration == "hel":
        return "ydelsens første dag i måneden bærer hele måneden"
    if unit == "maaned" and proration == "tredivedel":
        text = f"{counted} à 1/30 måned"
        if last.day == 31:
            text += ", dag 31 tæller 0"
        if last.month == 2 and last.day == in_month:
            text += f", februars sidste dag tæller {30 - (in_month - 1)}/30"
        return text
    if unit == "maaned":
        return f"{counted} à 1/{in_month} måned"
    return f"{counted} à 1 døgn"


def named(counterparty: str | None) -> str:
    """A counterparty's code; a person is not shown by CPR number."""
    if not counterparty:
        return MISSING
    return "en person" if re.fullmatch(r"[0-9]{10}", counterparty) else counterparty


def short_text(value: int, scale: int) -> str:
    """A scaled whole number without trailing zeros: 125000 of 10000 → «12,5»."""
    whole, rest = divmod(abs(value), scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{',' + digits if digits else ''}"


def period_text(first: date, last: date) -> str:
    """«01-05-2026 – 31-05-2026»; one day alone; an open end as «åben»."""
    ends = "åben" if last == date.max else day_text(last)
    return day_text(first) if first == last else f"{day_text(first)} – {ends}"


def month_text(month: date) -> str:
    """«2026-05»; strftime would write the year 1 as «1»."""
    return month.isoformat()[:7]


def day_text(day: date) -> str:
    """«31-05-2026»; strftime would write the year 1 as «1»."""
    return f"{day.day:02d}-{day.month:02d}-{day.year:04d}"
