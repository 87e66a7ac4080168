"""Official OIOUBL 2 rules (Schematron 1.17.2) on what suppliers write and we do not: every way of payment, addresses of
delivery, exchange rates and attachments. Own implementation, beside `oioubl_rules`; warnings (W-) included.
"""

from __future__ import annotations

from settlement.documents import oioubl_codelists as codes
from settlement.documents.oioubl_arithmetic import outside
from settlement.documents.oioubl_rules import Rule, compiled

_PAYEE, _PAYER = "cac:PayeeFinancialAccount", "cac:PayerFinancialAccount"
_BRANCH = "cac:FinancialInstitutionBranch"
_CHANNEL, _PAYMENT = "cbc:PaymentChannelCode", "cbc:PaymentID"
_IBAN, _BANK, _ZZZ = (f"{_CHANNEL} = '{channel}'" for channel in ("IBAN", "DK:BANK", "ZZZ"))
_LIST = f"{_CHANNEL}/@listID = 'urn:oioubl:codelist:paymentchannelcode-1.1'"
_INVALID_LIST = "Invalid listID. Must be 'urn:oioubl:codelist:paymentchannelcode-1.1'"
_NOTE = "PaymentNote must be no more than 20 characters"
_REGISTER = "FinancialInstitutionBranch/ID (Registreringsnummer)"
_NOT_USED = f"{_REGISTER} element is not used, when PaymentChannelCode equals IBAN"


def _one_of(element: str, *values: str) -> str:
    return "(" + " or ".join(f"{element} = '{value}'" for value in values) + ")"


def _no_digits(element: str) -> str:
    return f"translate({element}, '0123456789', '') != ''"


def _longer(element: str, length: int) -> str:
    return f"string-length({element}) > {length}"


# Payment means → (rule, what breaks it, official text after «PaymentMeansCode = NN, »). Means 42 and 97 are in oioubl_rules.
_MEANS: dict[str, list[tuple[str, str, str]]] = {
    "31": [
        ("F-LIB103", "cbc:InstructionNote", "InstructionNote element not allowed"),
        ("F-LIB106", f"not({_LIST})", _INVALID_LIST),
        ("F-LIB107", f"not({_PAYEE}/cbc:ID)", "ID element is mandatory"),
        ("F-LIB109", f"not({_IBAN} or {_ZZZ})", "PaymentChannelCode must equal IBAN or ZZZ"),
        ("F-LIB110", _longer(f"{_PAYER}/cbc:PaymentNote", 20), _NOTE),
        ("F-LIB111", _longer(f"{_PAYEE}/cbc:PaymentNote", 20), _NOTE),
        ("F-LIB112", _longer("cac:CreditAccount/cbc:AccountID", 8), "AccountID must be no more than 8 characters"),
        ("F-LIB108", f"{_IBAN} and {_PAYEE}/{_BRANCH}/cbc:ID", _NOT_USED),
        ("F-LIB113", f"{_IBAN} and not({_PAYEE}/{_BRANCH}/cac:FinancialInstitution/cbc:ID)", "ID element is mandatory"),
        ("F-LIB114", f"{_IBAN} and {_longer(f'{_PAYEE}/cbc:ID', 34)}", "Account ID must be no more than 34 characters"),
        ("F-LIB115", f"{_IBAN} and string-length({_PAYEE}/cbc:ID) < 1", "Account ID must must not be empty."),
        ("F-LIB276", f"{_ZZZ} and not({_PAYEE}/{_BRANCH}/cbc:ID)",
         f"{_REGISTER} element is mandatory, when PaymentChannelCode equals ZZZ"),
        ("F-LIB116", f"{_ZZZ} and not({_PAYEE}/{_BRANCH}/cbc:Name)", "FinancialInstitutionBranch/Name element is mandatory"),
        ("F-LIB117", f"{_ZZZ} and not({_PAYEE}/{_BRANCH}/cac:Address)",
         "FinancialInstitutionBranch/Address class is mandatory"),
    ],
    "49": [
        ("F-LIB135", "cbc:InstructionNote", "InstructionNote element not allowed"),
        ("F-LIB137", "cac:CreditAccount", "CreditAccount class not allowed"),
        ("F-LIB134", f"{_CHANNEL} and cbc:InstructionID", "Use either PaymentChannelCode or InstructionID element"),
        ("F-LIB288", _longer(f"{_PAYER}/cbc:PaymentNote", 20), _NOTE),
        ("F-LIB289", f"{_CHANNEL} and not({_IBAN} or {_BANK})", "If present, PaymentChannelCode must equal IBAN or DK:BANK"),
        ("F-LIB140", _longer("cbc:InstructionID", 60), "InstructionID must be no more than 60 characters"),
        ("F-LIB290", f"{_BANK} and string-length({_PAYER}/cbc:ID) != 10", "For DK:BANK, Account ID must be 10 characters"),
        ("F-LIB291", f"{_BANK} and string-length({_PAYER}/{_BRANCH}/cbc:ID) != 4",
         f"For DK:BANK, {_REGISTER} must be 4 numerical characters"),
        ("F-LIB292", f"{_IBAN} and {_longer(f'{_PAYER}/cbc:ID', 34)}",
         "For IBAN, Account ID must be no more than 34 characters"),
        ("F-LIB293", f"{_IBAN} and string-length({_PAYER}/cbc:ID) < 18", "For IBAN, Account ID must be at least 18 characters"),
        ("F-LIB294", f"{_IBAN} and {_PAYER}/{_BRANCH}/cbc:ID", _NOT_USED),
        ("F-LIB295", f"{_IBAN} and not({_PAYER}/{_BRANCH}/cac:FinancialInstitution/cbc:ID)",
         "For IBAN, ID element is mandatory"),
    ],
    "50": [
        ("F-LIB142", "cac:CreditAccount", "CreditAccount class not allowed"),
        ("F-LIB144", f"not({_PAYMENT})", "PaymentID element is mandatory"),
        ("F-LIB319", f"not({_PAYEE})", "PayeeFinancialAccount class is mandatory."),
        ("F-LIB320", f"not({_PAYEE}/cbc:ID)", "PayeeFinancialAccount.ID element is mandatory."),
        ("F-LIB145", f"{_one_of(_PAYMENT, '04', '15')} and not(cbc:InstructionID)",
         "InstructionID is mandatory when PaymentID equals 04 or 15"),
        ("F-LIB146", f"{_CHANNEL} != 'DK:GIRO'", "PaymentChannelCode must equal DK:GIRO"),
        ("F-LIB143", f"{_CHANNEL} and not({_LIST})", _INVALID_LIST),
        ("F-LIB147", f"not({_one_of(_PAYMENT, '01', '04', '15')})", "PaymentID must equal 01, 04 or 15"),
        ("F-LIB148", f"cbc:InstructionNote and not({_PAYMENT} = '01')", "InstructionNote only allowed if PaymentID equals 01"),
        ("F-LIB149", _longer("cbc:InstructionID", 16), "InstructionID must be no more than 16 characters"),
        ("F-LIB312", f"{_one_of(_PAYMENT, '04', '15')} and cbc:InstructionID = ''",
         "when PaymentID = '04' or '15', InstructionID must not be blank."),
        ("F-LIB390", f"{_one_of(_PAYMENT, '04', '15')} and {_no_digits('cbc:InstructionID')}",
         "when PaymentID = '04' or '15', InstructionID must be numeric."),
        ("F-LIB321", f"string-length({_PAYEE}/cbc:ID) < 7 or {_longer(f'{_PAYEE}/cbc:ID', 8)} or {_no_digits(f'{_PAYEE}/cbc:ID')}",
         "PayeeFinancialAccount.ID must consist of 7 or 8 numerical characters."),
    ],
    "58": [
        ("F-LIB377", f"normalize-space({_PAYEE}/cbc:ID) = ''", "PayeeFinancialAccount.ID must be used"),
        ("F-LIB379", f"{_CHANNEL} and not({_IBAN})", "when PaymentChannelCode is used it must be 'IBAN'."),
    ],
    "59": [("F-LIB380", f"{_CHANNEL} and not({_IBAN})", "when PaymentChannelCode is used it must be 'IBAN'.")],
    "93": [
        ("F-LIB152", f"not({_PAYMENT})", "PaymentID element is mandatory"),
        ("F-LIB153", f"{_one_of(_PAYMENT, '71', '75')} and not(cbc:InstructionID)",
         "InstructionID is mandatory when PaymentID equals 71 or 75"),
        ("F-LIB277", f"{_CHANNEL} != 'DK:FIK'", "PaymentChannelCode must equal DK:FIK"),
        ("F-LIB278", f"{_CHANNEL} and not({_LIST})", _INVALID_LIST),
        ("F-LIB154", f"cbc:InstructionNote and not({_one_of(_PAYMENT, '73', '75')})",
         "InstructionNote only allowed if PaymentID equals 73 or 75"),
        ("F-LIB155", f"not({_one_of(_PAYMENT, '71', '73', '75')})", "PaymentID must equal 71, 73 or 75"),
        ("F-LIB156", f"{_PAYMENT} = '71' and string-length(cbc:InstructionID) != 15",
         "InstructionID must be equal to 15 characters (when PaymentID equals 71)"),
        ("F-LIB157", f"{_PAYMENT} = '75' and string-length(cbc:InstructionID) != 16",
         "InstructionID must be equal to 16 characters (when PaymentID equals 75)"),
        ("F-LIB336", f"{_one_of(_PAYMENT, '71', '75')} and {_no_digits('cbc:InstructionID')}",
         "InstructionID must be a numeric value when PaymentID equals 71 or 75."),
        ("F-LIB275", f"cbc:InstructionID and not({_one_of(_PAYMENT, '71', '75')})",
         "InstructionID only allowed if PaymentID equals 71 or 75"),
        ("F-LIB305", "string-length(cac:CreditAccount/cbc:AccountID) != 8", "AccountID must be 8 characters"),
    ],
}  # fmt: skip
_CARD_EXCLUDES = (
    ("F-LIB365", "cbc:PaymentChannelCode"), ("F-LIB366", "cbc:InstructionID"), ("F-LIB367", "cbc:InstructionNote"),
    ("F-LIB368", "cac:PayerFinancialAccount"), ("F-LIB369", "cac:PayeeFinancialAccount"), ("F-LIB370", "cac:CreditAccount"),
    ("F-LIB343", "cac:CardAccount/cbc:CardTypeCode"), ("F-LIB344", "cac:CardAccount/cbc:ValidityStartDate"),
    ("F-LIB345", "cac:CardAccount/cbc:ExpiryDate"), ("F-LIB346", "cac:CardAccount/cbc:IssuerID"),
    ("F-LIB347", "cac:CardAccount/cbc:IssueNumberID"), ("F-LIB348", "cac:CardAccount/cbc:CV2ID"),
    ("F-LIB349", "cac:CardAccount/cbc:CardChipCode"), ("F-LIB350", "cac:CardAccount/cbc:ChipApplicationID"),
)  # fmt: skip
# F-LIB285. Nothing else is opened either: `incoming` shows only attachments of these types.
MIME_TYPES = frozenset((
    "application/pdf", "image/png", "image/jpeg", "image/gif", "image/tiff", "text/xml", "text/csv",
    "application/vnd.ms-excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.oasis.opendocument.spreadsheet",
))  # fmt: skip


def _rules(root: str, warning: str) -> list[Rule]:
    line = f"cac:{root}Line"
    countries = (
        "//cac:Country[not(parent::cac:PostalAddress/parent::cac:Party[parent::cac:AccountingSupplierParty or "
        "parent::cac:AccountingCustomerParty])]/cbc:IdentificationCode"  # those are judged in oioubl_rules
    )
    attachment = "//cac:Attachment"
    rate = "../cac:PricingExchangeRate"
    told = {code: f"PaymentMeansCode = {code}, " for code in _MEANS}
    return [
        Rule("F-LIB301", root, countries, outside(".", codes.COUNTRIES),
             "Invalid Country/IdentificationCode. Must be a value from the codelist"),
        Rule("F-LIB310", root, "//cbc:MathematicOperatorCode", "not(. = 'multiply' or . = 'divide')",
             "Invalid MathematicOperatorCode. Must either be 'multiply' or 'divide'"),
        *(Rule(rule, root, f"cac:PaymentMeans[cbc:PaymentMeansCode = '{code}']", broken, told[code] + text)
          for code, rules in _MEANS.items() for rule, broken, text in rules),
        Rule("F-LIB342", root, "cac:PaymentMeans[cbc:PaymentMeansCode = '48']", "not(cac:CardAccount)",
             "When PaymentMeansCode is '48', the CardAccount class must be used"),
        *(Rule(rule, root, "cac:PaymentMeans[cbc:PaymentMeansCode = '48']", excluded,
               f"When PaymentMeansCode is '48', {excluded.replace('cac:', '').replace('cbc:', '')} class must be excluded")
          for rule, excluded in _CARD_EXCLUDES),
        Rule("W-LIB241", root, ".", "count(cac:PaymentMeans) > 1 and cac:PaymentMeans[not(cbc:ID != '')]",
             "PaymentMeans/ID should be used when more than one instance of the PaymentMeans class is present."),
        Rule("W-LIB245", root, ".", "count(cac:PaymentTerms) > 1 and cac:PaymentTerms[not(cbc:ID != '')]",
             "ID should be used when more than one instance of the PaymentTerms class is present"),
        Rule(warning, root, f"{line}[{rate}]", f"not({rate}/cbc:CalculationRate and {rate}/cbc:MathematicOperatorCode)",
             f"{root} line cannot be evaluated since either 'cbc:CalculationRate', 'cbc:MathematicOperatorCode' or both are not "
             f"present in '{root}/cac:PricingExchangeRate'"),
        Rule("F-LIB284", root, attachment, "cbc:EmbeddedDocumentBinaryObject and cac:ExternalReference",
             "Use either EmbeddedDocumentBinaryObject or ExternalReference"),
        Rule("F-LIB285", root, f"{attachment}/cbc:EmbeddedDocumentBinaryObject", outside("@mimeCode", MIME_TYPES),
             "Attribute mimeCode must be a value from the codelist"),
        Rule("F-LIB286", root, f"{attachment}/cac:ExternalReference", "not(cbc:URI != '')",
             "When using ExternalReference, URI is mandatory"),
    ]  # fmt: skip


RULES = (*_rules("Invoice", "W-INV323"), *_rules("CreditNote", "W-CRN154"))
COMPILED = compiled(RULES)
