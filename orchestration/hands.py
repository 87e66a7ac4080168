"""The commands by which people take the wheel: holds, manual lines, accounting periods and releases, each with four eyes."""

from __future__ import annotations

import re

from orchestration import arguments, asked


def add_commands(commands) -> None:
    """Adds `hold`, `manual`, `period` and `release` to the program's commands, and `asked`, by which a page takes the wheel."""
    _add_hold(commands)
    _add_manual(commands)
    _add_period(commands)
    release = commands.add_parser("release", help="frigiver et forslags masseændring; hverken forslagsstiller eller godkender kan")
    release.add_argument("number", type=int, metavar="FORSLAG")
    _finish({release: _release}, {}, {})
    asked.add_commands(commands)


def _add_hold(commands) -> None:
    hold = commands.add_parser("hold", help="tilbageholdelser").add_subparsers(required=True, metavar="handling")
    place = hold.add_parser("place", help="holder en ydelse, en borger eller en modpart tilbage")
    target = place.add_mutually_exclusive_group(required=True)
    target.add_argument("--line", default="", metavar="YDELSE_ID")
    target.add_argument("--citizen", default="", metavar="CPR")
    target.add_argument("--payer", default="", metavar="MODPART")
    place.add_argument("--from", dest="from_month", type=arguments.month, required=True, metavar="ÅÅÅÅ-MM")
    release = hold.add_parser("release", help="ophæver en tilbageholdelse")
    release.add_argument("number", type=int, metavar="NR")
    confirm = hold.add_parser("confirm", help="en anden bekræfter; så gælder det")
    confirm.add_argument("number", type=int, metavar="NR")
    listed = hold.add_parser("list", help="hvad der gælder, og hvad der venter på bekræftelse")
    _finish({place: _hold_place, release: _hold_release}, {confirm: _hold_confirm}, {listed: _hold_list})


def _add_manual(commands) -> None:
    manual = commands.add_parser("manual", help="manuelle linjer").add_subparsers(required=True, metavar="handling")
    add = manual.add_parser("add", help="en engangslinje på en pakke")
    add.add_argument("--process", required=True, metavar="PROCES")
    add.add_argument("--package", required=True, metavar="PAKKE_ID")
    add.add_argument("--month", type=arguments.month, required=True, metavar="ÅÅÅÅ-MM", help="leverancemåned")
    add.add_argument(
        "--amount", type=arguments.kroner, required=True, metavar="KR", help="uden moms; et negativt skrives --amount=-500,00"
    )
    add.add_argument("--text", required=True, metavar="TEKST", help="hvad der skal stå på bilaget; ingen navne eller CPR")
    add.add_argument("--account", required=True, metavar="KONTO")
    withdraw = manual.add_parser("withdraw", help="trækker en linje tilbage; det bogførte krediteres")
    withdraw.add_argument("number", type=int, metavar="NR")
    confirm = manual.add_parser("confirm", help="en anden bekræfter; så gælder det")
    confirm.add_argument("number", type=int, metavar="NR")
    listed = manual.add_parser("list", help="hvad der gælder, og hvad der venter på bekræftelse")
    _finish({add: _manual_add, withdraw: _manual_withdraw}, {confirm: _manual_confirm}, {listed: _manual_list})


def _add_period(commands) -> None:
    period = commands.add_parser("period", help="regnskabsperioder").add_subparsers(required=True, metavar="handling")
    close = period.add_parser("close", help="lukker en periode for bogføring")
    reopen = period.add_parser("open", help="åbner en lukket periode, når en anden har bekræftet det")
    for sub in (close, reopen):
        sub.add_argument("period", type=arguments.period, metavar="ÅÅÅÅ-PP", help="01–12, eller 13: supplementsperioden")
    confirm = period.add_parser("confirm", help="en anden bekræfter åbningen; så gælder den")
    confirm.add_argument("number", type=int, metavar="NR")
    listed = period.add_parser("list", help="hvad der er lukket og åbnet, af hvem og hvorfor")
    _finish({close: _period_close, reopen: _period_open}, {confirm: _period_confirm}, {listed: _period_list})


def _finish(deciding: dict, confirming: dict, listing: dict) -> None:
    for sub, run in (deciding | confirming | listing).items():
        sub.set_defaults(command=run)
    for sub in deciding:
        sub.add_argument("--reason", required=True, metavar="TEKST")
    for sub in deciding | confirming:
        sub.add_argument("--by", required=True, metavar="NAVN")


def _hold_place(options) -> int:
    from ingestion.warehouse import open_warehouse
    from settlement.faults import InputFault
    from settlement.instance import open_instance
    from settlement.ledger import holds
    from settlement.ledger.register import open_register

    instance = open_instance()
    with open_warehouse(instance) as con:
        line, citizen = options.line, _known_citizen(con, options.citizen)
        payer = known_counterparty(con, open_register(instance), options.payer) if options.payer else ""
        lines = _lines_of(con, line, citizen)
    if line and not lines:
        raise InputFault(f"Ydelsen {line} findes ikke. Kontrollér ydelse_id i ydelser.")

    def place(session) -> str:
        hold = holds.place(
            session, user_name=options.by, from_month=options.from_month, reason=options.reason,
            service_line_id=line, cpr=citizen, counterparty=payer,
        )  # fmt: skip
        held = f" Den rammer {lines} ydelser nu." if citizen else ""
        return f"Tilbageholdelse {hold.hold_id} venter på, at en anden bekræfter.{held}"

    return _write(place)


def known_counterparty(con, engine, code: str) -> str:
    """A counterparty's code as the platform writes it. Raises InputFault where none has it, now or in the ledger."""
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from settlement.faults import InputFault
    from settlement.ledger.models import Document

    # «0751» is municipality 751, unless a department is called so.
    ways = [code, re.sub(r"^(\d{6})-(\d{4})$", r"\1\2", code), code.lstrip("0")]
    known = con.execute("""
        SELECT code FROM (
            SELECT paying_municipality AS code FROM canonical.service_package
            UNION SELECT department FROM canonical.service_package
            UNION SELECT paying_municipality FROM canonical.package_payer
            UNION SELECT payee_id FROM canonical.payout_terms
            UNION SELECT payer_cpr FROM canonical.charge_terms
            UNION SELECT cpr FROM canonical.citizen
        ) WHERE code IN (SELECT unnest($ways))""", {"ways": ways}).fetchall()
    with Session(engine) as session:
        booked = select(Document.counterparty).where(Document.counterparty.in_(ways)).distinct()
        known = {code for (code,) in known} | set(session.scalars(booked))
    written = next((way for way in ways if way in known), None)
    if written is None:
        raise InputFault(
            "Modparten kendes ikke: ingen pakke, betaler, modtager eller borger har den kode. Skriv kommunens tre cifre, "
            "afdelingen, eller CPR- eller CVR-nummeret."
        )
    return written


def _known_citizen(con, cpr: str) -> str:
    from settlement.faults import InputFault

    digits = cpr.replace("-", "").replace(" ", "")
    if digits and not con.execute("SELECT 1 FROM canonical.citizen WHERE cpr = ?", [digits]).fetchone():
        raise InputFault("Borgeren findes ikke. Kontrollér CPR-nummeret: ti cifre.")
    return digits


def _lines_of(con, line: str, cpr: str) -> int:
    """How many service lines there are of that id, a manual one too, or of that citizen."""
    if line.startswith("MANUEL-"):
        return 1
    return con.execute("""
        SELECT count(*) FROM canonical.service_line AS l JOIN canonical.service_package AS p USING (package_id)
        WHERE l.service_line_id = ? OR p.cpr = nullif(?, '')""", [line, cpr]).fetchone()[0]


def _hold_release(options) -> int:
    from settlement.ledger import holds

    def release(session) -> str:
        hold = holds.release(session, user_name=options.by, hold_id=options.number, reason=options.reason)
        return f"Tilbageholdelse {hold.hold_id} (ophævelse) venter på, at en anden bekræfter."

    return _write(release)


def _hold_confirm(options) -> int:
    from settlement.ledger import holds

    def confirm(session) -> str:
        hold = holds.confirm(session, user_name=options.by, hold_id=options.number)
        return f"Tilbageholdelse {hold.hold_id} er bekræftet og gælder."

    return _write(confirm)


def _hold_list(options) -> int:
    from settlement.explanation import named
    from settlement.ledger import holds
    from settlement.ledger.models import HoldConfirmation

    def listed(session):
        in_force = {hold.hold_id for hold in holds.in_force(session)}
        released = {hold.releases: hold for hold in holds.confirmed(session) if hold.releases}
        for hold in [*holds.confirmed(session), *(waiting := holds.waiting(session))]:
            if hold in released.values():
                continue
            state = "venter" if hold in waiting else "gælder" if hold.hold_id in in_force else "ophævet"
            # A citizen's number stays in the register; the hold is known by its own.
            target = f"ydelse {hold.service_line_id}" if hold.service_line_id else "en borger"
            if hold.counterparty:
                target = f"modpart {named(hold.counterparty)}"
            releases = f" (ophæver {hold.releases})" if hold.releases else ""
            yield f"{hold.hold_id} {state}{releases}: {target} fra {hold.from_month:%Y-%m}, {_by(session, hold, HoldConfirmation)}"
            if hold.hold_id in released:
                yield f"  ophævet af {_by(session, released[hold.hold_id], HoldConfirmation)}"

    return _read(listed)


def _manual_add(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import manual

    def add(session) -> str:
        line = manual.add(
            session, user_name=options.by, process=options.process, package_id=options.package, delivery_month=options.month,
            amount_oere=options.amount, item_name=options.text, account=options.account, reason=options.reason,
        )  # fmt: skip
        return f"Manuel linje {line.manual_id} ({manual.service_line_id(line.manual_id)}) venter på, at en anden bekræfter."

    _demand_settled(open_instance(), options)
    return _write(add)


def _demand_settled(instance, options) -> None:
    """Raises InputFault where the line would never be settled: its package is not known, or its month is too early."""
    from ingestion.warehouse import open_warehouse
    from settlement.faults import InputFault
    from settlement.ledger.proposals import settles_from

    first = settles_from(instance, options.process)
    if options.month < first:
        raise InputFault(f"{options.process.capitalize()} afregnes her fra {first:%Y-%m}. Vælg den eller en senere måned.")
    with open_warehouse(instance) as con:
        if not con.execute("SELECT 1 FROM canonical.service_package WHERE package_id = ?", [options.package]).fetchone():
            raise InputFault(f"Pakken {options.package} findes ikke. Kontrollér pakke_id i ydelsespakker.")


def _manual_withdraw(options) -> int:
    from settlement.ledger import manual

    def withdraw(session) -> str:
        line = manual.withdraw(session, user_name=options.by, manual_id=options.number, reason=options.reason)
        return f"Manuel linje {line.manual_id} (tilbagetrækning) venter på, at en anden bekræfter."

    return _write(withdraw)


def _manual_confirm(options) -> int:
    from settlement.ledger import manual

    def confirm(session) -> str:
        line = manual.confirm(session, user_name=options.by, manual_id=options.number)
        return f"Manuel linje {line.manual_id} er bekræftet og gælder fra næste forslag."

    return _write(confirm)


def _manual_list(options) -> int:
    from settlement.ledger import manual
    from settlement.ledger.lines_file import money_text
    from settlement.ledger.models import ManualLineConfirmation

    def listed(session):
        found = [(line, "trukket tilbage" if withdrawn else "gælder") for line, withdrawn in manual.in_force(session)]
        for line, state in found + [(line, "venter") for line in manual.waiting(session)]:
            withdraws = f" (trækker {line.withdraws} tilbage)" if line.withdraws else ""
            yield (
                f"{line.manual_id} {state}{withdraws}: {line.process}, pakke {line.package_id}, {line.delivery_month:%Y-%m}, "
                f"{money_text(line.amount_oere)} kr., konto {line.account}, {line.item_name}; "
                f"{_by(session, line, ManualLineConfirmation)}"
            )

    return _read(listed)


def _period_close(options) -> int:
    from settlement.ledger import periods

    def close(session) -> str:
        year, period = options.period
        periods.close(session, user_name=options.by, year=year, period=period, reason=options.reason)
        return f"Regnskabsperioden {periods.name(year, period)} er lukket."

    return _write(close)


def _period_open(options) -> int:
    from settlement.ledger import periods

    def reopen(session) -> str:
        year, period = options.period
        change = periods.reopen(session, user_name=options.by, year=year, period=period, reason=options.reason)
        return f"Åbning {change.change_id} af {periods.name(year, period)} venter på, at en anden bekræfter."

    return _write(reopen)


def _period_confirm(options) -> int:
    from settlement.ledger import periods

    def confirm(session) -> str:
        change = periods.confirm(session, user_name=options.by, change_id=options.number)
        return f"Regnskabsperioden {periods.name(change.year, change.period)} er åben."

    return _write(confirm)


def _period_list(options) -> int:
    from settlement.ledger import periods
    from settlement.ledger.models import PeriodConfirmation

    def listed(session):
        for change in periods.changes(session):
            state = "lukket" if not change.opens else "åbnet" if periods.in_force(session, change) else "åbning venter"
            yield (
                f"{change.change_id} {periods.name(change.year, change.period)} {state}: "
                f"{_by(session, change, PeriodConfirmation)}"
            )

    return _read(listed)


def _by(session, decision, confirmation: type) -> str:
    """Who decided, who confirmed, and why."""
    from sqlalchemy import inspect

    confirmed = session.get(confirmation, inspect(decision).identity)
    return (
        f"{decision.decided_by} {decision.decided_at:%d-%m-%Y}"
        + (f", bekræftet af {confirmed.confirmed_by} {confirmed.confirmed_at:%d-%m-%Y}" if confirmed else "")
        + f": {decision.reason}"
    )


def _release(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import bounds

    def release(session) -> str:
        bounds.release(
            open_instance(), session, proposal_id=options.number, user_name=options.by, reason=options.reason
        )  # fmt: skip
        return f"Masseændringen i forslag {options.number} er frigivet af {options.by}."

    return _write(release)


def _write(decide) -> int:
    """Prints the sentence of one decision, once it is kept."""
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register, writing

    with writing(open_register(open_instance())) as session:
        sentence = decide(session)
    print(sentence)
    return 0


def _read(listed) -> int:
    from sqlalchemy.orm import Session

    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    with Session(open_register(open_instance())) as session:
        for sentence in listed(session):
            print(sentence)
    return 0
