"""Columns and their origins as Dagster metadata, of every asset that is a table; the same on every asset, from one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import dagster as dg

from ingestion.archive import LOADER
from orchestration.column_lineage import PERSONAL, ColumnNode, Graph, graph
from orchestration.platform import warehouse_key
from settlement.processes import PROCESSES

LOADER_ROWS = dg.AssetKey(["raw", LOADER, "filer"])
BOOKED = dg.AssetKey(["register", "ledger", "settlement_run"])
# Tables that are no asset of their own: files of dated rules.
NO_ASSET = {"reference.account_rules"}

ModelKey = Callable[[str, str], dg.AssetKey]


def proposal_key(process: str) -> dg.AssetKey:
    """The key of a process's proposal."""
    return dg.AssetKey(["settlement", process, "proposal"])


@cache
def _platform_graph() -> Graph:
    """The graph of the platform's own mappings, made once: two hundred assets are described from it at every start."""
    return graph()


def column_metadata(*tables: str, model_key: ModelKey = warehouse_key) -> dict:
    """The columns of an asset and what each is made of. An asset that stands for several tables (the loader's files, the
    register) has columns named `table.column`.

    `model_key` gives the key of a dbt model by schema and name; without it, no table named may come from a model.
    """
    columns, origins = [], {}
    of = _platform_graph()
    for table in tables:
        for column in of[table].columns.values():
            name = _name(table, column.name)
            tags = {"personal": ""} if column.personal == PERSONAL else None
            columns.append(dg.TableColumn(name, column.type, column.meaning, tags=tags))
            # What people book is observed, not made: to a reader of the graph the register is where it begins.
            deps = () if table.startswith("register.") else _deps(of, column, model_key)
            origins[name] = [dg.TableColumnDep(*dep) for dep in dict.fromkeys(deps)]
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/column_lineage": dg.TableColumnLineage(origins)}


def register_tables() -> list[str]:
    """The register's tables that other columns come from."""
    return [name for name in _platform_graph() if name.startswith("register.")]


def loader_tables() -> list[str]:
    """The rows of the loader's files, a table per kind of file."""
    return [name for name in _platform_graph() if name.startswith(f"raw.{LOADER}__")]


def _name(table: str, column: str) -> str:
    """The column's name on its asset."""
    if table.startswith("register."):
        return f"{table.removeprefix('register.')}.{column}"
    if table.startswith(f"raw.{LOADER}__"):
        return f"{table.removeprefix(f'raw.{LOADER}__')}.{column}"
    return column


def _deps(of: Graph, column: ColumnNode, model_key: ModelKey) -> Iterator[tuple[dg.AssetKey, str]]:
    for origin in column.origins:
        for key in _keys(origin.table, model_key):
            yield key, _name(origin.table, origin.column)
        if origin.table.startswith("register."):  # through what is booked, to the proposals it was booked from
            booked = of[origin.table].columns[origin.column]
            yield from (dep for dep in _deps(of, booked, model_key) if dep[0] in _keys("settlement.proposal", model_key))


def _keys(table: str, model_key: ModelKey) -> list[dg.AssetKey]:
    """The assets that a table is: none, one, or a proposal's of each process."""
    schema, name = table.split(".")
    if table in NO_ASSET:
        return []
    if schema == "register":
        return [BOOKED]
    if table == "settlement.proposal":
        return [proposal_key(process) for process in PROCESSES]
    if schema == "raw" and "__" in name:
        system, dataset = name.split("__")
        return [LOADER_ROWS if system == LOADER else dg.AssetKey(["raw", system, dataset])]
    if schema in ("raw", "canonical", "quarantine", "quality", "settlement", "invoice", "ledger", "reference"):
        return [warehouse_key(schema, name)]
    return [model_key(schema, name)]
