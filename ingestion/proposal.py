"""A mapping file's next version, proposed from what a file's columns have become."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from ingestion.contract import contract_for_file
from ingestion.drift import Drift
from ingestion.expressions import DECIMALS, PLACEHOLDER, ColumnRule
from ingestion.layouts import FileMapping


class _Inline(dict):
    """Written on one line."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(_Inline, lambda dumper, node: dumper.represent_mapping("tag:yaml.org,2002:map", node, flow_style=True))


def next_version(mapping: FileMapping, found: Iterable[Drift], **changed: str) -> str:
    """The YAML text of a layout version with one file: `mapping`'s with renamed columns, readings that fit, and other
    keys of the file (such as its pattern) `changed`."""
    document = yaml.safe_load(mapping.path.read_text(encoding="utf-8-sig"))
    file = next(file for file in document["files"] if file["dataset"] == mapping.dataset) | changed
    became = {drift.column: drift.became for drift in found if drift.became}
    readings = {drift.column: drift.reading for drift in found if drift.reading}
    file["columns"] = {
        became.get(column, column): _Inline(told) if isinstance(told, dict) else told for column, told in file["columns"].items()
    }
    file["targets"] = {name: _target(name, target, became, readings) for name, target in file["targets"].items()}
    return yaml.dump(
        {"system": document["system"], "title": document["title"], "files": [file]},
        Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=118,
    )  # fmt: skip


def _target(name: str, target: dict, became: dict[str, str], readings: dict[str, ColumnRule]) -> dict:
    types = {column.loader: column.type for column in contract_for_file(name).columns}
    rules = {loader: _rule(rule, types.get(loader, ""), became, readings) for loader, rule in target["columns"].items()}
    when = {"when": _Inline(target["when"] | {"column": _now(target["when"]["column"], became)})} if "when" in target else {}
    return {**when, "columns": rules}


def _now(column: str, became: dict[str, str]) -> str:
    return became.get(column, column)


def _rule(rule: Any, kind: str, became: dict[str, str], readings: dict[str, ColumnRule]) -> Any:
    node = {"column": rule} if isinstance(rule, str) else dict(rule)
    if "template" in node:
        node["template"] = PLACEHOLDER.sub(lambda found: "{" + _now(found[1], became) + "}", node["template"])
    if "first_of" in node:
        node["first_of"] = [_now(column, became) for column in node["first_of"]]
    if "negative_when" in node:
        node["negative_when"] = node["negative_when"] | {"column": _now(node["negative_when"]["column"], became)}
    if "column" in node:
        reading = readings.get(node["column"])
        node["column"] = _now(node["column"], became)
        if reading and not {"values", "part"} & node.keys():
            node |= _reading(reading, kind)
    return node["column"] if node.keys() == {"column"} else _Inline(node)


def _reading(reading: ColumnRule, kind: str) -> dict[str, Any]:
    if reading.date and kind == "date":
        return {"date": reading.date}
    if reading.month and kind in ("month", "month_in_year"):
        return {"month": reading.month}
    if reading.number and kind in DECIMALS:
        shape = {"decimal": reading.number.decimal, "thousands": reading.number.thousands}
        return {"number": {key: sign for key, sign in shape.items() if sign}}
    return {}


def pattern_of(filename: str) -> str:
    """A file's name with its dates and numbers left open."""
    stem, _, ending = filename.rpartition(".")
    return re.sub(r"\d[\d_.-]*", "*", stem) + "." + ending
