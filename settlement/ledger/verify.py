"""Checks what must always hold of the ledger and names the first broken row (settlement.md § 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import bulk, handover, hashing, heads, mirror
from settlement.ledger.booking import DELIVERED, file_digest
from settlement.ledger.frozen import demand_frozen, demand_kept
from settlement.ledger.guards import missing_guards, open_bookings
from settlement.ledger.models import (
    Approval,
    BookedBasis,
    BookedLine,
    Document,
    NumberSeries,
    OutboxItem,
    Posting,
    Proposal,
    SettlementRun,
)  # fmt: skip
from settlement.processes import INVOICES

BASES_AT_ONCE = 250_000  # of as many runs as have that many, or of one that has more
# Grain: one basis (run, document, service line, its line numbers) where its hash, or a line's, is another than that of its fields.
_CHANGED = f"""
    WITH changed AS (
        SELECT basis_no FROM basis JOIN run USING (run_no) LEFT JOIN ({hashing.months_sql("line")}) USING (basis_no)
        WHERE hash IS DISTINCT FROM CASE WHEN hash_version >= 4 THEN {hashing.basis_hash_sql(4)}
            WHEN hash_version = 3 THEN {hashing.basis_hash_sql(3)} END
    ),
    changed_line AS (
        SELECT basis_no, line_number FROM whole_line
        WHERE hash IS DISTINCT FROM CASE WHEN hash_version < 3 THEN {hashing.hash_sql(hashing.LINE_FIELDS, hashing.VERSION)}
            WHEN hash_version = 3 THEN {hashing.hash_sql(hashing.MONTH_FIELDS_3, 3)} END
    ),
    named AS (FROM changed LEFT JOIN line USING (basis_no) SELECT basis_no, line_number UNION FROM changed_line)
    SELECT
        b.run_no, b.document_number, b.service_line_id,
        list(n.line_number ORDER BY n.line_number) FILTER (n.line_number IS NOT NULL) AS line_numbers
    FROM named AS n JOIN basis AS b USING (basis_no) GROUP BY ALL ORDER BY min(n.line_number), service_line_id"""
# Grain: one run of `mirrored` whose file has another number of lines than the register, or one the register lacks.
_UNLIKE = """
    SELECT run_no FROM (SELECT run_no FROM kept EXCEPT ALL SELECT run_no FROM booked)
    UNION SELECT run_no FROM (SELECT run_no FROM booked EXCEPT ALL SELECT run_no FROM kept)
    UNION SELECT run_no FROM (FROM kept EXCEPT ALL FROM booked)
    ORDER BY run_no"""
# Of such a run: the first line that only one of the two has.
_FIRST_UNLIKE = """
    WITH a AS (FROM kept WHERE run_no = $run_no), b AS (FROM booked WHERE run_no = $run_no)
    SELECT min(line_number) FROM ((FROM a EXCEPT ALL FROM b) UNION ALL (FROM b EXCEPT ALL FROM a))"""


def verify(instance: Instance, engine: Engine, head: str | None = None) -> list[str]:
    """What is broken, a sentence each; empty where all holds. `head` is a head once printed, to be found in the chain."""
    # Read first: what is booked meanwhile is in the register before the archive knows it.
    known = _known_heads(instance)
    with Session(engine) as session, duckdb.connect() as con:
        runs = session.scalars(select(SettlementRun).order_by(SettlementRun.sequence)).all()
        broken = [
            *_chain(runs),
            *(sentence for some in _at_once(session, runs) for sentence in _laid_in_columns(instance, session, con, some)),
            *_kept(instance, known, session),
            *_guarded(session),
            *_numbers(session),
            *_homeless(session),
            *_approved(session, runs),
            *_archived(instance, runs),
            *_handed_over(session, runs),
            *_files(instance, session),
        ]
        if head and not any(run.hash.startswith(head.lower()) for run in runs):
            broken.append(f"Hovedet {head[:16]}… findes ikke i kæden: den er afkortet eller skrevet om.")
    return broken


def _chain(runs: list[SettlementRun]) -> Iterator[str]:
    """Runs hash into each other."""
    previous = ""
    for place, run in enumerate(runs, 1):
        if run.sequence != place:
            yield f"Kørsel {run.run_no}: kæden er brudt; kørslen er nr. {run.sequence} i kæden, men står som nr. {place}."
        if run.previous_hash != previous:
            yield f"Kørsel {run.run_no}: kæden er brudt; kørslen peger ikke på den forrige kørsels hash."
        previous = run.hash


def _at_once(session: Session, runs: list[SettlementRun]) -> Iterator[list[SettlementRun]]:
    """The runs in order, as many at once as can be laid in columns together."""
    bases = dict(session.execute(select(BookedBasis.run_no, func.count()).group_by(BookedBasis.run_no)).all())
    some, count = [], 0
    for run in runs:
        some.append(run)
        count += bases.get(run.run_no, 0)
        if count >= BASES_AT_ONCE:
            yield some
            some, count = [], 0
    if some:
        yield some


def _laid_in_columns(
    instance: Instance, session: Session, con: duckdb.DuckDBPyConnection, runs: list[SettlementRun]
) -> Iterator[str]:
    """Lines hash into their document and are its total, documents hash into their run and are its total."""
    numbers = [run.run_no for run in runs]
    documents: dict[int, list[Document]] = {number: [] for number in numbers}
    for document in session.scalars(
        select(Document).where(Document.run_no.in_(numbers)).order_by(Document.counterparty, Document.number)
    ):
        documents[document.run_no].append(document)
    connection, of_runs = session.connection(), BookedBasis.run_no.in_(numbers)
    lines = select(BookedLine.__table__).join(BookedBasis, BookedBasis.basis_no == BookedLine.basis_no).where(of_runs)
    bulk.load(con, "basis", bulk.read(connection, select(BookedBasis.__table__).where(of_runs)))
    bulk.load(con, "line", bulk.read(connection, lines))
    con.execute("CREATE OR REPLACE TABLE run (run_no BIGINT, process VARCHAR, hash_version BIGINT)")
    con.executemany("INSERT INTO run VALUES (?, ?, ?)", [[run.run_no, run.process, run.hash_version] for run in runs])
    con.execute("""
        CREATE OR REPLACE VIEW whole_line AS
        SELECT r.process, r.hash_version, b.* EXCLUDE (hash), l.* EXCLUDE (basis_no)
        FROM line AS l JOIN basis AS b ON b.basis_no = l.basis_no JOIN run AS r ON r.run_no = b.run_no""")
    for run_no, number, service_line, lines in con.execute(_CHANGED).fetchall():
        named = f"Linje {', '.join(map(str, lines))}" if lines else "Hver linje"
        yield f"{named} i bilag {number} (kørsel {run_no}, ydelse {service_line}) er ændret efter bogføringen."
    under = {tuple(key): hashes for *key, hashes in con.execute(hashing.children_sql("basis", "line")).fetchall()}
    postings = _postings(session, numbers)
    for run in runs:
        posted = hashing.postings_by_document(postings.get(run.run_no, ()))
        for document in documents[run.run_no]:
            hashes = under.pop((run.run_no, document.number), "")
            if hashing.document_hash(document, hashes, run.hash_version, posted.get(document.number, ())) != document.hash:
                what = "eller dets linjer" if run.hash_version < 5 else "eller dets linjer eller posteringer"
                yield f"Bilag {document.number} (kørsel {run.run_no}) {what} er ændret efter bogføringen."
        if hashing.run_hash(run, [d.hash for d in documents[run.run_no]]) != run.hash:
            yield f"Kørsel {run.run_no} eller dens bilag er ændret efter bogføringen."
    yield from _sums(session, con, runs, documents)
    yield from _mirrored(instance, con, runs)


def _postings(session: Session, runs: list[int]) -> dict[int, list[Mapping[str, object]]]:
    """Run → its postings."""
    found: dict[int, list[Mapping[str, object]]] = {}
    for posting in session.execute(select(Posting.__table__).where(Posting.run_no.in_(runs))).mappings():
        found.setdefault(posting["run_no"], []).append(posting)
    return found


def _known_heads(instance: Instance) -> list[str] | StateFault:
    try:
        return heads.kept(instance)
    except StateFault as fault:
        return fault


def _kept(instance: Instance, known: list[str] | StateFault, session: Session) -> Iterator[str]:
    """The chain against the heads kept outside the database: a rewritten or cut chain shows."""
    if isinstance(known, StateFault):
        yield str(known)
        return
    runs = heads.booked(session)
    if fault := heads.parted(known, runs) or heads.lacking(known, runs, heads.file_of(instance)):
        yield fault


def _guarded(session: Session) -> Iterator[str]:
    """The triggers are there, and no booking stands open."""
    for run_no in open_bookings(session):
        yield f"Registeret står åbent for bogføring: rækken {run_no} i open_booking er sat ind uden om Afregning. Slet den."
    if missing := missing_guards(session):
        yield f"{len(missing)} af registerets værn mangler eller er slået fra; det første er {missing[0]}."


def _approved(session: Session, runs: list[SettlementRun]) -> Iterator[str]:
    """Every run booked exactly what was proposed, and another person approved it."""
    for run in runs:
        if run.proposal_id is None:  # opening entries: an earlier system's
            continue
        proposal = session.get(Proposal, run.proposal_id)
        if proposal is None or (proposal.lines_hash, proposal.input_hash) != (run.lines_hash, run.input_hash):
            yield f"Kørsel {run.run_no}: forslag {run.proposal_id} er ikke det, kørslen bogførte."
        if run.process == INVOICES.name:  # invoices are decided on one by one
            continue
        approval = session.get(Approval, run.proposal_id)
        if approval is None or approval.approved_by != run.approved_by:
            yield f"Kørsel {run.run_no}: godkendelsen af forslag {run.proposal_id} er ikke den, kørslen blev bogført med."
        if run.booked_by in (run.approved_by, ""):
            yield f"Kørsel {run.run_no} er bogført og godkendt af samme person."


def _archived(instance: Instance, runs: list[SettlementRun]) -> Iterator[str]:
    """What a run booked and what it was computed from lie in the archive as its hashes say."""
    sound: set[Path] = set()
    for run in runs:
        if run.proposal_id is None or run.hash_version < 3:  # before it lines lay in the register, and inputs otherwise
            continue
        try:
            demand_kept(instance.archive / "proposals" / f"{run.lines_hash}.parquet", run.lines_hash, "forslagets linjer")
            if run.process != INVOICES.name:  # what it paid are its lines
                demand_frozen(instance.archive, run.input_hash, sound)
        except StateFault as fault:
            yield f"Kørsel {run.run_no}: {fault}"


def _handed_over(session: Session, runs: list[SettlementRun]) -> Iterator[str]:
    """Every document of a run has its files' places in the outbox."""
    for run in runs:
        if run.proposal_id is None:  # opening entries are never sent
            continue
        wanted, lost = handover.lost_items(session, run)
        if lost:
            yield f"Kørsel {run.run_no}: {len(lost)} af {wanted} filer har ingen plads i udbakken; den første er {min(lost)}."


def _mirrored(instance: Instance, con: duckdb.DuckDBPyConnection, runs: list[SettlementRun]) -> Iterator[str]:
    """The ledger the engine reads is the register's, line by line."""
    columns, paths = ", ".join(mirror.COLUMNS), {}
    con.execute(f"CREATE OR REPLACE TABLE kept AS SELECT run_no, {columns} FROM whole_line LIMIT 0")
    con.execute("CREATE OR REPLACE TABLE mirrored (run_no BIGINT)")
    for run in runs:
        paths[run.run_no] = path = mirror.file_of(instance, run.run_no, run.hash)
        if not path.exists():
            continue  # it is written from the register before it is read
        try:
            con.execute(f"INSERT INTO kept SELECT {run.run_no}, {columns} FROM read_parquet('{path}')")
            con.execute(f"INSERT INTO mirrored VALUES ({run.run_no})")
        except duckdb.Error:
            yield f"Kørsel {run.run_no}: spejlet {path.name} i arkivet kan ikke læses. Slet filen; den skrives igen fra registeret."
    con.execute(f"CREATE OR REPLACE VIEW booked AS SELECT run_no, {columns} FROM whole_line JOIN mirrored USING (run_no)")
    for (run_no,) in con.execute(_UNLIKE).fetchall():
        (line,) = con.execute(_FIRST_UNLIKE, {"run_no": run_no}).fetchone()
        name = paths[run_no].name
        yield f"Kørsel {run_no}: spejlet {name} i arkivet er ikke registerets linjer; den første, der er en anden, er linje {line}."


def _sums(
    session: Session, con: duckdb.DuckDBPyConnection, runs: list[SettlementRun], documents: dict[int, list[Document]]
) -> Iterator[str]:
    """Σ lines = document total = Σ debit = Σ credit; Σ documents = run."""
    lines = {
        (run_no, number): (amount, vat)
        for run_no, number, amount, vat in con.execute(
            "SELECT run_no, document_number, sum(amount_oere), sum(vat_oere) FROM whole_line GROUP BY run_no, document_number"
        ).fetchall()
    }
    sides = {
        (run_no, number, side): amount
        for run_no, number, side, amount in session.execute(
            select(Posting.run_no, Posting.document_number, Posting.side, func.sum(Posting.amount_oere))
            .where(Posting.run_no.in_(documents))
            .group_by(Posting.run_no, Posting.document_number, Posting.side)
        )
    }
    for run in runs:
        of_run = documents[run.run_no]
        for document in of_run:
            amount, vat, key = document.amount_oere, document.vat_oere, (run.run_no, document.number)
            if lines.get(key) != (amount, vat):
                yield f"Bilag {document.number}: linjernes sum er ikke bilagets total."
            debit, credit = sides.get((*key, "debet"), 0), sides.get((*key, "kredit"), 0)
            if not debit == credit == amount + vat:
                yield f"Bilag {document.number}: debet {debit}, kredit {credit} og total {amount + vat} øre er ikke ens."
        if (sum(d.amount_oere for d in of_run), sum(d.vat_oere for d in of_run)) != (run.amount_oere, run.vat_oere):
            yield f"Kørsel {run.run_no}: bilagenes sum er ikke kørslens total."


def _homeless(session: Session) -> Iterator[str]:
    """Every line has its basis and every basis its document; lines are numbered without gaps."""
    line, basis = BookedLine, BookedBasis
    without = session.scalars(
        select(line.line_number).where(~select(basis).where(basis.basis_no == line.basis_no).exists()).order_by(line.line_number)
    ).all()
    if without:
        yield f"{len(without)} linjer har mistet det, de hører til; den første er linje {without[0]}."
    is_there = select(Document).where(Document.run_no == basis.run_no, Document.number == basis.document_number).exists()
    for run_no, number in session.execute(select(basis.run_no, basis.document_number).where(~is_there).distinct()):
        yield f"Kørsel {run_no} har linjer i bilag {number}, som ikke findes."
    is_there = select(Document).where(Document.run_no == Posting.run_no, Document.number == Posting.document_number).exists()
    for posting_id, number in session.execute(select(Posting.posting_id, Posting.document_number).where(~is_there)):
        yield f"Postering {posting_id} hører til bilag {number}, som ikke findes."
    lowest, highest, count = session.execute(
        select(func.min(line.line_number), func.max(line.line_number), func.count(line.line_number.distinct()))
    ).one()
    total = session.scalar(select(func.count()).select_from(line))
    if total and not highest - min(lowest, 1) + 1 == count == total:
        yield f"Linjenumrene har huller: {total} linjer, fra {lowest} til {highest}."


def _numbers(session: Session):
    """Document numbers are gapless per series and year; an earlier system's documents have none."""
    given = session.execute(
        select(
            Document.series, Document.year, func.count(), func.min(Document.sequence), func.max(Document.sequence)
        )
        .where(Document.run_no > 0)
        .group_by(Document.series, Document.year)
    )
    for series, year, count, lowest, highest in given:
        last = session.get(NumberSeries, (series, year))
        if lowest != 1 or highest != count or last is None or last.last != highest:
            yield f"Bilagsnumre i serie {series} {year} har huller: {count} bilag, højeste nummer {highest}."


def _files(instance: Instance, session: Session):
    """Delivered files are those that were written."""
    for item in session.scalars(select(OutboxItem).where(OutboxItem.status == DELIVERED)):
        path = instance.outbox / item.path
        if not path.exists():
            yield f"Udbakken mangler {item.path}, som er leveret. Kør «afregning deliver --now»; så skrives den igen."
        elif file_digest(path.read_bytes()) != item.sha256:
            yield f"Udbakkens {item.path} er ikke den fil, der blev leveret. Kør «afregning deliver --now»; så skrives den igen."
