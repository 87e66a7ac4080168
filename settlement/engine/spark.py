"""The engine's steps on an Apache Spark cluster: the same SQL files, transpiled when they are run.

A kept step goes to the cluster alone: what it reads is handed over as Parquet files, and its rows come back the same way.
Whatever follows the engine reads the table DuckDB makes of them and never knows who computed it.

The files lie in a temporary folder that driver and workers must see under one path (`TMPDIR` names its place), readable
by their common user only, and are gone when the step is done.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import sqlglot
from sqlglot import exp

from settlement.faults import StateFault

SETTINGS = {
    "spark.app.name": "afregning",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",  # a log would show values; what is wrong comes back as an exception
    # The session lives as long as the process: executors with nothing to do are given back to the cluster.
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    # What DuckDB does by itself: overflow is refused, days are days in every time zone and from year 1.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
}
# Euclid's algorithm: two numbers of 64 bits need at most 92 divisions (Lamé).
GCD = """
    CREATE OR REPLACE TEMPORARY FUNCTION gcd(a BIGINT, b BIGINT) RETURNS BIGINT RETURN aggregate(
        sequence(1, 92), named_struct('a', abs(a), 'b', abs(b)),
        (pair, step) -> CASE WHEN pair.b = 0 THEN pair ELSE named_struct('a', pair.b, 'b', pair.a % pair.b) END,
        pair -> pair.a)"""


def compute(
    con: duckdb.DuckDBPyConnection,
    master: str,
    step: str,
    *,
    rules: Mapping[str, str],
    kept: Collection[str],
    inputs: Mapping[str, Collection[str]],
) -> None:
    """Computes one step of `rules` on the cluster at `master` and leaves its rows as the temporary table `step`, of the
    columns and types DuckDB would have made of it.

    What the step reads is either a table of `con` (of `inputs` only the named columns are handed over) or a step that is
    not in `kept`, which the cluster reads through as DuckDB does. Raises OverflowError where a value does not fit in
    64 bits, StateFault where the cluster cannot be used.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
    except ImportError as missing:
        raise StateFault(
            "settings.toml har spark_master, men tillægget til Spark mangler. Installér «afregning[spark]»."
        ) from missing
    with TemporaryDirectory(prefix="afregning-spark-") as folder:
        try:
            session = _session(master)
            statement = _hand_over(con, session, Path(folder), step, rules, kept, inputs)
            session.sql(statement).write.parquet(f"{folder}/{step}")
        except (PySparkException, Py4JError) as error:
            # Spark's names of what went wrong, also where Java's exception is wrapped in others on its way here.
            conditions = re.findall(r"\[([A-Z_]+)[].]", str(error))
            if any("OVERFLOW" in condition for condition in conditions):
                raise OverflowError(step) from error
            raise StateFault(
                f"Spark-klyngen {master} kunne ikke beregne trinnet {step} ({', '.join(conditions) or 'ingen forbindelse'}). "
                "Se klyngens log, og prøv igen, eller fjern spark_master fra settings.toml, så regner DuckDB."
            ) from error
        columns = [f'"{name}"::{kind} AS "{name}"' for name, kind, *_ in con.execute(f"DESCRIBE {rules[step]}").fetchall()]
        rows = f"SELECT {', '.join(columns)} FROM read_parquet('{folder}/{step}/*.parquet')"
        con.execute(f"CREATE OR REPLACE TEMP TABLE {step} AS {rows}")


def transpile(sql: str) -> exp.Expression:
    """A step's statement such that its Spark text means what the text means in DuckDB."""
    statement = sqlglot.parse_one(sql, read="duckdb")
    for node in list(statement.find_all(exp.Sum, exp.Concat, exp.GenerateSeries)):
        match node:
            case exp.Sum():  # DuckDB sums in 128 bits: only the whole sum must fit
                node.set("this", exp.cast(node.this, "DECIMAL(38, 0)"))
            case exp.Concat():  # DuckDB writes numbers as text; Spark would read the text beside them as numbers
                node.set("expressions", [part if part.is_string else exp.cast(part, "TEXT") for part in node.expressions])
            case exp.GenerateSeries():  # without a step Spark counts downwards where the end lies before the start
                node.set("step", node.args.get("step") or exp.Literal.number(1))
    return statement


def _hand_over(con, session, folder: Path, step: str, rules, kept, inputs) -> str:
    """The step's statement in Spark's words, when all it reads has its name in the session."""
    statement = transpile(rules[step])
    own = {cte.alias for cte in statement.find_all(exp.CTE)}
    for table in sorted({table.name for table in statement.find_all(exp.Table)} - own):
        if table in rules and table not in kept:
            read = session.sql(_hand_over(con, session, folder, table, rules, kept, inputs))
        else:
            path = folder / f"{table}.parquet"
            described = con.execute(f"DESCRIBE SELECT {', '.join(inputs.get(table, ['*']))} FROM {table}").fetchall()
            # Parquet has no whole numbers of 128 bits, and DuckDB would write them as floats.
            columns = [f"{name}::DECIMAL(38, 0) AS {name}" if kind == "HUGEINT" else name for name, kind, *_ in described]
            con.execute(f"COPY (SELECT {', '.join(columns)} FROM {table}) TO '{path}' (FORMAT parquet)")
            read = session.read.parquet(str(path))
        read.createOrReplaceTempView(table)
    return statement.sql(dialect="spark")


def _session(master: str):
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession

    PySparkLogger.getLogger("SQLQueryContextLogger").disabled = True  # it prints values, beside the exception
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # there is none here
    session = SparkSession.builder.master(master).config(map=SETTINGS).getOrCreate()
    session.sql(GCD)
    return session
