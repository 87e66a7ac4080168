"""Received e-invoices on their way in: the canonical rows of each standard, what is refused, zips, and the same bytes again."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import date

import pytest
from incoming_example import changed, document, needs_samples, samples

from ingestion import archive, landing
from ingestion.drift import CODE
from ingestion.raw import RawWriter
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from settlement.instance import create_folders

DAY = "2026-03-05"


@pytest.fixture
def opened(tmp_path):
    instance = create_folders(tmp_path / "instance", "461")
    with open_warehouse(instance) as con:
        yield instance, con, tmp_path


def taken(opened, files: dict[str, str | bytes], day: str = DAY):
    """(load, reports by name) of files of that content."""
    instance, con, folder = opened
    given = []
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        given.append(("fakturaer", name, folder / name))
    load, reports = receive(con, instance, given, dated=day, received_by="test")
    for report in reports:
        counted = (report.rows_accepted, report.rows_quarantined, report.rows_outdated, report.rows_unmapped)
        assert report.rows_read == sum(counted), report
    return load, {report.name: report for report in reports}


def rows(opened, query: str) -> list[tuple]:
    return opened[1].execute(query).fetchall()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def packed(folder, name: str, files: dict[str, str]):
    with zipfile.ZipFile(folder / name, "w") as zipped:
        for inner, content in files.items():
            zipped.writestr(inner, content)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("standard", ["oioubl3", "peppol"])
def test_canonical_rows_of_an_invoice(opened, standard):
    text = document(standard=standard)
    _, reports = taken(opened, {"faktura.xml": text})
    assert (reports["faktura.xml"].rows_accepted, reports["faktura.xml"].remarks) == (2, ())
    form = "oioubl-3" if standard == "oioubl3" else "peppol-bis3"
    assert rows(opened, """
        SELECT document_id, format, sender_cvr, kind, type_code, document_number, sender_endpoint, sender_name, issue_date,
            due_date, period_from, period_to, receiver_ean, receiver_reference, order_reference, corrects_number, currency,
            net_oere, allowance_oere, vat_oere, payable_oere FROM canonical.incoming_invoice""") == [(
        sha256(text), form, "12345674", "faktura", "380", "F1", "5798000000012", "Hjemmet ApS", date(2026, 3, 1), date(2026, 3, 30),
        date(2026, 2, 1), date(2026, 2, 28), "5798000000029", "SJA", "R-1", None, "DKK", 170000, 2500, 35625, 205625,
    )]  # fmt: skip
    said = "AB, født 010190; Ophold med støtte; stue"
    told = (35000, 0) if standard == "oioubl3" else (None, None)  # Peppol tells no VAT of a line
    found = rows(opened, """
        SELECT line_number, item_name, sellers_item_id, note, period_from, period_to, quantity_e10, unit_code, price_e10,
            amount_oere, vat_pct_e2, vat_oere, account, order_reference, sender_cvr, kind, document_number
        FROM canonical.incoming_invoice_line ORDER BY line_number""")
    tail = ("5250124502", "R-1", "12345674", "faktura", "F1")
    assert found == [
        ("1", "Ophold", "V1", f"{said} 1", date(2026, 2, 1), date(2026, 2, 11), 7 * 10**10, "DAY", 200 * 10**10, 140000, 2500,
         told[0], *tail),
        ("2", "Ophold", "V2", f"{said} 2", date(2026, 2, 2), date(2026, 2, 12), 3 * 10**10, "DAY", 100 * 10**10, 30000, 0,
         told[1], *tail),
    ]  # fmt: skip


def test_canonical_rows_of_a_credit_note_and_of_a_negative_invoice(opened):
    credit = changed(
        document("CreditNote"), ("<cbc:ChargeIndicator>true", "<cbc:ChargeIndicator>false"),
        ("ChargeTotalAmount", "AllowanceTotalAmount"), ("/cbc:ChargeTotalAmount", "/cbc:AllowanceTotalAmount"),
    )  # fmt: skip
    negative = changed(document(number="F2"), (">2056.25<", ">-2056.25<"), (">7<", ">-7<"), (">1700.00<", ">-1700.00<"))
    taken(opened, {"k.xml": credit, "n.xml": negative})
    assert rows(opened, """
        SELECT kind, type_code, document_number, corrects_number, net_oere, allowance_oere, payable_oere
        FROM canonical.incoming_invoice ORDER BY kind""") == [
        ("faktura", "380", "F2", None, -170000, 2500, -205625), ("kreditnota", "381", "F1", "F0", 170000, -2500, 205625),
    ]  # fmt: skip
    assert rows(opened, "SELECT kind, quantity_e10, corrects_number FROM canonical.incoming_invoice_line WHERE line_number = '1' "
                "ORDER BY kind") == [("faktura", -7 * 10**10, None), ("kreditnota", 7 * 10**10, "F0")]  # fmt: skip


def test_a_line_without_its_own_period_or_account_has_the_documents(opened):
    period = "<cac:InvoicePeriod><cbc:StartDate>2026-02-01</cbc:StartDate><cbc:EndDate>2026-02-11</cbc:EndDate></cac:InvoicePeriod>"
    text = changed(document(), (period, ""), ("<cbc:AccountingCost>5250124502</cbc:AccountingCost>", ""))
    head = "<cbc:BuyerReference>"
    taken(opened, {"f.xml": changed(text, (head, f"<cbc:AccountingCost>77</cbc:AccountingCost>{head}"))})
    assert rows(opened, "SELECT period_from, period_to, account FROM canonical.incoming_invoice_line ORDER BY line_number") == [
        (date(2026, 2, 1), date(2026, 2, 28), "77"), (date(2026, 2, 2), date(2026, 2, 12), "5250124502"),
    ]  # fmt: skip


def test_the_same_bytes_are_one_document_and_others_another(opened):
    text = document()
    taken(opened, {"a.xml": text, "b.xml": text})
    taken(opened, {"c.xml": text}, "2026-03-09")
    assert rows(opened, "SELECT count(*), min(load_id) FROM canonical.incoming_invoice") == [(1, 1)]
    taken(opened, {"d.xml": text + "\n"}, "2026-03-10")
    assert rows(opened, "SELECT document_number, count(*) FROM canonical.incoming_invoice GROUP BY 1") == [("F1", 2)]
    assert rows(opened, "SELECT count(*) FROM canonical.incoming_invoice_line") == [(4,)]
    assert rows(opened, "SELECT count(*) FROM history.incoming_invoice") == [(0,)]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (("InvoiceTypeCode>380</cbc:InvoiceTypeCode", "InvoiceTypeCode>325</cbc:InvoiceTypeCode"), "dokumenttype"),  # proforma
        (("InvoiceTypeCode>380</cbc:InvoiceTypeCode", "InvoiceTypeCode>389</cbc:InvoiceTypeCode"), "dokumenttype"),  # self-billed
        (("poacc:billing:3.0", "poacc:selfbilling:3.0"), "format"),
        ((">2056.25<", ">to tusind<"), "til_betaling"),
    ],
)
def test_a_document_that_cannot_be_paid_is_refused_line_by_line(opened, change, column):
    _, reports = taken(opened, {"f.xml": changed(document(), change), "god.xml": document(number="F2")})
    assert reports["f.xml"].rows_quarantined == 2 and reports["god.xml"].rows_accepted == 2
    assert rows(opened, "SELECT document_number FROM canonical.incoming_invoice") == [("F2",)]
    refused = "SELECT DISTINCT column_name, reason FROM quarantine.refused WHERE table_name = '{}'"
    assert rows(opened, refused.format("incoming_invoice")) == [(column, "ugyldig_vaerdi")]
    assert rows(opened, refused.format("incoming_invoice_line")) == [("dokument_id", "ukendt_noegle")], "no line without its head"


def test_a_line_that_cannot_be_read_is_refused_alone(opened):
    text = changed(document(), (">300.00</cbc:LineExtensionAmount>", ">300,-</cbc:LineExtensionAmount>"))
    _, reports = taken(opened, {"f.xml": text})
    assert (reports["f.xml"].rows_accepted, reports["f.xml"].rows_quarantined) == (1, 1)
    assert rows(opened, "SELECT row, column_name FROM quarantine.refused") == [(2, "beloeb")]


def test_what_is_no_invoice_is_refused_whole_and_all_such_at_once(opened, monkeypatch):
    writes = []
    monkeypatch.setattr(RawWriter, "finish", lambda self, finish=RawWriter.finish: (writes.append(1), finish(self))[1])
    bad = {
        "rykker.xml": "<Reminder/>", "dtd.xml": changed(document(), ("<Invoice", "<!DOCTYPE Invoice><Invoice")),
        "tom.xml": changed(document(), ("</cac:LegalMonetaryTotal>", "</cac:LegalMonetaryTotal></Invoice><!--")) + "-->",
        "dyb.xml": changed(document(), ("AB, født 010190", "<a>" * 100 + "</a>" * 100)),
    }  # fmt: skip
    _, reports = taken(opened, {**bad, "god.xml": document()})
    told = {name: report.fault for name, report in reports.items()}
    assert "er en Reminder, ikke en Invoice eller CreditNote" in told["rykker.xml"] and "DTD" in told["dtd.xml"]
    assert "har ingen linjer" in told["tom.xml"] and "100 lag dyb" in told["dyb.xml"] and told["god.xml"] == ""
    assert rows(opened, "SELECT name FROM raw.file") == [("god.xml",)]
    assert len(writes) == 1, "the good files are read again once, not once for each bad one"


def test_what_differs_from_the_layout_is_told_of_the_documents_it_is_so_in(opened, monkeypatch):
    files = {f"f{n}.xml": document(number=f"F{n}") for n in range(40)}
    files["f7.xml"] = changed(files["f7.xml"], ("poacc:billing:3.0", "poacc:billing:9.9"))
    files["f8.xml"] = changed(files["f8.xml"], ("<cbc:DocumentCurrencyCode>DKK</cbc:DocumentCurrencyCode>", ""))
    judged = []
    from ingestion import raw

    monkeypatch.setattr(raw, "drift_of", lambda *a, real=raw.drift_of: judged.append(real(*a)) or judged[-1])
    _, reports = taken(opened, files)
    told = {name: report.remarks for name, report in reports.items() if report.remarks}
    assert set(told) == {"f7.xml", "f8.xml"}
    assert "«/CustomizationID» har 2 celler med koder" in told["f7.xml"][0]
    assert "«/DocumentCurrencyCode» mangler" in told["f8.xml"][0]
    assert len(judged) < 20 and any(difference.kind == CODE for found in judged for difference in found)


# --- zips -----------------------------------------------------------------------------------------------------------


def test_documents_in_a_zip_are_taken_in_each_for_itself_and_the_zip_once(opened):
    instance, con, folder = opened
    place = instance.landing / "fakturaer"
    place.mkdir(parents=True)
    files = {f"{n}.xml": document(number=f"F{n}") for n in (1, 2)}
    (place / f"fakturaer_{DAY}.zip").write_bytes(packed(folder, "z.zip", files))

    def run():
        found = landing.look(instance)
        reports = []
        for dated, waiting in found.deliveries.items():
            with landing.fetched(instance, waiting) as delivery:
                reports += receive(con, instance, delivery.files, dated=dated, received_by="test")[1]
        return reports

    assert sorted((r.name, r.rows_accepted, r.fault) for r in run()) == [("1.xml", 2, ""), ("2.xml", 2, "")]
    assert {i for (i,) in rows(opened, "SELECT document_id FROM canonical.incoming_invoice")} == set(map(sha256, files.values()))
    (load,) = archive.loads(instance)
    assert [z.name for z in load.packed] == [f"fakturaer_{DAY}.zip"] and load.dated == DAY
    for file in (*load.files, *load.packed):
        assert archive.sha256_of(instance.archived(file.sha256)) == file.sha256
    assert run() == [] and len(archive.loads(instance)) == 1


def test_a_zip_with_a_bad_document_is_offered_again_and_the_good_ones_are_not_taken_twice(opened):
    instance, con, folder = opened
    content = packed(folder, "z.zip", {"god.xml": document(), "rykker.xml": "<Reminder/>"})
    _, reports = taken(opened, {"fakturaer.zip": content})
    assert reports["god.xml"].rows_accepted == 2 and reports["rykker.xml"].fault
    assert archive.loads(instance)[0].packed == ()
    load, reports = taken(opened, {"fakturaer.zip": content})
    assert load is None and list(reports) == ["rykker.xml"]
    mended = packed(folder, "y.zip", {"god.xml": document(), "ny.xml": document(number="F2")})
    _, reports = taken(opened, {"rettet.zip": mended})
    assert list(reports) == ["ny.xml"] and [z.name for z in archive.loads(instance)[1].packed] == ["rettet.zip"]
    _, reports = taken(opened, {"igen.zip": packed(folder, "x.zip", {"god.xml": document()})})
    assert "alt i den er modtaget før" in reports["igen.zip"].fault
    _, reports = taken(opened, {"skadet.zip": b"PK\x03\x04 no zip", "ny2.xml": document(number="F3")})
    assert "kan ikke læses" in reports["skadet.zip"].fault and reports["ny2.xml"].rows_accepted == 2


def test_a_warehouse_filled_again_from_the_archive_is_the_same(opened):
    instance, con, folder = opened
    taken(opened, {"z.zip": packed(folder, "p.zip", {"a.xml": document(), "b.xml": document("CreditNote", "oioubl3", "K1")})})
    tables = ("incoming_invoice", "incoming_invoice_line")
    before = [rows(opened, f"FROM canonical.{table} ORDER BY ALL") for table in tables]
    con.close()
    instance.warehouse.unlink()
    with open_warehouse(instance) as again:
        assert [again.execute(f"FROM canonical.{table} ORDER BY ALL").fetchall() for table in tables] == before


@needs_samples
def test_every_public_example_is_taken_in(opened):
    files = {path.name: path.read_bytes() for path in samples()}
    _, reports = taken(opened, files)
    refused = {name for name, report in reports.items() if report.fault}
    assert len(refused) == 5 and all("Reminder" in name or "ApplicationResponse" in name for name in refused)
    assert not any(report.rows_quarantined or report.remarks for report in reports.values())
    assert rows(opened, "SELECT format, count(*) FROM canonical.incoming_invoice GROUP BY 1 ORDER BY 1") == [
        ("oioubl-2", 24), ("oioubl-3", 2), ("peppol-bis3", 3),
    ]  # fmt: skip
    assert rows(opened, """
        SELECT count(*) FROM canonical.incoming_invoice i
        JOIN (SELECT document_id, sum(amount_oere) AS lines FROM canonical.incoming_invoice_line GROUP BY 1) USING (document_id)
        WHERE lines <> net_oere OR net_oere + coalesce(allowance_oere, 0) + vat_oere < payable_oere""") == [(0,)]
