"""A received e-invoice as a person reads it: `read_invoice(content)` gives its parties, lines, sums, ways of payment and
attachments, whichever of OIOUBL 2, OIOUBL 3 and Peppol BIS 3 it follows.

Everything is as the document says it; whether it is right, `incoming_verdict` says. The words on the page are the page's.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from lxml import etree

from settlement.documents.incoming_verdict import read_document
from settlement.documents.model import CREDIT_NOTE, INVOICE
from settlement.documents.oioubl_arithmetic import PREFIXES, decimal, elements, value_of
from settlement.documents.oioubl_received_rules import MIME_TYPES
from settlement.faults import InputFault

LARGEST_ATTACHMENT = 20 << 20  # bytes


@dataclass(frozen=True)
class Party:
    """One side of the document; a text that is not there is ''. `company_id` is the CVR number as written."""

    name: str
    company_id: str
    endpoint: str
    endpoint_scheme: str
    address: tuple[str, ...]
    contact_id: str
    contact_name: str
    telephone: str
    mail: str


@dataclass(frozen=True)
class PaymentMeans:
    """One way to pay: `code` by UN/ECE 4461 (42 bank account, 93 FIK, 97 NemKonto …)."""

    code: str
    due_date: date | None
    account: str
    registration: str
    payment_id: str
    instruction_id: str
    creditor: str


@dataclass(frozen=True)
class AllowanceCharge:
    """A charge (positive) or an allowance (negative) in øre, with its reason."""

    reason: str
    amount_oere: int


@dataclass(frozen=True)
class VatCategory:
    """One category of the VAT breakdown; `percent` is None where the document says none."""

    category: str
    percent: Decimal | None
    taxable_oere: int
    vat_oere: int


@dataclass(frozen=True)
class InvoiceLine:
    """One line. `price` is that of `price_quantity` units; amounts in øre as the document says them, None where it says none."""

    number: str
    item_name: str
    description: str
    sellers_item_id: str
    note: str
    properties: tuple[tuple[str, str], ...]
    period_from: date | None
    period_to: date | None
    quantity: Decimal | None
    unit_code: str
    price: Decimal | None
    price_quantity: Decimal
    amount_oere: int | None
    vat_percent: Decimal | None
    order_reference: str
    account: str
    corrects: str
    allowances: tuple[AllowanceCharge, ...]


@dataclass(frozen=True)
class Attachment:
    """A file within the document. `content` is None where `fault` says why it is not opened."""

    name: str
    mime: str
    content: bytes | None
    fault: str = ""


@dataclass(frozen=True)
class Invoice:
    """A received document; `kind` is faktura or kreditnota. A credit note's amounts are positive, as it says them. `links` are
    addresses of documents elsewhere; they are never fetched."""

    format: str
    kind: str
    type_code: str
    number: str
    issue_date: date | None
    due_date: date | None
    period_from: date | None
    period_to: date | None
    currency: str
    profile: str
    note: str
    order_reference: str
    buyer_reference: str
    account: str
    corrects: tuple[str, ...]
    supplier: Party
    customer: Party
    payment_means: tuple[PaymentMeans, ...]
    payment_terms: str
    allowances: tuple[AllowanceCharge, ...]
    vat: tuple[VatCategory, ...]
    net_oere: int | None
    vat_oere: int | None
    prepaid_oere: int
    rounding_oere: int
    payable_oere: int | None
    lines: tuple[InvoiceLine, ...]
    attachments: tuple[Attachment, ...]
    links: tuple[tuple[str, str], ...]


def read_invoice(content: bytes, name: str = "Dokumentet") -> Invoice:
    """The document as a person reads it. Raises InputFault as `incoming_verdict.read_document`."""
    form, root = read_document(content, name)
    is_credit = etree.QName(root).localname == "CreditNote"
    total = _first(root, "cac:LegalMonetaryTotal")
    payments = _payments(root)
    dues = [means.due_date for means in payments if means.due_date]
    corrected = "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID"
    return Invoice(
        format=form,
        kind=CREDIT_NOTE if is_credit else INVOICE,
        type_code=_text(root, "cbc:CreditNoteTypeCode" if is_credit else "cbc:InvoiceTypeCode"),
        number=_text(root, "cbc:ID"),
        issue_date=_date(root, "cbc:IssueDate"),
        due_date=_date(root, "cbc:DueDate") or min(dues, default=None),
        period_from=_date(root, "cac:InvoicePeriod/cbc:StartDate"),
        period_to=_date(root, "cac:InvoicePeriod/cbc:EndDate"),
        currency=_text(root, "cbc:DocumentCurrencyCode"),
        profile=_text(root, "cbc:ProfileID"),
        note=_texts(root, "cbc:Note"),
        order_reference=_text(root, "cac:OrderReference/cbc:ID"),
        buyer_reference=_text(root, "cbc:BuyerReference"),
        account=_text(root, "cbc:AccountingCost"),
        corrects=tuple(dict.fromkeys((found.text or "").strip() for found in elements(root, corrected))),
        supplier=_party(root, "cac:AccountingSupplierParty/cac:Party"),
        customer=_party(root, "cac:AccountingCustomerParty/cac:Party"),
        payment_means=payments,
        payment_terms=_texts(root, "cac:PaymentTerms/cbc:Note"),
        allowances=_allowances(root),
        vat=tuple(_vat_category(subtotal) for subtotal in elements(root, "cac:TaxTotal/cac:TaxSubtotal")),
        net_oere=_oere(total, "cbc:LineExtensionAmount"),
        vat_oere=_oere(root, "cac:TaxTotal[cac:TaxSubtotal]/cbc:TaxAmount"),  # another may be in the currency of VAT
        prepaid_oere=_oere(total, "cbc:PrepaidAmount") or 0,
        rounding_oere=_oere(total, "cbc:PayableRoundingAmount") or 0,
        payable_oere=_oere(total, "cbc:PayableAmount"),
        lines=tuple(_line(line, is_credit) for line in elements(root, f"cac:{etree.QName(root).localname}Line")),
        attachments=tuple(map(_attachment, root.iterfind(".//cbc:EmbeddedDocumentBinaryObject", PREFIXES))),
        links=tuple(
            (_text(reference, "cbc:ID"), uri) for reference in elements(root, "cac:AdditionalDocumentReference")
            if (uri := _text(reference, "cac:Attachment/cac:ExternalReference/cbc:URI"))
        ),
    )  # fmt: skip


# --- values ---------------------------------------------------------------------------------------------------------


def _first(node: etree._Element, path: str) -> etree._Element:
    found = node.find(path, PREFIXES)
    return etree.Element("none") if found is None else found


def _text(node: etree._Element, path: str) -> str:
    return value_of(node, path).strip()


def _texts(node: etree._Element, path: str) -> str:
    return "\n".join(text for found in elements(node, path) if (text := (found.text or "").strip()))


def _date(node: etree._Element, path: str) -> date | None:
    try:
        return date.fromisoformat(_text(node, path)[:10])  # a date of the schema may have a time zone behind it
    except ValueError:
        return None


def _number(node: etree._Element, path: str) -> Decimal | None:
    return decimal(value_of(node, path))


def _oere(node: etree._Element, path: str) -> int | None:
    """Whole øre, rounded half away from zero: OIOUBL 2 lets a line's amount have four decimals."""
    number = _number(node, path)
    if number is None:
        return None
    if abs(number) >= 10**15:
        raise InputFault("Dokumentet har et beløb på mere end 15 cifre og vises ikke. Bed afsenderen om et rigtigt.")
    size = (abs(number) * 200 + 1) // 2
    return int(-size if number < 0 else size)


# --- parts ----------------------------------------------------------------------------------------------------------


def _party(root: etree._Element, path: str) -> Party:
    party = _first(root, path)
    address, contact = _first(party, "cac:PostalAddress"), _first(party, "cac:Contact")
    street = " ".join(filter(None, (_text(address, f"cbc:{part}") for part in ("StreetName", "BuildingNumber", "Floor", "Room"))))
    town = " ".join(filter(None, (_text(address, "cbc:PostalZone"), _text(address, "cbc:CityName"))))
    lines = [street, _text(address, "cbc:AdditionalStreetName"), *_texts(address, "cac:AddressLine/cbc:Line").splitlines(), town]
    endpoint = _first(party, "cbc:EndpointID")
    return Party(
        name=_text(party, "cac:PartyName/cbc:Name") or _text(party, "cac:PartyLegalEntity/cbc:RegistrationName"),
        company_id=_text(party, "cac:PartyLegalEntity/cbc:CompanyID"),
        endpoint=(endpoint.text or "").strip(),
        endpoint_scheme=endpoint.get("schemeID", ""),
        address=tuple(filter(None, [*lines, _text(address, "cac:Country/cbc:IdentificationCode")])),
        contact_id=_text(contact, "cbc:ID"),
        contact_name=_text(contact, "cbc:Name"),
        telephone=_text(contact, "cbc:Telephone"),
        mail=_text(contact, "cbc:ElectronicMail"),
    )


def _payments(root: etree._Element) -> tuple[PaymentMeans, ...]:
    return tuple(
        PaymentMeans(
            code=_text(means, "cbc:PaymentMeansCode"),
            due_date=_date(means, "cbc:PaymentDueDate"),
            account=_text(means, "cac:PayeeFinancialAccount/cbc:ID"),
            registration=_text(means, "cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID"),
            payment_id=_text(means, "cbc:PaymentID"),
            instruction_id=_text(means, "cbc:InstructionID"),
            creditor=_text(means, "cac:CreditAccount/cbc:AccountID"),
        )
        for means in elements(root, "cac:PaymentMeans")
    )


def _allowances(node: etree._Element) -> tuple[AllowanceCharge, ...]:
    found = []
    for charge in elements(node, "cac:AllowanceCharge"):
        amount = _oere(charge, "cbc:Amount") or 0
        is_charge = _text(charge, "cbc:ChargeIndicator") in ("true", "1")
        found.append(AllowanceCharge(_text(charge, "cbc:AllowanceChargeReason"), amount if is_charge else -amount))
    return tuple(found)


def _vat_category(subtotal: etree._Element) -> VatCategory:
    return VatCategory(
        _text(subtotal, "cac:TaxCategory/cbc:ID"), _number(subtotal, "cac:TaxCategory/cbc:Percent"),
        _oere(subtotal, "cbc:TaxableAmount") or 0, _oere(subtotal, "cbc:TaxAmount") or 0,
    )  # fmt: skip


def _line(line: etree._Element, is_credit: bool) -> InvoiceLine:
    quantity = _first(line, "cbc:CreditedQuantity" if is_credit else "cbc:InvoicedQuantity")
    percent = _number(line, "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:Percent")
    return InvoiceLine(
        number=_text(line, "cbc:ID"),
        item_name=_text(line, "cac:Item/cbc:Name"),
        description=_texts(line, "cac:Item/cbc:Description"),
        sellers_item_id=_text(line, "cac:Item/cac:SellersItemIdentification/cbc:ID"),
        note=_texts(line, "cbc:Note"),
        properties=tuple(
            (_text(found, "cbc:Name"), _text(found, "cbc:Value")) for found in elements(line, "cac:Item/cac:AdditionalItemProperty")
        ),
        period_from=_date(line, "cac:InvoicePeriod/cbc:StartDate"),
        period_to=_date(line, "cac:InvoicePeriod/cbc:EndDate"),
        quantity=decimal(quantity.text),
        unit_code=quantity.get("unitCode", ""),
        price=_number(line, "cac:Price/cbc:PriceAmount"),
        price_quantity=_number(line, "cac:Price/cbc:BaseQuantity") or Decimal(1),
        amount_oere=_oere(line, "cbc:LineExtensionAmount"),
        vat_percent=_number(line, "cac:Item/cac:ClassifiedTaxCategory/cbc:Percent") if percent is None else percent,
        order_reference=_text(line, "cac:OrderLineReference/cac:OrderReference/cbc:ID"),
        account=_text(line, "cbc:AccountingCost"),
        corrects=_text(line, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID"),
        allowances=_allowances(line),
    )


def _attachment(embedded: etree._Element) -> Attachment:
    reference = embedded.getparent().getparent()
    mime, name = embedded.get("mimeCode", ""), embedded.get("filename", "") or _text(reference, "cbc:ID") or "bilag"
    name = "".join(sign for sign in name.replace("\\", "/").rpartition("/")[2] if sign.isprintable())  # no path, no control sign
    if mime not in MIME_TYPES:
        return Attachment(name, mime, None, "Filtypen åbnes ikke her. Bed afsenderen om bilaget som PDF.")
    try:
        content = base64.b64decode("".join((embedded.text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        return Attachment(name, mime, None, "Bilaget er ødelagt. Bed afsenderen sende det igen.")
    if len(content) > LARGEST_ATTACHMENT:
        return Attachment(name, mime, None, f"Bilaget fylder mere end {LARGEST_ATTACHMENT >> 20} MB og vises ikke.")
    return Attachment(name, mime, content)
