"""What the assets share: the instance they work on, their names, and how a fault is told."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb
from sqlalchemy import Engine

from ingestion.warehouse import open_warehouse
from settlement.engine.calendar import add_months
from settlement.faults import Fault
from settlement.instance import Instance, open_instance
from settlement.ledger.register import open_register

WRITER = "warehouse_writer"  # the pool: one step at a time has the warehouse, across all runs
DATA, SETTLEMENT = "team:data", "team:afregning"

# The middle part of an asset key [layer, domain, name]. A dbt model says its own with `meta: {domain: …}`.
DOMAINS = {
    "quarantine": "gate", "quality": "rules", "settlement": "engine", "invoice": "matching", "ledger": "register",
    "reference": "national",
}  # fmt: skip
CANONICAL_DOMAINS = {
    "catalogue": ("catalogue_item", "rate", "offer", "service_translation"),
    "case": (
        "citizen", "service_package", "service_line", "individual_rate", "package_payer", "account_rule", "absence",
        "registration",
    ),
    "party": ("counterparty", "payout_terms", "charge_terms", "department"),
    "finance": (
        "budget", "opening_entry", "account", "posting", "payroll_posting", "incoming_invoice", "incoming_invoice_line",
        "payment_receipt",
    ),
    "cpr": ("citizen_residence", "citizen_status", "cpr_change", "address_protection", "guardianship"),
}  # fmt: skip


class Platform(dg.ConfigurableResource):
    """The running instance: `home` is its folder (empty: the one `AFREGNING_HOME` names), `today` (yyyy-mm-dd) the day
    the run counts as (empty: the day it runs on)."""

    home: str = ""
    today: str = ""

    @property
    def day(self) -> date:
        """The day that decides which months are past."""
        return date.fromisoformat(self.today) if self.today else date.today()

    @property
    def horizon(self) -> date:
        """First day of the last month that is over: the last delivery month of settlement in arrears."""
        return add_months(self.day, -1).replace(day=1)

    def instance(self) -> Instance:
        """The instance. Raises StateFault where there is none."""
        return open_instance(Path(self.home) if self.home else None)

    def register(self) -> Engine:
        """The register, migrated to this version."""
        return open_register(self.instance())

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The warehouse for writing; closed again after the block, so that the next step can open it."""
        with open_warehouse(self.instance()) as con:
            yield con


def warehouse_key(schema: str, table: str) -> dg.AssetKey:
    """The key of a table that dbt reads as a source."""
    if schema == "canonical":
        return dg.AssetKey([schema, next(d for d, tables in CANONICAL_DOMAINS.items() if table in tables), table])
    if schema == "raw":
        return dg.AssetKey([schema, "archive", table])
    return dg.AssetKey([schema, DOMAINS[schema], table])


@dg.logger(description="Hands the steps' own sentences, and nothing of Dagster's, to Python's logger afregning.steps.")
def sentences(_) -> logging.Logger:
    class HandOn(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.INFO and record.dagster_meta["dagster_event"] is None:
                logging.getLogger("afregning.steps").info(record.dagster_meta["orig_message"])

    logger = logging.Logger("sentences", logging.INFO)
    logger.addHandler(HandOn())
    return logger


@contextmanager
def telling() -> Iterator[None]:
    """Lets no value of a cell into Dagster's log: a fault is told by its own sentence, anything else by its type and
    place only, because a database's message may quote what it stumbled on."""
    try:
        yield
    except dg.Failure:
        raise
    except Fault as fault:
        raise dg.Failure(str(fault), allow_retries=False) from None
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        places = " ← ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(ours or [where]))
        raise dg.Failure(
            f"Uventet fejl ({type(error).__name__}) ved {places}. Kør trinnet igen; sker det igen, er det en fejl i "
            "programmet, som datateamet skal se på.",
            allow_retries=False,
        ) from None


def table_metadata(con: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str] | None = None) -> dict:
    """Row count and types of a warehouse table, as the UI shows them; `columns` says what each one means."""
    described = con.execute(f"DESCRIBE {table}").fetchall()
    return {
        "dagster/table_name": f"warehouse.{table}",
        "dagster/row_count": con.execute(f"SELECT count(*) FROM {table}").fetchone()[0],
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(name, type_, (columns or {}).get(name)) for name, type_, *_ in described]
        ),
    }


def kroner(oere: int) -> float:
    """Øre as kroner for a chart in the UI, where a number must be a float; never calculated on."""
    return round(oere / 100, 2)
