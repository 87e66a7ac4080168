"""Jobs, and what starts them: new files, the night and the month. Booking is in none of them.

All of it is off until the data team turns it on under Automation, so that nothing runs unasked beside a command.
"""

import hashlib
import json
import time
from collections.abc import Iterator

import dagster as dg

from ingestion import archive
from ingestion.mapping import load_mappings
from orchestration.assets.settlement import delivered_files, monthly_proposal, proposals
from orchestration.pipeline import waiting
from settlement.instance import home_folder, open_instance

COPENHAGEN = "Europe/Copenhagen"
QUIET_SECONDS = 10  # a file changed more recently may still be on its way

by_month = dg.AssetSelection.assets(monthly_proposal)
pipeline = dg.define_asset_job(
    "pipeline", dg.AssetSelection.all() - by_month,
    description="All that waits: ingestion, gates, proposals, marts and their publication.",
)  # fmt: skip
deliveries = dg.define_asset_job(
    "deliveries", dg.AssetSelection.all() - by_month - dg.AssetSelection.assets(*proposals),
    description="New files: ingestion, gates, marts and their publication. Makes no proposals.",
)  # fmt: skip
monthly = dg.define_asset_job(
    "monthly_proposal", by_month,
    description="The proposals of a settlement month that is over, for people to look at, approve and book.",
)  # fmt: skip
outbox = dg.define_asset_job(
    "outbox", dg.AssetSelection.assets(delivered_files),
    description="The files of what is booked: those that wait, and those that failed and are due again.",
)  # fmt: skip

nightly = dg.ScheduleDefinition(
    name="nightly", job=pipeline, cron_schedule="0 2 * * *", execution_timezone=COPENHAGEN,
    description="Every night at two: the whole pipeline.",
)  # fmt: skip
quarterly = dg.ScheduleDefinition(
    name="every_quarter_of_an_hour", job=outbox, cron_schedule="*/15 * * * *", execution_timezone=COPENHAGEN,
    description="Every quarter of an hour: what could not be delivered and is due again.",
)  # fmt: skip
monthly_schedule = dg.build_schedule_from_partitioned_job(
    monthly, name="month_is_over", day_of_month=1, hour_of_day=5,
    description="The first of each month at five: the proposals of the month that ended.",
)  # fmt: skip


@dg.sensor(
    job=deliveries, minimum_interval_seconds=30,
    description="Starts the job deliveries when files that no load has lie still in a landing folder.",
)  # fmt: skip
def new_files(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    if not (home_folder() / "settings.toml").exists():
        yield dg.SkipReason(f"Der er ingen instans i {home_folder()}. Kør «afregning new».")
        return
    instance = open_instance()
    seen = _listing(instance.landing)
    if seen == context.cursor:
        yield dg.SkipReason("Ingen filer er kommet eller ændret siden sidst.")
        return
    found = [file for files in waiting(instance).values() for file in files]
    if any(path.stat().st_mtime > time.time() - QUIET_SECONDS for _, _, path in found):
        yield dg.SkipReason("En fil er lige skrevet; den tages, når den har ligget stille.")
        return
    if found:
        # By content: the same bytes under the same names ask for one run, however often they are touched.
        content = [[system, name, hashlib.sha256(path.read_bytes()).hexdigest()] for system, name, path in found]
        yield dg.RunRequest(run_key=hashlib.sha256(json.dumps(content).encode()).hexdigest())
    else:
        yield dg.SkipReason("Alle filer i landingsmapperne er indlæst.")
    context.update_cursor(seen)


def _listing(landing) -> str:
    """The landing folders' names, sizes and times as one hash: cheap to ask every half minute."""
    folders = [landing / system for system in (*load_mappings(), archive.LOADER)]
    paths = sorted(path for folder in folders if folder.is_dir() for path in folder.glob("*"))
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()
