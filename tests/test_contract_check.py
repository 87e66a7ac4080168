"""`afregning contract check`: each way a file can differ is said in a sentence, and what is proposed fits when saved."""

import re
from pathlib import Path

import pytest
import yaml

from ingestion.contract_check import check_file
from ingestion.drift import CODE, MISSING, NEW, RENAMED, RETYPED, drift
from ingestion.extracts import columns_seen, read_extract
from ingestion.mapping import SOURCES, load_mappings
from orchestration.cli import main
from settlement.faults import InputFault
from settlement.instance import create_folders

HEADER = "Ydelse;Bevilling;Ydelseskode;Tilbud;Afregning;Start;Slut;Antal;Betales;Konto;Krav;Slettet"
ROWS = [
    f"Y{i};B{i};SEL-85-1;;UDB;{1 + i % 28:02d}-01-2026;;{i},5;B;;T;0" for i in range(40)
]  # fmt: skip


@pytest.fixture
def instance(tmp_path):
    return create_folders(tmp_path / "instance", "657")


def write(folder: Path, name: str, header: str = HEADER, rows: list[str] = ROWS, encoding: str = "cp1252") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def save(instance, proposal: str, number: int = 2) -> None:
    """The proposal saved as a version of the instance's own, beside those that come along."""
    system = yaml.safe_load(proposal)["system"]
    folder = instance.home / "sources" / system
    folder.mkdir(parents=True)
    for shipped in (SOURCES / system).glob("*.yaml"):
        (folder / shipped.name).write_bytes(shipped.read_bytes())
    (folder / f"{number}.yaml").write_text(proposal, encoding="utf-8")


def test_a_file_that_fits(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path / "none"))
    assert main(["contract", "check", str(write(tmp_path, "sensum_ydelser_2026-01-31.csv"))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Taget for kilden sensum, ydelser (Ydelser), layout 1: navnet passer til sensum_ydelser_*.csv.",
        "40 rækker læst.",
        "Filen passer.",
    ]


def test_a_renamed_column_is_proposed_and_the_proposal_fits(tmp_path, instance):
    path = write(tmp_path, "sensum_ydelser_2026-01-31.csv", HEADER.replace("Start", "Startdato"))
    found = check_file(path, instance)
    assert not found.fits
    assert any("«Start» mangler, og «Startdato» er ny og ligner den" in said for said in found.sentences)
    assert any("nye rækker ikke modtages (ydelser.startdato)" in said for said in found.sentences)
    save(instance, found.proposal)
    again = check_file(path, instance)
    assert again.fits, again.sentences
    assert "layout 2" in again.sentences[0]
    old = check_file(write(tmp_path, "sensum_ydelser_2025-12-31.csv"), instance)
    assert old.fits and "layout 1" in old.sentences[0]  # both layouts side by side


def test_a_column_renamed_and_written_otherwise(tmp_path, instance):
    header = HEADER.replace("Start", "Første dag").replace("Antal", "Antal enheder")
    rows = [re.sub(r"(\d\d)-01-2026", r"202601\1", row).replace(f"{i},5", f"1.{i:03d},50") for i, row in enumerate(ROWS)]
    path = write(tmp_path, "sensum_ydelser_2026-01-31.csv", header, rows)
    found = check_file(path, instance)
    assert any("«Antal enheder»" in said and 'decimal: ","' in said for said in found.sentences), found.sentences
    columns = yaml.safe_load(found.proposal)["files"][0]["targets"]["ydelser"]["columns"]
    assert columns["antal"] == {"column": "Antal enheder", "number": {"decimal": ",", "thousands": "."}}
    assert columns["startdato"] == {"column": "Første dag", "date": "%Y%m%d"}
    assert columns["ydelse_id"] == {"template": "SEN-{Ydelse}"}
    save(instance, found.proposal)
    assert check_file(path, instance).fits


def test_a_column_in_another_form(tmp_path, instance):
    rows = [re.sub(r"(\d\d)-(01)-(2026)", r"\1.\2.\3", row) for row in ROWS]
    found = check_file(write(tmp_path, "sensum_ydelser_1.csv", rows=rows), instance)
    assert [s for s in found.sentences if "skiftet form" in s] == [
        "Kolonnen «Start» har skiftet form: 40 af 40 udfyldte celler er ikke en dato som dd-mm-åååå eller åååå-mm-dd. Cellerne "
        'kan læses med reglen date: "%d.%m.%Y". Ret mapningen, eller bestil udtrækket som før.'
    ]
    save(instance, found.proposal)
    assert check_file(write(tmp_path, "sensum_ydelser_2.csv", rows=rows), instance).fits


@pytest.mark.parametrize(("header", "rows", "sentence"), [
    (HEADER.replace(";Start", ""), [re.sub(r";\d\d-01-2026", "", row) for row in ROWS], "Kolonnen «Start» mangler. Bestil"),
    (HEADER.replace(";Konto", ""), [row.replace(";;T", ";T") for row in ROWS], "ydelser.konto beholder det, der er gemt."),
    (HEADER, [row.replace("UDB", "XYZ") for row in ROWS[:3]] + ROWS[3:], "3 celler med koder, der ikke kendes: XYZ (3)."),
    (HEADER, [*ROWS[:7], ROWS[7].replace("7,5", "syv"), *ROWS[8:]], "1 række (række 9) afvises: ydelser.antal, der"),
    (HEADER, [*ROWS, "Y99;B1"], "1 række (række 42) har ikke samme felter"),
    (HEADER, [], "Filen har ingen rækker"),
    (HEADER, [*ROWS, 'Y"99;B1;"'], "kan ikke læses efter række"),
    (HEADER, [row.replace("Y4;", ";") for row in ROWS], "1 række (række 6) afvises: ydelser.ydelse_id"),
])  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path, instance, header, rows, sentence):
    found = check_file(write(tmp_path, "sensum_ydelser_2026-01-31.csv", header, rows), instance)
    assert not found.fits
    assert any(sentence in said for said in found.sentences), found.sentences


def test_a_new_column_is_said_and_fits(tmp_path, instance):
    found = check_file(write(tmp_path, "sensum_ydelser_1.csv", f"{HEADER};Note", [f"{row};x" for row in ROWS]), instance)
    assert found.fits and any("«Note» er ny: den gemmes, men bruges ikke" in said for said in found.sentences)


def test_an_empty_file_and_no_file(tmp_path, instance):
    path = tmp_path / "sensum_ydelser_1.csv"
    path.write_bytes(b"")
    assert not check_file(path, instance).fits
    with pytest.raises(InputFault, match="er ingen fil"):
        check_file(tmp_path / "no.csv", instance)


def test_no_sentence_shows_a_person(tmp_path, instance):
    """Cells that slipped into other columns are counted, not shown."""
    secrets = ["0101901234", "Anna Hansen", "Søndergade 7", "anna@example.dk", "Anna"]
    for secret in secrets:
        rows = [row.replace("UDB", secret).replace(";T;", f";{secret};").replace(",5", secret) for row in ROWS]
        rows = [re.sub(r"\d\d-01-2026", secret, row) for row in rows]
        found = check_file(write(tmp_path, "sensum_ydelser_2026-01-31.csv", rows=rows), instance)
        assert not found.fits and secret not in "\n".join([*found.sentences, found.proposal])


def test_loader_files(tmp_path, instance):
    header = "pakke_id;cpr;bevilget_dato;status"
    good = write(tmp_path, "ydelsespakker.csv", header, ["P1;0101901234;01-01-2026;bevilget"])
    assert check_file(good, instance).fits
    renamed = write(tmp_path, "ydelsespakker.csv", header.replace("cpr", "cprnr"), ["P1;0101901234;01-01-2026;bevilget"])
    found = check_file(renamed, instance)
    assert any("«cpr» mangler, og «cprnr» er ny" in s and "Ret overskriften" in s for s in found.sentences)
    assert not found.fits and not found.proposal
    grouped = write(tmp_path, "takster.csv", "ydelseskode;tilbud_id;gyldig_fra;pris", ["A;;2026-01-01;1.234,50"])
    told = check_file(grouped, instance).sentences
    assert any("«pris» har skiftet form: 1 af 1 udfyldte celler er ikke et beløb" in s for s in told), told


def test_a_file_of_another_name_and_delimiter_is_known_by_its_columns(tmp_path, instance):
    rows = [row.replace(",", ".").replace(";", ",") for row in ROWS]
    path = write(tmp_path, "SOC-YDELSE_20260131.csv", HEADER.replace(";", ","), rows)
    found = check_file(path, instance)
    assert found.sentences[:2] == (
        "Intet kendt navn passer til SOC-YDELSE_20260131.csv. Efter kolonnerne ligner den mest kilden sensum, "
        "ydelser (Ydelser), layout 1.",
        "Felterne er delt af «,» og ikke af «;».",
    )
    file = yaml.safe_load(found.proposal)["files"][0]
    assert (file["pattern"], file["delimiter"]) == ("SOC-YDELSE_*.csv", ",")
    save(instance, found.proposal)
    assert check_file(path, instance).fits


def test_a_file_like_nothing(tmp_path, instance):
    assert "ligner ingen kendt fil" in check_file(write(tmp_path, "x.csv", "a;b", ["1;2"]), instance).sentences[0]
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    assert "ligner ingen kendt fil" in check_file(tmp_path / "x.pdf", instance).sentences[0]


def test_a_renamed_path_in_xml(tmp_path, instance):
    records = "".join(
        f"<person><cpr_number>010190{i:04d}</cpr_number><name>N</name><address><street>S</street><zip>7400</zip></address>"
        "<residence_municipality>0657</residence_municipality><address_protected>false</address_protected>"
        "<guardian_cpr/></person>"
        for i in range(20)
    )
    path = tmp_path / "dubu_borgere_2026-01-31.xml"
    path.write_text(f"<extract>{records.replace('zip', 'postal_district')}</extract>", encoding="utf-8")
    found = check_file(path, instance)
    assert any("«address/postal_code» mangler, og «address/postal_district» er ny" in s for s in found.sentences), found.sentences
    save(instance, found.proposal)
    again = check_file(path, instance)
    assert again.fits and "layout 2" in again.sentences[0], again.sentences


def test_the_system_is_named_or_unknown(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path / "none"))
    path = write(tmp_path, "sensum_ydelser_2026-01-31.csv")
    assert main(["contract", "check", str(path), "--system", "opus"]) == 1
    assert "ligner ingen kendt fil. Kendte navne er opus/1: opus_" in capsys.readouterr().out
    assert main(["contract", "check", str(path), "--system", "ukendt"]) == 2


def test_drift_at_receipt(tmp_path):
    """The reader's first batch and the file's columns are all it takes."""
    header = HEADER.replace("Start", "Startdato").replace("Krav", "Farve") + ";Note"
    rows = [row.replace("UDB", "XYZ").replace(f"{i},5", "mange").replace(";T;", f";{i};") + ";x" for i, row in enumerate(ROWS)]
    path = write(tmp_path, "sensum_ydelser_2026-01-31.csv", header, rows)
    mapping = load_mappings()["sensum"].candidates(path.name)[0]
    table = read_extract(path, path.name, mapping)
    sample = dict(zip(table.columns, next(table.batches).columns, strict=False))
    found = drift(mapping, columns_seen(path, path.name, mapping), sample)
    assert [(d.kind, d.column, d.became) for d in found] == [
        (RENAMED, "Start", "Startdato"), (MISSING, "Krav", ""), (NEW, "Farve", ""), (NEW, "Note", ""),
        (CODE, "Afregning", ""), (RETYPED, "Antal", ""),
    ]  # fmt: skip
    assert all(re.fullmatch(r"Kolonnen «.+\.", d.sentence) for d in found)
