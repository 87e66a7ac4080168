"""The program `afregning` (loader.md, commands). Each command imports only what it needs."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path

from orchestration import (
    arguments,
    contract_command,
    hands,
    intake_commands,
    invoice_commands,
    lineage_commands,
    quality_commands,
    worklist_commands,
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 the input or the state is at fault, 2 wrong usage."""
    from settlement.faults import Fault, UsageFault

    try:
        options = _parser().parse_args(arguments)
    except SystemExit as usage:
        return int(usage.code or 0)
    try:
        return options.command(options) or 0
    except Fault as fault:
        print(f"afregning: {fault}", file=sys.stderr)
        return 2 if isinstance(fault, UsageFault) else 1
    except OSError as fault:
        if not fault.filename:
            raise
        said = f"{fault.filename} kan ikke læses eller skrives ({fault.strerror}). Ret stien, eller gør plads."
        print(f"afregning: {said}", file=sys.stderr)
        return 1


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="afregning", description="Nøjagtig afregning af sociale ydelser.")
    commands = parser.add_subparsers(required=True, metavar="kommando")

    def command(name: str, run, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=run)
        return sub

    new = command("new", _new, "laver en tom instans")
    new.add_argument("--municipality", default="461", metavar="KODE", help="egen kommunekode")
    new.add_argument("--with-demo-users", action="store_true", help="opretter anna og bo som controllere")

    demo = command("demo", _demo, "skriver en opdigtet kommunes udtræk i kildernes landingsmapper")
    demo.add_argument("--population", type=int, default=58_000, metavar="N", help="indbyggere (1.000–6.000.000)")
    demo.add_argument("--months", type=int, default=24, metavar="M", help="måneders historik")
    demo.add_argument("--until", type=arguments.month, metavar="ÅÅÅÅ-MM", help="sidste måned; ellers den seneste hele")
    demo.add_argument("--seed", type=int, default=1, metavar="S")
    demo.add_argument("--invoices", type=int, default=460, metavar="N", help="højst så mange fakturaer og kreditnotaer")
    demo.add_argument(
        "--finance", choices=("opus", "prisme", "oes"), default="opus", help="kommunens økonomisystem"
    )

    intake_commands.add_commands(commands)
    invoice_commands.add_commands(commands)

    command("run", _run, "alt, der venter: indlæsning, kontrol, forslag og marts")

    settle = command("settle", _settle, "laver et forslag og bogfører det med --book")
    settle.add_argument("process", metavar="PROCES")
    settle.add_argument("--through", type=arguments.month, required=True, metavar="ÅÅÅÅ-MM")
    settle.add_argument("--timing", choices=("bagud", "forud"), default="bagud")
    settle.add_argument("--only", metavar="MODPART", help="en hastekørsel: kun denne modparts linjer")
    withdraw = command("withdraw", _withdraw, "et forslag, der trækker et bogført bilag tilbage ved sit modbilag")
    withdraw.add_argument("document", metavar="BILAG")
    withdraw.add_argument("--reason", required=True, metavar="TEKST")
    for booking in (settle, withdraw):
        booking.add_argument("--date", type=arguments.day, default=None, metavar="DATO", help="bogføringsdato; ellers i dag")
        booking.add_argument("--book", action="store_true")
        booking.add_argument(
            "--period", type=arguments.period, metavar="ÅÅÅÅ-13", help="bogfør i det gamle års supplementsperiode"
        )
        booking.add_argument("--by", metavar="A", help="den der bogfører")
        booking.add_argument("--approved-by", metavar="B", help="den der godkender")
        booking.add_argument("--out", type=Path, metavar="FIL")

    user = commands.add_parser("user", help="brugere").add_subparsers(required=True, metavar="handling")
    add = user.add_parser("add", help="opretter en bruger")
    add.add_argument("name", metavar="NAVN")
    add.add_argument("--role", required=True, metavar="ROLLE")
    add.add_argument("--department", default="", metavar="AFDELING")
    add.set_defaults(command=_user_add)

    seen = command("preview", _preview, "hvad et forslag ændrer, hvorfor, og hvad der er uden for grænser")
    seen.add_argument("proposal", type=int, nargs="?", metavar="FORSLAG", help="ellers alle åbne")

    hands.add_commands(commands)
    quality_commands.add_commands(commands)
    contract_command.add_commands(commands)
    lineage_commands.add_commands(commands)
    worklist_commands.add_commands(commands)

    again = command("deliver", _deliver, "skriver ventende filer, og fejlede, når de skal prøves igen")
    again.add_argument("--now", action="store_true", help="prøver alle fejlede nu, og skriver det igen, der er blevet væk")

    lines = command("lines", _lines, "bogførte linjer som CSV eller Parquet")
    lines.add_argument("--run", type=int, metavar="R")
    lines.add_argument("--process", metavar="P")
    lines.add_argument("--out", type=Path, required=True, metavar="FIL")

    exceptions = command("exceptions", _exceptions, "hvad der er parkeret eller i karantæne nu")
    exceptions.add_argument("--out", type=Path, required=True, metavar="FIL")

    explain = command("explain", _explain, "hvordan et beløb er blevet til")
    explain.add_argument("service_line_id", metavar="YDELSE_ID")
    explain.add_argument("month", type=arguments.month, metavar="ÅÅÅÅ-MM")
    explain.add_argument("--known-on", type=arguments.day, metavar="DATO", help="efter det, der var kendt den dag")

    verify = command("verify", _verify, "kontrollerer regnskabet og dets kæde")
    verify.add_argument("--head", metavar="HASH")

    reproduce = command("reproduce", _reproduce, "genberegner en bogført kørsel af det arkiverede grundlag og sammenligner")
    reproduce.add_argument("run", type=int, metavar="KØRSEL")

    backup = command("backup", _backup, "sikkerhedskopi af instansen, også mens den kører")
    backup.add_argument("file", type=Path, metavar="FIL")

    restore = command("restore", _restore, "gendanner en sikkerhedskopi i en mappe uden instans")
    restore.add_argument("file", type=Path, metavar="FIL")
    restore.add_argument("--register", metavar="URL", help="registerets database; ellers den, indstillingerne nævner")

    reports = command("reports", _reports, "alle rapporter og marts, som de ville have set ud efter det, der var kendt en dag")
    reports.add_argument("--known-on", type=arguments.day, required=True, metavar="DATO")
    reports.add_argument("--out", type=Path, required=True, metavar="MAPPE")

    up = command("up", _up, "starter Dagster og dashboards")
    up.add_argument("--dagster-port", type=int, default=3000)
    up.add_argument("--dashboard-port", type=int, default=8501)
    up.add_argument("--auditor-port", type=int, default=3001, help="Dagster for revisorer, hvor intet kan ændres")
    return parser


def _new(options) -> int:
    from settlement.faults import InputFault
    from settlement.instance import create_folders, home_folder
    from settlement.ledger.register import add_user, open_register, writing
    from settlement.reference import municipality_names

    code = options.municipality.lstrip("0")
    if code not in municipality_names():
        raise InputFault(f"Kommunekoden {options.municipality} findes ikke i registeret. Brug f.eks. 461.")
    instance = create_folders(home_folder(), code)
    engine = open_register(instance)
    if options.with_demo_users:
        with writing(engine) as session:
            for name in ("anna", "bo"):
                add_user(session, name, "controller")
    print(f"Ny instans for {municipality_names()[code]} i {instance.home}")
    return 0


def _demo(options) -> int:
    from ingestion.demo import write_demo
    from settlement.engine.calendar import add_months
    from settlement.faults import UsageFault
    from settlement.instance import REFERENCE, open_instance, settle_from
    from settlement.processes import PROCESSES

    instance = open_instance()
    until = options.until or add_months(date.today(), -1)
    try:
        summary = write_demo(
            instance.landing, population=options.population, months=options.months, until=f"{until:%Y-%m}",
            seed=options.seed, municipality=instance.municipality, finance=options.finance, invoices=options.invoices,
            reference=REFERENCE, progress=_say,
        )  # fmt: skip
    except ValueError as out_of_range:
        raise UsageFault(str(out_of_range)) from out_of_range
    # The demo took the platform into use a little more than a claim's twelve months ago, so that some claims are late.
    settle_from(instance, add_months(until, -min(14, options.months - 1)), PROCESSES)
    listed = Counter()
    for name, rows in summary["files"].items():
        listed[re.sub(r"_[0-9]{6}\.xml$", "_*.xml", name)] += rows  # of invoices, all of a delivery on one line
    for name, rows in listed.items():
        print(f"{rows:>10}  {name}")
    print(f"Heraf med fejl, som gaten skal fange: {sum(planted['rows'] for planted in summary['dirty'])} rækker.")
    return 0


def _run(options) -> int:
    from orchestration.runner import run_pipeline
    from settlement.instance import open_instance

    return run_pipeline(open_instance(), today=date.today(), progress=_say)


def _settle(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import judge_unjudged, settle_process
    from settlement.faults import UsageFault
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register
    from settlement.processes import process

    chosen = process(options.process)
    instance = open_instance()
    engine = open_register(instance)
    if options.through > (options.date or date.today()).replace(day=1):
        _say(f"Bemærk: {options.through:%Y-%m} er ikke begyndt på bogføringsdatoen. Kontrollér --through")
    if options.period and not options.book:
        raise UsageFault("Regnskabsperioden vælges, når der bogføres. Skriv også --book.")
    _demand_two_people(engine, options)
    with open_warehouse(instance) as con:
        judge_unjudged(con, instance, engine)
        only = hands.known_counterparty(con, engine, options.only) if options.only else None
        _say(f"Beregner {chosen.title.lower()} til og med {options.through:%Y-%m}")
        proposal = settle_process(
            con, instance, engine, process=chosen.name, timing=options.timing, through=options.through,
            booking_date=options.date or date.today(), created_by=options.by or getpass.getuser(),
            only_counterparty=only,
        )  # fmt: skip
    print(
        f"Forslag {proposal.proposal_id}: {chosen.title}, {options.timing}, til og med {options.through:%Y-%m}: "
        f"{proposal.line_count} linjer, {_money(proposal)}."
    )
    return _book_and_write(instance, engine, proposal, options, options.period)


def _withdraw(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import judge_unjudged, withdraw_document
    from settlement.faults import UsageFault
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    instance = open_instance()
    engine = open_register(instance)
    if options.period and not options.book:
        raise UsageFault("Regnskabsperioden vælges, når der bogføres. Skriv også --book.")
    _demand_two_people(engine, options)
    with open_warehouse(instance) as con:
        judge_unjudged(con, instance, engine)
        proposal = withdraw_document(
            con, instance, engine, document_number=options.document, reason=options.reason,
            booking_date=options.date or date.today(), created_by=options.by or getpass.getuser(),
        )  # fmt: skip
    print(
        f"Forslag {proposal.proposal_id}: tilbagekaldelse af bilag {options.document}: "
        f"{proposal.line_count} linjer, {_money(proposal)}."
    )
    return _book_and_write(instance, engine, proposal, options, options.period)


def _money(proposal) -> str:
    from settlement.ledger.lines_file import money_text

    vat = f" og {money_text(proposal.vat_oere)} kr. moms" if proposal.vat_oere else ""
    return f"{money_text(proposal.amount_oere)} kr.{vat}"


def _demand_two_people(engine, options) -> None:
    from sqlalchemy.orm import Session

    from settlement.faults import StateFault, UsageFault
    from settlement.ledger.register import MAY_BOOK, user_with_right

    if not options.book:
        return
    if not (options.by and options.approved_by):
        raise UsageFault("Bogføring kræver to personer: --by A og --approved-by B.")
    if options.by == options.approved_by:
        raise StateFault("Den, der bogfører, må ikke selv godkende. Angiv to forskellige brugere.")
    with Session(engine) as session:
        for name in (options.by, options.approved_by):
            user_with_right(session, name, MAY_BOOK, "bogføre og godkende afregninger")


def _book_and_write(instance, engine, proposal, options, period=None) -> int:
    """With --book approves, books and delivers the proposal; with --out writes its lines, booked or proposed."""
    from sqlalchemy.orm import Session

    from settlement.ledger import handover, lines_file
    from settlement.ledger.booking import approve, book
    from settlement.ledger.delivery import deliver
    from settlement.ledger.periods import name as period_name
    from settlement.ledger.proposals import lines_without_account
    from settlement.ledger.register import writing

    unaccounted = lines_without_account(instance, proposal)
    if unaccounted:
        print(f"Advarsel: {unaccounted} linjer har ingen konto. Angiv konto på ydelsen eller en konteringsregel.")
    run = None
    if options.book and proposal.line_count:
        with writing(engine) as session:
            approve(session, proposal.proposal_id, proposal.hash, options.approved_by)
        run = book(instance, engine, proposal.proposal_id, options.by, period)
        delivered = deliver(instance, engine)
        print(f"Kørsel {run.run_no} er bogført i {period_name(run.accounting_year, run.accounting_period)}. Hoved: {run.hash}")
        print("Udbakke: " + ", ".join(f"{count} {status}" for status, count in sorted(delivered.items())))
        with Session(engine) as session:
            print(handover.counted(session, run.run_no))
        _tell_failed(engine)
    elif not proposal.line_count:
        print("Der er intet nyt at afregne.")
    if options.out:
        rows = lines_file.booked_rows(engine, run.run_no) if run else lines_file.proposed_rows(instance, proposal)
        lines_file.write_rows(options.out, lines_file.HEADER, rows)
    return 0


def _preview(options) -> int:
    from orchestration.preview import preview
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    instance = open_instance()
    for sentence in preview(instance, open_register(instance), options.proposal):
        print(sentence)
    return 0


def _deliver(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger.delivery import deliver
    from settlement.ledger.register import open_register

    instance = open_instance()
    engine = open_register(instance)
    delivered = deliver(instance, engine, at_once=options.now)
    print("Udbakke: " + (", ".join(f"{count} {status}" for status, count in sorted(delivered.items())) or "tom"))
    return 1 if _tell_failed(engine) else 0


def _tell_failed(engine) -> int:
    """Prints what could not be delivered, why, and when it is tried again; returns how many files."""
    from datetime import UTC

    from sqlalchemy.orm import Session

    from ingestion.known import DENMARK
    from settlement.ledger.delivery import failed

    with Session(engine) as session:
        left = failed(session)
    for item in left:
        again = item.next_attempt_at and item.next_attempt_at.replace(tzinfo=UTC).astimezone(DENMARK)
        when = f", prøves igen {again:%d-%m-%Y kl. %H.%M}" if again else ""
        print(f"{item.outbox_id} er forsøgt {item.attempts} {'gang' if item.attempts == 1 else 'gange'}{when}: {item.last_error}")
    return len(left)


def _user_add(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger.register import add_user, open_register, writing

    with writing(open_register(open_instance())) as session:
        add_user(session, options.name, options.role, options.department)
    print(f"Brugeren «{options.name}» er oprettet som {options.role}.")
    return 0


def _lines(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import lines_file
    from settlement.ledger.register import open_register

    rows = lines_file.booked_rows(open_register(open_instance()), options.run, options.process)
    print(f"{lines_file.write_rows(options.out, lines_file.HEADER, rows)} linjer skrevet i {options.out}")
    return 0


def _exceptions(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.exceptions import HEADER, current_exceptions
    from settlement.instance import open_instance
    from settlement.ledger.lines_file import write_rows
    from settlement.ledger.register import open_register

    instance = open_instance()
    with open_warehouse(instance) as con:
        found = current_exceptions(con, instance, open_register(instance))
        count = write_rows(options.out, HEADER, found, for_people=True)
    print(f"{count} undtagelser skrevet i {options.out}")
    return 0


def _explain(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.explain import explain
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    instance = open_instance()
    with open_warehouse(instance) as con:
        told = explain(
            con, instance, open_register(instance), options.service_line_id, options.month, known_on=options.known_on
        )
        for sentence in told:
            print(sentence)
    return 0


def _verify(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register
    from settlement.ledger.verify import verify

    instance = open_instance()
    broken = verify(instance, open_register(instance), options.head)
    for sentence in broken:
        print(sentence)
    if not broken:
        print("Regnskabet er helt: linjer, bilag, posteringer, numre, filer og kæde stemmer.")
    return 1 if broken else 0


def _reproduce(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register
    from settlement.ledger.reproduce import reproduce

    instance = open_instance()
    lines, broken = reproduce(instance, open_register(instance), options.run)
    for sentence in broken:
        print(sentence)
    if not broken:
        print(f"Kørsel {options.run} er genberegnet af arkivet: {lines} linjer, alle ens med de bogførte.")
    return 1 if broken else 0


def _backup(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger.backup import backup
    from settlement.ledger.register import open_register

    instance = open_instance()
    rows = backup(instance, open_register(instance), options.file)
    print(f"Sikkerhedskopien {options.file} er skrevet: {rows} rækker af registeret, arkiv, udbakke og indstillinger.")
    return 0


def _restore(options) -> int:
    from settlement.instance import home_folder
    from settlement.ledger.backup import restore

    instance, rows = restore(home_folder(), options.file, options.register)
    print(f"Instansen er gendannet i {instance.home}: {rows} rækker i registeret. Kør «afregning verify» og «afregning run».")
    return 0


def _reports(options) -> int:
    from orchestration.known_reports import reports_known_on
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    instance = open_instance()
    reports_known_on(instance, open_register(instance), options.known_on, options.out, _say)
    print(f"Rapporter efter det, der var kendt {options.known_on:%d-%m-%Y}, er skrevet i {options.out}")
    return 0


def _up(options) -> int:
    from orchestration.serve import serve
    from settlement.instance import open_instance

    return serve(open_instance(), options.dagster_port, options.dashboard_port, options.auditor_port)


def _say(sentence: str) -> None:
    print(f"· {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
