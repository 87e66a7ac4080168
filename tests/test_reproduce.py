"""A booked run is computed again from the archive alone, byte for byte, also after the rules have changed (§ 9.8)."""

import csv
import shutil

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from worlds import World

from settlement import reference
from settlement.engine import settle
from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import hashing
from settlement.ledger.models import LedgerLine, SettlementRun
from settlement.ledger.register import open_register
from settlement.ledger.reproduce import recompute

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
