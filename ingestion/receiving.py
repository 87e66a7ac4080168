"""Files taken in as one load: archived, judged and applied together, or told why not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ingestion import archive
from ingestion.applying import UnreadableFiles, apply_load
from ingestion.packed import find_files
from settlement.faults import InputFault, StateFault
from settlement.instance import Instance


@dataclass(frozen=True)
class FileReport:
    """What became of one received file. `fault` is set where it could not be read at all, `held` where it waits for a
    person because of all that it would withdraw, of `rows_living`; then nothing of it was taken in. `sha256` is its content's."""

    name: str
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_outdated: int = 0
    rows_unmapped: int = 0
    rows_warned: int = 0
    rows_withdrawn: int = 0
    unknown_columns: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    fault: str = ""
    held: str = ""
    sha256: str = ""
    system: str = ""
    rows_living: int = 0


def receive(
    con: duckdb.DuckDBPyConnection,
    instance: Instance,
    files: list[tuple[str, str, Path]],
    *,
    dated: str,
    received_by: str,
    released: Collection[str] = (),
    progress: Callable[[str], None] = lambda sentence: None,
) -> tuple[int | None, list[FileReport]]:
    """Takes files, as (system, name, place), in as one load: unpacks zips, archives, judges and applies them.

    A file that cannot be read at all changes nothing and is reported with its fault; so is a whole extract that would
    withdraw more than the bounds of the instance allow, unless its content's hash is among `released`. Returns the load's
    id, None where no file was taken in, and a report per file.
    """
    progress(f"Læser {len(files)} filer")
    kept, packed, refused = _kept(instance, files)
    while kept:
        whole = [zipped for zipped, members in packed.items() if members <= set(kept)]
        load = archive.next_load(instance, received_by, dated, kept, packed=whole)
        con.execute("BEGIN")
        try:
            load = apply_load(con, instance, load)
            held = _held(con, instance, load, released)
            if not held:
                # In this order: a load in the manifest that the warehouse has not is replayed.
                archive.record(instance, load)
                con.execute("COMMIT")
                return load.load_id, reports(con, load.load_id) + refused
        except UnreadableFiles as unreadable:
            con.execute("ROLLBACK")
            refused += unreadable_reports(unreadable)
            kept = [file for file in kept if file not in unreadable.sentences]
            continue
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("ROLLBACK")
        refused += held
        kept = [file for file in kept if file.sha256 not in {report.sha256 for report in held}]
    return None, refused


def _kept(
    instance: Instance, files: list[tuple[str, str, Path]]
) -> tuple[list[archive.ReceivedFile], dict[archive.ReceivedFile, set[archive.ReceivedFile]], list[FileReport]]:
    """The files in the archive; the zips among them with what came out of each and no load has; and a report per zip that
    cannot be opened or brings nothing."""
    kept, packed, refused = [], {}, []
    for system, name, path in files:
        file = archive.keep(instance, system, name, path)
        if not name.lower().endswith(".zip"):
            kept.append(file)
            continue
        try:
            with scratch_folder() as scratch:
                inside = [archive.keep(instance, system, *member) for member in find_files(path, Path(scratch))]
            received = {(old.system, old.sha256) for load in archive.loads(instance) for old in load.files}
            packed[file] = {member for member in inside if (member.system, member.sha256) not in received}
            if not packed[file]:
                raise InputFault(f"{name}: alt i den er modtaget før. Fjern den.")
        except InputFault as fault:
            refused.append(FileReport(name, fault=str(fault), sha256=file.sha256, system=system))
        else:
            kept += [member for member in inside if member in packed[file]]
    return kept, packed, refused


def undo(
    con: duckdb.DuckDBPyConnection, instance: Instance, undone: int, *, dated: str, received_by: str, reason: str
) -> archive.Load:
    """Undoes a load by a new one. Raises InputFault where there is no such load or no reason, StateFault where it is undone."""
    if not reason.strip():
        raise InputFault("En fortrydelse skal have en begrundelse.")
    demand_standing(instance, undone)
    load = archive.next_load(instance, received_by, dated, [], undone, reason)
    con.execute("BEGIN")
    try:
        apply_load(con, instance, load)
        archive.record(instance, load)
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")
    return load


def demand_standing(instance: Instance, undone: int) -> None:
    """Raises InputFault where there is no such load, StateFault where it is undone already."""
    received = archive.loads(instance)
    if not 0 < undone <= len(received):
        raise InputFault(f"Indlæsning {undone} findes ikke. Se numrene på siden Indlæsning.")
    standing = [load for load in received if load.undoes == undone and not any(x.undoes == load.load_id for x in received)]
    if standing:
        raise StateFault(f"Indlæsning {undone} er allerede fortrudt i indlæsning {standing[0].load_id}.")


def _held(con, instance: Instance, load: archive.Load, released: Collection[str]) -> list[FileReport]:
    """A report per whole extract that would withdraw too much."""
    bounds = instance.bounds
    over = con.execute(
        """SELECT file_hash, sum(missing)::BIGINT, sum(living)::BIGINT FROM missing JOIN load_file ON number = _file
        GROUP BY file_hash HAVING sum(missing) > $keys OR sum(missing) * 100 > sum(living) * $pct""",
        {"keys": bounds.withdrawn_keys, "pct": bounds.withdrawn_pct},
    ).fetchall()
    files = {file.sha256: file for file in load.files}
    return [
        FileReport(
            files[sha256].name, rows_withdrawn=missing, rows_living=living, sha256=sha256, system=files[sha256].system,
            held=f"{files[sha256].name}: udtrækket mangler {missing} af {living} rækker, som derved ville blive trukket tilbage. "
            f"Det er holdt tilbage. Bestil det igen, eller frigiv det med «afregning extract release {sha256[:12]}».",
        )
        for sha256, missing, living in over if sha256 not in released
    ]  # fmt: skip


def unreadable_reports(unreadable: UnreadableFiles) -> list[FileReport]:
    """A report per file that cannot be read."""
    return [
        FileReport(file.name, fault=sentence, sha256=file.sha256, system=file.system)
        for file, sentence in unreadable.sentences.items()
    ]


def reports(con: duckdb.DuckDBPyConnection, load_id: int) -> list[FileReport]:
    """What became of each file of a load that is applied."""
    rows = con.execute(
        """SELECT c.name, c.rows_read, rows_accepted, rows_quarantined, rows_outdated, rows_unmapped, rows_warned, rows_withdrawn,
            f.unknown_columns, f.remarks, c.file_hash, f.system
        FROM quarantine.file_count c JOIN raw.file f USING (load_id, file_hash, name)
        WHERE load_id = ? ORDER BY c.name, c.file_hash""",
        [load_id],
    ).fetchall()
    return [
        FileReport(*row[:8], unknown_columns=tuple(row[8]), remarks=tuple(row[9]), sha256=row[10], system=row[11])
        for row in rows
    ]


def scratch_folder() -> tempfile.TemporaryDirectory:
    """A folder for unpacked zips that goes away by itself."""
    return tempfile.TemporaryDirectory(prefix="afregning-")
