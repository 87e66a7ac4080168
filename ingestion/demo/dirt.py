"""Dirty rows of every kind, planted at a stated share among the good ones, with the truth of what was planted.

Each dirty row has a key of its own, so that a good row never goes down with it; only `stored_line_spoiled` means to
hit one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ingestion.demo.case import Case, Line
from ingestion.demo.cases import Caseload
from ingestion.demo.catalogue import ITEMS, account, income_account
from ingestion.demo.extracts import Extracts, Row
from ingestion.demo.finance_systems import FinanceSystem
from ingestion.demo.offers import Offers
from ingestion.demo.records import dubu_line, sensum_line

# One planting per this many rows of the case systems: 0.5 %.
ROWS_PER_PLANTING = 200


@dataclass(frozen=True)
class DirtyKind:
    """What a dirty row of one kind must lead to.

    `outcome`: refused (quarantine, the exception list's `aarsag` in `reason`), parked (`aarsag` of the line's months)
    or warned (`reason` is the loader column the warning names). The source `finance` is the chosen finance system.
    """

    source: str
    outcome: str
    reason: str


DIRTY_KINDS = {
    "unreadable_date": DirtyKind("dubu/stoette", "refused", "ugyldig_vaerdi"),
    "unreadable_number": DirtyKind("finance/budget", "refused", "ugyldig_vaerdi"),
    "too_many_decimals": DirtyKind("tilbud/takster", "refused", "ugyldig_vaerdi"),
    "negative_price": DirtyKind("tilbud/takster", "refused", "ugyldig_vaerdi"),
    "missing_key": DirtyKind("sensum/ydelser", "refused", "ugyldig_vaerdi"),
    "missing_required_value": DirtyKind("sensum/ydelser", "refused", "ugyldig_vaerdi"),
    "cpr_not_ten_digits": DirtyKind("sensum/borgere", "refused", "ugyldig_vaerdi"),
    "unknown_enum": DirtyKind("dubu/bevillinger", "refused", "ugyldig_vaerdi"),
    "unknown_municipality": DirtyKind("dubu/bevillinger", "refused", "ugyldig_vaerdi"),
    "account_not_5_to_16_digits": DirtyKind("sensum/ydelser", "refused", "ugyldig_vaerdi"),
    "unknown_package": DirtyKind("sensum/ydelser", "refused", "ukendt_noegle"),
    "unknown_catalogue_item": DirtyKind("dubu/stoette", "refused", "ukendt_noegle"),
    "unknown_citizen": DirtyKind("sensum/bevillinger", "refused", "ukendt_noegle"),
    "end_before_start": DirtyKind("dubu/stoette", "refused", "ugyldig_periode"),
    "payer_without_value": DirtyKind("sensum/betalere", "refused", "ugyldig_vaerdi"),
    "rate_without_price": DirtyKind("tilbud/takster", "refused", "ugyldig_vaerdi"),
    "overlapping_rates": DirtyKind("tilbud/takster", "refused", "overlappende_takst"),
    "duplicate_key": DirtyKind("sensum/ydelser", "refused", "dublet"),
    "offer_in_use_withdrawn": DirtyKind("tilbud/oversigt", "refused", "ugyldig_vaerdi"),
    "row_too_long": DirtyKind("sensum/ydelser", "refused", "ugyldig_vaerdi"),
    "row_too_short": DirtyKind("sensum/ydelser", "refused", "ugyldig_vaerdi"),
    "line_without_price": DirtyKind("sensum/ydelser", "parked", "mangler_takst"),
    "package_without_payer": DirtyKind("sensum/bevillinger", "parked", "mangler_betaler"),
    "claim_too_late": DirtyKind("sensum/ydelser", "parked", "for_sent"),
    "stored_line_spoiled": DirtyKind("sensum/ydelser", "parked", "afventer_rettelse"),
    "wrong_cvr_check_digit": DirtyKind("tilbud/oversigt", "warned", "cvr"),
    "wrong_ean_check_digit": DirtyKind("tilbud/oversigt", "warned", "ean"),
    "account_not_in_chart": DirtyKind("sensum/ydelser", "warned", "konto"),
    "absence_outside_line": DirtyKind("sensum/fravaer", "warned", "fra"),
    "registration_outside_line": DirtyKind("sensum/registreringer", "warned", "dato"),
    "start_before_grant": DirtyKind("sensum/ydelser", "warned", "startdato"),
    "unknown_column": DirtyKind("tilbud/oversigt", "warned", "Bemærkning"),
    "unknown_key_withdrawn": DirtyKind("sensum/ydelser", "warned", "ydelse_id"),
}
# Headings the mapping does not know; the list of offers comes with one.
EXTRA_COLUMNS = {("tilbud", "oversigt"): ("Bemærkning",)}


class Dirt:
    """Plants dirty rows by turns, built on the latest good case, and keeps the truth."""

    def __init__(self, extracts: Extracts, caseload: Caseload, offers: Offers, finance: FinanceSystem) -> None:
        self._extracts, self._caseload, self._offers, self._finance = extracts, caseload, offers, finance
        self.first_day, self.last_day = extracts.dates
        self._turn = self._planted_at = self._number = 0
        self._child: Case | None = None
        self._adult: Case | None = None
        self._companion: Line | None = None
        self._spoiled = 0
        self._withdrawn_offers: set[int] = set()
        self._truth: dict[tuple[str, str], int] = {}
        self._kinds: list[tuple[str, Callable[[], bool]]] = [
            (name, getattr(self, f"_{name}")) for name in DIRTY_KINDS if name != "unknown_column"
        ]

    def after(self, case: Case) -> None:
        """Takes notice of a case that has been written, and plants what is due."""
        main = case.main
        if main.known <= self.first_day and main.start < self.first_day - timedelta(90) and not case.payers:
            if case.care.system == "dubu":
                self._child = case
            elif main.offer and main.offer.own and main.end_at(self.last_day) is None and not case.annulled:
                self._adult = case
            for line in case.lines:
                if line.item.code == "SEL97" and not line.withdrawn and case.care.system == "sensum":
                    self._companion = line
        rows = sum(n for name, n in self._extracts.rows.items() if name.startswith(("dubu/", "sensum/")))
        while rows - self._planted_at >= ROWS_PER_PLANTING and self._adult and self._child:
            self._planted_at += ROWS_PER_PLANTING
            self._plant()

    def finish(self) -> list[dict[str, object]]:
        """Plants what has not been, and gives the truth: kind, file, rows, expected outcome and reason."""
        planted = {kind for kind, _ in self._truth}
        for name, plant in self._kinds:
            if name not in planted and not plant():
                raise RuntimeError(f"Fejlen {name} kunne ikke lægges ind: demoen har ingen sag, den kan bygge på.")
        for delivery in (0, 1):
            self._count("unknown_column", "tilbud", "oversigt", delivery)
        return [
            {
                "kind": kind,
                "file": file,
                "rows": rows,
                "outcome": DIRTY_KINDS[kind].outcome,
                "reason": DIRTY_KINDS[kind].reason,
            }
            for (kind, file), rows in sorted(self._truth.items())
        ]

    def _plant(self) -> None:
        # A kind that cannot be planted now (nothing left to spoil) gives its turn to the next.
        for _ in self._kinds:
            plant = self._kinds[self._turn % len(self._kinds)][1]
            self._turn += 1
            if plant():
                return

    def _count(self, kind: str, system: str, dataset: str, delivery: int) -> None:
        key = (kind, self._extracts.name(system, dataset, delivery))
        self._truth[key] = self._truth.get(key, 0) + 1

    def _add(self, kind: str, row: Row, delivery: int = 0) -> bool:
        system, dataset = DIRTY_KINDS[kind].source.split("/")
        self._extracts.write(system, dataset, delivery, row)
        self._count(kind, system, dataset, delivery)
        return True

    def _next(self) -> int:
        self._number += 1
        return self._number

    # What the rows are built on.

    def _support(self, **changes: object) -> Row:
        """A new DUBU service line without price or payee of its own, in a known case."""
        offer = self._offers.own["BL32-FAM"][0]
        line = Line(0, ITEMS["BL32-FAM"], offer, self._month(2), self._month(1), self.first_day, self.first_day)
        return dubu_line(self._child, line, 0, self.first_day) | {"activity_id": f"F{self._next()}"} | changes

    def _short_stay(self, **changes: object) -> Row:
        """A new Sensum service line of five days in a known case."""
        offer = self._offers.own["SEL103"][0]
        start = self._month(2)
        line = Line(0, ITEMS["SEL103"], offer, start, start + timedelta(4), self.first_day, start)
        return sensum_line(self._adult, line, 0, self.first_day) | {"Ydelse": f"F{self._next()}"} | changes

    def _decision(self, payer: str, granted: date, **changes: object) -> Row:
        """A new Sensum decision for a known citizen."""
        cpr = self._adult.cpr
        return {
            "Bevilling": f"F{self._next()}", "CPR-nr.": f"{cpr[:6]}-{cpr[6:]}", "Paragraf": "SEL § 103",
            "Målgruppe": "Udviklingshæmning", "Afdeling": "VO-AK", "Sagsbehandler": self._adult.worker,
            "Handlekommune": payer,
            "Betalingskommune": payer, "Bevillingsdato": granted, "Tilstand": "Visiteret", "Slettet": "0",
        } | changes  # fmt: skip

    def _month(self, back: int) -> date:
        """The first of the month that many months before the first delivery's."""
        number = self.first_day.year * 12 + self.first_day.month - 1 - back
        return date(number // 12, number % 12 + 1, 1)

    def _rate(self, **changes: object) -> Row:
        """A price of a day long before anything is settled, so that it stands in no other price's way."""
        start = date(1960, 1, 1) + timedelta(40 * self._next())
        row = {
            "Ydelseskode": "SEL110",
            "Tilbudsnr.": "",
            "Gælder fra": start,
            "Gælder til": start,
            "Pris": Decimal("1000.50"),
        }
        return row | changes

    def _odd_offer(self, **changes: object) -> Row:
        offer = self._offers.all[0]
        return {
            "Tilbudsnr.": f"F{self._next()}", "Navn": "Under oprettelse", "Ejerforhold": "privat", "CVR-nr.": offer.cvr,
            "Beliggenhedskommune": offer.municipality,
        } | changes  # fmt: skip

    # One method per kind; False where it cannot be planted.

    def _unreadable_date(self) -> bool:
        return self._add("unreadable_date", self._support(activity_start_date=f"{self.first_day.year}-02-31"))

    def _unreadable_number(self) -> bool:
        self._finance.unreadable_budget(self.first_day.year, ITEMS["SEL108"].account, f"UDGÅET-{self._next()}")
        self._count("unreadable_number", self._finance.system, "budget", 0)
        return True

    def _too_many_decimals(self) -> bool:
        return self._add("too_many_decimals", self._rate(Pris=Decimal("1241.125")))

    def _negative_price(self) -> bool:
        return self._add("negative_price", self._rate(Pris=Decimal("-1241.00")))

    def _missing_key(self) -> bool:
        return self._add("missing_key", self._short_stay(Ydelse=""))

    def _missing_required_value(self) -> bool:
        return self._add("missing_required_value", self._short_stay(Start=""))

    def _cpr_not_ten_digits(self) -> bool:
        row = {"CPR-nr.": f"61{self._next():04d}-12", "Navn": "Ukendt Borger", "Adressebeskyttelse": "N"}
        return self._add("cpr_not_ten_digits", row)

    def _child_decision(self, **changes: object) -> Row:
        child = self._child
        return {
            "appropriation_id": f"F{self._next()}", "cpr_number": child.cpr, "section": "BL § 32",
            "team": child.care.department,
            "acting_municipality": child.payer, "paying_municipality": child.payer, "granted_date": self._month(2),
            "status": "GRANTED", "deleted": "false",
        } | changes  # fmt: skip

    def _unknown_enum(self) -> bool:
        return self._add("unknown_enum", self._child_decision(status="PAUSED"))

    def _unknown_municipality(self) -> bool:
        return self._add("unknown_municipality", self._child_decision(paying_municipality="0999"))

    def _account_not_5_to_16_digits(self) -> bool:
        return self._add("account_not_5_to_16_digits", self._short_stay(Konto="5381"))

    def _unknown_package(self) -> bool:
        return self._add("unknown_package", self._short_stay(Bevilling=f"UKENDT-{self._next()}"))

    def _unknown_catalogue_item(self) -> bool:
        return self._add("unknown_catalogue_item", self._support(details_id="BL52-3"))

    def _unknown_citizen(self) -> bool:
        row = self._decision(self._adult.payer, self._month(2))
        return self._add("unknown_citizen", row | {"CPR-nr.": f"910154-{self._next() % 10_000:04d}"})

    def _end_before_start(self) -> bool:
        return self._add("end_before_start", self._support(activity_end_date=self._month(3)))

    def _payer_without_value(self) -> bool:
        row = {"Bevilling": f"F{self._next()}", "Fra": self._month(4), "Betalingskommune": ""}
        return self._add("payer_without_value", row)

    def _rate_without_price(self) -> bool:
        return self._add("rate_without_price", self._rate(Pris=""))

    def _overlapping_rates(self) -> bool:
        row = self._rate()
        start = row["Gælder fra"]
        for days in (0, 10):
            first, last = start + timedelta(days), start + timedelta(days + 20)
            self._add("overlapping_rates", row | {"Gælder fra": first, "Gælder til": last})
        return True

    def _duplicate_key(self) -> bool:
        row = self._short_stay()
        self._add("duplicate_key", row)
        return self._add("duplicate_key", row | {"Antal": "2"})

    def _offer_in_use_withdrawn(self) -> bool:
        offer = self._adult.main.offer
        if offer.number in self._withdrawn_offers:
            return False
        self._withdrawn_offers.add(offer.number)
        return self._add("offer_in_use_withdrawn", {"Tilbudsnr.": offer.id, "Udgår": "ja"}, delivery=1)

    def _row_too_long(self) -> bool:
        return self._broken("row_too_long", 2)

    def _row_too_short(self) -> bool:
        return self._broken("row_too_short", -3)

    def _broken(self, kind: str, change: int) -> bool:
        self._extracts.write_cells("sensum", "ydelser", 0, self._short_stay(), change)
        self._count(kind, "sensum", "ydelser", 0)
        return True

    def _line_without_price(self) -> bool:
        team = self._offers.own["SEL85"][0]
        row = self._short_stay(Ydelseskode="SEL82-NY", Tilbud=team.id, Start=self._month(1), Slut="")
        return self._add("line_without_price", row)

    def _package_without_payer(self) -> bool:
        row = self._decision("", self._month(3))
        line = self._short_stay(Bevilling=row["Bevilling"])
        self._extracts.write("sensum", "ydelser", 0, line)
        return self._add("package_without_payer", row)

    def _claim_too_late(self) -> bool:
        payer = self._caseload.municipalities.others[self._next() % len(self._caseload.municipalities.others)]
        start = self._month(15)
        row = self._decision(payer.code, start - timedelta(20))
        self._extracts.write("sensum", "bevillinger", 1, row)
        line = self._short_stay(
            Bevilling=row["Bevilling"], Start=start, Slut=start + timedelta(25), Konto=income_account(ITEMS["SEL103"])
        )
        return self._add("claim_too_late", line, delivery=1)

    def _stored_line_spoiled(self) -> bool:
        main = self._adult.main
        if main.number == self._spoiled:
            return False
        self._spoiled = main.number
        row = sensum_line(self._adult, main, 1, self.last_day) | {"Start": f"{main.start:%d.%m.%y}"}
        return self._add("stored_line_spoiled", row, delivery=1)

    def _wrong_cvr_check_digit(self) -> bool:
        return self._add("wrong_cvr_check_digit", self._odd_offer(**{"CVR-nr.": "99000001"}))

    def _wrong_ean_check_digit(self) -> bool:
        return self._add("wrong_ean_check_digit", self._odd_offer(**{"EAN-nr.": "5798001234561"}))

    def _account_not_in_chart(self) -> bool:
        return self._add("account_not_in_chart", self._short_stay(Konto=account("5.99.99", "001", "4.7")))

    def _absence_outside_line(self) -> bool:
        main = self._adult.main
        first = main.start - timedelta(30 + 10 * (self._next() % 200))
        row = {"Ydelse": main.number, "Fra": first, "Til": first + timedelta(4), "Årsag": "Ferie"}
        return self._add("absence_outside_line", row)

    def _registration_outside_line(self) -> bool:
        if not self._companion:
            return False
        row = {"Registrering": f"F{self._next()}", "Ydelse": self._companion.number, "Antal": "2,5"}
        return self._add("registration_outside_line", row | {"Dato": self._companion.start - timedelta(30)})

    def _start_before_grant(self) -> bool:
        row = self._decision(self._adult.payer, self.first_day - timedelta(3))
        self._extracts.write("sensum", "bevillinger", 0, row)
        return self._add("start_before_grant", self._short_stay(Bevilling=row["Bevilling"]))

    def _unknown_key_withdrawn(self) -> bool:
        return self._add("unknown_key_withdrawn", self._short_stay(Slettet="1"), delivery=1)
