"""Cura: who of the elderly is granted help, and what was delivered of it.

Calibration (statistics_reports.md § 2.2): of 58,000 inhabitants 1,558 get help at home, 4,968 hours a week; two of three
less than 2 hours, 22 % 2–8, 9 % 8–20, 2 % more. Cura's extract holds who had a grant in the last three months, and the
visits and meals of the last two: the visits of years would be more rows than all other sources together. A visit here is
all visits of one grant and day; a municipality whose Cura delivers each sends more rows of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from random import Random

from ingestion.demo.case import Case
from ingestion.demo.catalogue import ITEMS, Item, private_account, scaled
from ingestion.demo.extracts import Extracts, Row
from ingestion.demo.finance import Costs
from ingestion.demo.invoices import Invoices, Served
from ingestion.demo.offers import Offer, Offers
from ingestion.demo.people import CprNumbers, Municipalities, name, postal_code, street
from ingestion.demo.registry import Registry
from ingestion.demo.shares import Shares

RECIPIENTS = 1558
CARE, HOUSEWORK, MEALS, REHABILITATION, NURSING = "SEL83-PLEJE", "SEL83-PRAK", "SEL83-MAD", "SEL83A-REHAB", "SUL138-SYGE"
FSIII = {CARE: "J1.1", HOUSEWORK: "J2.1", MEALS: "J3.1", REHABILITATION: "J4.1", NURSING: "G1.1"}
# Per cent of recipients × minutes a week, from and to; half of those with least help have housework alone.
NEEDS = ((67, 20, 88), (22, 120, 400), (9, 480, 960), (2, 1200, 2000))
MEAN_STAY_DAYS = 1100
GRANT_MONTHS, DELIVERED_MONTHS = 3, 2
# Per cent of grants delivered by a private supplier of the citizen's own choice (§ 91).
PRIVATE_PCT = {CARE: 12, HOUSEWORK: 38, MEALS: 60}
CANCELLED_PCT, NOT_AT_HOME_PCT = 4, 3
# Out of 10,000.
ALSO_IN_SENSUM, NUMBER_CHANGED, LATE_VISIT, DIED, DEAD_BUT_OPEN = 6000, 1500, 100, 7000, 20


@dataclass
class Grant:
    """One granted service. `per_week` is minutes, or meals; `weekdays` those on which it is delivered."""

    number: int
    item: Item
    offer: Offer
    per_week: int
    weekdays: tuple[int, ...]
    every_second_week: bool = False


@dataclass
class Elder:
    """One citizen's decision, known to Cura from `known` and its end from `end_known`; `dead` is the day of death."""

    number: int
    cpr: str
    born: date
    name: str
    street: str
    postal_code: str
    protected: bool
    start: date
    end: date | None
    known: date
    end_known: date
    worker: str
    grants: list[Grant] = field(default_factory=list)
    dead: date | None = None

    def end_at(self, day: date) -> date | None:
        return self.end if self.end and self.end_known <= day else None


class Eldercare:
    """Writes Cura's files: some of Sensum's citizens as their cases are written, then everyone else."""

    def __init__(
        self, extracts: Extracts, municipalities: Municipalities, offers: Offers, cpr: CprNumbers, costs: Costs,
        registry: Registry, invoices: Invoices, population: int, seed: int,
    ) -> None:  # fmt: skip
        self._extracts, self._municipalities, self._offers, self._cpr = extracts, municipalities, offers, cpr
        self._costs, self._registry, self._invoices = costs, registry, invoices
        self._rng, self._shares = Random(f"{seed}:cura"), Shares()
        self._stock = scaled(RECIPIENTS, population)
        self.first_day, self.last_day = extracts.dates
        months = [month.first for month in costs.months]
        self._granted_from = months[-GRANT_MONTHS:][0]
        self._delivered_from = months[-DELIVERED_MONTHS:][0]
        self._elders = self._grants = self._visits = self._meals = self._living = 0
        # What private suppliers deliver in a week, in minutes and meals, by item.
        self._private_per_week: dict[str, int] = {}

    def after(self, case: Case) -> None:
        """Lets an elderly citizen of Sensum One have help in the home too; Cura may know a newer CPR number."""
        if (
            case.care.item not in ("SEL85", "ABL105") or case.moved_to or case.main.known > self.first_day
            or {case.lives_in, case.payer} != {self._municipalities.own.code}
            or case.born > date(self.last_day.year - 65, 1, 1) or case.main.end_at(self.last_day)
            or self._living >= self._stock // 2 or not self._shares.hit("sensum", ALSO_IN_SENSUM)
        ):  # fmt: skip
            return
        cpr = case.cpr
        if self._shares.hit("number", NUMBER_CHANGED):
            cpr = self._cpr.new(case.born)
            self._registry.number_changed(case.cpr, cpr, self.first_day - timedelta(self._rng.randint(20, 200)))
        start = max(case.main.start, self._granted_from - timedelta(self._rng.randint(30, 700)))
        self._living += 1
        self._write(
            self._elder(cpr, case.born, case.citizen_name, case.street, case.postal_code, case.protected, start, None)
        )

    def finish(self) -> int:
        """Writes everyone else; returns the number of citizens."""
        rng = self._rng
        for _ in range(self._stock - self._living):
            for start, end in self._stays():
                born = start - timedelta(int(rng.triangular(67, 98, 84) * 365.25))
                protected = self._shares.hit("protected", 40)
                cpr, here = self._cpr.new(born), self._municipalities.own
                ends = end if end <= self.last_day else None
                if protected:
                    self._registry.protected(cpr, start)
                self._write(
                    self._elder(cpr, born, name(rng), street(rng), postal_code(rng, here.region), protected, start, ends)
                )
        self._add_private_costs()
        return self._elders

    def _stays(self) -> Iterator[tuple[date, date]]:
        """(start, end) of those who get help in turn, from the first month of the extract on."""
        rng, begin = self._rng, self._granted_from
        earlier = timedelta(min(int(rng.expovariate(1 / MEAN_STAY_DAYS)), 3000))
        while begin <= self.last_day:
            end = begin + timedelta(1 + int(rng.expovariate(1 / MEAN_STAY_DAYS)))
            yield begin - earlier, end
            begin, earlier = end + timedelta(rng.randint(1, 20)), timedelta(0)

    def _elder(
        self, cpr: str, born: date, citizen: str, place: str, postal: str, protected: bool, start: date, end: date | None
    ) -> Elder:
        rng = self._rng
        self._elders += 1
        known = start + timedelta(rng.randint(-10, 3))
        worker = "V" + "".join(chr(65 + self._elders // 60 // 26**i % 26) for i in range(2))
        elder = Elder(
            self._elders, cpr, born, citizen, place, postal, protected, start, end, known,
            max(end + timedelta(rng.randint(0, 9)), known) if end else date.max, worker,
        )  # fmt: skip
        if end and self._shares.hit("died", DIED):
            elder.dead = max(end - timedelta(rng.randint(0, 6)), start)  # the help ends a little late
        elif not end and start < self.first_day - timedelta(60) and self._shares.hit("dead but open", DEAD_BUT_OPEN):
            elder.dead = self.first_day - timedelta(rng.randint(5, 50))
        if elder.dead:
            self._registry.died(cpr, elder.dead)
        self._add_grants(elder)
        return elder

    def _add_grants(self, elder: Elder) -> None:
        rng = self._rng
        need = rng.choices(range(len(NEEDS)), [share for share, _, _ in NEEDS])[0]
        minutes = rng.randrange(NEEDS[need][1], NEEDS[need][2], 5)
        light = need == 0
        if light and rng.random() < 0.5:
            self._grant(elder, HOUSEWORK, minutes, 1, every_second_week=True)
        elif light:
            self._grant(elder, CARE, minutes, rng.choice((1, 1, 2)))
        else:
            self._grant(elder, CARE, minutes - 30, 7)
            self._grant(elder, HOUSEWORK, 30, 1, every_second_week=True)
        if rng.random() < (0.2 if light else 0.6):
            self._grant(elder, NURSING, rng.randrange(10, 60, 5), rng.choice((1, 1, 2)))
        if rng.random() < (0.2 if light else 0.45):
            self._grant(elder, MEALS, rng.choice((7, 7, 5, 4)), 1 if rng.random() < 0.7 else 2)
        if light and rng.random() < 0.06:
            self._grant(elder, REHABILITATION, rng.randrange(90, 240, 10), 2)

    def _grant(self, elder: Elder, code: str, per_week: int, days: int, every_second_week: bool = False) -> None:
        rng = self._rng
        self._grants += 1
        private = code in PRIVATE_PCT and self._shares.hit(f"private {code}", PRIVATE_PCT[code] * 100)
        pool = self._offers.others[code] if private else self._offers.own[CARE]
        offer = pool[elder.number % len(pool)]
        weekdays = tuple(sorted(rng.sample(range(7 if days > 5 else 5), days)))
        elder.grants.append(Grant(self._grants, ITEMS[code], offer, per_week, weekdays, every_second_week))

    def _write(self, elder: Elder) -> None:
        if elder.known > self.last_day:
            return
        self._extracts.deliver("cura", "borgere", *self._versions(elder, lambda day: self._citizen_row(elder)))
        for grant in elder.grants:
            dataset = "madordninger" if grant.item.code == MEALS else "indsatser"
            rows = self._versions(elder, lambda day, grant=grant: self._grant_row(elder, grant, day))
            self._extracts.deliver("cura", dataset, *rows)
            if not grant.offer.own and not elder.end:
                per_week = self._private_per_week.get(grant.item.code, 0)
                self._private_per_week[grant.item.code] = per_week + grant.per_week
            self._deliver(elder, grant)

    def _versions(self, elder: Elder, row) -> tuple[Row | None, Row | None]:
        return tuple(row(day) if elder.known <= day else None for day in self._extracts.dates)

    def _citizen_row(self, elder: Elder) -> Row:
        return {
            "cpr": elder.cpr, "navn": elder.name, "adresse/vej": elder.street, "adresse/postnr": elder.postal_code,
            "kommune": self._municipalities.own.code.zfill(4), "beskyttet": "true" if elder.protected else "false",
        }  # fmt: skip

    def _grant_row(self, elder: Elder, grant: Grant, day: date) -> Row:
        own, end, offer = self._municipalities.own.code.zfill(4), elder.end_at(day), grant.offer
        times = "hver anden uge" if grant.every_second_week else f"{len(grant.weekdays)} gange om ugen"
        return {
            "indsats_id": grant.number, "cpr": elder.cpr, "bevilling/bevilling_id": elder.number,
            "bevilling/dato": elder.known, "bevilling/status": "afsluttet" if end and end <= day else "visiteret",
            "bevilling/afdeling": "AE-VIS", "bevilling/visitator": elder.worker, "bevilling/handlekommune": own,
            "bevilling/betalingskommune": own, "paragraf": f"{grant.item.law} § {grant.item.paragraph}",
            "fsiii_kode": FSIII[grant.item.code], "lokal_kode": grant.item.code, "leverandoer/leverandoer_id": offer.id,
            "leverandoer/cvr": offer.cvr, "leverandoer/form": "KOMMUNAL" if offer.own else "PRIVAT",
            "visiteret_pr_uge": grant.per_week, "frekvens": times, "start": max(elder.start, elder.known),
            "slut": end or "", "konto": "" if offer.own else private_account(grant.item), "slettet": "false",
        }  # fmt: skip

    def _deliver(self, elder: Elder, grant: Grant) -> None:
        """Visits or meals of the months that are delivered, to the day of death where nobody has ended the grant."""
        rng = self._rng
        day = max(elder.start, elder.known, self._delivered_from)
        last = min(elder.dead or elder.end or self.last_day, elder.end or self.last_day, self.last_day)
        meals = grant.item.code == MEALS
        parts = len(grant.weekdays)
        delivered: dict[date, int] = {}  # ten-thousandths of meals or hours, each visit rounded as it is registered
        while day <= last:
            if day.weekday() in grant.weekdays and not (
                grant.every_second_week and day.isocalendar().week % 2 == grant.number % 2
            ):
                delivery = int(day > self.first_day or elder.known > self.first_day)
                if not delivery and self._shares.hit("late visit", LATE_VISIT):
                    delivery = 1
                chance = rng.randrange(100)
                if meals:
                    units = self._meal(grant, day, grant.per_week // parts, chance < CANCELLED_PCT, delivery)
                else:
                    minutes = grant.per_week * (2 if grant.every_second_week else 1) // parts
                    units = self._visit(grant, day, minutes * rng.randint(80, 112) // 100, chance, delivery)
                delivered[day] = units * 10_000 if meals else (units * 20_000 + 60) // 120
            day += timedelta(1)
        served = Served(elder.cpr, elder.name, elder.born, "", "AE-VIS", elder.worker)
        self._invoices.add_registrations(served, grant.offer, grant.item, f"CUR-{grant.number}", delivered)

    def _visit(self, grant: Grant, day: date, minutes: int, chance: int, delivery: int) -> int:
        """Writes a visit; returns the delivered minutes."""
        self._visits += 1
        status = "leveret"
        if chance < CANCELLED_PCT + NOT_AT_HOME_PCT:
            status = "aflyst" if chance < CANCELLED_PCT else "ikke hjemme"
        begin = datetime.combine(day, time(7 + grant.number % 12, grant.number * 5 % 60))
        length = 0 if status == "aflyst" else 5 if status == "ikke hjemme" else max(minutes, 5)
        row = {
            "besoeg_id": self._visits, "indsats_id": grant.number, "start": begin,
            "slut": begin + timedelta(minutes=length), "minutter": length, "status": status,
        }  # fmt: skip
        self._extracts.write("cura", "besoeg", delivery, row)
        return length if status == "leveret" else 0

    def _meal(self, grant: Grant, day: date, count: int, cancelled: bool, delivery: int) -> int:
        """Writes a delivery of meals; returns their number."""
        self._meals += 1
        row = {"maaltid_id": self._meals, "indsats_id": grant.number, "dato": day, "antal": max(count, 1)}
        self._extracts.write("cura", "maaltider", delivery, row | {"status": "afmeldt" if cancelled else "leveret"})
        return 0 if cancelled else max(count, 1)

    def _add_private_costs(self) -> None:
        """What private suppliers cost in every month of the history, as if as many had help all along.

        The own home care's wages are not in the finance system's extract: nothing commits them yet.
        """
        for code, per_week in sorted(self._private_per_week.items()):
            item = ITEMS[code]
            for number, month in enumerate(self._costs.months):
                price = self._offers.price(item, self._offers.others[code][0], month.first.year)
                amount = price * per_week * month.days // 7 * 93 // 100
                self._costs.add(private_account(item), "AE-VIS", number, amount // (1 if code == MEALS else 60))
