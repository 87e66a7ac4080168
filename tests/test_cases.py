"""Every case in cases/*.yaml, worked out by hand, against the oracle and against the platform, tolerance 0.

A case is a list of steps (`trin`). `indlaes` takes loader files in, written as tables; `afregn` settles and, unless
`bogfoer: nej`, books. `linjer` are the rows the step proposes, in the columns the case speaks about; documents have
names of the case's own choosing (`bilag`, `retter`). `undtagelser` is what is parked or quarantined after the step,
nothing where it is left out. A case starts from `grundlag.yaml` unless it says `grundlag: nej`.
"""

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


@pytest.mark.parametrize("case", CASES)
def test_platform_agrees_with_hand_and_oracle(case, platform):
    oracle, names, runs = Oracle(), {}, set()
    if case.get("grundlag") != "nej":
        oracle.load(GROUND)
        platform.load(GROUND)
    for step in steps_of(case):
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
        exceptions = platform.exceptions()
        assert_same_exceptions(exceptions, oracle, parked="afregn" in step)
        check_exceptions(step, parked_of(exceptions), quarantined_of(exceptions))
    platform.must("verify")
