"""The verdict on received e-invoices: equal to the official one on every public example, and joined by the official kind of
Schematron, run by the real Saxon.
"""

from __future__ import annotations

import csv
import os
import sys

import pytest
from incoming_example import SAMPLES, changed, document, needs_samples, samples

from orchestration.cli import main
from settlement.documents import schematron
from settlement.documents.incoming_verdict import UNKNOWN, XSD, broken_rules, edition, verdict
from settlement.faults import StateFault


@needs_samples
def test_verdicts_equal_the_official_ones():
    with (SAMPLES / "oioubl-expected.csv").open() as listed:
        expected = list(csv.DictReader(listed, delimiter=";"))
    assert len(expected) == 26
    for row in expected:
        found = verdict((SAMPLES / row["file"]).read_bytes())
        judged = "valid" if found.is_valid else "invalid"
        told = [found.rule_set, judged, " ".join(found.fatal_rules), " ".join(found.warning_rules)]
        assert told == [row["rule_set"], row["result"], row["fatal_rules"], row["warning_rules"]], row["file"]


@needs_samples
def test_the_public_peppol_examples_are_valid():
    for path in samples("peppol-bis3"):
        found = verdict(path.read_bytes())
        assert (found.rule_set, found.findings) == ("Peppol BIS Billing 3", ()), path.name


@pytest.mark.parametrize("kind", ["Invoice", "CreditNote"])
@pytest.mark.parametrize("standard", ["peppol", "oioubl3"])
def test_the_good_documents_are_valid(kind, standard):
    assert verdict(document(kind, standard).encode()).findings == ()


def test_a_negative_invoice_is_an_invoice():
    text = document()
    for number in ("7", "3", "1400.00", "300.00", "1425.00", "356.25", "25.00", "1700.00", "1725.00", "2081.25"):
        text = text.replace(f">{number}<", f">-{number}<")
    assert verdict(changed(text, (">2056.25<", ">-2056.25<")).encode()).findings == ()


def test_a_document_that_breaks_the_schema_is_told_so_without_its_content():
    text = changed(document(), ("2026-03-30", "Hans Hansen"), (">25.00</cbc:PrepaidAmount>", ">0101701234x</cbc:PrepaidAmount>"))
    found = verdict(text.encode())
    assert (found.is_valid, found.fatal_rules) == (False, (XSD,))
    said = " ".join(violation.message for violation in found.findings)
    assert "DueDate" in said and "Hansen" not in said and "0101701234" not in said and "urn:" not in said
    assert verdict(changed(document(), ("<cbc:ID>F1</cbc:ID>", "")).encode()).fatal_rules == (XSD,)


def test_a_warning_alone_makes_no_document_invalid():
    version = '<cac:CommodityClassification><cbc:ItemClassificationCode listID="TST">1</cbc:ItemClassificationCode></cac:'
    item = ("<cac:ClassifiedTaxCategory>", f"{version}CommodityClassification><cac:ClassifiedTaxCategory>")
    found = verdict(changed(document(), item).encode())
    assert (found.is_valid, found.fatal_rules, found.warning_rules) == (True, (), ("DK-R-003",))


@pytest.mark.parametrize("content", [b"<Reminder/>", b"no XML", changed(document(), ("poacc:billing:3.0", "poacc")).encode()])
def test_what_cannot_be_judged_breaks_the_standard_itself(content):
    assert broken_rules(content) == (UNKNOWN,)
    assert broken_rules(changed(document(), (">1700.00<", ">1700.01<")).encode()) == ("BR-CO-10", "BR-CO-13")
    assert broken_rules(document().encode()) == ()


# --- the official kind of Schematron --------------------------------------------------------------------------------

STYLESHEET = """<xsl:stylesheet version="2.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:svrl="http://purl.oclc.org/dsdl/svrl" xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
  <xsl:template match="/"><svrl:schematron-output>
    <xsl:if test="not(matches(/*/cbc:ID, '^F[0-9]+$'))">
      <svrl:failed-assert id="OURS-001" flag="fatal" location="/*/cbc:ID">
        <svrl:text>Number {NUMBER} is odd</svrl:text></svrl:failed-assert>
    </xsl:if>
    <xsl:if test="/*/cbc:DueDate"><svrl:failed-assert id="OURS-002" flag="warning" location="/*">
      <svrl:text>Due dates are unusual</svrl:text></svrl:failed-assert></xsl:if>
    <xsl:if test="/*/cbc:BuyerReference = 'X'"><svrl:successful-report location="/*"><svrl:text>[F-LIB999] As OIOUBL 2 tells
      it</svrl:text></svrl:successful-report></xsl:if>
  </svrl:schematron-output></xsl:template>
</xsl:stylesheet>""".replace("{NUMBER}", '<xsl:value-of select="/*/cbc:ID"/>')


@pytest.fixture
def official(tmp_path):
    pytest.importorskip("saxonche")
    folder = tmp_path / "schematron" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "OIOUBL-Invoice.xslt").write_text(STYLESHEET, encoding="utf-8")
    return tmp_path / "schematron"


def test_the_official_schematron_joins_the_verdict(official):
    good = document(standard="oioubl3")
    found = verdict(good.encode(), official)
    assert (found.is_valid, found.fatal_rules, found.warning_rules) == (True, (), ("OURS-002",))
    found = verdict(changed(good, ("<cbc:ID>F1", "<cbc:ID>Æ1"), (">SJA<", ">X<"), (">1700.00<", ">1700.01<")).encode(), official)
    assert not found.is_valid and {"OURS-001", "F-LIB999", "BR-CO-10"} <= set(found.fatal_rules)
    told = {violation.rule: violation.message for violation in found.findings}
    assert (told["OURS-001"], told["F-LIB999"]) == ("Number Æ1 is odd", "As OIOUBL 2 tells it")


def test_a_new_edition_of_a_stylesheet_is_read(official):
    path = official / "3.0.1" / "OIOUBL-Invoice.xslt"
    assert verdict(document(standard="oioubl3").encode(), official).warning_rules == ("OURS-002",)
    path.write_text(STYLESHEET.replace("OURS-002", "OURS-003"), encoding="utf-8")
    kept = edition(official)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))
    assert len({kept, edition(official), edition(), edition(official / "3.0.1")}) == 4 and edition() == edition()
    assert verdict(document(standard="oioubl3").encode(), official).warning_rules == ("OURS-003",)


def test_what_stops_the_official_schematron_is_told_and_never_passed_over(official, tmp_path, monkeypatch):
    good = document(standard="oioubl3").encode()
    with pytest.raises(StateFault, match="findes ikke"):
        broken_rules(good, tmp_path / "nowhere")
    with pytest.raises(StateFault, match="OIOUBL-Creditnote.xslt mangler"):
        verdict(document("CreditNote", "oioubl3").encode(), official)
    (official / "OIOUBL-Invoice.xsl").write_text("<no/>", encoding="utf-8")
    with pytest.raises(StateFault, match="står flere gange"):
        verdict(good, official)
    (official / "3.0.1" / "OIOUBL-Invoice.xslt").unlink()
    (official / "OIOUBL-Invoice.xsl").write_text(STYLESHEET.replace("</xsl:if>", ""), encoding="utf-8")
    with pytest.raises(StateFault, match="kan ikke køres"):
        verdict(good, official)
    schematron._processor.cache_clear()
    monkeypatch.setitem(sys.modules, "saxonche", None)
    with pytest.raises(StateFault, match="Saxon mangler. Installér afregning"):
        verdict(good, official)
    schematron._processor.cache_clear()


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_tells_each_document_and_ends_by_the_worst(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path / "no instance"))
    (tmp_path / "god.xml").write_text(document(), encoding="utf-8")
    assert main(["invoice", "check", str(tmp_path / "god.xml")]) == 0
    assert capsys.readouterr().out == (
        "god.xml: Peppol BIS Billing 3, faktura F1 fra Hjemmet ApS, 2056,25 DKK: gyldig\n"
    )
    (tmp_path / "skæv.xml").write_text(changed(document(), (">2056.25<", ">2056.24<")), encoding="utf-8")
    (tmp_path / "rykker.xml").write_text("<Reminder/>", encoding="utf-8")
    assert main(["invoice", "check", str(tmp_path)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("god.xml: ") and told[0].endswith("gyldig")
    assert told[1] == "rykker.xml: er et Reminder (rykker), ikke en faktura. Læg den ikke her."
    assert told[2].endswith("2056,24 DKK: ugyldig") and told[3].startswith("  BR-CO-16 (fejl): Amount due for payment (BT-115) = ")
