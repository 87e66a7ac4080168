"""Backup of a running instance in one file, and its restore, also into another kind of database.

A backup holds what cannot be derived: settings, the municipality's own reference files, the archive, the outbox and
every row of the register. The warehouse and the published marts are rebuilt by the next run.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy import Engine, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.orm import Session

from settlement.faults import InputFault, StateFault
from settlement.instance import Instance, open_instance
from settlement.ledger import bulk, extracts, heads  # noqa: F401, extracts' tables are the register's too
from settlement.ledger.guards import OpenBooking, booking_opened
from settlement.ledger.models import Base, SettlementRun
from settlement.ledger.register import HEAD, engine_of, open_register, upgrade

BATCH = 20_000
REGISTER = "register"
SETTINGS = "settings.toml"
FILES = (SETTINGS, "person_salt")
VERSION_FILE = "register_version"
BEFORE_VERSIONS = "0013"  # of a backup that does not say which
FOLDERS = ("reference", "archive", "outbox")


def backup(instance: Instance, engine: Engine, target: Path) -> int:
    """Writes the backup; returns how many register rows it holds. Booking and loading may go on meanwhile.

    The register is read before the rest of the archive: it holds every file the register names. Of heads booked meanwhile it
    keeps those of the runs it has, and all there were before, so that a cut register still shows. Raises InputFault where the
    file is there.
    """
    if target.exists():
        raise InputFault(f"{target} findes allerede. Vælg et andet navn; en sikkerhedskopi overskrives ikke.")
    path = heads.file_of(instance)
    heads_before = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    unfinished = target.with_name(target.name + ".part")
    rows = runs = 0
    with tarfile.open(unfinished, "w") as tar:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                for table in _tables():
                    content, count = _dump(connection, table)
                    _add(tar, f"{REGISTER}/{table.name}.parquet", content)
                    rows += count
                    if table.name == SettlementRun.__tablename__:
                        runs = count
                version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        _add(tar, VERSION_FILE, version.encode())
        heads_after = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        _add(tar, path.relative_to(instance.home).as_posix(), b"".join(heads_after[: max(runs, len(heads_before))]))
        for name in FILES:
            if (instance.home / name).exists():
                tar.add(instance.home / name, name)
        for folder in FOLDERS:
            for found in sorted((instance.home / folder).rglob("*")):
                if found.is_file() and found != path and found.suffix != ".part":
                    tar.add(found, found.relative_to(instance.home).as_posix())
    os.chmod(unfinished, 0o600)  # it holds everything the register knows of citizens
    os.replace(unfinished, target)
    return rows


def restore(home: Path, source: Path, register_url: str | None = None) -> tuple[Instance, int]:
    """Makes the instance of a backup in an empty folder, its register in the database its settings name, or in that of
    `register_url`, which the settings then name. A backup of an earlier version is migrated.

    Returns the instance and how many register rows it has. The folder is an instance when all is in place: until then it has
    no settings, so that what fails halfway can be tried again. Raises StateFault where there is an instance or a register
    with rows already, InputFault where the file is no backup.
    """
    if (home / SETTINGS).exists():
        raise StateFault(f"Der er allerede en instans i {home}. Gendan i en anden mappe med AFREGNING_HOME.")
    unfinished = home.with_name(home.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _unpack(source, unfinished)
        settings = unfinished / SETTINGS
        if register_url:
            kept = [line for line in settings.read_text(encoding="utf-8").splitlines() if not line.startswith("register_url")]
            settings.write_text("\n".join([f"register_url = {json.dumps(register_url)}", *kept, ""]), encoding="utf-8")
        rows = _fill_register(open_instance(unfinished), unfinished)
        shutil.rmtree(unfinished / REGISTER)
        (unfinished / VERSION_FILE).unlink(missing_ok=True)
        _move_in(unfinished, home)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    instance = open_instance(home)
    with Session(open_register(instance)) as session:
        heads.complete(instance, session, restored=True)
    return instance, rows


def _unpack(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    try:
        with tarfile.open(source) as tar:
            tar.extractall(folder, filter="data")
        with source.open("rb") as file:
            # An archive ends with two empty blocks; one cut off between two entries reads as a shorter one.
            file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
            if file.read().strip(b"\0"):
                raise InputFault(f"{source} er afkortet. Hent en hel sikkerhedskopi.")
    except (OSError, tarfile.TarError) as broken:
        raise InputFault(f"{source} kan ikke læses som sikkerhedskopi ({type(broken).__name__}).") from broken
    if not (folder / SETTINGS).exists() or not (folder / REGISTER).is_dir():
        raise InputFault(f"{source} er ikke en sikkerhedskopi af en instans: indstillinger eller register mangler.")
    for name in ("landing", "published", *FOLDERS):
        (folder / name).mkdir(exist_ok=True)


def _fill_register(instance: Instance, folder: Path) -> int:
    """Every row of the backup into an empty register of its version, which is then migrated to this one."""
    version = folder / VERSION_FILE
    version = version.read_text(encoding="utf-8") if version.exists() else BEFORE_VERSIONS
    if version > HEAD:
        raise StateFault(f"Sikkerhedskopien er af version {version}, programmet af {HEAD}. Opgradér programmet.")
    engine, rows = engine_of(instance), 0
    if inspect(engine).has_table(SettlementRun.__tablename__):
        raise StateFault("Registeret er ikke tomt. Gendan i en tom database, som --register nævner.")
    upgrade(engine, version)
    then = MetaData()
    then.reflect(engine)
    with Session(engine) as session, session.begin(), booking_opened(session, 0):
        for table in then.sorted_tables:
            path = folder / REGISTER / f"{table.name}.parquet"
            if path.exists():
                rows += _fill(session, table, path)
                _number_on(session, table)
    upgrade(engine)
    engine.dispose()
    return rows


def _move_in(unfinished: Path, home: Path) -> None:
    """The settings last: what has none is no instance."""
    home.mkdir(parents=True, exist_ok=True)
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == SETTINGS):
        os.replace(path, home / path.name)


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
