"""The reports as the platform would have made them on a day, from what it knew then."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

from sqlalchemy import Engine

from ingestion import archive
from ingestion.known import end_of_day
from ingestion.warehouse import open_warehouse
from orchestration import dbt_build
from orchestration.pipeline import Progress, dbt_variables, derive
from orchestration.publish import publish
from settlement.engine.calendar import add_months
from settlement.faults import InputFault, StateFault
from settlement.instance import Instance


def reports_known_on(instance: Instance, engine: Engine, day: date, folder: Path, progress: Progress) -> None:
    """Publishes the marts into an empty folder as they would have been at the end of a day: from the loads received,
    and what was proposed, judged and booked, by then.

    The loads are replayed into a warehouse of their own, so the instance's own warehouse and publication are neither
    used nor touched. Raises InputFault where the day or the folder will not do, StateFault where dbt cannot build or a
    test of it fails.
    """
    known_until = end_of_day(day)
    load_id = archive.newest_before(instance, known_until)
    if not load_id:
        raise InputFault(f"Platformen havde intet modtaget den {day:%d-%m-%Y}. Vælg en senere dag.")
    if day > date.today():
        raise InputFault(f"Den {day:%d-%m-%Y} er ikke kommet endnu. Vælg i dag eller en tidligere dag.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputFault(f"{folder} er ikke en tom mappe. Vælg en ny mappe til rapporterne.")
    folder.mkdir(parents=True, exist_ok=True)
    horizon = add_months(day, -1).replace(day=1)
    variables = dbt_variables(instance, horizon)
    # In the folder itself, where there must be room for it; readable by its owner only, like every warehouse.
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
        then = replace(instance, home=Path(scratch))
        progress(f"Indlæser, hvad der var modtaget den {day:%d-%m-%Y}: {load_id} leveringer")
        archive.copy_through(instance, then, load_id)
        then.account_rules.parent.symlink_to(instance.account_rules.parent, target_is_directory=True)
        with open_warehouse(then) as con:
            derive(con, then, engine, horizon=horizon, before=known_until)
        progress("Bygger rapporterne")
        fault, failed = dbt_build.build(variables, then.warehouse)
        if fault or failed:
            found = fault or f"disse kontroller er røde: {', '.join(failed)}"
            raise StateFault(f"Rapporterne, som de var den {day:%d-%m-%Y}, er ikke udgivet: {found}. Se på dbt-projektet.")
        with open_warehouse(then) as con:
            publish(then, con, variables["build_id"])
        for published in list(then.published.iterdir()):
            published.rename(folder / published.name)
