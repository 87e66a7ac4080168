"""What goes wrong with suppliers' documents, and what only looks wrong: each at its own share, with its truth.

A document with one wrong line may not be paid as it stands; its other lines stay right. Nobody can tell a wrong document
from a right one that says nothing of its citizen, so days, citizens and ends go wrong only where the citizen is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from random import Random

from ingestion.demo.bills import (
    COLLECTIVE,
    LINES_PER_DOCUMENT,
    OIOUBL_2,
    OIOUBL_3,
    PEPPOL,
    PER_WEEK,
    Bill,
    BillLine,
    Delivered,
    Owed,
    Served,
    bill,
    days_of,
    in_parts,
    is_told,
    rounded,
)
from ingestion.demo.quantities import units_of_a_day
from settlement.documents.model import CREDIT_NOTE

# Of 10,000 documents. A split month is two documents.
SHARES = {
    "price_uplift": 210, "wrong_rate": 200, "wrong_days": 220, "split": 220, "merged": 180, "credit": 210,
    "ended_citizen": 190, "other_citizen": 180, "duplicate": 240,
}  # fmt: skip
KINDS = ("right", "no_reference", *SHARES)
# From so many documents on, each kind happens at least once where it can; a credit note always does.
ENOUGH_FOR_EACH = 40
CREDITS_AMONG_COPIES_PCT = 12
MERGED_LINES = 6


class BillErrors:
    """Draws the kinds over a municipality's documents. `after_end` is what would have been billed of citizens who left."""

    def __init__(
        self, rng: Random, bills: list[Bill], after_end: list[Delivered], served_at: dict[int, list[Delivered]],
        levels: dict[int, int], referring: set[int], stranger: Callable[[], Served], last_day: date, expected: int,
    ) -> None:  # fmt: skip
        self._rng, self.bills, self._after_end, self._levels = rng, bills, after_end, levels
        self._referring, self._stranger, self._last_day = referring, stranger, last_day
        least = int(expected >= ENOUGH_FOR_EACH)
        self._wanted = {kind: max(least, share * expected // 10_000) for kind, share in SHARES.items()}
        self._wanted["credit"] = max(1, self._wanted["credit"])
        self._faces_at = {
            number: {face for delivered in served_at[number] for face in _faces(delivered.served)}
            for number in {each.offer.number for each in bills}
        }

    def draw(self) -> list[Bill]:
        """The documents with everything that happens to them; every one has its kind."""
        self._price_uplift()
        pool = self._free()
        self._rng.shuffle(pool)
        self._each("wrong_rate", pool, self._wrong_rate)
        self._each("wrong_days", pool, self._wrong_days)
        self._each("split", pool, self._split)
        self._merged(pool)
        self._ended_citizen()
        self._each("other_citizen", pool, self._other_citizen)
        credits = self._each("credit", pool, self._credit)
        copies = self._wanted["duplicate"] * CREDITS_AMONG_COPIES_PCT // 100
        self._each("duplicate", credits[:copies] + [b for b in pool if not b.kind and not b.is_needed], self._duplicate)
        for each in self.bills:
            each.kind = each.kind or ("right" if each.gives_reference else "no_reference")
        return self.bills

    def _free(self) -> list[Bill]:
        return [each for each in self.bills if not each.kind and not each.is_needed]

    def _each(self, kind: str, pool: list[Bill], happen: Callable[[Bill], list[Bill] | None]) -> list[Bill]:
        """Lets a kind happen to free documents of the pool until there are enough; gives the documents of that kind."""
        found: list[Bill] = []
        for each in pool:
            if len(found) >= self._wanted[kind]:
                break
            if (not each.kind or each.kind == "credit") and not each.is_needed:
                for made in happen(each) or ():
                    made.kind = kind
                    found.append(made)
        known = set(map(id, self.bills))
        self.bills += [made for made in found if id(made) not in known]
        return found

    # Wrong prices

    def _price_uplift(self) -> None:
        """A supplier raises its price from a month on, by 2–5 per cent, on everything."""
        by_offer: dict[int, dict[str, list[Bill]]] = {}
        for each in self.bills:
            months = by_offer.setdefault(each.offer.number, {})
            months.setdefault(each.lines[0].owed[0].delivery_month, []).append(each)
        offers, left = sorted(by_offer), self._wanted["price_uplift"]
        self._rng.shuffle(offers)
        for number in offers:
            months, per_mille = by_offer[number], self._rng.randint(1020, 1050)
            for month in sorted(months, reverse=True)[: max(1, len(months) // 2)]:
                if left <= 0:
                    return
                for each in months[month]:
                    each.kind = "price_uplift"
                    each.lines = [_at(line, line.price_oere * per_mille // 1000) for line in each.lines]
                left -= len(months[month])

    def _wrong_rate(self, each: Bill) -> list[Bill]:
        i = self._rng.randrange(len(each.lines))
        pct = self._rng.choice((-6, -4, 3, 5, 7, 9, 12, 15))
        each.lines[i] = _at(each.lines[i], each.lines[i].price_oere * (100 + pct) // 100)
        return [each]

    # Wrong quantities

    def _wrong_days(self, each: Bill) -> list[Bill] | None:
        i = self._rng.randrange(len(each.lines))
        line = each.lines[i]
        delivered = line.delivered[0]
        if not is_told(each.offer, line.served[0], line.item):
            return None
        units = line.units + self._rng.randint(1, 4) * units_of_a_day(line.item, delivered.month.days)
        if line.units == delivered.units < delivered.present:
            units = delivered.present  # away, come later or gone sooner, and billed all the same
        each.lines[i] = replace(line, units=units, is_right=False)
        return [each]

    # Right, but otherwise divided

    def _split(self, each: Bill) -> list[Bill] | None:
        """A month in two documents, each with its own period."""
        cut = [(line.delivered[0], in_parts(line.delivered[0], [(0, 2), (2, 4)])) for line in each.lines]
        whole = all(line.units == line.delivered[0].units and line.item.unit != "leveret" for line in each.lines)
        first = [line for _, pieces in cut for line in pieces if line.first.day == 1]
        later = [line for _, pieces in cut for line in pieces if line.first.day != 1]
        if not (whole and first and later and all(pieces for _, pieces in cut)):
            return None
        new = bill(each.offer, each.department, first, self._rng, by_part=True)
        each.lines = later
        return [new, each]

    def _merged(self, pool: list[Bill]) -> None:
        """Several citizens in one line, or several months: of a document, or of documents that would else have been apart."""
        left = self._wanted["merged"]
        self._wanted["merged"] = left // 3
        left -= len(self._each("merged", pool, self._citizens_in_one_line))
        alone = [each for each in pool if not each.kind and len(each.lines) == 1 and each.lines[0].item.unit != "leveret"]
        months: dict[str, dict[str, list[Bill]]] = {}
        neighbours: dict[tuple, list[Bill]] = {}
        for each in sorted(alone, key=lambda b: b.lines[0].first):
            line = each.lines[0]
            months.setdefault(line.owed[0].service_line_id, {}).setdefault(line.owed[0].delivery_month, []).append(each)
            key = (each.offer.number, line.item.code, each.department, line.first, line.last, line.price_oere)
            neighbours.setdefault(key, []).append(each)
        rows = [list(by_month.values())[:2] for by_month in months.values()]
        in_a_row = [[each for month in row for each in month] for row in rows if _follow(row)]
        beside = [group[:MERGED_LINES] for group in neighbours.values() if len(group) > 1]
        for groups, share in ((in_a_row, left // 2), (beside, left)):
            self._rng.shuffle(groups)
            for group in groups:
                if share > 0 and left > 0 and self._in_one(group):
                    share, left = share - 1, left - 1
        self.bills = [each for each in self.bills if each.lines]

    @staticmethod
    def _in_one(group: list[Bill]) -> bool:
        """Makes documents one with one line; not where something has happened to one, or the sum would differ."""
        joined = None if any(each.kind for each in group) else _joined([each.lines[0] for each in group])
        if not joined:
            return False
        last = max(group, key=lambda b: b.issued)
        for each in group:
            each.lines = [joined] if each is last else []
            each.kind = "merged" if each is last else "gone"
        return True

    def _citizens_in_one_line(self, each: Bill) -> list[Bill] | None:
        """Those of one price, as many as add up."""
        price = each.lines[0].price_oere
        for size in range(MERGED_LINES, 1, -1):
            alike = [line for line in each.lines if line.price_oere == price][:size]
            if len(alike) == size and (joined := _joined(alike)):
                each.lines = [joined, *(line for line in each.lines if line not in alike)]
                return [each]
        return None

    # Wrong citizens

    def _ended_citizen(self) -> None:
        """Somebody who has left is billed on: alone, or as one more line among the others."""
        open_bills = {
            (b.offer.number, b.lines[0].item.code, b.department, b.lines[0].owed[0].delivery_month): b
            for b in self._free()
        }
        chances = list(self._after_end)
        self._rng.shuffle(chances)
        left = self._wanted["ended_citizen"]
        for ended in chances:
            if left <= 0:
                return
            served, offer = ended.served, ended.offer
            if offer.number not in self._faces_at or not is_told(offer, served, ended.item):
                continue
            lines = [self._nothing_owed(served, ended, ended.units, (0, 4))]
            if by_week := self._levels[offer.number] == PER_WEEK:
                lines = [self._nothing_owed(served, ended, ended.parts[n], (n, n + 1)) for n in range(4) if ended.parts[n]]
            key = (offer.number, ended.item.code, served.department, ended.month.name)
            together = open_bills.get(key) if self._levels[offer.number] == COLLECTIVE else None
            if together and not together.kind and len(together.lines) < LINES_PER_DOCUMENT:
                together.lines.append(lines[0])
                together.kind = "ended_citizen"
                left -= 1
                continue
            for line in lines:
                made = bill(offer, served.department, [line], self._rng, by_part=by_week)
                made.kind = "ended_citizen"
                if made.received <= self._last_day:
                    self.bills.append(made)
                    left -= 1

    def _other_citizen(self, each: Bill) -> list[Bill] | None:
        """A line names a citizen whom this supplier does not serve: another supplier's, or another municipality's."""
        stranger, like = self._stranger(), each.lines[0]
        known = not _faces(stranger).isdisjoint(self._faces_at[each.offer.number])
        said = stranger.requisition if each.offer.number in self._referring else ""
        stranger = replace(stranger, department=each.department, requisition=said)
        if known or not is_told(each.offer, stranger, like.item):
            return None
        delivered = like.delivered[0]
        line = BillLine(
            (stranger,), like.item, like.first, like.last, like.units, like.price_oere,
            (Owed("", delivered.month.name, 0),), is_right=False,
        )  # fmt: skip
        if 1 < len(each.lines) < LINES_PER_DOCUMENT:
            each.lines.append(line)
            return [each]
        made = replace(each, lines=[line], issued=each.issued + timedelta(self._rng.randint(0, 2)), is_needed=False)
        made.received = made.issued + timedelta(self._rng.randint(0, 2))
        return [made] if made.received <= self._last_day else None

    @staticmethod
    def _nothing_owed(served: Served, like: Delivered, units: Fraction, span: tuple[int, int]) -> BillLine:
        owed = Owed(like.service_line_id, like.month.name, 0)
        first, last = days_of(like.month, span)
        return BillLine((served,), like.item, first, last, units, like.price_oere, (owed,), is_right=False)

    # After the event

    def _credit(self, each: Bill) -> list[Bill] | None:
        """An earlier document turns out not to have been delivered, all of it or a line in part."""
        chosen, days = each.lines, 0
        if len(chosen) > MERGED_LINES or self._rng.random() < 0.5:
            chosen, days = [self._rng.choice(each.lines)], self._rng.randint(0, 3)
        lines = []
        for line in chosen:
            part = days * units_of_a_day(line.item, line.delivered[0].month.days)
            units = -(part if 0 < part < line.units else line.units)
            owed = replace(line.owed[0], amount_oere=rounded(units * line.price_oere))
            lines.append(replace(line, units=units, owed=(owed,)))
        return self._later(each, lines, (6, 40), document_kind=CREDIT_NOTE, corrects=each)

    def _duplicate(self, each: Bill) -> list[Bill] | None:
        """The same document again: in another format, with a new date, with its number written otherwise."""
        lines = [
            replace(line, owed=tuple(replace(owed, amount_oere=0) for owed in line.owed), is_right=False)
            for line in each.lines
        ]
        how = self._rng.choice(("format", "date", "number", "format and number"))
        made = self._later(each, lines, (3, 45), copy_of=each, changes_number="number" in how)
        for copy in made or ():
            copy.issued = copy.issued if how == "date" else each.issued
            if "format" in how:
                copy.format = self._rng.choice([f for f in (OIOUBL_2, OIOUBL_3, PEPPOL) if f != each.format])
        return made

    def _later(self, each: Bill, lines: list[BillLine], days: tuple[int, int], **changes: object) -> list[Bill] | None:
        issued = each.issued + timedelta(self._rng.randint(*days))
        received = issued + timedelta(self._rng.randint(1, 2))
        if received > self._last_day or not sum(line.amount_oere for line in lines):
            return None
        each.is_needed = True
        return [replace(each, lines=lines, issued=issued, received=received, kind="", is_needed=False, **changes)]


def _at(line: BillLine, price_oere: int) -> BillLine:
    return replace(line, price_oere=price_oere, is_right=False)


def _faces(served: Served) -> set[str]:
    """All that a line may know a citizen by."""
    return {served.name, f"{served.born}", served.cpr}


def _follow(row: list[list[Bill]]) -> bool:
    """Whether they are two whole months, one right after the other."""
    deliveries = [month[0].lines[0].delivered[0] for month in row]
    whole = all(sum(b.lines[0].units for b in month) == d.units for month, d in zip(row, deliveries, strict=True))
    return whole and len(row) == 2 and deliveries[0].month.last + timedelta(1) == deliveries[1].month.first


def _joined(lines: list[BillLine]) -> BillLine | None:
    """The lines as one; None where prices differ, or the whole would not be the sum of what is owed, to the øre."""
    owed: dict[tuple[str, str], int] = {}
    for line in lines:
        for each in line.owed:
            key = (each.service_line_id, each.delivery_month)
            owed[key] = owed.get(key, 0) + each.amount_oere
    first = lines[0]
    joined = replace(
        first, served=tuple(dict.fromkeys(served for line in lines for served in line.served)),
        first=min(line.first for line in lines), last=max(line.last for line in lines),
        units=sum((line.units for line in lines), Fraction(0)),
        owed=tuple(Owed(*key, amount) for key, amount in owed.items()),
        delivered=tuple(dict.fromkeys(d for line in lines for d in line.delivered)),
    )  # fmt: skip
    fits = {line.price_oere for line in lines} == {first.price_oere} and joined.amount_oere == sum(owed.values())
    return joined if fits else None
