"""One load into the warehouse: its files to raw tables, its rows judged and merged, warned of and counted.

Run within one transaction, at receipt and again when a deleted warehouse is filled from the archive; the same comes of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import duckdb
import pyarrow as pa

from ingestion import archive, gate, rules
from ingestion.contract import contracts
from ingestion.layouts import WHOLE
from ingestion.raw import RawFile, RawWriter
from ingestion.undoing import undo_load
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.reference import municipality_codes


class UnreadableFiles(InputFault):
    """Those files of a load that cannot be read at all, each with its sentence."""

    def __init__(self, faults: dict[archive.ReceivedFile, InputFault]) -> None:
        self.sentences = {
            file: said if file.name in (said := str(fault)) else f"{file.name}: {said}" for file, fault in faults.items()
        }
        super().__init__(" ".join(self.sentences.values()))


def apply_load(con: duckdb.DuckDBPyConnection, instance: Instance, load: archive.Load) -> archive.Load:
    """Judges and applies one load whose files are in the archive; the caller holds the transaction.

    A load that undoes another has no files. Leaves `temp.missing` (see `gate.judge`) and `temp.load_file`, the load's files
    by number. Returns the load with the mapping each file was read by. Raises UnreadableFiles.
    """
    con.execute(
        "INSERT INTO raw.load VALUES (?, ?, ?, ?, ?, ?)",
        [load.load_id, ", ".join(load.systems), load.received_at[:19], load.received_by, load.dated, load.undoes],
    )
    files, stages = _write(con, instance, load)
    if load.undoes:
        undo_load(con, load.load_id, load.undoes, load.dated)
    dated = date.fromisoformat(load.dated)
    rules.set_facts(con, instance)
    gate.judge(con, load.load_id, dated, stages, municipality_codes(), rules.refusing(instance, dated))
    rules.judge(con, load.load_id, all_changed=bool(load.undoes))
    _count(con, load.load_id)
    return replace(load, files=files)


def _write(
    con, instance: Instance, load: archive.Load
) -> tuple[tuple[archive.ReceivedFile, ...], dict[str, gate.Stage]]:  # fmt: skip
    """Writes the files to raw tables and `temp.load_file`; returns them with the mapping each was read by, and where the rows of
    each canonical table come from."""
    writer, faults = RawWriter(con, instance, load), {}
    written: list[tuple[int, archive.ReceivedFile, RawFile]] = []
    alike: dict[tuple, tuple[RawFile, list[int]]] = {}
    for number, file in enumerate(load.files, 1):
        try:
            raw = writer.write(file)
            if raw.alike not in alike:
                raw.selects([number])  # raises where the layout's rules cannot be used on the file
        except InputFault as fault:
            faults[file] = fault
            continue
        written.append((number, replace(file, mapping=raw.reference), raw))
        alike.setdefault(raw.alike, (raw, []))[1].append(number)
    if faults:
        raise UnreadableFiles(faults)
    writer.finish()
    whole: dict[tuple[str, str], list[int]] = {}
    for number, file, raw in written:
        if raw.mapping and raw.mapping.extract == WHOLE:
            whole.setdefault((file.system, raw.mapping.dataset), []).append(number)
    superseded = {n for kind, numbers in whole.items() if _newer_whole(con, *kind, load.dated) for n in numbers}
    _list_files(con, load.dated, [(number, file.sha256, number in superseded) for number, file, _ in written])
    stages: dict[str, gate.Stage] = {}
    for raw, numbers in alike.values():
        for table, select in raw.selects(numbers).items():
            stage = stages.setdefault(table, gate.Stage(contracts()[table]))
            stage.selects.append(select)
            for kind, brought in whole.items():
                if current := [n for n in numbers if n in brought and n not in superseded]:
                    stage.whole.setdefault(kind, []).extend(current)
    return tuple(file for _, file, _ in written), stages


def _list_files(con, dated: str, listed: list[tuple[int, str, bool]]) -> None:
    """`temp.load_file`: the files by number."""
    columns = dict(zip(("number", "file_hash", "superseded"), zip(*listed, strict=True), strict=True)) if listed else {}
    types = pa.schema({"number": pa.int64(), "file_hash": pa.string(), "superseded": pa.bool_()})
    con.register("listed", pa.table([columns.get(name, ()) for name in types.names], schema=types))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE load_file AS SELECT number, file_hash, $dated::DATE AS dated, superseded FROM listed",
        {"dated": dated},
    )
    con.unregister("listed")


def _newer_whole(con, system: str, dataset: str, dated: str) -> bool:
    return con.execute(
        "SELECT count(*) FROM raw.file JOIN raw.load l USING (load_id) "
        "WHERE file.system = ? AND dataset = ? AND extract = ? AND l.dated > ?",
        [system, dataset, WHOLE, dated],
    ).fetchone()[0] > 0  # fmt: skip


def _count(con, load_id: int) -> None:
    """Rows read, accepted, quarantined, outdated and not mapped, per file; each counted from its own source. A row that
    fills several tables is refused where one of them refuses it, and outdated where all find it so."""
    con.execute(
        """INSERT INTO quarantine.file_count BY NAME
        WITH judged_row AS (
            SELECT file_hash, _row, bool_or(refused) AS refused, bool_and(outdated) AS outdated
            FROM judged JOIN load_file ON number = _file WHERE NOT _retry GROUP BY ALL
        ),
        judged_file AS (
            SELECT file_hash, count(*) AS judged, count(*) FILTER (refused) AS refused,
                count(*) FILTER (NOT refused AND outdated) AS outdated
            FROM judged_row GROUP BY ALL
        ),
        warned_file AS (SELECT file_hash, count(DISTINCT row) AS warned FROM quarantine.warned WHERE load_id = $load GROUP BY ALL),
        missing_file AS (
            SELECT file_hash, sum(missing)::BIGINT AS missing FROM missing JOIN load_file ON number = _file GROUP BY ALL
        )
        SELECT $load AS load_id, f.file_hash, f.name, f.rows_read,
            coalesce(judged - refused - outdated, 0) AS rows_accepted, coalesce(refused, 0) AS rows_quarantined,
            coalesce(outdated, 0) AS rows_outdated, f.rows_read - coalesce(judged, 0) AS rows_unmapped,
            coalesce(warned, 0) AS rows_warned, coalesce(missing, 0) AS rows_withdrawn
        FROM raw.file f LEFT JOIN judged_file USING (file_hash) LEFT JOIN warned_file USING (file_hash)
            LEFT JOIN missing_file USING (file_hash)
        WHERE f.load_id = $load""",
        {"load": load_id},
    )
