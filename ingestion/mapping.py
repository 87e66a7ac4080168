"""Source mappings: how a source system's extract becomes loader files, one YAML file per layout version.

A data team edits those files without code: `sources/<system>/<version>.yaml` here, or in the instance's own folder
`sources/`, whose versions of a system then stand instead of all of ours. `docs/data_team.md` tells the language.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ingestion.contract import Column, contract_for_file
from ingestion.expressions import (
    DECIMALS,
    DIRECTIVE,
    DIRECTIVES,
    LARGEST_FACTOR,
    ColumnRule,
    NumberRule,
    RowChoice,
)
from ingestion.layouts import (
    DELTA,
    EVENT,
    WHOLE,
    FileMapping,
    MappingError,
    SourceColumn,
    SourceMapping,
    TargetMapping,
)
from settlement.instance import Instance

SOURCES = Path(__file__).parent / "sources"
# What must be said of a file of each format.
FORMATS = {"csv": ("encoding", "delimiter"), "xlsx": (), "xml": ("encoding", "record"), "json": ("record",)}
EXTRACTS = (WHOLE, DELTA, EVENT)
COLUMN_TYPES = ("text", "number", "date", "month", "code")
ARITHMETIC = ("number", "divide_by", "multiply_by", "negative_when")
READINGS = ("values", "date", "month", "part", "per", "less", *ARITHMETIC)
WAYS = ("column", "value", "template", "first_of", "joined", "file")


def own_sources(instance: Instance) -> Path:
    """The folder of an instance's own mappings."""
    return instance.home / "sources"


def load_mappings(instance: Instance | None = None) -> dict[str, SourceMapping]:
    """All source systems by name: those that come with the platform, and the instance's own, which stand instead.

    Raises MappingError with file, place and what to do.
    """
    folders = {folder.name: folder for folder in _systems(SOURCES)}
    if instance:
        folders |= {folder.name: folder for folder in _systems(own_sources(instance))}
    return {system: _source(folder) for system, folder in sorted(folders.items())}


def _systems(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if any(path.glob("*.yaml"))] if folder.is_dir() else []


def _source(folder: Path) -> SourceMapping:
    paths = sorted(folder.glob("*.yaml"))
    for path in paths:
        if not re.fullmatch("[1-9][0-9]*", path.stem):
            raise MappingError(
                f"{folder.name}/{path.name}: filen har intet versionsnummer. Kald den 1.yaml, 2.yaml og så videre."
            )
    versions = [read_version(path) for path in sorted(paths, key=lambda path: -int(path.stem))]
    return SourceMapping(folder.name, versions[0][0], tuple(file for _, files in versions for file in files))


def read_version(path: Path) -> tuple[str, tuple[FileMapping, ...]]:
    """The system's title and the files of one layout version. Raises MappingError."""
    return _parse(path, path.read_bytes())


@lru_cache(maxsize=256)
def _parse(path: Path, content: bytes) -> tuple[str, tuple[FileMapping, ...]]:
    """Kept by the bytes, so that a file that was edited is read again."""
    version = f"{path.parent.name}/{path.stem}"
    top = _Place(f"{version}.yaml", "")
    try:
        document = yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise top.error(f"filen kan ikke læses som YAML ({' '.join(str(error).split())})", "Ret linjen") from error
    node = top.section(document, ("system", "title", "files"))
    if node["system"] != path.parent.name:
        raise top.error(f"systemet hedder '{node['system']}'", "Giv mappe og system samme navn")
    top.texts({"title": node["title"]})
    if not isinstance(node["files"], list):
        raise top.at("files").error("her skal stå en liste", "Begynd hver fil med '- pattern:'")
    fingerprint = hashlib.sha256(content).hexdigest()[:16]
    files = []
    for i, entry in enumerate(node["files"], start=1):
        place = top.at(f"files[{i}]")
        files.append(_file(place, entry, version, fingerprint, path))
        if files[-1].dataset in {file.dataset for file in files[:-1]}:
            raise place.at("dataset").error(f"'{files[-1].dataset}' står to gange", "Giv hver fil sit eget navn")
    return node["title"], tuple(files)


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

    def names(self, node: Any) -> tuple[str, ...]:
        if not isinstance(node, list) or not node or not all(isinstance(text, str) for text in node):
            raise self.error("her skal stå en liste af tekster", 'Skriv [A, B], og sæt tal og ja/nej i anførselstegn')
        return tuple(node)

    def described(self, needs: Iterable[str], columns: dict[str, SourceColumn]) -> None:
        for column in needs:
            if not isinstance(column, str) or column not in columns:
                raise self.error(f"udtrækskolonnen '{column}' er ikke beskrevet", "Ret navnet, eller tilføj den")


def _file(place: _Place, entry: Any, version: str, fingerprint: str, path: Path) -> FileMapping:
    node = place.section(
        entry,
        ("pattern", "dataset", "title", "format", "columns", "targets"),
        ("encoding", "delimiter", "record", "root", "extract"),
    )
    place.texts({key: text for key, text in node.items() if key not in ("columns", "targets")})
    if node["format"] not in FORMATS:
        raise place.at("format").error(f"'{node['format']}' kendes ikke", f"Brug {', '.join(FORMATS)}")
    place.section(node, FORMATS[node["format"]], tuple(node))
    if "root" in node and node["format"] != "xml":
        raise place.at("root").error("kun XML har et rodelement", "Slet den")
    if node.get("extract", DELTA) not in EXTRACTS:
        raise place.at("extract").error(f"'{node['extract']}' kendes ikke", f"Brug {', '.join(EXTRACTS)}")
    if not isinstance(node["columns"], dict):
        raise place.at("columns").error("her skal stå udtrækskolonner", "Skriv 'kolonne: betydning' på hver sin linje")
    columns = {
        name: _column(place.at(f"columns.{name}"), name, declared) for name, declared in node["columns"].items()
    }
    if not isinstance(node["targets"], dict):
        raise place.at("targets").error("her skal stå indlæsningsfiler", "Skriv fx 'ydelser:' med kolonner under")
    targets = {
        name: _target(place.at(f"targets.{name}"), name, target, columns) for name, target in node["targets"].items()
    }
    return FileMapping(
        pattern=node["pattern"], dataset=node["dataset"], title=node["title"], format=node["format"],
        extract=node.get("extract", DELTA),
        encoding=node.get("encoding", ""), delimiter=node.get("delimiter", ""), record=node.get("record", ""),
        columns=columns, targets=targets, version=version, fingerprint=fingerprint, path=path, root=node.get("root", ""),
    )  # fmt: skip


def _column(place: _Place, name: Any, declared: Any) -> SourceColumn:
    if not isinstance(declared, dict):
        return SourceColumn(place.texts({name: declared})[name])
    node = place.section(declared, ("meaning",), ("type", "optional", "values"))
    place.texts({name: node["meaning"]})
    values = place.at("values").names(node["values"]) if "values" in node else ()
    kind = node.get("type", "code" if values else "text")
    if kind not in COLUMN_TYPES:
        raise place.at("type").error(f"'{kind}' kendes ikke", f"Brug {', '.join(COLUMN_TYPES)}")
    if not isinstance(node.get("optional", False), bool):
        raise place.at("optional").error("her skal stå true eller false", "Skriv 'optional: true', eller slet den")
    return SourceColumn(node["meaning"], kind, node.get("optional", False), values)


def _target(place: _Place, name: str, entry: Any, columns: dict[str, SourceColumn]) -> TargetMapping:
    node = place.section(entry, ("columns",), ("when",))
    if not isinstance(node["columns"], dict):
        raise place.at("columns").error("her skal stå indlæsningskolonner", "Skriv 'kolonne: udtrækskolonne'")
    contract = contract_for_file(name)
    if contract is None:
        raise place.error("indlæsningsfilen kendes ikke", "Brug et navn som ydelser eller takster")
    known: dict[str, Column | None] = {c.loader: c for c in (*contract.kept, *contract.columns) if c.loader} | {"slet": None}
    rules: dict[str, ColumnRule] = {}
    for column, rule in node["columns"].items():
        if column not in known:
            raise place.at("columns").error(f"{name} har ingen kolonne '{column}'", f"Brug {', '.join(known)}")
        rules[column] = _rule(place.at(f"columns.{column}"), rule, columns, known[column])
    return TargetMapping(name, rules, _row_choice(place.at("when"), node["when"], columns) if "when" in node else None)


def _row_choice(place: _Place, entry: Any, columns: dict[str, SourceColumn]) -> RowChoice:
    node = place.section(entry, ("column",), ("equals", "in", "not_empty"))
    place.described([node["column"]], columns)
    if len(node) != 2 or node.get("not_empty", True) is not True:
        raise place.error("rækkevalget er uklart", "Skriv én af 'equals: \"værdi\"', 'in: [A, B]' og 'not_empty: true'")
    if "not_empty" in node:
        return RowChoice(node["column"], None)
    if "in" in node:
        return RowChoice(node["column"], place.at("in").names(node["in"]))
    if not isinstance(node["equals"], str):
        raise place.error("værdien er ikke tekst", "Sæt den i anførselstegn")
    return RowChoice(node["column"], (node["equals"],))


def _rule(place: _Place, entry: Any, columns: dict[str, SourceColumn], target: Column | None) -> ColumnRule:
    if isinstance(entry, str):
        rule = ColumnRule(column=entry)
    else:
        node = place.section(entry, (), (*WAYS, "without_prefix", *READINGS))
        ways = [key for key in WAYS if key in node]
        alone = len(node) == 1 or ways == ["column"] or (ways == ["first_of"] and set(node) == {"first_of", "without_prefix"})
        if len(ways) != 1 or not alone:
            raise place.error("kolonnen fyldes ikke på én måde", f"Brug én af {', '.join(WAYS)}")
        if ways[0] in ("first_of", "joined"):
            rule = ColumnRule(**{ways[0]: place.at(ways[0]).names(node[ways[0]])})
        else:
            told = place.texts({ways[0]: node[ways[0]]})
            rule = _reading(place, node, columns, target) if ways == ["column"] else ColumnRule(**told)
        if rule.file not in (None, "sha256"):
            raise place.at("file").error(f"'{rule.file}' kendes ikke", "Skriv sha256, filens aftryk")
        if "without_prefix" in node:
            rule = replace(rule, **place.texts({"without_prefix": node["without_prefix"]}))
        if rule.template is not None and not rule.needs:
            raise place.error("skabelonen nævner ingen kolonne", "Skriv kolonnen i {…}, eller brug value")
    place.described(rule.needs, columns)
    return rule


def _reading(
    place: _Place, node: dict[str, Any], columns: dict[str, SourceColumn], target: Column | None
) -> ColumnRule:  # fmt: skip
    """A column and the one way it is read."""
    readings = [key for key in (*READINGS, "without_prefix") if key in node]
    ways = {"number" if key in ARITHMETIC else key for key in readings}
    if len(ways) > 1 or {"divide_by", "multiply_by"} <= node.keys():
        raise place.error(f"{' og '.join(readings)} kan ikke bruges sammen", "Behold den ene")
    read: dict[str, Any] = {}
    if "values" in ways:
        read["values"] = tuple(place.at("values").texts(node["values"]).items())
    elif "part" in ways:
        read["part"] = _part(place.at("part"), node["part"])
    elif "date" in ways:
        read["date"] = _layout(place.at("date"), node["date"], target, ("date",), ("year", "month", "day"))
    elif "month" in ways:
        read["month"] = _layout(place.at("month"), node["month"], target, ("month", "month_in_year"), ("year", "month"))
    elif ways & {"per", "less"}:
        _of_type(place, target, DECIMALS, "et tal")
        read |= place.texts({way: node[way] for way in ways})
    elif "number" in ways:
        read["number"] = _number(place, node, columns, target)
    return ColumnRule(node["column"], **read)


def _of_type(place: _Place, target: Column | None, types: Iterable[str], what: str) -> None:
    if target is None or target.type not in types:
        raise place.error(f"indlæsningskolonnen er ikke {what}", "Brug en anden regel")


def _layout(place: _Place, layout: Any, target: Column | None, types: tuple[str, ...], parts: tuple[str, ...]) -> str:
    """A strftime layout that says the parts of a date once each and leaves nothing to guess."""
    _of_type(place, target, types, "en måned" if parts == ("year", "month") else "en dato")
    layout = place.texts({"": layout})[""]
    said = DIRECTIVE.findall(layout)
    unknown = [directive for directive in said if directive not in DIRECTIVES]
    if unknown:
        raise place.error(f"'{unknown[0]}' kendes ikke", f"Brug {' '.join(DIRECTIVES)}")
    for part, letters in (("year", "Yy"), ("month", "m"), ("day", "d")):
        times = sum(directive[-1] in letters for directive in said)
        if times > 1 or (not times and part in parts):
            raise place.error(f"'{layout}' siger ikke år, måned og dag én gang hver", "Skriv fx %d-%m-%Y")
    if re.search("%-[md][%0-9]", layout):
        raise place.error(f"'{layout}' kan læses på flere måder", "Brug %m og %d, når der ikke er tegn imellem")
    return layout


def _number(
    place: _Place, node: dict[str, Any], columns: dict[str, SourceColumn], target: Column | None
) -> NumberRule:  # fmt: skip
    _of_type(place, target, DECIMALS, "et tal")
    decimal = thousands = ""
    if "number" in node:
        shape = place.at("number").section(node["number"], ("decimal",), ("thousands",))
        decimal, thousands = shape["decimal"], shape.get("thousands", "")
        if decimal not in (",", ".") or thousands not in ("", ",", ".", " ", "'") or decimal == thousands:
            raise place.at("number").error("tegnene kan ikke bruges", "Skriv fx {decimal: \",\", thousands: \".\"}")
    negative, marks = None, ()
    if "negative_when" in node:
        negative = _row_choice(place.at("negative_when"), node["negative_when"], columns)
        if negative.among is None:
            raise place.at("negative_when").error("her skal stå, hvad mærket er", "Skriv 'equals: K'")
        marks = columns[negative.column].values
        if not set(negative.among) <= set(marks or negative.among):
            raise place.at("negative_when").error("mærket er ikke blandt kolonnens values", "Ret det ene sted")
    factor = Fraction(1)
    for way in ("multiply_by", "divide_by"):
        if way in node:
            told = place.texts({way: node[way]})[way]
            if not re.fullmatch(r"[0-9]{1,9}([.,][0-9]{1,9})?", told) or not (part := Fraction(told.replace(",", "."))):
                raise place.at(way).error(f"'{told}' er ikke et tal over 0", "Skriv fx '60' eller '0.25'")
            factor = part if way == "multiply_by" else 1 / part
    if max(factor.numerator, factor.denominator) > LARGEST_FACTOR:
        raise place.error("faktoren har for mange cifre", "Brug højst 9 cifre")
    return NumberRule(decimal, thousands, factor, negative, marks)


def _part(place: _Place, entry: Any) -> tuple[int, int]:
    node = place.section(entry, ("from", "length"))
    if any(type(node[key]) is not int or node[key] < 1 for key in ("from", "length")):
        raise place.error("stykket er uklart", "Skriv fx {from: 1, length: 8}, hvor første tegn er 1")
    return node["from"], node["length"]
