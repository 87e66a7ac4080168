"""Reads how one service line's amount in one delivery month came about: from the engine's tables and the register."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, timedelta
from math import gcd

import duckdb
from sqlalchemy import Engine, Select, select
from sqlalchemy.orm import Session

from settlement.engine import settle
from settlement.engine.calendar import month_end
from settlement.explanation import (
    SETTLED,
    Booking,
    Change,
    Compared,
    Explanation,
    LateClaim,
    Piece,
    Refusal,
    Stretch,
    account_text,
    count_text,
    counterparty_of,
    counterparty_text,
    day_text,
    line_text,
    month_text,
    named,
    payer_text,
    period_text,
    short_text,
    starts_text,
    titled,
    unsettled_text,
)
from settlement.faults import InputFault, StateFault
from settlement.instance import Instance
from settlement.ledger import holds, manual, mirror
from settlement.ledger.frozen import thaw
from settlement.ledger.models import Approval, Document, Hold, HoldConfirmation, LedgerLine, Proposal, SettlementRun
from settlement.ledger.proposals import settles_from
from settlement.ledger.reproduce import compute_again

LEVELS = {"line_price": "individuel takst", "offer_price": "tilbuddets takst", "item_price": "katalogets takst"}
# What parks a line (ingestion/engine_input.py): refused rows that nobody has set aside, and findings nobody has overridden.
REFUSED = """
    SELECT q.file_name AS file, q.row, coalesce(q.column_name, '') AS column, q.message FROM {schema}.refused AS q
    ANTI JOIN set_aside AS s ON s.file_hash = q.file_hash AND s.row = q.row
    WHERE q.service_line_id = $line AND q.closed_by_load IS NULL
    UNION ALL
    SELECT (SELECT min(name) FROM raw.file WHERE file_hash = f.file_hash), f.row, '', f.message FROM {findings}.finding AS f
    SEMI JOIN parking_rule AS p ON p.rule = f.rule
    ANTI JOIN overridden AS o ON o.rule = f.rule AND o.key = f.key
    WHERE f.service_line_id = $line AND f.closed_load IS NULL
    ORDER BY ALL"""


def entitled_and_booked(
    con: duckdb.DuckDBPyConnection,
    instance: Instance,
    engine: Engine,
    service_line_id: str,
    month: date,
    *,
    basis: str,
    holidays: Collection[date],
) -> Explanation:
    """What the line is worth in the month and what is booked of it, after `settle.entitle` on the line's facts.

    `basis` says in a sentence which facts. Raises InputFault where the line is not known, or an amount does not fit in 64 bits.
    """
    found = _rows(con, """
        SELECT l.*, i.* EXCLUDE (item_code), p.* EXCLUDE (package_id, withdrawn), p.withdrawn AS package_withdrawn,
            t.payee_id, c.payer_cpr, o.owner_kind, o.offer_id IS NOT NULL AS is_known_offer
        FROM service_line l JOIN service_package p USING (package_id) JOIN catalogue_item i USING (item_code)
        LEFT JOIN offer o ON o.offer_id = l.offer_id
        LEFT JOIN payout_terms t ON t.service_line_id = l.service_line_id AND NOT t.withdrawn
        LEFT JOIN charge_terms c ON c.service_line_id = l.service_line_id AND NOT c.withdrawn
        WHERE l.service_line_id = ?""", [service_line_id])  # fmt: skip
    if not found:
        raise InputFault(_unknown_text(con, engine, service_line_id))
    line, files = found[0], _file_names(instance)
    text = line_text(line, _source(files, line["source_file"], line["source_row"]))
    with Session(engine) as session:
        if line["source_file"] == manual.SOURCE:
            text += " " + manual.trace(session, line["source_row"], line["withdrawn"])
        held = tuple(_holds(con, session, line, month))
    told = Explanation(
        service_line_id, month, basis, text, tuple(_absences(con, line, month)),
        tuple(_stretches(con, line, month, holidays, files)), tuple(_pieces(con, month)),
        tuple(_bookings(con, engine, month)), (), tuple(sorted(
            row["reason"] for row in _rows(con, "SELECT DISTINCT reason FROM blocked WHERE delivery_month = ?", [month])
        )), held, refused=tuple(_refused(con, service_line_id)),
    )  # fmt: skip
    stated, offer = line["process"], (line["offer_id"], line["is_known_offer"], line["owner_kind"])
    return replace(told, compared=tuple(
        Compared(process, unsettled_text(process, stated, *offer)) for process in told.processes if process not in SETTLED
    ))  # fmt: skip


def with_difference(con: duckdb.DuckDBPyConnection, told: Explanation) -> Explanation:
    """The explanation with what the run would book or rests, after `settle.difference` on the same connection."""
    key = [told.service_line_id, told.month]
    rows = _rows(con, """
        SELECT r.process, d.* FROM difference AS d, run AS r
        WHERE d.service_line_id = ? AND d.delivery_month = ? ORDER BY d.price_oere, d.counterparty, d.account""", key)
    changes = tuple(Change(
        r["process"], counterparty_of(r), r["account"], r["price_oere"], r["quantity_num"], r["quantity_den"],
        r["amount_oere"], r["vat_oere"], r["corrects"],
    ) for r in rows)  # fmt: skip
    too_late = _rows(con, "FROM late WHERE service_line_id = ? AND delivery_month = ? ORDER BY counterparty", key)
    claims = tuple(LateClaim(named(r["counterparty"]), r["net_oere"], r["last_day"]) for r in too_late)
    resting = _rows(con, "SELECT DISTINCT reason FROM parked WHERE service_line_id = ? AND delivery_month = ?", key)
    # The run's own reason is the one that counts: it has precedence over the lack of a price or payer.
    return replace(
        told,
        changes=told.changes + changes,
        late=told.late + claims,
        parked=tuple(sorted({r["reason"] for r in resting} or told.parked)),
        compared=told.compared + tuple(_compared(con, told)),
    )


def _compared(con, told: Explanation) -> Iterator[Compared]:
    """The run's own process, where the run is of the line's timing and reaches the month."""
    (run,) = _rows(con, "FROM run", [])
    if run["process"] not in told.processes:
        return
    if "settles_from" not in run:
        yield Compared(run["process"], f"forslaget trækker bilag {run['document_number']} tilbage og siger ikke andet.")
    elif run["settles_from"] > told.month:
        yield Compared(run["process"], starts_text(run["settles_from"], told.month))
    elif run["timing"] == _timing(con, told.service_line_id) and run["through"] >= told.month:
        only = run["only_counterparty"]
        yield Compared(run["process"], f"forslaget gælder kun modpart {named(only)}." if only else "")


def explain_proposal(
    instance: Instance, engine: Engine, proposal_id: int, service_line_id: str, month: date, *, booked_now: bool = False
) -> Explanation:
    """From the frozen facts and rules the proposal (or its booked run) was made of, read for this one line; with
    `booked_now` against what is booked by now, else against what was booked when it was made.

    Raises StateFault where the proposal or its frozen input is missing, InputFault where it does not know the line.
    """
    with Session(engine) as session:
        proposal = session.get(Proposal, proposal_id)
        if proposal is None:
            raise StateFault(f"Forslag {proposal_id} findes ikke. Vælg et af de åbne forslag.")
        run_no = session.scalar(select(SettlementRun.run_no).where(SettlementRun.proposal_id == proposal_id))
        basis, input_hash = _proposal_text(session, proposal, run_no), proposal.input_hash
    with duckdb.connect() as con:
        kept = thaw(con, instance.archive, input_hash)
        if booked_now:
            mirror.bind(con, mirror.files(instance, engine), service_line_id)
            basis += " Det bogførte er læst i regnskabet nu."
        _keep_one_line(con, service_line_id)
        compute_again(con, kept, also=month)
        told = entitled_and_booked(
            con, instance, engine, service_line_id, month, basis=basis, holidays=kept.holidays
        )  # fmt: skip
        told = with_difference(con, told)
        timing = _timing(con, service_line_id)
        for process in [p for p in told.processes if p not in {c.process for c in told.compared}]:
            other, limit = _other_proposal(engine, instance, proposal_id, process, timing, month)
            if other and booked_now:
                settle.difference(
                    con, process=process, timing=timing, through=month, settles_from=settles_from(instance, process),
                    booking_date=other.booking_date, rules=kept.rules,
                )  # fmt: skip
                told = with_difference(con, told)
            else:
                told = replace(told, compared=(*told.compared, Compared(process, limit)))
    return replace(told, before_run=None if booked_now else run_no)


def _other_proposal(
    engine: Engine, instance: Instance, proposal_id: int, process: str, timing: str, month: date
) -> tuple[Proposal | None, str]:
    """The newest proposal that compares the month in a process the given one does not, and why the given one does not say
    what is to be booked in it."""
    if (first := settles_from(instance, process)) > month:
        return None, starts_text(first, month)
    reaching = _ordinary().where(Proposal.process == process, Proposal.timing == timing, Proposal.through >= month)
    with Session(engine) as session:
        of = session.scalars(reaching).first()
    if of is None:
        return None, f"ingen kørsel af {titled(process)}, {timing}, når {month_text(month)} endnu."
    return of, f"forslag {proposal_id} afregner den ikke. Det gør forslag {of.proposal_id} ({titled(process)}, {timing})."


def _ordinary() -> Select:
    """The newest proposal first, neither one counterparty's alone nor a withdrawal."""
    ordinary = select(Proposal).where(Proposal.only_counterparty == "", Proposal.withdraws == "")
    return ordinary.order_by(Proposal.proposal_id.desc()).limit(1)


def newest_proposal_of(
    instance: Instance, engine: Engine, processes: Collection[str], service_line_id: str, month: date
) -> int | None:
    """The proposal to explain a value by: the newest of the processes and of the timing the line has in it, else the newest
    of the processes, else, for the facts alone, of all; None where nothing has been proposed."""
    with Session(engine) as session:
        of_process = _ordinary().where(Proposal.process.in_(processes), Proposal.through >= month)
        known = session.scalars(of_process).first()
        if known is None:
            urgent = select(Proposal).where(Proposal.withdraws == "").order_by(Proposal.proposal_id.desc()).limit(1)
            return getattr(session.scalars(_ordinary()).first() or session.scalars(urgent).first(), "proposal_id", None)
        timing = _frozen_timing(instance, known, service_line_id)
        return (session.scalars(of_process.where(Proposal.timing == timing)).first() or known).proposal_id


def _frozen_timing(instance: Instance, proposal: Proposal, service_line_id: str) -> str:
    with duckdb.connect() as con:
        thaw(con, instance.archive, proposal.input_hash)
        found = con.execute("SELECT timing FROM service_line WHERE service_line_id = ?", [service_line_id]).fetchone()
    return found[0] if found else proposal.timing


# --- Reading the facts --------------------------------------------------------------------------------------------------


def _timing(con, service_line_id: str) -> str:
    return con.execute("SELECT timing FROM service_line WHERE service_line_id = ?", [service_line_id]).fetchone()[0]


def _is_warehouse(con) -> bool:
    """Whether the facts are those of the warehouse, and not a proposal's."""
    return bool(con.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'quarantine'").fetchone())


def _is_of_a_day(con) -> bool:
    """Whether the warehouse is read as it was known on a day (ingestion/known.py)."""
    return con.execute("SELECT getvariable('known_load') IS NOT NULL").fetchone()[0]


def _unknown_text(con, engine: Engine, service_line_id: str) -> str:
    """A line that is known now, but not in the facts told of, is told apart from one that nobody knows."""
    if not _is_warehouse(con):
        return f"Ydelsen {service_line_id} findes ikke i det, forslaget er lavet af. Den kommer med i det næste forslag."
    if _is_of_a_day(con):
        is_known = con.execute("SELECT 1 FROM canonical.service_line WHERE service_line_id = ?", [service_line_id]).fetchone()
        with Session(engine) as session:
            lines = [manual.service_line_id(line.manual_id) for line, _ in manual.in_force(session)]
        if is_known or service_line_id in lines:
            return f"Ydelsen {service_line_id} findes ikke i det, der var kendt den dag: den er kommet til senere. Vælg en senere."
    return f"Ydelsen {service_line_id} findes ikke. Kontrollér ydelse_id i ydelser."


def _refused(con, service_line_id: str) -> Iterator[Refusal]:
    """The rows that the line waits for; a proposal's facts do not say."""
    if _is_warehouse(con):
        schemas = ("known", "known") if _is_of_a_day(con) else ("quarantine", "quality")
        sql = REFUSED.format(schema=schemas[0], findings=schemas[1])
        for r in _rows(con, sql, {"line": service_line_id}):
            yield Refusal(r["file"], r["row"], r["column"], r["message"])


def _rows(con, sql: str, parameters: list | dict) -> list[dict]:
    cursor = con.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _keep_one_line(con, service_line_id: str) -> None:
    """The thawed tables with what concerns one line: the engine then computes only that."""
    conditions = {table: "service_line_id = $line" for table, columns in settle.INPUTS.items()
                  if "service_line_id" in columns and table != "hold"}  # fmt: skip
    conditions |= {
        "service_package": "package_id IN (SELECT package_id FROM service_line)",
        "package_payer": "package_id IN (SELECT package_id FROM service_line)",
        "catalogue_item": "item_code IN (SELECT item_code FROM service_line)",
        "rate": "item_code IN (SELECT item_code FROM service_line)",
        "offer": "offer_id IN (SELECT offer_id FROM service_line)",
    }
    for table, condition in conditions.items():
        con.execute(
            f"CREATE TEMP TABLE of_one_line AS SELECT * FROM {table} WHERE {condition}",
            {"line": service_line_id} if "$line" in condition else None,
        )
        con.execute(f"DROP VIEW {table}")
        con.execute(f"ALTER TABLE of_one_line RENAME TO {table}")


def _file_names(instance: Instance) -> dict[str, str]:
    """The name every archived file was received under, by the SHA-256 of its bytes."""
    manifest = instance.archive / "manifest.jsonl"
    if not manifest.exists():
        return {}
    loads = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return {file["sha256"]: file["name"] for load in loads for file in load["files"]}


def _source(files: dict[str, str], file_hash: str | None, row: int | None) -> str:
    if not file_hash:
        return "ukendt kilde"
    if file_hash == manual.SOURCE:
        return f"manuel linje {row}"
    return f"{files.get(file_hash, file_hash[:12])}, række {row}"


def _rate_source(files: dict[str, str], source: str) -> str:
    """The engine names a rate's source by the first 16 digits of its file's hash, and its row."""
    prefix, _, row = source.partition(":")
    whole = next((file_hash for file_hash in files if file_hash.startswith(prefix)), prefix)
    return _source(files, whole, row)


def _absences(con, line: dict, month: date) -> Iterator[str]:
    """Spells that reach into the month, as recorded and as one, with the first day that is reduced."""
    recorded = _rows(con, """
        SELECT from_date, coalesce(to_date, DATE '9999-12-31') AS to_date FROM absence
        WHERE service_line_id = ? AND NOT withdrawn ORDER BY ALL""", [line["service_line_id"]])  # fmt: skip
    spells: list[list[dict]] = []
    for row in recorded:
        reached = max(r["to_date"] for r in spells[-1]) if spells else None
        if reached and (reached == date.max or row["from_date"] <= reached + timedelta(days=1)):
            spells[-1].append(row)
        else:
            spells.append([row])
    for spell in spells:
        first, last = spell[0]["from_date"], max(r["to_date"] for r in spell)
        if first > month_end(month) or last < month:
            continue
        periods = " og ".join(period_text(r["from_date"], r["to_date"]) for r in spell)
        text = f"Fravær registreret {periods}" + (f", regnet som ét fra {day_text(first)}" if len(spell) > 1 else "")
        if line["unit"] in ("leveret", "engang") or line["proration"] == "hel" and line["unit"] == "maaned":
            yield f"{text}: virker ikke på denne enhed."
            continue
        full, pct = line["absence_full_days"], short_text(line["absence_pct_e2"], 100)
        reduced = (first - settle.EPOCH).days + full
        yield (
            f"{text}: de første {full} kalenderdage fra {day_text(first)} tæller fuldt, "
            f"fra {day_text(_date(reduced))} tæller hver dag {pct} pct."
        )


def _holds(con, session: Session, line: dict, month: date) -> Iterator[str]:
    """Who holds the line-month, or a counterparty of it, and why: the register's holds that the facts hold."""
    facts = _rows(con, """
        SELECT DISTINCT h.counterparty, h.from_month FROM hold AS h
        WHERE h.from_month <= $month AND (h.service_line_id = $line OR h.counterparty IN (
            SELECT counterparty FROM day_weight WHERE delivery_month = $month
            UNION ALL SELECT counterparty FROM ledger_line WHERE delivery_month = $month))""",
        {"month": month, "line": line["service_line_id"]})  # fmt: skip
    known = {(fact["counterparty"] or "", fact["from_month"]) for fact in facts}
    for hold in session.scalars(select(Hold).where(Hold.releases.is_(None)).order_by(Hold.hold_id)):
        is_of_line = hold.counterparty or hold.service_line_id == line["service_line_id"] or hold.cpr == line["cpr"]
        if is_of_line and (hold.counterparty, hold.from_month) in known and session.get(HoldConfirmation, hold.hold_id):
            yield holds.trace(session, hold)


def _stretches(con, line: dict, month: date, holidays, files) -> Iterator[Stretch]:
    posting = chr(31).join(line[c] or "" for c in ("function_code", "grouping_code", "cost_type_code"))
    keys = {
        "line_price": line["service_line_id"], "offer_price": f"{line['item_code']}{chr(31)}{line['offer_id'] or ''}",
        "item_price": line["item_code"], "payer": line["package_id"], "line_account": line["service_line_id"],
        "item_account": posting,
    }  # fmt: skip
    layers = [
        row for row in _rows(con, "FROM dated", [])
        if keys.get(row["layer"]) == row["key"]
        and any(row[value] is not None for value in ("price_oere", "absence_pct_e2", "payer", "account"))
    ]  # fmt: skip
    for w in _rows(con, REGISTERED if line["unit"] == "leveret" else WEIGHED, [month]):
        at = {row["layer"]: row for row in layers if row["from_day"] <= w["from_day"] <= row["to_day"]}
        level = next((name for name in LEVELS if name in at), None)
        numerator, denominator = w["quantity_e4"] * w["weight"] * w["absence_pct_e2"], w["basis"] * 100_000_000
        shared = gcd(numerator, denominator)
        yield Stretch(
            _date(w["from_day"]), _date(w["to_day"]), w["weight"], w["basis"],
            count_text(line["unit"], line["proration"], w["weight"], _date(w["from_day"]), _date(w["to_day"]), holidays),
            w["quantity_e4"], w["absence_pct_e2"], numerator // shared, denominator // shared, w["price_oere"],
            f"{LEVELS[level]}, {_rate_source(files, w['rate_source'])}" if level else "ingen",
            w["process"], payer_text(w, at), counterparty_text(w, line), account_text(w, line, at),
        )  # fmt: skip


WEIGHED = "SELECT * FROM day_weight WHERE delivery_month = ? ORDER BY from_day"
# One row per registration, by date; its stretch gives price, payer and account.
REGISTERED = """
    SELECT w.* EXCLUDE (from_day, to_day), g.quantity_e4 AS weight, date_diff('day', DATE '1970-01-01', g.date) AS from_day,
        date_diff('day', DATE '1970-01-01', g.date) AS to_day
    FROM (SELECT DISTINCT * EXCLUDE (weight) FROM day_weight) AS w
    JOIN registration AS g ON g.service_line_id = w.service_line_id AND NOT g.withdrawn AND g.quantity_e4 <> 0
        AND date_diff('day', DATE '1970-01-01', g.date) BETWEEN w.from_day AND w.to_day
        AND date_trunc('month', g.date) = w.delivery_month
    WHERE w.delivery_month = ? ORDER BY g.date, g.registration_id"""


def _pieces(con, month: date) -> Iterator[Piece]:
    ordered = "SELECT * FROM piece WHERE delivery_month = ? ORDER BY process, price_oere, counterparty, account"
    try:
        rows = _rows(con, ordered, [month])
    except (duckdb.OutOfRangeException, duckdb.ConversionException, OverflowError) as overflow:
        # The view computes where it is read: the engine's own sentence says which amount, as where the engine reads it.
        raise InputFault(settle.overflow_sentence(con)) from overflow
    for r in rows:
        yield Piece(
            r["process"], counterparty_of(r), r["account"], r["price_oere"], r["quantity_num"], r["quantity_den"],
            r["amount_oere"], r["vat_pct_e2"], r["vat_oere"],
        )  # fmt: skip


def _bookings(con, engine: Engine, month: date) -> Iterator[Booking]:
    """The ledger lines the facts hold, with the people of their runs."""
    lines = _rows(con, "SELECT line_number, document_number FROM ledger_line WHERE delivery_month = ?", [month])
    numbers, documents = {x["line_number"] for x in lines}, {x["document_number"] for x in lines}
    of_document = select(Document.run_no).where(Document.number.in_(documents))  # the register finds a line by its document
    with Session(engine) as session:
        found = session.execute(
            select(LedgerLine, SettlementRun)
            .join(SettlementRun, SettlementRun.run_no == LedgerLine.run_no)
            .where(
                LedgerLine.run_no.in_(of_document), LedgerLine.document_number.in_(documents), LedgerLine.line_number.in_(numbers),
            )
            .order_by(LedgerLine.line_number)
        )
        for line, run in found:
            yield Booking(
                run.run_no, line.process, line.document_number, line.booking_date, named(line.counterparty), line.account,
                line.price_oere, line.quantity_num, line.quantity_den, line.amount_oere, line.vat_oere,
                line.corrects if line.is_adjustment else "", run.booked_by, run.approved_by, run.engine_version,
            )  # fmt: skip


def _proposal_text(session: Session, proposal: Proposal, run_no: int | None) -> str:
    text = f"Grundlag: forslag {proposal.proposal_id} ({titled(proposal.process)}, {proposal.timing}), "
    text += f"lavet {proposal.created_at:%d-%m-%Y} af {proposal.created_by}"
    approval = session.get(Approval, proposal.proposal_id)
    text += f", godkendt {approval.approved_at:%d-%m-%Y} af {approval.approved_by}" if approval else ", ikke godkendt endnu"
    run = session.get(SettlementRun, run_no) if run_no else None
    text += f", bogført i kørsel {run.run_no} af {run.booked_by}" if run else ""
    return (
        f"{text}; regelversion {proposal.engine_version}, bogføringsdato {proposal.booking_date:%d-%m-%Y}, "
        f"grundlagets hash {proposal.input_hash[:12]}."
    )


def _date(number: int) -> date:
    return settle.EPOCH + timedelta(days=number)
