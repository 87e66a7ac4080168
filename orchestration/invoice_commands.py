"""The commands about incoming e-invoices: `check` judges files without taking them in, `list` tells the outcomes, `pay` pays."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from sqlalchemy import func, select

from orchestration import arguments


def add_commands(commands) -> None:
    """Adds `invoice` to the program's commands."""
    invoice = commands.add_parser("invoice", help="indkomne e-fakturaer").add_subparsers(required=True, metavar="handling")
    check = invoice.add_parser("check", help="bedømmer e-fakturaer efter skema og regler; intet modtages")
    check.add_argument("files", nargs="+", type=Path, metavar="FIL", help="en e-faktura, eller en mappe eller zip med dem")
    check.set_defaults(command=_check)
    pay = invoice.add_parser("pay", help="matcher alle fakturaer på ny, betaler de godkendte og sender de afviste tilbage")
    pay.add_argument("--by", required=True, metavar="NAVN", help="den der betaler")
    pay.add_argument("--date", type=arguments.day, metavar="DATO", help="bogføringsdato; ellers i dag")
    pay.add_argument("--json", action="store_true", help="svaret til et program")
    pay.set_defaults(command=_pay)
    listed = invoice.add_parser("list", help="fakturaer efter udfald, med antal og kroner")
    listed.set_defaults(command=_list)


def _pay(options) -> int:
    from sqlalchemy.orm import Session

    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import pay_invoices
    from settlement.instance import open_instance
    from settlement.ledger.delivery import deliver
    from settlement.ledger.lines_file import money_text
    from settlement.ledger.models import Document, InvoiceReturn
    from settlement.ledger.register import open_register

    instance = open_instance()
    engine = open_register(instance)
    with open_warehouse(instance) as con:
        run = pay_invoices(con, instance, engine, booking_date=options.date or date.today(), user_name=options.by)
    if run is None:
        answer = {"run": None, "told": "Ingen fakturaer er klar til betaling."}
    else:
        deliver(instance, engine)
        with Session(engine) as session:
            vouchers, returned = (
                session.scalar(select(func.count()).select_from(table).where(table.run_no == run.run_no))
                for table in (Document, InvoiceReturn)
            )
        paid = (
            f"{vouchers} fakturaer på {money_text(run.amount_oere)} kr. og {money_text(run.vat_oere)} kr. moms er bogført og "
            "afleveret til økonomisystemet."
        )
        told = [paid if vouchers else "Ingen fakturaer er klar til betaling."]
        told += [f"Afviste, der er sendt tilbage: {returned}."] if returned else []
        answer = {
            "run": run.run_no, "vouchers": vouchers, "returned": returned, "amount_oere": run.amount_oere, "vat_oere": run.vat_oere,
            "told": f"Kørsel {run.run_no}: {' '.join(told)}",
        }  # fmt: skip
    print(json.dumps(answer, ensure_ascii=False) if options.json else answer["told"])
    return 0


def _list(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.invoices import match_invoices
    from settlement.instance import open_instance
    from settlement.invoices.reasons import OUTCOMES
    from settlement.ledger.lines_file import money_text
    from settlement.ledger.register import open_register

    instance = open_instance()
    with open_warehouse(instance) as con:
        match_invoices(con, instance, open_register(instance))
        found = con.execute("""
            SELECT outcome, count(*), sum(CASE WHEN i.kind = 'kreditnota' THEN -i.payable_oere ELSE i.payable_oere END)::BIGINT,
                coalesce(sum(o.pay_oere), 0)::BIGINT
            FROM invoice_outcome AS o JOIN invoice AS i ON i.document_id = o.document_id GROUP BY outcome""").fetchall()
    by_outcome = {outcome: rest for outcome, *rest in found}
    for outcome, (title, _) in OUTCOMES.items():
        if outcome in by_outcome:
            count, payable, ready = by_outcome[outcome]
            print(f"{title:<46}{count:>9} fakturaer {money_text(payable):>18} kr., klar til betaling {money_text(ready):>18} kr.")
    return 0


def _check(options) -> int:
    from ingestion.packed import find_files
    from ingestion.receiving import scratch_folder
    from settlement.faults import InputFault
    from settlement.instance import home_folder, open_instance

    # Also without an instance: then by the built-in rules alone.
    configured = open_instance().invoices.schematron if (home_folder() / "settings.toml").exists() else ""
    schematron = Path(configured) if configured else None
    invalid = False
    with scratch_folder() as scratch:
        for given in options.files:
            for name, path in find_files(given, Path(scratch)):
                try:
                    sentences, is_valid = _judged(name, path, schematron)
                except InputFault as fault:
                    sentences, is_valid = [str(fault)], False
                print("\n".join(sentences))
                invalid = invalid or not is_valid
    return 1 if invalid else 0


def _judged(name: str, path: Path, schematron: Path | None) -> tuple[list[str], bool]:
    """What is told of one document, and whether it is valid."""
    from settlement.documents.incoming import read_invoice
    from settlement.documents.incoming_verdict import verdict
    from settlement.ledger.lines_file import money_text

    content = path.read_bytes()
    found = verdict(content, schematron, name)
    read = read_invoice(content, name)
    amount = "uden beløb" if read.payable_oere is None else f"{money_text(read.payable_oere)} {read.currency}"
    judged = "gyldig" if found.is_valid else "ugyldig"
    said = [f"{name}: {found.rule_set}, {read.kind} {read.number} fra {read.supplier.name}, {amount}: {judged}"]
    for violation in found.findings:
        weight = "advarsel" if violation.rule in found.warning_rules else "fejl"
        said.append(f"  {violation.rule} ({weight}): {violation.message} [{violation.location}]")
    return said, found.is_valid
