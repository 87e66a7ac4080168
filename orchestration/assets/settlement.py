"""What is owed: a proposal per process, and what the marts read of the engine and the ledger.

Booking is never made here. People do it on a page or by a command; these assets only look at what came of it.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import duckdb
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ingestion.contract import contracts
from orchestration.assets.ingestion import REFUSED
from orchestration.assets.lineage import BOOKED, column_metadata, proposal_key, register_tables
from orchestration.pipeline import COMMITTED, FOR_MARTS, FROM_ENGINE, SYSTEM_USER, derive, propose_timings
from orchestration.platform import SETTLEMENT, WRITER, Platform, kroner, table_metadata, telling, warehouse_key
from settlement.engine.calendar import parse_month
from settlement.engine.settle import INPUTS
from settlement.ledger.delivery import deliver
from settlement.ledger.models import ParkedLine, Proposal, SettlementRun
from settlement.ledger.proposals import has_same_lines, newest_proposals
from settlement.processes import PROCESSES, Process

FIRST_MONTH = "2024-01"  # a proposal through a month holds all earlier ones, so nothing before it is lost
MONTHS = dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH, fmt="%Y-%m", timezone="Europe/Copenhagen")
ENGINE_INPUTS = [warehouse_key("canonical", table) for table in INPUTS if table in contracts()] + [REFUSED]
PARTIES = [warehouse_key("canonical", table) for table in ("counterparty", "department")]
PIECE, DAY_WEIGHT, CALENDAR, MANUAL = (warehouse_key("settlement", table) for table in FROM_ENGINE)
COMMITMENT, BEFORE, CHANGE, BLOCKED = (warehouse_key("settlement", table) for table in COMMITTED)
MUNICIPALITY = warehouse_key("reference", "municipality")
INVOICES = [
    warehouse_key("canonical", table)
    for table in ("incoming_invoice", "incoming_invoice_line", "citizen", "citizen_status", "citizen_residence", "department")
]
OUTCOME = warehouse_key("invoice", "invoice_outcome")
MATCHED = {
    "invoice_outcome": "One invoice or credit note: its outcome, the reason that weighs most, what may be paid of it now.",
    "line_outcome": "One line of an invoice: what matching says of it.",
    "claim": "One line of an invoice × service line × month × price × account that it is to be paid for.",
    "fit": "One line of an invoice × service line × month × price × account that it may be for.",
    "charged": "One line of an invoice that is neither paid, set aside nor of a duplicate, with the days it charges.",
    "remaining": "One service line × month that an invoice may be for: agreed, booked and left.",
}

booked_runs = dg.AssetSpec(
    BOOKED, group_name="ledger", owners=[SETTLEMENT], kinds={"sqlite"},
    description="One booked run in the register. Two people book it, never Dagster, which observes it in each run.",
    metadata=column_metadata(*register_tables()),
)  # fmt: skip


@dg.asset(
    key=["register", "outbox", "file"], group_name="ledger", owners=[SETTLEMENT], kinds={"sqlite"}, deps=[BOOKED],
    description="One file of the outbox: written when it is due, again where it failed, the same whenever it is written.",
)  # fmt: skip
def delivered_files(platform: Platform) -> dg.MaterializeResult:
    with telling():
        files = deliver(platform.instance(), platform.register())
    return dg.MaterializeResult(metadata=dict(files))


def _proposal_asset(process: Process) -> dg.AssetsDefinition:
    @dg.asset(
        key=proposal_key(process.name), group_name="settlement", owners=[SETTLEMENT], kinds={"duckdb", "sqlite"},
        deps=[*ENGINE_INPUTS, *PARTIES, BOOKED], pool=WRITER,
        description=f"One proposal of {process.title.lower()}, in arrears and in advance: what a run would book now.",
        metadata=column_metadata("settlement.proposal"),
    )  # fmt: skip
    def proposal(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        with telling():
            metadata = _propose(context, platform, process, platform.horizon, platform.day)
        return dg.MaterializeResult(metadata=metadata)

    return proposal


@dg.asset(
    key=["settlement", "month", "monthly_proposal"], group_name="settlement", owners=[SETTLEMENT],
    kinds={"duckdb", "sqlite"},
    deps=[*ENGINE_INPUTS, *PARTIES, BOOKED], pool=WRITER, partitions_def=MONTHS,
    description="One proposal per process and timing at the end of a settlement month: in arrears through it, in "
    "advance through the next. Each holds what is unsettled of all earlier months too.",
    metadata=column_metadata("settlement.proposal"),
)  # fmt: skip
def monthly_proposal(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    metadata = {}
    with telling():
        month = parse_month(context.partition_key)
        for process in PROCESSES.values():
            for name, value in _propose(context, platform, process, month, platform.day).items():
                metadata[f"{process.name}: {name}"] = value
    return dg.MaterializeResult(metadata=metadata)


def _propose(context, platform: Platform, process: Process, last_month: date, booking_date: date) -> dict:
    engine = platform.register()
    instance = platform.instance()
    with Session(engine, expire_on_commit=False) as session:
        before = {(p.process, p.timing): p for p in newest_proposals(session)}
    with platform.warehouse() as con:
        made = propose_timings(
            con, instance, engine, process=process.name, last_month=last_month, booking_date=booking_date,
            created_by=SYSTEM_USER, progress=context.log.info,
        )  # fmt: skip
    metadata = {}
    with Session(engine) as session:
        for proposal in made:
            is_old = has_same_lines(instance, proposal, before.get((proposal.process, proposal.timing)))
            metadata |= _proposal_metadata(session, proposal, is_old)
    return metadata


def _proposal_metadata(session: Session, proposal: Proposal, is_old: bool) -> dict:
    parked = session.execute(
        select(ParkedLine.reason, func.count())
        .where(ParkedLine.proposal_id == proposal.proposal_id).group_by(ParkedLine.reason)
    ).all()  # fmt: skip
    named = {
        "proposal": proposal.proposal_id, "through": f"{proposal.through:%Y-%m}", "lines": proposal.line_count,
        "amount (kr.)": kroner(proposal.amount_oere), "VAT (kr.)": kroner(proposal.vat_oere),
        "parked": {reason: count for reason, count in parked}, "nothing new": is_old,
    }  # fmt: skip
    return {f"{proposal.timing}: {name}": value for name, value in named.items()}


def _for_marts_specs() -> Iterator[dg.AssetSpec]:
    descriptions = {
        CALENDAR: "One calendar day, with the weekdays and thirtieths up to and including it.",
        MANUAL: "One manual line that two people have decided, with the service line it is settled as.",
        DAY_WEIGHT: "One stretch of days in a month on which a line's price, payer, account and absence stand still.",
        PIECE: "One piece of entitlement: process × service line × month × unit price × counterparty × account.",
        COMMITMENT: "One such piece of what is granted through December of the year after next, open ends projected.",
        BEFORE: "One such piece as it was known when the last month that is over ended.",
        CHANGE: "One service line × year × process × account × cause of what has changed from the one to the other.",
        BLOCKED: "One service line × month × process × account that lacks a price or a payer.",
    }
    deps = {
        PIECE: [DAY_WEIGHT], DAY_WEIGHT: [*ENGINE_INPUTS, CALENDAR, MANUAL], CALENDAR: [], MANUAL: [],
        COMMITMENT: [PIECE, *ENGINE_INPUTS], BEFORE: [PIECE, *ENGINE_INPUTS], CHANGE: [COMMITMENT, BEFORE, *ENGINE_INPUTS],
        BLOCKED: [DAY_WEIGHT, *ENGINE_INPUTS],
    }  # fmt: skip
    for key, description in descriptions.items():
        yield dg.AssetSpec(key, description=description, deps=deps[key], group_name="settlement", owners=[SETTLEMENT],
                           kinds={"duckdb", "sql"}, metadata=column_metadata(f"settlement.{key.path[-1]}"))  # fmt: skip
    for table, description in MATCHED.items():
        yield dg.AssetSpec(
            warehouse_key("invoice", table), group_name="settlement", owners=[SETTLEMENT], kinds={"duckdb", "sql"},
            deps=[*INVOICES, *ENGINE_INPUTS, BOOKED], description=description, metadata=column_metadata(f"invoice.{table}"),
        )  # fmt: skip
    for table in FOR_MARTS:
        yield dg.AssetSpec(
            warehouse_key("ledger", table), group_name="ledger", owners=[SETTLEMENT], kinds={"duckdb"},
            deps=[BOOKED, *(proposal_key(p) for p in PROCESSES)],
            description=f"One row of the register's {table} as it is now, for the marts.",
            metadata=column_metadata(f"ledger.{table}"),
        )  # fmt: skip
    yield dg.AssetSpec(MUNICIPALITY, description="One municipality or region by its code, without leading zeros.",
                       group_name="settlement", owners=[SETTLEMENT], kinds={"duckdb", "csv"},
                       metadata=column_metadata("reference.municipality"))  # fmt: skip


SPECS = list(_for_marts_specs())  # parents before children, as they are reported


@dg.multi_asset(
    name="for_marts", specs=SPECS, pool=WRITER,
    description="Entitlement through the year of the last month that is over, commitments through the year after next, and "
    "incoming invoices as they match, and copies of the register's tables.",
)  # fmt: skip
def for_marts(context: dg.AssetExecutionContext, platform: Platform):
    with telling():
        engine = platform.register()
        with platform.warehouse() as con:
            derive(con, platform.instance(), engine, horizon=platform.horizon)
            results = [dg.MaterializeResult(spec.key, metadata=_metadata(con, spec.key)) for spec in SPECS]
        with Session(engine) as session:
            runs, amount = session.execute(select(func.count(), func.sum(SettlementRun.amount_oere))).one()
    context.log_event(
        dg.AssetObservation(BOOKED, metadata={"booked runs": runs, "booked amount (kr.)": kroner(amount or 0)})
    )
    yield from results


def _metadata(con: duckdb.DuckDBPyConnection, key: dg.AssetKey) -> dict:
    schema, _, table = key.path
    metadata = table_metadata(con, f"{schema}.{table}")
    if key == PIECE:
        sums = con.execute(
            "SELECT process, sum(amount_oere)::BIGINT FROM settlement.piece GROUP BY ALL ORDER BY 1"
        ).fetchall()
        metadata |= {f"entitled {process} (kr.)": kroner(amount) for process, amount in sums}
    if key == OUTCOME:
        outcomes = con.execute("SELECT outcome, count(*), sum(pay_oere)::BIGINT FROM invoice.invoice_outcome GROUP BY 1").fetchall()
        metadata |= {"outcomes": {outcome: count for outcome, count, _ in sorted(outcomes)}}
        metadata |= {"ready (kr.)": kroner(sum(ready or 0 for *_, ready in outcomes))}
    return metadata


proposals = [_proposal_asset(process) for process in PROCESSES.values()]
