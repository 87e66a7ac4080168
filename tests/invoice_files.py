"""Small e-invoices of one supplier, written by hand from UBL 2.1, as its system would send them."""

from decimal import Decimal
from xml.sax.saxutils import escape

CBC = 'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"'
CAC = 'xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"'
STANDARDS = {
    "oioubl-2": "OIOUBL-2.1",
    "peppol-bis3": "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0",
}


def invoice_xml(
    number, lines, *, cvr="30000001", kind="faktura", issued="2025-02-03", period=("2025-01-01", "2025-01-31"), ean="5798000000001",
    corrects="", standard="oioubl-2", vat=0, currency="DKK", reference="",
):  # fmt: skip
    """`lines`: dicts of item, quantity, price, and where told amount, note, period, reference. Kroner as text."""
    root = "Invoice" if kind == "faktura" else "CreditNote"
    whole = [_amount(line) for line in lines]
    net = sum(whole)
    billing = _inside("cac:BillingReference", "cac:InvoiceDocumentReference", "cbc:ID", text=corrects)
    order = _inside("cac:OrderReference", "cbc:ID", text=reference)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="urn:oasis:names:specification:ubl:schema:xsd:{root}-2" {CBC} {CAC}>
<cbc:CustomizationID>{STANDARDS[standard]}</cbc:CustomizationID><cbc:ProfileID>p</cbc:ProfileID>
<cbc:ID>{number}</cbc:ID><cbc:IssueDate>{issued}</cbc:IssueDate>
<cbc:{root}TypeCode>{380 if kind == "faktura" else 381}</cbc:{root}TypeCode>
<cbc:DocumentCurrencyCode>{currency}</cbc:DocumentCurrencyCode>{_period(period)}{order}{billing}
<cac:AccountingSupplierParty><cac:Party><cac:PartyName><cbc:Name>Bostedet ApS</cbc:Name></cac:PartyName>
<cac:PartyLegalEntity><cbc:CompanyID>DK{cvr}</cbc:CompanyID></cac:PartyLegalEntity></cac:Party></cac:AccountingSupplierParty>
<cac:AccountingCustomerParty><cac:Party><cbc:EndpointID>{ean}</cbc:EndpointID></cac:Party></cac:AccountingCustomerParty>
<cac:TaxTotal><cbc:TaxAmount>{vat}</cbc:TaxAmount></cac:TaxTotal>
<cac:LegalMonetaryTotal><cbc:LineExtensionAmount>{net}</cbc:LineExtensionAmount>
<cbc:PayableAmount>{net + Decimal(vat)}</cbc:PayableAmount></cac:LegalMonetaryTotal>
{"".join(_line(root, n, line, amount) for n, (line, amount) in enumerate(zip(lines, whole, strict=True), 1))}</{root}>
""".encode()


def _inside(*elements, text):
    """The text in elements within each other; nothing without a text."""
    return "".join(f"<{e}>" for e in elements) + text + "".join(f"</{e}>" for e in reversed(elements)) if text else ""


def _amount(line):
    return Decimal(line.get("amount") or (Decimal(line["quantity"]) * Decimal(line["price"])).quantize(Decimal("0.01")))


def _period(period):
    if not period:
        return ""
    days = f"<cbc:StartDate>{period[0]}</cbc:StartDate><cbc:EndDate>{period[1]}</cbc:EndDate>"
    return f"<cac:InvoicePeriod>{days}</cac:InvoicePeriod>"


def _line(root, number, line, amount):
    quantity = "InvoicedQuantity" if root == "Invoice" else "CreditedQuantity"
    order = _inside("cac:OrderLineReference", "cac:OrderReference", "cbc:ID", text=line.get("reference", ""))
    return f"""<cac:{root}Line><cbc:ID>{number}</cbc:ID><cbc:Note>{escape(line.get("note", ""))}</cbc:Note>
<cbc:{quantity} unitCode="DAY">{line["quantity"]}</cbc:{quantity}>
<cbc:LineExtensionAmount>{amount}</cbc:LineExtensionAmount>{_period(line.get("period"))}{order}
<cac:Item><cbc:Name>{line["item"]}</cbc:Name></cac:Item><cac:Price><cbc:PriceAmount>{line["price"]}</cbc:PriceAmount></cac:Price>
</cac:{root}Line>"""
