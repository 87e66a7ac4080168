"""Jobs, and what starts them: new files, the night and the month. Booking is in none of them.

All of it is off until the data team turns it on under Automation, so that nothing runs unasked beside a command.
"""

import hashlib
import json
import time
from collections.abc import Iterator

import dagster as dg

from ingestion import landing
from orchestration.assets.settlement import delivered_files, monthly_proposal, proposals
from settlement.instance import home_folder, open_instance

COPENHAGEN = "Europe/Copenhagen"
REMOTE_SECONDS = 300  # between looks at the servers of others

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
    description="Starts the job deliveries when files that no load has lie still in a landing place. Folders are looked into "
    "every half minute, servers every five minutes.",
)  # fmt: skip
def new_files(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    if not (home_folder() / "settings.toml").exists():
        yield dg.SkipReason(f"Der er ingen instans i {home_folder()}. Kør «afregning new».")
        return
    instance = open_instance()
    cursor = context.cursor or ""
    # An earlier version's cursor was no JSON.
    before = json.loads(cursor) if cursor.startswith("{") else {"listing": {}, "handled": {}, "remote_at": 0.0}
    remote = time.time() - before["remote_at"] >= REMOTE_SECONDS
    now = before["listing"] | landing.listing(instance, remote=remote)
    handled = before["handled"]
    if now == handled:
        yield dg.SkipReason("Ingen filer er kommet eller ændret siden sidst.")
    elif now != before["listing"]:
        yield dg.SkipReason("Noget er lige kommet eller ændret; det tages, når det har ligget stille til næste gang.")
    else:
        seen = landing.look(instance, settle=False)
        handled = now
        if seen.files:
            # By content: the same bytes under the same names ask for one run, however often they are touched.
            content = [[file.system, file.entry.name, file.sha256 or file.entry.version] for file in seen.files]
            yield dg.RunRequest(run_key=hashlib.sha256(json.dumps(content).encode()).hexdigest())
        else:
            yield dg.SkipReason(" ".join([*seen.faults, *seen.told]) or "Alle filer, der er kommet, er indlæst.")
    remote_at = time.time() if remote else before["remote_at"]
    context.update_cursor(json.dumps({"listing": now, "handled": handled, "remote_at": remote_at}))
