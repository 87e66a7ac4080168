"""Prisme G69: `finance_postings(postings, …)` gives the lines of paid invoices (formats.md § 3.1).

One line per posting: a fixed head and floating fields `&NNNvalue` in ascending order; CR-LF, UTF-8 as the public writers of the
format send it. Of the fields that a paid invoice could stand in, these are chosen:

* 104 ekspeditionsløbenr: the number of our voucher in its year's series. It ascends, is shared by the postings that balance
  each other, and comes again in no other file of the year.
* 110 posteringsdato and 114 regnskabsår: cash. 118 valørdato: accrual, the last day of the month of delivery; not on the
  creditor account, whose debt arises on the posting date.
* 116 bilag arkivnr: the supplier's invoice number, for the invoice is the paper behind the posting, and no other field takes
  numbers longer than 20 characters. 250 ekstern reference: our voucher, which the receipt names.
* 130/131 betalingsmodtager: the supplier's CVR number (code 03). 132–136, which name persons, stay out.
* 202 notat: who approved, and why another amount than the agreed was paid. 203 attesteret af takes five characters only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from settlement.documents.invoice_posting import InvoicePosting, Posted, one_line, ordered, posted
from settlement.documents.model import CREDIT, DEBIT
from settlement.engine.calendar import month_end
from settlement.faults import InputFault

MOST_LINES = 99_999  # the line number has five digits
_SIDES = {DEBIT: "D", CREDIT: "K"}


def finance_postings(
    postings: Iterable[InvoicePosting], *, municipality: str, machine_no: str, enveloped: bool = False
) -> bytes:  # fmt: skip
    """The file of a run's paid invoices; the same postings in any order, the same bytes.

    `municipality` is the own code, `machine_no` the number (at most five digits) that the system's administrator has given
    this platform. `enveloped` puts the lines between Z300 and SLUTD. Raises InputFault where a voucher does not balance, an
    account has more than 15 digits, or there are more lines than a file can number (then send `parts`).
    """
    found = ordered(postings)
    if not re.fullmatch("[0-9]{1,5}", machine_no):
        raise InputFault(
            f"Prisme skal have et maskinnummer på højst 5 cifre, ikke «{machine_no}». Skriv maskinnr under [fakturabetaling] i "
            "settings.toml."
        )
    if len(found) > MOST_LINES:
        raise InputFault(f"{len(found)} posteringer kan ikke nummereres i én G69-fil, der højst har {MOST_LINES}. Del filen op.")
    _demand_ascending({posting.voucher: _sequence(posting.voucher) for posting in found})
    lines = [
        "&".join([f"000G69{number:05d}{int(municipality):04d}01NORFLYD", *_fields(posting, machine_no)])
        for number, posting in enumerate(found, 1)
    ]
    if enveloped:
        day = max(posting.posting_date for posting in found)
        lines = [f"Z300 {int(municipality):04d}6      {day:%j}1", *lines, f"SLUTD{len(lines):05d}"]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8")


def parts(postings: Iterable[InvoicePosting]) -> list[list[InvoicePosting]]:
    """The postings as few files take them, no voucher divided between two."""
    vouchers: dict[str, list[InvoicePosting]] = {}
    for posting in ordered(postings):
        vouchers.setdefault(posting.voucher, []).append(posting)
    found: list[list[InvoicePosting]] = [[]]
    for lines in vouchers.values():
        if found[-1] and len(found[-1]) + len(lines) > MOST_LINES:
            found.append([])
        found[-1] += lines
    return found


def posted_in(content: bytes) -> Posted:
    """Count and sum of the postings of a file, by side, read back from it."""
    sides = {mark: side for side, mark in _SIDES.items()}
    found = []
    for line in content.decode("utf-8").split("\r\n"):
        if line[3:6] == "G69":
            field = {part[:3]: part[3:] for part in line.split("&")[1:]}
            size = int(field["112"][:12])
            found.append((sides[field["113"]], -size if field["112"][12:] == "-" else size))
    return posted(found)


def _fields(posting: InvoicePosting, machine_no: str) -> list[str]:
    is_cvr = re.fullmatch("[0-9]{8}", posting.supplier_cvr)  # a foreign supplier has another number, or none
    note = f"Godkendt af {posting.approved_by}. {posting.difference}"
    fields = {
        103: machine_no.zfill(5),
        104: f"{_sequence(posting.voucher):07d}",
        110: f"{posting.posting_date:%Y%m%d}",
        111: _account(posting),
        112: f"{abs(posting.amount_oere):012d} ",
        113: _SIDES[posting.side],
        114: f"{posting.accounting_year:04d}",
        116: _text(posting.invoice_number, 255),
        118: f"{month_end(posting.delivery_from):%Y%m%d}" if posting.delivery_from else "",
        130: "03" if is_cvr else "",
        131: posting.supplier_cvr.zfill(10) if is_cvr else "",
        153: _text(posting.text, 35),
        202: _text(note, 200),
        250: _text(posting.voucher, 20),
    }
    return [f"{number}{value}" for number, value in fields.items() if value]


def _sequence(voucher: str) -> int:
    number = re.search("[0-9]{1,7}$", voucher)
    if not number:
        raise InputFault(f"Bilag {voucher} ender ikke på et løbenummer, som Prisme skal have. Giv det et nummer, der gør.")
    return int(number.group())


def _demand_ascending(numbers: dict[str, int]) -> None:
    for (before, lower), (voucher, number) in pairwise(numbers.items()):
        if number <= lower:
            raise InputFault(
                f"Bilag {before} og {voucher} har ikke stigende løbenumre, som Prisme skal have. Send hver serie i sin egen fil."
            )


def _account(posting: InvoicePosting) -> str:
    """An alias has ten digits, a longer number at most fifteen; both are filled with zeros in front."""
    number = posting.account_alias or posting.account
    if not re.fullmatch("[0-9]{1,15}", number):
        raise InputFault(
            f"Bilag {posting.voucher}: konto {number} er ikke på højst 15 cifre, som Prisme tager. Hent kontoplanen fra Prisme, så "
            "kontoen får sit alias, eller ret posteringsreglen."
        )
    return number.zfill(10 if len(number) <= 10 else 15)


def _text(text: str, length: int) -> str:
    # The sign between the fields cannot stand inside one.
    return one_line(text).replace("&", "+")[:length].strip()
