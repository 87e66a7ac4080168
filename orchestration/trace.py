"""`afregning trace`: from a canonical row, by its key, to the file, row, mapping and cells behind each of its versions.

Personal cells are hidden unless a person with the right to see citizens asks for them with a purpose, which is logged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from ingestion import archive
from ingestion.conflicts import CONTESTED
from ingestion.contract import Column, Contract, contract_for_file, contracts
from ingestion.expressions import ColumnRule
from ingestion.known import DENMARK
from ingestion.layouts import FileMapping
from ingestion.mapping import load_mappings, read_version
from ingestion.translating import TRANSLATED
from orchestration.column_lineage import raw_table, rule_text
from settlement.explanation import short_text
from settlement.faults import InputFault
from settlement.instance import Instance
from settlement.reference import municipality_codes

HIDDEN = "(skjult)"
SCALES = {
    "money": 100, "signed_money": 100, "percent": 100, "quantity": 10_000, "signed_quantity": 10_000, "exact": 10**10,
}  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One version of a canonical row: its columns, and beside them where it came from; `closed_by` is the load that
    replaced it, None for the one in force."""

    values: dict
    withdrawn: bool
    source_file: str
    source_row: int | None
    load_id: int
    dated: date
    closed_by: int | None = None


@dataclass(frozen=True)
class Tracer:
    """Tells where rows came from. `reveal` shows personal cells; the caller has the right and has logged it."""

    con: duckdb.DuckDBPyConnection
    instance: Instance
    reveal: bool = False

    def row(self, contract: Contract, versions: list[Version], *, everything: bool = False) -> Iterator[str]:
        """A row's versions, the newest first, in Danish sentences: when and by which load each came, what it changed, its
        file, row and mapping, the cells as delivered and the rule that filled each column. Cells and rules of the newest
        alone, unless `everything`."""
        values = versions[0].values
        key = ", ".join(f"{c.loader} {self.shown(contract, c, values[c.name]) or '(tom)'}" for c in contract.key_columns)
        number = "1 version" if len(versions) == 1 else f"{len(versions)} versioner"
        yield f"{contract.loader_file} ({contract.table}), {key}: {number}."
        for place, version in enumerate(versions):
            before = versions[place + 1] if place + 1 < len(versions) else None
            yield ""
            yield from self._version(contract, version, before, is_told_whole=everything or place == 0)

    def origin(self, version: Version) -> str:
        """File, row, load and mapping in one sentence."""
        file = self._file(version)
        row = f"række {version.source_row}" if version.source_row is not None else "hvor rækken manglede"
        read_by = f", læst efter {file['mapping']}" if file["mapping"] else ""
        return (
            f"{file['name']} ({file['system']}), {row}{read_by}, indlæsning {version.load_id}, "
            f"SHA-256 {version.source_file[:16]}…"
        )

    def shown(self, contract: Contract, column: Column, value) -> str:
        """A canonical value as a loader file has it; a personal one hidden."""
        if value is None or value == "":
            return ""
        return HIDDEN if self._is_hidden(contract, column) else value_text(column, value)

    def _is_hidden(self, contract: Contract, column: Column) -> bool:
        # Of a table about persons every column tells something about one.
        return not self.reveal and (column.personal or contract.personal)

    def _version(self, contract: Contract, version: Version, before: Version | None, *, is_told_whole: bool) -> Iterator[str]:
        state = "gælder nu" if version.closed_by is None else f"erstattet af indlæsning {version.closed_by}"
        yield f"{'Trukket tilbage' if version.withdrawn else 'Værdier'} fra indlæsning {version.load_id}, {state}."
        yield f"  {self._load_text(version)}"
        if before:
            yield "  Ændret: " + ("; ".join(self._changes(contract, version, before)) or "intet i værdierne") + "."
        file = self._file(version)
        received = f", modtaget i indlæsning {file['load_id']}" if file["load_id"] != version.load_id else ""
        yield f"  Fil: {file['name']}, system {file['system']}, datasæt {file['dataset']}{received}, SHA-256 {version.source_file}."
        if version.source_row is None:
            yield "  Rækken stod ikke i denne fil, som er et helt udtræk, og er derfor trukket tilbage."
            return
        yield f"  Række {version.source_row}" + ("" if file["mapping"] else ", efter indlæsningsfilens kontrakt") + "."
        mapping = self._mapping(file) if file["mapping"] else None
        if file["mapping"]:
            name, _, fingerprint = file["mapping"].partition("@")
            yield f"  Mapning: {name}, fingeraftryk {fingerprint}."
        if is_told_whole:
            yield from self._cells_and_rules(contract, version, before, file, mapping)

    def _load_text(self, version: Version) -> str:
        load = archive.loads(self.instance)[version.load_id - 1]
        received = datetime.fromisoformat(load.received_at).astimezone(DENMARK)
        dated = date.fromisoformat(load.dated)
        text = f"Modtaget {received:%d-%m-%Y kl. %H.%M.%S} af {load.received_by}; udtræksdato {dated:%d-%m-%Y}"
        text += f", og sagt igen til og med udtrækket af {version.dated:%d-%m-%Y}." if version.dated > dated else "."
        return text + (f" Den fortrød indlæsning {load.undoes}: «{load.reason}»." if load.undoes else "")

    def _changes(self, contract: Contract, version: Version, before: Version) -> Iterator[str]:
        if version.withdrawn != before.withdrawn:
            yield "trukket tilbage" if version.withdrawn else "gælder igen"
        for column in contract.stored:
            old, new = before.values[column.name], version.values[column.name]
            if old != new:
                was, now = (self.shown(contract, column, value) or "tom" for value in (old, new))
                yield f"{column.loader} fra {was} til {now}"

    def _file(self, version: Version) -> dict:
        """The receipt of the version's file: the newest that is not after its load."""
        cursor = self.con.execute(
            """SELECT name, system, dataset, mapping, columns, load_id FROM raw.file WHERE file_hash = ? AND load_id <= ?
            ORDER BY load_id DESC, name LIMIT 1""",
            [version.source_file, version.load_id],
        )
        return dict(zip((c[0] for c in cursor.description), cursor.fetchone(), strict=True))

    def _mapping(self, file: dict) -> FileMapping | None:
        """The mapping as it was when it read the file: that of now where it is the same, else the archive's copy."""
        version, _, fingerprint = file["mapping"].partition("@")
        source = load_mappings(self.instance).get(file["system"])
        files = source.files if source else ()
        kept = archive.mapping_copy(self.instance, version, fingerprint)
        if not any(f.version == version and f.fingerprint == fingerprint for f in files) and kept.exists():
            files = read_version(kept)[1]
        return next(
            (f for f in files if (f.version, f.fingerprint, f.dataset) == (version, fingerprint, file["dataset"])), None
        )  # fmt: skip

    def _cells_and_rules(self, contract, version, before, file, mapping) -> Iterator[str]:
        cells = self._cells(file, version, mapping)
        is_unknown = bool(file["mapping"]) and mapping is None
        open_cells = set(cells) if self.reveal else set() if is_unknown else self._shown_cells(contract, mapping)
        yield "  Rækken som leveret:"
        for name, cell in cells.items():
            yield f"    {name} = {(cell if name in open_cells else HIDDEN) if cell else '(tom)'}"
        if is_unknown:
            yield "  Reglerne kendes ikke: mapningen er ændret siden og ikke gemt. Hent dens fil fra versionsstyringen."
            return
        rules = self._rules(contract, mapping)
        yield "  Kolonner og den regel, der udfyldte hver:"
        for column in contract.stored:
            value = self.shown(contract, column, version.values[column.name]) or "(tom)"
            if version.withdrawn and column.name not in contract.key:
                continue  # of a row that withdraws only the key is read
            elsewhere = self._from_elsewhere(contract, version, column, file)
            why = elsewhere or self._why(column, rules.get(column.loader), cells, before)
            yield f"    {column.loader or column.name} = {value} ← {why}"
        if "slet" in rules and version.withdrawn and not archive.loads(self.instance)[version.load_id - 1].undoes:
            yield f"    slet = ja ← {rule_text(rules['slet'])}"

    def _rules(self, contract: Contract, mapping: FileMapping | None) -> dict[str, ColumnRule]:
        if mapping is None:
            return {name: ColumnRule(column=name) for name in (*(c.loader for c in contract.columns), "slet")}
        return mapping.targets[contract.loader_file].columns

    def _from_elsewhere(self, contract: Contract, version: Version, column: Column, file: dict) -> str:
        """Where a value is not the row's own: another system's word that goes before, or a code's translation."""
        values, at = version.values, version.load_id
        if contract.table == TRANSLATED and column.name == "source_system":
            return "systemet, som leverede koden"
        if contract.table == TRANSLATED and column.name == "item_code":
            code = values["source_item_code"]
            is_own = code in (None, values["item_code"])
            return "" if is_own else f"koden {code} fra {values['source_system']}, oversat efter ydelsesoversaettelser"
        if contract.table not in CONTESTED or values[column.name] is None:
            return ""
        said = str(values[column.name])
        words = self.con.execute(
            """SELECT system, load_id FROM quality.said WHERE (table_name, key, column_name, lower(value)) = (?, ?, ?, ?)
            AND load_id <= ? AND coalesce(closed_by_load > ?, true) ORDER BY load_id DESC, system""",
            [contract.table, values[contract.key[0]], column.name, said.lower(), at, at],
        ).fetchall()
        if not words or file["system"] in {system for system, _ in words}:
            return ""
        return f"sagt af {words[0][0]} i indlæsning {words[0][1]}, som går forud for {file['system']}"

    def _why(self, column: Column, rule: ColumnRule | None, cells: dict, before: Version | None) -> str:
        if rule is None or not set(rule.needs) <= cells.keys():
            if before:
                return "ikke i filen; værdien fra før er beholdt"
            return f"ikke i filen; standardværdien «{column.default}»" if column.default is not None else "ikke i filen"
        if rule.needs and not any(cells[need] for need in rule.needs) and column.default is not None:
            return f"{rule_text(rule)}; cellen er tom: standardværdien «{column.default}»"
        return rule_text(rule)

    def _cells(self, file: dict, version: Version, mapping: FileMapping | None) -> dict[str, str | None]:
        """The cells of the row by the columns the file has. In XML and JSON it lacks an element that no record has, but where
        the layout says that it may be left out."""
        table = f'raw."{raw_table(file["system"], file["dataset"]).partition(".")[2]}"'
        cursor = self.con.execute(f"SELECT * FROM {table} WHERE _file = ? AND _row = ?", [version.source_file, version.source_row])
        found = dict(zip((c[0] for c in cursor.description), cursor.fetchone(), strict=True))
        names = [name for name in file["columns"] if name in found]
        if mapping and mapping.format in ("xml", "json"):
            counted = ", ".join('count("{}")'.format(name.replace('"', '""')) for name in names)
            counts = self.con.execute(f"SELECT {counted} FROM {table} WHERE _file = ?", [version.source_file]).fetchone()
            names = [name for name, count in zip(names, counts, strict=True) if count or mapping.columns[name].optional]
        return {name: found[name] for name in names}

    def _shown_cells(self, contract: Contract, mapping: FileMapping | None) -> set[str]:
        """The columns of a file whose cells may be shown: those that fill columns of which none, nor its table, is personal."""
        targets = [(contract_for_file(t.loader_file), t.columns) for t in mapping.targets.values()] if mapping else []
        used, personal = set(), set()
        for filled, rules in targets or [(contract, self._rules(contract, None))]:
            told_of_persons = {c.loader for c in filled.columns if c.personal}
            for column, rule in rules.items():
                used.update(rule.needs)
                personal.update(rule.needs if column in told_of_persons or filled.personal else ())
        return used - personal


# --- Finding the row ----------------------------------------------------------------------------------------------------


def contract_named(name: str) -> Contract:
    """By canonical table or loader file. Raises InputFault."""
    contract = contracts().get(name) or contract_for_file(name)
    if contract is None:
        names = ", ".join(c.loader_file for c in contracts().values())
        raise InputFault(f"Tabellen «{name}» findes ikke. Brug en af: {names}.")
    return contract


def versions_of(con: duckdb.DuckDBPyConnection, contract: Contract, key: list[str]) -> list[Version]:
    """Every version of the row with that key (texts as in a loader file), the newest first. Raises InputFault."""
    if len(key) != len(contract.key):
        listed = " ".join(c.loader.upper() for c in contract.key_columns)
        raise InputFault(f"Nøglen er ikke hel. Skriv: afregning trace {contract.loader_file} {listed}, en tom del som ''.")
    values = [_read(con, column, text) for column, text in zip(contract.key_columns, key, strict=True)]
    found = select_versions(
        con, contract, " AND ".join(f"{name} IS NOT DISTINCT FROM ?" for name in contract.key), values
    )  # fmt: skip
    if not found:
        raise InputFault(
            f"{contract.loader_file} har ingen række med den nøgle. Kontrollér nøglen; afviste rækker står på Datakvalitet."
        )
    return found


def select_versions(
    con: duckdb.DuckDBPyConnection, contract: Contract, condition: str, values: list | dict, *, known_load: int | None = None
) -> list[Version]:
    """Every version of the rows that fulfil an SQL condition, the newest first; with `known_load` those in force when that
    load was the newest."""
    now = f"SELECT *, NULL::BIGINT AS closed_by_load FROM canonical.{contract.table}"
    then = f" UNION ALL BY NAME FROM history.{contract.table}"
    if known_load is not None:
        condition += f" AND load_id <= {known_load:d} AND coalesce(closed_by_load > {known_load:d}, true)"
    # Under the table's own name, which the condition may use.
    newest_first = "ORDER BY load_id DESC, closed_by_load DESC NULLS FIRST"
    query = f"FROM ({now}{then}) AS {contract.table} WHERE {condition} {newest_first}"
    cursor = con.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [
        Version(
            {c.name: row[c.name] for c in contract.stored}, row["withdrawn"], row["source_file"], row["source_row"],
            row["load_id"], row["dated"], row["closed_by_load"],
        )
        for row in (dict(zip(names, values, strict=True)) for values in cursor.fetchall())
    ]  # fmt: skip


def _read(con, column: Column, text: str):
    if text == "" and column.may_be_empty:
        return None
    (value,) = con.execute(f"SELECT {column.read_sql('trim($x)', municipality_codes())}", {"x": text}).fetchone()
    if value is None:
        raise InputFault(f"Nøglens {column.loader} skal være {column.expected}. Ret den, og prøv igen.")
    return value


def value_text(column: Column, value) -> str:
    """A canonical value as a loader file has it."""
    if column.type in SCALES:
        return short_text(value, SCALES[column.type])
    if column.type == "month":
        return f"{value:%Y-%m}"
    if isinstance(value, date):
        return f"{value:%d-%m-%Y}"
    return ("ja" if value else "nej") if isinstance(value, bool) else str(value)


def citizen_of(con: duckdb.DuckDBPyConnection, contract: Contract, values: dict) -> str:
    """The CPR number of the citizen the row is about, for the access log; '' where it is about none."""
    for name in ("cpr", "old_cpr", "payer_cpr"):
        if values.get(name):
            return values[name]
    package = values.get("package_id")
    if values.get("service_line_id") and not package:
        found = con.execute("SELECT package_id FROM canonical.service_line WHERE service_line_id = ?", [values["service_line_id"]])
        package = (found.fetchone() or ("",))[0]
    found = con.execute("SELECT cpr FROM canonical.service_package WHERE package_id = ?", [package or ""]).fetchone()
    return found[0] if found else ""
