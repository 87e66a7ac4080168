"""The gate before delivery: `check(xml)` holds an OIOUBL document against the official rules that our documents meet.

Own implementation of the rules of Erhvervsstyrelsen's Schematron 1.17.2 (Invoice, CreditNote, common library) that
concern an element or attribute `oioubl.invoice_xml` writes. Rule ids and texts are the official ones. Fatal rules only;
`RULES` lists them all, and `docs/documents.md` says which parts of the official set are left out and why. The XPath of
a rule is true where the rule is broken. Amounts are compared as decimals, never as floats.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lxml import etree

from settlement.documents import oioubl_codelists as codes
from settlement.documents.oioubl_arithmetic import (
    PREFIXES,
    QUANTITIES,
    categories_differ,
    inclusive_differs,
    line_differs,
    lines_differ,
    order_missing,
    outside,
    outside_list,
    payable_differs,
    percent_missing,
    rounding_differs,
    rounding_too_big,
    tax_total_differs,
    taxable_differs,
    terms_differ,
    total_differs,
    unknown_category,
    unknown_currency,
    vat_forgotten,
    vat_miscalculated,
    zero_rated_with_vat,
)


@dataclass(frozen=True)
class Violation:
    """One broken rule at one place: official id, official text, XPath of the element it was found at."""

    rule: str
    message: str
    location: str


@dataclass(frozen=True)
class Rule:
    """One official rule for one root element. `broken` is an XPath or a function, judged at each node of `context`."""

    id: str
    root: str
    context: str
    broken: str | Callable[[etree._Element], bool]
    message: str


def check(xml: bytes) -> list[Violation]:
    """The rules that the document breaks, in the order of `RULES`; empty where it may be delivered.

    Raises lxml.etree.XMLSyntaxError where the bytes are no XML. External entities are not read.
    """
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    name = etree.QName(root)
    if name.localname not in QUANTITIES:
        return [Violation("F-INV001", "Root element must be Invoice", "/*")]
    if name.namespace != f"urn:oasis:names:specification:ubl:schema:xsd:{name.localname}-2":
        rule, message = _WRONG_NAMESPACE[name.localname]
        return [Violation(rule, message, "/*")]
    return violations(root, COMPILED)


Compiled = dict[str, list[tuple[Rule, etree.XPath, Callable[[etree._Element], bool]]]]


def violations(root: etree._Element, compiled: Compiled) -> list[Violation]:
    """The rules that the document below `root` breaks, in their order."""
    tree, found, nodes_of = root.getroottree(), [], {}
    for rule, context, broken in compiled[etree.QName(root).localname]:
        if rule.context not in nodes_of:
            nodes_of[rule.context] = context(root)
        found += [
            Violation(rule.id, rule.message, tree.getpath(node)) for node in nodes_of[rule.context] if broken(node)
        ]
    return found


def compiled(rules: Iterable[Rule]) -> Compiled:
    """The rules by root element, made ready."""
    return {root: [_compile(rule) for rule in rules if rule.root == root] for root in QUANTITIES}


# --- the rules ----------------------------------------------------------------------------------------------------

_WRONG_NAMESPACE = {
    root: (rule, f"The documenttype does not match an OIOUBL {root} and can not be validated by this schematron.")
    for root, rule in (("Invoice", "F-INV336"), ("CreditNote", "F-CRN204"))
}


def _lib(rule: str, context: str, broken: str | Callable, message: str, only: str = "") -> list[Rule]:
    """A rule of the common library, for both documents unless `only` names one."""
    return [Rule(rule, root, context, broken, message) for root in ([only] if only else QUANTITIES)]


def _twin(invoice: str, credit: str, context: str, broken: str | Callable, message: str, other: str = "") -> list[Rule]:
    """A rule that both documents have under ids of their own; `other` is the credit note's text where it differs."""
    return [
        Rule(rule, root, context, broken, text)
        for rule, root, text in ((invoice, "Invoice", message), (credit, "CreditNote", other or message))
        if rule
    ]


_PARTY = "cac:AccountingSupplierParty/cac:Party | cac:AccountingCustomerParty/cac:Party"
_SUPPLIER, _CUSTOMER = _PARTY.split(" | ")
_TAX = "cac:TaxTotal | cac:{line}/cac:TaxTotal"
_MONEY = "cac:LegalMonetaryTotal"
_LINE = "cac:{line}"
_UNITS = "cac:{line}/{quantity} | cac:{line}/cac:Price/cbc:BaseQuantity"
_CODELIST = "Must be a value from the codelist"


def _below(contexts: str, step: str) -> str:
    return " | ".join(f"{context}/{step}" for context in contexts.split(" | "))


_SUBTOTAL = _below(_TAX, "cac:TaxSubtotal")
_CATEGORY = _below(_SUBTOTAL, "cac:TaxCategory")
_SCHEME = _below(_CATEGORY, "cac:TaxScheme")
_ADDRESS = _below(_PARTY, "cac:PostalAddress")
_IDENTIFICATION = _below(_PARTY, "cac:PartyIdentification")
_ADDRESS_LIST = "cbc:AddressFormatCode/@listID = 'urn:oioubl:codelist:addressformatcode-1.1'"
_UN_LIST = "cbc:AddressFormatCode/@listID = 'UN/ECE 3477'"
_STRUCTURE = "(cbc:StreetName or cbc:BuildingNumber or cbc:CityName or cbc:PostalZone{country})"
_NO_REGION = (
    "not(cac:Country/cbc:IdentificationCode != '') and not(cbc:Region != '') and not(cbc:District != '')"
)
_CHANNEL_LIST = "cbc:PaymentChannelCode/@listID = 'urn:oioubl:codelist:paymentchannelcode-1.1'"
_ACCOUNT = "cac:PayeeFinancialAccount"
_BRANCH = f"{_ACCOUNT}/cac:FinancialInstitutionBranch/cbc:ID"


def _blank(element: str) -> str:
    return f"normalize-space({element}) = ''"


def _decimals(element: str, test: str = "!= 2") -> str:
    return f"string-length(substring-after({element}, '.')) {test}"


def _no_cvr(element: str) -> str:
    return f"{element}/@schemeID = 'DK:CVR' and (string-length({element}) != 10 or substring({element}, 1, 2) != 'DK')"


def _length(element: str, scheme: str, length: int) -> str:
    return f"{element}/@schemeID = '{scheme}' and not(string-length({element}) = {length})"


def _address(code: str, test: str) -> str:
    return f"cbc:AddressFormatCode = '{code}' and {test}"


def _means(code: str, test: str) -> str:
    return f"cbc:PaymentMeansCode = '{code}' and {test}"


def _head_rules() -> list[Rule]:
    return [
        *_lib("F-LIB001", ".", "not(cbc:UBLVersionID = '2.0' or cbc:UBLVersionID = '2.1')",
              "Invalid UBLVersionID. Must be '2.0' or '2.1'"),
        *_lib("F-LIB002", ".", outside("cbc:CustomizationID", frozenset(("OIOUBL-2.01", "OIOUBL-2.02", "OIOUBL-2.1"))),
              "Invalid CustomizationID. Must be either 'OIOUBL-2.01', 'OIOUBL-2.02' or 'OIOUBL-2.1'"),
        *(rule for rule_id, list_id in zip(
            ("F-LIB004", "F-LIB302", "F-LIB308", "F-LIB325", "F-LIB327", "F-LIB351"), codes.PROFILES, strict=True)
          for rule in _lib(rule_id, ".", outside_list("cbc:ProfileID", codes.PROFILES, "schemeID", list_id),
                           f"Invalid ProfileID. {_CODELIST}")),
        *_lib("F-LIB328", ".", "cbc:ProfileID = 'Procurement-OrdRes-1.0'",
              "The profile 'Procurement-OrdRes-1.0' is not allowed in the document type"),
        *_lib("F-LIB352", ".", "cbc:ProfileID = 'Procurement-BilSimReminderOnly-1.0'",
              "The profile 'Procurement-BilSimReminderOnly-1.0' is not allowed in the document type"),
        *_twin("F-INV002", "F-CRN002", ".", order_missing, "There must be an OrderReference class for this profileID"),
        *_twin("F-INV007", "F-CRN004", ".", "not(cbc:DocumentCurrencyCode != '')",
               "Invalid DocumentCurrencyCode. Must contain a value"),
        *_twin("F-INV008", "F-CRN005", ".", "not(cac:TaxTotal)", "One or more TaxTotal class must be present"),
        *_twin("F-INV009", "F-CRN006", ".", _blank("cbc:ID"),
               "Invalid Invoice/ID (Invoice number). Must contain a value.",
               "Invalid CreditNote/ID (Creditnote number). Must contain a value."),
        *_twin("F-INV004", "F-CRN159", ".", "count(cac:InvoicePeriod) > 1",
               "No more than one InvoicePeriod class may be present"),
        *_lib("F-LIB021", f". | {_LINE}", "cbc:AccountingCost and cbc:AccountingCostCode",
              "Use either AccountingCost or AccountingCostCode"),
        *_lib("F-LIB404", ".", categories_differ,
              "The values in cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID on lines, total, and on "
              "cac:AllowanceCharge/cac:TaxCategory/cbc:ID must correspond."),
        *(rule for rule_id, list_id in zip(("F-INV011", "F-INV337"), codes.INVOICE_TYPES, strict=True)
          for rule in _twin(rule_id, "", "cbc:InvoiceTypeCode",
                            outside_list(".", codes.INVOICE_TYPES, "listID", list_id),
                            f"Invalid InvoiceTypeCode. {_CODELIST}")),
        *_twin("F-INV012", "F-CRN007", "cbc:DocumentCurrencyCode",
               "../cac:{line}/cbc:LineExtensionAmount/@currencyID != string(.)",
               "There is a LineExtensionAmount for one or more invoice lines where the currencyID does not equal the "
               "DocumentCurrencyCode",
               "There is a LineExtensionAmount for one or more CreditNoteLines where the currencyID does not equal the "
               "DocumentCurrencyCode"),
        *_twin("F-INV013", "F-CRN008", "cbc:DocumentCurrencyCode",
               f"../{_MONEY}/cbc:LineExtensionAmount/@currencyID != string(.)",
               "There is a LineExtensionAmount where the currencyID does not equal the DocumentCurrencyCode"),
        *_twin("F-INV014", "F-CRN009", "cbc:DocumentCurrencyCode",
               f"../{_MONEY}/cbc:PayableAmount/@currencyID != string(.)",
               "There is a PayableAmount where the currencyID does not equal the DocumentCurrencyCode"),
        *_lib("F-LIB296", "cbc:DocumentCurrencyCode", f"@listID != '{codes.CURRENCY_LIST}'",
              f"Invalid listID. Must be '{codes.CURRENCY_LIST}'"),
        *_lib("F-LIB297", "cbc:DocumentCurrencyCode", f"@listAgencyID != '{codes.CURRENCY_AGENCY}'",
              f"Invalid listAgencyID. Must be '{codes.CURRENCY_AGENCY}'"),
        *_lib("F-LIB298", "cbc:DocumentCurrencyCode", outside(".", codes.CURRENCIES),
              f"Invalid CurrencyCode. {_CODELIST}"),
        *_lib("F-LIB403", "//*[@currencyID]", unknown_currency, f"Invalid CurrencyCode. {_CODELIST}"),
        *_lib("F-LIB080", "cac:InvoicePeriod",
              "cbc:StartDate and cbc:EndDate and "
              "not(number(translate(cbc:EndDate, '-', '')) >= number(translate(cbc:StartDate, '-', '')))",
              "The EndDate must be greater or equal to the startdate", only="Invoice"),
        *_twin("F-INV024", "F-CRN022", "cac:OrderReference", _blank("cbc:ID"),
               "Invalid OrderReference/ID. Must contain a value."),
    ]  # fmt: skip


def _party_rules() -> list[Rule]:
    code = "cbc:AddressFormatCode"
    with_country, without_country = _STRUCTURE.format(country=" or cac:Country"), _STRUCTURE.format(country="")
    return [
        *_twin("F-INV030", "F-CRN027", "cac:AccountingSupplierParty", "count(cac:Party) != 1",
               "Party class must be present"),
        *_twin("F-INV043", "F-CRN039", "cac:AccountingCustomerParty", "count(cac:Party) != 1",
               "One Party class must be present"),
        *_twin("F-INV031", "F-CRN028", _SUPPLIER, _blank("cbc:EndpointID"), "Invalid EndpointID. Must contain a value"),
        *_twin("F-INV044", "F-CRN040", _CUSTOMER, _blank("cbc:EndpointID"), "Invalid EndpointID. Must contain a value"),
        *_twin("F-INV034", "F-CRN031", _SUPPLIER, "count(cac:PartyLegalEntity) != 1",
               "One PartyLegalEntity class must be present"),
        *_twin("F-INV045", "F-CRN164", _CUSTOMER, "count(cac:PartyLegalEntity) > 1",
               "No more than one PartyLegalEntity class may be present"),
        *_twin("F-INV046", "F-CRN042", _CUSTOMER, "count(cac:Contact) != 1", "One Contact class must be present"),
        *_twin("F-INV051", "F-CRN047", f"{_CUSTOMER}/cac:Contact", _blank("cbc:ID"),
               "Invalid AccountingCustomerParty/Contact/ID. Must contain a value."),
        *_lib("F-LIB022", _PARTY,
              "(not(cac:PartyIdentification) or cac:PartyIdentification/cbc:ID = '') and "
              "(not(cac:PartyName) or cac:PartyName/cbc:Name = '')",
              "PartyName/Name is mandatory if PartyIdentification/ID is not found"),
        *_lib("F-LIB179", _below(_PARTY, "cbc:EndpointID"), outside("@schemeID", codes.ENDPOINT_SCHEMES),
              f"Invalid schemeID. {_CODELIST}"),
        *_lib("F-LIB180", _PARTY, _no_cvr("cbc:EndpointID"),
              "schemeID = DK:CVR, EndpointID must be a valid CVR number (like 'DK12345678')"),
        *_lib("F-LIB181", _PARTY, _length("cbc:EndpointID", "GLN", 13),
              "schemeID = GLN, EndpointID must be a valid GLN number (like '1234567890123')"),
        *_lib("F-LIB183", _IDENTIFICATION, outside("cbc:ID/@schemeID", codes.PARTY_SCHEMES),
              f"Invalid schemeID. {_CODELIST}"),
        *_lib("F-LIB184", _IDENTIFICATION, _no_cvr("cbc:ID"),
              "schemeID = DK:CVR, ID must be a valid CVR number (like 'DK12345678')"),
        *_lib("F-LIB185", _IDENTIFICATION, _length("cbc:ID", "GLN", 13),
              "schemeID = GLN, ID must be a valid GLN number (like '1234567890123')"),
        *_lib("F-LIB217", _IDENTIFICATION, _length("cbc:ID", "DK:CPR", 10),
              "schemeID = DK:CPR, ID must be a valid CPR number (like '1234560000')"),
        *_lib("F-LIB287", _IDENTIFICATION, _length("cbc:ID", "DK:P", 10),
              "schemeID = DK:P, ID must be a valid P number (like '1234567890')"),
        *_lib("F-LIB187", _below(_PARTY, "cac:PartyLegalEntity"), _blank("cbc:CompanyID"),
              "Invalid CompanyID. Must contain a value"),
        *_lib("F-LIB189", _below(_PARTY, "cac:PartyLegalEntity"),
              outside("cbc:CompanyID/@schemeID", codes.LEGAL_SCHEMES),
              "Invalid schemeID. Must be a valid scheme for PartyLegalEntity/CompanyID"),
        *_lib("F-LIB190", _below(_PARTY, "cac:PartyLegalEntity"),
              "cbc:CompanyID/@schemeID = 'DK:CVR' and (string-length(normalize-space(cbc:CompanyID)) != 10 or "
              "substring(cbc:CompanyID, 1, 2) != 'DK')",
              "schemeID = DK:CVR, CompanyID must be a valid CVR number (like 'DK12345678')"),
        *_lib("F-LIB191", _below(_PARTY, "cac:PartyLegalEntity"), _length("cbc:CompanyID", "DK:CPR", 10),
              "schemeID = DK:CPR, CompanyID must be a valid CPR number (like '1234560000')"),
        *_lib("F-LIB235", _below(_PARTY, "cac:Contact"),
              "not(cbc:ID != '' or cbc:Name != '' or cbc:Telephone != '' or cbc:Telefax != '' or "
              "cbc:ElectronicMail != '' or cbc:Note != '' or cac:OtherCommunication)",
              "At least one field in the Contact class should be specified"),
        *_lib("F-LIB025", _ADDRESS, _blank(code), "Invalid AddressFormatCode. Must contain a value"),
        *_lib("F-LIB026", _ADDRESS, f"not({_ADDRESS_LIST} or {_UN_LIST})",
              "Invalid listID. Must be either 'urn:oioubl:codelist:addressformatcode-1.1' or 'UN/ECE 3477'"),
        *_lib("F-LIB207", _ADDRESS, f"{_ADDRESS_LIST} and not({code}/@listAgencyID = '320')",
              "Invalid listAgencyID. Must be '320'"),
        *_lib("F-LIB027", _ADDRESS,
              f"{_ADDRESS_LIST} and not(contains(' StructuredDK StructuredLax StructuredID StructuredRegion "
              f"Unstructured ', concat(' ', normalize-space({code}), ' ')))",
              f"Invalid AddressFormatCode. {_CODELIST}"),
        *_lib("F-LIB208", _ADDRESS, f"{_UN_LIST} and not({code}/@listAgencyID = '6')",
              "Invalid listAgencyID. Must be '6'"),
        *_lib("F-LIB209", _ADDRESS,
              f"{_UN_LIST} and not(string-length({code}) = 1 and contains('123456789', {code}))",
              f"Invalid AddressFormatCode. {_CODELIST}"),
        *_lib("F-LIB213", _ADDRESS, "cac:Country and not(cac:Country/cbc:IdentificationCode != '')",
              "When Country is used, the element Country/IdentificationCode must be filled out"),
        *_lib("F-LIB301", _below(_ADDRESS, "cac:Country/cbc:IdentificationCode"), outside(".", codes.COUNTRIES),
              f"Invalid Country/IdentificationCode. {_CODELIST}"),
        *_lib("F-LIB031", _ADDRESS, _address("Unstructured", with_country),
              "An Unstructured address is only allowed to have AddressLine elements"),
        *_lib("F-LIB032", _ADDRESS, _address("StructuredDK", "cac:AddressLine"),
              "AddressLine elements not allowed for a StructuredDK address type"),
        *_lib("F-LIB033", _ADDRESS, _address("StructuredDK", _blank("cbc:PostalZone")),
              "PostalZone is mandatory for a StructuredDK address type"),
        *_lib("F-LIB034", _ADDRESS,
              _address("StructuredDK", f"{_blank('cbc:StreetName')} and {_blank('cbc:Postbox')}"),
              "There should be either a StreetName or a Postbox for a StructuredDK address type"),
        *_lib("F-LIB035", _ADDRESS,
              _address("StructuredDK", f"{_blank('cbc:BuildingNumber')} and {_blank('cbc:Postbox')}"),
              "There should be either a BuildingNumber or a Postbox for a StructuredDK address type"),
        *_lib("F-LIB036", _ADDRESS, _address("StructuredLax", "cac:AddressLine"),
              "AddressLine elements not allowed for a StructuredLax address type"),
        *_lib("F-LIB037", _ADDRESS, _address("StructuredID", "not(cbc:ID != '')"),
              "ID is required for a StructuredID address type"),
        *_lib("F-LIB038", _ADDRESS, _address("StructuredID", with_country),
              "Only the ID is used for a StructuredID address type"),
        *_lib("F-LIB039", _ADDRESS, _address("StructuredRegion", _NO_REGION),
              "Region or District or Country/IdentificationCode is required for a StructuredRegion address type"),
        *_lib("F-LIB040", _ADDRESS, _address("StructuredRegion", without_country),
              "Only Region, District, and/or Country/IdentificationCode can be used for a StructuredRegion address "
              "type"),
    ]  # fmt: skip


def _payment_rules() -> list[Rule]:
    """Payment means 42 (bank account) and 97 (NemKonto), and the terms; a credit note carries none of them."""
    known = " or ".join(f"cbc:PaymentMeansCode = '{code}'" for code in (1, 10, 20, 31, 42, 48, 49, 50, 58, 59, 93, 97))
    register = "FinancialInstitutionBranch/ID (Registreringsnummer)"
    rules = (
        ("F-LIB100", f"not({known})", f"Invalid PaymentMeansCode. {_CODELIST}"),
        ("F-LIB122", _means("42", "cac:CreditAccount"), "PaymentMeansCode = 42, CreditAccount class not allowed"),
        ("F-LIB119", _means("42", "cbc:InstructionNote"), "PaymentMeansCode = 42, InstructionNote element not allowed"),
        ("F-LIB123", _means("42", f"not({_CHANNEL_LIST})"),
         "PaymentMeansCode = 42, Invalid listID. Must be 'urn:oioubl:codelist:paymentchannelcode-1.1'"),
        ("F-LIB128", _means("42", "cbc:PaymentChannelCode != 'DK:BANK'"),
         "PaymentMeansCode = 42, PaymentChannelCode must equal DK:BANK"),
        ("F-LIB133", _means("42", f"string-length({_ACCOUNT}/cbc:PaymentNote) > 20"),
         "PaymentMeansCode = 42, PaymentNote must be no more than 20 characters"),
        ("F-LIB125", _means("42", f"not({_ACCOUNT})"),
         "PaymentMeansCode = 42, PayeeFinancialAccount class is mandatory"),
        ("F-LIB126", _means("42", f"not({_ACCOUNT}/cbc:ID)"), "PaymentMeansCode = 42, Account ID element is mandatory"),
        ("F-LIB127", _means("42", f"not({_BRANCH})"), f"PaymentMeansCode = 42, {register} element is mandatory"),
        ("F-LIB131", _means("42", f"string-length({_ACCOUNT}/cbc:ID) > 10"),
         "PaymentMeansCode = 42, Account ID must be no more than 10 characters"),
        ("F-LIB132", _means("42", f"string-length({_BRANCH}) > 4"),
         f"PaymentMeansCode = 42, {register} must be no more than 4 numerical characters"),
        ("F-LIB311", _means("42", f"not(number({_BRANCH}))"), f"{register} must contain a numerical value"),
        ("F-LIB158", _means("97", "cbc:PaymentChannelCode and not(cbc:PaymentChannelCode = 'DK:NEMKONTO')"),
         'PaymentMeansCode = 97, PaymentChannelCode element only allowed with value = "DK:NEMKONTO"'),
        ("F-LIB159", _means("97", "cbc:InstructionID"), "PaymentMeansCode = 97, InstructionID element not allowed"),
        ("F-LIB160", _means("97", "cbc:InstructionNote"), "PaymentMeansCode = 97, InstructionNote element not allowed"),
        ("F-LIB161", _means("97", "cbc:PaymentID"), "PaymentMeansCode = 97, PaymentID element not allowed"),
        ("F-LIB163", _means("97", "cac:PayerFinancialAccount"),
         "PaymentMeansCode = 97, PayerFinancialAccount class not allowed"),
        ("F-LIB164", _means("97", _ACCOUNT), "PaymentMeansCode = 97, PayeeFinancialAccount class not allowed"),
        ("F-LIB165", _means("97", "cac:CreditAccount"), "PaymentMeansCode = 97, CreditAccount class not allowed"),
    )  # fmt: skip
    return [
        *(Rule(rule, "Invoice", "cac:PaymentMeans", broken, message) for rule, broken, message in rules),
        *_lib("F-LIB246", "cac:PaymentTerms", "cbc:ID = 'Factoring' and not(cbc:Note != '')",
              "when ID equals 'Factoring', Note element is mandatory (factoring note)", only="Invoice"),
        *_lib("F-LIB020", "cac:PaymentTerms/cbc:Amount", "starts-with(., '-')",
              "Invalid Amount. Must not be negative", only="Invoice"),
    ]  # fmt: skip


def _tax_rules() -> list[Rule]:
    scheme_id = "cac:TaxCategory/cac:TaxScheme/cbc:ID"
    lists = "', '".join(sorted(codes.TAX_SCHEME_LISTS))
    categories = "', '".join(codes.TAX_CATEGORIES)
    return [
        *_lib("F-LIB314", _TAX, f"cac:TaxSubtotal/{scheme_id} = following-sibling::*/cac:TaxSubtotal/{scheme_id}",
              "Using the same TaxScheme ID in two different TaxTotal classes are not allowed."),
        *_lib("F-LIB306", _TAX,
              f"count(../cac:TaxTotal[cac:TaxSubtotal/{scheme_id} = '63' or cac:TaxSubtotal/{scheme_id} = 'VAT']) != 1",
              "Exactly one TaxTotal class must contain VAT (Moms)"),
        *_lib("F-LIB250", _TAX, _decimals("cbc:TaxAmount"), "Invalid TaxAmount. Must have 2 decimals"),
        *_lib("F-LIB385", _TAX, tax_total_differs,
              "TaxAmount must equal the sum of all following TaxSubtotal/TaxAmount"),
        *_lib("F-LIB259", _SUBTOTAL, _blank("cbc:TaxableAmount"), "Invalid TaxableAmount. Must contain a value"),
        *_lib("F-LIB315", _SUBTOTAL,
              f"{scheme_id} = '63' and {scheme_id} = following-sibling::*/{scheme_id} and "
              "cac:TaxCategory/cbc:ID = following-sibling::*/cac:TaxCategory/cbc:ID",
              "Specifying the same TaxSubtotal.TaxCategory.ID in one TaxTotal class is not allowed"),
        *_lib("F-LIB316", _SUBTOTAL, f"{scheme_id} != following-sibling::*/{scheme_id}",
              "Specifying different TaxScheme.ID in same TaxTotal class is not allowed."),
        *_lib("F-LIB261", _SUBTOTAL, _decimals("cbc:TaxableAmount"), "Invalid TaxableAmount. Must have 2 decimals"),
        *_lib("F-LIB263", _SUBTOTAL, _decimals("cbc:TaxAmount"), "Invalid TaxAmount. Must have 2 decimals"),
        *_lib("F-LIB381", _SUBTOTAL, vat_forgotten,
              "Invalid VAT TaxAmount - When TaxCategory/ID are 'StandardRated' and TaxableAmount > 0 TaxAmount "
              "can't be 0 unless calculated vat are less then 0.005"),
        *_lib("F-LIB402", "cac:TaxTotal/cac:TaxSubtotal", taxable_differs,
              "The taxable amount does not match the sum of taxable amounts from the invoice or credit note lines, "
              "after adjusting for allowances (discounts) and charges (fees). A rounding difference of up to +/- 1 is "
              "allowed."),
        *_lib("F-LIB333", "cac:TaxTotal/cac:TaxSubtotal", f"{scheme_id} = 'VAT' and not(cac:TaxCategory/cbc:Percent)",
              "When TaxCategory/TaxScheme/Id is VAT, the TaxCategory/Percent must be present."),
        *_lib("F-LIB334", "cac:TaxTotal/cac:TaxSubtotal",
              f"{scheme_id} = 'VAT' and (cac:TaxCategory/cbc:Percent = '' or "
              f"{_decimals('cac:TaxCategory/cbc:Percent', '> 2')})",
              "The TaxCategory/Percent must contain a decimal value with maximum 2 decimals."),
        *_lib("F-LIB074", _CATEGORY, _blank("cbc:ID"), "Invalid TaxCategory/ID. Must contain a value."),
        *_lib("F-LIB075", _CATEGORY, outside("cbc:ID/@schemeID", frozenset(codes.TAX_CATEGORIES)),
              f"Invalid schemeID. Must be one of '{categories}'."),
        *_lib("F-LIB309", _CATEGORY, unknown_category, f"Invalid ID. {_CODELIST}"),
        *_lib("F-LIB382", _CATEGORY, percent_missing,
              "When 'TaxCategory\\ID' = 'StandardRated', 'TaxCategory\\Percent' must be present and greater than "
              "0.00."),
        *_lib("F-LIB400", "cac:{line}/cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory", zero_rated_with_vat,
              'When "TaxCategory/ID" is "ZeroRated", "TaxAmount" and "Percent" must be 0.'),
        *_lib("F-LIB401", "cac:{line}/cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory", vat_miscalculated,
              "If Percent is greater than 0, TaxSubtotal/TaxAmount must be correctly calculated within a tolerance of "
              "+/- 1."),
        *_lib("F-LIB065", _SCHEME, _blank("cbc:ID"), "Invalid TaxScheme/ID. Must contain a value."),
        *_lib("F-LIB066", _SCHEME, _blank("cbc:Name"), "Invalid Name. Must contain a value"),
        *_lib("F-LIB067", _SCHEME, "cbc:ID = '63' and cbc:TaxTypeCode",
              "TaxTypeCode is not allowed when TaxScheme/ID equals '63' (Moms)"),
        *_lib("F-LIB197", _below(_CATEGORY, "cac:TaxScheme[not(cbc:ID = '63' or cbc:ID = 'VAT')]"),
              outside("cbc:TaxTypeCode", codes.TAX_TYPES),
              "TaxTypeCode must be a value from the 'urn:oioubl:codelist:taxtypecode-1.2' codelist when TaxScheme/ID "
              "is different from '63' or 'VAT' (Moms)"),
        *_lib("F-LIB070", _SCHEME, outside("cbc:ID/@schemeID", codes.TAX_SCHEME_LISTS),
              f"Invalid schemeID. Must be either '{lists}'"),
        *_lib("F-LIB198", _SCHEME, "cbc:ID = '63' and cbc:Name != 'Moms'",
              "Name must equal 'Moms' when TaxScheme/ID equals '63' (Moms)"),
        *_lib("F-LIB199", _SCHEME, "cbc:ID != '63' and cbc:Name = 'Moms'",
              "Name must correspond to the value of TaxScheme/ID"),
    ]  # fmt: skip


def _total_rules() -> list[Rule]:
    totals = _below(_MONEY, "cbc:LineExtensionAmount") + "".join(
        f" | {_MONEY}/cbc:{name}" for name in ("TaxExclusiveAmount", "TaxInclusiveAmount", "PayableAmount")
    )
    charge = "The sum of AllowanceCharge/Amount elements (with ChargeIndicator='{}') must equal {}"
    return [
        *_twin("F-INV120", "F-CRN066", _MONEY, _blank("cbc:LineExtensionAmount"),
               "Invalid LineExtensionAmount. Must contain a value"),
        *_twin("F-INV126", "F-CRN072", _MONEY, lines_differ,
               "The sum of InvoiceLine/LineExtensionAmount elements must equal LegalMonetaryTotal/LineExtensionAmount",
               "The sum of CreditNoteLine/LineExtensionAmount elements must equal LineExtensionAmount"),
        *_twin("F-INV127", "F-CRN073", _MONEY,
               total_differs("cbc:TaxExclusiveAmount", "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount"),
               "The sum of TaxTotal/TaxSubtotal/TaxAmount elements must equal TaxExclusiveAmount"),
        *_twin("F-INV128", "F-CRN074", _MONEY, inclusive_differs, "TaxInclusiveAmount is calculated incorrectly"),
        *_twin("F-INV129", "F-CRN075", _MONEY,
               total_differs("cbc:AllowanceTotalAmount", "cac:AllowanceCharge[cbc:ChargeIndicator='false']/cbc:Amount"),
               charge.format("false", "AllowanceTotalAmount")),
        *_twin("F-INV130", "F-CRN076", _MONEY,
               total_differs("cbc:ChargeTotalAmount", "cac:AllowanceCharge[cbc:ChargeIndicator='true']/cbc:Amount"),
               charge.format("true", "cbc:ChargeTotalAmount")),
        *_twin("F-INV131", "", _MONEY, total_differs("cbc:PrepaidAmount", "cac:PrepaidPayment/cbc:PaidAmount"),
               "The sum of PrepaidPayment/PaidAmount elements must equal PrepaidAmount"),
        *_twin("F-INV132", "F-CRN078", _MONEY, rounding_differs,
               "The sum of TaxTotal/RoundingAmount elements must equal PayableRoundingAmount"),
        *_twin("F-INV338", "F-CRN208", _MONEY, rounding_too_big,
               "The LegalMonetaryTotal/PayableRoundingAmount must NOT be less then -10.00 or greater then 10.00."),
        *_twin("F-INV133", "F-CRN079", _MONEY, payable_differs, "PayableAmount is calculated incorrectly"),
        *_twin("F-INV134", "", _MONEY, terms_differ,
               "The sum of PaymentTerms/Amount elements or the value of the first PaymentTerms/Amount must equal "
               "PayableAmount"),
        *_lib("F-LIB014", totals, _decimals("."), "Invalid amount. Must have 2 decimals"),
        *_lib("F-LIB016", f"{_MONEY}/cbc:PayableAmount", "starts-with(., '-')",
              "Invalid PayableAmount. Must not be negative"),
        *_lib("F-LIB016", f"{_MONEY}/cbc:TaxInclusiveAmount", "starts-with(., '-')",
              "Invalid TaxInclusiveAmount. Must not be negative", only="Invoice"),
        *_lib("F-LIB375", f"{_MONEY}/cbc:TaxInclusiveAmount", "starts-with(., '-')",
              "Invalid TaxInclusiveAmount. Must not be negative, unless it has been converted from PEPPOL BIS3",
              only="CreditNote"),
    ]  # fmt: skip


def _line_rules() -> list[Rule]:
    product = "line with lineExtensionAmount must equal"
    given = f"Invoice {product}", f"CreditNote {product}"
    quantity = " +/- 1.00 (quantity unitCode and Price.BaseQuantity unitCode are {})"
    return [
        *_twin("F-INV137", "F-CRN196", _LINE, _blank("{quantity}"), "Invalid InvoicedQuantity. Must contain a value",
               "Invalid CreditedQuantity. Must contain a value"),
        *_twin("F-INV138", "F-CRN081", _LINE, "not(cac:TaxTotal)", "One or more TaxTotal classes must be present",
               "One or more TaxTotal class must be present"),
        *_twin("F-INV139", "", _LINE, "count(cac:Price) != 1", "One Price class must be present"),
        *_twin("", "F-CRN082", _LINE, "not(cac:Item) and not(cac:BillingReference)", "",
               "One Item class must be present when CreditNoteLine/BillingReference is not specified"),
        *_twin("", "F-CRN083", _LINE, "not(cac:Price) and not(cac:BillingReference)", "",
               "One Price class must be present when CreditNoteLine/BillingReference is not specified"),
        *_twin("F-INV140", "F-CRN084", _LINE, _blank("cbc:ID"), "Invalid InvoiceLine/ID. Must contain a value.",
               "Invalid CreditNoteLine/ID. Must contain a value."),
        *_twin("F-INV142", "", _LINE, "cac:OrderLineReference and not(../cac:OrderReference)",
               "Invoice/OrderReference is mandatory when OrderLineReference class is present"),
        *_twin("F-INV343", "F-CRN194", _LINE, line_differs("different"),
               *(f"{text} Quantity * Price.PriceAmount * Price.OrderableUnitFactorRate" + quantity.format("not equal")
                 for text in given)),
        *_twin("F-INV340", "F-CRN210", _LINE, line_differs("equal"),
               *(f"{text} (Price.PriceAmount / Price.BaseQuantity) * Quantity" + quantity.format("equal")
                 for text in given)),
        *_twin("F-INV348", "F-CRN216", _LINE, line_differs("neither"),
               *(f"{text} Price.PriceAmount * Quantity +/- 1.00." for text in given)),
        *_twin("", "F-CRN207", _LINE, _blank("cbc:LineExtensionAmount"), "",
               "For each CreditNoteLine, LineExtensionAmount must be present and contain a value."),
        *_lib("F-LIB007", _UNITS, "not(@unitCode)", "Attribute unitCode must be used for quantity"),
        *_lib("F-LIB318", _UNITS, outside("@unitCode", codes.UNITS),
              "Invalid unitCode. Must be a value from the codelist "
              "urn:un:unece:uncefact:codelist:specification:66411:2001."),
        *_twin("F-INV147", "F-CRN088", "cac:{line}/{quantity}", "not(. != 0)",
               "Invalid InvoicedQuantity. Must not be zero", "Invalid CreditedQuantity. Must not be zero"),
        *_twin("F-INV149", "F-CRN089", f"{_LINE}/cbc:LineExtensionAmount", _decimals(".", "< 2"),
               "Invalid LineExtensionAmount. Must have at least 2 decimals"),
        *_twin("", "F-CRN090", f"{_LINE}/cbc:LineExtensionAmount", _decimals(".", "> 4"), "",
               "Invalid LineExtensionAmount. No more than 4 decimals"),
        *_lib("F-LIB019", f"{_LINE}/cac:Price/cbc:BaseQuantity", "starts-with(., '-') or not(. != 0)",
              "Invalid BaseQuantity. Must not be negative or zero"),
        *_twin("F-INV163", "F-CRN110", f"{_LINE}/cac:Item", _blank("cbc:Name"),
               "Invalid Name for InvoiceLine. Must contain a value"),
        *_twin("F-INV167", "F-CRN115", f"{_LINE}/cac:Item/cac:SellersItemIdentification", _blank("cbc:ID"),
               "Invalid SellersItemIdentification/ID. Must contain a value"),
        *_twin("F-INV234", "F-CRN133", f"{_LINE}/cac:Item/cac:AdditionalItemProperty", _blank("cbc:Name"),
               "Invalid Name. Must contain a value"),
        *_twin("F-INV235", "F-CRN151", f"{_LINE}/cac:Item/cac:AdditionalItemProperty", _blank("cbc:Value"),
               "Invalid Value. Must contain a value"),
    ]  # fmt: skip


RULES: tuple[Rule, ...] = (
    *_head_rules(), *_party_rules(), *_payment_rules(), *_tax_rules(), *_total_rules(), *_line_rules(),
)  # fmt: skip
RULE_IDS = frozenset(rule.id for rule in RULES) | {"F-INV001", "F-INV336", "F-CRN204"}


def _compile(rule: Rule) -> tuple[Rule, etree.XPath, Callable[[etree._Element], bool]]:
    def xpath(text: str) -> etree.XPath:
        text = text.replace("{line}", f"{rule.root}Line").replace("{quantity}", QUANTITIES[rule.root])
        return etree.XPath(text, namespaces=PREFIXES)

    broken = rule.broken if callable(rule.broken) else xpath(f"boolean({rule.broken})")
    return rule, xpath(rule.context), broken


COMPILED = compiled(RULES)
