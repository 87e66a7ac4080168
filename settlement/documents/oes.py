"""ØS Indsigt: `postings_csv(postings)` gives the postings of paid invoices.

No import layout of ØS Indsigt is public (formats.md § 3.6), so this one is ours: semicolon, header row, UTF-8, decimal comma,
CR-LF, dates as yyyy-mm-dd, one row per posting. Leveret fra and Leveret til are the accrual, Posteringsdato and Regnskabsår the
cash.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from settlement.documents.invoice_posting import InvoicePosting, Posted, kroner, one_line, ordered, posted
from settlement.spreadsheet import unrun

COLUMNS = (
    "Bilag", "CVR-nummer", "Fakturanummer", "Fakturalinje", "Konto", "Debet/kredit", "Beløb", "Leveret fra", "Leveret til",
    "Posteringsdato", "Regnskabsår", "Tekst", "Godkendt af", "Afvigelse",
)  # fmt: skip


def postings_csv(postings: Iterable[InvoicePosting]) -> bytes:
    """The file of a run's paid invoices; the same postings in any order, the same bytes.

    Raises InputFault where there is nothing to post or a voucher does not balance.
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for x in ordered(postings):
        days = [day.isoformat() if day else "" for day in (x.delivery_from, x.delivery_to)]
        said = [unrun(one_line(text)) for text in (x.voucher, x.supplier_cvr, x.invoice_number, x.line_number)]
        told = [unrun(one_line(text)) for text in (x.text, x.approved_by, x.difference)]
        writer.writerow([
            *said, x.account_alias or x.account, x.side, kroner(abs(x.amount_oere)), *days, x.posting_date.isoformat(),
            x.accounting_year, *told,
        ])  # fmt: skip
    return out.getvalue().encode("utf-8")


def posted_in(content: bytes) -> Posted:
    """Count and sum of the postings of a file, by side, read back from it."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=";")
    return posted((row["Debet/kredit"], int(row["Beløb"].replace(",", ""))) for row in rows)
