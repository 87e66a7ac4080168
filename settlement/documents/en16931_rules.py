"""Official rules on OIOUBL 3 and Peppol BIS Billing 3 that matter for what is paid: EN 16931 (BR-), Peppol (PEPPOL-EN16931-R),
the Danish ones among Peppol's (DK-R-, 2025-05-29) and OIOUBL 3.0.1's own (OIOUBL-).

Own implementation; ids and texts are the official ones, and amounts are compared as decimals, never as floats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from lxml import etree

from settlement.documents.oioubl_arithmetic import (
    QUANTITIES,
    decimal,
    elements,
    number_of,
    outside,
    round_up,
    sum_of,
    value_of,
)
from settlement.documents.oioubl_received_rules import MIME_TYPES
from settlement.documents.oioubl_rules import Rule, compiled

WARNINGS = frozenset(("DK-R-003",))

Broken = Callable[[etree._Element], bool]

_MONEY = "cac:LegalMonetaryTotal"
_SUPPLIER, _CUSTOMER = "cac:AccountingSupplierParty/cac:Party", "cac:AccountingCustomerParty/cac:Party"
_COUNTRY = "cac:PostalAddress/cac:Country/cbc:IdentificationCode"
_DANISH = f"/*[{_SUPPLIER}/{_COUNTRY} = 'DK']"
_BOTH_DANISH = f"{_DANISH}[{_CUSTOMER}/{_COUNTRY} = 'DK']"
_ACCOUNT = "cac:PayeeFinancialAccount/cbc:ID"


def _blank(path: str) -> str:
    return f"normalize-space({path}) = ''"


# --- arithmetic ---------------------------------------------------------------------------------------------------


def _differ(*terms: Decimal | None, by: str = "0") -> bool:
    """Whether the first term is further than `by` from the sum of the others; False where one is no number, for a rule of its
    own speaks of that."""
    return None not in terms and abs(terms[0] - sum(terms[1:], Decimal(0))) > Decimal(by)


def _less(term: Decimal | None) -> Decimal | None:
    return None if term is None else -term


def _lines(root: etree._Element) -> list[etree._Element]:
    return elements(root, f"cac:{etree.QName(root).localname}Line")


def _line_total_differs(total: etree._Element) -> bool:
    root = total.getparent()
    stated = sum_of(root, f"cac:{etree.QName(root).localname}Line/cbc:LineExtensionAmount")
    return _differ(number_of(total, "cbc:LineExtensionAmount"), stated)


def _stated_differs(name: str, indicator: str) -> Broken:
    """Whether a total of allowances or charges, 0 where it is missing, is not their sum."""

    parts = f"cac:AllowanceCharge[cbc:ChargeIndicator='{indicator}']/cbc:Amount"
    return lambda total: _differ(sum_of(total, name), sum_of(total.getparent(), parts))


def _net_differs(total: etree._Element) -> bool:
    lines, charges = sum_of(total, "cbc:LineExtensionAmount"), sum_of(total, "cbc:ChargeTotalAmount")
    return _differ(number_of(total, "cbc:TaxExclusiveAmount"), lines, charges, _less(sum_of(total, "cbc:AllowanceTotalAmount")))


def _vat_differs(tax_total: etree._Element) -> bool:
    return _differ(number_of(tax_total, "cbc:TaxAmount"), sum_of(tax_total, "cac:TaxSubtotal/cbc:TaxAmount"))


def _inclusive_differs(total: etree._Element) -> bool:
    currency = value_of(total.getparent(), "cbc:DocumentCurrencyCode")
    vat = sum_of(total.getparent(), f"cac:TaxTotal/cbc:TaxAmount[@currencyID='{currency}']") if currency.isalpha() else None
    return _differ(number_of(total, "cbc:TaxInclusiveAmount"), number_of(total, "cbc:TaxExclusiveAmount"), vat)


def _payable_differs(total: etree._Element) -> bool:
    inclusive, rounding = number_of(total, "cbc:TaxInclusiveAmount"), sum_of(total, "cbc:PayableRoundingAmount")
    return _differ(number_of(total, "cbc:PayableAmount"), inclusive, rounding, _less(sum_of(total, "cbc:PrepaidAmount")))


def _category_vat_differs(subtotal: etree._Element) -> bool:
    taxable, percent = number_of(subtotal, "cbc:TaxableAmount"), number_of(subtotal, "cac:TaxCategory/cbc:Percent")
    vat = number_of(subtotal, "cbc:TaxAmount")
    if None in (taxable, vat):
        return False
    expected = Decimal(0) if percent is None else round_up(taxable * percent / 100)
    return abs(vat - expected) >= 1  # the official tolerance


def _taxable_differs(category: str) -> Broken:
    """Whether a breakdown of that category and rate is not the lines, charges and allowances of it, ±1 as officially."""

    def key(node: etree._Element, path: str) -> tuple[str, Decimal | None]:
        return value_of(node, f"{path}/cbc:ID"), number_of(node, f"{path}/cbc:Percent") or Decimal(0)

    def broken(subtotal: etree._Element) -> bool:
        wanted, root = key(subtotal, "cac:TaxCategory"), subtotal.getparent().getparent()
        if wanted[0] != category:
            return False
        parts = [
            number_of(line, "cbc:LineExtensionAmount") for line in _lines(root)
            if key(line, "cac:Item/cac:ClassifiedTaxCategory") == wanted
        ]  # fmt: skip
        for charge in elements(root, "cac:AllowanceCharge"):
            if key(charge, "cac:TaxCategory") == wanted:
                amount = number_of(charge, "cbc:Amount")
                parts.append(amount if value_of(charge, "cbc:ChargeIndicator") == "true" else _less(amount))
        stated = number_of(subtotal, "cbc:TaxableAmount")
        return None not in (stated, *parts) and abs(stated - sum(parts, Decimal(0))) >= 1

    return broken


def _line_differs(line: etree._Element) -> bool:
    quantity = number_of(line, QUANTITIES[etree.QName(line.getparent()).localname])
    base = number_of(line, "cac:Price/cbc:BaseQuantity") if elements(line, "cac:Price/cbc:BaseQuantity") else Decimal(1)
    price = number_of(line, "cac:Price/cbc:PriceAmount")
    charges, allowances = (
        sum_of(line, f"cac:AllowanceCharge[cbc:ChargeIndicator='{indicator}']/cbc:Amount") for indicator in ("true", "false")
    )
    if None in (quantity, base, price) or not base:
        return False
    return _differ(number_of(line, "cbc:LineExtensionAmount"), price / base * quantity, charges, _less(allowances), by="0.02")


def _many_decimals(amount: etree._Element) -> bool:
    found = decimal(amount.text)
    return found is not None and -found.as_tuple().exponent > 2


def _ids_repeat(root: etree._Element) -> bool:
    ids = [value_of(line, "cbc:ID") for line in _lines(root)]
    return len(set(ids)) < len(ids)


def _looks_like_cpr(node: etree._Element) -> bool:
    scheme, text = node.get("schemeID"), (node.text or "").strip()
    return scheme is None and re.fullmatch("(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2])[0-9]{2}-[0-9]{4}", text) is not None


# --- EN 16931, of both ----------------------------------------------------------------------------------------------

_NOT_BLANK = (
    ("BR-01", ".", "cbc:CustomizationID", "An Invoice shall have a Specification identifier (BT-24)."),
    ("BR-02", ".", "cbc:ID", "An Invoice shall have an Invoice number (BT-1)."),
    ("BR-03", ".", "cbc:IssueDate", "An Invoice shall have an Invoice issue date (BT-2)."),
    ("BR-04", ".", "*[self::cbc:InvoiceTypeCode or self::cbc:CreditNoteTypeCode]",
     "An Invoice shall have an Invoice type code (BT-3)."),
    ("BR-05", ".", "cbc:DocumentCurrencyCode", "An Invoice shall have an Invoice currency code (BT-5)."),
    ("BR-06", ".", f"{_SUPPLIER}/cac:PartyLegalEntity/cbc:RegistrationName",
     "An Invoice shall contain the Seller name (BT-27)."),
    ("BR-07", ".", f"{_CUSTOMER}/cac:PartyLegalEntity/cbc:RegistrationName",
     "An Invoice shall contain the Buyer name (BT-44)."),
    ("BR-09", ".", f"{_SUPPLIER}/{_COUNTRY}", "The Seller postal address (BG-5) shall contain a Seller country code (BT-40)."),
    ("BR-11", ".", f"{_CUSTOMER}/{_COUNTRY}", "The Buyer postal address shall contain a Buyer country code (BT-55)."),
    ("BR-12", ".", f"{_MONEY}/cbc:LineExtensionAmount",
     "An Invoice shall have the Sum of Invoice line net amount (BT-106)."),
    ("BR-13", ".", f"{_MONEY}/cbc:TaxExclusiveAmount", "An Invoice shall have the Invoice total amount without VAT (BT-109)."),
    ("BR-14", ".", f"{_MONEY}/cbc:TaxInclusiveAmount", "An Invoice shall have the Invoice total amount with VAT (BT-112)."),
    ("BR-15", ".", f"{_MONEY}/cbc:PayableAmount", "An Invoice shall have the Amount due for payment (BT-115)."),
    ("BR-16", ".", "cac:{line}", "An Invoice shall have at least one Invoice line (BG-25)"),
    ("BR-21", "cac:{line}", "cbc:ID", "Each Invoice line (BG-25) shall have an Invoice line identifier (BT-126)."),
    ("BR-22", "cac:{line}", "{quantity}", "Each Invoice line (BG-25) shall have an Invoiced quantity (BT-129)."),
    ("BR-23", "cac:{line}", "{quantity}/@unitCode",
     "An Invoice line (BG-25) shall have an Invoiced quantity unit of measure code (BT-130)."),
    ("BR-24", "cac:{line}", "cbc:LineExtensionAmount",
     "Each Invoice line (BG-25) shall have an Invoice line net amount (BT-131)."),
    ("BR-25", "cac:{line}", "cac:Item/cbc:Name", "Each Invoice line (BG-25) shall contain the Item name (BT-153)."),
    ("BR-26", "cac:{line}", "cac:Price/cbc:PriceAmount",
     "Each Invoice line (BG-25) shall contain the Item net price (BT-146)."),
    ("BR-CO-04", "cac:{line}", "cac:Item/cac:ClassifiedTaxCategory/cbc:ID",
     "Each Invoice line (BG-25) shall be categorized with an Invoiced item VAT category code (BT-151)."),
    ("BR-45", "cac:TaxTotal/cac:TaxSubtotal", "cbc:TaxableAmount",
     "Each VAT breakdown (BG-23) shall have a VAT category taxable amount (BT-116)."),
    ("BR-46", "cac:TaxTotal/cac:TaxSubtotal", "cbc:TaxAmount",
     "Each VAT breakdown (BG-23) shall have a VAT category tax amount (BT-117)."),
    ("BR-47", "cac:TaxTotal/cac:TaxSubtotal", "cac:TaxCategory/cbc:ID",
     "Each VAT breakdown (BG-23) shall be defined through a VAT category code (BT-118)."),
)  # fmt: skip
_NAMES = {"S": "Standard rated", "Z": "Zero rated", "E": "Exempt from VAT", "AE": "Reverse charge"}
_DECIMALS = (
    ("BR-DEC-09", f"{_MONEY}/cbc:LineExtensionAmount", "Sum of Invoice line net amount (BT-106)"),
    ("BR-DEC-12", f"{_MONEY}/cbc:TaxExclusiveAmount", "Invoice total amount without VAT (BT-109)"),
    ("BR-DEC-14", f"{_MONEY}/cbc:TaxInclusiveAmount", "Invoice total amount with VAT (BT-112)"),
    ("BR-DEC-18", f"{_MONEY}/cbc:PayableAmount", "Amount due for payment (BT-115)"),
    ("BR-DEC-23", "cac:{line}/cbc:LineExtensionAmount", "Invoice line net amount (BT-131)"),
)


def _common(root: str) -> list[Rule]:
    subtotal, line = "cac:TaxTotal/cac:TaxSubtotal", "cac:{line}"
    lines_vat = f"{line}/cac:Item/cac:ClassifiedTaxCategory"
    rules = [
        *((rule, context, f"not({path} != '')", text) for rule, context, path, text in _NOT_BLANK),
        ("BR-27", f"{line}/cac:Price/cbc:PriceAmount", "starts-with(normalize-space(.), '-')",
         "The Item net price (BT-146) shall NOT be negative."),
        ("BR-CO-10", _MONEY, _line_total_differs,
         "Sum of Invoice line net amount (BT-106) = Σ Invoice line net amount (BT-131)."),
        ("BR-CO-11", _MONEY, _stated_differs("cbc:AllowanceTotalAmount", "false"),
         "Sum of allowances on document level (BT-107) = Σ Document level allowance amount (BT-92)."),
        ("BR-CO-12", _MONEY, _stated_differs("cbc:ChargeTotalAmount", "true"),
         "Sum of charges on document level (BT-108) = Σ Document level charge amount (BT-99)."),
        ("BR-CO-13", _MONEY, _net_differs,
         "Invoice total amount without VAT (BT-109) = Σ Invoice line net amount (BT-131) - Sum of allowances on document "
         "level (BT-107) + Sum of charges on document level (BT-108)."),
        ("BR-CO-14", "cac:TaxTotal[cac:TaxSubtotal]", _vat_differs,
         "Invoice total VAT amount (BT-110) = Σ VAT category tax amount (BT-117)."),
        ("BR-CO-15", _MONEY, _inclusive_differs,
         "Invoice total amount with VAT (BT-112) = Invoice total amount without VAT (BT-109) + Invoice total VAT amount "
         "(BT-110)."),
        ("BR-CO-16", _MONEY, _payable_differs,
         "Amount due for payment (BT-115) = Invoice total amount with VAT (BT-112) - Paid amount (BT-113) + Rounding amount "
         "(BT-114)."),
        ("BR-CO-17", subtotal, _category_vat_differs,
         "VAT category tax amount (BT-117) = VAT category taxable amount (BT-116) x (VAT category rate (BT-119) / 100), "
         "rounded to two decimals."),
        ("BR-CO-18", ".", "not(cac:TaxTotal/cac:TaxSubtotal)",
         "An Invoice shall at least have one VAT breakdown group (BG-23)."),
        ("BR-48", subtotal, "not(cac:TaxCategory/cbc:Percent) and cac:TaxCategory/cbc:ID != 'O'",
         "Each VAT breakdown (BG-23) shall have a VAT category rate (BT-119), except if the Invoice is not subject to VAT."),
        ("BR-S-05", f"{lines_vat}[cbc:ID = 'S']", "not(cbc:Percent > 0)",
         'In an Invoice line (BG-25) where the Invoiced item VAT category code (BT-151) is "Standard rated" the Invoiced item '
         "VAT rate (BT-152) shall be greater than zero."),
        *((f"BR-{code}-05", f"{lines_vat}[cbc:ID = '{code}']", "cbc:Percent != 0",
           f'In an Invoice line (BG-25) where the Invoiced item VAT category code (BT-151) is "{name}" the Invoiced item VAT '
           "rate (BT-152) shall be 0 (zero).") for code, name in _NAMES.items() if code != "S"),
        *((f"BR-{code}-08", subtotal, _taxable_differs(code),
           f'Where the VAT category code (BT-118) is "{name}", the VAT category taxable amount (BT-116) shall equal the sum of '
           "Invoice line net amounts (BT-131) plus charges minus allowances of that category and rate.")
          for code, name in _NAMES.items()),
        *((f"BR-{code}-10", f"{subtotal}/cac:TaxCategory[cbc:ID = '{code}']",
           "not(cbc:TaxExemptionReason != '' or cbc:TaxExemptionReasonCode != '')",
           f'A VAT breakdown (BG-23) with VAT Category code (BT-118) "{_NAMES[code]}" shall have a VAT exemption reason code '
           "(BT-121) or a VAT exemption reason text (BT-120).") for code in ("E", "AE")),
        *((rule, context, _many_decimals, f"The allowed maximum number of decimals for the {name} is 2.")
          for rule, context, name in _DECIMALS),
        ("PEPPOL-EN16931-R120", line, _line_differs,
         "Invoice line net amount MUST equal (Invoiced quantity * (Item net price/item price base quantity) + Sum of invoice "
         "line charge amount - sum of invoice line allowance amount"),
        ("PEPPOL-EN16931-R121", f"{line}/cac:Price/cbc:BaseQuantity", "not(. > 0)",
         "Base quantity MUST be a positive number above zero."),
        ("PEPPOL-EN16931-R130", f"{line}/cac:Price/cbc:BaseQuantity[@unitCode]", "@unitCode != ../../{quantity}/@unitCode",
         "Unit code of price base quantity MUST be same as invoiced quantity."),
    ]  # fmt: skip
    return [Rule(rule, root, context, broken, text) for rule, context, broken, text in rules]


# --- Peppol BIS Billing 3 -------------------------------------------------------------------------------------------


def _peppol(root: str) -> list[Rule]:
    means = f"{_BOTH_DANISH}/cac:PaymentMeans"
    prefixed = "(starts-with(cbc:PaymentID, '{0}#') or starts-with(cbc:PaymentID, '{1}#'))"
    giro = f"translate({_ACCOUNT}, '0123456789', '') = '' and string-length({_ACCOUNT}) >= 7 and string-length({_ACCOUNT}) <= 8"
    reason = "cbc:AllowanceChargeReason"
    rules = [
        ("PEPPOL-EN16931-R001", ".", _blank("cbc:ProfileID"), "Business process MUST be provided."),
        ("PEPPOL-EN16931-R003", ".", f"{_blank('cbc:BuyerReference')} and {_blank('cac:OrderReference/cbc:ID')}",
         "A buyer reference or purchase order reference MUST be provided."),
        ("PEPPOL-EN16931-R010", _CUSTOMER, _blank("cbc:EndpointID"), "Buyer electronic address MUST be provided"),
        ("PEPPOL-EN16931-R020", _SUPPLIER, _blank("cbc:EndpointID"), "Seller electronic address MUST be provided"),
        ("PEPPOL-EN16931-R051", f"{_MONEY}/*[@currencyID] | cac:{{line}}/cbc:LineExtensionAmount",
         "@currencyID != /*/cbc:DocumentCurrencyCode",
         "All currencyID attributes must have the same value as the invoice currency code (BT-5), except for the invoice total "
         "VAT amount in accounting currency (BT-111)."),
        ("PEPPOL-EN16931-R053", ".", "count(cac:TaxTotal[cac:TaxSubtotal]) != 1",
         "Only one tax total with tax subtotals MUST be provided."),
        ("DK-R-002", _DANISH, _blank(f"{_SUPPLIER}/cac:PartyLegalEntity/cbc:CompanyID"),
         "Danish suppliers MUST provide legal entity (CVR-number)"),
        ("DK-R-003", f"{_BOTH_DANISH}/cac:{{line}}/cac:Item/cac:CommodityClassification/cbc:ItemClassificationCode",
         "@listID = 'TST' and not(contains(' 19.05.01 19.0501 26.08.01 26.0801 ', concat(' ', @listVersionID, ' ')))",
         "If ItemClassification is provided from Danish suppliers, UNSPSC version 19.05.01 or 26.08.01 should be used."),
        ("DK-R-004", f"{_BOTH_DANISH}//cac:AllowanceCharge[cbc:AllowanceChargeReasonCode = 'ZZZ']",
         f"not((string-length(normalize-space({reason})) = 4 and translate(normalize-space({reason}), '0123456789', '') = '') or "
         f"(contains({reason}, '#') and not(starts-with({reason}, '#')) and "
         f"substring({reason}, string-length({reason})) != '#'))",
         'When specifying non-VAT Taxes for Danish customers, Danish suppliers MUST use the AllowanceChargeReasonCode="ZZZ" and '
         "MUST be specified in AllowanceChargeReason; Either as the 4-digit Tax category or must include a #, but the # is not "
         "allowed as first and last character"),
        ("DK-R-005", means,
         "not(contains(' 1 10 31 42 48 49 50 58 59 93 97 ', concat(' ', normalize-space(cbc:PaymentMeansCode), ' ')))",
         "For Danish suppliers the following Payment means codes are allowed: 1, 10, 31, 42, 48, 49, 50, 58, 59, 93 and 97"),
        ("DK-R-006", means, "(cbc:PaymentMeansCode = '31' or cbc:PaymentMeansCode = '42') and "
         f"({_blank(_ACCOUNT)} or {_blank('cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID')})",
         "For Danish suppliers bank account and registration account is mandatory if payment means is 31 or 42"),
        ("DK-R-007", means, f"cbc:PaymentMeansCode = '49' and ({_blank('cac:PaymentMandate/cbc:ID')} or "
         f"{_blank('cac:PaymentMandate/cac:PayerFinancialAccount/cbc:ID')})",
         "For Danish suppliers PaymentMandate/ID and PayerFinancialAccount/ID are mandatory when payment means is 49"),
        ("DK-R-008", means, "cbc:PaymentMeansCode = '50' and not((starts-with(cbc:PaymentID, '01#') or "
         f"{prefixed.format('04', '15')}) and {giro})",
         "For Danish Suppliers PaymentID is mandatory and MUST start with 01#, 04# or 15# (kortartkode), and "
         "PayeeFinancialAccount/ID (Giro kontonummer) is mandatory and must be 7 or 8 numerical characters long, when payment "
         "means equals 50 (Giro)"),
        ("DK-R-009", means,
         f"cbc:PaymentMeansCode = '50' and {prefixed.format('04', '15')} and string-length(cbc:PaymentID) != 19",
         "For Danish Suppliers if the PaymentID is prefixed with 04# or 15# the 16 digits instruction Id must be added to the "
         'PaymentID eg. "04#1234567890123456" when Payment means equals 50 (Giro)'),
        ("DK-R-010", means, "cbc:PaymentMeansCode = '93' and not((starts-with(cbc:PaymentID, '73#') or "
         f"{prefixed.format('71', '75')}) and string-length({_ACCOUNT}) = 8)",
         "For Danish Suppliers the PaymentID is mandatory and MUST start with 71#, 73# or 75# (kortartkode) and "
         "PayeeFinancialAccount/ID (Kreditornummer) is mandatory and must be exactly 8 characters long, when Payment means "
         "equals 93 (FIK)"),
        ("DK-R-011", means, f"cbc:PaymentMeansCode = '93' and {prefixed.format('71', '75')} and "
         "not(string-length(cbc:PaymentID) = 18 or string-length(cbc:PaymentID) = 19)",
         "For Danish Suppliers if the PaymentID is prefixed with 71# or 75# the 15-16 digits instruction Id must be added to the "
         'PaymentID eg. "71#1234567890123456" when payment Method equals 93 (FIK)'),
        ("DK-R-013", f"{_DANISH}/{_SUPPLIER}/cac:PartyIdentification/cbc:ID | "
         f"{_DANISH}/{_CUSTOMER}/cac:PartyIdentification/cbc:ID", _blank("@schemeID"),
         "For Danish Suppliers it is mandatory to use schemeID when PartyIdentification/ID is used for AccountingCustomerParty "
         "or AccountingSupplierParty"),
        ("DK-R-014", f"{_DANISH}/{_SUPPLIER}/cac:PartyLegalEntity/cbc:CompanyID", "not(@schemeID = '0184')",
         'For Danish Suppliers it is mandatory to specify schemeID as "0184" (DK CVR-number) when PartyLegalEntity/CompanyID is '
         "used for AccountingSupplierParty"),
    ]  # fmt: skip
    if root == "CreditNote":
        rules.append(("DK-R-016", _BOTH_DANISH, f"starts-with(normalize-space({_MONEY}/cbc:PayableAmount), '-')",
                      "For Danish Suppliers, a Credit note cannot have a negative total (PayableAmount)"))  # fmt: skip
    return [Rule(rule, root, context, broken, text) for rule, context, broken, text in rules]


# --- OIOUBL 3 -------------------------------------------------------------------------------------------------------


def _digits(element: str, length: int, before: str = "") -> str:
    """Something that is not `before` and so many digits."""
    rest = f"substring({element}, {len(before) + 1})"
    start = f"starts-with({element}, '{before}') and " if before else ""
    return f"not({start}translate({rest}, '0123456789', '') = '' and string-length({rest}) = {length})"


def _oioubl3(root: str) -> list[Rule]:
    invoice = root == "Invoice"
    customization = f"urn:fdc:oioubl.dk:trns:billing:{root.lower()}:3.0"
    private = "urn:fdc:oioubl.dk:bis:billing_private_without_response:3"
    means = "cac:PaymentMeans[normalize-space(cbc:PaymentMeansCode) = '{0}']"
    ids = "//cbc:EndpointID | //cac:PartyIdentification/cbc:ID | //cbc:CompanyID"
    tax_scheme = "cac:PartyTaxScheme/cbc:CompanyID"
    rules = [
        ("OIOUBL-BIL-019", ".", "not(cbc:UBLVersionID = '2.1')", "The value of UBLVersionID must be equal to 2.1"),
        ("OIOUBL-BIL-020" if invoice else "OIOUBL-BIL-022", ".", f"not(cbc:CustomizationID = '{customization}')",
         f"For {root} the CustomizationID must be '{customization}'"),
        ("OIOUBL-BIL-023", ".",
         f"not(cbc:ProfileID = 'urn:fdc:oioubl.dk:bis:billing_with_response:3' or cbc:ProfileID = '{private}')",
         "The ProfileID must be qual either 'urn:fdc:oioubl.dk:bis:billing_with_response:3' or "
         "'urn:fdc:oioubl.dk:bis:billing_private_without_response:3'"),
        ("OIOUBL-BIL-016", f"{_MONEY}/cbc:PayableAmount", "starts-with(normalize-space(.), '-')",
         "PayableAmount must be greater than 0"),
        ("OIOUBL-BIL-005", "cac:PaymentMeans",
         "not(contains(' 1 10 31 42 48 49 50 58 59 93 97 ', concat(' ', normalize-space(cbc:PaymentMeansCode), ' ')))",
         "For Danish suppliers the following Payment means codes are allowed: 1, 10, 31, 42, 48, 49, 50, 58, 59, 93 and 97"),
        ("OIOUBL-BIL-038", means.format("42"), _blank(_ACCOUNT),
         "PayeeFinancialAccount/ID is mandatory when the PaymentMeans = '42'"),
        ("OIOUBL-BIL-039", means.format("42"), _digits("cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID", 4),
         "PayeeFinancialAccount/FinancialInstitutionBranch/ID must exist and be 4 digits long when PaymentMeansCode = '42'"),
        ("OIOUBL-BIL-040", means.format("42"), f"string-length({_ACCOUNT}) > 10",
         "PayeeFinancialAccount/ID must not be more than 10 characters when PaymentMeansCode = '42'"),
        ("OIOUBL-BIL-046", means.format("48"), "not(cac:CardAccount)", "CardAccount must be used when the PaymentMeans = '48'"),
        ("OIOUBL-BIL-076", means.format("93"), _blank("cbc:PaymentID"),
         "PaymentID must be present when PaymentMeansCode = '93'"),
        ("OIOUBL-BIL-079", means.format("93"),
         "cbc:PaymentID and not(cbc:PaymentID = '71' or cbc:PaymentID = '73' or cbc:PaymentID = '75')",
         "PaymentID must equal 71, 73 or 75 when PaymentMeansCode = '93'"),
        ("OIOUBL-BIL-080", means.format("93"), "cbc:PaymentID = '71' and string-length(cbc:InstructionID) != 15",
         "InstructionID must equal 15 characters when PaymentID equals 71 and PaymentMeansCode = '93'"),
        ("OIOUBL-BIL-081", means.format("93"), "cbc:PaymentID = '75' and string-length(cbc:InstructionID) != 16",
         "InstructionID must equal 16 characters when PaymentID equals 75 and PaymentMeansCode = '93'"),
        ("OIOUBL-BIL-084", means.format("93"), "string-length(cac:CreditAccount/cbc:AccountID) != 8",
         "CreditAccount/AccountID must be 8 characters when PaymentMeansCode = '93'"),
        ("OIOUBL-BIL-089", means.format("97"), "cac:PayeeFinancialAccount",
         "PayeeFinancialAccount is not allowed when PaymentMeansCode = '97'"),
        ("OIOUBL-BIL-105", "cac:{line}/{quantity}", "not(. != 0)", "InvoicedQuantity/CreditedQuantity must not be 0"),
        ("OIOUBL-BIL-107" if invoice else "OIOUBL-BIL-108", ".", _ids_repeat,
         f"The ID of each {root}Line must be unique"),
        ("OIOUBL-BIL-130", ".", "cac:{line}/cac:OrderLineReference and not(cac:OrderReference)",
         "Invoice/OrderReference is mandatory when OrderLineReference class is present"),
        ("OIOUBL-BIL-131", "cac:{line}", "not(cac:TaxTotal)", "One or more TaxTotal classes must be present on line level"),
        ("OIOUBL-BIL-100", f"{_CUSTOMER}/cac:PartyLegalEntity/cbc:CompanyID", "@schemeID = '0237'",
         "The element 'CompanyID' must not use schemeID='0237' under 'AccountingCustomerParty'"),
        ("OIOUBL-COMMON-001", ids, f"@schemeID = '0184' and {_digits('.', 8)}",
         "The DK:CVR (0184) must be stated in the correct format (8 digits)"),
        ("OIOUBL-COMMON-003", ids, f"@schemeID = '0096' and {_digits('.', 10)}",
         "The DK:P (0096) value must be stated in the correct format (10 digits)"),
        ("OIOUBL-COMMON-004", ids, f"@schemeID = '0198' and {_digits('.', 8, 'DK')}",
         "The DK:SE (0198) value must be stated in the correct format (DK followed by 8 digits)"),
        ("OIOUBL-COMMON-013", ids, f"@schemeID = '0237' and {_digits('.', 10)}",
         "The DK:CPR (0237)value must be stated in the correct format (10 digits)"),
        ("OIOUBL-COMMON-102", ids, f"@schemeID = '0237' and not(/*/cbc:ProfileID = '{private}')",
         "SchemaID = '0237' is only allowed when ProfileID='urn:fdc:oioubl.dk:bis:billing_private_without_response:3'"),
        ("OIOUBL-COMMON-106", f"{_SUPPLIER} | {_CUSTOMER}", _blank("cac:PartyName/cbc:Name"),
         "cac:Party/cac:PartyName/cbc:Name must be present."),
        ("OIOUBL-COMMON-108", f"{_SUPPLIER} | {_CUSTOMER}", _blank("cac:PartyLegalEntity/cbc:CompanyID"),
         "cac:Party/cac:PartyLegalEntity/cbc:CompanyID must be present."),
        ("OIOUBL-COMMON-109", _SUPPLIER,
         f"{_blank(tax_scheme)} and /*/cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID != 'O'",
         "cac:PartyTaxScheme/cbc:CompanyID must be present when cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID differ from "
         "'O'."),
        ("OIOUBL-COMMON-111", "//cac:Party/cbc:EndpointID", _blank("@schemeID"),
         "cac:Party/cbc:EndpointID must have a @schemeID attribute."),
        ("OIOUBL-COMMON-113", "//cac:Party/cac:PartyLegalEntity/cbc:CompanyID", _blank("@schemeID"),
         "cac:Party/cac:PartyLegalEntity/cbc:CompanyID must have a @schemeID attribute."),
        ("OIOUBL-COMMON-125", "//cbc:ID[not(parent::cac:PartyIdentification)]", _looks_like_cpr,
         "ID must not be a CPR number (must not have format XXXXXXXXXX or XXXXXX-XXXX)"),
        ("OIOUBL-COMMON-128", "//cac:Attachment", "cbc:EmbeddedDocumentBinaryObject and cac:ExternalReference",
         "Must not have both embedded document and external reference."),
        ("OIOUBL-COMMON-129", "//cbc:EmbeddedDocumentBinaryObject", _blank("@filename"),
         "EmbeddedDocumentBinaryObject must have filename attribute"),
        ("OIOUBL-COMMON-130", "//cbc:EmbeddedDocumentBinaryObject", outside("@mimeCode", MIME_TYPES),
         "Attribute mimeCode must be a value from the code list"),
    ]  # fmt: skip
    return [Rule(rule, root, context, broken, text) for rule, context, broken, text in rules]


PEPPOL = tuple(rule for root in QUANTITIES for rule in (*_common(root), *_peppol(root)))
OIOUBL_3 = tuple(rule for root in QUANTITIES for rule in (*_common(root), *_oioubl3(root)))
COMPILED_PEPPOL, COMPILED_OIOUBL_3 = compiled(PEPPOL), compiled(OIOUBL_3)
