"""What is parked or quarantined now, with reasons, as the public exceptions file (loader.md, commands)."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ingestion.engine_input import bind
from settlement.engine import settle
from settlement.instance import Instance
from settlement.ledger.proposals import newest_proposals, park

HEADER = (
    "type", "aarsag", "kilde", "fil", "raekke", "kolonne", "vaerdi", "ydelse_id", "leverancemaaned", "besked",
)  # fmt: skip
PARKED = {
    "mangler_takst": "Der er ingen takst på mindst én dag med vægt. Send taksten; måneden afregnes derefter.",
    "mangler_betaler": "Der er ingen betaler på mindst én dag med vægt. Send betaleren; måneden afregnes derefter.",
    "afventer_rettelse": "En afvist række eller et fund hører til ydelsen. Ret det i kilden, eller sæt det til side.",
    "tilbageholdt": "En person holder ydelsen, borgeren eller modparten tilbage. Ophæv det, når sagen er afklaret.",
    "mangler_afdeling": "Pakken har ingen afdeling at afregne internt med. Send pakkens afdeling; måneden afregnes derefter.",
    "for_sent": "Kravet er rejst efter fristen. En controller afgør med en begrundelse, om det skal med.",
}


def current_exceptions(con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine) -> Iterator[tuple[str, ...]]:
    """Open quarantine rows, then what the newest proposal of each process and timing would park now."""
    quarantined = con.execute("""
        SELECT q.reason, coalesce(f.system, ''), q.file_name, q.row, coalesce(q.column_name, ''), q.value,
            coalesce(q.service_line_id, ''), q.message
        FROM quarantine.refused q
        LEFT JOIN (SELECT DISTINCT file_hash, name, system FROM raw.file) f ON f.file_hash = q.file_hash AND f.name = q.file_name
        WHERE q.closed_by_load IS NULL
        ORDER BY q.load_id, q.file_name, q.row, q.loader_file""").fetchall()
    for reason, system, file, row, column, value, line, message in quarantined:
        yield "karantaene", reason, system, file, str(row), column, value, line, "", message
    with Session(engine) as session:
        newest = newest_proposals(session)
    if newest:
        bind(con, instance, engine)
        settle.entitle(
            con, own_municipality=instance.municipality, through=max(p.through for p in newest),
            spark_master=instance.spark_master,
        )  # fmt: skip
    for proposal in newest:
        park(
            con, instance, process=proposal.process, timing=proposal.timing, through=proposal.through,
            booking_date=proposal.booking_date,
        )  # fmt: skip
        parked = con.execute("""
            SELECT p.reason, coalesce(f.system, ''), coalesce(f.name, ''), l.source_row, p.service_line_id,
                strftime(p.delivery_month, '%Y-%m'), k.department
            FROM parked_line p JOIN service_line l USING (service_line_id) JOIN service_package k USING (package_id)
            LEFT JOIN (SELECT file_hash, any_value(name) AS name, any_value(system) AS system FROM raw.file GROUP BY ALL) f
                ON f.file_hash = l.source_file
            ORDER BY p.service_line_id, p.delivery_month, p.counterparty""").fetchall()
        for reason, system, file, row, line, month, department in parked:
            # Of internal settlement the department pays: the reason is the same, what a person must send is not.
            lacks_department = (proposal.process, reason, department) == ("intern", "mangler_betaler", None)
            todo = PARKED["mangler_afdeling" if lacks_department else reason]
            message = f"{proposal.process}, {proposal.timing}: {todo}"
            yield "parkeret", reason, system, file, str(row), "", "", line, month, message
