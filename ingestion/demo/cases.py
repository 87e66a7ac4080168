"""The demo's cases: who is granted what, where and when, as the case systems knew it at each of the two deliveries.

A place is followed through the history: one citizen after another has it, so that stock, entries and exits balance
without ever holding the population. Facts that the systems learn late (end dates, payers, absence, whole cases) come
with the second delivery.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from ingestion.demo import records
from ingestion.demo.case import Case, Line
from ingestion.demo.catalogue import CARES, ITEMS, PROJECT_COST_CENTRE, Care, Item, account, income_account, scaled
from ingestion.demo.extracts import Extracts
from ingestion.demo.finance import Costs, Month
from ingestion.demo.invoices import Invoices, Served
from ingestion.demo.offers import Offer, Offers, residents_of
from ingestion.demo.people import CprNumbers, Municipalities, name, postal_code, street
from ingestion.demo.quantities import Spell
from ingestion.demo.shares import Shares

# Out of 10,000 cases (or lines): how often a thing happens. Each happens at least once where it can.
LATE_START, LATE_END, PLANNED_END = 150, 800, 3000
PAYER_CHANGED, PAYER_CHANGED_LATE, WITHDRAWN, ANNULLED, APPLIED, MOVED = 150, 60, 40, 30, 1000, 100
OWN_PRICE_CHILD, OWN_PRICE_ADULT, DATED_ACCOUNT, PROTECTED, IN_ADVANCE = 3500, 200, 200, 150, 300
LATE_REGISTRATION, NEGATIVE_REGISTRATION = 100, 30
ABSENCES_PER_YEAR = 0.4
ABSENCE_REASONS = ("Indlæggelse", "Ferie", "Ophold hos pårørende", "Udeblevet")
CASES_PER_WORKER = 40
# How the mappings begin the id of a system's service line.
LINE_IDS = {"dubu": "DUBU", "sensum": "SEN"}
PAYOUTS = ("BL43-LOMME", "BL43-ETABL", "BL86-MER", "BL87-TAF", "SEL100", "SEL96", "BL43-PLEJE")


class Caseload:
    """Makes every case in turn and writes it; `cases()` gives each one out when it has been written."""

    def __init__(
        self, extracts: Extracts, municipalities: Municipalities, offers: Offers, cpr: CprNumbers, costs: Costs,
        invoices: Invoices, population: int, seed: int,
    ) -> None:  # fmt: skip
        self.extracts, self.municipalities, self.offers, self.costs = extracts, municipalities, offers, costs
        self._invoices = invoices
        self._cpr, self._population, self._seed, self._shares = cpr, population, seed, Shares()
        self.first_day, self.last_day = extracts.dates
        self.months: list[Month] = costs.months
        self.history_start = self.months[0].first
        self._cases = self._lines = self._registrations = 0
        self._workers: dict[str, int] = {}

    def cases(self) -> Iterator[Case]:
        for care in CARES:
            rng = Random(f"{self._seed}:{care.item}")
            for offer in self._places(care):
                for born, start, end in self._stays(care, rng):
                    case = self._case(care, rng, offer, born, start, end)
                    self._write(case, rng)
                    yield case

    def _places(self, care: Care) -> Iterator[Offer | None]:
        """The offer of each place; None, once per citizen, where no offer delivers."""
        if not care.offer_size:
            yield from (None for _ in range(scaled(care.stock, self._population)))
            return
        residents, elsewhere = residents_of(care, self._population)
        own, others = self.offers.own.get(care.item, []), self.offers.others[care.item]
        yield from (own[i % len(own)] for i in range(residents))
        yield from (others[i % len(others)] for i in range(elsewhere))

    def _stays(self, care: Care, rng: Random) -> Iterator[tuple[date, date, date]]:
        """(born, start, end) of those who have a place, one after the other, through the history."""
        earlier = timedelta(min(int(rng.expovariate(1 / care.mean_stay_days)), 2900))
        begin = self.history_start
        while begin <= self.last_day:
            born, too_old = self._life(care, rng, begin)
            start = max(begin - earlier, born + timedelta(20))
            end = min(begin + timedelta(1 + int(rng.expovariate(1 / care.mean_stay_days))), too_old)
            yield born, start, end
            begin = end + timedelta(rng.randint(1, 2 + care.mean_stay_days // 60))
            earlier = timedelta(0)

    def _case(self, care: Care, rng: Random, offer: Offer | None, born: date, start: date, end: date) -> Case:
        self._cases += 1
        own = self.municipalities.own
        foreign = bool(offer and offer.own and self._shares.hit(f"foreign {care.item}", care.foreign_pct * 100))
        payer = self.municipalities.another(rng) if foreign else own
        case = Case(
            self._cases, care, self._cpr.new(born), born, name(rng), street(rng), postal_code(rng, own.region),
            offer.municipality if offer and care.counts_places else own.code, payer.code,
            start - timedelta(rng.randint(5, 40)),
            self._cpr.new(_years_before(born, rng.randint(22, 40))) if care.ages[1] < 18 else "",
            self._worker(care), f"{payer.code}-{rng.randint(10_000, 99_999)}" if foreign else self._order(offer),
            self._shares.hit("protected", PROTECTED),
        )  # fmt: skip
        case.lines.append(self._main_line(case, rng, offer, foreign, start, end))
        for code, pct in care.extras:
            if rng.randrange(100) < pct:
                self._add_extra(case, rng, ITEMS[code], foreign)
        self._late_facts(case, rng, foreign)
        return case

    def _order(self, offer: Offer | None) -> str:
        """Our own reference, where the service is bought of a private company."""
        return f"{self.municipalities.own.code}-{self._cases:06d}" if offer and offer.owner == "privat" and offer.cvr else ""

    def _life(self, care: Care, rng: Random, begin: date) -> tuple[date, date]:
        """(day of birth, day the care must end at the latest) of one who has the place from `begin` on."""
        youngest, oldest = care.ages
        # Half of the placed children are 12–17, and two of three in temporary housing are under 30.
        mode = youngest + (oldest - youngest) * 2 // 3 if care.system == "dubu" else youngest + (oldest - youngest) // 4
        age = rng.triangular(youngest, oldest, max(mode, youngest))
        # Placed young people may stay as ungestøtte until they are 23; other care of children ends with its age group.
        limit = 105 if care.system == "sensum" else 23 if care.dataset == "anbringelser" else oldest + 1
        born = begin - timedelta(21 + int(age * 365.25))
        return born, max(_years_before(born, -limit), begin + timedelta(30))

    def _worker(self, care: Care) -> str:
        """Initials of the case worker; each has some forty cases."""
        turn = self._workers[care.department] = self._workers.get(care.department, -1) + 1
        number = turn // CASES_PER_WORKER * 97 + len(care.department) * 31 + ord(care.department[-1])
        return "".join(chr(65 + number // 26**i % 26) for i in range(3))

    def _line(self, item: Item, offer: Offer | None, start: date, end: date, rng: Random) -> Line:
        self._lines += 1
        late = self._shares.hit("late start", LATE_START)
        known = start + timedelta(rng.randint(20, 120)) if late else start - timedelta(rng.randint(3, 30))
        late = self._shares.hit("late end", LATE_END)
        end_known = end + timedelta(rng.randint(30, 110) if late else rng.randint(-14, 6))
        if end > self.last_day:
            planned = (end - self.last_day).days < 400 and self._shares.hit("planned end", PLANNED_END)
            end_known = start if planned else date.max
        return Line(self._lines, item, offer, start, end, known, max(end_known, known))

    def _main_line(self, case: Case, rng: Random, offer: Offer | None, foreign: bool, start: date, end: date) -> Line:
        care, item = case.care, ITEMS[case.care.item]
        line = self._line(item, offer, start, end, rng)
        if item.unit == "time":
            line.units_e4 = rng.randint(2, 12) * 5_000
        elif item.code == "BL32-AFL":  # two nights a fortnight
            line.units_e4 = 1_429
        elif item.code == "BL90-AFL":  # every second week
            line.units_e4 = 5_000
        line.account = income_account(item) if foreign else ""
        line.refund_9c = foreign and item.code == "BL114-EFT"
        line.advance = item.code == "SEL96" or (item.code == "ABL105" and self._shares.hit("in advance", IN_ADVANCE))
        if care.paid_to:
            line.process = "udbetaling"
            line.payee_cpr = offer.parent_cpr if offer else (case.guardian_cpr or case.cpr)
        if item.code == "BL43-PLEJE" and self._shares.hit("own price child", OWN_PRICE_CHILD):
            line.own_price_oere = item.price_oere * rng.randint(105, 160) // 100 // 100 * 100
        if item.code in ("SEL107", "SEL108") and self._shares.hit("own price adult", OWN_PRICE_ADULT):
            line.own_price_oere = item.price_oere * rng.randint(130, 250) // 100 // 100 * 100
        return line

    def _add_extra(self, case: Case, rng: Random, item: Item, foreign: bool) -> None:
        main = case.main
        start, end = main.start + timedelta(rng.randint(0, 20)), main.end
        if item.unit == "engang":
            if main.start < self.history_start:
                return
            end = start
        if start > min(end, self.last_day):
            return
        own = self.offers.own.get(item.code)
        offer = rng.choice(own or self.offers.others.get(item.code) or [None])
        line = self._line(item, offer, start, end, rng)
        line.known = max(line.known, main.known)
        line.account = income_account(item) if foreign and offer and offer.own else ""
        if item.code in PAYOUTS:
            line.process = "udbetaling"
            line.payee_cpr = case.cpr if item.code in ("BL43-LOMME", "SEL100") else main.payee_cpr or case.guardian_cpr
            line.advance = item.code == "BL87-TAF"
        elif item.code == "EGB-BOLIG":
            line.process, line.advance = "beboerbetaling", True
        elif item.code == "EGB-MAD":
            line.process = "personopkraevning"
        case.lines.append(line)

    def _late_facts(self, case: Case, rng: Random, foreign: bool) -> None:
        main, system = case.main, case.care.system
        old = main.known <= self.first_day
        stays = main.end_at(self.last_day) is None
        at_own = bool(main.offer and main.offer.own)
        started = max(main.start, self.history_start)
        if at_own and old and (self.first_day - started).days > 120:
            back = _first_of_month(
                self.first_day - timedelta(rng.randint(70, min(300, (self.first_day - started).days - 31)))
            )
            other = self.municipalities.own if foreign else self.municipalities.another(rng)
            if self._shares.hit(f"payer {system}", PAYER_CHANGED):
                until = back + timedelta(180) if rng.random() < 0.3 else None
                case.payers.append((back, until, other.code, 0))
            elif stays and self._shares.hit(f"late payer {system}", PAYER_CHANGED_LATE):
                case.payers.append((back, None, other.code, 1))
        if not old:
            # What has come in since the first delivery is in part not decided yet.
            case.applied = main.known <= self.last_day and self._shares.hit(f"applied {system}", APPLIED)
        elif stays and not case.payers:
            case.annulled = (self.last_day - main.start).days < 300 and self._shares.hit(f"annulled {system}", ANNULLED)
            if len(case.lines) > 1 and case.lines[-1].known <= self.first_day and not case.annulled:
                case.lines[-1].withdrawn = self._shares.hit(f"withdrawn {system}", WITHDRAWN)
            if self._shares.hit(f"moved {system}", MOVED):
                case.moved_to = street(rng)

    def _write(self, case: Case, rng: Random) -> None:
        records.write_case(self.extracts, case)
        foreign = case.payer != self.municipalities.own.code
        for line in case.lines:
            end = min(line.end_at(self.last_day) or self.last_day, self.last_day)
            if line.offer:
                line.offer.enrolled_days += max(0, (end - max(line.start, self.history_start)).days + 1)
            if line.known > self.last_day:
                continue
            spells: list[Spell] = []
            if case.care.system == "sensum":
                self._write_dated(line, rng)
                if line.item.absence_pct < 100:
                    spells = self._write_absences(line, end, rng)
            settled = not (case.applied or case.annulled or line.withdrawn)
            sign = (
                -1 if line.process in ("beboerbetaling", "personopkraevning") or (foreign and not line.process) else 1
            )
            konto = income_account(line.item) if foreign and not line.process else line.item.account
            prices = {
                m.first.year: line.own_price_oere or self.offers.price(line.item, line.offer, m.first.year)
                for m in self.months
            }
            served = Served(
                case.cpr, case.citizen_name, case.born, case.requisition if line is case.main else "",
                case.care.department, case.worker,
            )  # fmt: skip
            if line.item.unit == "leveret":
                self._write_registrations(case, line, end, rng, konto, prices, sign if settled else 0, served)
            elif settled:
                self.costs.add_line(
                    konto, case.care.department, line.item, prices, line.units_e4, line.start, end, sign, line.offer
                )
                self._invoices.add_line(served, line, LINE_IDS[case.care.system], spells)

    def _write_dated(self, line: Line, rng: Random) -> None:
        new_year = date(self.last_day.year, 1, 1)
        if line.offer and line.start < new_year and self._shares.hit("account", DATED_ACCOUNT):
            project = account(line.item.function, line.item.grouping, line.item.kind, PROJECT_COST_CENTRE)
            records.write_dated_account(self.extracts, line, new_year, project)

    def _write_absences(self, line: Line, end: date, rng: Random) -> list[Spell]:
        """Writes the line's absences; returns those that the case system knows of at the last delivery."""
        known_spells: list[Spell] = []
        day = max(line.start, self.history_start) + timedelta(3)
        while True:
            day += timedelta(1 + int(rng.expovariate(ABSENCES_PER_YEAR / 365)))
            last = day + timedelta(min(int(rng.expovariate(1 / 14)), 75))
            if day > end or (last > end and end < self.last_day):
                return known_spells
            known = day + timedelta(rng.randint(25, 60) if rng.random() < 0.1 else 1)
            records.write_absence(self.extracts, line, day, last, known, rng.choice(ABSENCE_REASONS))
            if known <= self.last_day:
                known_spells.append((day, last))
            day = last + timedelta(2)

    def _write_registrations(
        self, case: Case, line: Line, end: date, rng: Random, konto: str, prices: dict[int, int], sign: int,
        served: Served,
    ) -> None:  # fmt: skip
        hours = line.item.code in ("SEL97", "BL89-LED")
        delivered: dict[date, int] = {}
        for number, month in enumerate(self.months):
            first, last = max(line.start, month.first), min(end, month.last)
            if first > last:
                continue
            for _ in range(rng.randint(2, 5) if hours else 1):
                day = first + timedelta(rng.randint(0, (last - first).days))
                units_e4 = rng.randint(4, 20) * 2_500 if hours else rng.randint(6, 22) * 10_000
                delivery = int(day > self.first_day or line.known > self.first_day)
                if (
                    not delivery
                    and (self.first_day - day).days < 120
                    and self._shares.hit("late reg", LATE_REGISTRATION)
                ):
                    delivery = 1
                if delivery and self._shares.hit("negative reg", NEGATIVE_REGISTRATION):
                    units_e4 = -10_000
                self._registrations += 1
                records.write_registration(self.extracts, case, line, self._registrations, day, units_e4, delivery)
                amount = sign * units_e4 * prices[day.year] // 10_000
                self.costs.add(konto, case.care.department, number, amount, line.offer)
                delivered[day] = delivered.get(day, 0) + units_e4
        if sign > 0:
            service_line_id = f"{LINE_IDS[case.care.system]}-{line.number}"
            self._invoices.add_registrations(served, line.offer, line.item, service_line_id, delivered)


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _years_before(day: date, years: int) -> date:
    return date(day.year - years, day.month, min(day.day, 28))
