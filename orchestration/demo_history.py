"""A demo instance with a past: the earlier delivery taken in and some months booked, so that the newest delivery
brings adjustments to look at. Run once by `make run` before the pipeline."""

from __future__ import annotations

import sys
from datetime import date

from ingestion import landing
from ingestion.quality import judge_profiles
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import judge_unjudged, settle_process
from settlement.engine.calendar import add_months
from settlement.instance import open_instance
from settlement.ledger.booking import approve, book
from settlement.ledger.delivery import deliver
from settlement.ledger.register import open_register, writing
from settlement.processes import PROCESSES


def main() -> None:
    """Takes the oldest waiting delivery in and books, as anna and bo, the months behind it in three runs a process."""
    instance = open_instance()
    engine = open_register(instance)
    dated, files = next(iter(landing.look(instance).deliveries.items()))
    newest = date.fromisoformat(dated).replace(day=1)
    print(f"· Demoens historik: levering {dated}", file=sys.stderr)
    with open_warehouse(instance) as con:
        with landing.fetched(instance, files) as delivery:
            receive(con, instance, delivery.files, dated=dated, received_by="anna")
        judge_profiles(con, instance, engine, judge_unjudged(con, instance, engine))
        for months_back in (11, 1, 0):
            through = add_months(newest, -months_back)
            for process in PROCESSES:
                booking_date = add_months(through, 1).replace(day=5)
                proposal = settle_process(
                    con, instance, engine, process=process, timing="bagud", through=through, booking_date=booking_date,
                    created_by="anna",
                )  # fmt: skip
                with writing(engine) as session:
                    approve(session, proposal.proposal_id, proposal.hash, "bo")
                run = book(instance, engine, proposal.proposal_id, "anna")
                if run:
                    print(f"· Bogført {process} til og med {through:%Y-%m}: {proposal.line_count} linjer", file=sys.stderr)
    deliver(instance, engine)


if __name__ == "__main__":
    main()
