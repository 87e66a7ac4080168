"""`afregning trace --line`: from a booked line to its document, run, proposal and input, and to the file and row of each fact it
was made of, as those were known when it was proposed."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ingestion.contract import Contract, contracts
from ingestion.known import bind_known
from orchestration.pipeline import last_load_id
from orchestration.trace import Tracer, Version, select_versions, value_text
from settlement.engine.calendar import month_end
from settlement.explanation import short_text
from settlement.faults import InputFault
from settlement.ledger import manual
from settlement.ledger.lines_file import money_text
from settlement.ledger.models import Document, LedgerLine, Proposal, SettlementRun

# Of dated facts: those in force on a day of the month; one without an end ends the day before the next.
IN_MONTH = """
    ({level}) AND valid_from <= $last AND NOT withdrawn AND coalesce(valid_to, DATE '9999-12-31') >= $first
    AND NOT EXISTS (FROM known.{table} AS n WHERE {same} AND NOT n.withdrawn AND n.valid_from <= $first
        AND n.valid_from > {table}.valid_from)"""


def trace_line(tracer: Tracer, engine: Engine, number: int, *, everything: bool = False) -> Iterator[str]:
    """A booked line in Danish sentences. With `everything` each fact with its cells and rules too.

    Raises InputFault for a number that no line has.
    """
    with Session(engine) as session:
        line = booked_line(session, number)
        run = session.get(SettlementRun, line.run_no)
        proposal = session.get(Proposal, run.proposal_id) if run.proposal_id else None
        yield from _booking(session, line, run, proposal, reveal=tracer.reveal)
        through = proposal.last_load_id if proposal else last_load_id(tracer.instance)
        bind_known(tracer.con, through)
        yield ""
        yield f"Kilderne, som de var kendt efter indlæsning {through}:"
        if line.service_line_id.startswith("MANUEL-"):
            withdrawn = any(m.manual_id == int(line.service_line_id[7:]) and gone for m, gone in manual.in_force(session))
            yield "  " + manual.trace(session, int(line.service_line_id[7:]), withdrawn)
    for what, contract, versions in facts(tracer, line):
        for version in versions:
            yield f"  {what}: {tracer.origin(version)}."
            if everything:
                yield from ("    " + told for told in tracer.row(contract, [version]))
    if not _is_own_source(tracer, line):
        yield (
            f"  OBS: linjen siger selv, at ydelsen stod i {line.line_source or 'ingen fil'}, hvilket datalageret ikke længere viser. "
            "Sammenlign med det fastfrosne grundlag."
        )


def booked_line(session: Session, number: int) -> LedgerLine:
    """The ledger line of that number. Raises InputFault."""
    line = session.get(LedgerLine, number)
    if line is None:
        raise InputFault(f"Linje {number} findes ikke. Find numrene med «afregning lines».")
    return line


def _booking(session: Session, line: LedgerLine, run: SettlementRun, proposal: Proposal | None, *, reveal: bool) -> Iterator[str]:
    quantity = f"{line.quantity_num}/{line.quantity_den}" if line.quantity_den != 1 else str(line.quantity_num)
    yield (
        f"Linje {line.line_number}: {money_text(line.amount_oere)} kr. og {money_text(line.vat_oere)} kr. i moms, {line.process}, "
        f"ydelse {line.service_line_id}, leverancemåned {line.delivery_month:%Y-%m}, antal {quantity} à "
        f"{money_text(line.price_oere)} kr., konto {line.account or 'ingen'}, modpart {_party(line, reveal)}."
    )
    if line.is_adjustment:
        yield f"Linjen er en regulering" + (f" af bilag {line.corrects}." if line.corrects else ".")
    document = session.get(Document, (line.run_no, line.document_number))
    yield f"Bilag {document.number or '(uden nummer)'} ({document.kind}), dateret {document.issue_date:%d-%m-%Y}, hash {document.hash}."
    if proposal is None:
        yield f"Kørsel {max(run.run_no, 0)}: hvad det tidligere system har afregnet, bogført {run.booked_at:%d-%m-%Y}, hoved {run.hash}."
        return
    yield (
        f"Kørsel {run.run_no}, bogført {run.booked_at:%d-%m-%Y} af {run.booked_by}, godkendt af {run.approved_by}, hoved {run.hash}."
    )
    made = f"Forslag {proposal.proposal_id}, lavet {proposal.created_at:%d-%m-%Y} af {proposal.created_by}, regelversion {proposal.engine_version}"
    yield made + (f"; det trækker bilag {proposal.withdraws} tilbage: «{proposal.reason}»." if proposal.withdraws else ".")
    yield f"Grundlaget: archive/inputs/{proposal.input_hash}.json. Linjerne: archive/proposals/{proposal.lines_hash}.parquet."
    yield f"Regnestykket: afregning explain {line.service_line_id} {line.delivery_month:%Y-%m}. Genberegning: afregning reproduce {run.run_no}."


def _party(line: LedgerLine, reveal: bool) -> str:
    is_public = line.process in ("mellemkommunal", "intern") or len(line.counterparty) == 8
    return line.counterparty if is_public or reveal else "en person"


def facts(tracer: Tracer, line: LedgerLine) -> Iterator[tuple[str, Contract, list[Version]]]:
    """What the line was made of, as (what it gave, contract, rows): only rows that `bind_known` shows."""
    month = {"first": line.delivery_month, "last": month_end(line.delivery_month)}

    def rows(table: str, condition: str, **values) -> list[Version]:
        return select_versions(tracer.con, contracts()[table], condition, values, known=True)

    def dated(table: str, level: str, **values) -> list[Version]:
        keys = contracts()[table].key[:-1]
        same = " AND ".join(f"n.{k} IS NOT DISTINCT FROM {table}.{k}" for k in keys)
        return rows(table, IN_MONTH.format(level=level, table=table, same=same), **month, **values)

    def found(what: str, table: str, versions: list[Version]):
        return (what, contracts()[table], versions)

    of_line = {"line": line.service_line_id}
    service = rows("service_line", "service_line_id = $line", **of_line)
    yield found(f"Ydelsen {line.service_line_id}", "service_line", service)
    package = rows("service_package", "package_id = $package", package=line.package_id)
    yield found(f"Pakken {line.package_id}, status og afdeling", "service_package", package)
    price = f"Taksten {money_text(line.price_oere)} kr."
    for table in ("individual_rate", "rate"):
        source = "concat(left(source_file, 16), ':', source_row) = $source AND price_oere = $price"
        yield found(price, table, rows(table, source, source=line.rate_source, price=line.price_oere))
    item = service[0].values["item_code"] if service else ""
    yield found(f"Enhed, regler og moms, katalogydelse {item}", "catalogue_item", rows("catalogue_item", "item_code = $item", item=item))
    payers = dated("package_payer", "package_id = $package", package=line.package_id)
    yield from (found(f"Betaleren {p.values['paying_municipality']}, dateret", "package_payer", [p]) for p in payers)
    if not payers and package:
        yield found(f"Betaleren {package[0].values['paying_municipality'] or 'ingen'}, pakkens egen", "service_package", package)
    ruled = dated("account_rule", "service_line_id = $line AND account = $account", account=line.account, **of_line)
    yield found(f"Kontoen {line.account}, dateret regel", "account_rule", ruled)
    if not ruled and service and service[0].values["account"] == line.account:
        yield found(f"Kontoen {line.account}, ydelsens egen", "service_line", service)
    for table, what in (("absence", "Fravær"), ("registration", "Registrering")):
        yield from _days(what, table, rows, of_line, month)
    for table, what in (("payout_terms", "Udbetalingsvilkår"), ("charge_terms", "Opkrævningsvilkår")):
        if line.process in ("udbetaling", "personopkraevning", "beboerbetaling"):
            yield found(what, table, rows(table, "service_line_id = $line AND NOT withdrawn", **of_line))
    entry = "service_line_id = $line AND concat(left(source_file, 16), ':', source_row) = $source"
    yield found("Åbningsposten", "opening_entry", rows("opening_entry", entry, source=line.line_source, **of_line))


def _days(what: str, table: str, rows, of_line: dict, month: dict) -> Iterator[tuple[str, Contract, list[Version]]]:
    days = {
        "absence": "from_date <= $last AND coalesce(to_date, DATE '9999-12-31') >= $first",
        "registration": "date BETWEEN $first AND $last",
    }[table]
    contract = contracts()[table]
    for version in rows(table, f"service_line_id = $line AND NOT withdrawn AND {days}", **of_line, **month):
        if table == "absence":
            told = f"{what} fra {version.values['from_date']:%d-%m-%Y}"
        else:
            told = f"{what} {value_text(contract.column('date'), version.values['date'])}, antal {short_text(version.values['quantity_e4'], 10_000)}"
        yield told, contract, [version]


def _is_own_source(tracer: Tracer, line: LedgerLine) -> bool:
    """Whether the line's own word on its source, which its hash covers, is what the warehouse shows."""
    if line.line_source.startswith(manual.SOURCE):
        return True
    table = "opening_entry" if line.run_no <= 0 else "service_line"
    source = "service_line_id = $line AND concat(left(source_file, 16), ':', source_row) = $source"
    values = {"line": line.service_line_id, "source": line.line_source}
    return bool(select_versions(tracer.con, contracts()[table], source, values, known=True))
