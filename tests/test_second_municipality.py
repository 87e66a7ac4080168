"""A second municipality's layouts, taken in with mapping files alone: the canonical tables are those of the first.

The demo's extracts are rewritten, by the standard library, into what another municipality's systems might send: other
columns in another order, other delimiters and character sets, JSON for XML, dates as yyyymmdd, 1.234,56, øre, minutes, D and
K for signs, other codes. `second_municipality/` holds its mapping files; nothing else differs.
"""

import csv
import json
import os
import re
import shutil
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ingestion.contract import contracts
from ingestion.demo import write_demo
from ingestion.mapping import SOURCES
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import ingest
from settlement.instance import REFERENCE, create_folders, open_instance
from settlement.ledger.register import open_register

pytestmark = pytest.mark.heavy

OWN = Path(__file__).parent / "second_municipality"
UNREADABLE = "?"  # before a cell that is an error in the first layout, so that it is one in the second

# --- how the second municipality writes what the first one wrote ---------------------------------------------------------


def _day(cell: str) -> datetime | None:
    for form, shape in (("%d-%m-%Y", r"\d\d-\d\d-\d{4}"), ("%Y-%m-%d", r"\d{4}-\d\d-\d\d")):
        if re.fullmatch(shape, cell):
            try:
                return datetime.strptime(cell, form)
            except ValueError:
                return None
    return None


def _date(form):
    return lambda cell: "" if cell == "" else form(_day(cell)) if _day(cell) else UNREADABLE + cell


ymd = _date(lambda day: f"{day:%Y%m%d}")
dotted = _date(lambda day: f"{day:%d.%m.%Y}")
short = _date(lambda day: f"{day.day}.{day.month}.{day.year}")


def month(cell: str) -> str:
    return cell.replace("-", "") if re.fullmatch(r"\d{4}-\d\d", cell) else cell and UNREADABLE + cell


def _number(decimals: int, form):
    def write(cell: str) -> str:
        if not re.fullmatch(rf"-?\d+([.,]\d{{1,{decimals}}})?", cell):
            return cell and UNREADABLE + cell
        return form(Decimal(cell.replace(",", ".")))

    return write


def _grouped(number: Decimal) -> str:
    return f"{number:,f}".translate(str.maketrans(",.", ".,"))


grouped = _number(4, _grouped)
pointed = _number(4, lambda number: f"{number:f}")
minutes_grouped = _number(4, lambda number: _grouped(number * 60))
minutes = _number(4, lambda number: f"{number * 60:f}")
oere = _number(2, lambda number: str(int(number * 100)))
size_in_oere = _number(2, lambda number: str(abs(int(number * 100))))
size = _number(2, lambda number: _grouped(abs(number)))


def sign(cell: str) -> str:
    return "K" if cell.startswith("-") else "D"


def coded(**codes: str):
    return lambda cell: codes.get(cell, cell)


def same(cell: str) -> str:
    return cell


def account(cell: str) -> str:
    return cell and f"BOG-{cell}"


def boolean(cell: str):
    return {"true": True, "false": False}.get(cell, cell)


deleted = coded(**{"1": "X", "0": ""})
ACTIVITY = {
    "slettet": ("deleted", boolean), "id": ("activity_id", same), "sag": ("appropriation_id", same),
    "ydelse/kode": ("details_id", same), "ydelse/navn": ("details_name", same), "sted/nr": ("place/place_id", same),
    "periode/til": ("activity_end_date", short), "periode/fra": ("activity_start_date", short), "antal": ("units", pointed),
    "betales": ("payment_type", coded(ADVANCE="1", ARREARS="2")),
    "modtager/art": ("recipient_type", coded(INTERNAL="1", PERSON="2", COMPANY="3")), "modtager/cpr": ("recipient_id", same),
    "modtager/hver": ("payment_frequency", coded(MONTHLY="MD", BIWEEKLY="14D", WEEKLY="UGE")),
    "modtager/dag": ("payment_day", same), "modtager/reg": ("bank_registration", same), "modtager/konto": ("bank_account", same),
    "pris_oere": ("price_per_unit", oere), "krav": ("claim", coded(PRICE="P", REFUND_9C="R")), "konto": ("account_string", same),
}  # fmt: skip
# Second municipality's column → the first's, and how its cell is written.
SECOND = {
    "sensum": {
        "borgere": {
            "BESKYTTET": ("Adressebeskyttelse", coded(J="1", N="0")), "PNR": ("CPR-nr.", same),
            "ADR_1": ("Adresse", lambda cell: cell if len(cell) % 2 else ""),
            "ADR_2": ("Adresse", lambda cell: "" if len(cell) % 2 else cell), "POSTNR": ("Postnr.", same),
            "KOM_BOPAEL": ("Kommunenr.", same), "VAERGE": ("Værges CPR-nr.", same), "NAVN": ("Navn", same),
        },
        "bevillinger": {
            "SAG_ID": ("Bevilling", same), "DATO_BEV": ("Bevillingsdato", ymd), "PNR": ("CPR-nr.", same),
            "TILSTAND": ("Tilstand", coded(Ansøgt="10", Visiteret="20", Ophørt="30", Annulleret="90")),
            "PARAGRAF": ("Paragraf", same), "GRUPPE": ("Målgruppe", same), "TEAM": ("Afdeling", same),
            "MEDARB": ("Sagsbehandler", same), "KOM_HANDLE": ("Handlekommune", same),
            "KOM_BETALER": ("Betalingskommune", same), "REF": ("Rekvisition", same), "ANNULLERET": ("Slettet", deleted),
        },
        "betalere": {
            "KOM_BETALER": ("Betalingskommune", same), "SAG_ID": ("Bevilling", same), "DATO_TIL": ("Til", ymd),
            "DATO_FRA": ("Fra", ymd),
        },
        "ydelser": {
            "SAG_ID": ("Bevilling", same), "INDSATS_ID": ("Ydelse", same), "DATO_FRA": ("Start", ymd),
            "DATO_TIL": ("Slut", ymd), "KODE": ("Ydelseskode", same), "MAENGDE": ("Antal", grouped), "STED": ("Tilbud", same),
            "AFREGNES": ("Afregning", coded(UDB="1", EGEN="2", BEBO="3")), "TIDSPUNKT": ("Betales", coded(F="1", B="2")),
            "ARTSKONTO": ("Konto", same), "KRAVTYPE": ("Krav", coded(T="A", R="B")), "ANNULLERET": ("Slettet", deleted),
        },
        "priser": {
            "PRIS_OERE": ("Pris", oere), "DATO_FRA": ("Fra", ymd), "DATO_TIL": ("Til", ymd), "INDSATS_ID": ("Ydelse", same),
        },
        "konteringer": {
            "ARTSKONTO": ("Konto", same), "DATO_FRA": ("Fra", ymd), "DATO_TIL": ("Til", ymd), "INDSATS_ID": ("Ydelse", same),
        },
        "fravaer": {
            "AARSAG": ("Årsag", same), "DATO_TIL": ("Til", ymd), "DATO_FRA": ("Fra", ymd), "INDSATS_ID": ("Ydelse", same),
        },
        "registreringer": {
            "MINUTTER": ("Antal", minutes_grouped), "REG_ID": ("Registrering", same), "DATO": ("Dato", ymd),
            "INDSATS_ID": ("Ydelse", same),
        },
        "betalingsaftaler": {
            "TYPE": ("Aftale", coded(U="UDM", O="OPK")), "INDSATS_ID": ("Ydelse", same), "HYPPIGHED": ("Frekvens", same),
            "DAG": ("Dag", same), "MODT_ART": ("Modtagertype", coded(B="1", P="2", L="3", K="4")), "MODT": ("Modtager", same),
            "REGNR": ("Reg.nr.", same), "KONTONR": ("Kontonr.", same), "OPKRAEVES_HOS": ("Betalers CPR-nr.", same),
            "AFTALENR": ("BS-aftale", same), "TEKST": ("Tekst", same),
        },
    },
    "opus": {
        "kontoplan": {"ENHED": ("Profitcenter", same), "KONTERING": ("Kontostreng", account), "NAVN": ("Betegnelse", same)},
        "budget": {
            "DK": ("Beløb", sign), "BELOEB": ("Beløb", size), "TYPE": ("Version", coded(**{"0": "OPR", "T": "TIL", "O": "OVF"})),
            "MD": ("Periode", month), "ENHED": ("Profitcenter", same), "KONTERING": ("Kontostreng", account),
            "AAR": ("Regnskabsår", same),
        },
        "posteringer": {
            "TEKST": ("Betegnelse", same), "DK": ("Beløb", sign), "OERE": ("Beløb", size_in_oere),
            "BILAG": ("Bilagsnummer", same), "LINJE": ("Position", same), "KONTERING": ("Kontostreng", account),
            "ENHED": ("Profitcenter", same), "DATO": ("Bogføringsdato", dotted), "PERIODE": ("Periode", month),
        },
    },
    "dubu": {
        "borgere": {
            "vaerge": ("guardian_cpr", same), "barn/navn": ("name", same), "barn/cpr": ("cpr_number", same),
            "bopael/kommune": ("residence_municipality", same), "bopael/post": ("address/postal_code", same),
            "bopael/vej": ("address/street", same), "hemmelig": ("address_protected", boolean),
        },
        "bevillinger": {
            "slettet": ("deleted", boolean), "sag": ("appropriation_id", same), "barn": ("cpr_number", same),
            "paragraf": ("section", same), "maalgruppe": ("target_group", same), "team": ("team", same),
            "sb": ("case_worker", same), "kommune/betaler": ("paying_municipality", same),
            "kommune/handle": ("acting_municipality", same), "dato": ("granted_date", short),
            "tilstand": ("status", coded(DRAFT="1", GRANTED="2", CLOSED="3", CANCELLED="4")), "ref": ("requisition", same),
        },
        "betalere": {
            "kommune": ("paying_municipality", same), "periode/fra": ("valid_from", short), "periode/til": ("valid_to", short),
            "sag": ("appropriation_id", same),
        },
        "anbringelser": ACTIVITY,
        "stoette": ACTIVITY,
        "registreringer": {
            "minutter": ("units", minutes), "dato": ("date", short), "id": ("delivery_id", same), "indsats": ("activity_id", same),
        },
    },
}  # fmt: skip
DIALECTS = {"sensum": ("cp1252", ";", "utf-8", "|"), "opus": ("utf-8-sig", ";", "cp1252", ",")}


def rewrite_csv(path: Path, target: Path, layout: dict, system: str) -> None:
    read_as, delimiter, write_as, new_delimiter = DIALECTS[system]
    with path.open(encoding=read_as, newline="") as file:
        header, *rows = csv.reader(file, delimiter=delimiter)
    with target.open("w", encoding=write_as, newline="") as file:
        writer = csv.writer(file, delimiter=new_delimiter)
        writer.writerow(layout)
        for row in rows:
            if len(row) != len(header):
                writer.writerow(["?"] * (len(layout) + len(row) - len(header)))
                continue
            cells = dict(zip(header, row, strict=True))
            writer.writerow([write(cells[column]) for column, write in layout.values()])


def rewrite_xml(path: Path, target: Path, layout: dict) -> None:
    records = []
    for element in ElementTree.parse(path).getroot():
        record: dict = {}
        for new, (column, write) in layout.items():
            *parents, leaf = new.split("/")
            node = record
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = write(element.findtext(column) or "")
        records.append(record)
    target.write_text(json.dumps({"udtraek": {"antal": len(records), "poster": records}}, ensure_ascii=False), encoding="utf-8")


def rewrite(path: Path, folder: Path, name: str = "") -> Path:
    """The file as the second municipality would send it, in the folder."""
    system = path.parent.name
    _, dataset, rest = path.stem.split("_", 2)
    ending = ".json" if system == "dubu" else path.suffix
    target = folder / (name or f"kommune2_{dataset}_{rest}{ending}")
    layout = SECOND[system][dataset]
    if system == "dubu":
        rewrite_xml(path, target, layout)
    else:
        rewrite_csv(path, target, layout, system)
    return target


# --- instances -----------------------------------------------------------------------------------------------------------


def canonical(home: Path) -> tuple[dict[str, list], dict]:
    """Every canonical table's rows but for provenance, and the rows in quarantine by table and reason."""
    instance, tables = open_instance(home), {}
    for path in instance.landing.glob("*/*"):
        os.utime(path, (0, 0))  # long finished
    with open_warehouse(instance) as con:
        received = ingest(con, instance, open_register(instance), lambda sentence: None, through=date(2026, 10, 1))
        faults = [report.fault or report.held for _, reports in received for report in reports if report.fault or report.held]
        assert faults == []
        for table, contract in contracts().items():
            columns = ", ".join([*contract.names, "withdrawn"])
            tables[table] = con.execute(f"SELECT {columns} FROM canonical.{table} ORDER BY ALL").fetchall()
        refused = con.execute(
            "SELECT table_name, reason, count(*) FROM quarantine.refused WHERE closed_by_load IS NULL GROUP BY ALL"
        ).fetchall()
    return tables, {row[:2]: row[2] for row in refused}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The first municipality's landing folder and what came of it."""
    instance = create_folders(tmp_path_factory.mktemp("first") / "instance", "657")
    write_demo(
        instance.landing, population=1500, months=12, until="2026-09", seed=1, municipality="657", reference=REFERENCE,
        progress=lambda sentence: None,
    )  # fmt: skip
    return instance.landing, canonical(instance.home)


def second_instance(home: Path, *, keep_first_layouts: bool):
    instance = create_folders(home, "657")
    for system in SECOND:
        folder = instance.home / "sources" / system
        shutil.copytree(OWN / system, folder)
        if keep_first_layouts:
            shutil.copy(SOURCES / system / "1.yaml", folder / "1.yaml")
    return instance


def compare(found: tuple[dict, dict], expected: tuple[dict, dict]) -> None:
    for table, rows in expected[0].items():
        assert found[0][table] == rows, table
    assert found[1] == expected[1]


def test_the_first_municipality_has_something_of_everything(first):
    tables, refused = first[1]
    filled = {table for table, rows in tables.items() if rows}
    assert filled >= {
        "citizen", "service_package", "service_line", "package_payer", "individual_rate", "absence", "registration",
        "payout_terms", "charge_terms", "account", "budget", "posting",
    }  # fmt: skip
    assert sum(refused.values()) > 10


def test_its_layouts_are_taken_in_by_mapping_files_alone(first, tmp_path):
    landing, expected = first
    instance = second_instance(tmp_path / "second", keep_first_layouts=False)
    for folder in landing.iterdir():
        (instance.landing / folder.name).mkdir()
        for path in folder.iterdir():
            if folder.name in SECOND:
                rewrite(path, instance.landing / folder.name)
            else:
                shutil.copy(path, instance.landing / folder.name)
    compare(canonical(instance.home), expected)


def test_both_layouts_side_by_side_in_one_delivery(first, tmp_path):
    """A changeover: of every file, one half comes in the first layout and one in the second, under the same kind of name."""
    landing, expected = first
    instance = second_instance(tmp_path / "changing", keep_first_layouts=True)
    halves = tmp_path / "halves"
    for folder in landing.iterdir():
        (instance.landing / folder.name).mkdir()
        (halves / folder.name).mkdir(parents=True)
        for path in folder.iterdir():
            there = instance.landing / folder.name
            if folder.name not in DIALECTS or "_kontoplan_" in path.name:  # a chart is delivered whole
                shutil.copy(path, there)
                continue
            header, *lines = path.read_bytes().splitlines(keepends=True)
            (there / path.name).write_bytes(b"".join([header, *lines[::2]]))
            half = halves / folder.name / path.name
            half.write_bytes(b"".join([header, *lines[1::2]]))
            rewrite(half, there, name=path.stem + "-ny" + path.suffix)
    compare(canonical(instance.home), expected)
    with open_warehouse(instance) as con:
        versions = con.execute(
            "SELECT split_part(mapping, '@', 1) AS version, name LIKE '%-ny.csv' AS is_new, count(*) FROM raw.file "
            "WHERE system IN ('sensum', 'opus') AND name NOT LIKE '%kontoplan%' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert [(version, is_new) for version, is_new, _ in versions] == [
        ("opus/1", False), ("opus/2", True), ("sensum/1", False), ("sensum/2", True),
    ]  # fmt: skip
