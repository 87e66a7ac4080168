"""The warehouse: raw and canonical tables in one DuckDB file with one writer, derived from the archive.

It is no truth of its own: `catch_up` replays every load of the manifest that the file does not hold yet, so a
deleted warehouse comes back the same.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import yaml
from lxml.etree import XMLSyntaxError

from ingestion import archive, gate
from ingestion.contract import contract_for_file, contracts
from ingestion.mapping import FileMapping, load_mappings, target_select
from ingestion.reading import Table, batched, read_csv, read_xlsx
from ingestion.xml_records import read_xml
from settlement.faults import InputFault, StateFault
from settlement.instance import Instance
from settlement.reference import municipality_codes

WARNINGS = Path(__file__).parent / "warnings.yaml"

SCHEMA = """
CREATE SCHEMA raw;
CREATE SCHEMA canonical;
CREATE SCHEMA history;
CREATE SCHEMA known;
CREATE SCHEMA quarantine;
CREATE TABLE raw.load (
    load_id BIGINT PRIMARY KEY, system VARCHAR, received_at TIMESTAMP, received_by VARCHAR, dated DATE);
CREATE TABLE raw.file (
    load_id BIGINT, file_hash VARCHAR, name VARCHAR, system VARCHAR, dataset VARCHAR, rows_read BIGINT,
    columns VARCHAR[], unknown_columns VARCHAR[]);
CREATE TABLE quarantine.refused (
    load_id BIGINT, table_name VARCHAR, loader_file VARCHAR, file_hash VARCHAR, file_name VARCHAR, row BIGINT,
    reason VARCHAR, column_name VARCHAR, value VARCHAR, message VARCHAR, key VARCHAR[], service_line_id VARCHAR,
    cells JSON, closed_by_load BIGINT);
CREATE TABLE quarantine.warned (
    load_id BIGINT, table_name VARCHAR, file_hash VARCHAR, row BIGINT, warning VARCHAR, column_name VARCHAR,
    message VARCHAR);
CREATE TABLE quarantine.file_count (
    load_id BIGINT, file_hash VARCHAR, name VARCHAR, rows_read BIGINT, rows_accepted BIGINT,
    rows_quarantined BIGINT, rows_unmapped BIGINT, rows_warned BIGINT);
-- Check digits by modulus 11 (CVR, CPR) and GS1 (EAN), domain_rules.md §12
CREATE OR REPLACE MACRO cvr_valid(x) AS regexp_full_match(x, '[1-9][0-9]{7}') AND list_sum(list_transform(
    [2, 7, 6, 5, 4, 3, 2, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 11 = 0;
CREATE OR REPLACE MACRO cpr_checks(x) AS list_sum(list_transform(
    [4, 3, 2, 7, 6, 5, 4, 3, 2, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 11 = 0;
CREATE OR REPLACE MACRO ean_valid(x) AS regexp_full_match(x, '[0-9]{13}') AND list_sum(list_transform(
    [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1], lambda w, i: w * TRY_CAST(x[i] AS INTEGER))) % 10 = 0;
-- The load whose knowledge the tables of `known` show; known.bind_known sets it on the connection.
CREATE OR REPLACE MACRO known_load() AS coalesce(getvariable('known_load'), error('known_load is not set: bind_known'));
CREATE VIEW known.refused AS
    SELECT * REPLACE (CAST(NULL AS BIGINT) AS closed_by_load) FROM quarantine.refused
    WHERE load_id <= known_load() AND (closed_by_load IS NULL OR closed_by_load > known_load());
"""

# The canonical row in force, the versions before it with the load that replaced each, and both as of a load.
CANONICAL = """
CREATE TABLE canonical.{table} (
    {columns}, withdrawn BOOLEAN NOT NULL, source_file VARCHAR, source_row BIGINT, load_id BIGINT);
CREATE TABLE history.{table} AS SELECT *, load_id AS closed_by_load FROM canonical.{table};
CREATE VIEW known.{table} AS
    FROM canonical.{table} WHERE load_id <= known_load()
    UNION ALL
    SELECT * EXCLUDE (closed_by_load) FROM history.{table}
    WHERE load_id <= known_load() AND closed_by_load > known_load();
"""

AFTER_TABLES = """
CREATE OR REPLACE MACRO chart_is_known() AS EXISTS (FROM canonical.account);
CREATE OR REPLACE MACRO in_chart(x) AS EXISTS (FROM canonical.account k WHERE k.account = x AND NOT k.withdrawn);
"""


@dataclass(frozen=True)
class FileReport:
    """What became of one received file. `fault` is set where it could not be read at all."""

    name: str
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_unmapped: int = 0
    rows_warned: int = 0
    unknown_columns: tuple[str, ...] = ()
    fault: str = ""


@contextmanager
def open_warehouse(instance: Instance) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse for writing, holding every load of the archive.

    Raises StateFault where another process writes it.
    """
    try:
        con = duckdb.connect(str(instance.warehouse))
    except duckdb.IOException as busy:
        raise StateFault(
            "Datalageret bruges af en anden kørsel netop nu. Vent, til den er færdig, og prøv igen."
        ) from busy
    try:
        con.execute("SET preserve_insertion_order = true")
        _lay_out(con)
        catch_up(con, instance)
        yield con
    finally:
        con.close()


@cache
def _layout() -> tuple[str, str]:
    """The SQL that lays an empty warehouse out, and its hash: the layout's version."""
    tables = [
        CANONICAL.format(table=c.table, columns=", ".join(f"{column.name} {column.duckdb_type}" for column in c.columns))
        for c in contracts().values()
    ]
    sql = "".join([SCHEMA, *tables, AFTER_TABLES])
    return sql, hashlib.sha256(sql.encode()).hexdigest()


def _lay_out(con: duckdb.DuckDBPyConnection) -> None:
    """Lays the warehouse out. One of another layout, an earlier version's, is emptied: the archive fills it again."""
    sql, version = _layout()
    found = con.execute("SELECT comment FROM duckdb_tables() WHERE schema_name = 'raw' AND table_name = 'load'").fetchone()
    if found == (version,):
        return
    schemas = con.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal").fetchall()
    con.execute("BEGIN")
    for (schema,) in schemas:
        con.execute(f"DROP SCHEMA {schema} CASCADE")
    con.execute(sql)
    con.execute(f"COMMENT ON TABLE raw.load IS '{version}'")
    con.execute("COMMIT")


def catch_up(con: duckdb.DuckDBPyConnection, instance: Instance) -> list[int]:
    """Judges and applies the loads of the manifest that the warehouse does not hold; returns their ids."""
    done = con.execute("SELECT coalesce(max(load_id), 0) FROM raw.load").fetchone()[0]
    fresh = [load for load in archive.loads(instance) if load.load_id > done]
    for load in fresh:
        con.execute("BEGIN")
        try:
            _replay(con, instance, load)
        except BaseException:
            con.execute("ROLLBACK")
            raise
        con.execute("COMMIT")
    return [load.load_id for load in fresh]


def receive(
    con: duckdb.DuckDBPyConnection,
    instance: Instance,
    files: list[tuple[str, str, Path]],
    *,
    dated: str,
    received_by: str,
    progress: Callable[[str], None] = lambda sentence: None,
) -> tuple[int | None, list[FileReport]]:
    """Takes files, as (system, name, place), in as one load: archives, judges and applies them.

    A file that cannot be read at all changes nothing and is reported with its fault. Returns the load's id,
    None where no file could be read, and a report per file.
    """
    kept, faults = [], []
    for system, name, path in files:
        progress(f"Læser {name}")
        try:
            for _ in _open(system, name, path)[1].batches:
                pass
        except InputFault as fault:
            faults.append(FileReport(name, fault=str(fault)))
            continue
        kept.append(archive.keep(instance, system, name, path))
    if not kept:
        return None, faults
    load = archive.record(instance, received_by, dated, kept)
    progress(f"Kontrollerer {len(kept)} filer")
    catch_up(con, instance)
    counted = con.execute(
        """SELECT c.name, c.rows_read, rows_accepted, rows_quarantined, rows_unmapped, rows_warned, f.unknown_columns
        FROM quarantine.file_count c JOIN raw.file f USING (load_id, file_hash, name)
        WHERE load_id = ? ORDER BY c.name, file_hash""",
        [load.load_id],
    ).fetchall()
    return load.load_id, [FileReport(*row[:-1], tuple(row[-1])) for row in counted] + faults


def _open(system: str, name: str, path: Path) -> tuple[FileMapping | None, Table]:
    if system == archive.LOADER:
        stem, _, ending = name.lower().rpartition(".")
        contract = contract_for_file(stem)
        if contract is None or not contract.public or ending not in ("csv", "xlsx"):
            raise InputFault(f"{name}: navnet hører ikke til nogen indlæsningsfil. Navngiv den som i kontrakten.")
        table = read_xlsx(path) if ending == "xlsx" else read_csv(path)
        table.columns = [column.lower() for column in table.columns]
        if not {c.loader for c in contract.columns} & set(table.columns):
            raise InputFault(
                f"{name}: ingen kendte kolonner i overskriften. Brug ; mellem felterne og kontraktens navne."
            )
        return None, table
    mapping = load_mappings()[system].file_for(name)
    if mapping is None:
        raise InputFault(f"{name}: kildens opsætning ({system}.yaml) kender ingen fil med det navn.")
    if mapping.format == "xml":
        return mapping, Table(list(mapping.columns), batched(_xml_rows(name, path, mapping)))
    table = read_xlsx(path) if mapping.format == "xlsx" else read_csv(path, mapping.delimiter, mapping.encoding)
    return mapping, table


def _xml_rows(name: str, path: Path, mapping: FileMapping) -> Iterator[tuple[int, list[str], None]]:
    """Records numbered from 1, for XML has no header row."""
    try:
        for number, values in enumerate(read_xml(path, mapping.record, list(mapping.columns)), start=1):
            yield number, values, None
    except XMLSyntaxError as broken:
        raise InputFault(f"{name}: kan ikke læses som XML ({broken}). Bestil udtrækket igen.") from broken


def _replay(con, instance: Instance, load: archive.Load) -> None:
    con.execute(
        "INSERT INTO raw.load VALUES (?, ?, ?, ?, ?)",
        [load.load_id, ", ".join(load.systems), load.received_at[:19], load.received_by, load.dated],
    )
    stages: dict[str, gate.Stage] = {}
    for file in load.files:
        for table, select in _to_raw(con, instance, load, file).items():
            stage = stages.setdefault(table, gate.Stage(contracts()[table], []))
            stage.selects.append(select)
    municipalities = municipality_codes()
    gate.judge(con, load.load_id, stages, municipalities)
    _warn(con, load.load_id)
    _count(con, load)


def _to_raw(con, instance: Instance, load: archive.Load, file: archive.ReceivedFile) -> dict[str, str]:
    """Writes a file's rows to its raw table; returns the SELECT of loader columns per canonical table."""
    mapping, table = _open(file.system, file.name, archive.archived_path(instance, file.sha256))
    dataset = mapping.dataset if mapping else file.name.lower().rpartition(".")[0]
    columns = [_raw_column(name, i) for i, name in enumerate(table.columns, 1)]
    raw = f'raw."{file.system}__{dataset}"'
    con.execute(f"CREATE TABLE IF NOT EXISTS {raw} (_file VARCHAR, _row BIGINT, _fault VARCHAR)")
    have = {name.lower() for name, *_ in con.execute(f"DESCRIBE {raw}").fetchall()}
    for column in columns:
        if column.lower() not in have:
            con.execute(f'ALTER TABLE {raw} ADD COLUMN "{column.replace(chr(34), chr(34) * 2)}" VARCHAR')
    rows_read = con.execute(f"SELECT count(*) FROM {raw} WHERE _file = ?", [file.sha256]).fetchone()[0]
    if not rows_read:
        for batch in table.batches:
            numbers, values, faults = zip(*batch, strict=True)
            arrow = pa.table(
                [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
                + [pa.array([file.sha256] * len(batch)), pa.array(numbers), pa.array(faults, pa.string())],
                names=[*columns, "_file", "_row", "_fault"],
            )
            con.register("batch", arrow)
            con.execute(f"INSERT INTO {raw} BY NAME FROM batch")
            con.unregister("batch")
            rows_read += len(batch)
    if mapping:
        known = set(mapping.columns)
        selects = {
            contract_for_file(name).table: target_select(target, raw, columns)
            for name, target in mapping.targets.items()
        }
    else:
        contract = contract_for_file(dataset)
        known = {c.loader for c in contract.columns} | {"slet"}
        quoted = ", ".join(f'"{c}"' for c in columns if c in known)
        selects = {contract.table: f"SELECT {quoted}, _file, _row FROM {raw}"}
    con.execute(
        "INSERT INTO raw.file VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [load.load_id, file.sha256, file.name, file.system, dataset, rows_read, columns,
         [c for c in columns if c not in known]],
    )  # fmt: skip
    return {
        table: f"SELECT m.*, r._fault FROM ({select}) m JOIN {raw} r USING (_file, _row) WHERE _file = '{file.sha256}'"
        for table, select in selects.items()
    }


def _raw_column(name: str, number: int) -> str:
    """The raw table's name of a column: the header's, or its number where it has none; `_file` and such are ours."""
    return f"{name}_" if name.lower() in ("_file", "_row", "_fault") else name or f"column_{number}"


@cache
def _warning_rules() -> tuple[dict, ...]:
    return tuple(yaml.safe_load(WARNINGS.read_text(encoding="utf-8")))


def _warn(con, load_id: int) -> None:
    touched = {table for (table,) in con.execute("SELECT DISTINCT table_name FROM judged").fetchall()}
    for rule in _warning_rules():
        if rule["table"] in touched:
            con.execute(
                f"""INSERT INTO quarantine.warned BY NAME
                SELECT {load_id} AS load_id, '{rule["table"]}' AS table_name, r.source_file AS file_hash,
                    r.source_row AS row, ? AS warning, ? AS column_name, ? AS message
                FROM canonical.{rule["table"]} r WHERE r.load_id = {load_id} AND NOT r.withdrawn AND ({rule["when"]})""",
                [f"{rule['table']}_{rule['column']}", rule["column"], rule["message"]],
            )


def _count(con, load: archive.Load) -> None:
    """Rows read, accepted, quarantined and not mapped, per file; each counted from its own source."""
    con.execute(
        """INSERT INTO quarantine.file_count BY NAME
        WITH judged_row AS (
            SELECT _file, _row, bool_or(reason IS NOT NULL) AS refused FROM judged WHERE NOT _retry GROUP BY ALL
        ),
        warned_row AS (SELECT DISTINCT file_hash, row FROM quarantine.warned WHERE load_id = $load)
        SELECT $load AS load_id, f.file_hash, f.name, f.rows_read,
            (SELECT count(*) FROM judged_row j WHERE j._file = f.file_hash AND NOT refused) AS rows_accepted,
            (SELECT count(*) FROM judged_row j WHERE j._file = f.file_hash AND refused) AS rows_quarantined,
            f.rows_read - (SELECT count(*) FROM judged_row j WHERE j._file = f.file_hash) AS rows_unmapped,
            (SELECT count(*) FROM warned_row w WHERE w.file_hash = f.file_hash) AS rows_warned
        FROM raw.file f WHERE f.load_id = $load""",
        {"load": load.load_id},
    )


def scratch_folder() -> tempfile.TemporaryDirectory:
    """A folder for unpacked zips that goes away by itself."""
    return tempfile.TemporaryDirectory(prefix="afregning-")
