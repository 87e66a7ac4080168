"""The command `worklist`: source systems' service codes that are no catalogue item, and the decisions of what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

from orchestration import arguments

FILE = "ydelsesoversaettelser.csv"
COLUMNS = ("kilde", "kildekode", "gyldig_fra", "ydelseskode", "besluttet_af", "begrundelse")


def add_commands(commands) -> None:
    """Adds `worklist` to the program's commands."""
    worklist = commands.add_parser("worklist", help="kildernes ydelseskoder, som ikke er i kataloget, og hvad de er her")
    worklist.add_argument("--json", action="store_true", help="svaret til et program")
    worklist.set_defaults(command=_list)
    decide = worklist.add_subparsers(metavar="handling").add_parser(
        "decide", help="oversætter en kode til en katalogydelse, også for det, der er indlæst før"
    )
    decide.add_argument("system", metavar="KILDE")
    decide.add_argument("code", metavar="KODE")
    decide.add_argument("item", metavar="YDELSESKODE")
    decide.add_argument("--from", dest="valid_from", type=arguments.day, required=True, metavar="DATO")
    decide.add_argument("--by", required=True, metavar="NAVN")
    decide.add_argument("--reason", required=True, metavar="TEKST")
    decide.add_argument("--preview", action="store_true", help="viser ændringen i rækker og kroner; intet gemmes")
    decide.add_argument("--json", action="store_true", help="svaret til et program")
    decide.set_defaults(command=_decide)


def _list(options) -> int:
    from ingestion.warehouse import open_warehouse
    from settlement.instance import open_instance

    with open_warehouse(open_instance()) as con:
        found = _waiting(con)
    if options.json:
        print(json.dumps(found, ensure_ascii=False, default=str))
        return 0
    for code in found:
        for sentence in _sentences(code):
            print(sentence)
    if not found:
        print("Alle kildernes ydelseskoder er i kataloget eller oversat.")
    return 0


def _waiting(con) -> list[dict]:
    def rows(sql: str) -> list[dict]:
        cursor = con.execute(sql)
        return [dict(zip([c[0] for c in cursor.description], row, strict=True)) for row in cursor.fetchall()]

    suggestions = rows("FROM quality.service_suggestion ORDER BY source_system, source_code, place")
    return [
        code | {"suggestions": [
            s for s in suggestions if (s["source_system"], s["source_code"]) == (code["source_system"], code["source_code"])
        ]}
        for code in rows("FROM quality.service_worklist ORDER BY waiting_rows + service_lines DESC, source_system, source_code")
    ]  # fmt: skip


def _sentences(code: dict) -> Iterator[str]:
    named = f" ({code['source_name']})" if code["source_name"] else ""
    kept = f", {code['service_lines']} ydelser beholder en ydelse, der ikke længere er besluttet" if code["service_lines"] else ""
    yield (
        f"{code['source_system']} {code['source_code']}{named}: {code['waiting_rows']} rækker venter{kept}; "
        f"{code['citizens']} borgere, set første gang {code['first_seen']:%d-%m-%Y}"
    )
    for suggestion in code["suggestions"]:
        yield f"  {suggestion['item_code']} {suggestion['item_name'] or ''}: {suggestion['reason']}"


def _decide(options) -> int:
    import csv
    from dataclasses import asdict
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ingestion import archive
    from ingestion.effect import effect_of
    from ingestion.receiving import receive, scratch_folder
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import book_opening, judge_unjudged
    from settlement.faults import InputFault
    from settlement.instance import open_instance
    from settlement.ledger.register import MAY_BOOK, open_register, user_with_right

    instance = open_instance()
    engine = open_register(instance)
    with Session(engine) as session:
        user_with_right(session, options.by, MAY_BOOK, "oversætte ydelseskoder")
    if not options.reason.strip():
        raise InputFault("En oversættelse skal have en begrundelse.")
    row = (options.system, options.code, f"{options.valid_from:%Y-%m-%d}", options.item, options.by, options.reason)
    today = date.today().isoformat()
    with scratch_folder() as scratch, open_warehouse(instance) as con:
        _demand_known(con, options)
        path = Path(scratch) / FILE
        with path.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, delimiter=";").writerows([COLUMNS, row])
        files = [(archive.LOADER, FILE, path)]
        if options.preview:
            through = _last_month()
            effect = effect_of(con, instance, engine, through=through, dated=today, files=files)
            answer = {
                "load_id": None, "through": f"{through:%Y-%m}", "tables": [asdict(t) for t in effect.tables],
                "processes": [asdict(p) for p in effect.processes],
            }  # fmt: skip
        else:
            load_id, _ = receive(con, instance, files, dated=today, received_by=options.by)
            judge_unjudged(con, instance, engine)
            book_opening(con, instance, engine)
            moved = con.execute("SELECT count(*) FROM canonical.service_line WHERE load_id = ?", [load_id]).fetchone()[0]
            answer = {"load_id": load_id, "service_lines": moved}
    if options.json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        for sentence in _told(options, answer):
            print(sentence)
    return 0


def _demand_known(con, options) -> None:
    """Raises InputFault for a system that has delivered nothing, or an item the catalogue has not."""
    from settlement.faults import InputFault

    systems = [system for (system,) in con.execute("SELECT DISTINCT system FROM raw.file ORDER BY 1").fetchall()]
    if options.system not in systems:
        raise InputFault(f"Kilden {options.system} har ikke leveret noget. Skriv en af: {', '.join(systems) or 'ingen endnu'}.")
    if not con.execute(
        "SELECT 1 FROM canonical.catalogue_item WHERE item_code = ? AND NOT withdrawn", [options.item]
    ).fetchone():
        raise InputFault(f"Ydelseskoden {options.item} er ikke i kataloget. Send den i katalogydelser, eller vælg en anden.")


def _last_month() -> date:
    from settlement.engine.calendar import add_months

    return add_months(date.today(), -1).replace(day=1)


def _told(options, answer: dict) -> Iterator[str]:
    from settlement.ledger.lines_file import money_text

    decided = f"{options.system} {options.code} er {options.item} for ydelser fra {options.valid_from:%d-%m-%Y}"
    if answer["load_id"]:
        yield f"{decided}: indlæsning {answer['load_id']}, {answer['service_lines']} ydelser er nye eller ændrede."
        return
    for table in answer["tables"]:
        if table["table"] == "service_line":
            yield f"Ydelser: {table['new']} nye, {table['changed']} ændrede."
    for process in answer["processes"]:
        before, after = process["before_oere"], process["after_oere"]
        yield (
            f"{process['process'].capitalize()} til og med {answer['through']}: {money_text(before)} kr. → {money_text(after)} kr."
        )
    if not answer["processes"]:
        yield f"Ingen beløb ændres til og med {answer['through']}."
    yield "Intet er gemt."
