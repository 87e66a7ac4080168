"""E-invoices as suppliers send them, in each standard, as text that a test changes a piece of."""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
FOLDERS = ("oioubl-2.1", "oioubl-3.0", "peppol-bis3")


def samples(*folders: str) -> list[Path]:
    return [path for folder in folders or FOLDERS for path in sorted((SAMPLES / folder).glob("*.xml"))]


needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="the public examples are not beside the checkout")

UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
PEPPOL = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
VAT = "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"


def party(role: str, name: str, cvr: str, endpoint: str) -> str:
    return f"""<cac:{role}><cac:Party><cbc:EndpointID schemeID="0088">{endpoint}</cbc:EndpointID>
<cac:PartyIdentification><cbc:ID schemeID="0184">{cvr}</cbc:ID></cac:PartyIdentification>
<cac:PartyName><cbc:Name>{name}</cbc:Name></cac:PartyName>
<cac:PostalAddress><cbc:StreetName>Vejen</cbc:StreetName><cbc:BuildingNumber>1</cbc:BuildingNumber>
<cbc:CityName>Aarhus</cbc:CityName><cbc:PostalZone>8000</cbc:PostalZone>
<cac:Country><cbc:IdentificationCode>DK</cbc:IdentificationCode></cac:Country></cac:PostalAddress>
<cac:PartyTaxScheme><cbc:CompanyID schemeID="0198">DK{cvr}</cbc:CompanyID>{VAT}</cac:PartyTaxScheme>
<cac:PartyLegalEntity><cbc:RegistrationName>{name}</cbc:RegistrationName>
<cbc:CompanyID schemeID="0184">{cvr}</cbc:CompanyID></cac:PartyLegalEntity></cac:Party></cac:{role}>"""


def line(kind: str, number: int, quantity: str, price: str, base: str, amount: str, category: str, rate: str, taxed: str) -> str:
    counted = "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity"
    return f"""<cac:{kind}Line><cbc:ID>{number}</cbc:ID><cbc:Note>AB, født 010190</cbc:Note>
<cbc:{counted} unitCode="DAY">{quantity}</cbc:{counted}><cbc:LineExtensionAmount currencyID="DKK">{amount}</cbc:LineExtensionAmount>
<cbc:AccountingCost>5250124502</cbc:AccountingCost>
<cac:InvoicePeriod><cbc:StartDate>2026-02-0{number}</cbc:StartDate><cbc:EndDate>2026-02-1{number}</cbc:EndDate></cac:InvoicePeriod>
{taxed}<cac:Item><cbc:Description>Ophold med støtte</cbc:Description><cbc:Name>Ophold</cbc:Name>
<cac:SellersItemIdentification><cbc:ID>V{number}</cbc:ID></cac:SellersItemIdentification>
<cac:ClassifiedTaxCategory><cbc:ID>{category}</cbc:ID><cbc:Percent>{rate}</cbc:Percent>{VAT}</cac:ClassifiedTaxCategory>
<cac:AdditionalItemProperty><cbc:Name>Rum</cbc:Name><cbc:Value>stue {number}</cbc:Value></cac:AdditionalItemProperty></cac:Item>
<cac:Price><cbc:PriceAmount currencyID="DKK">{price}</cbc:PriceAmount><cbc:BaseQuantity unitCode="DAY">{base}</cbc:BaseQuantity>
</cac:Price></cac:{kind}Line>"""


def subtotal(taxable: str, vat: str, category: str, rate: str) -> str:
    reason = "<cbc:TaxExemptionReason>Sociale ydelser</cbc:TaxExemptionReason>" if category == "E" else ""
    return f"""<cac:TaxSubtotal><cbc:TaxableAmount currencyID="DKK">{taxable}</cbc:TaxableAmount>
<cbc:TaxAmount currencyID="DKK">{vat}</cbc:TaxAmount><cac:TaxCategory><cbc:ID>{category}</cbc:ID><cbc:Percent>{rate}</cbc:Percent>
{reason}{VAT}</cac:TaxCategory></cac:TaxSubtotal>"""


def tax_total(vat: str, *subtotals: str) -> str:
    return f'<cac:TaxTotal><cbc:TaxAmount currencyID="DKK">{vat}</cbc:TaxAmount>{"".join(subtotals)}</cac:TaxTotal>'


def document(kind: str = "Invoice", standard: str = "peppol", number: str = "F1") -> str:
    """7 days at 400 for 2 days (25 % VAT) and 3 days at 100 (exempt), a charge of 25 with VAT: 2056.25 to be paid."""
    oioubl = standard == "oioubl3"
    code = "InvoiceTypeCode>380" if kind == "Invoice" else "CreditNoteTypeCode>381"
    taxed = [tax_total("350.00", subtotal("1400.00", "350.00", "S", "25")), tax_total("0.00", subtotal("300.00", "0.00", "E", "0"))]
    customization = f"urn:fdc:oioubl.dk:trns:billing:{kind.lower()}:3.0" if oioubl else PEPPOL
    profile = "urn:fdc:oioubl.dk:bis:billing_with_response:3" if oioubl else "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
    corrects = "" if kind == "Invoice" else (
        "<cac:BillingReference><cac:InvoiceDocumentReference><cbc:ID>F0</cbc:ID></cac:InvoiceDocumentReference></cac:BillingReference>"
    )  # fmt: skip
    due = "<cbc:DueDate>2026-03-30</cbc:DueDate>" if kind == "Invoice" else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{kind} xmlns="{UBL}{kind}-2" xmlns:cac="{UBL}CommonAggregateComponents-2" xmlns:cbc="{UBL}CommonBasicComponents-2">
{"<cbc:UBLVersionID>2.1</cbc:UBLVersionID>" if oioubl else ""}<cbc:CustomizationID>{customization}</cbc:CustomizationID>
<cbc:ProfileID>{profile}</cbc:ProfileID><cbc:ID>{number}</cbc:ID><cbc:IssueDate>2026-03-01</cbc:IssueDate>{due}
<cbc:{code}</cbc:{code.partition(">")[0]}><cbc:DocumentCurrencyCode>DKK</cbc:DocumentCurrencyCode>
<cbc:BuyerReference>SJA</cbc:BuyerReference>
<cac:InvoicePeriod><cbc:StartDate>2026-02-01</cbc:StartDate><cbc:EndDate>2026-02-28</cbc:EndDate></cac:InvoicePeriod>
<cac:OrderReference><cbc:ID>R-1</cbc:ID></cac:OrderReference>{corrects}
{party("AccountingSupplierParty", "Hjemmet ApS", "12345674", "5798000000012")}
{party("AccountingCustomerParty", "Kommunen", "35209115", "5798000000029")}
<cac:PaymentMeans><cbc:PaymentMeansCode>42</cbc:PaymentMeansCode><cac:PayeeFinancialAccount><cbc:ID>0011223344</cbc:ID>
<cac:FinancialInstitutionBranch><cbc:ID>1234</cbc:ID></cac:FinancialInstitutionBranch></cac:PayeeFinancialAccount></cac:PaymentMeans>
<cac:AllowanceCharge><cbc:ChargeIndicator>true</cbc:ChargeIndicator><cbc:AllowanceChargeReason>Gebyr</cbc:AllowanceChargeReason>
<cbc:Amount currencyID="DKK">25.00</cbc:Amount>
<cac:TaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>25</cbc:Percent>{VAT}</cac:TaxCategory></cac:AllowanceCharge>
{tax_total("356.25", subtotal("1425.00", "356.25", "S", "25"), subtotal("300.00", "0.00", "E", "0"))}
<cac:LegalMonetaryTotal><cbc:LineExtensionAmount currencyID="DKK">1700.00</cbc:LineExtensionAmount>
<cbc:TaxExclusiveAmount currencyID="DKK">1725.00</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount currencyID="DKK">2081.25</cbc:TaxInclusiveAmount>
<cbc:ChargeTotalAmount currencyID="DKK">25.00</cbc:ChargeTotalAmount><cbc:PrepaidAmount currencyID="DKK">25.00</cbc:PrepaidAmount>
<cbc:PayableAmount currencyID="DKK">2056.25</cbc:PayableAmount></cac:LegalMonetaryTotal>
{line(kind, 1, "7", "400", "2", "1400.00", "S", "25", taxed[0] if oioubl else "")}
{line(kind, 2, "3", "100", "1", "300.00", "E", "0", taxed[1] if oioubl else "")}
</{kind}>"""


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with each first piece replaced once; a piece that is not there fails the test."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text
