"""What the SQL of the engine and of dbt makes of what, column by column, and every table's types.

Both are read off the platform itself with nothing in it: its tables are laid out, the engine is run and dbt compiled in a
scratch instance, DuckDB says the types, and sqlglot follows the columns. It takes seconds and is kept until the code changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
from sqlglot import exp, parse_one
from sqlglot.lineage import Node, lineage

from ingestion import conflicts, contract, engine_input, invoice_input, translating, warehouse
from orchestration import dbt_build, invoices
from orchestration.pipeline import DBT_PROJECT, FOR_MARTS, dbt_variables, derive
from settlement.engine.settle import INPUTS, SQL, STEPS
from settlement.faults import StateFault
from settlement.instance import create_folders
from settlement.invoices import matching
from settlement.ledger import models, opening, proposals
from settlement.ledger.register import open_register

# What a column can come from beside the engine's own steps, by its name on the engine's connection.
GIVEN = {
    "manual_line": "settlement.manual_line", "calendar_day": "settlement.calendar_day", "ledger_line": "register.ledger_line",
    "refused_line": "quarantine.refused", "posting_account_rule": "reference.account_rules",
    "municipality": "reference.municipality", "paid_line": "register.invoice_payment",
}  # fmt: skip
# What matching reads of the engine on its own connection, as the platform keeps it.
ENGINE_KEPT = {"piece": "settlement.piece", "day_weight": "settlement.day_weight", "calendar_day": "settlement.calendar_day"}
# Of a run's settings, and of what only chooses rows: no column of the platform.
NO_COLUMN = {
    "terms", "match_rule", "chosen_line", "approved", "invalid", "laid_aside", "ordinary_word", "own_municipality", "run",
    "calendar_month", "claim_deadline", "allowed_late", "hold", "held", "set_aside", "already_booked",
}  # fmt: skip
ANY_MONTH, ANY_MUNICIPALITY, ANY_PROCESS = date(2024, 1, 1), "461", "mellemkommunal"

# table → column → [(table, column, whether the value is the same)]
Origins = dict[str, dict[str, list[tuple[str, str, bool]]]]


@cache
def from_code() -> Mapping:
    """`types` (table → column → DuckDB type) of every table of warehouse and register, `settlement.proposal` among them, and
    `origins` of those that a SELECT makes: engine, proposal, opening lines (`opening`) and dbt's models."""
    kept = dbt_build.TARGET / "columns.json"
    fingerprint = _fingerprint()
    dbt_build.TARGET.mkdir(exist_ok=True)
    with (dbt_build.TARGET / ".columns_lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            found = json.loads(kept.read_text(encoding="utf-8"))
            if found["fingerprint"] == fingerprint:
                return found
        found = {"fingerprint": fingerprint} | _read()
        unfinished = kept.with_suffix(f".{os.getpid()}.part")
        unfinished.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
        os.replace(unfinished, kept)
    return found


def _fingerprint() -> str:
    """The hash of all that decides the answer."""
    files = [p for p in DBT_PROJECT.rglob("*") if p.suffix in (".sql", ".yml") and dbt_build.TARGET not in p.parents]
    files += [*SQL.glob("*.sql"), *matching.SQL.glob("*.sql"), *contract.CONTRACTS.glob("*.yaml"), Path(__file__)]
    modules = (conflicts, engine_input, invoice_input, invoices, translating, warehouse, models, opening, proposals)
    files += [Path(module.__file__) for module in modules]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _read() -> dict:
    with tempfile.TemporaryDirectory(prefix="afregning-") as folder:
        instance = create_folders(Path(folder) / "instance", ANY_MUNICIPALITY)
        register = open_register(instance)
        with warehouse.open_warehouse(instance) as con:
            derive(con, instance, register, horizon=ANY_MONTH)
            proposals.differ(
                con, instance, process=ANY_PROCESS, timing="bagud", through=ANY_MONTH, booking_date=ANY_MONTH
            )
            con.execute(proposals.PARKED_LINE)
            engine_input.bind_parties(con, instance, ANY_MONTH)
            types, origins = _of_engine(con)
            origins |= _of_matching(con)
        register.dispose()
        compiled = dbt_build.compiled_models(dbt_variables(instance, ANY_MONTH), instance.warehouse)
        with duckdb.connect(str(instance.warehouse)) as con:
            origins |= _of_models(con, compiled)
            types |= _types(con)
    for table in (*FOR_MARTS, "manual_line"):
        columns = models.relation(table).columns
        types[f"register.{table}"] = {c.name: {"DATETIME": "TIMESTAMP"}.get(str(c.type), str(c.type)) for c in columns}
    return {"types": types, "origins": origins}


# --- The engine: from what it reads, through its steps, to pieces and proposals -----------------------------------------


def _of_engine(con: duckdb.DuckDBPyConnection) -> tuple[dict, Origins]:
    bound = _types(con, "temp")
    views = con.execute("SELECT view_name, sql FROM duckdb_views() WHERE database_name = 'temp' AND NOT internal").fetchall()
    selects = {name: parse_one(sql, dialect="duckdb").expression for name, sql in views if name in (*INPUTS, "party")}
    selects |= {step: parse_one((SQL / f"{step}.sql").read_text(encoding="utf-8"), dialect="duckdb") for step in STEPS}
    selects["parked_line"] = parse_one(proposals.PARKED_LINE, dialect="duckdb").expression
    schema = bound | {f"canonical.{t}": columns for t, columns in _types(con, schema="canonical").items()}
    direct = {name: _followed(select, schema) for name, select in selects.items() if name not in GIVEN}

    def collapsed(table: str, stops: tuple[str, ...] = ()) -> dict[str, list[tuple[str, str, bool]]]:
        return {column: sorted(set(_collapse(direct, table, column, stops))) for column in direct[table]}

    made = {
        "settlement.day_weight": collapsed("day_weight"), "settlement.piece": collapsed("piece", ("day_weight",)),
        # A proposal computes its own pieces; beside its lines it has what it leaves out, and its counterparties.
        "settlement.proposal": collapsed("proposed") | {
            f"{table}.{column}": origins for table in ("parked_line", "party") for column, origins in collapsed(table).items()
        },
        "opening": _followed(parse_one(opening.UNBOOKED, dialect="duckdb"), schema),
    }  # fmt: skip
    lines = bound["proposed"] | {f"{t}.{c}": kind for t in ("parked_line", "party") for c, kind in bound[t].items()}
    rules = bound["posting_account_rule"]
    return {"settlement.proposal": lines, "reference.account_rules": rules}, made


def _of_matching(con: duckdb.DuckDBPyConnection) -> Origins:
    """Of every table that matching leaves for the marts, through its own steps to what the platform knows as tables."""
    bound = _types(con, "temp")
    views = con.execute("SELECT view_name, sql FROM duckdb_views() WHERE database_name = 'temp' AND NOT internal").fetchall()
    read = set(INPUTS) | set(matching.INPUTS)
    selects = {name: parse_one(sql, dialect="duckdb").expression for name, sql in views if name in read}
    selects |= {step: parse_one(sql, dialect="duckdb") for step, sql in matching.sentences().items()}
    schema = bound | {f"{s}.{t}": columns for s in ("canonical", "raw") for t, columns in _types(con, schema=s).items()}
    direct = {name: _followed(select, schema) for name, select in selects.items() if name not in GIVEN}
    kept = {table: _types(con, schema="invoice")[table] for table in invoices.KEPT}
    return {
        f"invoice.{table}": {c: sorted(set(_collapse(direct, table, c, tuple(ENGINE_KEPT)))) for c in columns}
        for table, columns in kept.items()
    }


def _collapse(direct: Origins, table: str, column: str, stops: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """A column's origins, through the engine's own steps to what the platform knows as tables."""
    for origin, name, is_copy in direct[table][column]:
        if origin in stops:
            yield f"settlement.{origin}", name, is_copy
        elif origin in GIVEN:
            yield GIVEN[origin], name, is_copy
        elif origin in direct:
            yield from ((*at, is_copy and copied) for *at, copied in _collapse(direct, origin, name, stops))
        elif "." in origin:
            yield origin, name, is_copy
        elif origin not in NO_COLUMN:
            raise LookupError(f"{table}.{column} comes from {origin}, which is neither a step nor a known table")


# --- dbt's models -------------------------------------------------------------------------------------------------------


def _of_models(con: duckdb.DuckDBPyConnection, compiled: Mapping[str, str]) -> Origins:
    """Of every model by its name with schema; leaves each as a view."""
    for name, sql in compiled.items():
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
        try:
            con.execute(f"CREATE VIEW {name} AS {sql}")
        except duckdb.Error as fault:  # about code: there are no rows here
            raise StateFault(f"Modellen {name} kan ikke læses: {fault}. Ret modellen eller det, den læser.") from fault
    schema = _types(con)
    return {name: _followed(parse_one(sql, dialect="duckdb"), schema) for name, sql in compiled.items()}


# --- Reading SQL --------------------------------------------------------------------------------------------------------


def _types(con: duckdb.DuckDBPyConnection, database: str = "", schema: str = "") -> dict[str, dict[str, str]]:
    """Every table's and view's types: of a database or schema by bare name, else of the warehouse by name with schema."""
    rows = con.execute(
        """SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()
        WHERE NOT internal AND database_name = coalesce(nullif(?, ''), current_database()) AND ? IN ('', schema_name)
        ORDER BY schema_name, table_name, column_index""",
        [database, schema],
    ).fetchall()
    types: dict[str, dict[str, str]] = {}
    for of_schema, table, column, kind in rows:
        types.setdefault(table if database or schema else f"{of_schema}.{table}", {})[column] = kind
    return types


def _followed(select: exp.Expression, schema: Mapping[str, Mapping[str, str]]) -> dict[str, list[tuple[str, str, bool]]]:
    """By column of a SELECT, the columns its value is computed of, as (table, column, is_copy)."""
    select = select.copy()
    ctes = {cte.alias for cte in select.find_all(exp.CTE)}
    for table in select.find_all(exp.Table):
        table.set("catalog", None)
        if table.db and table.name not in ctes:  # sqlglot wants all names equally long
            alias = table.alias_or_name
            table.set("this", exp.to_identifier(f"{table.db}.{table.name}", quoted=True))
            table.set("db", None)
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    names = {f'"{table}"': dict(columns) for table, columns in schema.items()}
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for column, node in lineage(None, select, schema=names, dialect="duckdb", trim_selects=False).items():
        found[column] = sorted(set(_leaves(node, True)))
    return found


def _leaves(node: Node, is_copy: bool) -> Iterator[tuple[str, str, bool]]:
    if not node.downstream:
        if isinstance(node.expression, exp.Table):
            yield node.expression.name, node.name.rpartition(".")[2].strip('"'), is_copy
        elif node.expression.find(exp.Column):
            raise LookupError(f"sqlglot cannot follow {node.expression.sql(dialect='duckdb')[:200]}")
        return
    plain = isinstance(node.expression.unalias(), exp.Column) or node.name == "UNION"
    for below in node.downstream:
        yield from _leaves(below, is_copy and plain)
