"""dbt in this process: the manifest prepared when it is missing or stale, and one build, told to Dagster or alone.

dbt's own program in a subprocess costs seconds of imports each time and shows its variables, with the secret salt of
the pseudonymous keys, to everyone who can list processes or read the run's log. `dbtRunner` does neither; dagster-dbt
still translates each of dbt's events.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from orchestration.pipeline import DBT_PROJECT
from settlement.faults import StateFault

TARGET = DBT_PROJECT / "target"
MANIFEST = TARGET / "manifest.json"
WAREHOUSE = "AFREGNING_WAREHOUSE"
# Only the warehouse's name, not its place, is part of a parsed project.
ANY_WAREHOUSE = "warehouse.duckdb"
QUIET = ["--quiet", "--no-print", "--no-use-colors", "--log-level-file", "none"]
NO_ARTIFACTS = "--no-write-json"  # they take time, and would hold the variables, with the salt
# What the code says and no row does: a message of one of these kinds can be shown whole.
ABOUT_CODE = ("Binder Error", "Catalog Error", "Parser Error", "Compilation Error")


def prepare_manifest() -> Path:
    """Parses the dbt project where its manifest is missing or older than any of its files; returns its place.

    Raises StateFault where dbt cannot parse the project.
    """
    if _is_stale():
        TARGET.mkdir(exist_ok=True)
        with (TARGET / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_stale():
                _parse()
    return MANIFEST


def _is_stale() -> bool:
    files = (p for p in DBT_PROJECT.rglob("*") if p.suffix in (".sql", ".yml") and TARGET not in p.parents)
    return not MANIFEST.exists() or MANIFEST.stat().st_mtime < max(p.stat().st_mtime for p in files)


def _parse(*flags: str):
    """The parsed project; dbt keeps what it parsed beside the manifest and parses only changed files again."""
    from dbt.cli.main import dbtRunner

    with _environment(ANY_WAREHOUSE):
        outcome = dbtRunner().invoke(["parse", *QUIET, *_places(TARGET), *flags])
    if not outcome.success:
        raise StateFault(f"dbt-projektet kan ikke læses: {outcome.exception}. Ret filen, og prøv igen.")
    return outcome.result


def build(
    variables: dict[str, str], warehouse: Path, hear: Callable[[Any], None] = lambda event: None
) -> tuple[str, list[str]]:
    """Builds and tests every model once on the warehouse, which nobody may hold open; each of dbt's events is heard.

    Returns a sentence naming what could not be built ('' where all was), and the names of the tests that failed. Unit
    tests are about code, not about this data, and run with the platform's own tests.
    """
    from dbt.cli.main import dbtRunner

    target = _target(warehouse)
    target.mkdir(mode=0o700, exist_ok=True)  # the compiled SQL holds the salt
    with _environment(str(warehouse)):
        outcome = dbtRunner(manifest=_parse(NO_ARTIFACTS), callbacks=[hear]).invoke([
            "build", *QUIET, NO_ARTIFACTS, *_places(target), "--exclude-resource-type", "unit_test",
            "--vars", json.dumps(variables),
        ])  # fmt: skip
    if outcome.exception is not None:
        return f"dbt stoppede: {_shown(str(outcome.exception))}", []
    broken = [f"{r.node.name}: {_shown(r.message)}" for r in outcome.result.results if r.status == "error"]
    failed = [r.node.name for r in outcome.result.results if r.status == "fail"]
    return "dbt kunne ikke bygge " + "; ".join(broken) if broken else "", failed


def compiled_models(variables: dict[str, str], warehouse: Path) -> dict[str, str]:
    """The SQL of every model as dbt would run it on that warehouse, by its name with schema, parents before children.

    Raises StateFault where dbt cannot compile the project.
    """
    from dbt.cli.main import dbtRunner

    target = _target(warehouse)
    target.mkdir(mode=0o700, exist_ok=True)
    with _environment(str(warehouse)):
        outcome = dbtRunner(manifest=_parse(NO_ARTIFACTS)).invoke([
            "compile", *QUIET, NO_ARTIFACTS, *_places(target), "--no-introspect", "--no-populate-cache",
            "--vars", json.dumps(variables),
        ])  # fmt: skip
    if not outcome.success:
        raise StateFault(f"dbt-projektet kan ikke oversættes: {outcome.exception}. Ret filen, og prøv igen.")
    models = {r.node.unique_id: r.node for r in outcome.result.results if r.node.resource_type == "model"}
    ordered: dict[str, str] = {}

    def place(node) -> None:
        for parent in node.depends_on.nodes:
            if parent in models:
                place(models[parent])
        ordered[f"{node.schema}.{node.name}"] = node.compiled_code

    for node in models.values():
        place(node)
    return ordered


def build_as_assets(
    context: dg.AssetExecutionContext, manifest: Mapping, translator, variables: dict[str, str], warehouse: Path
) -> tuple[list, str]:
    """`build`, told as dagster-dbt's events; a failed test is a failed asset check. Returns them and the fault."""
    from google.protobuf.json_format import MessageToDict

    told: list[dict] = []

    def hear(event) -> None:
        if event.info.name in ("LogModelResult", "LogTestResult"):
            told.append(MessageToDict(event, preserving_proto_field_name=True))

    fault, _ = build(variables, warehouse, hear)
    events = [
        dagster_event
        for event in told
        for dagster_event in DbtCoreCliEventMessage(raw_event=event, event_history_metadata={}).to_default_asset_events(
            manifest, translator, context, _target(warehouse)
        )
    ]
    return events, fault


def _target(warehouse: Path) -> Path:
    return warehouse.parent / "dbt"


def _shown(message: str) -> str:
    """What of a database's message may be shown: all of it where it is about code, else only its kind."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    kind = next((line for line in lines if line.split(":")[0].endswith("Error")), lines[0] if lines else "")
    return kind if kind.startswith(ABOUT_CODE) else kind.split(":")[0]


def _places(target: Path) -> list[str]:
    return [
        "--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT), "--target-path", str(target),
        "--log-path", str(target),
    ]  # fmt: skip


@contextmanager
def _environment(warehouse: str) -> Iterator[None]:
    before = os.environ.get(WAREHOUSE)
    os.environ[WAREHOUSE] = warehouse
    try:
        yield
    finally:
        if before is None:
            del os.environ[WAREHOUSE]
        else:
            os.environ[WAREHOUSE] = before


@cache
def manifest() -> Mapping:
    """The manifest as dagster-dbt reads it, every test placed on a model.

    dagster-dbt makes no check of a test of several models that does not say which one it is about; that is the first
    model it names.
    """
    parsed = json.loads(prepare_manifest().read_text(encoding="utf-8"))
    for node in parsed["nodes"].values():
        if node["resource_type"] == "test" and not node.get("attached_node"):
            first = next(name for name in node["depends_on"]["nodes"] if name.startswith("model."))
            node["config"]["meta"] = {"dagster": {"ref": {"name": parsed["nodes"][first]["name"]}}}
    return parsed
