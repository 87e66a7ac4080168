"""The engine's input and rules, frozen in the archive, so that a booked run can be reproduced from them alone."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from settlement.engine.settle import INPUTS, sentences
from settlement.faults import StateFault


@dataclass(frozen=True)
class Frozen:
    """What a run kept beside its tables: its settings, the rules' SQL by step, and the public holidays it counted with."""

    settings: dict[str, str]
    rules: dict[str, str]
    holidays: frozenset[date]


def freeze(con: duckdb.DuckDBPyConnection, archive: Path, settings: dict[str, str], holidays: list[date]) -> str:
    """Writes every engine input, the rules' SQL and the run's settings; returns the hash that names them.

    What has not changed since an earlier run is kept once, by the hash of its content.
    """
    folder = archive / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    tables, rules = {}, {}
    for table, columns in INPUTS.items():
        unfinished = folder / f"{table}.{os.getpid()}.part"
        con.execute(
            f"COPY (SELECT {', '.join(columns)} FROM {table} ORDER BY ALL) TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
        )
        with unfinished.open("rb") as handle:
            tables[table] = hashlib.file_digest(handle, "sha256").hexdigest()
        os.replace(unfinished, folder / f"{tables[table]}.parquet")
    for step, sql in sentences().items():
        rules[step] = hashlib.sha256(sql.encode()).hexdigest()
        _keep(folder / f"{rules[step]}.sql", sql)
    content = json.dumps(
        {"settings": settings, "tables": tables, "rules": rules, "holidays": [d.isoformat() for d in sorted(holidays)]},
        sort_keys=True,
    )
    input_hash = hashlib.sha256(content.encode()).hexdigest()
    _keep(folder / f"{input_hash}.json", content)
    return input_hash


def thaw(con: duckdb.DuckDBPyConnection, archive: Path, input_hash: str) -> Frozen:
    """Binds a frozen input as the engine's tables; returns what was kept beside them.

    Raises StateFault where a file is missing or no longer what its hash says.
    """
    folder = archive / "inputs"
    content = json.loads(_kept(folder / f"{input_hash}.json", input_hash, "kørslens indstillinger"))
    if "rules" not in content:
        raise StateFault(
            f"Grundlaget {input_hash[:12]} er gemt af en tidligere version uden regler, og kan ikke genberegnes. "
            "Brug den version, der bogførte kørslen."
        )
    for table, digest in content["tables"].items():
        path = folder / f"{digest}.parquet"
        _kept(path, digest, table)
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM read_parquet('{path}')")
    return Frozen(
        settings=content["settings"],
        rules={step: _kept(folder / f"{d}.sql", d, f"reglen {step}").decode() for step, d in content["rules"].items()},
        holidays=frozenset(date.fromisoformat(day) for day in content["holidays"]),
    )


def _keep(path: Path, text: str) -> None:
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)


def _kept(path: Path, digest: str, what: str) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise StateFault(
            f"Det arkiverede grundlag for {what} ({digest[:12]}) mangler eller er ændret. Hent arkivet fra sikkerhedskopien."
        )
    return content
