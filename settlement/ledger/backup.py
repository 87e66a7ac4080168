"""Backup of a running instance in one file, and its restore, also into another kind of database.

A backup holds what cannot be derived: settings, the municipality's own reference files, the archive, the outbox and
every row of the register. The warehouse and the published marts are rebuilt by the next run.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy import Engine, Table, func, insert, select
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.instance import Instance, open_instance
from settlement.ledger import bulk, extracts  # noqa: F401, extracts' tables are the register's too
from settlement.ledger.booking import heads_file
from settlement.ledger.guards import OpenBooking, booking_opened
from settlement.ledger.models import Base
from settlement.ledger.register import open_register

BATCH = 20_000
REGISTER = "register"
FILES = ("settings.toml", "person_salt")
FOLDERS = ("reference", "archive", "outbox")


def backup(instance: Instance, engine: Engine, target: Path) -> int:
    """Writes the backup; returns how many register rows it holds. Booking and loading may go on meanwhile.

    The heads are read before the register and the rest of the archive after it: whatever happens in between, the backup
    knows no head the register lacks, and holds every file the register names. Raises InputFault where the file is there.
    """
    if target.exists():
        raise InputFault(f"{target} findes allerede. Vælg et andet navn; en sikkerhedskopi overskrives ikke.")
    heads = heads_file(instance)
    known_heads = heads.read_bytes() if heads.exists() else b""
    unfinished = target.with_name(target.name + ".part")
    rows = 0
    with tarfile.open(unfinished, "w") as tar:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                for table in _tables():
                    content, count = _dump(connection, table)
                    _add(tar, f"{REGISTER}/{table.name}.parquet", content)
                    rows += count
        _add(tar, heads.relative_to(instance.home).as_posix(), known_heads)
        for name in FILES:
            if (instance.home / name).exists():
                tar.add(instance.home / name, name)
        for folder in FOLDERS:
            for path in sorted((instance.home / folder).rglob("*")):
                if path.is_file() and path != heads and path.suffix != ".part":
                    tar.add(path, path.relative_to(instance.home).as_posix())
    os.chmod(unfinished, 0o600)  # it holds everything the register knows of citizens
    os.replace(unfinished, target)
    return rows


def restore(home: Path, source: Path, register_url: str | None = None) -> tuple[Instance, int]:
    """Makes the instance of a backup in an empty folder, its register in the database its settings name, or in that of
    `register_url`, which the settings then name.

    Returns the instance and how many register rows it has. Raises StateFault where there is an instance or a register
    with rows already, InputFault where the file is no backup.
    """
    if (home / "settings.toml").exists():
        raise StateFault(f"Der er allerede en instans i {home}. Gendan i en anden mappe med AFREGNING_HOME.")
    home.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(source) as tar:
            tar.extractall(home, filter="data")
    except (OSError, tarfile.TarError) as broken:
        raise InputFault(f"{source} kan ikke læses som sikkerhedskopi ({type(broken).__name__}).") from broken
    if not (home / "settings.toml").exists() or not (home / REGISTER).is_dir():
        raise InputFault(f"{source} er ikke en sikkerhedskopi af en instans: indstillinger eller register mangler.")
    for folder in ("landing", "published", *FOLDERS):
        (home / folder).mkdir(exist_ok=True)
    if register_url:
        settings = home / "settings.toml"
        kept = [line for line in settings.read_text(encoding="utf-8").splitlines() if not line.startswith("register_url")]
        settings.write_text("\n".join([f"register_url = {json.dumps(register_url)}", *kept, ""]), encoding="utf-8")
    instance = open_instance(home)
    engine = open_register(instance)
    rows = 0
    with Session(engine) as session, session.begin():
        for table in _tables():
            if session.scalar(select(func.count()).select_from(table)):
                raise StateFault(f"Registeret har allerede rækker i {table.name}. Gendan i en tom database.")
        with booking_opened(session, 0):
            for table in _tables():
                rows += _fill(session, table, home / REGISTER / f"{table.name}.parquet")
                _number_on(session, table)
    for table in _tables():
        (home / REGISTER / f"{table.name}.parquet").unlink()
    (home / REGISTER).rmdir()
    return instance, rows


def _tables() -> list[Table]:
    """Every table of the register, those that others point to first."""
    return [table for table in Base.metadata.sorted_tables if table.name != OpenBooking.__tablename__]


def _dump(connection, table: Table) -> tuple[bytes, int]:
    buffer, count, writer = io.BytesIO(), 0, None
    for part in bulk.read(connection, select(table).order_by(*table.primary_key)):
        writer = writer or pq.ParquetWriter(buffer, part.schema)
        writer.write_table(part)
        count += part.num_rows
    writer.close()
    return buffer.getvalue(), count


def _fill(session: Session, table: Table, path: Path) -> int:
    count = 0
    for batch in pq.ParquetFile(path).iter_batches(BATCH):
        session.execute(insert(table), batch.to_pylist())
        count += batch.num_rows
    return count


def _number_on(session: Session, table: Table) -> None:
    """PostgreSQL numbers new rows from a counter of its own, which the rows that were put in have not moved."""
    column = table.autoincrement_column
    if column is None or session.get_bind().dialect.name != "postgresql":
        return
    newest = session.scalar(select(func.max(column)))
    if newest:
        session.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), newest)))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
