"""`afregning trace --line`: from a booked line to its document, run, proposal and input, and to the file and row of each fact it
was made of, as those were known when it was proposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ingestion.contract import contracts
from ingestion.known import bind_known
from orchestration.pipeline import last_load_id
from orchestration.trace import Tracer, Version, select_versions
from settlement.engine.calendar import month_end
from settlement.explanation import short_text
from settlement.faults import InputFault
from settlement.ledger import manual
from settlement.ledger.lines_file import money_text
from settlement.ledger.models import Document, LedgerLine, Proposal, SettlementRun

LIVING = "service_line_id = $line AND NOT withdrawn"
# As the engine names a source: the first 16 digits of its file's hash, and its row.
SOURCE = "concat(left(source_file, 16), ':', source_row) = $source"
# Of dated facts: those in force on a day of the month; one without an end ends the day before the next.
IN_MONTH = """
    ({level}) AND valid_from <= $last AND NOT withdrawn AND coalesce(valid_to, DATE '9999-12-31') >= $first
    AND NOT EXISTS (FROM known.{table} AS n WHERE {same} AND NOT n.withdrawn AND n.valid_from <= $first
        AND n.valid_from > {table}.valid_from)"""


@dataclass(frozen=True)
class Fact:
    """What one row or several of a canonical table gave a booked line; `otherwise` is told where there is none."""

    what: str
    table: str
    versions: list[Version]
    otherwise: str = ""


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
        yield ""
        yield f"Kilderne, som de var kendt efter indlæsning {through}:"
        if line.service_line_id.startswith("MANUEL-"):
            withdrawn = any(m.manual_id == int(line.service_line_id[7:]) and gone for m, gone in manual.in_force(session))
            yield "  " + manual.trace(session, int(line.service_line_id[7:]), withdrawn)
    for fact in facts(tracer, line, through):
        if not fact.versions and fact.otherwise:
            yield f"  {fact.what}: {fact.otherwise}."
        for version in fact.versions:
            yield f"  {fact.what}: {tracer.origin(version)}."
            if everything:
                yield from ("    " + told for told in tracer.row(contracts()[fact.table], [version]))
    if not _is_own_source(tracer, line, through):
        yield (
            f"  OBS: linjen siger selv, at ydelsen stod i {line.line_source or 'ingen fil'}, hvilket datalageret ikke længere "
            "viser. Sammenlign med det fastfrosne grundlag."
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
        yield "Linjen er en regulering" + (f" af bilag {line.corrects}." if line.corrects else ".")
    document = session.get(Document, (line.run_no, line.document_number))
    number, day = document.number or "(uden nummer)", f"{document.issue_date:%d-%m-%Y}"
    yield f"Bilag {number} ({document.kind}), dateret {day}, hash {document.hash}."
    booked = f"bogført {run.booked_at:%d-%m-%Y}"
    if proposal is None:
        yield f"Kørsel {max(run.run_no, 0)}: hvad det tidligere system har afregnet, {booked}, hoved {run.hash}."
        return
    yield f"Kørsel {run.run_no}, {booked} af {run.booked_by}, godkendt af {run.approved_by}, hoved {run.hash}."
    made = f"Forslag {proposal.proposal_id}, lavet {proposal.created_at:%d-%m-%Y} af {proposal.created_by}"
    withdraws = f"; det trækker bilag {proposal.withdraws} tilbage: «{proposal.reason}»" if proposal.withdraws else ""
    yield f"{made}, regelversion {proposal.engine_version}{withdraws}."
    yield f"Grundlaget: archive/inputs/{proposal.input_hash}.json. Linjerne: archive/proposals/{proposal.lines_hash}.parquet."
    yield f"Regnestykket: afregning explain {line.service_line_id} {line.delivery_month:%Y-%m}."
    yield f"Genberegning: afregning reproduce {run.run_no}."


def _party(line: LedgerLine, reveal: bool) -> str:
    is_public = line.process in ("mellemkommunal", "intern") or len(line.counterparty) == 8
    return line.counterparty if is_public or reveal else "en person"


def facts(tracer: Tracer, line: LedgerLine, through: int) -> Iterator[Fact]:
    """What the line was made of, as known when load `through` was the newest."""
    bind_known(tracer.con, through)
    month = {"first": line.delivery_month, "last": month_end(line.delivery_month)}
    of_line, of_package = {"line": line.service_line_id}, {"package": line.package_id}

    def rows(table: str, condition: str, **values) -> list[Version]:
        return select_versions(tracer.con, contracts()[table], condition, values, known_load=through)

    def dated(table: str, level: str, **values) -> list[Version]:
        same = " AND ".join(f"n.{k} IS NOT DISTINCT FROM {table}.{k}" for k in contracts()[table].key[:-1])
        return rows(table, IN_MONTH.format(level=level, table=table, same=same), **month, **values)

    service = rows("service_line", "service_line_id = $line", **of_line)
    package = rows("service_package", "package_id = $package", **of_package)
    yield Fact(f"Ydelsen {line.service_line_id}", "service_line", service)
    yield Fact(f"Pakken {line.package_id}, status og afdeling", "service_package", package)
    item = service[0].values["item_code"] if service else ""
    items = rows("catalogue_item", "item_code = $item", item=item)
    yield Fact(f"Enhed, regler og moms, katalogydelse {item}", "catalogue_item", items)
    yield _price(line, rows)
    payers = dated("package_payer", "package_id = $package", **of_package)
    yield from (Fact(f"Betaleren {p.values['paying_municipality']}, dateret", "package_payer", [p]) for p in payers)
    if not payers and package:
        yield Fact(f"Betaleren {package[0].values['paying_municipality'] or 'ingen'}, pakkens egen", "service_package", package)
    if line.account:
        ruled = dated("account_rule", "service_line_id = $line AND account = $account", account=line.account, **of_line)
        own = [version for version in service if version.values["account"] == line.account]
        yield Fact(
            f"Kontoen {line.account}, " + ("dateret regel" if ruled else "ydelsens egen" if own else "konteringsregel"),
            "account_rule" if ruled else "service_line", ruled or own,
            "efter funktion, gruppering og art, se reference/account_rules.csv og grundlagets posting_account_rule",
        )  # fmt: skip
    for away in rows("absence", f"{LIVING} AND from_date <= $last AND coalesce(to_date, $last) >= $first", **of_line, **month):
        yield Fact(f"Fravær fra {away.values['from_date']:%d-%m-%Y}", "absence", [away])
    for done in rows("registration", f"{LIVING} AND date BETWEEN $first AND $last", **of_line, **month):
        quantity = short_text(done.values["quantity_e4"], 10_000)
        yield Fact(f"Registrering {done.values['date']:%d-%m-%Y}, antal {quantity}", "registration", [done])
    if line.process in ("udbetaling", "personopkraevning", "beboerbetaling"):
        yield Fact("Udbetalingsvilkår", "payout_terms", rows("payout_terms", LIVING, **of_line))
        yield Fact("Opkrævningsvilkår", "charge_terms", rows("charge_terms", LIVING, **of_line))
    opened = rows("opening_entry", f"{LIVING} AND {SOURCE}", source=line.line_source, **of_line)
    yield Fact("Åbningsposten", "opening_entry", opened)


def _price(line: LedgerLine, rows) -> Fact:
    """The individual rate or the catalogue's, by the file and row that the line itself names."""
    what, wanted = f"Taksten {money_text(line.price_oere)} kr.", {"source": line.rate_source, "price": line.price_oere}
    individual = rows("individual_rate", f"{SOURCE} AND price_oere = $price", **wanted)
    priced = individual or rows("rate", f"{SOURCE} AND price_oere = $price", **wanted)
    back = "linjen fører det bogførte tilbage og har ingen takst selv" if line.is_adjustment and not line.rate_source else ""
    return Fact(what, "individual_rate" if individual else "rate", priced, back)


def _is_own_source(tracer: Tracer, line: LedgerLine, through: int) -> bool:
    """Whether the line's own word on its source, which its hash covers, is what the warehouse shows."""
    if line.line_source.startswith(manual.SOURCE):
        return True
    table = "opening_entry" if line.run_no <= 0 else "service_line"
    values = {"line": line.service_line_id, "source": line.line_source}
    named = f"service_line_id = $line AND {SOURCE}"
    return bool(select_versions(tracer.con, contracts()[table], named, values, known_load=through))
