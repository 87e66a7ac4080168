"""A load's files written to raw tables as they are, and what a person should know of each beside its rows.

Small files of one layout are written together, so that twenty thousand invoices are a few steps and not twenty thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion import archive
from ingestion.contract import contract_for_file
from ingestion.drift import CODE, RETYPED, drift, drift_of
from ingestion.expressions import FILE_HASH, condition
from ingestion.extracts import columns_seen, read_extract
from ingestion.layouts import FileMapping, SourceMapping, TargetMapping, target_select
from ingestion.mapping import load_mappings, read_version
from ingestion.reading import BATCH_ROWS, Table, read_csv, read_xlsx
from settlement.faults import InputFault
from settlement.instance import Instance

ROWS_LOOKED_AT = 2_000
CUT_OFF = "Filens sidste række er ikke afsluttet, så den kan være skåret over. Bestil udtrækket igen, og send rækken på ny."
FILE_COLUMNS = (
    "load_id", "file_hash", "name", "system", "dataset", "rows_read", "columns", "unknown_columns", "mapping", "extract", "remarks",
)  # fmt: skip


@dataclass(frozen=True)
class RawFile:
    """A file's rows in its raw table, and how they are read on."""

    mapping: FileMapping | None
    raw: str
    columns: tuple[str, ...]
    """Those the file has and its layout knows of."""

    @property
    def reference(self) -> str:
        """The mapping that reads it (`sensum/1@fingerprint`); a loader file has none."""
        return reference(self.mapping)

    @property
    def alike(self) -> tuple:
        """Equal for files that are read on by the same SELECT: hundreds of invoices are one step, not hundreds."""
        return (self.raw, self.columns, self.reference)

    def selects(self, numbers: list[int]) -> dict[str, str]:
        """The SELECT of loader columns, `_file` (the number in `load_file`), `_row` and `_fault` by canonical table, for the
        files of those numbers. Raises InputFault where the layout's rules cannot be used on the file."""
        listed = ", ".join(map(str, numbers))
        files = f"(SELECT number, file_hash FROM load_file WHERE number IN ({listed})) l"
        rows = (
            f"(SELECT r.* REPLACE (l.number AS _file), r._file AS {FILE_HASH} FROM {self.raw} r "
            f"JOIN {files} ON l.file_hash = r._file)"
        )
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


class RawWriter:
    """Writes the files of one load; the caller holds the transaction, and calls `finish` when all are written."""

    def __init__(self, con: duckdb.DuckDBPyConnection, instance: Instance, load: archive.Load) -> None:
        self._con, self._instance, self._load = con, instance, load
        self._tables: dict[str, set[str]] = {}  # raw table → its columns in small letters
        self._stored: dict[str, dict[str, int]] = {}  # raw table → file's hash → rows, of this load and earlier ones
        self._present: dict[tuple[str, str], tuple[str, ...]] = {}  # of the files of this load by raw table and hash
        self._waiting: tuple[str, list[pa.Table]] = ("", [])
        self._rows_waiting = 0
        self._told: list[list] = []  # rows of raw.file
        self._documents: dict[tuple, tuple[RawFile, list[int]]] = {}  # alike documents by place in `_told`

    @cached_property
    def _mappings(self) -> dict[str, SourceMapping]:
        return load_mappings(self._instance)

    def write(self, file: archive.ReceivedFile) -> RawFile:
        """Writes a file's rows, once by content. Raises InputFault where the file cannot be read."""
        path = self._instance.archived(file.sha256)
        mapping, table = self._open(file, path)
        dataset = mapping.dataset if mapping else file.name.lower().rpartition(".")[0]
        columns = [_raw_column(name, i) for i, name in enumerate(table.columns, 1)]
        raw = f'raw."{file.system}__{dataset}"'
        self._lay_out(raw, file.system, dataset, columns)
        if mapping:
            archive.keep_mapping(self._instance, mapping.version, mapping.fingerprint, mapping.path)
        remarks = [table.remark] if table.remark else []
        fresh = not self._stored[raw].get(file.sha256)
        rows = self._write(raw, file, mapping, table, columns, path, remarks) if fresh else self._stored[raw][file.sha256]
        known = set(mapping.columns) if mapping else {c.loader for c in contract_for_file(dataset).columns} | {"slet"}
        present = self._columns_of(raw, file.sha256, mapping, columns) if rows else columns
        found = RawFile(mapping, raw, tuple(c for c in present if c in known))
        if fresh and mapping and mapping.root:
            self._documents.setdefault(found.alike, (found, []))[1].append(len(self._told))
        unknown, extract = [c for c in columns if c not in known], mapping.extract if mapping else ""
        self._told.append([
            self._load.load_id, file.sha256, file.name, file.system, dataset, rows, columns, unknown, found.reference, extract,
            remarks,
        ])  # fmt: skip
        return found

    def finish(self) -> None:
        """Writes what waits, and tells of the files in raw.file."""
        self._flush()
        for found, places in self._documents.values():
            self._tell(found, places)
        if self._told:
            columns = dict(zip(FILE_COLUMNS, zip(*self._told, strict=True), strict=True))
            texts = pa.list_(pa.string())
            lists = {name: pa.array(columns[name], texts) for name in ("columns", "unknown_columns", "remarks")}
            self._insert("raw.file", pa.table(columns | lists))

    def _open(self, file: archive.ReceivedFile, path: Path) -> tuple[FileMapping | None, Table]:
        """A file's rows and the layout it has, of today's mappings or of the kept one it was read by before; loader files
        have none."""
        if file.system == archive.LOADER:
            return None, _loader_table(file.name, path)
        if file.mapping:
            title, files = read_version(archive.mapping_copy(self._instance, *file.mapping.split("@")))
            source = SourceMapping(file.system, title, files)
        else:
            source = self._mappings.get(file.system)
        mapping = source and source.choose(file.name, lambda layout: columns_seen(path, file.name, layout))
        if mapping is None:
            raise InputFault(
                f"{file.name}: kildens opsætning ({file.system}) kender ingen fil med det navn. Ret mapningens 'pattern'."
            )
        return mapping, read_extract(path, file.name, mapping)

    def _lay_out(self, raw: str, system: str, dataset: str, columns: list[str]) -> None:
        if raw not in self._tables:
            self._con.execute(f"CREATE TABLE IF NOT EXISTS {raw} (_file VARCHAR, _row BIGINT, _fault VARCHAR)")
            self._tables[raw] = {name.lower() for name, *_ in self._con.execute(f"DESCRIBE {raw}").fetchall()}
            self._stored[raw] = dict(self._con.execute(
                "SELECT file_hash, max(rows_read) FROM raw.file WHERE system = ? AND dataset = ? GROUP BY file_hash",
                [system, dataset],
            ).fetchall())  # fmt: skip
        for column in columns:
            if column.lower() not in self._tables[raw]:
                self._con.execute(f"ALTER TABLE {raw} ADD COLUMN {_name(column)} VARCHAR")
                self._tables[raw].add(column.lower())

    def _write(self, raw, file, mapping, table: Table, columns: list[str], path: Path, remarks: list[str]) -> int:
        rows, filled = 0, [0] * len(columns)
        for batch in table.batches:
            if mapping and not mapping.root and not rows:
                remarks += _drift(mapping, table, batch, path, file.name)
            rows += batch.num_rows
            filled = [n + len(cells) - cells.null_count for n, cells in zip(filled, batch.columns, strict=False)]
            named = batch.rename_columns([*columns, "_row", "_fault"])
            self._wait(raw, named.append_column("_file", pa.repeat(file.sha256, batch.num_rows)))
        if mapping and table.unfinished and rows:
            self._flush()
            self._con.execute(
                f"UPDATE {raw} SET _fault = coalesce(_fault, ?) WHERE _file = ? "
                f"AND _row = (SELECT max(_row) FROM {raw} WHERE _file = ?)",
                [CUT_OFF, file.sha256, file.sha256],
            )  # fmt: skip
        self._stored[raw][file.sha256] = rows
        self._present[raw, file.sha256] = _present(mapping, columns, filled)
        return rows

    def _columns_of(self, raw: str, sha256: str, mapping: FileMapping | None, columns: list[str]) -> tuple[str, ...]:
        if (raw, sha256) not in self._present:  # read by an earlier load
            counted = ", ".join(f"count({_name(c)})" for c in columns)
            filled = self._con.execute(f"SELECT {counted} FROM {raw} WHERE _file = ?", [sha256]).fetchone()
            self._present[raw, sha256] = _present(mapping, columns, filled)
        return self._present[raw, sha256]

    def _wait(self, raw: str, rows: pa.Table) -> None:
        """Lets rows wait for more of the same shape, as long as they are few."""
        waits_for, waiting = self._waiting
        if waiting and (waits_for != raw or waiting[0].schema != rows.schema):
            self._flush()
        self._waiting = (raw, self._waiting[1])
        self._waiting[1].append(rows)
        self._rows_waiting += rows.num_rows
        if self._rows_waiting >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        raw, waiting = self._waiting
        self._waiting, self._rows_waiting = ("", []), 0
        if waiting:
            self._insert(raw, pa.concat_tables(waiting).combine_chunks())

    def _insert(self, table: str, rows: pa.Table) -> None:
        # DuckDB finds `rows` by the variable's name. A registered one it would hold to the transaction's end: a file of 2 GB whole.
        self._con.execute(f"INSERT INTO {table} BY NAME FROM rows")

    def _tell(self, found: RawFile, places: list[int]) -> None:
        """Tells of alike documents how they differ from their layout. They are looked at together; where cells differ, half of
        them and half again, until the documents are found that it is so in."""
        self._con.register("looked_at_file", pa.table({"file_hash": [self._told[place][1] for place in places]}))
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE looked_at AS FROM {found.raw} r SEMI JOIN looked_at_file l ON l.file_hash = r._file"
        )
        self._con.unregister("looked_at_file")
        differences = drift_of(self._con, "looked_at", found.mapping, found.columns)
        if len(places) > 1 and any(difference.kind in (CODE, RETYPED) for difference in differences):
            self._tell(found, places[: len(places) // 2])
            self._tell(found, places[len(places) // 2 :])
            return
        for place in places if differences else ():
            told = self._told[place]
            told[-1] += [f"{told[2]}: {difference.sentence}" for difference in differences]


def reference(mapping: FileMapping | None) -> str:
    """The name of a mapping and of its bytes."""
    return f"{mapping.version}@{mapping.fingerprint}" if mapping else ""


def _loader_table(name: str, path: Path) -> Table:
    stem, _, ending = name.lower().rpartition(".")
    contract = contract_for_file(stem)
    if contract is None or not contract.public or ending not in ("csv", "xlsx"):
        raise InputFault(f"{name}: navnet hører ikke til nogen indlæsningsfil. Navngiv den som i kontrakten.")
    table = read_xlsx(path, name) if ending == "xlsx" else read_csv(path, name=name)
    table.columns = [column.lower() for column in table.columns]
    if not {c.loader for c in contract.columns} & set(table.columns):
        raise InputFault(f"{name}: ingen kendte kolonner i overskriften. Brug ; mellem felterne og kontraktens navne.")
    return table


def _drift(mapping: FileMapping, table: Table, batch: pa.Table, path: Path, name: str) -> list[str]:
    """How the file differs from its layout, in sentences, by its first rows."""
    sample = dict(zip(table.columns, batch.slice(0, ROWS_LOOKED_AT).columns, strict=False))
    found = drift(mapping, columns_seen(path, name, mapping) or table.columns, sample)
    return [f"{name}: {difference.sentence}" for difference in found]


def _present(mapping: FileMapping | None, columns: list[str], filled: Iterable[int]) -> tuple[str, ...]:
    """The columns a file has. In XML and JSON an element that no record has is a missing column, but where the layout says
    that it may be left out: then it is empty."""
    if mapping is None or mapping.format not in ("xml", "json"):
        return tuple(columns)
    return tuple(c for c, number in zip(columns, filled, strict=True) if number or mapping.columns[c].optional)


def _demand_key(target: TargetMapping, columns: Collection[str]) -> None:
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
    return f"{name}_" if name.lower() in ("_file", "_row", "_fault", FILE_HASH) else name or f"column_{number}"
