"""How fast an approved proposal is booked, into SQLite and into PostgreSQL, and how fast the difference is found against a
ledger of millions of lines. Prints figures; asserts nothing. `make bench`, or `python tests/benchmarks/booking.py 100000`.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parent.parent))

from postgres import BINARIES, new_database, server, use_register

from settlement.instance import create_folders, open_instance
from settlement.ledger import mirror
from settlement.ledger.booking import approve, book
from settlement.ledger.gates import GREEN, REQUIRED, record_verdict
from settlement.ledger.proposals import propose
from settlement.ledger.register import add_user, open_register, writing
from settlement.ledger.verify import verify

CANONICAL = Path(__file__).parent / "canonical.sql"


def instance_with(home: Path, database: str | None):
    create_folders(home, "461")
    if database:
        use_register(home, database)
    instance = open_instance(home)
    engine = open_register(instance)
    with writing(engine) as session:
        for name in ("anna", "bo", "eva"):
            add_user(session, name, "controller")
    return instance, engine


def measure(lines: int, database: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/warehouse.duckdb", config={"threads": 2}) as con:
        instance, engine = instance_with(Path(folder) / "instance", database)
        con.execute(CANONICAL.read_text(encoding="utf-8").replace("$lines", str(lines)))
        con.execute("""CREATE TEMP TABLE party AS SELECT DISTINCT paying_municipality AS counterparty, 'kommune' AS kind,
            'Kommune' AS name, '12345678' AS cvr, '5790000123456' AS ean, '' AS address, '' AS contact FROM service_package""")
        con.execute("""INSERT INTO party SELECT DISTINCT paying_municipality, 'kommune', 'Kommune', '1', '', '', ''
            FROM package_payer ANTI JOIN party ON counterparty = paying_municipality""")
        con.execute("DROP TABLE ledger_line")
        for month, label in ((date(2025, 11, 1), "empty ledger"), (date(2025, 12, 1), "same ledger, one month more")):
            mirror.bind(con, mirror.files(instance, engine))
            start = time.perf_counter()
            (proposal,) = propose(
                instance, engine, con, process="mellemkommunal", throughs={"bagud": month}, booking_date=date(2025, 12, 28),
                created_by="anna", last_load_id=1,
            )  # fmt: skip
            proposed = time.perf_counter() - start
            with writing(engine) as session:
                for gate in REQUIRED:
                    record_verdict(
                        session, load_id=1, scope="", gate=gate, input_version="1", rules_version="1", verdict=GREEN, detail=""
                    )
                approve(session, proposal.proposal_id, proposal.hash, "bo")
            start, worked = time.perf_counter(), time.process_time()
            run = book(instance, engine, proposal.proposal_id, "eva")
            seconds, worked = time.perf_counter() - start, time.process_time() - worked
            print(
                f"{engine.dialect.name:<11} {label:<28} proposed {proposal.line_count:>11,} lines in {proposed:6.1f} s; "
                f"booked in {seconds:6.2f} s ({worked:.2f} s of processor here): {proposal.line_count / seconds:>9,.0f} lines/s",
                flush=True,
            )
        start = time.perf_counter()
        assert verify(instance, engine) == []
        print(f"{engine.dialect.name:<11} verified to run {run.run_no} in {time.perf_counter() - start:.1f} s", flush=True)
        engine.dispose()


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [100_000]
    for lines in sizes:
        measure(lines, None)
        if not BINARIES:
            print("postgresql: not installed, not measured")
            continue
        with ExitStack() as stack:
            measure(lines, new_database(stack.enter_context(server())))


if __name__ == "__main__":
    main()
