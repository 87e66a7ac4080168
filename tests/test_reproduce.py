"""A booked run is computed again from the archive alone, byte for byte, also after the rules have changed (§ 9.8)."""

import csv
import shutil
from datetime import date

import pytest
from driver import Platform
from sqlalchemy import select
from sqlalchemy.orm import Session
from worlds import World

from ingestion import landing
from ingestion.quality import judge_profiles
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import judge_unjudged
from settlement import reference
from settlement.engine import settle
from settlement.engine.calendar import add_months, parse_month
from settlement.faults import StateFault
from settlement.instance import open_instance, settle_from
from settlement.ledger import frozen, hashing, mirror
from settlement.ledger.models import LedgerLine, SettlementRun
from settlement.ledger.register import open_register
from settlement.ledger.reproduce import recompute

pytestmark = pytest.mark.heavy

HORIZONS = ("2024-03", "2024-07", "2024-12")
BOOKED_ON = ("2024-04-05", "2024-08-05", "2025-05-01")  # the last one finds claims that are late


@pytest.fixture
def booked(platform):
    """Three loads, a run of each process and timing after each."""
    for files, horizon, day in zip(World(3, lines=60, events=2, faulty=False).loads, HORIZONS, BOOKED_ON, strict=True):
        platform.load(files)
        for process in ("mellemkommunal", "intern"):
            for timing in ("bagud", "forud"):
                platform.settle(process, horizon, day, timing, book=True)
    return platform


def runs_and_lines(platform):
    """Every run with its booked lines as they are hashed."""
    with Session(open_register(open_instance(platform.home)), expire_on_commit=False) as session:
        runs = session.scalars(
            select(SettlementRun).where(SettlementRun.run_no > 0).order_by(SettlementRun.run_no)
        ).all()
        return [
            (run, {hashing.serialise(getattr(x, f) for f in hashing.LINE_FIELDS)
                   for x in session.scalars(select(LedgerLine).where(LedgerLine.run_no == run.run_no))})
            for run in runs
        ]  # fmt: skip


def test_every_run_is_reproduced_without_warehouse_and_ledger(booked, tmp_path):
    expected = runs_and_lines(booked)
    assert len(expected) >= 5 and sum(len(lines) for _, lines in expected) > 100
    # A copy of the instance that has the archive and the settings, and no warehouse, no ledger and no outbox at all.
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copytree(booked.home / "archive", bare / "archive")
    shutil.copy(booked.home / "settings.toml", bare)
    instance = open_instance(bare)
    for run, lines in expected:
        assert recompute(instance, run) == lines
    (booked.home / "warehouse.duckdb").unlink()
    for run, lines in expected:
        assert f"{len(lines)} linjer, alle ens" in booked.must("reproduce", run.run_no)


@pytest.mark.heavy
def test_every_run_of_a_two_year_demo_is_reproduced(tmp_path, monkeypatch):
    """Two years booked month by month, then the newest delivery with what it changes backwards; each run is computed again
    on a copy that has no warehouse and no register, and of the ledger only the runs before it."""
    demo = Platform(tmp_path / "instance", monkeypatch)
    demo.must("new", "--municipality", "657", "--with-demo-users")
    settle_from(open_instance(demo.home), date(2024, 10, 1), ("mellemkommunal", "intern"))  # else 14 months back
    demo.must("demo", "--population", "6000", "--months", "24", "--until", "2026-09")
    instance = open_instance(demo.home)
    engine = open_register(instance)
    deliveries = list(landing.look(instance).deliveries.items())
    assert len(deliveries) > 1
    for number, (dated, files) in enumerate(deliveries):
        with open_warehouse(instance) as con:
            with landing.fetched(instance, files) as delivery:
                receive(con, instance, delivery.files, dated=dated, received_by="anna")
            judge_profiles(con, instance, engine, judge_unjudged(con, instance, engine))
        for month in [f"{y}-{m:02d}" for y in (2024, 2025, 2026) for m in range(1, 13)] if number == 0 else ["2026-09"]:
            if "2024-10" <= month <= "2026-09":
                for process in ("mellemkommunal", "intern"):
                    demo.settle(process, month, f"{add_months(parse_month(month), 1):%Y-%m}-05", book=True)
    expected = runs_and_lines(demo)
    assert len(expected) >= 48 and sum(len(lines) for _, lines in expected) > 4_000
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copytree(demo.home / "archive", bare / "archive", ignore=shutil.ignore_patterns("ledger", "proposals"))
    (bare / "archive" / "ledger").mkdir()
    shutil.copy(demo.home / "settings.toml", bare)
    for run, lines in expected:
        assert recompute(open_instance(bare), run) == lines
        shutil.copy(mirror.file_of(instance, run.run_no, run.hash), bare / "archive" / "ledger")
    engine.dispose()


def test_old_runs_keep_their_rules(booked, tmp_path, monkeypatch):
    """A claim's deadline, the holidays and the engine's own SQL change; what is booked is reproduced as it was booked."""
    expected = runs_and_lines(booked)
    changed = tmp_path / "reference"
    shutil.copytree(reference.REFERENCE, changed)
    with (changed / "parameters.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        if row["name"].startswith("claim_deadline"):
            row["value"] = "1"
    with (changed / "parameters.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rules = tmp_path / "sql"
    shutil.copytree(settle.SQL, rules)
    piece = (rules / "piece.sql").read_text(encoding="utf-8")
    assert "2 * quantity_den" in piece
    (rules / "piece.sql").write_text(piece.replace("2 * quantity_den", "3 * quantity_den"), encoding="utf-8")
    monkeypatch.setattr(reference, "REFERENCE", changed)
    monkeypatch.setattr(settle, "SQL", rules)
    monkeypatch.setattr(settle, "public_holidays", lambda first, last: frozenset())
    reference._rows.cache_clear()
    try:
        for run, lines in expected:
            assert recompute(open_instance(booked.home), run) == lines
    finally:
        monkeypatch.undo()
        reference._rows.cache_clear()


def test_a_changed_archive_is_told(booked):
    run, _ = runs_and_lines(booked)[0]
    frozen = booked.home / "archive" / "inputs"
    for path in frozen.glob("*.parquet"):
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StateFault, match="mangler eller er ændret"):
        recompute(open_instance(booked.home), run)
    assert booked.run("reproduce", run.run_no)[0] == 1
    assert booked.run("reproduce", 999)[0] == 1


def test_rules_of_other_steps_are_told(booked, monkeypatch):
    """A later version has a step that the run's rules do not know: it must not run its own in their place."""
    run, _ = runs_and_lines(booked)[0]
    monkeypatch.setattr(frozen, "sentences", lambda: settle.sentences() | {"a_later_step": "SELECT 1"})
    with pytest.raises(StateFault, match="anden version"):
        recompute(open_instance(booked.home), run)
