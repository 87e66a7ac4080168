"""`afregning run`: the whole graph once, in this process, told in Danish; the run is in the Dagster UI afterwards."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from sqlalchemy.orm import Session

from orchestration.pipeline import last_load_id
from settlement.instance import Instance
from settlement.ledger import extracts
from settlement.ledger.lines_file import money_text
from settlement.ledger.models import Proposal
from settlement.ledger.proposals import has_same_lines, newest_proposals
from settlement.ledger.register import open_register
from settlement.processes import PROCESSES

DAGSTER_SETTINGS = """\
nux:
  enabled: false
telemetry:
  enabled: false
# One step at a time has the warehouse, across all runs.
concurrency:
  pools:
    default_limit: 1
# What a step prints is not kept: it may quote a row.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def run_pipeline(instance: Instance, *, today: date, progress: Callable[[str], None]) -> int:
    """Takes in, judges, proposes, builds and publishes all that waits, and prints what came of it.

    Returns 0, or 1 where a file could not be read, a gate is red or a step failed; each is told in a sentence.
    """
    progress("Starter Dagster")
    warnings.filterwarnings("ignore", module="dagster")  # previews of Dagster's next version, of no use here
    warnings.filterwarnings("ignore", module="pyspark")  # Great Expectations loads it where it is installed
    from orchestration.definitions import defs
    from orchestration.run_log import run_instance

    register = open_register(instance)
    load_before = last_load_id(instance)
    before = {(p.process, p.timing): p for p in _newest(register)}
    _tell_steps(progress)
    with run_instance(dagster_home(instance)) as dagster:
        result = defs.resolve_job_def("pipeline").execute_in_process(
            instance=dagster, raise_on_error=False,
            run_config={
                "loggers": {"sentences": {}},
                "resources": {"platform": {"config": {"home": str(instance.home), "today": today.isoformat()}}},
            },
        )  # fmt: skip
    faults = list(dict.fromkeys([*_red_checks(result), *_failed_steps(result)]))
    done = {event.step_key for event in result.all_events if event.is_step_success}
    if "ingestion" in done:
        _print_deliveries(instance, load_before)
        _print_held(register)
    if {f"settlement__{process}__proposal" for process in PROCESSES} <= done:
        _print_proposals(instance, _newest(register), before)
    if "published__marts__build" in done:
        print(f"Marts er udgivet i {instance.published}")
    for fault in faults:
        progress(f"FEJL: {fault}")
    return 1 if faults or not result.success else 0


def dagster_home(instance: Instance) -> Path:
    """Dagster's own storage in the instance, made with its settings where it is missing."""
    home = instance.home / "dagster"
    home.mkdir(exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_text(DAGSTER_SETTINGS, encoding="utf-8")
    return home


def _tell_steps(progress: Callable[[str], None]) -> None:
    """The steps' own sentences, which the job's logger `sentences` hands on, to the person who waits."""

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress(record.getMessage())

    steps = logging.getLogger("afregning.steps")
    steps.handlers, steps.propagate = [Tell()], False
    steps.setLevel(logging.INFO)


def _red_checks(result) -> Iterator[str]:
    from dagster import AssetCheckSeverity

    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == AssetCheckSeverity.ERROR:
            name = "/".join(check.asset_key.path)
            yield check.description or f"Kontrollen {check.check_name} af {name} er rød. Se den i Dagster under {name}."


def _failed_steps(result) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data:
                yield failure.user_failure_data.description
            elif failure.error.cls_name != "DagsterAssetCheckFailedError":  # told as the red check it is
                kind = failure.error.cls_name
                yield f"Trinnet {event.step_key} fejlede ({kind}). Se kørslen {result.run_id} i Dagster."
    if not result.success and not any(event.is_step_failure for event in result.all_events):
        yield f"Kørslen {result.run_id} kunne ikke begynde. Se den i Dagster."


def _print_deliveries(instance: Instance, load_before: int) -> None:
    from ingestion.warehouse import open_warehouse

    with open_warehouse(instance) as con:
        loads = con.execute(
            """SELECT l.dated, count(*), sum(rows_read)::BIGINT, sum(rows_accepted)::BIGINT, sum(rows_quarantined)::BIGINT,
                sum(rows_outdated)::BIGINT, sum(rows_unmapped)::BIGINT, sum(rows_warned)::BIGINT
            FROM quarantine.file_count c JOIN raw.load l USING (load_id) WHERE load_id > ?
            GROUP BY load_id, l.dated ORDER BY load_id""",
            [load_before],
        ).fetchall()
    for dated, files, read, accepted, quarantined, outdated, unmapped, warned in loads:
        print(
            f"Levering {dated:%d-%m-%Y}: {files} filer, {read} rækker læst = {accepted} modtaget + {quarantined} i karantæne "
            f"+ {outdated} forældede + {unmapped} ikke brugt; {warned} med advarsel"
        )
    if not loads:
        print("Ingen nye filer.")


def _print_held(register) -> None:
    with Session(register) as session:
        for extract in extracts.waiting(session):
            print(extracts.told(*extract))


def _print_proposals(instance: Instance, proposals: list[Proposal], before: dict[tuple[str, str], Proposal]) -> None:
    new = 0
    for proposal in proposals:
        told = f"{PROCESSES[proposal.process].title}, {proposal.timing}, til og med {proposal.through:%Y-%m}"
        unchanged = has_same_lines(instance, proposal, before.get((proposal.process, proposal.timing)))
        new += bool(proposal.line_count) and not unchanged
        if not proposal.line_count:
            print(f"{told}: intet nyt at afregne.")
        else:
            print(
                f"{told}: forslag {proposal.proposal_id}, {proposal.line_count} linjer, "
                f"{money_text(proposal.amount_oere)} kr."
                + (" Uændret siden sidste kørsel; afventer godkendelse." if unchanged else "")
            )
    if not new:
        print("Intet nyt at afregne.")


def _newest(register) -> list[Proposal]:
    with Session(register, expire_on_commit=False) as session:
        return [p for p in newest_proposals(session) if p.process in PROCESSES]
