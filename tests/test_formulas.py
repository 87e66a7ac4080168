"""A text that a spreadsheet would run as a formula is data: taken in and warned of, and only text in what people download."""

import csv
import io
import re

import duckdb
import pytest
from openpyxl import Workbook

from dashboards.parts import Column, csv_bytes
from ingestion import archive
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.column_lineage import ColumnNode, Origin, TableNode
from orchestration.lineage_export import export
from settlement.documents.model import CREDIT, DEBIT, Posting
from settlement.documents.opus import reposting_csv
from settlement.instance import create_folders
from settlement.ledger.lines_file import write_rows
from settlement.spreadsheet import FORMULA, unrun

FORMULAS = [
    "=HYPERLINK(\"http://x\")", "@SUM(A1)", "-2+3", "+cmd|' /C calc'!A0", "\t=1", "\r=1", "\n=1", "＝1+1", "＋A1", "-A1", "=", "--1"
]  # fmt: skip
TEXTS = ["+45 12 34 56 78", "-12,50", "-", "+", "Ydelse = god", "a@b.dk", "'=1", "", " x", "1-2", "- 1.000,00"]


@pytest.mark.parametrize(("text", "shown"), [*((f, f"'{f}") for f in FORMULAS), *((t, t) for t in TEXTS)])
def test_a_formula_is_text_in_a_download(text, shown):
    content = csv_bytes([{"a": text}], [Column("a", text)]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(content, newline=""), delimiter=";")) == [[shown], [shown]]


@pytest.mark.parametrize("text", FORMULAS + TEXTS)
def test_sql_and_python_find_the_same(text):
    found = duckdb.execute("SELECT regexp_matches(?, ?)", [text, FORMULA]).fetchone()[0]
    assert found == bool(re.match(FORMULA, text)) == (text in FORMULAS)


def _cells(path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [cell for row in csv.reader(file, delimiter=";") for cell in row]


def test_exceptions_and_lineage_run_nothing_and_ledger_lines_are_as_delivered(tmp_path):
    rows = [(text,) for text in FORMULAS]
    assert write_rows(tmp_path / "for_people.csv", ("vaerdi",), iter(rows), for_people=True) == len(rows)
    assert _cells(tmp_path / "for_people.csv")[1:] == [f"'{text}" for text in FORMULAS]
    write_rows(tmp_path / "lines.csv", ("ydelse_id",), iter(rows))
    assert _cells(tmp_path / "lines.csv")[1:] == FORMULAS
    header = ColumnNode("=1+1", "VARCHAR", "", "", (Origin("raw.a", "@a", "-x"),))
    export({"raw.a": TableNode("raw.a", "", {"=1+1": header})}, tmp_path / "lineage")
    assert _cells(tmp_path / "lineage" / "kolonner.csv")[5:] == ["raw.a", "'@a", "raw.a", "'=1+1", "'-x"]


def test_an_upload_to_the_finance_system_has_no_formula_and_no_apostrophe():
    sides = [Posting("90540000", side, 100, "@SUM(A1)", "=1+1", "-@=+") for side in (DEBIT, CREDIT)]
    rows = list(csv.DictReader(io.StringIO(reposting_csv(sides).decode(), newline=""), delimiter=";"))
    assert {row["Tekst"] for row in rows} == {"SUM(A1)"} and {row["Referencenøgle"] for row in rows} == {"1+1"}
    assert [unrun(text) for text in TEXTS] == TEXTS


def test_a_text_like_a_formula_is_taken_in_and_warned_of(tmp_path):
    """In CSV and in a sheet's text cells, whatever the column; a number with its sign is none."""
    instance = create_folders(tmp_path / "instance", "461")
    book = Workbook()
    for row in (["tilbud_id", "navn", "afdeling"], ["T1", "@SUM(A1)", "-"], ["=T2", "+45 12 34 56", None], ["T3", "God", None]):
        book.active.append(row)
    for row in book.active.iter_rows():
        for cell in row:
            cell.data_type = "s" if cell.value else cell.data_type
    book.save(tmp_path / "tilbud.xlsx")
    files = {
        "borgere.csv": b"cpr;navn;adresse\r\n0101010000;=1+1;\t=2\r\n0202020000;Bo;-2,5\r\n",
        "katalogydelser.csv": b"ydelseskode;navn;enhed\n-A;Dag;doegn\n",
        "takster.csv": b"ydelseskode;tilbud_id;gyldig_fra;pris\n-A;=T2;01-01-2025;-12,50\n-A;=T2;01-02-2025;12,50\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with open_warehouse(instance) as con:
        paths = [(archive.LOADER, name, tmp_path / name) for name in (*files, "tilbud.xlsx")]
        _, reports = receive(con, instance, paths, dated="2025-01-01", received_by="t")
        warned = con.execute(
            "SELECT table_name, row, column_name, message FROM quarantine.warned WHERE warning = 'formel' ORDER BY ALL"
        ).fetchall()
        kept = con.execute("SELECT name, address FROM canonical.citizen ORDER BY cpr").fetchall()
    told = {(table, row, column): message for table, row, column, message in warned}
    assert told.keys() == {
        ("citizen", 2, "navn"), ("citizen", 2, "adresse"), ("offer", 2, "navn"), ("offer", 3, "tilbud_id"),
        ("catalogue_item", 2, "ydelseskode"), ("rate", 3, "ydelseskode"), ("rate", 3, "tilbud_id"),
    }  # fmt: skip
    assert told["citizen", 2, "navn"].startswith("Kolonnen navn begynder med «=» og vil blive regnet som en formel i et regneark.")
    assert "begynder med en tabulator" in told["citizen", 2, "adresse"]
    assert kept == [("=1+1", "\t=2"), ("Bo", "-2,5")]
    assert {r.name: (r.rows_accepted, r.rows_quarantined) for r in reports} == {
        "borgere.csv": (2, 0), "katalogydelser.csv": (1, 0), "takster.csv": (1, 1), "tilbud.xlsx": (3, 0),
    }  # fmt: skip


def test_a_formula_in_a_sheet_is_refused_with_a_sentence(tmp_path):
    instance = create_folders(tmp_path / "instance", "461")
    book = Workbook()
    for row in (["tilbud_id", "navn"], ["T1", "=A2"], ["T2", "God"]):
        book.active.append(row)
    book.save(tmp_path / "tilbud.xlsx")
    with open_warehouse(instance) as con:
        _, (report,) = receive(
            con, instance, [(archive.LOADER, "tilbud.xlsx", tmp_path / "tilbud.xlsx")], dated="2025-01-01", received_by="t"
        )
        refused = con.execute("SELECT row, message FROM quarantine.refused").fetchall()
    assert (report.rows_accepted, report.rows_quarantined) == (1, 1)
    assert [row for row, _ in refused] == [2] and "formel" in refused[0][1]
