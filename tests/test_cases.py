"""Every case in cases/*.yaml, worked out by hand, against the oracle and against the platform, tolerance 0.

A case is a list of steps (`trin`). `indlaes` takes loader files in, written as tables; `afregn` settles and, unless
`bogfoer: nej`, books. `linjer` are the rows the step proposes, in the columns the case speaks about; documents have
names of the case's own choosing (`bilag`, `retter`). `undtagelser` is what is parked or quarantined after the step,
nothing where it is left out. A case starts from `grundlag.yaml` unless it says `grundlag: nej`.
"""

import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
import yaml
from driver import (
    FIGURES,
    assert_same_exceptions,
    assert_same_lines,
    decimal,
    of_oracle,
    of_platform,
    parked_of,
    quarantine_entry,
    quarantined_of,
    show,
)
from oracle import Oracle

FOLDER = Path(__file__).parent / "cases"


def read_yaml(path):
    """Every scalar as text, so that 'nej' and 2024-01 mean what they say."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def table(text):
    """The rows of a table: a header line and lines of cells, separated by |; `ingen` is no rows."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines() if line.strip()]
    if lines == [["ingen"]]:
        return []
    header, *rows = lines
    for row in rows:
        assert len(row) == len(header), f"{row} does not fit {header}"
    return [dict(zip(header, row, strict=True)) for row in rows]


GROUND = {name: table(text) for name, text in read_yaml(FOLDER / "grundlag.yaml").items()}
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['navn']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.stem != "grundlag"
    for case in read_yaml(path)
]


def steps_of(case):
    """The steps, with the ground as a first load of its own."""
    assert {"navn", "regel", "trin"} <= set(case) <= {"navn", "regel", "beregning", "grundlag", "trin"}, case["navn"]
    allowed = {"indlaes", "form", "rapport", "afregn", "linjer", "undtagelser"}
    for step in case["trin"]:
        assert set(step) <= allowed and ("indlaes" in step) != ("afregn" in step), step
        assert "afregn" not in step or "linjer" in step, f"a settle step says which lines it expects: {step}"
        if "indlaes" in step:
            yield step | {"indlaes": {name: table(text) for name, text in step["indlaes"].items()}}
        else:
            yield step


def run_of(step):
    """The arguments of a settle step."""
    stated = step["afregn"]
    assert set(stated) <= {"proces", "til", "dato", "betaling", "bogfoer"}, stated
    return {
        "process": stated.get("proces", "mellemkommunal"),
        "through": stated["til"],
        "booking_date": date.fromisoformat(stated["dato"]),
        "timing": stated.get("betaling", "bagud"),
        "book": stated.get("bogfoer", "ja") == "ja",
    }


def check_lines(step, actual, names):
    """The step's hand-worked rows, all of them and no more, in the columns they state; document names are bound."""
    expected = table(step["linjer"])
    spoken_of = [c for c in (expected[0] if expected else []) if c not in ("bilag", "retter")]
    want = [tuple(decimal(row[c]) if c in FIGURES else row[c] for c in spoken_of) for row in expected]
    have = [tuple(row[c] for c in spoken_of) for row in actual]
    assert len(have) == len(want), f"{len(want)} lines by hand, but {show(actual)}"
    assert Counter(want) == Counter(have), f"by hand {want}\nbut {have}"
    for row, key in zip(expected, want, strict=True):
        mine = actual[have.index(key)]
        for column in ("bilag", "retter"):
            if column in row and row[column]:
                assert names.setdefault(row[column], mine[column]) == mine[column], f"{column} {row[column]}: {mine}"
            elif column in row:
                assert not mine[column], f"{column} is empty by hand: {mine}"
    assert len(set(names.values())) == len(names), f"two names for one document: {names}"


def check_exceptions(step, parked, quarantined):
    expected = table(step.get("undtagelser", "ingen"))
    if "afregn" in step:
        mine = {(e["aarsag"], e["ydelse_id"], e["leverancemaaned"]) for e in expected if e["type"] == "parkeret"}
        assert parked == mine
    points = [
        quarantine_entry(e["fil"], int(e["raekke"]), e["aarsag"], e.get("kolonne", ""), e.get("vaerdi", ""))
        for e in expected
        if e["type"] == "karantaene"
    ]
    assert quarantined == sorted(points)


def with_documents(line):
    names = {"bilag": repr(line.document) if line.document else ""}
    return of_oracle(line) | names | {"retter": repr(*line.corrects) if line.corrects else ""}


@pytest.mark.parametrize("case", CASES)
def test_oracle_agrees_with_the_hand(case):
    oracle, names = Oracle(), {}
    if case.get("grundlag") != "nej":
        oracle.load(GROUND)
    for step in steps_of(case):
        if "indlaes" in step:
            oracle.load(step["indlaes"])
            assert step.get("rapport", "") in "\n".join(oracle.store.reports)
        else:
            lines = oracle.settle(**run_of(step))
            check_lines(step, [with_documents(line) for line in lines], names)
        parked, rows = oracle.exceptions()
        entries = sorted(quarantine_entry(r.table, r.number, r.reason, r.column, r.value) for r in rows)
        check_exceptions(step, parked, entries)


def with_ground(platform):
    platform.load(GROUND)


@pytest.mark.parametrize("case", CASES)
def test_platform_agrees_with_hand_and_oracle(case, make_platform):
    oracle, names, runs = Oracle(), {}, set()
    if case.get("grundlag") == "nej":
        platform = make_platform()
    else:
        oracle.load(GROUND)
        platform = make_platform(with_ground)
    steps = list(steps_of(case))
    for step in steps:
        if "indlaes" in step:
            oracle.load(step["indlaes"])
            report = platform.load(step["indlaes"], step.get("form", "csv"))
            assert step.get("rapport", "") in report
        else:
            arguments = run_of(step)
            demanded = oracle.settle(**arguments)
            proposal = platform.settle(**arguments)
            assert_same_lines(proposal, demanded)  # booked already, where the step books
            booked = platform.lines()
            assert_same_lines(booked, oracle.ledger, documents={})
            rows = [row for row in booked if row["koersel"] not in runs | {"0"}] if arguments["book"] else proposal
            runs |= {row["koersel"] for row in booked}
            check_lines(step, [of_platform(r) | {c: r[c] for c in ("bilag", "retter")} for r in rows], names)
        # What a load has quarantined stands there after the settlement that follows too.
        if "afregn" in step or "undtagelser" in step or step is steps[-1]:
            exceptions = platform.exceptions()
            assert_same_exceptions(exceptions, oracle, parked="afregn" in step)
            check_exceptions(step, parked_of(exceptions), quarantined_of(exceptions))
    platform.must("verify")


COLUMNS = (
    "koersel proces bilag bilagsart bogfoert_dato ydelse_id pakke_id cpr leverancemaaned antal pris beloeb moms "
    "modpart konto regulering retter"
).split()
EXCEPTION_COLUMNS = "type aarsag kilde fil raekke kolonne vaerdi ydelse_id leverancemaaned besked".split()
ONE_RATE = {
    "katalogydelser": table("ydelseskode | enhed\nK | doegn"),
    "takster": table("ydelseskode | gyldig_fra | pris\nK | 01-01-2020 | 1000,00"),
}


def one_line(**cells):
    names = {"ydelse_id": "Y", "pakke_id": "P1", "ydelseskode": "K", "tilbud_id": "T1", "startdato": "01-01-2024"}
    return names | cells


def test_form_of_the_files(platform):
    """loader.md: columns in order, decimal comma, sorted; a header also where there are no lines."""
    lines, exceptions = platform.files / "linjer.csv", platform.files / "undtagelser.csv"
    platform.lines(), platform.exceptions()
    assert lines.read_bytes() == (";".join(COLUMNS) + lines.read_text(encoding="utf-8")[-1]).encode()
    assert exceptions.read_text(encoding="utf-8").splitlines() == [";".join(EXCEPTION_COLUMNS)]
    platform.load(GROUND | ONE_RATE | {"ydelser": [one_line(ydelse_id=i) for i in ("Y9", "Y10", "Å")]})
    assert platform.settle("mellemkommunal", "2024-02", date(2024, 3, 5))[0]["koersel"] == ""
    platform.settle("mellemkommunal", "2024-02", date(2024, 3, 5), book=True)
    platform.load({"takster": table("ydelseskode | gyldig_fra | pris\nK | 15-01-2024 | 999,50")})
    platform.settle("mellemkommunal", "2024-02", date(2024, 4, 5), book=True)
    rows = platform.lines()
    keys = [(int(r["koersel"]), r["ydelse_id"], r["leverancemaaned"], decimal(r["pris"]), r["modpart"]) for r in rows]
    assert keys == sorted(keys) and len(keys) == 6 + 6 + 6
    for row in rows:
        for column, decimals in (("pris", 2), ("beloeb", 2), ("moms", 2)):
            assert re.fullmatch(rf"-?\d+,\d{{{decimals}}}", row[column]), row
        assert re.fullmatch(r"-?\d+(,\d{1,4})?", row["antal"]), row
        assert row["regulering"] in ("ja", "nej")


def test_a_file_that_cannot_be_read_changes_nothing(platform):
    """loader.md: exit 1, one sentence that names the file, and no trace in the instance."""
    platform.load(GROUND | ONE_RATE | {"ydelser": [one_line()]})
    before = platform.settle("mellemkommunal", "2024-01", date(2024, 2, 5))
    broken = platform.files / "ydelser.xlsx"
    broken.write_bytes(b"PK\x03\x04 this is no workbook")
    code, screen = platform.run("load", broken)
    assert code == 1 and "ydelser.xlsx" in screen and "Traceback" not in screen
    assert platform.exceptions() == []
    assert platform.settle("mellemkommunal", "2024-01", date(2024, 2, 5)) == before != []


def test_an_amount_beyond_64_bits_is_refused(platform):
    """settlement.md §5: overflow refused; 9.999.999.999,99 kr. × 9.999.999 × 31 is about 3,1e20 øre."""
    files = ONE_RATE | {"takster": table("ydelseskode | gyldig_fra | pris\nK | 01-01-2020 | 9999999999,99")}
    platform.load(GROUND | files | {"ydelser": [one_line(antal="9999999")]})
    code, screen = platform.run("settle", "mellemkommunal", "--through", "2024-01", "--date", "2024-02-05")
    assert code == 1 and "Traceback" not in screen, screen


def test_booking_needs_two_people_with_the_right(platform):
    """loader.md: A and B are users with the right, and differ, or it is refused."""
    platform.load(GROUND | ONE_RATE | {"ydelser": [one_line()]})
    command = ["settle", "mellemkommunal", "--through", "2024-01", "--date", "2024-02-05", "--book"]
    for people in (["--by", "anna", "--approved-by", "anna"], ["--by", "anna", "--approved-by", "kaj"], []):
        code, screen = platform.run(*command, *people)
        assert code in (1, 2) and "Traceback" not in screen, screen
    assert platform.lines() == []


WARNS = {
    "an open rate shortened": {"takster": table("ydelseskode | gyldig_fra | pris\nK | 15-01-2024 | 9")},
    "a withdrawal of an unknown key": {"takster": table("ydelseskode | gyldig_fra | slet\nUK | 15-01-2024 | ja")},
    "a wrong check digit": {"borgere": table("cpr\n0101801230")},
    "absence outside the line": {"fravaer": table("ydelse_id | fra | til\nY | 05-02-2024 | 06-02-2024")},
    "a registration outside the line": {
        "registreringer": table("registrering_id | ydelse_id | dato | antal\nR | Y | 05-02-2024 | 1")
    },
    "a start before the grant": {"ydelsespakker": table("pakke_id | bevilget_dato\nP1 | 15-01-2024")},
}


@pytest.mark.parametrize("files", WARNS.values(), ids=WARNS)
def test_all_else_warns_and_is_taken(files, platform):
    """loader.md: the load's report counts the warning, and nothing is refused."""
    platform.load(GROUND | ONE_RATE | {"ydelser": [one_line(slutdato="31-01-2024")]})
    report = platform.load(files)
    assert re.search(r"\b[1-9]\d* med advarsel", report), report
    assert platform.exceptions() == []
