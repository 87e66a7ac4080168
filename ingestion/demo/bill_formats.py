"""A bill as its supplier sends it: OIOUBL 2.1, OIOUBL 3 or Peppol BIS Billing 3, without what only the municipality knows.

The OIOUBL 2.1 of settlement/documents is the common ground. OIOUBL 3 and Peppol are EN 16931 on UBL 2.1: other identifiers
of document and parties, codes of categories without lists, the net amount where OIOUBL 2 has the VAT.
"""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

from lxml import etree

from ingestion.demo.bills import OIOUBL_2, OIOUBL_3, PEPPOL, Bill, BillLine, about, rounded
from settlement.documents.model import CREDIT_NOTE, Document, DocumentLine, Party
from settlement.documents.oioubl import invoice_xml

_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
_CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
_PARSER = etree.XMLParser(remove_blank_text=True)
_EN_16931 = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
_PROFILES = {OIOUBL_3: "urn:fdc:oioubl.dk:bis:billing_with_response:3", PEPPOL: "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"}
# ISO 6523: GLN, CVR number and the number of a VAT registration.
_GLN, _CVR, _SE = "0088", "0184", "0198"
_EXEMPT = "Momsfri efter momslovens § 13"


def document_xml(bill: Bill, supplier: Party, customer: Party) -> bytes:
    """The file's bytes; same bill, same bytes."""
    lines = tuple(
        DocumentLine(
            i, f"{100 + bill.offer.number % 800}", f"{line.first:%Y-%m}", line.item.name, line.item.unit,
            line.units.numerator, line.units.denominator, line.price_oere, line.amount_oere, line.vat_oere,
            line.item.vat_pct * 100, corrects=bill.corrects.number if bill.corrects else "",
        )
        for i, line in enumerate(bill.lines, start=1)
    )  # fmt: skip
    references = [_references(line) for line in bill.lines]
    alone = len(lines) == 1 and "," not in references[0]
    account = f"{1000 + bill.offer.number * 37 % 9000}", f"{int(bill.offer.cvr) * 97 % 10**10:010d}"
    document = Document(
        bill.number, bill.document_kind, "", bill.issued, _due(bill), supplier, customer, lines,
        sum(line.amount_oere for line in lines), sum(line.vat_oere for line in lines),
        # Where the lines have references of their own, the document must have one too (F-INV142).
        requisition=(references[0] if alone else "Samlefaktura") if any(references) else "",
        bank_registration=account[0], bank_account=account[1],
    )  # fmt: skip
    root = etree.fromstring(invoice_xml(document), _PARSER)
    _in_the_suppliers_words(root, bill, references)
    if bill.format != OIOUBL_2:
        _as_en_16931(root, bill, customer.contact_id)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _due(bill: Bill) -> date:
    return bill.issued + timedelta(30)


def _references(line: BillLine) -> str:
    return ", ".join(filter(None, (served.requisition for served in line.served)))


def _in_the_suppliers_words(root: etree._Element, bill: Bill, references: list[str]) -> None:
    first, last = min(line.first for line in bill.lines), max(line.last for line in bill.lines)
    months = f"{first:%m-%Y}" if f"{first:%Y%m}" == f"{last:%Y%m}" else f"{first:%m-%Y} til {last:%m-%Y}"
    root.find(f"{_CBC}Note").text = f"Levering i {months}"
    _set_period(root.find(f"{_CAC}InvoicePeriod"), first, last)
    alone, is_credit = len(bill.lines) == 1, bill.document_kind == CREDIT_NOTE
    xml_lines = [*root.iter(f"{_CAC}InvoiceLine"), *root.iter(f"{_CAC}CreditNoteLine")]
    for xml_line, line, told in zip(xml_lines, bill.lines, references, strict=True):
        for ours in xml_line.findall(f"{_CAC}Item/{_CAC}AdditionalItemProperty"):
            ours.getparent().remove(ours)
        note = "; ".join(dict.fromkeys(filter(None, (about(bill.offer, served, line.item) for served in line.served))))
        # Peppol and a credit note's line have no place for a reference of their own, and no place has room for two.
        by_note = told and ("," in told or not alone and (bill.format == PEPPOL or is_credit))
        if by_note:
            note = f"{note}; rekv. {told}".removeprefix("; ")
        if note:
            _after(xml_line.find(f"{_CBC}ID"), "Note", note)
        tax = xml_line.find(f"{_CAC}TaxTotal")
        if (line.first, line.last) != (first, last):
            period = etree.Element(f"{_CAC}InvoicePeriod")
            _add(period, "StartDate", "")
            _add(period, "EndDate", "")
            _set_period(period, line.first, line.last)
            tax.addprevious(period)
        if told and not by_note and not alone:
            order_line = etree.Element(f"{_CAC}OrderLineReference")
            _add(order_line, "LineID", "1")
            _add(etree.SubElement(order_line, f"{_CAC}OrderReference"), "ID", told)
            tax.addprevious(order_line)


def _set_period(period: etree._Element, first: date, last: date) -> None:
    period.find(f"{_CBC}StartDate").text, period.find(f"{_CBC}EndDate").text = first.isoformat(), last.isoformat()


# EN 16931


def _as_en_16931(root: etree._Element, bill: Bill, buyer_reference: str) -> None:
    peppol, credit = bill.format == PEPPOL, bill.document_kind == CREDIT_NOTE
    kind = "creditnote" if credit else "invoice"
    customization = _EN_16931 if peppol else f"urn:fdc:oioubl.dk:trns:billing:{kind}:3.0"
    for name, value in (("CustomizationID", customization), ("ProfileID", _PROFILES[bill.format])):
        _plain(root.find(f"{_CBC}{name}")).text = value
    _drop(root, "CopyIndicator", *(["UBLVersionID"] if peppol else []))
    issued = root.find(f"{_CBC}IssueDate")
    if credit:
        _after(issued, "CreditNoteTypeCode", "381")
    else:
        _plain(root.find(f"{_CBC}InvoiceTypeCode"))
        _after(issued, "DueDate", _due(bill).isoformat())
    _after(root.find(f"{_CBC}DocumentCurrencyCode"), "BuyerReference", buyer_reference)
    for side in ("AccountingSupplierParty", "AccountingCustomerParty"):
        _party(root.find(f"{_CAC}{side}/{_CAC}Party"), peppol)
    for means in root.findall(f"{_CAC}PaymentMeans"):
        _drop(means, "ID", "PaymentDueDate", "PaymentChannelCode")
        _drop(means.find(f"{_CAC}PayeeFinancialAccount"), "PaymentNote")
    _drop(root, "PaymentTerms")
    _taxes(root, peppol)


def _party(party: etree._Element, peppol: bool) -> None:
    for number in (party.find(f"{_CBC}EndpointID"), party.find(f"{_CAC}PartyIdentification/{_CBC}ID")):
        scheme = _GLN if number.get("schemeID") == "GLN" else _CVR
        _plain(number).set("schemeID", scheme)
        number.text = number.text.removeprefix("DK")
    address = party.find(f"{_CAC}PostalAddress")
    _drop(address, "AddressFormatCode")
    street = address.find(f"{_CBC}StreetName")
    if not peppol:  # COMMON-012: the house number on its own
        street.text, _, house = street.text.rpartition(" ")
        _after(street, "BuildingNumber", house)
    legal = party.find(f"{_CAC}PartyLegalEntity")
    company = legal.find(f"{_CBC}CompanyID")
    cvr = company.text.removeprefix("DK")
    _plain(company).set("schemeID", _CVR)
    company.text = cvr
    tax = etree.Element(f"{_CAC}PartyTaxScheme")
    _add(tax, "CompanyID", f"DK{cvr}", **({} if peppol else {"schemeID": _SE}))
    _add(etree.SubElement(tax, f"{_CAC}TaxScheme"), "ID", "VAT")
    legal.addprevious(tax)
    _drop(party, "Contact")  # whom it may concern is the buyer's reference here


def _taxes(root: etree._Element, peppol: bool) -> None:
    for category in root.iter(f"{_CAC}TaxCategory"):
        _category(category)
    for line in [*root.iter(f"{_CAC}InvoiceLine"), *root.iter(f"{_CAC}CreditNoteLine")]:
        category = line.find(f"{_CAC}TaxTotal/{_CAC}TaxSubtotal/{_CAC}TaxCategory")
        classified = etree.SubElement(line.find(f"{_CAC}Item"), f"{_CAC}ClassifiedTaxCategory")
        for name in ("ID", "Percent"):
            _add(classified, name, category.findtext(f"{_CBC}{name}"))
        _add(etree.SubElement(classified, f"{_CAC}TaxScheme"), "ID", "VAT")
        if peppol:
            _drop(line, "TaxTotal")
    # BR-CO-17: the VAT of a category is that of its whole amount, rounded once.
    total = root.find(f"{_CAC}TaxTotal")
    vat = 0
    for subtotal in total.findall(f"{_CAC}TaxSubtotal"):
        rate = Fraction(subtotal.findtext(f"{_CAC}TaxCategory/{_CBC}Percent")) / 100
        amount = rounded(Fraction(subtotal.findtext(f"{_CBC}TaxableAmount")) * 100 * rate)
        subtotal.find(f"{_CBC}TaxAmount").text = _kroner(amount)
        vat += amount
    total.find(f"{_CBC}TaxAmount").text = _kroner(vat)
    money = root.find(f"{_CAC}LegalMonetaryTotal")
    net = money.findtext(f"{_CBC}LineExtensionAmount")
    gross = _kroner(int(Fraction(net) * 100) + vat)
    for name, value in (("TaxExclusiveAmount", net), ("TaxInclusiveAmount", gross), ("PayableAmount", gross)):
        money.find(f"{_CBC}{name}").text = value


def _category(category: etree._Element) -> None:
    code = _plain(category.find(f"{_CBC}ID"))
    code.text = "S" if code.text == "StandardRated" else "E"
    if code.text == "E" and category.getparent().getparent().getparent().tag.endswith(("}Invoice", "}CreditNote")):
        _after(category.find(f"{_CBC}Percent"), "TaxExemptionReason", _EXEMPT)
    scheme = category.find(f"{_CAC}TaxScheme")
    _plain(scheme.find(f"{_CBC}ID")).text = "VAT"
    _drop(scheme, "Name")


def _kroner(oere: int) -> str:
    return f"{oere // 100}.{oere % 100:02d}"


def _plain(element: etree._Element) -> etree._Element:
    """The element without its code list."""
    element.attrib.clear()
    return element


def _add(parent: etree._Element, name: str, text: str, **attributes: str) -> None:
    etree.SubElement(parent, f"{_CBC}{name}", attributes).text = text


def _after(element: etree._Element, name: str, text: str) -> None:
    new = etree.Element(f"{_CBC}{name}")
    new.text = text
    element.addnext(new)


def _drop(parent: etree._Element, *names: str) -> None:
    for name in names:
        for found in [*parent.findall(f"{_CBC}{name}"), *parent.findall(f"{_CAC}{name}")]:
            parent.remove(found)
