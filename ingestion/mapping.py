"""Source mappings: how a source system's extract becomes loader files, as declared in `sources/<system>.yaml`.

A data team edits those files without code. A loader column is filled in one of these ways, and no other:

    cpr: BorgerCpr                                     the extract's column
    status: {column: Status, values: {AKT: bevilget}}  the column with its codes translated
    afregningsform: {value: udbetaling}                a constant
    ydelse_id: {template: "SEN-{YdelseId}"}            text with columns in it; empty when one of them is empty

and a target may choose rows by `when: {column: Type, equals: FRV}` or `when: {column: Pris, not_empty: true}`.
A code without translation passes through unchanged, so that the gate refuses it with its own sentence; none is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from ingestion.contract import contract_for_file
from settlement.faults import InputFault

SOURCES = Path(__file__).parent / "sources"
FORMATS = ("csv", "xlsx", "xml")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class MappingError(InputFault):
    """A mapping file that cannot be used; the message says which file, where in it, and what to do."""


@dataclass(frozen=True)
class ColumnRule:
    """How one loader column is filled: exactly one of `column` (with `values`), `value` and `template` is set."""

    column: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    value: str | None = None
    template: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The extract columns this rule reads."""
        if self.column is not None:
            return (self.column,)
        return tuple(PLACEHOLDER.findall(self.template)) if self.template is not None else ()


@dataclass(frozen=True)
class RowChoice:
    """Which extract rows go to a target: `column` equals `equals`, or is not empty where `equals` is None."""

    column: str
    equals: str | None


@dataclass(frozen=True)
class TargetMapping:
    """One loader file (its name without ending, such as `ydelser`) filled from one extract file."""

    loader_file: str
    columns: dict[str, ColumnRule]
    when: RowChoice | None


@dataclass(frozen=True)
class FileMapping:
    """One kind of extract file. `columns` is its own layout: column (in XML the path below the record) → meaning.

    `complete` says that every delivery holds everything, so that one much smaller than the last is stopped by its
    profile; other files hold what is new, changed or withdrawn.
    """

    pattern: str
    dataset: str
    title: str
    format: str
    complete: bool
    encoding: str
    delimiter: str
    record: str
    columns: dict[str, str]
    targets: dict[str, TargetMapping]


@dataclass(frozen=True)
class SourceMapping:
    """One source system and the files it delivers into `landing/<system>/`."""

    system: str
    title: str
    files: tuple[FileMapping, ...]

    def file_for(self, filename: str) -> FileMapping | None:
        """The mapping of a received file by its name (upper and lower case alike), or None where no pattern fits."""
        return next((f for f in self.files if fnmatchcase(filename.lower(), f.pattern.lower())), None)


def load_mappings(folder: Path = SOURCES) -> dict[str, SourceMapping]:
    """All mapping files of a folder, by system. Raises MappingError with file, place and what to do."""
    mappings: dict[str, SourceMapping] = {}
    for path in sorted(folder.glob("*.yaml")):
        mapping = _read_mapping(path)
        if mapping.system != path.stem:
            raise MappingError(f"{path.name}: systemet hedder '{mapping.system}'. Giv fil og system samme navn.")
        mappings[mapping.system] = mapping
    return mappings


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
    selected = [
        f"{_expression(rule)} AS {_name(column)}"
        for column, rule in target.columns.items()
        if there.issuperset(rule.needs)
    ]
    where = f"\nWHERE {_condition(target.when)}" if target.when else ""
    return "SELECT " + ",\n       ".join([*selected, "_file", "_row"]) + f"\nFROM {raw_table}{where}"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _cell(column: str) -> str:
    return f"coalesce(trim({_name(column)}), '')"


def _condition(when: RowChoice) -> str:
    return f"{_cell(when.column)} <> ''" if when.equals is None else f"{_cell(when.column)} = {_text(when.equals)}"


def _expression(rule: ColumnRule) -> str:
    if rule.value is not None:
        return _text(rule.value)
    if rule.template is not None:
        parts = [_cell(part) if odd else _text(part) for odd, part in _split(rule.template) if part]
        some_empty = " OR ".join(f"{_cell(column)} = ''" for column in rule.needs)
        return f"CASE WHEN {some_empty} THEN '' ELSE {' || '.join(parts)} END"
    if not rule.values:
        return _cell(rule.column)
    cases = " ".join(f"WHEN {_text(code)} THEN {_text(meaning)}" for code, meaning in rule.values)
    return f"CASE {_cell(rule.column)} {cases} ELSE {_cell(rule.column)} END"


def _split(template: str) -> Iterable[tuple[bool, str]]:
    """The template's pieces: (False, literal text) and (True, column) in turn."""
    return ((bool(i % 2), part) for i, part in enumerate(PLACEHOLDER.split(template)))


class _Place:
    """Where in a mapping file we are, so that every error can say it."""

    def __init__(self, file: str, path: str) -> None:
        self.file, self.path = file, path

    def at(self, step: str) -> _Place:
        return _Place(self.file, f"{self.path}.{step}" if self.path else step)

    def error(self, found: str, remedy: str) -> MappingError:
        return MappingError(f"{self.file}, {self.path or 'øverst'}: {found}. {remedy}.")

    def section(self, node: Any, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise self.error("her skal stå navne og værdier", "Skriv 'navn: værdi' på hver sin linje")
        unknown = [key for key in node if key not in (*required, *optional)]
        if unknown:
            raise self.error(f"'{unknown[0]}' kendes ikke", f"Brug kun {', '.join((*required, *optional))}")
        missing = [key for key in required if node.get(key) in (None, "", {}, [])]
        if missing:
            raise self.error(f"'{missing[0]}' mangler", "Tilføj den")
        return node

    def texts(self, node: Any) -> dict[str, str]:
        if not isinstance(node, dict) or not all(isinstance(text, str) for pair in node.items() for text in pair):
            raise self.error("her skal stå tekst ved hvert navn", "Sæt tal og ja/nej i anførselstegn")
        return node

    def described(self, needs: Iterable[str], columns: dict[str, str]) -> None:
        for column in needs:
            if column not in columns:
                raise self.error(f"udtrækskolonnen '{column}' er ikke beskrevet", "Ret navnet, eller tilføj den")


def _read_mapping(path: Path) -> SourceMapping:
    top = _Place(path.name, "")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise top.error(f"filen kan ikke læses som YAML ({' '.join(str(error).split())})", "Ret linjen") from error
    node = top.section(content, ("system", "title", "files"))
    if not isinstance(node["files"], list):
        raise top.at("files").error("her skal stå en liste", "Begynd hver fil med '- pattern:'")
    files = tuple(_file(top.at(f"files[{i}]"), entry) for i, entry in enumerate(node["files"], start=1))
    return SourceMapping(node["system"], node["title"], files)


def _file(place: _Place, entry: Any) -> FileMapping:
    node = place.section(
        entry, ("pattern", "dataset", "title", "format", "columns", "targets"), ("encoding", "delimiter", "record", "complete")
    )
    if node["format"] not in FORMATS:
        raise place.at("format").error(f"'{node['format']}' kendes ikke", f"Brug {', '.join(FORMATS)}")
    needed = {"csv": ("encoding", "delimiter"), "xml": ("encoding", "record"), "xlsx": ()}[node["format"]]
    place.section(node, needed, tuple(node))
    columns = place.at("columns").texts(node["columns"])
    if not isinstance(node["targets"], dict):
        raise place.at("targets").error("her skal stå indlæsningsfiler", "Skriv fx 'ydelser:' med kolonner under")
    targets = {
        name: _target(place.at(f"targets.{name}"), name, target, columns) for name, target in node["targets"].items()
    }
    return FileMapping(
        pattern=node["pattern"], dataset=node["dataset"], title=node["title"], format=node["format"],
        complete=bool(node.get("complete", False)),
        encoding=node.get("encoding", ""), delimiter=node.get("delimiter", ""), record=node.get("record", ""),
        columns=columns, targets=targets,
    )  # fmt: skip


def _target(place: _Place, name: str, entry: Any, columns: dict[str, str]) -> TargetMapping:
    node = place.section(entry, ("columns",), ("when",))
    if not isinstance(node["columns"], dict):
        raise place.at("columns").error("her skal stå indlæsningskolonner", "Skriv 'kolonne: udtrækskolonne'")
    contract = contract_for_file(name)
    if contract is None:
        raise place.error("indlæsningsfilen kendes ikke", "Brug et navn som ydelser eller takster")
    known = [column.loader for column in contract.columns] + ["slet"]
    rules: dict[str, ColumnRule] = {}
    for column, rule in node["columns"].items():
        if column not in known:
            raise place.at("columns").error(f"{name} har ingen kolonne '{column}'", f"Brug {', '.join(known)}")
        rules[column] = _rule(place.at(f"columns.{column}"), rule, columns)
    return TargetMapping(name, rules, _row_choice(place.at("when"), node["when"], columns) if "when" in node else None)


def _row_choice(place: _Place, entry: Any, columns: dict[str, str]) -> RowChoice:
    node = place.section(entry, ("column",), ("equals", "not_empty"))
    place.described([node["column"]], columns)
    if ("equals" in node) == ("not_empty" in node) or node.get("not_empty", True) is not True:
        raise place.error("rækkevalget er uklart", "Skriv enten 'equals: \"værdi\"' eller 'not_empty: true'")
    if "equals" in node and not isinstance(node["equals"], str):
        raise place.error("værdien er ikke tekst", "Sæt den i anførselstegn")
    return RowChoice(node["column"], node.get("equals"))


def _rule(place: _Place, entry: Any, columns: dict[str, str]) -> ColumnRule:
    if isinstance(entry, str):
        rule = ColumnRule(column=entry)
    else:
        node = place.section(entry, (), ("column", "values", "value", "template"))
        ways = [key for key in ("column", "value", "template") if key in node]
        if len(ways) != 1 or ("values" in node and ways != ["column"]):
            raise place.error("kolonnen fyldes ikke på én måde", "Brug column (evt. med values), value eller template")
        place.texts({key: text for key, text in node.items() if key != "values"})
        values = tuple(place.at("values").texts(node["values"]).items()) if "values" in node else ()
        rule = ColumnRule(node.get("column"), values, node.get("value"), node.get("template"))
        if rule.template is not None and not rule.needs:
            raise place.error("skabelonen nævner ingen kolonne", "Skriv kolonnen i {…}, eller brug value")
    place.described(rule.needs, columns)
    return rule
