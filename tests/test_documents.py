"""The paper, the OPUS file, the model, and the golden files that freeze every format byte for byte.

Golden files lie in tests/golden. After a wanted change of a format, write them again with
`AFREGNING_GOLDEN=write pytest tests/test_documents.py` and read the difference before committing it.
"""
import csv
import io
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from documents_example import (
    CORRECTION,
    CUSTOMER,
    MONTH_PART,
    POSTINGS,
    credit_note,
    document,
    invoice,
    mixed_credit_note,
    mixed_invoice,
)
from pypdf import PdfReader

from settlement.documents.model import CITIZEN_CHARGE, CREDIT, INTERNAL_VOUCHER, PAYOUT_ORDER, Posting
from settlement.documents.oioubl import invoice_xml
from settlement.documents.opus import COLUMNS, account_columns, reposting_csv
from settlement.documents.pdf import danish_date, danish_quantity, document_pdf, kroner

GOLDEN = Path(__file__).parent / "golden"
OPUS_SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "samples" / "opus" / "omposteringsbilag_synthetic.csv"

GOLDEN_FILES = {
    "invoice.xml": lambda: invoice_xml(invoice(requisition="REKV-77")),
    "credit_note.xml": lambda: invoice_xml(credit_note()),
    "mixed_vat_invoice.xml": lambda: invoice_xml(mixed_invoice()),
    "mixed_vat_credit_note.xml": lambda: invoice_xml(mixed_credit_note()),
    "reposting.csv": lambda: reposting_csv(POSTINGS),
}


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden(name):
    path, made = GOLDEN / name, GOLDEN_FILES[name]()
    if os.environ.get("AFREGNING_GOLDEN") == "write":
        path.write_bytes(made)
    assert made == path.read_bytes()


# --- paper ---------------------------------------------------------------------------------------------------------


def pages(document_) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(document_pdf(document_))).pages]


def test_invoice_on_paper():
    (text,) = pages(mixed_invoice(requisition="REKV-77"))
    for part in (
        "Faktura", "F2026-000123", "03-11-2026", "03-12-2026", "Mellemkommunal afregning", "REKV-77", "Odense Kommune",
        "Rådhuspladsen 2", "8000 Aarhus C", "EAN 5798005770220", "Længerevarende", "10-2026", "0,4194", "måned",
        "80.000,00", "33.548,39", "Regulering af", "F2026-000017", "-21.005,00", "I alt uden moms", "12.544,19",
        "Moms 25 % af 0,80", "I alt at betale (DKK)", "12.544,39", "reg.nr. 1234 konto 0001234567", "Side 1 af 1",
        "Afregningskørsel 12", 16 * "4f3c", 16 * "9a1b",
    ):  # fmt: skip
        assert part in text, part


def test_credit_note_on_paper_turns_the_signs():
    (text,) = pages(credit_note())
    assert "Kreditnota" in text and "I alt til gode (DKK)" in text and "18.904,50" in text
    assert "21.005,00" in text and "-21.005,00" not in text and "-2.100,50" in text
    assert "skal ikke betales" in text


@pytest.mark.parametrize(
    ("kind", "process", "expected"),
    [(INTERNAL_VOUCHER, "intern", ("Internt bilag", "Intern afregning", "Der skal ikke betales")),
     (PAYOUT_ORDER, "udbetaling", ("Udbetalingsbilag", "Udbetales 03-12-2026", "I alt til udbetaling")),
     (CITIZEN_CHARGE, "personopkraevning", ("Opkrævning", "Personopkrævning", "Betales senest 03-12-2026"))],
)  # fmt: skip
def test_other_documents_on_paper(kind, process, expected):
    (text,) = pages(invoice(kind=kind, process=process))
    assert all(part in text for part in expected)


def test_invoice_without_account_names_nemkonto():
    assert "NemKonto" in pages(invoice(bank_registration="", bank_account=""))[0]


def test_long_table_runs_over_pages_with_heading_and_count():
    found = pages(document(*(replace(MONTH_PART, item_name=f"Ydelse nummer {number}") for number in range(80))))
    assert len(found) > 3
    for number, text in enumerate(found, start=1):
        assert f"Side {number} af {len(found)}" in text
        assert "Bilag F2026-000123" in text
    assert all("Beløb" in text for text in found)
    assert all(any(f"Ydelse nummer {number}\n" in text for text in found) for number in range(80))
    assert "I alt at betale" in found[-1] and not any("I alt at betale" in text for text in found[:-1])


def test_paper_is_the_same_bytes_with_embedded_fonts():
    first = document_pdf(mixed_invoice())
    assert document_pdf(mixed_invoice()) == first
    fonts = [font.get_object() for font in PdfReader(io.BytesIO(first)).pages[0]["/Resources"]["/Font"].values()]
    embedded = [font for font in fonts if "FontFile2" in str(font.get("/FontDescriptor", {}))]
    assert {"Roman", "Bold"} <= {font["/BaseFont"].rpartition("-")[2] for font in embedded}


def test_paper_survives_markup_and_hides_the_counterparty_code():
    person = replace(CUSTOMER, code="0101701234", name="Drift & Service <Nord>", cvr="", ean="")
    (text,) = pages(invoice(customer=person, kind=CITIZEN_CHARGE))
    assert "Drift & Service <Nord>" in text
    assert "0101701234" not in text and "010170" not in text


def test_danish_figures():
    amounts = {0: "0,00", 5: "0,05", -5: "-0,05", 123456789: "1.234.567,89", -100000: "-1.000,00"}
    assert {oere: kroner(oere) for oere in amounts} == amounts
    assert danish_date(date(2026, 2, 3)) == "03-02-2026"
    assert [danish_quantity(*q) for q in ((13, 31), (31, 1), (-9, 2), (5000, 1), (1, 20000), (-1, 20001))] == [
        "0,4194", "31", "-4,5", "5.000", "0,0001", "0",
    ]  # fmt: skip


# --- OPUS ----------------------------------------------------------------------------------------------------------


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=";"))


def test_reposting_file():
    debit, credit = rows(reposting_csv(POSTINGS))
    assert (debit["Artskonto"], debit["Debet/kredit"], debit["Beløb"]) == ("90540000", "Debet", "33548,39")
    assert (credit["Artskonto"], credit["Ordre"], credit["Debet/kredit"]) == ("", "5320500190004500", "Kredit")
    assert credit["Tekst"] == "F2026-000123 Mellemkommunal afregning"
    assert credit["Referencenøgle"] == "12-1"
    assert {debit["PSP-element"], credit["PSP-element"]} == {""}  # on both sides or on neither


@pytest.mark.skipif(not OPUS_SAMPLE.exists(), reason="the sample lies outside this repository")
def test_reposting_file_has_the_columns_and_form_of_the_sample():
    sample, made = OPUS_SAMPLE.read_bytes(), reposting_csv(POSTINGS)
    assert made.splitlines(keepends=True)[0] == sample.splitlines(keepends=True)[0]
    assert {line.count(b";") for data in (made, sample) for line in data.splitlines()} == {24}
    assert len(COLUMNS) == 25


def test_reposting_balances_or_is_refused():
    with pytest.raises(ValueError, match=r"Debit 33548,39 and credit 33548,38 differ"):
        reposting_csv([POSTINGS[0], replace(POSTINGS[1], amount_oere=33_548_38)])
    with pytest.raises(ValueError, match="No postings"):
        reposting_csv([])


@pytest.mark.parametrize("account", ["", "5320-5001", "٥٣٢٠٥٠٠١", "konto"])
def test_account_of_anything_but_digits_is_refused(account):
    with pytest.raises(ValueError, match="er ikke cifre"):
        account_columns(account)


# --- model ---------------------------------------------------------------------------------------------------------


def test_document_that_does_not_add_up_is_refused():
    with pytest.raises(ValueError, match="its lines sum to 3354839 øre and 0 øre VAT"):
        invoice(total_oere=1)
    with pytest.raises(ValueError, match="has no lines"):
        document()
    with pytest.raises(ValueError, match="kind 'rykker' is unknown"):
        document(CORRECTION, kind="rykker")


def test_posting_states_its_side_and_a_positive_amount():
    with pytest.raises(ValueError, match="side 'debet' is not Debet or Kredit"):
        replace(POSTINGS[0], debit_credit="debet")
    with pytest.raises(ValueError, match="must be above 0"):
        Posting("53205001", CREDIT, -1, "tekst", "1", "F1")
