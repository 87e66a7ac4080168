"""One load into the warehouse: its files to raw tables, its rows judged and merged, warned of and counted.

Run within one transaction, at receipt and again when a deleted warehouse is filled from the archive; the same comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion import archive, gate, rules
from ingestion.contract import contract_for_file, contracts
from ingestion.drift import drift
from ingestion.expressions import condition
from ingestion.extracts import columns_seen, read_extract
from ingestion.layouts import WHOLE, FileMapping, SourceMapping, TargetMapping, target_select
from ingestion.mapping import load_mappings, read_version
from ingestion.reading import Table, read_csv, read_xlsx
from ingestion.undoing import undo_load
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.reference import municipality_codes

ROWS_LOOKED_AT = 2_000
CUT_OFF = "Filens sidste række er ikke afsluttet, så den kan være skåret over. Bestil udtrækket igen, og send rækken på ny."


class UnreadableFile(InputFault):
    """A file of a load that cannot be read at all."""

    def __init__(self, file: archive.ReceivedFile, fault: InputFault) -> None:
        said = str(fault)
        super().__init__(said if file.name in said else f"{file.name}: {said}")
        self.file = file


@dataclass(frozen=True)
class _RawFile:
    """A file's rows in its raw table, and how they are read on."""

    mapping: FileMapping | None
    raw: str
    columns: list[str]
    """Those the file has and its layout knows of."""

    @property
    def alike(self) -> tuple:
        """Equal for files that are read on by the same SELECT: hundreds of invoices are one step, not hundreds."""
        return (self.raw, tuple(self.columns), _reference(self.mapping))

    def selects(self, numbers: list[int]) -> dict[str, str]:
        """The SELECT of loader columns, `_file` (the number in `load_file`), `_row` and `_fault` by canonical table, for the
        files of those numbers."""
        listed = ", ".join(map(str, numbers))
        files = f"(SELECT number, file_hash FROM load_file WHERE number IN ({listed})) l"
        rows = f"(SELECT r.* REPLACE (l.number AS _file) FROM {self.raw} r JOIN {files} ON l.file_hash = r._file)"
        if self.mapping:
            for target in self.mapping.targets.values():
                _demand_key(target, self.columns)
            found = {
                contract_for_file(name).table: target_select(target, rows, self.columns)
                for name, target in self.mapping.targets.items()
            }
            chosen = [target.when for target in self.mapping.targets.values()]
            if all(chosen):
                # A row at fault, such as one cut off before the cell that chooses, is refused and not passed over.
                name, target = next(iter(self.mapping.targets.items()))
                taken = " OR ".join(f"({condition(when)})" for when in chosen)
                lost = f"(SELECT * FROM {rows} WHERE _fault IS NOT NULL AND NOT ({taken}))"
                table = contract_for_file(name).table
                found[table] += f"\nUNION ALL {target_select(replace(target, when=None), lost, self.columns)}"
        else:
            contract = contract_for_file(self.raw.rpartition("__")[2].strip('"'))
            found = {contract.table: f"SELECT {', '.join(_name(c) for c in self.columns)}, _file, _row FROM {rows}"}
        faults = (
            f"(SELECT l.number, r._row, r._fault FROM {self.raw} r JOIN {files} ON l.file_hash = r._file "
            "WHERE r._fault IS NOT NULL)"
        )
        return {
            table: f"SELECT m.*, f._fault FROM ({select}) m LEFT JOIN {faults} f ON f._row = m._row AND f.number = m._file"
            for table, select in found.items()
        }


def apply_load(con: duckdb.DuckDBPyConnection, instance: Instance, load: archive.Load) -> archive.Load:
    """Judges and applies one load whose files are in the archive; the caller holds the transaction.

    A load that undoes another has no files. Leaves `temp.missing` (see `gate.judge`) and `temp.load_file`, the load's files
    by number. Returns the load with the mapping each file was read by. Raises UnreadableFile.
    """
    con.execute(
        "INSERT INTO raw.load VALUES (?, ?, ?, ?, ?, ?)",
        [load.load_id, ", ".join(load.systems), load.received_at[:19], load.received_by, load.dated, load.undoes],
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE load_file (number BIGINT, file_hash VARCHAR, dated DATE, superseded BOOLEAN)"
    )
    stages: dict[str, gate.Stage] = {}
    alike: dict[tuple, tuple[_RawFile, list[int]]] = {}
    files = []
    for number, file in enumerate(load.files, 1):
        try:
            raw = _to_raw(con, instance, load, file)
            tables = raw.selects([number])  # raises where the layout's rules cannot be used on the file
        except InputFault as fault:
            raise UnreadableFile(file, fault) from fault
        files.append(replace(file, mapping=_reference(raw.mapping)))
        whole = raw.mapping is not None and raw.mapping.extract == WHOLE
        superseded = whole and _newer_whole(con, file.system, raw.mapping.dataset, load.dated)
        con.execute("INSERT INTO load_file VALUES (?, ?, ?, ?)", [number, file.sha256, load.dated, superseded])
        alike.setdefault(raw.alike, (raw, []))[1].append(number)
        for table in tables:
            stage = stages.setdefault(table, gate.Stage(contracts()[table]))
            if whole and not superseded:
                stage.whole.setdefault((file.system, raw.mapping.dataset), []).append(number)
    for raw, numbers in alike.values():
        for table, select in raw.selects(numbers).items():
            stages[table].selects.append(select)
    if load.undoes:
        undo_load(con, load.load_id, load.undoes, load.dated)
    dated = date.fromisoformat(load.dated)
    rules.set_facts(con, instance)
    gate.judge(con, load.load_id, dated, stages, municipality_codes(), rules.refusing(instance, dated))
    rules.judge(con, load.load_id, all_changed=bool(load.undoes))
    _count(con, load.load_id)
    return replace(load, files=tuple(files))


def _reference(mapping: FileMapping | None) -> str:
    return f"{mapping.version}@{mapping.fingerprint}" if mapping else ""


def _newer_whole(con, system: str, dataset: str, dated: str) -> bool:
    return con.execute(
        "SELECT count(*) FROM raw.file JOIN raw.load l USING (load_id) "
        "WHERE file.system = ? AND dataset = ? AND extract = ? AND l.dated > ?",
        [system, dataset, WHOLE, dated],
    ).fetchone()[0] > 0  # fmt: skip


def open_file(
    instance: Instance, system: str, name: str, path: Path, read_by: str = ""
) -> tuple[FileMapping | None, Table]:  # fmt: skip
    """A received file's rows and the layout it has, of today's mappings or of the kept one it was `read_by` before; loader
    files have none. Raises InputFault."""
    if system == archive.LOADER:
        stem, _, ending = name.lower().rpartition(".")
        contract = contract_for_file(stem)
        if contract is None or not contract.public or ending not in ("csv", "xlsx"):
            raise InputFault(f"{name}: navnet hører ikke til nogen indlæsningsfil. Navngiv den som i kontrakten.")
        table = read_xlsx(path, name) if ending == "xlsx" else read_csv(path, name=name)
        table.columns = [column.lower() for column in table.columns]
        if not {c.loader for c in contract.columns} & set(table.columns):
            raise InputFault(
                f"{name}: ingen kendte kolonner i overskriften. Brug ; mellem felterne og kontraktens navne."
            )
        return None, table
    if read_by:
        title, files = read_version(archive.mapping_copy(instance, *read_by.split("@")))
        source = SourceMapping(system, title, files)
    else:
        source = load_mappings(instance).get(system)
    mapping = source and source.choose(name, lambda layout: columns_seen(path, name, layout))
    if mapping is None:
        raise InputFault(f"{name}: kildens opsætning ({system}) kender ingen fil med det navn. Ret mapningens 'pattern'.")
    return mapping, read_extract(path, name, mapping)


def _to_raw(con, instance: Instance, load: archive.Load, file: archive.ReceivedFile) -> _RawFile:
    """Writes a file's rows to its raw table, once by content."""
    path = archive.archived_path(instance, file.sha256)
    mapping, table = open_file(instance, file.system, file.name, path, file.mapping)
    dataset = mapping.dataset if mapping else file.name.lower().rpartition(".")[0]
    columns = [_raw_column(name, i) for i, name in enumerate(table.columns, 1)]
    raw = f'raw."{file.system}__{dataset}"'
    con.execute(f"CREATE TABLE IF NOT EXISTS {raw} (_file VARCHAR, _row BIGINT, _fault VARCHAR)")
    have = {name.lower() for name, *_ in con.execute(f"DESCRIBE {raw}").fetchall()}
    for column in columns:
        if column.lower() not in have:
            con.execute(f"ALTER TABLE {raw} ADD COLUMN {_name(column)} VARCHAR")
    rows_read = con.execute(f"SELECT count(*) FROM {raw} WHERE _file = ?", [file.sha256]).fetchone()[0]
    remarks = [table.remark] if table.remark else []
    if mapping:
        archive.keep_mapping(instance, mapping.version, mapping.fingerprint, mapping.path)
    if not rows_read:
        for batch in table.batches:
            if mapping and not rows_read:
                remarks += _drift(mapping, table, batch, path, file.name)
            con.register("batch", batch.rename_columns([*columns, "_row", "_fault"]))
            con.execute(f"INSERT INTO {raw} BY NAME SELECT *, '{file.sha256}' AS _file FROM batch")
            con.unregister("batch")
            rows_read += batch.num_rows
        if mapping and table.unfinished and rows_read:
            con.execute(
                f"UPDATE {raw} SET _fault = coalesce(_fault, ?) WHERE _file = ? "
                f"AND _row = (SELECT max(_row) FROM {raw} WHERE _file = ?)",
                [CUT_OFF, file.sha256, file.sha256],
            )  # fmt: skip
    known = set(mapping.columns) if mapping else {c.loader for c in contract_for_file(dataset).columns} | {"slet"}
    present = _present(con, raw, file.sha256, mapping, columns) if rows_read else columns
    con.execute(
        "INSERT INTO raw.file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [load.load_id, file.sha256, file.name, file.system, dataset, rows_read, columns, [c for c in columns if c not in known],
         _reference(mapping), mapping.extract if mapping else "", remarks],
    )  # fmt: skip
    return _RawFile(mapping, raw, [c for c in present if c in known])


def _drift(mapping: FileMapping, table: Table, batch: pa.Table, path: Path, name: str) -> list[str]:
    """How the file differs from its layout, in sentences, by its first rows."""
    sample = dict(zip(table.columns, batch.slice(0, ROWS_LOOKED_AT).columns, strict=False))
    found = drift(mapping, columns_seen(path, name, mapping) or table.columns, sample)
    return [f"{name}: {difference.sentence}" for difference in found]


def _present(con, raw: str, sha256: str, mapping: FileMapping | None, columns: list[str]) -> list[str]:
    """The columns the file has. In XML and JSON an element that no record has is a missing column, but where the layout says
    that it may be left out: then it is empty."""
    if mapping is None or mapping.format not in ("xml", "json"):
        return columns
    counted = ", ".join(f"count({_name(c)})" for c in columns)
    found = con.execute(f"SELECT {counted} FROM {raw} WHERE _file = ?", [sha256]).fetchone()
    return [c for c, number in zip(columns, found, strict=True) if number or mapping.columns[c].optional]


def _demand_key(target: TargetMapping, columns: list[str]) -> None:
    """Raises InputFault where a part of the key that may be empty is not in the extract: without it one offer's price would be
    every offer's."""
    for column in contract_for_file(target.loader_file).key_columns:
        rule = target.columns.get(column.loader)
        missing = [c for c in rule.needs if c not in columns] if rule and column.may_be_empty else []
        if missing:
            raise InputFault(
                f"Kolonnen '{missing[0]}' mangler i udtrækket og er en del af nøglen ({column.loader}). "
                "Bestil udtrækket med kolonnen, eller ret mapningen."
            )


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _raw_column(name: str, number: int) -> str:
    """The raw table's name of a column: the header's, or its number where it has none; `_file` and such are ours."""
    return f"{name}_" if name.lower() in ("_file", "_row", "_fault") else name or f"column_{number}"


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
