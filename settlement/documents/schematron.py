"""The official Schematron, where a municipality has it: compiled stylesheets (XSLT 2) run by Saxon, their report as violations.

The folder that `[fakturabetaling] schematron` names holds the files as they are published; the platform ships none of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from lxml import etree

from settlement.documents.oioubl_rules import Violation
from settlement.faults import StateFault

# By format and root: the stylesheets that judge such a document, as they are named where they are published, without ending.
STYLESHEETS = {
    ("oioubl-2", "Invoice"): ("OIOUBL_Invoice_Schematron",),
    ("oioubl-2", "CreditNote"): ("OIOUBL_CreditNote_Schematron",),
    ("oioubl-3", "Invoice"): ("OIOUBL-Invoice",),
    ("oioubl-3", "CreditNote"): ("OIOUBL-Creditnote",),
    ("peppol-bis3", "Invoice"): ("CEN-EN16931-UBL", "PEPPOL-EN16931-UBL"),
    ("peppol-bis3", "CreditNote"): ("CEN-EN16931-UBL", "PEPPOL-EN16931-UBL"),
}
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_ID = re.compile(r"\s*\[([A-Z][A-Za-z0-9-]+)\][\s-]*")  # OIOUBL 2 and EN 16931 write the rule's id at the head of its text


def judge(content: bytes, form: str, root: str, folder: Path) -> list[tuple[Violation, bool]]:
    """Each violation the official stylesheets report, and whether it is only a warning.

    `content` must have been read by `safe_xml`. Raises StateFault where Saxon or a stylesheet is missing or fails.
    """
    found = []
    for name in STYLESHEETS[form, root]:
        found += _violations(_report(content, _path(folder, name)))
    return found


def _path(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise StateFault(f"Mappen med Schematron, {folder}, findes ikke. Ret 'schematron' under [fakturabetaling].")
    wanted = {f"{name}.xslt".lower(), f"{name}.xsl".lower()}
    paths = sorted(path for path in folder.rglob("*.xsl*") if path.name.lower() in wanted)
    if len(paths) != 1:
        amount = "mangler" if not paths else "står flere gange"
        raise StateFault(f"Schematron: {name}.xslt {amount} i {folder}. Læg netop én udgave dér.")
    return paths[0]


@lru_cache(maxsize=1)
def _processor():
    try:
        from saxonche import PySaxonProcessor
    except ImportError:
        raise StateFault(
            "Schematron er slået til, men Saxon mangler. Installér afregning[schematron], eller tøm 'schematron'."
        ) from None
    processor = PySaxonProcessor(license=False)
    # Saxon 13 cannot optimise the stylesheets of OIOUBL 2 («Bad parent pointer in expression tree»).
    processor.set_configuration_property("http://saxon.sf.net/feature/optimizationLevel", "0")
    return processor


@lru_cache(maxsize=16)
def _compiled(path: Path, changed: int):
    """A stylesheet made ready; kept by its time, so that a new edition is read."""
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(path))


def _report(content: bytes, path: Path) -> etree._Element:
    processor = _processor()
    from saxonche import PySaxonApiError

    try:
        stylesheet = _compiled(path, path.stat().st_mtime_ns)
        document = processor.parse_xml(xml_text=content.decode("utf-8-sig"))
        report = stylesheet.transform_to_string(xdm_node=document)
    except PySaxonApiError as broken:
        raise StateFault(f"Schematron: {path.name} kan ikke køres ({type(broken).__name__}). Hent filen igen.") from broken
    return etree.fromstring(report.encode(), etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))


def _violations(report: etree._Element) -> list[tuple[Violation, bool]]:
    found = []
    for told in report.iter(f"{_SVRL}failed-assert", f"{_SVRL}successful-report"):
        text = " ".join("".join(told.find(f"{_SVRL}text").itertext()).split())
        at_head = _ID.match(text)
        rule = told.get("id") or (at_head[1] if at_head else "SCHEMATRON")
        is_warning = told.get("flag", told.get("role", "fatal")) == "warning" or rule.startswith("W-")
        message = text[at_head.end() :] if at_head else text
        found.append((Violation(rule, message, told.get("location", "/")), is_warning))
    return found
