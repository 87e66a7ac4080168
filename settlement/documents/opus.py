"""KMD Opus omposteringsbilag (formats.md § 3.5): `reposting_csv` of documents of ours, `invoice_postings_csv` of paid invoices.

Layout: semicolon, header row, UTF-8, decimal comma, CR-LF, 25 columns, one row per posting. The voucher's head
(booking date, text) is typed on the upload screen and is not in the file.
"""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from settlement.documents.invoice_posting import InvoicePosting, Posted, one_line, ordered, posted
from settlement.documents.model import CREDIT, DEBIT, Posting
from settlement.faults import InputFault
from settlement.spreadsheet import unrun

COLUMNS = (
    "Artskonto", "Omkostningssted", "PSP-element", "Profitcenter", "Ordre", "Debet/kredit", "Beløb", "Næste agent",
    "Tekst", "Betalingsart", "Påligningsår", "Betalingsmodtagernr.", "Betalingsmodtagernr.kode", "Ydelsesmodtagernr.",
    "Ydelsesmodtagernr.kode", "Ydelsesperiode fra", "Ydelsesperiode til", "Oplysningspligtnr.",
    "Oplysningspligtmodtagernr.kode", "Oplysningspligtkode", "Netværk", "Operation", "Mængde", "Mængdeenhed",
    "Referencenøgle",
)  # fmt: skip
_TEXT_LENGTH = 50  # SAP item text (SGTXT)


def account_columns(account: str) -> dict[str, str]:
    """Where an account of ours goes in the upload: an 8-digit one is an Artskonto, any other an Ordre.

    Artskonto takes 8 digits, while our accounts are municipal ones of 5-16 digits. No source says which SAP object
    mirrors a longer account; `Ordre` is this platform's choice, for a municipality keeps its authorised account as an
    order with the art derived from it. PSP-element stays empty, since it must stand on both sides or on neither. This
    is the one place to change where a municipality has decided otherwise. Raises ValueError for anything but digits.
    """
    if not account.isascii() or not account.isdigit():
        raise ValueError(f"Kontoen «{account}» er ikke cifre. Ret den posteringsregel eller kontoregel, der gav den.")
    return {"Artskonto": account} if len(account) == 8 else {"Ordre": account}


def reposting_csv(postings: Iterable[Posting]) -> bytes:
    """The upload file of one voucher, one row per posting in the given order; same postings, same bytes.

    Raises ValueError where there is nothing to post, debit and credit differ, or an account is not digits.
    """
    postings = list(postings)
    debit = sum(posting.amount_oere for posting in postings if posting.debit_credit == DEBIT)
    credit = sum(posting.amount_oere for posting in postings if posting.debit_credit == CREDIT)
    if not postings:
        raise ValueError("No postings: an empty omposteringsbilag is refused by the receiver, so do not make one")
    if debit != credit:
        raise ValueError(
            f"Debit {_kroner(debit)} and credit {_kroner(credit)} differ over {len(postings)} postings; "
            "post whole documents together, for each of them balances"
        )
    return _file(
        _row(x.account, x.debit_credit, x.amount_oere, f"{x.document_number} {x.text}", x.reference) for x in postings
    )


def invoice_postings_csv(postings: Iterable[InvoicePosting]) -> bytes:
    """The upload file of a run's paid invoices, one row per posting; the same postings in any order, the same bytes.

    Accrual: Ydelsesperiode holds the days of delivery, empty on the creditor account. Cash: the upload is one voucher with one
    booking date, typed on its screen, so all are of one posting date. Referencenøgle is our voucher; Tekst the supplier's
    invoice number and CVR number, then why another amount than the agreed was paid, or the text. Ydelsesmodtager stays empty:
    no person is in the file. Raises InputFault where there is nothing to post, a voucher does not balance, or dates differ.
    """
    found = ordered(postings)
    if len(days := {x.posting_date for x in found}) > 1:
        raise InputFault(
            f"Omposteringsbilaget har {len(days)} posteringsdatoer, men OPUS bogfører en fil på én dato. Lav en fil for hver dato."
        )
    return _file(
        _row(x.account, x.side, abs(x.amount_oere), _said_of(x), x.voucher)
        | {
            "Ydelsesperiode fra": f"{x.delivery_from:%d.%m.%Y}" if x.delivery_from else "",
            "Ydelsesperiode til": f"{x.delivery_to:%d.%m.%Y}" if x.delivery_to else "",
        }
        for x in found
    )


def posted_in(content: bytes) -> Posted:
    """Count and sum of the postings of either file, by side, read back from it."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=";")
    return posted((row["Debet/kredit"], int(row["Beløb"].replace(",", ""))) for row in rows)


def _said_of(posting: InvoicePosting) -> str:
    return one_line(f"{posting.invoice_number} {posting.supplier_cvr} {posting.difference or posting.text}")


def _row(account: str, side: str, amount_oere: int, text: str, reference: str) -> dict[str, str]:
    return account_columns(account) | {
        "Debet/kredit": side,
        "Beløb": _kroner(amount_oere),
        # People look at the file in a spreadsheet before they upload it. The finance system would post an apostrophe
        # as part of the text and not find a reference by it; a formula's sign says nothing in either, so it goes.
        "Tekst": unrun(text.strip())[:_TEXT_LENGTH],
        "Referencenøgle": unrun(reference),
    }


def _file(rows: Iterable[dict[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")


def _kroner(oere: int) -> str:
    return f"{oere // 100},{oere % 100:02d}"
