"""Danish figures, dates and words for the screens: pure functions from values to text, money as Decimal kroner."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

MONTHS = (
    "januar",
    "februar",
    "marts",
    "april",
    "maj",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "december",
)
NONE = "–"
DENMARK = ZoneInfo("Europe/Copenhagen")

LABELS = {
    # afregningsform
    "mellemkommunal": "Mellemkommunal",
    "intern": "Intern",
    "faktura": "Faktura",
    "udbetaling": "Udbetaling",
    "personopkraevning": "Personopkrævning",
    "beboerbetaling": "Beboerbetaling",
    "ingen": "Afregnes ikke",
    # bilagsart
    "kreditnota": "Kreditnota",
    "internbilag": "Internt bilag",
    "opkraevning": "Opkrævning",
    "fakturabetaling": "Fakturabetaling",
    "leverandoerkreditnota": "Leverandørs kreditnota",
    # kvittering
    "bogfoert": "Bogført",
    "afvist": "Afvist",
    # årsag
    "mangler_takst": "Mangler takst",
    "mangler_betaler": "Mangler betaler",
    "for_sent": "Rejst for sent",
    "afventer_rettelse": "Afventer rettelse af afvist række",
    "tilbageholdt": "Tilbageholdt af en person",
    "overlappende_takst": "Overlappende takst",
    "ugyldig_vaerdi": "Ugyldig værdi",
    "ukendt_noegle": "Ukendt nøgle",
    "ugyldig_periode": "Ugyldig periode",
    "dublet": "Dublet",
    # ejerforhold
    "egen": "Eget tilbud",
    "kommunal": "Anden kommune",
    "regional": "Region",
    "privat": "Privat",
    # enhed
    "doegn": "døgn",
    "hverdag": "hverdag",
    "uge": "uge",
    "maaned": "måned",
    "aar": "år",
    "time": "time",
    "leveret": "leveret enhed",
    "engang": "engangsbeløb",
    # system
    "dubu": "DUBU",
    "sensum": "Sensum One",
    "opus": "KMD OPUS",
    "tilbud": "Tilbud og takster",
    "cura": "Cura",
    "cpr": "CPR",
    "loen": "Løn",
    "fakturaer": "E-fakturaer",
    "prisme": "Fujitsu Prisme",
    "oes": "ØS Indsigt",
    "indlaesning": "Indlæsning",
    # fund
    "regel": "Regel",
    "warn": "advarer",
    "park": "parkerer",
    "refuse": "afviser",
    # kvalitetsport
    "grøn": "✔ grøn",
    "afventer": "… afventer",
    "rød": "✖ rød",
}


def label(code: str | None) -> str:
    """The screen's word for a code; a code without one is shown as it is."""
    return NONE if code in (None, "") else LABELS.get(code, code)


def number(value: Decimal | int | None, decimals: int = 0, *, signed: bool = False) -> str:
    """1234567.891 → «1.234.567,89»; rounded half away from zero; None is a dash."""
    if value is None:
        return NONE
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    text = f"{abs(rounded):,.{decimals}f}".translate(str.maketrans(",.", ".,"))
    return ("-" if rounded < 0 else "+" if signed and rounded > 0 else "") + text


def kroner(value: Decimal | None, *, signed: bool = False) -> str:
    """«1.234.567,89 kr.»"""
    return NONE if value is None else f"{number(value, 2, signed=signed)} kr."


def whole_kroner(value: Decimal | None, *, signed: bool = False) -> str:
    """«1.234.568 kr.»"""
    return NONE if value is None else f"{number(value, signed=signed)} kr."


def millions(value: Decimal | None, *, signed: bool = False) -> str:
    """«1,2 mio. kr.»; amounts below 100.000 kr. as whole kroner, so that they are not lost."""
    if value is None or abs(value) < 100_000:
        return whole_kroner(value, signed=signed)
    return f"{number(Decimal(value) / 1_000_000, 1, signed=signed)} mio. kr."


def oere(value: int | None) -> Decimal | None:
    """Integer øre of the register → kroner."""
    return None if value is None else Decimal(value).scaleb(-2)


def percent(value: Decimal | None, *, signed: bool = False) -> str:
    """«12,3 %»; the value is in per cent."""
    return NONE if value is None else f"{number(value, 1, signed=signed)} %"


def points(value: Decimal | None) -> str:
    """«+2,1 procentpoint»"""
    return NONE if value is None else f"{number(value, 1, signed=True)} procentpoint"


def share(part: Decimal | int, whole: Decimal | int | None) -> Decimal | None:
    """Part of whole in per cent, unrounded; None where the whole is 0."""
    return Decimal(part) * 100 / Decimal(whole) if whole else None


def quantity(numerator: int, denominator: int) -> str:
    """A ledger quantity, rounded half away from zero to four decimals (settlement.md § 5), without trailing zeros."""
    text = number(Decimal(_rounded_e4(numerator, denominator)).scaleb(-4), 4)
    return text.rstrip("0").rstrip(",")


def _rounded_e4(numerator: int, denominator: int) -> int:
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) * 10_000 + denominator) // (2 * denominator))


def decimals_4(value: Decimal | None) -> str:
    """A quantity with up to four decimals."""
    return NONE if value is None else number(value, 4).rstrip("0").rstrip(",")


def day(value: date | None) -> str:
    """«23-11-2026»"""
    return NONE if value is None else f"{value:%d-%m-%Y}"


def month(value: date | None) -> str:
    """«oktober 2026»"""
    return NONE if value is None else f"{MONTHS[value.month - 1]} {value.year}"


def short_month(value: date) -> str:
    """«okt 26», for axes."""
    return f"{MONTHS[value.month - 1][:3]} {value:%y}"


def moment(value: datetime | str) -> str:
    """«23-11-2026 kl. 08.04» in Danish time; a moment without zone is UTC, as the register keeps them."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return f"{at.astimezone(DENMARK):%d-%m-%Y kl. %H.%M}"


def kroner_figure(value: Decimal | None, *, signed: bool = False) -> str:
    """«1.234.567,89», for columns whose caption names the unit."""
    return number(value, 2, signed=signed)


def yes_no(value: bool) -> str:
    return "ja" if value else "nej"


def count_of(number_of: int, one: str, many: str) -> str:
    """«1 linje», «1.234 linjer»"""
    return f"{number(number_of)} {one if number_of == 1 else many}"


def add_months(value: date, months: int) -> date:
    """The first day of the month `months` later (earlier, where negative)."""
    ordinal = value.year * 12 + value.month - 1 + months
    return date(ordinal // 12, ordinal % 12 + 1, 1)
