"""The warehouse is derived: deleted and run again, every table of it and every published mart is the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest
from driver import Platform

pytest_plugins = ("demo_instance",)
SCHEMAS = ("raw", "canonical", "history", "quarantine", "quality")
BUILT = {"build_id", "built_at", "published_at"}


def _tables(path: Path, schemas: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The rows of every table in one order, without what tells of the build itself."""
    found = {}
    with duckdb.connect(str(path)) as con:
        for schema, table in con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY ALL"
        ).fetchall():
            if schemas and schema not in schemas:
                continue
            name = f'"{schema}"."{table}"'
            columns = [c for c, *_ in con.execute(f"DESCRIBE {name}").fetchall() if c not in BUILT]
            rows = con.execute("SELECT " + ", ".join(f'"{c}"' for c in columns) + f" FROM {name}").fetchall()
            found[f"{schema}.{table}"] = sorted(map(repr, rows))
    return found


def _all(home: Path) -> dict[str, list[str]]:
    found = {f"warehouse {name}": rows for name, rows in _tables(home / "warehouse.duckdb", SCHEMAS).items()}
    for path in sorted((home / "published").glob("*.duckdb")):
        found |= {f"{path.name} {name}": rows for name, rows in _tables(path).items()}
    return found


@pytest.mark.heavy
def test_a_deleted_warehouse_comes_back_the_same(own_home, monkeypatch):
    """After deliveries, runs, a held and released extract, a correction and its undoing."""
    platform = Platform(own_home, monkeypatch)
    first = next((own_home / "landing" / "opus").glob("opus_kontoplan_*"))
    lines = first.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    lost = first.with_name("opus_kontoplan_2027-01-31.csv")
    lost.write_text("".join(lines[:-6]), encoding="utf-8-sig")
    platform.must("run")
    with duckdb.connect(str(own_home / "warehouse.duckdb")) as con:
        assert con.execute("SELECT count(*) FROM canonical.account WHERE withdrawn").fetchone() == (0,)
    assert lost.name in platform.must("extract", "list")
    sha256 = hashlib.sha256(lost.read_bytes()).hexdigest()
    platform.must("extract", "release", sha256, "--by", "anna", "--reason", "Kontiene er nedlagt")
    platform.must("run")
    platform.load({"takster": [
        {"ydelseskode": "X", "tilbud_id": "", "gyldig_fra": "01-01-2026", "pris": "x"},
        {"ydelseskode": "X", "tilbud_id": "", "gyldig_fra": "01-02-2026", "pris": "5,00"},
    ]})  # fmt: skip
    with duckdb.connect(str(own_home / "warehouse.duckdb")) as con:
        counted = con.execute("SELECT load_id, rows_quarantined FROM quarantine.file_count WHERE name = 'takster.csv'")
        load, refused = counted.fetchone()
    assert refused == 1
    platform.must("undo", load, "--by", "anna", "--reason", "Forkert takst")
    platform.must("run")
    before = _all(own_home)
    assert sum(map(len, before.values())) > 10_000 and before["warehouse history.account"]
    (own_home / "warehouse.duckdb").unlink()
    platform.must("run")
    after = _all(own_home)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []
