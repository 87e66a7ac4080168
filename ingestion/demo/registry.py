"""The CPR register's events about the demo's citizens, consistent with their cases but for a few that nobody has acted on.

Those few: a citizen who is dead, has moved to another municipality or gone abroad, and whose service goes on in the case
system all the same.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from ingestion.demo.case import Case
from ingestion.demo.extracts import Extracts
from ingestion.demo.people import CprNumbers, Municipalities
from ingestion.demo.shares import Shares

ALIVE, MISSING, ABROAD, DEAD = "01", "70", "80", "90"
# Out of 10,000 cases that can have it.
DIED, DEAD_BUT_OPEN, MOVED_AWAY, MOVED_BUT_OPEN, ABROAD_BUT_OPEN, REAPPEARED, NUMBER_CHANGED = 2500, 25, 600, 30, 12, 25, 15
GUARDIAN = 1200


class Registry:
    """Writes the events, each in the delivery that the register knew it by: two days after it happened."""

    def __init__(self, extracts: Extracts, municipalities: Municipalities, cpr: CprNumbers, seed: int) -> None:
        self._extracts, self._municipalities, self._cpr = extracts, municipalities, cpr
        self._rng, self._shares = Random(f"{seed}:cpr"), Shares()
        self.first_day, self.last_day = extracts.dates
        self._events = 0

    def after(self, case: Case) -> None:
        """What the register knows of a case's citizen; one event that ends or moves a person at most."""
        main, adult = case.main, case.born.year <= self.last_day.year - 18
        if case.protected:
            self.protected(case.cpr, main.start)
        if adult and case.care.item in ("SEL108", "ABL105") and self._shares.hit("guardian", GUARDIAN):
            self._guardian(case)
        if self._shares.hit("number", NUMBER_CHANGED):
            back = self._rng.randint(10, 300)
            self.number_changed(case.cpr, self._cpr.new(case.born), max(self.last_day - timedelta(back), case.born))
        at_home = not case.care.counts_places
        if case.payers:
            # Whoever lives at home is paid for by the municipality moved to; a resident of a home has not moved.
            for valid_from, valid_to, payer, _ in case.payers if at_home else ():
                self._moved(case.cpr, valid_from, payer)
                if valid_to:
                    self._moved(case.cpr, valid_to + timedelta(1), case.payer)
        elif main.end_at(self.last_day) and main.end <= self.last_day:
            self._ended(case, adult, at_home)
        elif main.known <= self.first_day - timedelta(60) and not (case.applied or case.annulled):
            self._goes_on(case, adult, at_home)

    def _ended(self, case: Case, adult: bool, at_home: bool) -> None:
        end, start = case.main.end, case.main.start
        if adult and self._shares.hit("died", DIED):
            self.died(case.cpr, max(end - timedelta(self._rng.randint(0, 5)), start))  # the service ends a little late
        elif at_home and self._shares.hit("moved", MOVED_AWAY):
            self._moved(case.cpr, end + timedelta(self._rng.randint(0, 3)), self._municipalities.another(self._rng).code)

    def _goes_on(self, case: Case, adult: bool, at_home: bool) -> None:
        day = self.first_day - timedelta(self._rng.randint(5, 50))
        if adult and self._shares.hit("dead but open", DEAD_BUT_OPEN):
            self.died(case.cpr, day)
        elif at_home and self._shares.hit("moved but open", MOVED_BUT_OPEN):
            self._moved(case.cpr, day, self._municipalities.another(self._rng).code)
        elif at_home and self._shares.hit("abroad but open", ABROAD_BUT_OPEN):
            self._status(case.cpr, day, ABROAD)
        elif adult and self._shares.hit("reappeared", REAPPEARED):
            self._status(case.cpr, day, MISSING)
            self._status(case.cpr, day + timedelta(4), ALIVE)

    def died(self, cpr: str, day: date) -> None:
        self._status(cpr, day, DEAD)

    def number_changed(self, old: str, new: str, day: date) -> None:
        self._write(day, {"art": "personnummer", "person/cpr": old, "nyt_cpr": new})

    def protected(self, cpr: str, since: date) -> None:
        """Protection lapses after a year unless it is asked for again (CPR-loven § 28): here it has been, on a day of
        the last year, or for good."""
        begin = max(since, self.last_day - timedelta(self._rng.randint(30, 330)))
        lasting = self._rng.random() < 0.3
        self._write(begin, {
            "art": "beskyttelse", "person/cpr": cpr, "til_dato": "" if lasting else begin + timedelta(365)
        })  # fmt: skip

    def _moved(self, cpr: str, day: date, municipality: str) -> None:
        self._write(day, {"art": "flytning", "person/cpr": cpr, "adresse/kommunekode": municipality.zfill(4)})

    def _status(self, cpr: str, day: date, status: str) -> None:
        self._write(day, {"art": "status", "person/cpr": cpr, "status": status})

    def _guardian(self, case: Case) -> None:
        rng = self._rng
        born = date(case.born.year + rng.randint(-30, 10), rng.randint(1, 12), rng.randint(1, 28))
        guardian = self._cpr.new(min(born, date(self.last_day.year - 25, 1, 1)))
        begin = case.main.start + timedelta(rng.randint(0, 200))
        ended = begin + timedelta(rng.randint(200, 900)) if rng.random() < 0.15 else None
        self._write(begin, {
            "art": "vaergemaal", "person/cpr": case.cpr, "vaerge/cpr": guardian,
            "til_dato": ended if ended and ended <= self.last_day else "",
        })  # fmt: skip

    def _write(self, day: date, row: dict[str, object]) -> None:
        known = day + timedelta(2)
        if known > self.last_day:
            return
        self._events += 1
        self._extracts.write("cpr", "haendelser", int(known > self.first_day), row | {
            "haendelse_id": self._events, "dato": day
        })  # fmt: skip
