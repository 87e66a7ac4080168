"""Templates of the public loader files for people to fill in: CSV and XLSX, with each column explained and an example.

The example stands on a sheet of its own: only the first sheet of a workbook is read.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import yaml
from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ingestion.contract import Column, Contract, contracts

TEXTS = Path(__file__).parent / "templates.yaml"
WITHDRAW = {
    "name": "slet", "expected": "ja eller tom", "required": False, "is_key": False, "default": "", "example": "",
    "meaning": "ja trækker rækken tilbage; af den læses kun nøglen",
}  # fmt: skip
ADVICE = (
    "Udfyld arket «{file}», én række for hver. Kolonner med fed skrift skal udfyldes; nøglen afgør, om en række er ny eller "
    "ændrer en, der er der. En kolonne, du sletter, ændrer intet; en tom celle sætter standardværdien. Kun det første ark "
    "læses, og det må ikke indeholde formler."
)
HEAD, GREY = PatternFill("solid", fgColor="E4ECEE"), Font(color="808080")


def write_templates(folder: Path) -> list[dict]:
    """Writes `<loader file>.csv` and `.xlsx` for every public contract and returns what each column of each means."""
    folder.mkdir(parents=True, exist_ok=True)
    described = [_described(contract) for contract in contracts().values() if contract.public]
    for file in described:
        _write_csv(folder / f"{file['file']}.csv", file["columns"])
        _write_xlsx(folder / f"{file['file']}.xlsx", file)
    return described


@cache
def _texts() -> dict:
    return yaml.safe_load(TEXTS.read_text(encoding="utf-8"))


def _described(contract: Contract) -> dict:
    texts = _texts()[contract.loader_file]
    columns = [_column(contract, column, *texts["columns"][column.loader]) for column in contract.columns]
    return {"file": contract.loader_file, "title": texts["title"], "columns": [*columns, WITHDRAW]}


def _column(contract: Contract, column: Column, meaning: str, example: str) -> dict:
    is_key = column.name in contract.key
    return {
        "name": column.loader, "meaning": meaning, "expected": column.expected, "is_key": is_key,
        "required": column.required or is_key and not column.may_be_empty, "default": column.default or "",
        "example": str(example),
    }  # fmt: skip


def _write_csv(path: Path, columns: list[dict]) -> None:
    """The header alone, for whatever else stood there would be taken in. With the mark by which Excel knows UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as handle:
        csv.writer(handle, delimiter=";").writerow([column["name"] for column in columns])


def _write_xlsx(path: Path, file: dict) -> None:
    book = Workbook()
    empty = book.active
    empty.title = file["file"]
    _head(empty, file["columns"])
    example = book.create_sheet("Eksempel")
    _head(example, file["columns"])
    for number, column in enumerate(file["columns"], 1):
        cell = example.cell(2, number, column["example"])
        cell.number_format, cell.font = "@", GREY
    _explain(book.create_sheet("Vejledning"), file)
    book.save(path)


def _head(sheet: Worksheet, columns: list[dict]) -> None:
    for number, column in enumerate(columns, 1):
        cell = sheet.cell(1, number, column["name"])
        cell.font, cell.fill = Font(bold=column["required"]), HEAD
        letter = get_column_letter(number)
        # As text: a spreadsheet would take zeros off codes and digits off accounts.
        sheet.column_dimensions[letter].number_format = "@"
        sheet.column_dimensions[letter].width = max(14, len(column["name"]) + 3)
    sheet.freeze_panes = "A2"


def _explain(sheet: Worksheet, file: dict) -> None:
    sheet.append([file["title"]])
    sheet["A1"].font = Font(bold=True, size=14)
    sheet.append([ADVICE.format(file=file["file"])])
    sheet["A2"].alignment = Alignment(wrap_text=True, vertical="top")
    sheet.merge_cells("A2:F2")
    sheet.row_dimensions[2].height = 64
    sheet.append([])
    sheet.append(["Kolonne", "Hvad den siger", "Skrives som", "Skal udfyldes", "Standardværdi", "Eksempel"])
    for cell in sheet[4]:
        cell.font, cell.fill = Font(bold=True), HEAD
    for column in file["columns"]:
        needed = "nøgle" if column["is_key"] else "ja" if column["required"] else "nej"
        sheet.append(
            [column["name"], column["meaning"], column["expected"], needed, column["default"], column["example"]]
        )  # fmt: skip
        row = sheet[sheet.max_row]
        row[5].font, row[5].number_format = GREY, "@"
        for cell in row:
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    for letter, width in zip("ABCDEF", (26, 48, 44, 14, 16, 26), strict=True):
        sheet.column_dimensions[letter].width = width
