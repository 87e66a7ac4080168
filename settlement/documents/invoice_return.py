"""The way back to the finance system: the postings of paid invoices in the layout of the system that the municipality has, and
the invoices that are not paid, with a reason that the sender can act on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from settlement.documents import oes, opus, prisme
from settlement.documents.invoice_posting import InvoicePosting, Posted, one_line
from settlement.faults import InputFault
from settlement.spreadsheet import as_text

OPUS, PRISME, OES = "opus", "prisme", "oes"
ENDINGS = {OPUS: "csv", PRISME: "g69", OES: "csv"}
_READ = {OPUS: opus.posted_in, PRISME: prisme.posted_in, OES: oes.posted_in}
DIVIDED = {PRISME: prisme.parts}  # whose files hold no more than so many postings
RETURNED_COLUMNS = ("CVR-nummer", "Fakturanummer", "Årsagskode", "Årsag")


@dataclass(frozen=True)
class ReturnedInvoice:
    """An invoice that goes back, whole or in part: `reason` is Danish, says what the sender is to do and names no citizen.

    Raises InputFault where the sender could not act on it.
    """

    supplier_cvr: str
    invoice_number: str
    reason_code: str
    reason: str

    def __post_init__(self) -> None:
        cells = (self.supplier_cvr, self.invoice_number, self.reason_code, self.reason)
        if lacking := [name for name, cell in zip(RETURNED_COLUMNS, cells, strict=True) if not cell.strip()]:
            raise InputFault(
                f"Faktura «{self.invoice_number}» mangler {', '.join(lacking)}: afsenderen skal vide, hvad der skal rettes. "
                "Udfyld det, før den afvises."
            )


def file_name(finance_system: str, run_no: int, posting_date: date, part: int = 0) -> str:
    """The file of a run's paid invoices, named by the posting date, which OPUS asks for on its upload screen; with `part` the
    one of that number, from 1, of several (`DIVIDED`)."""
    of_several = f"-del{part}" if part else ""
    return f"koersel-{run_no}-fakturabetaling-{posting_date:%Y-%m-%d}{of_several}.{ENDINGS[finance_system]}"


def returned_file_name(run_no: int) -> str:
    """The file of the invoices that go back."""
    return f"koersel-{run_no}-afviste-fakturaer.csv"


def render(
    finance_system: str, postings: Iterable[InvoicePosting], *, municipality: str, machine_no: str = "", enveloped: bool = False
) -> bytes:  # fmt: skip
    """The bytes of a run's postings; `machine_no` and `enveloped` are Prisme's alone. Raises InputFault as the layouts do."""
    if finance_system == PRISME:
        return prisme.finance_postings(postings, municipality=municipality, machine_no=machine_no, enveloped=enveloped)
    return {OPUS: opus.invoice_postings_csv, OES: oes.postings_csv}[finance_system](postings)


def posted_in(finance_system: str, content: bytes) -> Posted:
    """Count and sum of a file's postings by side («debet», «kredit»), read back from it."""
    return _READ[finance_system](content)


def returned_csv(invoices: Iterable[ReturnedInvoice]) -> bytes:
    """The invoices that go back, for every finance system: semicolon, UTF-8, CR-LF, one row per invoice and reason.

    The same invoices in any order give the same bytes; none gives the header alone.
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(RETURNED_COLUMNS)
    rows = sorted((x.supplier_cvr, x.invoice_number, x.reason_code, x.reason) for x in invoices)
    writer.writerows([as_text(one_line(cell)) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8")
