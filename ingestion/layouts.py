"""The layouts of the source systems' extract files, and which of them a received file has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ingestion.contract import contract_for_file
from ingestion.expressions import ColumnRule, RowChoice, condition, expression, name
from settlement.faults import InputFault

WHOLE, DELTA, EVENT = "whole", "delta", "event"


class MappingError(InputFault):
    """A mapping file that cannot be used; the message says which file, where in it, and what to do."""


@dataclass(frozen=True)
class SourceColumn:
    """One column of an extract. `type` (text, number, date, month, code) and `values`, the codes it may hold, say what
    its cells look like; a file may lack it where `optional`."""

    meaning: str
    type: str = "text"
    optional: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetMapping:
    """One loader file (its name without ending, such as `ydelser`) filled from one extract file."""

    loader_file: str
    columns: dict[str, ColumnRule]
    when: RowChoice | None


@dataclass(frozen=True)
class FileMapping:
    """One kind of extract file in one layout version. `columns` is its own layout by column name; in XML and JSON the
    name is the path below the record, or below the document's root where it begins with a slash (`/` alone: the root's name).
    `root` names what the root of an XML document may be (`A|B`), where each file is one document of an open standard.

    `extract` says what a file holds: `whole` everything each time, so that a row missing from it is withdrawn;
    `delta` what is new, changed or withdrawn; `event` a row per event, never withdrawn by absence. `version` (such as
    `sensum/1`) and `fingerprint` (of the mapping file's bytes) are for lineage.
    """

    pattern: str
    dataset: str
    title: str
    format: str
    extract: str
    encoding: str
    delimiter: str
    record: str
    columns: dict[str, SourceColumn]
    targets: dict[str, TargetMapping]
    version: str
    fingerprint: str
    path: Path
    root: str = ""

    @property
    def number(self) -> int:
        """The layout version's number."""
        return int(self.version.rpartition("/")[2])

    def missing(self, columns: Sequence[str]) -> list[str]:
        """The declared columns that a file with these lacks; those it may lack are not counted."""
        return [column for column, declared in self.columns.items() if not declared.optional and column not in columns]


@dataclass(frozen=True)
class SourceMapping:
    """One source system and the files it delivers into `landing/<system>/`, those of the highest version first."""

    system: str
    title: str
    files: tuple[FileMapping, ...]

    @property
    def datasets(self) -> dict[str, FileMapping]:
        """Each dataset of the system in the highest version that has it."""
        return {file.dataset: file for file in reversed(self.files)}

    def candidates(self, filename: str) -> list[FileMapping]:
        """The layouts whose pattern fits a file's name (upper and lower case alike), the highest version first."""
        return [f for f in self.files if fnmatchcase(filename.lower(), f.pattern.lower())]

    def choose(
        self, filename: str, columns_of: Callable[[FileMapping], Sequence[str] | None]
    ) -> FileMapping | None:  # fmt: skip
        """The layout of a received file, or None where no pattern fits its name.

        Of several versions that with the fewest missing columns, then that which knows most of the file's columns, then
        the highest. `columns_of` reads the file's columns as a layout says (None where they are not known, an
        InputFault where it cannot be read so); it is not asked where one version alone fits.
        """
        fitting = self.candidates(filename)
        if len(fitting) < 2:
            return fitting[0] if fitting else None

        def unlikeness(mapping: FileMapping) -> tuple[bool, int, int]:
            try:
                columns = columns_of(mapping)
            except InputFault:
                return (True, 0, 0)
            if columns is None:
                return (False, 0, 0)
            return (False, len(mapping.missing(columns)), -len(mapping.columns.keys() & set(columns)))

        return min(fitting, key=unlikeness)


def target_select(target: TargetMapping, raw_table: str, present: Sequence[str]) -> str:
    """A DuckDB SELECT over a raw table with one VARCHAR column per loader column, and `_file` and `_row` unchanged.

    Grain: one row per chosen raw row. `raw_table` is an SQL name, quoted by the caller where it needs it. A loader
    column whose extract column is not among `present` is left out (a missing column keeps the stored value). Raises
    MappingError when the column that chooses rows is not there: which rows to take is then unknown.
    """
    there = set(present)
    if target.when and target.when.column not in there:
        raise MappingError(
            f"Kolonnen '{target.when.column}' mangler i udtrækket og afgør, hvilke rækker der er {target.loader_file}. "
            f"Bestil udtrækket med kolonnen, eller ret 'when' i mapningen."
        )
    loader_columns = {column.loader: column for column in contract_for_file(target.loader_file).columns}
    selected = [
        f"{expression(rule, loader_columns.get(column))} AS {name(column)}"
        for column, rule in target.columns.items()
        if there.issuperset(rule.needs)
    ]
    where = f"\nWHERE {condition(target.when)}" if target.when else ""
    return "SELECT " + ",\n       ".join([*selected, "_file", "_row"]) + f"\nFROM {raw_table}{where}"
