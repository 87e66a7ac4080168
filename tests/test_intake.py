"""The loader's commands: load, its preview and its undoing, extracts held back and released, templates."""

import csv
import hashlib
import json
import zipfile
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from openpyxl import Workbook, load_workbook
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ingestion import archive
from ingestion.contract import contracts
from ingestion.warehouse import open_warehouse
from orchestration.assets.ingestion import NOTHING_HELD, READABLE, ingestion
from orchestration.pipeline import ingest
from orchestration.platform import Platform as PlatformResource
from settlement.faults import Fault
from settlement.instance import open_instance
from settlement.ledger import extracts
from settlement.ledger.register import now, open_register, writing

BASIS = {
    "katalogydelser": [{"ydelseskode": "DAG", "navn": "Dagtilbud", "enhed": "doegn"}],
    "tilbud": [{"tilbud_id": "T1", "navn": "Huset", "ejerforhold": "egen"}],
    "borgere": [{"cpr": "0101010007", "navn": "Bo Eksempel"}],
    "ydelsespakker": [{"pakke_id": "P1", "cpr": "0101010007", "betalingskommune": "751"}],
    "takster": [{"ydelseskode": "DAG", "tilbud_id": "", "gyldig_fra": "01-01-2025", "pris": "100,00"}],
}
LINE = {"ydelse_id": "Y1", "pakke_id": "P1", "ydelseskode": "DAG", "tilbud_id": "T1", "startdato": "01-01-2025"}
SOURCE = """
system: egen
title: Egen kilde
files:
  - pattern: egen_ydelser_*.csv
    dataset: ydelser
    title: Ydelser
    format: csv
    encoding: utf-8
    delimiter: ";"
    extract: whole
    columns: {Nr: the service line}
    targets:
      ydelser:
        columns:
          ydelse_id: Nr
          pakke_id: {value: P1}
          ydelseskode: {value: DAG}
          tilbud_id: {value: T1}
          startdato: {value: 01-01-2025}
"""
THROUGH = date(2025, 2, 1)  # 59 days of 100 kr.


def living(home, table="service_line"):
    with open_warehouse(open_instance(home)) as con:
        return con.execute(f"SELECT count(*) FROM canonical.{table} WHERE NOT withdrawn").fetchone()[0]


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


# --- load, preview, undo ---------------------------------------------------------------------------------------------


def test_a_preview_says_rows_reasons_and_kroner_and_keeps_nothing(platform, tmp_path):
    platform.load(BASIS | {"ydelser": [LINE]})
    instance = open_instance(platform.home)
    before = files(instance.archive)
    rates = "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;110,00\nDAG;T1;31-02-2025;1,00\nDAG;T1;30-02-2025;2,00\n"
    path = written(tmp_path / "nye", "takster.csv", rates)
    screen = platform.must("load", path, "--preview", "--through", "2025-02")
    assert "takster.csv: 3 rækker læst, 1 modtaget, 2 i karantæne" in screen
    assert "takster.csv: 2 afvist, ugyldig_vaerdi i gyldig_fra. Kolonnen gyldig_fra skal være en dato" in screen
    assert "takster, rækker: 0 nye, 1 ændrede, 0 trukket tilbage" in screen
    assert "Mellemkommunal til og med 2025-02: 5900,00 kr. → 6490,00 kr., forskel +590,00 kr. på 2 ydelsesmåneder" in screen
    assert "Intet er gemt." in screen
    assert len(archive.loads(instance)) == 1 and files(instance.archive) == before
    answer = json.loads(platform.must("load", path, "--preview", "--through", "2025-02", "--json").splitlines()[-1])
    assert answer["processes"] == [
        {"process": "mellemkommunal", "before_oere": 590000, "after_oere": 649000, "line_months": 2}
    ]  # fmt: skip
    # What was shown is what happens.
    platform.must("load", path, "--by", "anna")
    assert archive.loads(instance)[1].received_by == "anna"
    assert "Ingen rækker ændres." in platform.must("load", path, "--preview", "--through", "2025-02")


def test_a_preview_shows_no_cell_of_a_person(platform, tmp_path):
    cells = ("0101019", "Karen Hemmelig", "Skjult Vej 7", "9999")
    person = written(tmp_path / "nye", "borgere.csv", "cpr;navn;adresse;kommunekode\n" + ";".join(cells) + "\n")
    for output in ((), ("--json",)):
        screen = platform.must("load", person, "--preview", *output)
        assert "ugyldig_vaerdi" in screen and "cpr" in screen
        assert not [cell for cell in cells if cell in screen]


def test_an_undone_load_stands_as_before_it(platform, tmp_path):
    platform.load(BASIS | {"ydelser": [LINE]})
    rate = "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;{}\n"
    platform.must("load", written(tmp_path / "nye", "takster.csv", rate.format("110,00")))
    screen = platform.must("undo", "2", "--preview", "--through", "2025-02")
    assert "takster, rækker: 0 nye, 1 ændrede, 0 trukket tilbage" in screen
    assert "6490,00 kr. → 5900,00 kr., forskel -590,00 kr." in screen and "Intet er gemt." in screen
    assert platform.run("undo", "2", "--by", "anna")[0] == 2
    assert platform.run("undo", "2", "--by", "nora", "--reason", "Forkert fil")[0] == 1
    screen = platform.must("undo", "2", "--by", "anna", "--reason", "Forkert fil")
    assert "Indlæsning 3 fortryder indlæsning 2." in screen
    load = archive.loads(open_instance(platform.home))[2]
    assert (load.undoes, load.reason, load.received_by, load.files) == (2, "Forkert fil", "anna", ())
    assert "Ingen beløb ændres" in platform.must(
        "load", written(tmp_path / "nye", "takster.csv", rate.format("100,00")), "--preview", "--through", "2025-02"
    )
    for number, sentence in (("2", "er allerede fortrudt i indlæsning 3"), ("9", "Indlæsning 9 findes ikke")):
        for words in ((), ("--preview",)):
            code, screen = platform.run("undo", number, "--by", "anna", "--reason", "x", *words)
            assert code == 1 and sentence in screen
    # An undoing can be undone.
    assert "forskel +590,00 kr." in platform.must("undo", "3", "--preview", "--through", "2025-02")


def test_what_a_later_load_changed_is_left_and_said(platform, tmp_path):
    platform.load(BASIS | {"ydelser": [LINE]})
    for price in ("110,00", "120,00"):
        rate = f"ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;{price}\n"
        platform.must("load", written(tmp_path / "nye", "takster.csv", rate))
    screen = platform.must("undo", "2", "--preview", "--through", "2025-02")
    assert "1 rækker er ændret af senere indlæsninger" in screen and "Ingen rækker ændres." in screen


def test_xlsx_in_a_zip_beside_a_file_that_is_no_loader_file(platform, tmp_path):
    book = Workbook()
    for row in (["ydelseskode", "enhed", "farve"], ["A1", "doegn", "blå"], ["A2", "døgn", "rød"]):
        book.active.append(row)
    book.save(tmp_path / "katalogydelser.xlsx")
    packed = tmp_path / "alt.zip"
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.write(tmp_path / "katalogydelser.xlsx", "mappe/katalogydelser.xlsx")
        zipped.writestr("brev.docx", b"x")
    for words in (("--preview",), ()):
        code, screen = platform.run("load", packed, *words)
        assert code == 1 and "afregning: brev.docx: navnet hører ikke til nogen indlæsningsfil" in screen
        assert "katalogydelser.xlsx: 2 rækker læst, 1 modtaget, 1 i karantæne" in screen
        assert "ukendte kolonner er gemt, men ikke brugt: farve" in screen
    assert living(platform.home, "catalogue_item") == 1
    with zipfile.ZipFile(tmp_path / "ond.zip", "w") as zipped:
        zipped.writestr("../../borgere.csv", b"cpr;navn\n")
    code, screen = platform.run("load", tmp_path / "ond.zip", "--preview")
    assert code == 1 and "uden for sin egen mappe" in screen
    platform.must("user", "add", "rita", "--role", "revisor")
    code, screen = platform.run("load", packed, "--by", "rita")
    assert code == 1 and "har ikke ret til at indlæse filer" in screen


# --- Extracts that are held back --------------------------------------------------------------------------------------


@pytest.fixture
def source(platform):
    """Puts whole extracts of service lines, numbered 0 up to 30, in a source's landing folder."""
    written_mapping = platform.home / "sources" / "egen"
    written_mapping.mkdir(parents=True)
    (written_mapping / "1.yaml").write_text(SOURCE, encoding="utf-8")
    platform.load(BASIS)

    def put(day, lines):
        rows = "".join(f"Y{n}\n" for n in lines)
        return written(platform.home / "landing" / "egen", f"egen_ydelser_{day}.csv", f"Nr\n{rows}")

    put("2025-03-01", range(30))
    assert not take(platform) and living(platform.home) == 30
    return put


def take(platform):
    """Takes in what waits; returns the extracts that wait then, with their releases."""
    instance = open_instance(platform.home)
    engine = open_register(instance)
    with open_warehouse(instance) as con:
        ingest(con, instance, engine, lambda sentence: None, through=THROUGH)
    with Session(engine) as session:
        return extracts.waiting(session)


def test_a_held_extract_is_shown_with_its_kroner_and_goes_in_when_it_is_released(platform, source):
    path = source("2025-04-01", range(2, 30))
    ((held, by),) = take(platform)
    assert (held.system, held.name, held.dated, by) == ("egen", path.name, date(2025, 4, 1), None)
    assert held.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (held.rows_withdrawn, held.rows_living, held.moved_oere) == (2, 30, 2 * 59 * 100_00)
    assert living(platform.home) == 30
    ((again, _),) = take(platform)
    assert again.held_id == held.held_id and again.held_at == held.held_at
    listed = platform.must("extract", "list")
    assert "mangler 2 af 30 rækker" in listed and "flytte 11800,00 kr." in listed

    platform.must("user", "add", "rita", "--role", "revisor")
    for prefix, by, reason, sentence in (
        ("abcdef", "anna", "ok", "Intet holdt udtræk begynder med abcdef"),
        (held.sha256[:5], "anna", "ok", "mindst 6 af dens tegn"),
        (held.sha256[:12], "anna", "  ", "mangler en begrundelse"),
        (held.sha256[:12], "rita", "ok", "har ikke ret til at frigive holdte udtræk"),
    ):
        code, screen = platform.run("extract", "release", prefix, "--by", by, "--reason", reason)
        assert code == 1 and sentence in screen
    screen = platform.must("extract", "release", held.sha256[:12].upper(), "--by", "anna", "--reason", "To er nedlagt")
    assert "er frigivet af anna" in screen and living(platform.home) == 30
    assert "Frigivet af anna" in platform.must("extract", "list")
    code, screen = platform.run("extract", "release", held.sha256[:12], "--by", "bo", "--reason", "x")
    assert code == 1 and "allerede frigivet af anna" in screen

    assert take(platform) == [] and living(platform.home) == 28
    assert "Intet udtræk er holdt tilbage." in platform.must("extract", "list")
    source("2025-05-01", range(4, 30))
    ((other, by),) = take(platform)
    assert by is None and other.held_id != held.held_id and other.rows_withdrawn == 2 and living(platform.home) == 28


def test_the_same_content_of_a_later_date_is_held_for_itself(platform, source):
    source("2025-04-01", range(2, 30))
    ((held, _),) = take(platform)
    platform.must("extract", "release", held.sha256, "--by", "anna", "--reason", "ok")
    take(platform)
    source("2025-05-01", range(30))
    assert take(platform) == [] and living(platform.home) == 30
    source("2025-06-01", range(2, 30))
    ((again, by),) = take(platform)
    assert again.sha256 == held.sha256 and by is None and living(platform.home) == 30


def test_an_extract_that_is_no_longer_there_waits_no_longer_where_all_places_were_reached(platform, source):
    path = source("2025-04-01", range(2, 30))
    assert len(take(platform)) == 1
    path.unlink()
    settings = platform.home / "settings.toml"
    kept = settings.read_text(encoding="utf-8")
    settings.write_text(kept.replace("[landing]", f'[landing]\nopus = "{platform.home / "nowhere"}"'), encoding="utf-8")
    assert len(take(platform)) == 1  # it may lie where nobody could look
    settings.write_text(kept, encoding="utf-8")
    assert take(platform) == []


def test_what_else_has_come_is_in_the_effect_of_a_held_extract(platform, source):
    source("2025-04-01", range(2, 30))
    take(platform)
    platform.load({"ydelser": [{"ydelse_id": "Y0", "slutdato": "31-01-2025"} | {k: LINE[k] for k in LINE if k != "ydelse_id"}]})
    ((held, _),) = take(platform)
    # Y0 is the loader's own now: only Y1 would be withdrawn by the source.
    assert (held.rows_withdrawn, held.rows_living, held.moved_oere) == (1, 29, 59 * 100_00)


def test_a_held_extract_is_a_warning_and_no_fault(platform, source):
    source("2025-04-01", range(2, 30))
    resource = PlatformResource(home=str(platform.home), today="2025-03-15")
    result = dg.materialize([ingestion], resources={"platform": resource})
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert result.success and checks[READABLE.name].passed
    held = checks[NOTHING_HELD.name]
    assert not held.passed and held.severity == dg.AssetCheckSeverity.WARN
    assert "mangler 2 af 30 rækker" in held.description and "11800,00 kr." in held.description


def _held(sha256, **values):
    return extracts.HeldExtract(
        **{
            "system": "opus", "name": f"{sha256[:6]}.csv", "sha256": sha256, "dated": date(2025, 1, 31), "rows_withdrawn": 3,
            "rows_living": 100, "moved_oere": 0, "held_at": now(),
        } | values
    )  # fmt: skip


def test_a_hash_that_names_several_is_refused(either_platform):
    engine = open_register(open_instance(either_platform.home))
    first, second = "ab12cd" + "0" * 58, "ab12cd" + "1" * 58
    with writing(engine) as session:
        extracts.hold(session, [_held(first), _held(second)], saw_all=True)
    with pytest.raises(Fault, match="Flere holdte udtræk begynder med ab12cd"), writing(engine) as session:
        extracts.release(session, user_name="anna", prefix="ab12cd", reason="ok")
    with writing(engine) as session:
        assert extracts.release(session, user_name="anna", prefix="ab12cd1", reason="ok").sha256 == second
        assert extracts.released(session, date(2025, 1, 31)) == {second}
        assert extracts.released(session, date(2025, 2, 28)) == set()


def test_holds_and_releases_are_kept_as_they_were(either_platform):
    engine = open_register(open_instance(either_platform.home))
    with writing(engine) as session:
        extracts.hold(session, [_held("ab12cd" + "0" * 58)], saw_all=True)
        extracts.release(session, user_name="anna", prefix="ab12cd", reason="ok")
    attacks = (
        "UPDATE held_extract SET rows_withdrawn = 1", "DELETE FROM held_extract", "DELETE FROM extract_release",
        "UPDATE extract_release SET released_by = 'bo'",
    )  # fmt: skip
    for attack in attacks:
        with pytest.raises(DBAPIError, match="never changed"), writing(engine) as session:
            session.execute(text(attack))
    with writing(engine) as session:
        extracts.hold(session, [], saw_all=True)
        assert extracts.waiting(session) == []
    with pytest.raises(DBAPIError, match="never changed"), writing(engine) as session:
        session.execute(text("UPDATE held_extract SET gone_at = NULL"))


# --- Templates ----------------------------------------------------------------------------------------------------------


def test_every_public_file_has_a_template_whose_example_is_a_good_load(platform, tmp_path):
    described = json.loads(platform.must("templates", "--out", tmp_path / "tomme", "--json"))
    public = {c.loader_file: [column.loader for column in c.columns] for c in contracts().values() if c.public}
    assert {file["file"]: [c["name"] for c in file["columns"]] for file in described} == {
        name: [*columns, "slet"] for name, columns in public.items()
    }
    examples = tmp_path / "eksempler"
    examples.mkdir()
    for name, columns in public.items():
        book = load_workbook(tmp_path / "tomme" / f"{name}.xlsx")
        assert [cell.value for cell in book.worksheets[0][1]] == [*columns, "slet"] and book.worksheets[0].max_row == 1
        assert {row[0].value for row in book["Vejledning"].iter_rows(min_row=5)} == {*columns, "slet"}
        example = book["Eksempel"]
        assert all(cell.font.color.rgb == "00808080" for cell in example[2])
        with (examples / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, delimiter=";").writerows(example.iter_rows(values_only=True))
    screen = platform.must("load", examples)
    assert screen.count("1 rækker læst, 1 modtaget, 0 i karantæne, 0 med advarsel") == len(public), screen


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_an_empty_template_changes_nothing(platform, tmp_path, ending):
    platform.must("templates", "--out", tmp_path / "tomme")
    chosen = tmp_path / "valgte"
    chosen.mkdir()
    for path in Path(tmp_path / "tomme").glob(f"*.{ending}"):
        path.rename(chosen / path.name)
    screen = platform.must("load", chosen, "--preview")
    assert "Ingen rækker ændres." in screen and screen.count(" 0 rækker læst") == sum(c.public for c in contracts().values())
