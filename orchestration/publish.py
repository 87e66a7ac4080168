"""Publishing: the marts of one build as new files, swapped in whole under names that never move.

    published/afregning.duckdb, published/afregning_person.duckdb      schema marts, schema marts_person
    published/parquet/<build_id>/{marts,marts_person}/<table>.parquet
    published/parquet/current                                  → the newest build

A reader that has a file open keeps what it opened. `marts` names no person; `marts_person` lies apart.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import duckdb

from settlement.faults import StateFault
from settlement.instance import Instance

# A file is not named after its schema: DuckDB could not tell marts.build from marts.build.
FILES = {"marts": "afregning.duckdb", "marts_person": "afregning_person.duckdb"}
PARQUET_BUILDS_KEPT = 3


def publish(instance: Instance, con: duckdb.DuckDBPyConnection, build_id: str) -> Path:
    """Publishes the marts that `con`, a connection to the warehouse, holds; returns the file of `marts`.

    Everything is written beside what is published before any name is moved, so a build that fails changes nothing.
    Raises StateFault where the marts are missing or of another build.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", build_id):
        raise ValueError(f"build_id «{build_id}» is no folder name")
    _demand_build(con, build_id)
    instance.published.mkdir(parents=True, exist_ok=True)
    parquet = instance.published / "parquet"
    parquet.mkdir(exist_ok=True)
    fresh = instance.published / ".fresh"
    _remove(fresh)  # what a publication that was killed has left
    try:
        for schema, name in FILES.items():
            _write(con, schema, fresh / name, fresh / "parquet" / schema)
        # Persons are for the instance's own user: the dashboards.
        (fresh / FILES["marts_person"]).chmod(0o600)
        (fresh / "parquet" / "marts_person").chmod(0o700)
        _replace_folder(fresh / "parquet", parquet / build_id, fresh / "replaced")
        for name in FILES.values():
            os.replace(fresh / name, instance.published / name)
        (fresh / "current").symlink_to(build_id)
        os.replace(fresh / "current", parquet / "current")
    finally:
        _remove(fresh)
    _drop_old_builds(parquet, build_id)
    return instance.published / FILES["marts"]


def _demand_build(con: duckdb.DuckDBPyConnection, build_id: str) -> None:
    try:
        built = con.execute("SELECT build_id FROM marts.build").fetchall()
    except duckdb.CatalogException as missing:
        raise StateFault("Der er ingen marts i datalageret. Byg dem med «afregning run», og udgiv igen.") from missing
    if built != [(build_id,)]:
        raise StateFault(
            f"Datalagerets marts er fra en anden kørsel ({', '.join(b for (b,) in built) or 'ingen'}) end {build_id}. "
            "Kør «afregning run» igen."
        )


def _write(con: duckdb.DuckDBPyConnection, schema: str, database: Path, folder: Path) -> None:
    """The schema's tables as a DuckDB file and as Parquet. Rows keep the order the build gave them."""
    folder.mkdir(parents=True)
    tables = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = ? "
        "ORDER BY table_name", [schema],
    ).fetchall()  # fmt: skip
    con.execute(f"ATTACH {_quoted(database)} AS publication")
    try:
        con.execute(f"CREATE SCHEMA publication.{schema}")
        for (table,) in tables:
            con.execute(f'CREATE TABLE publication.{schema}."{table}" AS FROM {schema}."{table}"')
            con.execute(f'COPY {schema}."{table}" TO {_quoted(folder / f"{table}.parquet")} (FORMAT parquet)')
    finally:
        con.execute("DETACH publication")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _replace_folder(fresh: Path, target: Path, aside: Path) -> None:
    """Gives a folder its name; where the same build was published before, that one steps aside."""
    if target.exists():
        target.rename(aside)
    fresh.rename(target)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _drop_old_builds(parquet: Path, build_id: str) -> None:
    """Keeps the newest builds; the one just published is the newest, whatever the clock says."""
    builds = [path for path in parquet.iterdir() if path.is_dir() and not path.is_symlink() and path.name != build_id]
    builds.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for old in builds[PARQUET_BUILDS_KEPT - 1 :]:
        shutil.rmtree(old)
