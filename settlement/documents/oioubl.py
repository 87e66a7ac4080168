"""OIOUBL 2.1 invoices and credit notes: `invoice_xml(document)` gives the bytes that NemHandel carries.

Layout and codes: OIOUBL 2.1 on UBL 2.1, as the official Schematron 1.17.2 tests it (`oioubl_rules` holds the gate).
Only elements that UBL 2.0 and 2.1 both know are written, in the order of the schema. A credit note turns every sign:
what is credited is positive there, and a line that charges something again is negative.
"""
from __future__ import annotations

from datetime import date, timedelta

from lxml import etree

from settlement.documents.model import CREDIT_NOTE, INVOICE, Document, DocumentLine, Party

_CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
_CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
_ROOTS = {INVOICE: "Invoice", CREDIT_NOTE: "CreditNote"}

# UN/ECE Recommendation 20. A weekday is a day with another name; a delivered unit and a one-off have no measure.
_UNIT_CODES = {
    "doegn": "DAY", "hverdag": "DAY", "uge": "WEE", "maaned": "MON", "aar": "ANN", "time": "HUR",
    "leveret": "EA", "engang": "EA",
}  # fmt: skip
_PROFILE = "urn:www.nesubl.eu:profiles:profile5:ver2.0"
_QUANTITY_DECIMALS = 10
_NAME_LENGTH = 40  # OIOUBL: longer item names belong in Description
_PAYMENT_NOTE_LENGTH = 20  # F-LIB133


class DeliveryAddressMissing(ValueError):
    """The counterparty has neither EAN nor CVR, so NemHandel has nowhere to deliver (`mangler_adresse`)."""


def invoice_xml(document: Document) -> bytes:
    """One booked invoice or credit note as OIOUBL 2.1, UTF-8 with XML declaration; same document, same bytes.

    Quantities have 10 decimals, rounded half away from zero, so that price times quantity meets the amount below one
    øre (settlement.md § 5); amounts and prices have 2. VAT 0 is ZeroRated, any other rate StandardRated. The contact of
    the receiver is `customer.contact_id`, else the requisition, else the delivery address itself, for the rules demand
    one. Without a bank account the invoice is to be paid to the supplier's NemKonto (payment means 97).

    Raises DeliveryAddressMissing where the counterparty has neither EAN nor CVR, and ValueError where the document is
    no invoice or credit note, the supplier has no CVR, or two VAT rates above 0 meet (F-LIB315 has room for one).
    """
    if document.kind not in _ROOTS:
        raise ValueError(f"Document {document.number} is {document.kind}; only faktura and kreditnota go by OIOUBL")
    if not document.supplier.cvr:
        raise ValueError(
            f"{document.number}: kommunen selv har intet CVR-nummer. Send det i modparter med egen kommunekode, træk bilaget "
            "tilbage, og bogfør igen."
        )
    if not (document.customer.ean or document.customer.cvr):
        raise DeliveryAddressMissing(
            f"{document.number}: modparten har hverken EAN eller CVR. Send det i modparter, træk bilaget tilbage, og bogfør igen."
        )
    return _Writer(document).xml()


def oere_text(oere: int) -> str:
    """Øre as kroner with 2 decimals and a point: -1234 is '-12.34'."""
    return f"{'-' if oere < 0 else ''}{abs(oere) // 100}.{abs(oere) % 100:02d}"


def quantity_text(numerator: int, denominator: int, decimals: int = _QUANTITY_DECIMALS) -> str:
    """An exact fraction as a decimal with a point, rounded half away from zero; `denominator` > 0."""
    scaled = (2 * abs(numerator) * 10**decimals + denominator) // (2 * denominator)
    whole, part = divmod(scaled, 10**decimals)
    return f"{'-' if numerator < 0 and scaled else ''}{whole}.{part:0{decimals}d}"


class _Writer:
    """Builds the tree of one document. `sign` turns booked amounts into what the document shows."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.is_credit = document.kind == CREDIT_NOTE
        self.sign = -1 if self.is_credit else 1
        corrected = {line.corrects for line in document.lines}
        # the one document that every line of a credit note corrects, else ''
        self.corrected = corrected.pop() if self.is_credit and len(corrected) == 1 else ""
        self.root_name = _ROOTS[document.kind]
        namespace = f"urn:oasis:names:specification:ubl:schema:xsd:{self.root_name}-2"
        self.root = etree.Element(f"{{{namespace}}}{self.root_name}", nsmap={None: namespace, "cac": _CAC, "cbc": _CBC})

    def xml(self) -> bytes:
        self._head()
        self._party("AccountingSupplierParty", self.document.supplier, contact_id=self.document.supplier.contact_id)
        customer = self.document.customer
        self._party(
            "AccountingCustomerParty",
            customer,
            contact_id=customer.contact_id or self.document.requisition or _endpoint(customer)[0],
        )
        if not self.is_credit:
            self._payment()
        self._tax_total(self.root, self.document.lines)
        self._monetary_total()
        for line in self.document.lines:
            self._line(line)
        return etree.tostring(self.root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

    def _head(self) -> None:
        document, root = self.document, self.root
        _text(root, "UBLVersionID", "2.1")
        _text(root, "CustomizationID", "OIOUBL-2.1")
        _text(root, "ProfileID", _PROFILE, schemeAgencyID="320", schemeID="urn:oioubl:id:profileid-1.2")
        _text(root, "ID", document.number)
        _text(root, "CopyIndicator", "false")
        _text(root, "IssueDate", document.issue_date.isoformat())
        if not self.is_credit:
            _text(root, "InvoiceTypeCode", "380", listAgencyID="320", listID="urn:oioubl:codelist:invoicetypecode-1.1")
        _text(root, "Note", f"Afregningskørsel {document.run_no}, kontrol {document.run_head}")
        _text(root, "DocumentCurrencyCode", "DKK")
        months = [line.delivery_month for line in document.lines]
        period = _group(root, "InvoicePeriod")
        _text(period, "StartDate", f"{min(months)}-01")
        _text(period, "EndDate", _last_day(max(months)).isoformat())
        if document.requisition:
            _text(_group(root, "OrderReference"), "ID", document.requisition)
        if self.corrected:
            _text(_group(root, "BillingReference", "InvoiceDocumentReference"), "ID", self.corrected)

    def _party(self, name: str, party: Party, contact_id: str) -> None:
        parent = _group(self.root, name, "Party")
        endpoint, scheme = _endpoint(party)
        _text(parent, "EndpointID", endpoint, **scheme)
        _text(_group(parent, "PartyIdentification"), "ID", endpoint, **scheme)
        _text(_group(parent, "PartyName"), "Name", party.name)
        if party.street or party.postal_code or party.city:
            address = _group(parent, "PostalAddress")
            # StructuredLax, for our street holds the house number and the sources do not part them
            format_list = "urn:oioubl:codelist:addressformatcode-1.1"
            _text(address, "AddressFormatCode", "StructuredLax", listAgencyID="320", listID=format_list)
            for element, value in (
                ("StreetName", party.street), ("CityName", party.city), ("PostalZone", party.postal_code),
            ):  # fmt: skip
                if value:
                    _text(address, element, value)
            _text(_group(address, "Country"), "IdentificationCode", "DK")
        if party.cvr:
            legal = _group(parent, "PartyLegalEntity")
            _text(legal, "RegistrationName", party.name)
            _text(legal, "CompanyID", f"DK{party.cvr}", schemeID="DK:CVR")
        if contact_id or party.contact_name:
            contact = _group(parent, "Contact")
            for element, value in (("ID", contact_id), ("Name", party.contact_name)):
                if value:
                    _text(contact, element, value)

    def _payment(self) -> None:
        document = self.document
        means = _group(self.root, "PaymentMeans")
        to_account = bool(document.bank_registration and document.bank_account)
        _text(means, "ID", "1")
        _text(means, "PaymentMeansCode", "42" if to_account else "97")
        _text(means, "PaymentDueDate", document.due_date.isoformat())
        channel_list = "urn:oioubl:codelist:paymentchannelcode-1.1"
        channel = "DK:BANK" if to_account else "DK:NEMKONTO"
        _text(means, "PaymentChannelCode", channel, listAgencyID="320", listID=channel_list)
        if to_account:
            account = _group(means, "PayeeFinancialAccount")
            _text(account, "ID", document.bank_account)
            _text(account, "PaymentNote", document.number[:_PAYMENT_NOTE_LENGTH])
            _text(_group(account, "FinancialInstitutionBranch"), "ID", document.bank_registration)
        terms = _group(self.root, "PaymentTerms")
        _text(terms, "ID", "1")
        _text(terms, "PaymentMeansID", "1")
        self._amount(terms, "Amount", document.payable_oere)

    def _tax_total(self, parent: etree._Element, lines: tuple[DocumentLine, ...]) -> None:
        """Grain: one subtotal per VAT category of `lines`, in the fixed order StandardRated, ZeroRated."""
        rates = sorted({line.vat_pct_e2 for line in lines}, reverse=True)
        if len([rate for rate in rates if rate]) > 1:
            raise ValueError(
                f"{self.document.number} har flere momssatser over 0 ({', '.join(map(oere_text, rates))} pct.), og en "
                "OIOUBL-faktura tager én. Træk bilaget tilbage, og ret moms_pct i katalogydelser."
            )
        total = _group(parent, "TaxTotal")
        self._amount(total, "TaxAmount", sum(line.vat_oere for line in lines))
        for rate in rates:
            rated = [line for line in lines if line.vat_pct_e2 == rate]
            subtotal = _group(total, "TaxSubtotal")
            self._amount(subtotal, "TaxableAmount", sum(line.amount_oere for line in rated))
            self._amount(subtotal, "TaxAmount", sum(line.vat_oere for line in rated))
            category = _group(subtotal, "TaxCategory")
            category_id = "StandardRated" if rate else "ZeroRated"
            _text(category, "ID", category_id, schemeAgencyID="320", schemeID="urn:oioubl:id:taxcategoryid-1.1")
            _text(category, "Percent", oere_text(rate))  # hundredths, like øre
            scheme = _group(category, "TaxScheme")
            _text(scheme, "ID", "63", schemeAgencyID="320", schemeID="urn:oioubl:id:taxschemeid-1.1")
            _text(scheme, "Name", "Moms")

    def _monetary_total(self) -> None:
        total = _group(self.root, "LegalMonetaryTotal")
        self._amount(total, "LineExtensionAmount", self.document.total_oere)
        self._amount(total, "TaxExclusiveAmount", self.document.vat_oere)  # in OIOUBL 2 this is the VAT (F-INV127)
        self._amount(total, "TaxInclusiveAmount", self.document.payable_oere)
        self._amount(total, "PayableAmount", self.document.payable_oere)

    def _line(self, line: DocumentLine) -> None:
        parent = _group(self.root, f"{self.root_name}Line")
        unit, numerator, denominator, price_oere = _unit_quantity_price(line)
        _text(parent, "ID", str(line.number))
        quantity = quantity_text(self.sign * numerator, denominator)
        _text(parent, "CreditedQuantity" if self.is_credit else "InvoicedQuantity", quantity, unitCode=unit)
        self._amount(parent, "LineExtensionAmount", line.amount_oere)
        if line.account:
            _text(parent, "AccountingCost", line.account)
        if line.corrects and not self.corrected:
            _text(_group(parent, "BillingReference", "InvoiceDocumentReference"), "ID", line.corrects)
        self._tax_total(parent, (line,))
        self._item(parent, line)
        price = _group(parent, "Price")
        _text(price, "PriceAmount", oere_text(price_oere), currencyID="DKK")
        _text(price, "BaseQuantity", "1", unitCode=unit)

    def _item(self, parent: etree._Element, line: DocumentLine) -> None:
        item = _group(parent, "Item")
        _text(item, "Description", line.item_name)
        _text(item, "Name", line.item_name[:_NAME_LENGTH])
        _text(_group(item, "SellersItemIdentification"), "ID", line.service_line_id)
        for name, value in (
            ("Leverancemåned", line.delivery_month), ("Ydelsespakke", line.package_id),
            ("Rekvisition", line.requisition), ("Regulering", "ja" if line.is_adjustment else ""),
        ):  # fmt: skip
            if value:
                itemproperty = _group(item, "AdditionalItemProperty")
                _text(itemproperty, "Name", name)
                _text(itemproperty, "Value", value)

    def _amount(self, parent: etree._Element, name: str, oere: int) -> None:
        _text(parent, name, oere_text(self.sign * oere), currencyID="DKK")


def _unit_quantity_price(line: DocumentLine) -> tuple[str, int, int, int]:
    """Unit code, quantity as a fraction and price. A difference in money alone (quantity 0) is one piece at its amount,
    because OIOUBL refuses the quantity 0 (F-INV147)."""
    if line.unit not in _UNIT_CODES:
        raise ValueError(f"Line {line.number}: unit {line.unit!r} is unknown; use one of {', '.join(_UNIT_CODES)}")
    if line.quantity_num == 0:
        return "EA", -1 if line.amount_oere < 0 else 1, 1, abs(line.amount_oere)
    return _UNIT_CODES[line.unit], line.quantity_num, line.quantity_den, line.price_oere


def _endpoint(party: Party) -> tuple[str, dict[str, str]]:
    """Delivery address and its scheme attributes: GLN before CVR."""
    if party.ean:
        return party.ean, {"schemeAgencyID": "9", "schemeID": "GLN"}
    return f"DK{party.cvr}", {"schemeID": "DK:CVR"}


def _last_day(month: str) -> date:
    first = date.fromisoformat(f"{month}-01")
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _group(parent: etree._Element, *names: str) -> etree._Element:
    for name in names:
        parent = etree.SubElement(parent, f"{{{_CAC}}}{name}")
    return parent


def _text(parent: etree._Element, name: str, text: str, **attributes: str) -> None:
    element = etree.SubElement(parent, f"{{{_CBC}}}{name}", attributes)
    element.text = text
