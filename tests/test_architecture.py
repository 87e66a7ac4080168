"""The arrows of the house: dashboards → settlement ← ingestion ← orchestration, and those inside settlement."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "settlement": {"settlement"},
    "ingestion": {"ingestion", "settlement"},
    "orchestration": {"orchestration", "ingestion", "settlement"},
    "dashboards": {"dashboards", "settlement"},
}
INSIDE_SETTLEMENT = {
    "engine": {"engine", "faults"},
    "documents": {"documents", "engine", "faults", "spreadsheet"},
    "processes": {"processes", "engine", "faults"},
    "invoices": {"invoices", "ledger", "engine", "documents", "processes", "faults", "instance", "reference"},
    "ledger": {"ledger", "engine", "documents", "processes", "faults", "instance", "reference", "spreadsheet"},
}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_one_way(room):
    for path in (ROOT / room).rglob("*.py"):
        for name in _imports(path):
            if name.split(".")[0] in MAY_IMPORT:
                assert name.split(".")[0] in MAY_IMPORT[room], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("part", INSIDE_SETTLEMENT)
def test_settlement_inside_imports_one_way(part):
    for path in (ROOT / "settlement" / part).rglob("*.py"):
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "settlement" and len(parts) > 1:
                assert parts[1] in INSIDE_SETTLEMENT[part], f"{path.relative_to(ROOT)} imports {name}"


def test_the_engine_has_no_session_clock_or_files():
    for path in (ROOT / "settlement" / "engine").rglob("*.py"):
        names = {name.split(".")[0] for name in _imports(path)}
        assert not names & {"sqlalchemy", "time", "os", "ingestion"}, path
        assert ".now(" not in path.read_text(encoding="utf-8") and ".today(" not in path.read_text(encoding="utf-8"), path


def test_commands_that_do_not_need_dagster_do_not_import_it(tmp_path):
    script = (
        "import sys; from orchestration.cli import main; "
        "assert main(['new', '--municipality', '461', '--with-demo-users']) == 0; assert main(['verify']) == 0; "
        "assert main(['lines', '--out', 'l.csv']) == 0; "
        "heavy = {'dagster', 'streamlit', 'great_expectations', 'dbt'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"AFREGNING_HOME": str(tmp_path / "i"), "PATH": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
