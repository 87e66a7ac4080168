"""The municipality's finance system: the same accounts, budget and postings in the words of OPUS, Prisme or ØS Indsigt."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from ingestion.demo.extracts import Extracts, Row

ORIGINAL, SUPPLEMENTARY, CARRIED_OVER = range(3)


class Opus:
    """KMD OPUS: the account's 16 digits, kroner with decimal comma, costs positive."""

    system = "opus"
    kinds = ("0", "T", "O")

    def __init__(self, extracts: Extracts) -> None:
        self._extracts = extracts

    def account(self, konto: str, title: str, department: str) -> None:
        row = {"Kontostreng": konto, "Betegnelse": title, "Profitcenter": department}
        self._extracts.write(self.system, "kontoplan", 0, row)

    def budget(
        self, delivery: int, year: int, konto: str, department: str, kind: int, month: int | None, amount_oere: int
    ) -> None:
        row = self._budget_row(year, konto, department, kind, month)
        self._extracts.write(self.system, "budget", delivery, row | {"Beløb": kroner(amount_oere)})

    def unreadable_budget(self, year: int, konto: str, department: str) -> None:
        """A row whose amount nobody can read; OPUS knows no thousands separator."""
        row = self._budget_row(year, konto, department, ORIGINAL, None)
        self._extracts.write(self.system, "budget", 0, row | {"Beløb": "1.250.000,00"})

    def posting(
        self, delivery: int, voucher: int, position: int, konto: str, department: str, posted: date, month: str,
        amount_oere: int, text: str,
    ) -> None:  # fmt: skip
        """`month` is yyyy-mm."""
        row = {
            "Bilagsnummer": voucher, "Position": position, "Kontostreng": konto, "Profitcenter": department,
            "Bogføringsdato": posted, "Periode": month, "Beløb": kroner(amount_oere), "Betegnelse": text,
        }  # fmt: skip
        self._extracts.write(self.system, "posteringer", delivery, row)

    def _budget_row(self, year: int, konto: str, department: str, kind: int, month: int | None) -> Row:
        return {
            "Regnskabsår": year, "Kontostreng": konto, "Profitcenter": department, "Version": self.kinds[kind],
            "Periode": f"{year}-{month:02d}" if month else "",
        }  # fmt: skip


class Prisme:
    """Fujitsu Prisme: an alias beside the parts of the account, whole øre with a mark for debit and credit."""

    system = "prisme"
    kinds = ("VED", "TIL", "OVF")

    def __init__(self, extracts: Extracts) -> None:
        self._extracts = extracts

    def account(self, konto: str, title: str, department: str) -> None:
        row = self._parts(konto) | {"AccountName": title, "Dimension1": department}
        self._extracts.write(self.system, "kontoplan", 0, row)

    def budget(
        self, delivery: int, year: int, konto: str, department: str, kind: int, month: int | None, amount_oere: int
    ) -> None:
        row = self._budget_row(year, konto, department, kind, month)
        self._extracts.write(self.system, "budget", delivery, row | {"Beloeb": kroner(amount_oere, ".")})

    def unreadable_budget(self, year: int, konto: str, department: str) -> None:
        """A row whose amount nobody can read: point and comma have changed places."""
        row = self._budget_row(year, konto, department, ORIGINAL, None)
        self._extracts.write(self.system, "budget", 0, row | {"Beloeb": "1,250,000.00"})

    def posting(
        self, delivery: int, voucher: int, position: int, konto: str, department: str, posted: date, month: str,
        amount_oere: int, text: str,
    ) -> None:  # fmt: skip
        """`month` is yyyy-mm."""
        row = self._parts(konto) | {
            "Voucher": voucher, "Ekspeditionsloebenr": f"{position:07d}", "TransDate": f"{posted:%Y%m%d}",
            "Regnskabsperiode": month.replace("-", ""), "Dimension1": department, "Beloeb": f"{abs(amount_oere):012d}",
            "DebitKreditMarkering": "K" if amount_oere < 0 else "D", "Txt": text,
        }  # fmt: skip
        self._extracts.write(self.system, "posteringer", delivery, row)

    def _budget_row(self, year: int, konto: str, department: str, kind: int, month: int | None) -> Row:
        return self._parts(konto) | {
            "Regnskabsaar": year, "Budgetmodel": self.kinds[kind], "Dimension1": department,
            "Periode": f"{year}{month:02d}" if month else "",
        }  # fmt: skip

    @staticmethod
    def _parts(konto: str) -> Row:
        """The 16 digits in their parts (domain_rules.md § 10.1), and the ten that people type instead."""
        function, cost_centre, grouping, kind = konto[:5], konto[7:11], konto[11:14], konto[14:]
        return {
            "AccountNum": function + cost_centre[1] + grouping[1:] + kind, "Funktion": function, "Dranst": konto[5],
            "Ejerforhold": konto[6], "Sted": cost_centre, "Gruppering": grouping, "Art": kind,
        }  # fmt: skip


class OesIndsigt:
    """ØS Indsigt: spreadsheets with the budget in thousands of kroner, postings with commas between thousands."""

    system = "oes"
    kinds = ("Vedtaget", "Tillægsbevilling", "Overførsel")

    def __init__(self, extracts: Extracts) -> None:
        self._extracts = extracts

    def account(self, konto: str, title: str, department: str) -> None:
        row = {"Konto": konto, "Kontonavn": title, "Afdeling": department}
        self._extracts.write(self.system, "kontoplan", 0, row)

    def budget(
        self, delivery: int, year: int, konto: str, department: str, kind: int, month: int | None, amount_oere: int
    ) -> None:
        row = self._budget_row(year, konto, department, kind, month)
        self._extracts.write(self.system, "budget", delivery, row | {"Tusinde kr.": Decimal(amount_oere) / 100_000})

    def unreadable_budget(self, year: int, konto: str, department: str) -> None:
        """A row whose amount nobody can read: typed as text, with separators."""
        row = self._budget_row(year, konto, department, ORIGINAL, None)
        self._extracts.write(self.system, "budget", 0, row | {"Tusinde kr.": "1.250,00"})

    def posting(
        self, delivery: int, voucher: int, position: int, konto: str, department: str, posted: date, month: str,
        amount_oere: int, text: str,
    ) -> None:  # fmt: skip
        """`month` is yyyy-mm."""
        year, of_year = month.split("-")
        amount = kroner(amount_oere, ".").translate(str.maketrans(",.", ".,"))
        row = {
            "Bilag": voucher, "Løbenr.": position, "Konto": konto, "Afdeling": department,
            "Posteringsdato": posted.isoformat(), "Vedrører": f"{of_year}/{year}", "Beløb": amount, "Tekst": text,
        }  # fmt: skip
        self._extracts.write(self.system, "posteringer", delivery, row)

    def _budget_row(self, year: int, konto: str, department: str, kind: int, month: int | None) -> Row:
        return {
            "Budgetår": year, "Konto": konto, "Afdeling": department, "Budgetart": self.kinds[kind],
            "Måned": month or "",
        }  # fmt: skip


FinanceSystem = Opus | Prisme | OesIndsigt
FINANCE_SYSTEMS: dict[str, type[FinanceSystem]] = {system.system: system for system in (Opus, Prisme, OesIndsigt)}


def kroner(amount_oere: int, thousands: str = "") -> str:
    """Øre as kroner with decimal comma, without any float."""
    whole = f"{abs(amount_oere) // 100:,}".replace(",", thousands)
    return f"{'-' if amount_oere < 0 else ''}{whole},{abs(amount_oere) % 100:02d}"
