"""What is read: dbt's models, tested and built once per run, and their publication to every reader."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, dbt_assets

from orchestration import dbt_build
from orchestration.assets.lineage import column_metadata
from orchestration.pipeline import dbt_variables
from orchestration.platform import DATA, SETTLEMENT, WRITER, Platform, telling, warehouse_key
from orchestration.publish import publish

# What a model is about, the middle part of its key. One not listed here is shared by several.
ABOUT = {
    "settlement": ("settlement_line", "parked_line", "cost_month", "service_line_month"),
    "commitment": (
        "commitment_month", "commitment_line_month", "commitment_change", "commitment_change_line", "commitment_blocked",
    ),
    "finance": (
        "budget_follow_up", "payroll_month", "incoming_invoice_month", "invoice_payment", "invoice_line",
        "invoice_line_service",
    ),
    "offer": ("occupancy_offer", "occupancy_municipality"),
    "case": ("movement", "citizen", "citizen_municipality", "citizen_conflict", "eldercare_month"),
    "cpr": ("register_event_month",),
    "quality": (
        "file_quality", "quality_finding", "quality_trend", "gate_verdict", "load", "service_worklist", "service_suggestion",
        "source_conflict",
    ),
}


class Translator(DagsterDbtTranslator):
    """Names dbt's models and sources as the rest of the graph is named."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        schema, name = dbt_resource_props["schema"], dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            return warehouse_key(schema, name)
        return model_key(schema, name)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return dbt_resource_props["schema"]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return [SETTLEMENT if _about(dbt_resource_props["name"]) == "settlement" else DATA]

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        table = f"{dbt_resource_props['schema']}.{dbt_resource_props['name']}"
        is_model = dbt_resource_props["resource_type"] == "model"
        return super().get_metadata(dbt_resource_props) | (column_metadata(table, model_key=model_key) if is_model else {})

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return dbt_resource_props["description"]  # the default adds the SQL, which the UI shows beside it anyway


def model_key(schema: str, name: str) -> dg.AssetKey:
    """The key of a model."""
    return dg.AssetKey([schema, _about(name), name])


def _about(name: str) -> str:
    return next((domain for domain, names in ABOUT.items() if name in names), "shared")


MANIFEST = dbt_build.manifest()
TRANSLATOR = Translator()


@dbt_assets(manifest=MANIFEST, dagster_dbt_translator=TRANSLATOR, name="dbt_build", pool=WRITER)
def models(context: dg.AssetExecutionContext, platform: Platform):
    # All models are built whichever are chosen: what is published must be of one build.
    with telling():
        instance = platform.instance()
        variables = dbt_variables(instance, platform.horizon)
        events, fault = dbt_build.build_as_assets(context, MANIFEST, TRANSLATOR, variables, instance.warehouse)
        with platform.warehouse() as con:
            events = [_with_row_count(con, event) for event in events]
    chosen = context.op_execution_context.selected_output_names
    for event in events:
        if not isinstance(event, dg.Output) or event.output_name in chosen:
            yield event
    if fault:
        raise dg.Failure(fault, allow_retries=False)


def _with_row_count(con, event):
    if not isinstance(event, dg.Output):
        return event
    model = next(m for m in _models() if TRANSLATOR.get_asset_key(m).to_python_identifier() == event.output_name)
    rows = con.execute(f"SELECT count(*) FROM {model['schema']}.{model['name']}").fetchone()[0]
    return event.with_metadata({**event.metadata, "dagster/row_count": rows})


def _models() -> list[Mapping[str, Any]]:
    return [node for node in MANIFEST["nodes"].values() if node["resource_type"] == "model"]


def published_keys() -> list[dg.AssetKey]:
    """The tables that readers get."""
    return [TRANSLATOR.get_asset_key(m) for m in _models() if m["schema"] in ("marts", "marts_person")]


@dg.asset(
    key=["published", "marts", "build"], group_name="published", owners=[DATA], kinds={"duckdb", "parquet"},
    deps=published_keys(), pool=WRITER,
    description="One published build: marts with and without persons, as DuckDB files and Parquet, swapped in whole.",
)  # fmt: skip
def published(platform: Platform) -> dg.MaterializeResult:
    with telling(), platform.warehouse() as con:
        build_id, built_at, horizon = con.execute("SELECT build_id, built_at, horizon FROM marts.build").fetchone()
        place = publish(platform.instance(), con, build_id)
    return dg.MaterializeResult(
        metadata={
            "build": build_id, "built at": f"{built_at:%Y-%m-%d %H:%M:%S}", "horizon": f"{horizon:%Y-%m}",
            "place": dg.MetadataValue.path(place),
        }
    )  # fmt: skip
