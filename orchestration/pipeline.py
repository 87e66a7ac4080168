"""The way through, step by step: what the command line, Dagster and the tests all call.

Every step is safe to run again: what is done already is left as it is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ingestion import archive, landing
from ingestion.effect import effect_of
from ingestion.engine_input import bind, bind_changed, bind_parties, bind_projected
from ingestion.quality import judge_loads
from ingestion.receiving import FileReport, receive
from orchestration.invoices import keep_matches, match_invoices
from settlement import commitment
from settlement.engine import settle
from settlement.engine.calendar import add_months, month_end
from settlement.instance import Instance
from settlement.invoices import payment
from settlement.ledger import bulk, extracts
from settlement.ledger.models import GateVerdict, Proposal, SettlementRun, relation
from settlement.ledger.opening import book_opening_entries
from settlement.ledger.proposals import propose, propose_withdrawal
from settlement.ledger.register import now, writing
from settlement.processes import PROCESSES, TIMINGS
from settlement.reference import municipality_names

Progress = Callable[[str], None]
DBT_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
SYSTEM_USER = "platformen"
FROM_ENGINE = ("piece", "day_weight", "calendar_day", "manual_line")
COMMITTED = ("commitment", "commitment_before", "commitment_change", "commitment_blocked")
# What says when a row was written: its own moment, or that of the row of another table it belongs to.
FOR_MARTS = {
    "settlement_run": "booked_at", "document": "settlement_run", "ledger_line": "settlement_run",
    "proposal": "created_at", "parked_line": "proposal", "gate_verdict": "judged_at",
    "quality_override": "decided_at", "quality_override_confirmation": "confirmed_at",
    "invoice_payment": "settlement_run", "posting": "settlement_run",
}  # fmt: skip


def ingest(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, progress: Progress, *, through: date
) -> list[tuple[int | None, list[FileReport]]]:
    """Takes every waiting delivery in and judges its rows; returns load id and reports of each. A landing place that cannot
    be reached is reported as a file with a fault, and the others go on. What is held back is kept in the register, with what
    it would move in delivery months up to that of `through`; what a person has released goes in."""
    seen = landing.look(instance)
    done: list[tuple[int | None, list[FileReport]]] = [_not_taken(seen, progress)]
    held: list[extracts.HeldExtract] = []
    for dated, files in seen.deliveries.items():
        progress(f"Levering {dated}: {len(files)} filer")
        with Session(engine) as session:
            released = extracts.released(session, date.fromisoformat(dated))
        with landing.fetched(instance, files) as delivery:
            done.append(_not_taken(delivery, progress))
            load_id, reports = receive(
                con, instance, delivery.files, dated=dated, received_by=SYSTEM_USER, released=released, progress=progress
            )
        done.append((load_id, reports))
        held += [_held(con, instance, engine, report, dated, through) for report in reports if report.held]
    with writing(engine) as session:
        extracts.hold(session, held, saw_all=not any(report.fault for _, reports in done for report in reports))
    return done


def _held(con, instance: Instance, engine: Engine, report: FileReport, dated: str, through: date) -> extracts.HeldExtract:
    """A held extract, with what it alone would move now."""
    file = (report.system, report.name, instance.archived(report.sha256))
    effect = effect_of(con, instance, engine, through=through, dated=dated, files=[file])
    return extracts.HeldExtract(
        system=report.system, name=report.name, sha256=report.sha256, dated=date.fromisoformat(dated),
        rows_withdrawn=report.rows_withdrawn, rows_living=report.rows_living, moved_oere=effect.moved_oere, held_at=now(),
    )  # fmt: skip


def _not_taken(found: landing.Look | landing.Fetched, progress: Progress) -> tuple[None, list[FileReport]]:
    for sentence in found.told:
        progress(sentence)
    return None, [FileReport("", fault=fault) for fault in found.faults]


def judge_unjudged(con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine) -> list[int]:
    """Keeps the row and canonical verdicts of loads that have none; returns their ids."""
    with Session(engine) as session:
        judged = set(session.scalars(select(GateVerdict.load_id)))
    missing = [load.load_id for load in archive.loads(instance) if load.load_id not in judged]
    judge_loads(con, instance, engine, missing)
    return missing


def book_opening(con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine) -> None:
    """Books what an earlier system has charged and no run holds, dated as the newest load."""
    received = archive.loads(instance)
    if received:
        book_opening_entries(instance, engine, con, booking_date=date.fromisoformat(received[-1].dated))


def settle_process(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, process: str, timing: str, through: date,
    booking_date: date, created_by: str, only_counterparty: str | None = None,
) -> Proposal:  # fmt: skip
    """The proposal of one process and timing through a delivery month; with `only_counterparty` an urgent one of that
    counterparty's lines alone, beside the normal one: what it books the normal one finds booked."""
    return _propose(
        con, instance, engine, process=process, throughs={timing: through}, booking_date=booking_date,
        created_by=created_by, only_counterparty=only_counterparty,
    )[0]  # fmt: skip


def withdraw_document(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, document_number: str, reason: str,
    booking_date: date, created_by: str,
) -> Proposal:  # fmt: skip
    """The proposal that withdraws a booked document by its counter-document."""
    bind(con, instance, engine)
    bind_parties(con, instance, booking_date)
    return propose_withdrawal(
        instance, engine, con, document_number=document_number, reason=reason, booking_date=booking_date,
        created_by=created_by, last_load_id=last_load_id(instance),
    )  # fmt: skip


def propose_timings(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, process: str, last_month: date,
    booking_date: date, created_by: str, progress: Progress,
) -> list[Proposal]:  # fmt: skip
    """A process's proposals when `last_month` is over: in arrears through it, in advance through the next."""
    progress(f"{PROCESSES[process].title} til og med {last_month:%Y-%m}")
    throughs = {timing: add_months(last_month, 0 if timing == "bagud" else 1) for timing in TIMINGS}
    return _propose(
        con, instance, engine, process=process, throughs=throughs, booking_date=booking_date, created_by=created_by
    )


def _propose(
    con, instance, engine, *, process, throughs: dict[str, date], booking_date, created_by, only_counterparty=None
) -> list[Proposal]:
    book_opening(con, instance, engine)
    bind(con, instance, engine)
    bind_parties(con, instance, booking_date)
    return propose(
        instance, engine, con, process=process, throughs=throughs, booking_date=booking_date, created_by=created_by,
        last_load_id=last_load_id(instance), only_counterparty=only_counterparty,
    )  # fmt: skip


def pay_invoices(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, booking_date: date, user_name: str
) -> SettlementRun | None:
    """Matches every incoming invoice anew and pays what is approved; None where nothing is. Raises what `payment.pay` raises."""
    head = payment.matched_head(engine)
    match_invoices(con, instance, engine)
    return payment.pay(
        instance, engine, con, head=head, booking_date=booking_date, user_name=user_name, last_load_id=last_load_id(instance)
    )


def derive(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, *, horizon: date, before: datetime | None = None
) -> dict[str, int]:
    """Writes what the marts read beside the canonical tables: entitlement through the horizon's year, commitments through
    December of the year after next, the months that lack a price or a payer, and what has changed since the horizon's month
    ended, incoming invoices as they match, the ledger and the register of municipalities. Returns rows by table.

    With `before`, of the register only what was written before that moment (UTC without zone).
    """
    con.execute(
        "CREATE SCHEMA IF NOT EXISTS settlement; CREATE SCHEMA IF NOT EXISTS ledger; CREATE SCHEMA IF NOT EXISTS reference"
    )
    # What was known when the horizon's month ended was seen from the month before it.
    bind(con, instance, engine, known_on=month_end(horizon))
    _entitle(con, instance, "commitment_before", add_months(horizon, -1), commitment.last_month(horizon))
    bind(con, instance, engine, before=before or datetime.max)
    _entitle(con, instance, "commitment", horizon, commitment.last_month(horizon), date(horizon.year, 12, 1))
    commitment.compare(con, known_month=horizon.replace(day=1), changed=bind_changed(con))
    bind(con, instance, engine, before=before or datetime.max)  # the facts themselves again, not what was projected of them
    rows = {
        f"settlement.{table}": con.execute(f"SELECT count(*) FROM settlement.{table}").fetchone()[0]
        for table in (*FROM_ENGINE, *COMMITTED)
    }
    rows |= keep_matches(con, instance, engine, before=before or datetime.max)
    for table in FOR_MARTS:
        rows[f"ledger.{table}"] = _copy_register_table(con, engine, table, before)
    con.register("names", pa.table({"code": list(municipality_names()), "name": list(municipality_names().values())}))
    con.execute("CREATE OR REPLACE TABLE reference.municipality AS FROM names")
    con.unregister("names")
    return rows


def _entitle(
    con, instance: Instance, table: str, horizon: date, last_month: date, entitled_through: date | None = None
) -> None:
    """Keeps what is bound as commitments, with what is projected after the horizon's month, and its lines for the
    comparison; with `entitled_through` also what is blocked of them, and the engine's own tables up to that month."""
    settle.entitle(con, own_municipality=instance.municipality, through=last_month)
    commitment.keep(con, table)
    if entitled_through:
        commitment.keep_blocked(con)
        for name in FROM_ENGINE:
            through = f"WHERE delivery_month <= DATE '{entitled_through}'" if name in ("piece", "day_weight") else ""
            con.execute(f"CREATE OR REPLACE TABLE settlement.{name} AS FROM temp.{name} {through}")
    commitment.keep_lines(con, table)
    bind_projected(con, horizon=horizon)
    settle.entitle(con, own_municipality=instance.municipality, through=last_month, since=add_months(horizon, 1))
    commitment.keep(con, table, is_projected=True)
    if entitled_through:
        commitment.keep_blocked(con, is_projected=True)


def dbt_variables(instance: Instance, horizon: date) -> dict[str, str]:
    """The variables of a dbt build: the municipality, the build's identity and the salt of pseudonymous keys."""
    built_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "own_municipality": instance.municipality,
        "build_id": hashlib.sha256(f"{instance.home}{datetime.now(UTC).isoformat()}".encode()).hexdigest()[:16],
        "built_at": built_at,
        "horizon": horizon.replace(day=1).isoformat(),
        "person_salt": _person_salt(instance),
    }


def last_load_id(instance: Instance) -> int:
    """The id of the newest load, 0 where there is none."""
    return max((load.load_id for load in archive.loads(instance)), default=0)


def _copy_register_table(con, engine: Engine, name: str, before: datetime | None) -> int:
    table = relation(name)
    query = select(table).where(_written(name, before)) if before else select(table)
    with engine.connect() as connection:
        return bulk.load(con, f"ledger.{name}", bulk.read(connection, query))


def _written(name: str, before: datetime):
    """Which rows of a register's table were written before a moment."""
    table, by = relation(name), FOR_MARTS[name]
    if by in table.c:
        return table.c[by] < before
    parent = relation(by)
    (key,) = parent.primary_key
    return table.c[key.name].in_(select(key).where(_written(by, before)))


def _person_salt(instance: Instance) -> str:
    path = instance.home / "person_salt"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(os.urandom(16).hex(), encoding="utf-8")
    return path.read_text(encoding="utf-8")
