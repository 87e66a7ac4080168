"""A booked run computed again from its archived input and rules, and laid beside what was booked (settlement.md § 9.8)."""

from __future__ import annotations

from datetime import date

import duckdb
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import bulk, hashing
from settlement.ledger.frozen import Frozen, demand_kept, thaw
from settlement.ledger.models import LedgerLine, SettlementRun
from settlement.processes import INVOICES


def reproduce(instance: Instance, engine: Engine, run_no: int) -> tuple[int, list[str]]:
    """How many lines the run has when computed again, and a sentence for each that differs from the booked; none where
    they are the same, byte for byte.

    Raises StateFault where there is no such run, or its archived input is missing or changed.
    """
    with Session(engine) as session:
        run = session.scalars(select(SettlementRun).where(SettlementRun.run_no == run_no)).first()
    if run is None:
        raise StateFault(f"Kørsel {run_no} findes ikke. Se kørslerne på siden Bogførte kørsler.")
    if not run.input_hash:
        raise StateFault(
            f"Kørsel {run_no} er åbningsposter fra et tidligere system, ikke beregnet her. Se dem med «afregning lines --run 0»."
        )
    again = _paid_again(instance, run) if run.process == INVOICES.name else recompute(instance, run)
    booked = _booked(engine, run_no)
    broken = [f"Linjen {_told(line)} genberegnes, men er ikke bogført." for line in sorted(again - booked)]
    broken += [f"Linjen {_told(line)} er bogført, men genberegnes ikke." for line in sorted(booked - again)]
    return len(again), broken


def _paid_again(instance: Instance, run: SettlementRun) -> set[str]:
    """A payment run's lines from what it paid, as the archive has it: what stands on each invoice line and its voucher."""
    path = instance.archive / "proposals" / f"{run.input_hash}.parquet"
    demand_kept(path, run.input_hash, "de betalte fakturaer")
    with duckdb.connect() as con:
        con.execute(f"CREATE VIEW proposed AS SELECT '{run.process}' AS process, * FROM read_parquet('{path}')")
        return {text for (text,) in con.execute(f"SELECT {hashing.text_sql()} FROM proposed").fetchall()}


def recompute(instance: Instance, run: SettlementRun) -> set[str]:
    """The run's lines in their canonical serialisation, from the archive alone: no warehouse, no ledger line."""
    with duckdb.connect() as con:
        kept = thaw(con, instance.archive, run.input_hash)
        compute_again(con, kept)
        return {text for (text,) in con.execute(f"SELECT {hashing.text_sql()} FROM proposed").fetchall()}


def compute_again(con: duckdb.DuckDBPyConnection, kept: Frozen, also: date | None = None) -> None:
    """What a thawed input gives by its own rules, entitlement `also` of that month; leaves what `settle.entitle` and
    `settle.difference` (of a withdrawal `settle.withdraw`) leave."""
    of = kept.settings
    through, settles_from = date.fromisoformat(of["through"]), date.fromisoformat(of["settles_from"])
    settle.entitle(
        con, own_municipality=of["own_municipality"], through=max(through, also or through),
        since=min(settles_from, also or settles_from), rules=kept.rules, holidays=kept.holidays,
    )  # fmt: skip
    if "withdraws" in of:
        settle.withdraw(con, process=of["process"], document_number=of["withdraws"], rules=kept.rules)
        return
    settle.difference(
        con, process=of["process"], timing=of["timing"], through=through, settles_from=settles_from,
        booking_date=date.fromisoformat(of["booking_date"]), only_counterparty=of.get("only_counterparty"), rules=kept.rules,
    )  # fmt: skip


def _booked(engine: Engine, run_no: int) -> set[str]:
    columns = [LedgerLine.__table__.c[field] for field in hashing.LINE_FIELDS]
    with engine.connect() as connection, duckdb.connect() as con:
        bulk.load(con, "booked", bulk.read(connection, select(*columns).where(LedgerLine.run_no == run_no)))
        return {text for (text,) in con.execute(f"SELECT {hashing.text_sql()} FROM booked").fetchall()}


def _told(serialised: str) -> str:
    """The line without the citizen: a fault text holds no personal data."""
    named = dict(zip(("version", *hashing.LINE_FIELDS), serialised.split(hashing.SEPARATOR), strict=True))
    return f"{named['service_line_id']} {named['delivery_month'][:7]} ({named['amount_oere']} øre)"
