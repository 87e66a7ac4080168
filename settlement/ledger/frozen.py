"""The engine's input, frozen as Parquet in the archive, so that a booked run can be reproduced from it alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import duckdb

from settlement.engine.settle import INPUTS
from settlement.faults import StateFault


def freeze(con: duckdb.DuckDBPyConnection, archive: Path, settings: dict[str, str]) -> str:
    """Writes every engine input and the run's settings; returns the hash that names them.

    A table that has not changed since an earlier run is kept once, by the hash of its content.
    """
    folder = archive / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for table, columns in INPUTS.items():
        unfinished = folder / f"{table}.part"
        con.execute(
            f"COPY (SELECT {', '.join(columns)} FROM {table} ORDER BY ALL) TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
        )
        tables[table] = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        os.replace(unfinished, folder / f"{tables[table]}.parquet")
    content = json.dumps({"settings": settings, "tables": tables}, sort_keys=True)
    input_hash = hashlib.sha256(content.encode()).hexdigest()
    (folder / f"{input_hash}.json").write_text(content, encoding="utf-8")
    return input_hash


def thaw(con: duckdb.DuckDBPyConnection, archive: Path, input_hash: str) -> dict[str, str]:
    """Binds a frozen input as the engine's tables; returns the run's settings.

    Raises StateFault where a file is missing or no longer what its hash says.
    """
    manifest = archive / "inputs" / f"{input_hash}.json"
    if not manifest.exists() or hashlib.sha256(manifest.read_bytes()).hexdigest() != input_hash:
        raise StateFault(
            f"Det arkiverede grundlag {input_hash[:12]} mangler eller er ændret. Hent arkivet fra sikkerhedskopien."
        )
    content = json.loads(manifest.read_text(encoding="utf-8"))
    for table, digest in content["tables"].items():
        path = archive / "inputs" / f"{digest}.parquet"
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise StateFault(
                f"Det arkiverede grundlag for {table} mangler eller er ændret. Hent arkivet fra sikkerhedskopien."
            )
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM read_parquet('{path}')")
    return content["settings"]
