"""The commands `trace` and `lineage`: where a row, a booked line and every column come from."""

from __future__ import annotations

from pathlib import Path


def add_commands(commands) -> None:
    """Adds `trace` and `lineage` to the program's commands."""
    help = "hvilken fil, række og mapning en række eller en bogført linje kommer af"
    trace = commands.add_parser("trace", help=help, description=help)
    trace.add_argument("table", nargs="?", default="", metavar="TABEL", help="f.eks. ydelser eller service_line")
    trace.add_argument("key", nargs="*", metavar="NØGLE", help="rækkens nøgle, som i indlæsningsfilen")
    trace.add_argument("--line", type=int, metavar="NUMMER", help="en bogført linje i stedet")
    trace.add_argument("--all", action="store_true", help="celler og regler for alle versioner og kilder")
    trace.add_argument("--show-personal", action="store_true", help="viser personoplysninger; opslaget logges")
    trace.add_argument("--purpose", default="", metavar="TEKST", help="hvorfor personoplysninger vises")
    trace.add_argument("--by", default="", metavar="NAVN", help="hvem der slår op")
    trace.set_defaults(command=_trace)

    help = "skriver, hvor alle tabellers kolonner kommer fra, til at åbne i en browser"
    lineage = commands.add_parser("lineage", help=help, description=help)
    lineage.add_argument("--out", type=Path, required=True, metavar="MAPPE")
    lineage.set_defaults(command=_lineage)


def _trace(options) -> int:
    from ingestion.warehouse import open_warehouse
    from orchestration.trace import Tracer, citizen_of, contract_named, versions_of
    from orchestration.trace_line import booked_line, trace_line
    from settlement.faults import UsageFault
    from settlement.instance import open_instance
    from settlement.ledger.access import log_access
    from settlement.ledger.register import open_register, writing

    if (options.line is None) == (not options.table):
        raise UsageFault("Angiv enten en tabel og rækkens nøgle eller --line NUMMER.")
    if options.show_personal and not (options.by and options.purpose.strip()):
        raise UsageFault("Personoplysninger vises kun med --by NAVN og --purpose TEKST.")
    instance = open_instance()
    engine = open_register(instance)
    with open_warehouse(instance) as con:
        tracer = Tracer(con, instance, options.show_personal)
        if options.table:
            contract = contract_named(options.table)
            versions = versions_of(con, contract, options.key)
        if options.show_personal:
            with writing(engine) as session:
                if options.table:
                    cpr, what = citizen_of(con, contract, versions[0].values), f"sporer en række i {contract.loader_file}"
                else:
                    cpr, what = booked_line(session, options.line).cpr, f"sporer linje {options.line}"
                log_access(session, options.by, what, cpr, options.purpose)
        if options.table:
            told = tracer.row(contract, versions, everything=options.all)
        else:
            told = trace_line(tracer, engine, options.line, everything=options.all)
        for sentence in told:
            print(sentence)
    return 0


def _lineage(options) -> int:
    from orchestration.column_lineage import graph
    from orchestration.lineage_export import export
    from settlement.instance import home_folder, open_instance

    home = home_folder()
    instance = open_instance(home) if (home / "settings.toml").exists() else None
    tables, columns, links = export(graph(instance), options.out)
    print(f"{tables} tabeller, {columns} kolonner og {links} forbindelser. Åbn {options.out / 'index.html'} i en browser.")
    return 0
