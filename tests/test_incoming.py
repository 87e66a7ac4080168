"""Received e-invoices as a person reads them: every public example, attachments, and XML made to do harm."""

from __future__ import annotations

import base64
from datetime import date
from decimal import Decimal

import pytest
from incoming_example import changed, document, needs_samples, samples

from settlement.documents import incoming, safe_xml
from settlement.documents.incoming import Attachment, read_invoice
from settlement.faults import InputFault


@needs_samples
def test_every_public_example_is_read_or_told_to_be_no_invoice():
    read, refused = {}, {}
    for path in samples():
        try:
            read[path.name] = read_invoice(path.read_bytes(), path.name)
        except InputFault as fault:
            refused[path.name] = str(fault)
    assert len(read) == 29 and len(refused) == 5
    for name, sentence in refused.items():
        kind = "et Reminder (rykker)" if "Reminder" in name else "et ApplicationResponse (kvittering)"
        assert sentence == f"{name}: er {kind}, ikke en faktura. Læg den ikke her."
    for name, invoice in read.items():
        assert invoice.number and invoice.issue_date and invoice.supplier.name and invoice.customer.name and invoice.lines, name
        assert sum(line.amount_oere for line in invoice.lines) == invoice.net_oere, name
        assert invoice.kind == ("kreditnota" if "redit" in name else "faktura")


def test_an_invoice_as_a_person_reads_it():
    read = read_invoice(document().encode())
    assert (read.format, read.kind, read.type_code, read.number, read.currency) == ("peppol-bis3", "faktura", "380", "F1", "DKK")
    assert (read.issue_date, read.due_date) == (date(2026, 3, 1), date(2026, 3, 30))
    assert (read.period_from, read.period_to) == (date(2026, 2, 1), date(2026, 2, 28))
    assert (read.net_oere, read.vat_oere, read.prepaid_oere, read.payable_oere) == (170000, 35625, 2500, 205625)
    assert [(a.reason, a.amount_oere) for a in read.allowances] == [("Gebyr", 2500)]
    assert [(v.category, v.percent, v.taxable_oere, v.vat_oere) for v in read.vat] == [
        ("S", 25, 142500, 35625), ("E", 0, 30000, 0),
    ]  # fmt: skip
    assert read.supplier.address == ("Vejen 1", "8000 Aarhus", "DK") and read.supplier.company_id == "12345674"
    assert (read.payment_means[0].registration, read.payment_means[0].account) == ("1234", "0011223344")
    first = read.lines[0]
    assert (first.quantity, first.price, first.price_quantity, first.unit_code) == (7, 400, 2, "DAY")
    assert (first.item_name, first.description, first.note) == ("Ophold", "Ophold med støtte", "AB, født 010190")
    assert first.properties == (("Rum", "stue 1"),) and first.vat_percent == Decimal(25) and first.amount_oere == 140000


def test_a_credit_note_and_an_allowance():
    text = changed(document("CreditNote", "oioubl3"), ("<cbc:ChargeIndicator>true", "<cbc:ChargeIndicator>false"))
    read = read_invoice(text.encode())
    assert (read.format, read.kind, read.type_code, read.corrects) == ("oioubl-3", "kreditnota", "381", ("F0",))
    assert read.allowances[0].amount_oere == -2500 and read.payable_oere == 205625


@pytest.mark.parametrize(
    ("amount", "oere"), [("1400.005", 140001), ("-1400.005", -140001), ("0.004", 0), ("1400", 140000), ("x", None)]
)
def test_amounts_are_whole_oere(amount, oere):
    text = changed(document(), (">1400.00</cbc:LineExtensionAmount>", f">{amount}</cbc:LineExtensionAmount>"))
    assert read_invoice(text.encode()).lines[0].amount_oere == oere


# --- attachments ----------------------------------------------------------------------------------------------------


def with_attachment(content: str, mime: str = "application/pdf", name: str = "bilag.pdf") -> bytes:
    reference = (
        "<cac:AdditionalDocumentReference><cbc:ID>B1</cbc:ID><cac:Attachment>"
        f'<cbc:EmbeddedDocumentBinaryObject mimeCode="{mime}" filename="{name}">{content}</cbc:EmbeddedDocumentBinaryObject>'
        "</cac:Attachment></cac:AdditionalDocumentReference><cac:AdditionalDocumentReference><cbc:ID>B2</cbc:ID><cac:Attachment>"
        "<cac:ExternalReference><cbc:URI>https://example.dk/b2.pdf</cbc:URI></cac:ExternalReference></cac:Attachment>"
        "</cac:AdditionalDocumentReference>"
    )
    return changed(document(), ("<cac:AccountingSupplierParty>", reference + "<cac:AccountingSupplierParty>")).encode()


def test_an_attachment_is_decoded_and_a_link_is_only_told():
    pdf = b"%PDF-1.4 \xff\x00 end"
    folded = base64.encodebytes(pdf).decode()
    read = read_invoice(with_attachment(folded, name="../../etc/x\x07.pdf".replace("\x07", "")))
    assert read.attachments == (Attachment("x.pdf", "application/pdf", pdf),)
    assert read.links == (("B2", "https://example.dk/b2.pdf"),)


@pytest.mark.parametrize(
    ("content", "mime", "sentence"),
    [("PGI+", "text/html", "åbnes ikke"), ("a!!!", "application/pdf", "ødelagt"), ("AAAA", "application/pdf", "fylder mere")],
)
def test_an_attachment_that_is_not_opened_is_told_and_the_invoice_is_shown(content, mime, sentence, monkeypatch):
    monkeypatch.setattr(incoming, "LARGEST_ATTACHMENT", 2)
    read = read_invoice(with_attachment(content, mime))
    assert read.payable_oere == 205625
    assert read.attachments[0].content is None and sentence in read.attachments[0].fault


def test_an_attachment_may_be_larger_than_the_parser_lets_a_text_be():
    content = base64.b64encode(bytes(11 << 20)).decode()
    assert len(read_invoice(with_attachment(content)).attachments[0].content) == 11 << 20


# --- XML made to do harm --------------------------------------------------------------------------------------------

LAUGHS = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))


def with_dtd(dtd: str, *changes: tuple[str, str]):
    return lambda text: changed(text, ("<Invoice", f"<!DOCTYPE Invoice {dtd}><Invoice"), *changes)


HARM = {
    "entities": (with_dtd(f"[{LAUGHS}]", ("AB, f", "&l8;")), "DTD"),
    "entities in an attribute": (with_dtd(f"[{LAUGHS}]", ('unitCode="DAY"', 'unitCode="&l8;"')), "DTD"),
    "a file of ours": (with_dtd('[<!ENTITY f SYSTEM "file:///etc/passwd">]', ("AB, f", "&f;")), "DTD"),
    "a DTD elsewhere": (with_dtd('SYSTEM "http://127.0.0.1:1/x.dtd"'), "DTD"),
    "an unknown entity": (lambda t: changed(t, ("AB, f", "&nobody;")), "kan ikke læses som XML"),
    "deep": (lambda t: changed(t, ("AB, født 010190", "<a>" * 99 + "</a>" * 99)), "100 lag dyb"),
    "very deep": (lambda t: changed(t, ("AB, født 010190", "<a>" * 50_000 + "</a>" * 50_000)), "kan ikke læses som XML"),
    "cut off": (lambda t: t[:-40], "kan ikke læses som XML"),
    "no XML": (lambda t: "12345", "kan ikke læses som XML"),
    "empty": (lambda t: "", "kan ikke læses som XML"),
    "an unknown character set": (lambda t: changed(t, ("UTF-8", "klingon")), "tegnsættet kendes ikke"),
    "one where mark-up is other bytes": (lambda t: changed(t, ("UTF-8", "UTF-7")), "tegnsættet kendes ikke"),
    "another document": (lambda t: t.replace("<Invoice", "<Order").replace("/Invoice>", "/Order>"), "er en ordre"),
    "another namespace": (lambda t: t.replace("xsd:Invoice-2", "xsd:Invoice-3"), "ikke en faktura i UBL"),
    "another standard": (lambda t: t.replace("poacc:billing:3.0", "poacc:billing:4.0"), "standard, der ikke kendes"),
}


@pytest.mark.parametrize("name", HARM)
def test_harmful_xml_is_refused_with_a_sentence_that_shows_nothing_of_it(name):
    harm, sentence = HARM[name]
    with pytest.raises(InputFault) as refused:
        read_invoice(harm(document()).encode(), "f.xml")
    assert sentence in str(refused.value) and str(refused.value).startswith("f.xml: ")
    assert "AB, f" not in str(refused.value) and "root:" not in str(refused.value)


def test_another_encoding_than_it_says_is_refused_and_the_one_it_says_is_read():
    text = document()
    with pytest.raises(InputFault, match="kan ikke læses som XML"):
        read_invoice(text.encode("latin-1"))
    with pytest.raises(InputFault, match="tegnsættet kendes ikke"):
        read_invoice(text.encode("utf-16"))
    danish = changed(text, ("UTF-8", "ISO-8859-1")).encode("latin-1")
    assert read_invoice(danish).lines[0].description == "Ophold med støtte"
    assert read_invoice(b"\xef\xbb\xbf" + text.encode()).number == "F1"


def test_a_document_that_is_too_large_is_not_parsed(monkeypatch):
    monkeypatch.setattr(safe_xml, "LARGEST", len(document().encode()))
    assert read_invoice(document().encode()).number == "F1"
    with pytest.raises(InputFault, match="fylder mere end"):
        read_invoice(document().encode() + b" ")


def test_a_comment_within_a_number_does_not_cut_it():
    assert read_invoice(changed(document(), ("<cbc:ID>F1", "<cbc:ID>F<!-- x -->1")).encode()).number == "F1"
