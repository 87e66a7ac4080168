"""The code location: the whole graph, its checks, jobs, schedules and sensor. It loads without an instance."""

import dagster as dg

from orchestration.assets.ingestion import ingestion, landing_specs
from orchestration.assets.marts import models, published
from orchestration.assets.settlement import booked_runs, delivered_files, for_marts, monthly_proposal, proposals
from orchestration.automation import (
    deliveries,
    monthly,
    monthly_schedule,
    new_files,
    nightly,
    outbox,
    pipeline,
    quarterly,
)
from orchestration.checks import gates_of_loads
from orchestration.platform import Platform, sentences

defs = dg.Definitions(
    assets=[
        *landing_specs(), ingestion, *proposals, monthly_proposal, booked_runs, delivered_files, for_marts, models, published,
    ],  # fmt: skip
    asset_checks=[gates_of_loads],
    jobs=[pipeline, deliveries, monthly, outbox],
    schedules=[nightly, monthly_schedule, quarterly],
    sensors=[new_files],
    resources={"platform": Platform()},
    loggers={"console": dg.colored_console_logger, "sentences": sentences},
    executor=dg.in_process_executor,  # a process per step would cost seconds of imports each
)
