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
from settlement.ledger import mirror

# An export in a fixed order: the same facts give the same file, which is kept once.
EXPORT = "COPY (SELECT {columns} FROM {table} ORDER BY ALL) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"


@dataclass(frozen=True)
class Frozen:
    """What a run kept beside its tables: its settings, the rules' SQL by step, and the public holidays it counted
    with."""

    settings: dict[str, str]
    rules: dict[str, str]
    holidays: frozenset[date]


def freeze(con: duckdb.DuckDBPyConnection, archive: Path, settings: dict[str, str], holidays: list[date]) -> str:
    """Writes every engine input, the rules' SQL and the run's settings; returns the hash that names them.

    What has not changed since an earlier run is kept once, by the hash of its content; of the ledger the mirror's files
    are named.
    """
    folder = archive / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    tables, rules = {}, {}
    for table, columns in INPUTS.items():
        if table == "ledger_line":
            continue
        unfinished = folder / f"{table}.{os.getpid()}.part"
        con.execute(EXPORT.format(columns=", ".join(columns), table=table, path=unfinished))
        tables[table] = file_hash(unfinished)
        os.replace(unfinished, folder / f"{tables[table]}.parquet")
    for step, sql in sentences().items():
        rules[step] = hashlib.sha256(sql.encode()).hexdigest()
        _keep(folder / f"{rules[step]}.sql", sql)
    mirrored = [name for (name,) in con.execute("FROM ledger_file").fetchall()]
    ledger = [[name, file_hash(archive / "ledger" / name)] for name in mirrored]
    content = json.dumps(
        {"settings": settings, "tables": tables, "ledger": ledger, "rules": rules,
         "holidays": [d.isoformat() for d in sorted(holidays)]},
        sort_keys=True,
    )  # fmt: skip
    input_hash = hashlib.sha256(content.encode()).hexdigest()
    _keep(folder / f"{input_hash}.json", content)
    return input_hash


def thaw(con: duckdb.DuckDBPyConnection, archive: Path, input_hash: str) -> Frozen:
    """Binds a frozen input as the engine's tables; returns what was kept beside them.

    Raises StateFault where a file is missing or no longer what its hash says.
    """
    folder, content = archive / "inputs", kept(archive, input_hash)
    # A version with other steps cannot run these rules: it says so, and does not fill in its own.
    if "ledger" not in content or content["rules"].keys() != sentences().keys():
        raise StateFault(
            f"Grundlaget {input_hash[:12]} er gemt af en anden version og kan ikke genberegnes med denne. "
            "Brug den version, der bogførte kørslen."
        )
    for table, digest in content["tables"].items():
        path = folder / f"{digest}.parquet"
        demand_kept(path, digest, table)
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM read_parquet('{path}')")
    for name, digest in content["ledger"]:
        demand_kept(archive / "ledger" / name, digest, "de bogførte linjer")
    mirror.bind(con, [archive / "ledger" / name for name, _ in content["ledger"]])
    return Frozen(
        settings=content["settings"],
        rules={step: _kept(folder / f"{d}.sql", d, f"reglen {step}").decode() for step, d in content["rules"].items()},
        holidays=frozenset(date.fromisoformat(day) for day in content["holidays"]),
    )


def kept(archive: Path, input_hash: str) -> dict:
    """What a frozen input names: `settings`, `tables` and `rules` by their hashes, `ledger` files, `holidays`.

    Raises StateFault where it is missing or no longer what its hash says.
    """
    return json.loads(_kept(archive / "inputs" / f"{input_hash}.json", input_hash, "kørslens indstillinger"))


def demand_frozen(archive: Path, input_hash: str, sound: set[Path]) -> None:
    """Raises StateFault where a file of a frozen input is missing or no longer what its hash says; `sound` are those known
    to be whole, and gets those found so."""
    folder, content = archive / "inputs", kept(archive, input_hash)
    named = [(folder / f"{digest}.parquet", digest, table) for table, digest in content["tables"].items()]
    named += [(folder / f"{digest}.sql", digest, f"reglen {step}") for step, digest in content["rules"].items()]
    named += [(archive / "ledger" / name, digest, "de bogførte linjer") for name, digest in content.get("ledger", ())]
    for path, digest, what in named:
        if path not in sound:
            demand_kept(path, digest, what)
            sound.add(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; '' where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def demand_kept(path: Path, digest: str, what: str) -> None:
    """Raises StateFault where an archived file is missing or no longer what its hash says."""
    if file_hash(path) != digest:
        raise StateFault(
            f"Det arkiverede grundlag for {what} ({digest[:12]}) mangler eller er ændret. Hent arkivet fra sikkerhedskopien."
        )


def _keep(path: Path, text: str) -> None:
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)


def _kept(path: Path, digest: str, what: str) -> bytes:
    demand_kept(path, digest, what)
    return path.read_bytes()
