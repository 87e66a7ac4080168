"""Which columns a column of the engine's SQL is made of, read from the SQL itself by sqlglot."""

from __future__ import annotations

from functools import cache

import dagster as dg
from sqlglot import exp, parse_one
from sqlglot.lineage import Node, lineage

from ingestion.contract import contracts
from orchestration.platform import warehouse_key
from settlement.engine.settle import INPUTS, SQL


@cache
def column_lineage(step: str) -> dg.TableColumnLineage:
    """The columns that each column of an engine step comes from, as (asset, column).

    `dated` and `span`, which are no assets, are followed to what they read. A column of the run's settings, of the
    calendar or of the register's decisions has no origin among the assets.
    """
    sql = {name: (SQL / f"{name}.sql").read_text(encoding="utf-8") for name in ("dated", "span", step)}
    origins = lineage(
        None, sql[step], schema=_schema(), sources={name: sql[name] for name in ("dated", "span")}, dialect="duckdb",
        trim_selects=False,
    )
    return dg.TableColumnLineage({column: _origins(node) for column, node in origins.items()})


def _origins(column: Node) -> list[dg.TableColumnDep]:
    found = set()
    for node in column.walk():
        if not node.downstream and isinstance(node.expression, exp.Table):
            table, name = node.expression.name, node.name.rpartition(".")[2]
            if table == "day_weight":
                found.add((warehouse_key("settlement", table), name))
            elif table in contracts():
                found.add((warehouse_key("canonical", table), name))
    return [dg.TableColumnDep(key, name) for key, name in sorted(found, key=str)]


def _schema() -> dict[str, dict[str, str]]:
    """Every table's column names, which sqlglot needs to know whose a bare column is; their types do not matter."""
    tables = dict(INPUTS) | {
        "run": ("own_municipality", "first_month", "horizon_day"),
        "calendar_day": ("day", "delivery_month", "month_number", "first_day", "last_day", "weekdays", "thirtieths"),
        "calendar_month": ("delivery_month", "month_number", "first_day", "last_day", "days_in_month"),
        "day_weight": parse_one((SQL / "day_weight.sql").read_text(encoding="utf-8"), dialect="duckdb").named_selects,
    }
    return {table: dict.fromkeys(names, "BIGINT") for table, names in tables.items()}
