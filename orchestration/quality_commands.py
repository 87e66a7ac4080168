"""The commands about findings of data quality: what is open, and a person's override of one, with four eyes."""

from __future__ import annotations

from settlement.faults import InputFault


def add_commands(commands) -> None:
    """Adds `quality` to the program's commands."""
    quality = commands.add_parser("quality", help="fund i datakvalitet").add_subparsers(required=True, metavar="handling")
    listed = quality.add_parser("list", help="åbne fund pr. regel, og hvad der er tilsidesat af hvem")
    listed.set_defaults(command=_list)
    override = quality.add_parser("override", help="tilsidesætter et fund, når en anden har bekræftet det")
    override.add_argument("rule", metavar="REGEL")
    override.add_argument("key", metavar="NØGLE", help="den, fundet står med på Datakvalitet")
    override.set_defaults(command=_override)
    lift = quality.add_parser("lift", help="ophæver en tilsidesættelse, når en anden har bekræftet det")
    lift.add_argument("number", type=int, metavar="NR")
    lift.set_defaults(command=_lift)
    confirm = quality.add_parser("confirm", help="en anden bekræfter; så gælder det")
    confirm.add_argument("number", type=int, metavar="NR")
    confirm.set_defaults(command=_confirm)
    for sub in (override, lift, confirm):
        sub.add_argument("--by", required=True, metavar="NAVN")
    for sub in (override, lift):
        sub.add_argument("--reason", required=True, metavar="TEKST")


def _override(options) -> int:
    from ingestion.rules import rules
    from ingestion.warehouse import open_warehouse
    from settlement.instance import open_instance
    from settlement.ledger import overrides

    instance = open_instance()
    if options.rule not in rules():
        raise InputFault(f"Reglen {options.rule} findes ikke. Se reglerne med «afregning quality list».")
    with open_warehouse(instance) as con:
        found = con.execute(
            "SELECT 1 FROM quality.finding WHERE rule = ? AND key = ? AND closed_load IS NULL", [options.rule, options.key]
        ).fetchone()
    if not found:
        raise InputFault(f"Reglen {options.rule} har intet åbent fund på {options.key}. Se fundene på Datakvalitet.")
    return _write(instance, lambda session: overrides.place(
        session, user_name=options.by, rule=options.rule, finding_key=options.key, reason=options.reason,
    ), "Tilsidesættelse {} venter på, at en anden bekræfter.")  # fmt: skip


def _lift(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import overrides

    return _write(open_instance(), lambda session: overrides.lift(
        session, user_name=options.by, override_id=options.number, reason=options.reason,
    ), "Ophævelse {} venter på, at en anden bekræfter.")  # fmt: skip


def _confirm(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import overrides

    return _write(open_instance(), lambda session: overrides.confirm(
        session, user_name=options.by, override_id=options.number,
    ), "{} er bekræftet og gælder fra næste forslag.")  # fmt: skip


def _write(instance, decide, sentence: str) -> int:
    from settlement.ledger.register import open_register, writing

    with writing(open_register(instance)) as session:
        number = decide(session).override_id
    print(sentence.format(number))
    return 0


def _list(options) -> int:
    from sqlalchemy.orm import Session

    from ingestion.warehouse import open_warehouse
    from settlement.instance import open_instance
    from settlement.ledger import overrides
    from settlement.ledger.register import open_register

    instance = open_instance()
    with open_warehouse(instance) as con:
        found = con.execute("""
            SELECT r.rule, r.title, r.severity, r.bites_from, count(f.rule)
            FROM quality.rule r LEFT JOIN quality.finding f ON f.rule = r.rule AND f.closed_load IS NULL
            WHERE NOT r.each_load GROUP BY ALL ORDER BY 5 DESC, 1""").fetchall()
    for rule, title, severity, bites_from, number in found:
        print(f"{rule}: {title}; {severity}{f' fra {bites_from:%d-%m-%Y}' if bites_from else ''}; {number} åbne")
    with Session(open_register(instance)) as session:
        for override in (*overrides.in_force(session), *overrides.waiting(session)):
            lifts = f" (ophæver {override.lifts})" if override.lifts else ""
            print(f"{override.rule} på {override.finding_key}{lifts}: {overrides.trace(session, override)}")
    return 0
