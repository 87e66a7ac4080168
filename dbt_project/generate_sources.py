"""Writes `models/staging/canonical.yml` and `macros/canonical_tables.sql` from the contracts of the canonical tables.

Run it after a contract has changed: `python dbt_project/generate_sources.py`. A test holds the files in step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
sys.path.insert(0, str(PROJECT.parent))

from ingestion.conflicts import CONTESTED  # noqa: E402
from ingestion.contract import Contract, contracts  # noqa: E402

DO_NOT_EDIT = "Made by generate_sources.py from ingestion/contracts; change the contract, then run it again."
PROVENANCE = {
    "withdrawn": ("BOOLEAN", "whether the source has withdrawn the row"),
    "source_file": ("VARCHAR", "SHA-256 of the file the row came in"),
    "source_row": ("BIGINT", "row number in that file"),
    "load_id": ("BIGINT", "load that last said something new about the row"),
}


def files() -> dict[Path, str]:
    """The text of each made file by its path."""
    listed = "".join(f"    {c.table!r}: {_loader_file(c)},\n" for c in contracts().values())
    contested = "".join(f"    {t!r}: {({c.name: c.loader for c in contracts()[t].columns})},\n" for t in CONTESTED)
    macro = (
        f"{{# {DO_NOT_EDIT}\n   By canonical table: its loader file's name, and whether it names a service line. #}}\n"
        f"{{% macro canonical_tables() %}}\n{{% do return({{\n{listed}}}) %}}\n{{% endmacro %}}\n"
        "{# By table that several systems speak of: loader column by canonical column. #}\n"
        f"{{% macro contested_columns() %}}\n{{% do return({{\n{contested}}}) %}}\n{{% endmacro %}}\n"
    )
    source = (
        f"# {DO_NOT_EDIT}\nversion: 2\nsources:\n  - name: canonical\n"
        "    description: What is known now, judged by the gates.\n    tables:\n"
    )
    return {
        PROJECT / "models" / "staging" / "canonical.yml": source + "".join(_table(c) for c in contracts().values()),
        PROJECT / "macros" / "canonical_tables.sql": macro,
    }


def _loader_file(contract: Contract) -> str:
    names_line = str("service_line_id" in contract.names).lower()
    return f"{{'loader_file': {contract.loader_file!r}, 'names_line': {names_line}}}"


def _table(contract: Contract) -> str:
    columns = [(c.name, c.duckdb_type, c.meaning, c.personal) for c in contract.stored]
    columns += [(name, duckdb_type, meaning, False) for name, (duckdb_type, meaning) in PROVENANCE.items()]
    lines = [
        f"      - name: {contract.table}",
        f"        description: {json.dumps(contract.grain, ensure_ascii=False)}",
        "        columns:",
    ]
    for name, duckdb_type, meaning, personal in columns:
        flag = ", config: {meta: {personal: true}}" if personal else ""
        told = json.dumps(meaning, ensure_ascii=False)
        lines.append(f"          - {{name: {name}, data_type: {duckdb_type}, description: {told}{flag}}}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
