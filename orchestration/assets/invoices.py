"""Incoming invoices matched with what was granted, for the marts. Payment is never made here: people do it."""

import dagster as dg

from orchestration.assets.lineage import BOOKED, column_metadata
from orchestration.assets.settlement import ENGINE_INPUTS
from orchestration.invoices import KEPT, keep_matches
from orchestration.platform import SETTLEMENT, WRITER, Platform, kroner, table_metadata, telling, warehouse_key

INVOICE, LINE = (warehouse_key("canonical", table) for table in ("incoming_invoice", "incoming_invoice_line"))
KNOWN = [warehouse_key("canonical", table) for table in ("citizen", "citizen_status", "citizen_residence", "department")]
MEANINGS = {
    "invoice_outcome": "One invoice or credit note: its outcome, the reason that weighs most, what may be paid of it now.",
    "line_outcome": "One line of an invoice: what matching says of it.",
    "claim": "One line × service line × month × price × account that it is to be paid for.",
    "fit": "One line × service line × month × price × account that it may be for.",
    "charged": "One line that is neither paid, set aside nor of a duplicate, with the days it charges.",
    "remaining": "One service line × month that an invoice may be for: agreed, booked and left.",
}
SPECS = [
    dg.AssetSpec(
        warehouse_key("invoice", table), description=MEANINGS[table], group_name="settlement", owners=[SETTLEMENT],
        kinds={"duckdb", "sql"}, deps=[INVOICE, LINE, *KNOWN, *ENGINE_INPUTS, BOOKED], metadata=column_metadata(f"invoice.{table}"),
    )
    for table in KEPT
]  # fmt: skip


@dg.multi_asset(
    name="match_invoices", specs=SPECS, pool=WRITER,
    description="Every incoming invoice laid beside what was granted, with what is known, decided and paid now.",
)  # fmt: skip
def matches(platform: Platform):
    with telling():
        engine = platform.register()
        with platform.warehouse() as con:
            keep_matches(con, platform.instance(), engine)
            outcomes = con.execute("""
                SELECT outcome, count(*), sum(pay_oere)::BIGINT FROM invoice.invoice_outcome GROUP BY outcome ORDER BY outcome
            """).fetchall()
            results = [
                dg.MaterializeResult(spec.key, metadata=table_metadata(con, f"invoice.{spec.key.path[-1]}")) for spec in SPECS
            ]
    counts = {outcome: count for outcome, count, _ in outcomes}
    yield dg.MaterializeResult(results[0].asset_key, metadata={
        **results[0].metadata, "outcomes": counts, "ready (kr.)": kroner(sum(ready or 0 for *_, ready in outcomes)),
    })  # fmt: skip
    yield from results[1:]
