"""What XPath alone does not say of an OIOUBL document: sums, products and code lists, for `oioubl_rules`.

Each function is given one element and tells whether the rule named where it is used is broken there. The formulas are
those of the official Schematron 1.17.2, computed with decimals, never with floats. Where an amount is missing or no
number the arithmetic is silent, for a rule of its own speaks of that.
"""
from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from math import floor

from lxml import etree

from settlement.documents import oioubl_codelists as codes

PREFIXES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
QUANTITIES = {"Invoice": "cbc:InvoicedQuantity", "CreditNote": "cbc:CreditedQuantity"}

# --- reading values -----------------------------------------------------------------------------------------------


def elements(node: etree._Element, path: str) -> list[etree._Element]:
    return node.findall(path, PREFIXES)


def value_of(node: etree._Element, path: str) -> str:
    """Text of the first match, '' where there is none."""
    match = node.find(path, PREFIXES)
    return "" if match is None else match.text or ""


def decimal(text: str | None) -> Decimal | None:
    try:
        number = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def number_of(node: etree._Element, path: str) -> Decimal | None:
    """The first match as a number, None where it is missing or no number."""
    return decimal(value_of(node, path))


def sum_of(node: etree._Element, *paths: str) -> Decimal | None:
    """Sum of all matches (0 for none), None where one of them is no number: its own rule speaks of that."""
    numbers = [decimal(match.text) for path in paths for match in elements(node, path)]
    return None if None in numbers else sum(numbers, Decimal(0))


def _cents(number: Decimal) -> Decimal:
    return number.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def outside(path: str, allowed: frozenset[str]) -> Callable[[etree._Element], bool]:
    """Broken where the value at `path` ('@x', 'element', 'element/@x' or '.') is none of `allowed`."""
    xpath = etree.XPath(f"string({path})", namespaces=PREFIXES)
    return lambda node: xpath(node) not in allowed


def outside_list(path: str, lists: dict[str, frozenset[str]], attribute: str, list_id: str) -> Callable[..., bool]:
    """Broken where the value names the code list `list_id` and is not in it."""

    def broken(node: etree._Element) -> bool:
        match = node if path == "." else node.find(path, PREFIXES)
        return match is not None and match.get(attribute) == list_id and (match.text or "") not in lists[list_id]

    return broken


# --- arithmetic ---------------------------------------------------------------------------------------------------


def _differs(*terms: Decimal | None) -> bool:
    """Whether the first term and the sum of the others differ at 2 decimals; False where a term is no number."""
    return None not in terms and _cents(terms[0]) != _cents(sum(terms[1:], Decimal(0)))


def _vat(total: etree._Element) -> Decimal | None:
    return sum_of(total.getparent(), "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount")


def lines_differ(total: etree._Element) -> bool:
    root = total.getparent()
    is_invoice = etree.QName(root).localname == "Invoice"
    lines = [
        line
        for line in elements(root, "cac:InvoiceLine" if is_invoice else "cac:CreditNoteLine")
        if not is_invoice or value_of(line, "cbc:FreeOfChargeIndicator") in ("", "false")
    ]
    amounts = [decimal(match.text) for line in lines for match in elements(line, "cbc:LineExtensionAmount")]
    stated = number_of(total, "cbc:LineExtensionAmount")
    return stated is not None and None not in amounts and abs(stated - sum(amounts, Decimal(0))) > Decimal("0.0055")


def _computed_total(total: etree._Element) -> Decimal | None:
    """Lines + VAT + charges − allowances + rounding, as the official rules compute it."""
    parts = [
        sum_of(total, "cbc:LineExtensionAmount", "cbc:ChargeTotalAmount", "cbc:PayableRoundingAmount"),
        _vat(total),
        sum_of(total, "cbc:AllowanceTotalAmount"),
    ]
    return None if None in parts else parts[0] + parts[1] - parts[2]


def inclusive_differs(total: etree._Element) -> bool:
    return bool(elements(total, "cbc:TaxInclusiveAmount")) and _differs(
        number_of(total, "cbc:TaxInclusiveAmount"), _computed_total(total)
    )


def payable_differs(total: etree._Element) -> bool:
    prepaid, computed = sum_of(total, "cbc:PrepaidAmount"), _computed_total(total)
    return None not in (prepaid, computed) and _differs(sum_of(total, "cbc:PayableAmount"), computed - prepaid)


def terms_differ(total: etree._Element) -> bool:
    terms, payable = elements(total.getparent(), "cac:PaymentTerms"), number_of(total, "cbc:PayableAmount")
    if not terms or payable is None:
        return False
    first, together = number_of(terms[0], "cbc:Amount"), sum_of(total.getparent(), "cac:PaymentTerms/cbc:Amount")
    return all(amount is None or _cents(amount) != _cents(payable) for amount in (first, together))


def total_differs(name: str, paths: str) -> Callable[[etree._Element], bool]:
    """Broken where the total `name` is present and is not the sum over `paths` of the document."""

    def broken(total: etree._Element) -> bool:
        return bool(elements(total, name)) and _differs(number_of(total, name), sum_of(total.getparent(), paths))

    return broken


def rounding_differs(total: etree._Element) -> bool:
    return bool(elements(total.getparent(), "cac:TaxTotal/cbc:RoundingAmount")) and total_differs(
        "cbc:PayableRoundingAmount", "cac:TaxTotal/cbc:RoundingAmount"
    )(total)


def rounding_too_big(total: etree._Element) -> bool:
    rounding = number_of(total, "cbc:PayableRoundingAmount")
    return rounding is not None and abs(rounding) > 10


def line_differs(units: str) -> Callable[[etree._Element], bool]:
    """Broken where price × quantity is more than 1.00 off the line's amount. The official set has one rule for each
    relation of the unit codes of quantity and base quantity: 'equal', 'different', 'neither' given."""

    def broken(line: etree._Element) -> bool:
        root = etree.QName(line.getparent()).localname
        quantity, base = line.find(QUANTITIES[root], PREFIXES), line.find("cac:Price/cbc:BaseQuantity", PREFIXES)
        codes_found = [match.get("unitCode") for match in (quantity, base) if match is not None]
        known = [code for code in codes_found if code is not None]
        relation = "neither" if len(known) < 2 else "equal" if known[0] == known[1] else "different"
        if relation != units or value_of(line, "cbc:FreeOfChargeIndicator") not in ("", "false"):
            return False
        if elements(line.getparent(), "cac:PricingExchangeRate"):
            return False  # other rules, for documents in a foreign price currency
        if relation == "different":
            divisor, factor = Decimal(1), number_of(line, "cac:Price/cbc:OrderableUnitFactorRate")
        else:
            no_base = "1" if root == "Invoice" else ""  # a credit note without base quantity is not computed
            divisor, factor = decimal(no_base if base is None else base.text), Decimal(1)
        amount, price = number_of(line, "cbc:LineExtensionAmount"), number_of(line, "cac:Price/cbc:PriceAmount")
        count = decimal(quantity.text) if quantity is not None else None
        if None in (amount, price, count, factor, divisor) or divisor == 0:
            return False
        return abs(_cents(amount) - price * count * factor / divisor) > 1

    return broken


def tax_total_differs(tax_total: etree._Element) -> bool:
    if not elements(tax_total, "cac:TaxSubtotal"):
        return False
    stated, together = number_of(tax_total, "cbc:TaxAmount"), sum_of(tax_total, "cac:TaxSubtotal/cbc:TaxAmount")
    return stated is None or together is None or stated != round_up(together)


def round_up(number: Decimal) -> Decimal:
    """XPath's round to 2 decimals: half goes up, also below zero."""
    return Decimal(floor(number * 100 + Decimal("0.5"))) / 100


def vat_forgotten(subtotal: etree._Element) -> bool:
    taxable, percent = number_of(subtotal, "cbc:TaxableAmount"), number_of(subtotal, "cac:TaxCategory/cbc:Percent")
    if value_of(subtotal, "cac:TaxCategory/cbc:ID") != "StandardRated" or None in (taxable, percent):
        return False
    return taxable > 0 and number_of(subtotal, "cbc:TaxAmount") == 0 and taxable * percent / 100 >= Decimal("0.005")


def percent_missing(category: etree._Element) -> bool:
    percent = value_of(category, "cbc:Percent")
    return value_of(category, "cbc:ID") == "StandardRated" and (not percent or decimal(percent) == 0)


def zero_rated_with_vat(category: etree._Element) -> bool:
    if value_of(category, "cbc:ID") != "ZeroRated":
        return False
    percent_is_zero = not elements(category, "cbc:Percent") or number_of(category, "cbc:Percent") == 0
    return number_of(category.getparent(), "cbc:TaxAmount") != 0 or not percent_is_zero


def vat_miscalculated(category: etree._Element) -> bool:
    if value_of(category, "cbc:ID") != "StandardRated":
        return False
    subtotal, percent = category.getparent(), number_of(category, "cbc:Percent")
    taxable, tax = number_of(subtotal, "cbc:TaxableAmount"), number_of(subtotal, "cbc:TaxAmount")
    if None in (percent, taxable, tax):
        return True
    if percent == 0:
        return tax != 0
    return percent < 0 or abs(tax - round_up(taxable * percent / 100)) > 1


def taxable_differs(subtotal: etree._Element) -> bool:
    category_id = value_of(subtotal, "cac:TaxCategory/cbc:ID")
    if category_id not in ("StandardRated", "ZeroRated", "ReverseCharge"):
        return False

    def key(node: etree._Element, taxable: str = "cbc:TaxableAmount") -> tuple[str, str, str | None]:
        amount = node.find(taxable, PREFIXES)
        currency = None if amount is None else amount.get("currencyID")
        return value_of(node, "cac:TaxCategory/cbc:ID"), value_of(node, "cac:TaxCategory/cac:TaxScheme/cbc:ID"), currency

    root = subtotal.getparent().getparent()
    wanted = key(subtotal)
    line_subtotals = [
        candidate
        for name in ("cac:InvoiceLine", "cac:CreditNoteLine")
        for candidate in elements(root, f"{name}/cac:TaxTotal/cac:TaxSubtotal")
        if key(candidate) == wanted
    ]
    if not line_subtotals:
        return False
    signs = {"true": 1, "1": 1, "false": -1, "0": -1}
    parts = [number_of(candidate, "cbc:TaxableAmount") for candidate in line_subtotals]
    for charge in elements(root, "cac:AllowanceCharge"):
        if key(charge, taxable="cbc:Amount") == wanted:
            amount = number_of(charge, "cbc:Amount")
            sign = signs.get(value_of(charge, "cbc:ChargeIndicator"), 0)
            parts.append(None if amount is None else sign * amount)
    stated = number_of(subtotal, "cbc:TaxableAmount")
    return stated is None or None in parts or abs(stated - sum(parts, Decimal(0))) > 1


def categories_differ(root: etree._Element) -> bool:
    def categories(*paths: str) -> set[str]:
        return {match.text for path in paths for match in elements(root, path)} & codes.VAT_CATEGORIES

    subtotal = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID"
    below = categories(
        f"cac:InvoiceLine/{subtotal}", f"cac:CreditNoteLine/{subtotal}", "cac:AllowanceCharge/cac:TaxCategory/cbc:ID"
    )
    return below != categories(subtotal)


def unknown_category(category: etree._Element) -> bool:
    match = category.find("cbc:ID", PREFIXES)
    allowed = None if match is None else codes.TAX_CATEGORIES.get(match.get("schemeID", ""))
    return allowed is not None and (match.text or "") not in allowed and not (match.text or "").isdigit()


def unknown_currency(node: etree._Element) -> bool:
    return etree.QName(node).localname.endswith("Amount") and node.get("currencyID") not in codes.CURRENCIES


def order_missing(root: etree._Element) -> bool:
    return value_of(root, "cbc:ProfileID") in codes.PROFILES_WITH_ORDER and not elements(root, "cac:OrderReference")
