"""Every rule on received e-invoices made to fail by one change to a good document."""

from __future__ import annotations

import pytest
from documents_example import DOCUMENTS
from incoming_example import changed, document, party

from settlement.documents import en16931_rules, oioubl_received_rules, safe_xml
from settlement.documents.oioubl import invoice_xml
from settlement.documents.oioubl_rules import violations

# --- OIOUBL 2: what we do not write ---------------------------------------------------------------------------------

LIST = 'listAgencyID="320" listID="urn:oioubl:codelist:paymentchannelcode-1.1"'


def means(code: str, inside: str, channel: str = "") -> str:
    channel = f"<cbc:PaymentChannelCode {LIST}>{channel}</cbc:PaymentChannelCode>" if channel else ""
    return (
        f"<cac:PaymentMeans><cbc:ID>1</cbc:ID><cbc:PaymentMeansCode>{code}</cbc:PaymentMeansCode>"
        f"<cbc:PaymentDueDate>2026-09-30</cbc:PaymentDueDate>{channel}{inside}</cac:PaymentMeans>"
    )


def account(role: str, number: str, branch: str = "") -> str:
    found = f"<cac:FinancialInstitutionBranch>{branch}</cac:FinancialInstitutionBranch>" if branch else ""
    return f"<cac:{role}FinancialAccount><cbc:ID>{number}</cbc:ID>{found}</cac:{role}FinancialAccount>"


BIC = "<cac:FinancialInstitution><cbc:ID>DABADKKK</cbc:ID></cac:FinancialInstitution>"
IBAN = "DK5000400440116243"
CREDITOR = "<cac:CreditAccount><cbc:AccountID>12345678</cbc:AccountID></cac:CreditAccount>"
ID_71 = "<cbc:InstructionID>123456789012345</cbc:InstructionID><cbc:PaymentID>71</cbc:PaymentID>"
GOOD_MEANS = {
    "31": means("31", account("Payee", IBAN, BIC), "IBAN"),
    "31 ZZZ": means("31", account("Payee", "1", "<cbc:ID>1</cbc:ID><cbc:Name>B</cbc:Name><cac:Address/>"), "ZZZ"),
    "48": means("48", "<cac:CardAccount><cbc:PrimaryAccountNumberID>1</cbc:PrimaryAccountNumberID></cac:CardAccount>"),
    "49": means("49", account("Payer", "0011223344", "<cbc:ID>1234</cbc:ID>"), "DK:BANK"),
    "49 IBAN": means("49", account("Payer", IBAN, BIC), "IBAN"),
    "49 agreement": means("49", "<cbc:InstructionID>123</cbc:InstructionID>"),
    "50": means("50", "<cbc:InstructionID>1234567890123456</cbc:InstructionID><cbc:PaymentID>04</cbc:PaymentID>"
                + account("Payee", "1234567"), "DK:GIRO"),
    "58": means("58", account("Payee", IBAN), "IBAN"),
    "59": means("59", account("Payee", IBAN), "IBAN"),
    "93": means("93", ID_71 + CREDITOR, "DK:FIK"),
    "93 75": means("93", ID_71.replace("71", "75").replace("012345<", "0123456<") + CREDITOR),
    "93 73": means("93", "<cbc:InstructionNote>tekst</cbc:InstructionNote><cbc:PaymentID>73</cbc:PaymentID>" + CREDITOR),
}  # fmt: skip
END, NOTE = "</cac:PaymentMeans>", "<cbc:InstructionNote>x</cbc:InstructionNote>"
LONG_NOTE = f"<cbc:PaymentNote>{21 * 'x'}</cbc:PaymentNote>"
CREDIT = "<cac:CreditAccount><cbc:AccountID>123456789</cbc:AccountID></cac:CreditAccount>"
CARD = "<cac:CardAccount>"
# Rule → (which good payment, what is changed in it)
MEANS_CHANGES = {
    "F-LIB103": ("31", (END, NOTE + END)), "F-LIB106": ("31", ("channelcode-1.1", "channelcode-1.0")),
    "F-LIB107": ("31", (f"<cbc:ID>{IBAN}</cbc:ID>", "")), "F-LIB109": ("31", (">IBAN<", ">DK:BANK<")),
    "F-LIB110": ("31", (END, f"<cac:PayerFinancialAccount>{LONG_NOTE}</cac:PayerFinancialAccount>{END}")),
    "F-LIB111": ("31", (f"{IBAN}</cbc:ID>", f"{IBAN}</cbc:ID>{LONG_NOTE}")), "F-LIB112": ("31", (END, CREDIT + END)),
    "F-LIB108": ("31", ("<cac:FinancialInstitution>", "<cbc:ID>1</cbc:ID><cac:FinancialInstitution>")),
    "F-LIB113": ("31", (BIC, "")), "F-LIB114": ("31", (IBAN, 35 * "1")), "F-LIB115": ("31", (IBAN, "")),
    "F-LIB276": ("31 ZZZ", ("<cbc:ID>1</cbc:ID><cbc:Name>", "<cbc:Name>")),
    "F-LIB116": ("31 ZZZ", ("<cbc:Name>B</cbc:Name>", "")), "F-LIB117": ("31 ZZZ", ("<cac:Address/>", "")),
    "F-LIB365": ("48", (CARD, "<cbc:PaymentChannelCode>X</cbc:PaymentChannelCode>" + CARD)),
    "F-LIB366": ("48", (CARD, "<cbc:InstructionID>1</cbc:InstructionID>" + CARD)), "F-LIB367": ("48", (CARD, NOTE + CARD)),
    "F-LIB368": ("48", (END, account("Payer", "1") + END)), "F-LIB369": ("48", (END, account("Payee", "1") + END)),
    "F-LIB370": ("48", (END, CREDIT + END)),
    "F-LIB342": ("48", ("<cac:CardAccount><cbc:PrimaryAccountNumberID>1</cbc:PrimaryAccountNumberID></cac:CardAccount>", "")),
    "F-LIB343": ("48", (CARD, CARD + "<cbc:CardTypeCode>V</cbc:CardTypeCode>")),
    "F-LIB344": ("48", (CARD, CARD + "<cbc:ValidityStartDate>2026-01-01</cbc:ValidityStartDate>")),
    "F-LIB345": ("48", (CARD, CARD + "<cbc:ExpiryDate>2026-01-01</cbc:ExpiryDate>")),
    "F-LIB346": ("48", (CARD, CARD + "<cbc:IssuerID>1</cbc:IssuerID>")),
    "F-LIB347": ("48", (CARD, CARD + "<cbc:IssueNumberID>1</cbc:IssueNumberID>")),
    "F-LIB348": ("48", (CARD, CARD + "<cbc:CV2ID>1</cbc:CV2ID>")),
    "F-LIB349": ("48", (CARD, CARD + "<cbc:CardChipCode>1</cbc:CardChipCode>")),
    "F-LIB350": ("48", (CARD, CARD + "<cbc:ChipApplicationID>1</cbc:ChipApplicationID>")),
    "F-LIB135": ("49", (END, NOTE + END)), "F-LIB137": ("49", (END, CREDIT + END)),
    "F-LIB134": ("49", (END, "<cbc:InstructionID>1</cbc:InstructionID>" + END)),
    "F-LIB288": ("49", ("0011223344</cbc:ID>", f"0011223344</cbc:ID>{LONG_NOTE}")), "F-LIB289": ("49", ("DK:BANK", "ZZZ")),
    "F-LIB140": ("49 agreement", (">123<", f">{61 * '1'}<")), "F-LIB290": ("49", ("0011223344", "001122334")),
    "F-LIB291": ("49", (">1234<", ">123<")), "F-LIB292": ("49 IBAN", (IBAN, 35 * "1")), "F-LIB293": ("49 IBAN", (IBAN, 17 * "1")),
    "F-LIB294": ("49 IBAN", ("<cac:FinancialInstitution>", "<cbc:ID>1</cbc:ID><cac:FinancialInstitution>")),
    "F-LIB295": ("49 IBAN", (BIC, "")),
    "F-LIB142": ("50", (END, CREDIT + END)), "F-LIB144": ("50", ("<cbc:PaymentID>04</cbc:PaymentID>", "")),
    "F-LIB319": ("50", (account("Payee", "1234567"), "")), "F-LIB320": ("50", ("<cbc:ID>1234567</cbc:ID>", "")),
    "F-LIB145": ("50", ("<cbc:InstructionID>1234567890123456</cbc:InstructionID>", "")), "F-LIB146": ("50", ("DK:GIRO", "DK:FIK")),
    "F-LIB143": ("50", ("channelcode-1.1", "channelcode-1.0")), "F-LIB147": ("50", (">04<", ">02<")),
    "F-LIB148": ("50", (END, NOTE + END)), "F-LIB149": ("50", ("0123456<", "01234567<")),
    "F-LIB312": ("50", (">1234567890123456<", "><")), "F-LIB390": ("50", ("0123456<", "012345x<")),
    "F-LIB321": ("50", (">1234567<", ">123456<")),
    "F-LIB377": ("58", (IBAN, " ")), "F-LIB379": ("58", (">IBAN<", ">ZZZ<")), "F-LIB380": ("59", (">IBAN<", ">ZZZ<")),
    "F-LIB152": ("93", ("<cbc:PaymentID>71</cbc:PaymentID>", "")),
    "F-LIB153": ("93", ("<cbc:InstructionID>123456789012345</cbc:InstructionID>", "")), "F-LIB277": ("93", ("DK:FIK", "DK:GIRO")),
    "F-LIB278": ("93", ("channelcode-1.1", "channelcode-1.0")), "F-LIB154": ("93", (END, NOTE + END)),
    "F-LIB155": ("93", (">71<", ">72<")), "F-LIB156": ("93", ("12345<", "1234<")), "F-LIB157": ("93 75", ("3456<", "345<")),
    "F-LIB336": ("93", ("12345<", "1234x<")),
    "F-LIB275": ("93 73", (END, "<cbc:InstructionID>1</cbc:InstructionID>" + END)), "F-LIB305": ("93", ("12345678<", "1234567<")),
}  # fmt: skip


def oioubl2(payment: str = "", kind: str = "invoice") -> str:
    text = invoice_xml(DOCUMENTS[kind]).decode()
    if not payment:
        return text
    before, _, after = text.partition("<cac:PaymentMeans>")
    return before + payment + after.partition("</cac:PaymentMeans>")[2]


ADDITIONAL = (
    "<cac:AdditionalDocumentReference><cbc:ID>B</cbc:ID><cac:Attachment>{}</cac:Attachment></cac:AdditionalDocumentReference>"
)
EMBEDDED = '<cbc:EmbeddedDocumentBinaryObject mimeCode="application/pdf" filename="b.pdf">AA==</cbc:EmbeddedDocumentBinaryObject>'
LINK = "<cac:ExternalReference><cbc:URI>https://b.dk</cbc:URI></cac:ExternalReference>"
SUPPLIER, CUSTOMER = "<cac:AccountingSupplierParty>", "<cac:AccountingCustomerParty>"
RATE = "<cac:PricingExchangeRate><cbc:CalculationRate>2.0000</cbc:CalculationRate>{}</cac:PricingExchangeRate>"
LINES = {"invoice": "<cac:InvoiceLine>", "credit note": "<cac:CreditNoteLine>"}
OTHER_CHANGES = {
    "F-LIB284": ((SUPPLIER, ADDITIONAL.format(EMBEDDED + LINK) + SUPPLIER),),
    "F-LIB285": ((SUPPLIER, ADDITIONAL.format(EMBEDDED.replace("application/pdf", "text/html")) + SUPPLIER),),
    "F-LIB286": ((SUPPLIER, ADDITIONAL.format(LINK.replace("https://b.dk", "")) + SUPPLIER),),
    "F-LIB310": ((SUPPLIER, RATE.format("<cbc:MathematicOperatorCode>*</cbc:MathematicOperatorCode>") + SUPPLIER),),
    "F-LIB301": ((
        CUSTOMER, "<cac:Delivery><cac:DeliveryLocation><cac:Address><cac:Country><cbc:IdentificationCode>D</cbc:IdentificationCode>"
        f"</cac:Country></cac:Address></cac:DeliveryLocation></cac:Delivery>{CUSTOMER}"),),
    "W-LIB241": ((SUPPLIER, "<cac:PaymentMeans/><cac:PaymentMeans/>" + SUPPLIER),),
    "W-LIB245": ((SUPPLIER, "<cac:PaymentTerms/><cac:PaymentTerms/>" + SUPPLIER),),
}  # fmt: skip
OTHER_CHANGES |= {rule: ((SUPPLIER, RATE.format("") + SUPPLIER),) for rule in ("W-INV323", "W-CRN154")}


def received(text: str) -> set[str]:
    return {v.rule for v in violations(safe_xml.parse(text.encode()), oioubl_received_rules.COMPILED)}


@pytest.mark.parametrize("name", GOOD_MEANS)
def test_each_way_of_payment_is_good_as_the_rules_want_it(name):
    assert received(oioubl2(GOOD_MEANS[name])) == set()


@pytest.mark.parametrize("rule", [*MEANS_CHANGES, *OTHER_CHANGES])
def test_every_rule_on_what_suppliers_write_can_be_broken(rule):
    if rule in MEANS_CHANGES:
        good, change = MEANS_CHANGES[rule]
        assert rule in received(oioubl2(changed(GOOD_MEANS[good], change)))
        return
    kinds = {"W-INV323": ["invoice"], "W-CRN154": ["credit note"]}.get(rule, list(LINES))
    for kind in kinds:
        text = oioubl2(kind=kind)
        assert rule not in received(text)
        assert rule in received(changed(text, *OTHER_CHANGES[rule])), kind


def test_no_rule_on_what_suppliers_write_is_left_out():
    assert {rule.id for rule in oioubl_received_rules.RULES} == {*MEANS_CHANGES, *OTHER_CHANGES}


# --- OIOUBL 3 and Peppol --------------------------------------------------------------------------------------------

_GIVEN = "<cac:PaymentMeans><cbc:PaymentMeansCode>42</cbc:PaymentMeansCode>"
ACCOUNT = account("Payee", "0011223344", "<cbc:ID>1234</cbc:ID>")


def paid(code: str, inside: str) -> tuple[str, str]:
    """A change to another way of payment, before the one that is there."""
    return _GIVEN, f"<cac:PaymentMeans><cbc:PaymentMeansCode>{code}</cbc:PaymentMeansCode>{inside}</cac:PaymentMeans>{_GIVEN}"


def without(piece: str) -> tuple[str, str]:
    return piece, ""


SELLER = party("AccountingSupplierParty", "Hjemmet ApS", "12345674", "5798000000012")
BUYER = party("AccountingCustomerParty", "Kommunen", "35209115", "5798000000029")


def seller(*changes: tuple[str, str]) -> tuple[str, str]:
    return SELLER, changed(SELLER, *changes)


def buyer(*changes: tuple[str, str]) -> tuple[str, str]:
    return BUYER, changed(BUYER, *changes)


LEGAL = '<cbc:CompanyID schemeID="0184">{}</cbc:CompanyID>'
STANDARD = "<cbc:ID>S</cbc:ID><cbc:Percent>25</cbc:Percent>"
CLASSIFIED = "<cac:ClassifiedTaxCategory>"
EXEMPT = "<cbc:TaxExemptionReason>Sociale ydelser</cbc:TaxExemptionReason>"
ZERO_RATED, REVERSED = (("<cbc:ID>E</cbc:ID><cbc:Percent>0", f"<cbc:ID>{code}</cbc:ID><cbc:Percent>0") for code in ("Z", "AE"))
ALLOWANCE = (
    "<cac:AllowanceCharge><cbc:ChargeIndicator>true</cbc:ChargeIndicator><cbc:AllowanceChargeReasonCode>ZZZ"
    "</cbc:AllowanceChargeReasonCode><cbc:AllowanceChargeReason>{}</cbc:AllowanceChargeReason></cac:AllowanceCharge>"
)
CLASS = (
    '<cac:CommodityClassification><cbc:ItemClassificationCode listID="TST">1</cbc:ItemClassificationCode>'
    "</cac:CommodityClassification>"
)
DOCUMENTS_3 = ADDITIONAL.format(EMBEDDED)
TOTAL = "<cac:LegalMonetaryTotal>"
LINE_AMOUNT = ">300.00</cbc:LineExtensionAmount>"
# Changes that break a rule of both standards; more than one where other figures must follow.
COMMON = {
    "BR-01": [("CustomizationID>{customization}", "CustomizationID>")], "BR-02": [("<cbc:ID>F1", "<cbc:ID>")],
    "BR-03": [("2026-03-01</cbc:IssueDate>", "</cbc:IssueDate>")], "BR-04": [("{code}</cbc", "</cbc")],
    "BR-05": [("DKK</cbc:DocumentCurrencyCode>", "</cbc:DocumentCurrencyCode>")],
    "BR-06": [seller(("<cbc:RegistrationName>Hjemmet ApS", "<cbc:RegistrationName>"))],
    "BR-07": [buyer(without("<cbc:RegistrationName>Kommunen</cbc:RegistrationName>"))],
    "BR-09": [seller(("<cbc:IdentificationCode>DK", "<cbc:IdentificationCode>"))],
    "BR-11": [buyer(("<cbc:IdentificationCode>DK", "<cbc:IdentificationCode>"))],
    "BR-12": [(">1700.00<", "><")], "BR-13": [(">1725.00<", "><")], "BR-14": [(">2081.25<", "><")], "BR-15": [(">2056.25<", "><")],
    "BR-21": [("Line><cbc:ID>1", "Line><cbc:ID>")], "BR-22": [("{counted} unitCode=\"DAY\">7", "{counted} unitCode=\"DAY\">")],
    "BR-23": [("{counted} unitCode=\"DAY\">7", "{counted}>7")], "BR-24": [(">1400.00</cbc:LineExt", "></cbc:LineExt")],
    "BR-25": [("<cbc:Name>Ophold<", "<cbc:Name><")], "BR-26": [(">400<", "><")], "BR-27": [(">400<", ">-400<")],
    "BR-CO-04": [(f"{CLASSIFIED}<cbc:ID>S", f"{CLASSIFIED}<cbc:ID>")],
    "BR-45": [(">1425.00<", "><")], "BR-46": [('>1425.00</cbc:TaxableAmount>\n<cbc:TaxAmount currencyID="DKK">356.25<',
                                              '>1425.00</cbc:TaxableAmount>\n<cbc:TaxAmount currencyID="DKK"><')],
    "BR-47": [(f"<cac:TaxCategory>{STANDARD}\n", "<cac:TaxCategory><cbc:Percent>25</cbc:Percent>")],
    "BR-48": [(f"<cac:TaxCategory>{STANDARD}\n", "<cac:TaxCategory><cbc:ID>S</cbc:ID>")],
    "BR-CO-10": [(">1700.00<", ">1700.01<")], "BR-CO-11": [("<cbc:ChargeTotal", "<cbc:AllowanceTotalAmount>1.00"
                                                          "</cbc:AllowanceTotalAmount><cbc:ChargeTotal")],
    "BR-CO-12": [(">25.00</cbc:ChargeTotal", ">24.99</cbc:ChargeTotal")], "BR-CO-13": [(">1725.00<", ">1725.01<")],
    "BR-CO-14": [('<cac:TaxTotal><cbc:TaxAmount currencyID="DKK">356.25', '<cac:TaxTotal><cbc:TaxAmount currencyID="DKK">356.24')],
    "BR-CO-15": [(">2081.25<", ">2081.24<")], "BR-CO-16": [(">2056.25<", ">2056.24<")],
    "BR-CO-17": [('>1425.00</cbc:TaxableAmount>\n<cbc:TaxAmount currencyID="DKK">356.25<',
                  '>1425.00</cbc:TaxableAmount>\n<cbc:TaxAmount currencyID="DKK">357.25<')],
    "BR-S-05": [(f"{CLASSIFIED}{STANDARD}", f"{CLASSIFIED}<cbc:ID>S</cbc:ID><cbc:Percent>0</cbc:Percent>")],
    "BR-Z-05": [(f"{CLASSIFIED}{STANDARD}", f"{CLASSIFIED}<cbc:ID>Z</cbc:ID><cbc:Percent>25</cbc:Percent>")],
    "BR-E-05": [(f"{CLASSIFIED}{STANDARD}", f"{CLASSIFIED}<cbc:ID>E</cbc:ID><cbc:Percent>25</cbc:Percent>")],
    "BR-AE-05": [(f"{CLASSIFIED}{STANDARD}", f"{CLASSIFIED}<cbc:ID>AE</cbc:ID><cbc:Percent>25</cbc:Percent>")],
    "BR-S-08": [(">1425.00<", ">1426.00<")], "BR-E-08": [(">300.00</cbc:TaxableAmount>", ">301.00</cbc:TaxableAmount>")],
    "BR-Z-08": [ZERO_RATED], "BR-AE-08": [REVERSED], "BR-E-10": [without(EXEMPT)], "BR-AE-10": [REVERSED, without(EXEMPT)],
    "BR-DEC-09": [(">1700.00<", ">1700.000<")], "BR-DEC-12": [(">1725.00<", ">1725.000<")],
    "BR-DEC-14": [(">2081.25<", ">2081.250<")], "BR-DEC-18": [(">2056.25<", ">2056.250<")],
    "BR-DEC-23": [(LINE_AMOUNT, ">300.000</cbc:LineExtensionAmount>")],
    "PEPPOL-EN16931-R120": [(LINE_AMOUNT, ">300.03</cbc:LineExtensionAmount>")],
    "PEPPOL-EN16931-R121": [(">2</cbc:BaseQuantity>", ">0</cbc:BaseQuantity>")],
    "PEPPOL-EN16931-R130": [('<cbc:BaseQuantity unitCode="DAY"', '<cbc:BaseQuantity unitCode="MON"')],
    "BR-16": "no line", "BR-CO-18": "no tax",
}  # fmt: skip
OF_PEPPOL = {
    "PEPPOL-EN16931-R001": [("<cbc:ProfileID>urn:fdc:peppol.eu:2017:poacc:billing:01:1.0", "<cbc:ProfileID>")],
    "PEPPOL-EN16931-R003": [without("<cbc:BuyerReference>SJA</cbc:BuyerReference>"), ("<cbc:ID>R-1", "<cbc:ID>")],
    "PEPPOL-EN16931-R010": [buyer((">5798000000029<", "><"))], "PEPPOL-EN16931-R020": [seller((">5798000000012<", "><"))],
    "PEPPOL-EN16931-R051": [('currencyID="DKK">2056.25', 'currencyID="EUR">2056.25')],
    "PEPPOL-EN16931-R053": [(TOTAL, f"<cac:TaxTotal><cac:TaxSubtotal/></cac:TaxTotal>{TOTAL}")],
    "DK-R-002": [seller(without(LEGAL.format("12345674")))],
    "DK-R-003": [(CLASSIFIED, CLASS + CLASSIFIED)], "DK-R-004": [(TOTAL, ALLOWANCE.format("#x") + TOTAL)],
    "DK-R-005": [paid("30", ACCOUNT)], "DK-R-006": [paid("42", account("Payee", "0011223344"))],
    "DK-R-007": [paid("49", "<cac:PaymentMandate><cbc:ID>1</cbc:ID></cac:PaymentMandate>")],
    "DK-R-008": [paid("50", "<cbc:PaymentID>01#</cbc:PaymentID>" + account("Payee", "123456"))],
    "DK-R-009": [paid("50", "<cbc:PaymentID>04#123</cbc:PaymentID>" + account("Payee", "1234567"))],
    "DK-R-010": [paid("93", "<cbc:PaymentID>73#</cbc:PaymentID>" + account("Payee", "1234567"))],
    "DK-R-011": [paid("93", "<cbc:PaymentID>71#12345678901234</cbc:PaymentID>" + account("Payee", "12345678"))],
    "DK-R-013": [seller(('PartyIdentification><cbc:ID schemeID="0184"', "PartyIdentification><cbc:ID"))],
    "DK-R-014": [seller((LEGAL.format("12345674"), LEGAL.format("12345674").replace("0184", "0088")))],
    "DK-R-016": [(">2056.25<", ">-2056.25<")],
}  # fmt: skip
FIK = (
    "<cbc:InstructionID>{}</cbc:InstructionID><cbc:PaymentID>{}</cbc:PaymentID>"
    "<cac:CreditAccount><cbc:AccountID>{}</cbc:AccountID></cac:CreditAccount>"
)
OF_OIOUBL_3 = {
    "OIOUBL-BIL-019": [("<cbc:UBLVersionID>2.1", "<cbc:UBLVersionID>2.0")],
    "OIOUBL-BIL-020": [("billing:invoice:3.0", "billing:invoice:3.1")],
    "OIOUBL-BIL-022": [("billing:creditnote:3.0", "billing:creditnote:3.1")],
    "OIOUBL-BIL-023": [("billing_with_response:3", "billing_with_response:4")],
    "OIOUBL-BIL-016": [(">2056.25<", ">-2056.25<")], "OIOUBL-BIL-005": [paid("30", ACCOUNT)],
    "OIOUBL-BIL-038": [paid("42", account("Payee", " ", "<cbc:ID>1234</cbc:ID>"))],
    "OIOUBL-BIL-039": [paid("42", account("Payee", "1", "<cbc:ID>12A4</cbc:ID>"))],
    "OIOUBL-BIL-040": [paid("42", account("Payee", 11 * "1", "<cbc:ID>1234</cbc:ID>"))],
    "OIOUBL-BIL-046": [paid("48", "")], "OIOUBL-BIL-076": [paid("93", CREDITOR)],
    "OIOUBL-BIL-079": [paid("93", FIK.format(15 * "1", "70", "12345678"))],
    "OIOUBL-BIL-080": [paid("93", FIK.format(14 * "1", "71", "12345678"))],
    "OIOUBL-BIL-081": [paid("93", FIK.format(15 * "1", "75", "12345678"))],
    "OIOUBL-BIL-084": [paid("93", FIK.format(15 * "1", "71", "1234567"))], "OIOUBL-BIL-089": [paid("97", ACCOUNT)],
    "OIOUBL-BIL-105": [('unitCode="DAY">7', 'unitCode="DAY">0')],
    "OIOUBL-BIL-107": [("Line><cbc:ID>2", "Line><cbc:ID>1")], "OIOUBL-BIL-108": [("Line><cbc:ID>2", "Line><cbc:ID>1")],
    "OIOUBL-BIL-130": [without("<cac:OrderReference><cbc:ID>R-1</cbc:ID></cac:OrderReference>"),
                       ("<cac:Item>", "<cac:OrderLineReference/><cac:Item>")],
    "OIOUBL-BIL-131": "no tax on lines",
    "OIOUBL-BIL-100": [buyer((LEGAL.format("35209115"), LEGAL.format("0101701234").replace("0184", "0237")))],
    "OIOUBL-COMMON-001": [seller((LEGAL.format("12345674"), LEGAL.format("DK12345674")))],
    "OIOUBL-COMMON-003": [seller(('"0184">12345674', '"0096">12345674'))],
    "OIOUBL-COMMON-004": [seller((">DK12345674<", ">12345674<"))],
    "OIOUBL-COMMON-013": [seller(('"0184">12345674', '"0237">12345674'))],
    "OIOUBL-COMMON-102": [seller(('"0184">12345674', '"0237">0101701234'))],
    "OIOUBL-COMMON-106": [seller(("<cbc:Name>Hjemmet ApS", "<cbc:Name>"))],
    "OIOUBL-COMMON-108": [seller(without(LEGAL.format("12345674")))],
    "OIOUBL-COMMON-109": [seller(without('<cbc:CompanyID schemeID="0198">DK12345674</cbc:CompanyID>'))],
    "OIOUBL-COMMON-111": [seller((' schemeID="0088"', ""))],
    "OIOUBL-COMMON-113": [seller((LEGAL.format("12345674"), "<cbc:CompanyID>12345674</cbc:CompanyID>"))],
    "OIOUBL-COMMON-125": [("<cbc:ID>V1", "<cbc:ID>010170-1234")],
    "OIOUBL-COMMON-128": [(SUPPLIER, ADDITIONAL.format(EMBEDDED + LINK) + SUPPLIER)],
    "OIOUBL-COMMON-129": [(SUPPLIER, DOCUMENTS_3.replace(' filename="b.pdf"', "") + SUPPLIER)],
    "OIOUBL-COMMON-130": [(SUPPLIER, DOCUMENTS_3.replace("application/pdf", "text/html") + SUPPLIER)],
}  # fmt: skip
ONLY = {"DK-R-016": "CreditNote", "OIOUBL-BIL-020": "Invoice", "OIOUBL-BIL-022": "CreditNote", "OIOUBL-BIL-107": "Invoice",
        "OIOUBL-BIL-108": "CreditNote"}  # fmt: skip
STANDARDS = {
    "peppol": (en16931_rules.COMPILED_PEPPOL, COMMON | OF_PEPPOL),
    "oioubl3": (en16931_rules.COMPILED_OIOUBL_3, COMMON | OF_OIOUBL_3),
}
UNWANTED = {"no line": "*/cac:{}Line", "no tax": "cac:TaxTotal", "no tax on lines": "cac:{}Line/cac:TaxTotal"}


def broken(text: str, standard: str, gone: str = "") -> set[str]:
    root = safe_xml.parse(text.encode())
    names = {"cac": root.nsmap["cac"]}
    for node in root.xpath(f"/*/{gone}".replace("/*/*/", "/*/"), namespaces=names) if gone else ():
        node.getparent().remove(node)
    return {v.rule for v in violations(root, STANDARDS[standard][0])}


@pytest.mark.parametrize(("standard", "rule"), [(s, r) for s, (_, changes) in STANDARDS.items() for r in changes])
def test_every_rule_of_the_newer_standards_can_be_broken(standard, rule):
    changes = STANDARDS[standard][1][rule]
    for kind in [ONLY[rule]] if rule in ONLY else ["Invoice", "CreditNote"]:
        text = document(kind, standard)
        if isinstance(changes, str):
            found = broken(text, standard, UNWANTED[changes].format(kind))
        else:
            root = safe_xml.parse(text.encode())
            said = {
                "{customization}": root.findtext("{*}CustomizationID"), "{code}": "380" if kind == "Invoice" else "381",
                "{counted}": "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity",
            }  # fmt: skip
            for old, new in changes:
                for mark, value in said.items():
                    old, new = old.replace(mark, value), new.replace(mark, value)
                text = changed(text, (old, new))
            found = broken(text, standard)
        assert rule in found, (kind, found)


@pytest.mark.parametrize("standard", STANDARDS)
def test_no_rule_of_the_newer_standards_is_left_out(standard):
    rules = {"peppol": en16931_rules.PEPPOL, "oioubl3": en16931_rules.OIOUBL_3}[standard]
    assert {rule.id for rule in rules} == set(STANDARDS[standard][1])
