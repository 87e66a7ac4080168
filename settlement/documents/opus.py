"""KMD Opus omposteringsbilag: `reposting_csv(postings)` gives the upload file (formats.md § 3.5).

Layout: semicolon, header row, UTF-8, decimal comma, CR-LF, 25 columns, one row per posting. The voucher's head
(booking date, text) is typed on the upload screen and is not in the file.
"""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from settlement.documents.model import CREDIT, DEBIT, Posting

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
        raise ValueError(f"Account {account!r} is not digits; correct the posting rule that gave it")
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
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    for posting in postings:
        writer.writerow(
            account_columns(posting.account)
            | {
                "Debet/kredit": posting.debit_credit,
                "Beløb": _kroner(posting.amount_oere),
                "Tekst": f"{posting.document_number} {posting.text}".strip()[:_TEXT_LENGTH],
                "Referencenøgle": posting.reference,
            }
        )
    return out.getvalue().encode("utf-8")


def _kroner(oere: int) -> str:
    return f"{oere // 100},{oere % 100:02d}"
