"""Small e-invoices of one supplier, written by hand from UBL 2.1, as its system would send them: valid by the rules of their
standard, unless `broken` takes away what one of them asks for."""

from decimal import Decimal
from xml.sax.saxutils import escape

CBC = 'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"'
CAC = 'xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"'
OIOUBL, PEPPOL = "oioubl-2", "peppol-bis3"
CUSTOMIZATION = {OIOUBL: "OIOUBL-2.1", PEPPOL: "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"}
LIST = 'schemeAgencyID="320" schemeID="urn:oioubl:id'
PROFILE = {
    OIOUBL: f'<cbc:ProfileID {LIST}:profileid-1.2">urn:www.nesubl.eu:profiles:profile5:ver2.0</cbc:ProfileID>',
    PEPPOL: "<cbc:ProfileID>urn:fdc:peppol.eu:2017:poacc:billing:01:1.0</cbc:ProfileID>",
}
GLN = {OIOUBL: 'schemeAgencyID="9" schemeID="GLN"', PEPPOL: 'schemeID="0088"'}
OURS = "Kommunen", "35209115"
DUE = "2025-03-31"


def invoice_xml(
    number, lines, *, cvr="30000001", kind="faktura", issued="2025-02-03", period=("2025-01-01", "2025-01-31"), ean="5798000000001",
    corrects="", standard=OIOUBL, vat=0, currency="DKK", reference="", broken="",
):  # fmt: skip
    """`lines`: dicts of item, quantity, price, and where told amount, note, period, reference. Kroner as text. `broken` is a
    piece of the document that it lacks."""
    root = "Invoice" if kind == "faktura" else "CreditNote"
    whole = [_amount(line) for line in lines]
    net, vat = sum(whole), Decimal(vat).quantize(Decimal("0.01"))
    billing = _inside("cac:BillingReference", "cac:InvoiceDocumentReference", "cbc:ID", text=corrects)
    # Where a line has a reference of its own, OIOUBL asks for one of the whole (F-INV142).
    reference = reference or ("Samlefaktura" if any(line.get("reference") for line in lines) else "")
    order = _inside("cac:OrderReference", "cbc:ID", text=reference)
    code = "" if root == "CreditNote" and standard == OIOUBL else _code(root, standard)
    due = f"<cbc:DueDate>{DUE}</cbc:DueDate>" if root == "Invoice" and standard == PEPPOL else ""
    buyer = "<cbc:BuyerReference>VO</cbc:BuyerReference>" if standard == PEPPOL else ""
    made = f"""<?xml version="1.0" encoding="UTF-8"?>
<{root} xmlns="urn:oasis:names:specification:ubl:schema:xsd:{root}-2" {CBC} {CAC}>
{"<cbc:UBLVersionID>2.1</cbc:UBLVersionID>" if standard == OIOUBL else ""}
<cbc:CustomizationID>{CUSTOMIZATION[standard]}</cbc:CustomizationID>{PROFILE[standard]}
<cbc:ID>{number}</cbc:ID><cbc:IssueDate>{issued}</cbc:IssueDate>{due}{code}
<cbc:DocumentCurrencyCode>{currency}</cbc:DocumentCurrencyCode>{buyer}{_period(period)}{order}{billing}
{_party("Supplier", "Bostedet ApS", cvr, "5798000000018", standard)}{_party("Customer", *OURS, ean, standard)}
{_payment(root, standard)}{_tax(net, vat, currency, standard, net and vat, True)}
<cac:LegalMonetaryTotal>{_money("LineExtensionAmount", net, currency)}
{_money("TaxExclusiveAmount", vat if standard == OIOUBL else net, currency)}{_money("TaxInclusiveAmount", net + vat, currency)}
{_money("PayableAmount", net + vat, currency)}</cac:LegalMonetaryTotal>
{"".join(_line(root, n, x, a, standard, currency, vat) for n, (x, a) in enumerate(zip(lines, whole, strict=True), 1))}</{root}>
"""
    assert broken in made, broken
    return made.replace(broken, "").encode() if broken else made.encode()


def _inside(*elements, text):
    """The text in elements within each other; nothing without a text."""
    return "".join(f"<{e}>" for e in elements) + text + "".join(f"</{e}>" for e in reversed(elements)) if text else ""


def _money(name, amount, currency):
    return f'<cbc:{name} currencyID="{currency}">{amount}</cbc:{name}>'


def _amount(line):
    return Decimal(line.get("amount") or (Decimal(line["quantity"]) * Decimal(line["price"]))).quantize(Decimal("0.01"))


def _code(root, standard):
    lists = ' listAgencyID="320" listID="urn:oioubl:codelist:invoicetypecode-1.1"' if standard == OIOUBL else ""
    return f"<cbc:{root}TypeCode{lists}>{380 if root == 'Invoice' else 381}</cbc:{root}TypeCode>"


def _period(period):
    if not period:
        return ""
    days = f"<cbc:StartDate>{period[0]}</cbc:StartDate><cbc:EndDate>{period[1]}</cbc:EndDate>"
    return f"<cac:InvoicePeriod>{days}</cac:InvoicePeriod>"


def _party(role, name, cvr, endpoint, standard):
    gln, oioubl = GLN[standard], standard == OIOUBL
    form = '<cbc:AddressFormatCode listAgencyID="320" listID="urn:oioubl:codelist:addressformatcode-1.1">StructuredLax' \
        "</cbc:AddressFormatCode>" if oioubl else ""  # fmt: skip
    tax = "" if oioubl else f"<cac:PartyTaxScheme><cbc:CompanyID>DK{cvr}</cbc:CompanyID>{_scheme(standard)}</cac:PartyTaxScheme>"
    company = f'schemeID="DK:CVR">DK{cvr}' if oioubl else f'schemeID="0184">{cvr}'
    contact = "<cac:Contact><cbc:ID>VO</cbc:ID></cac:Contact>" if oioubl else ""
    return f"""<cac:Accounting{role}Party><cac:Party><cbc:EndpointID {gln}>{endpoint}</cbc:EndpointID>
<cac:PartyIdentification><cbc:ID {gln}>{endpoint}</cbc:ID></cac:PartyIdentification>
<cac:PartyName><cbc:Name>{name}</cbc:Name></cac:PartyName><cac:PostalAddress>{form}<cbc:StreetName>Vejen 1</cbc:StreetName>
<cbc:CityName>Aarhus</cbc:CityName><cbc:PostalZone>8000</cbc:PostalZone>
<cac:Country><cbc:IdentificationCode>DK</cbc:IdentificationCode></cac:Country></cac:PostalAddress>{tax}
<cac:PartyLegalEntity><cbc:RegistrationName>{name}</cbc:RegistrationName><cbc:CompanyID {company}</cbc:CompanyID>
</cac:PartyLegalEntity>{contact}</cac:Party></cac:Accounting{role}Party>"""


def _payment(root, standard):
    if root == "CreditNote":
        return ""
    when = '<cbc:ID>1</cbc:ID><cbc:PaymentMeansCode>42</cbc:PaymentMeansCode>' \
        f"<cbc:PaymentDueDate>{DUE}</cbc:PaymentDueDate><cbc:PaymentChannelCode listAgencyID=\"320\" " \
        'listID="urn:oioubl:codelist:paymentchannelcode-1.1">DK:BANK</cbc:PaymentChannelCode>'  # fmt: skip
    when = when if standard == OIOUBL else "<cbc:PaymentMeansCode>42</cbc:PaymentMeansCode>"
    return f"""<cac:PaymentMeans>{when}<cac:PayeeFinancialAccount><cbc:ID>0001234567</cbc:ID>
<cac:FinancialInstitutionBranch><cbc:ID>1234</cbc:ID></cac:FinancialInstitutionBranch></cac:PayeeFinancialAccount></cac:PaymentMeans>"""


def _scheme(standard):
    if standard == PEPPOL:
        return "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    return f'<cac:TaxScheme><cbc:ID {LIST}:taxschemeid-1.1">63</cbc:ID><cbc:Name>Moms</cbc:Name></cac:TaxScheme>'


def _category(is_taxed, standard, name="TaxCategory", reason=""):
    oioubl = standard == OIOUBL
    code = ("StandardRated" if is_taxed else "ZeroRated") if oioubl else ("S" if is_taxed else "E")
    attributes = f" {LIST}:taxcategoryid-1.1\"" if oioubl else ""
    return f"""<cac:{name}><cbc:ID{attributes}>{code}</cbc:ID><cbc:Percent>{25 if is_taxed else 0}</cbc:Percent>{reason}
{_scheme(standard)}</cac:{name}>"""


def _tax(net, vat, currency, standard, is_taxed, is_total):
    reason = "<cbc:TaxExemptionReason>Momsfri</cbc:TaxExemptionReason>" if standard == PEPPOL and is_total and not is_taxed else ""
    return f"""<cac:TaxTotal>{_money("TaxAmount", vat, currency)}<cac:TaxSubtotal>{_money("TaxableAmount", net, currency)}
{_money("TaxAmount", vat, currency)}{_category(is_taxed, standard, reason=reason)}</cac:TaxSubtotal></cac:TaxTotal>"""


def _line(root, number, line, amount, standard, currency, vat):
    quantity = "InvoicedQuantity" if root == "Invoice" else "CreditedQuantity"
    order = line.get("reference", "") and (
        f"<cac:OrderLineReference><cbc:LineID>1</cbc:LineID><cac:OrderReference><cbc:ID>{line['reference']}</cbc:ID>"
        "</cac:OrderReference></cac:OrderLineReference>"
    )
    own = (amount / 4).quantize(Decimal("0.01")) if vat else Decimal("0.00")
    taxed, classified = _tax(amount, own, currency, standard, vat, False), ""
    if standard == PEPPOL:
        taxed, classified = "", _category(vat, standard, "ClassifiedTaxCategory")
    note = f"<cbc:Note>{escape(line['note'])}</cbc:Note>" if line.get("note") else ""
    return f"""<cac:{root}Line><cbc:ID>{number}</cbc:ID>{note}
<cbc:{quantity} unitCode="DAY">{line["quantity"]}</cbc:{quantity}>
{_money("LineExtensionAmount", amount, currency)}{_period(line.get("period"))}{order}{taxed}
<cac:Item><cbc:Description>{line["item"]}</cbc:Description><cbc:Name>{line["item"]}</cbc:Name>{classified}</cac:Item>
<cac:Price>{_money("PriceAmount", line["price"], currency)}<cbc:BaseQuantity unitCode="DAY">1</cbc:BaseQuantity></cac:Price>
</cac:{root}Line>"""
