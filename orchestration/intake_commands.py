"""The commands that take in what people send: load, undo, extract and templates.

Each makes one answer, printed as Danish sentences, or with `--json` as it is, for the page.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

from orchestration import arguments

Answer = dict


def add_commands(commands) -> None:
    """Adds `load`, `undo`, `extract` and `templates` to the program's commands."""
    load = commands.add_parser("load", help="tager indlæsningsfiler ind, eller viser med --preview, hvad de ville ændre")
    load.add_argument("paths", nargs="+", type=Path, metavar="STI", help="fil, mappe eller zip")
    load.add_argument("--by", metavar="NAVN", help="den der indlæser; ellers den, der er logget ind på maskinen")
    undo = commands.add_parser("undo", help="fortryder en indlæsning ved en ny, eller viser med --preview, hvad det ville ændre")
    undo.add_argument("number", type=int, metavar="INDLÆSNING")
    undo.add_argument("--by", metavar="NAVN", help="den der fortryder")
    undo.add_argument("--reason", metavar="TEKST")
    for sub, run in ((load, _load), (undo, _undo)):
        sub.add_argument("--preview", action="store_true", help="viser ændringen i rækker og kroner; intet gemmes")
        sub.add_argument(
            "--through", type=arguments.month, metavar="ÅÅÅÅ-MM", help="kroner til og med den måned; ellers den seneste hele"
        )
        _finish(sub, run)

    extract = commands.add_parser("extract", help="holdte udtræk").add_subparsers(required=True, metavar="handling")
    listed = extract.add_parser("list", help="hvad der er holdt tilbage, og hvad det ville ændre")
    listed.set_defaults(command=_extract_list)
    release = extract.add_parser("release", help="frigiver et holdt udtræk; det tages ind ved næste kørsel")
    release.add_argument("hash", metavar="HASH", help="begyndelsen på filens hash")
    release.add_argument("--by", required=True, metavar="NAVN")
    release.add_argument("--reason", required=True, metavar="TEKST")
    release.set_defaults(command=_extract_release)

    templates = commands.add_parser("templates", help="skriver en tom CSV og XLSX for hver indlæsningsfil")
    templates.add_argument("--out", type=Path, required=True, metavar="MAPPE")
    _finish(templates, _templates)


def _finish(sub, run) -> None:
    sub.add_argument("--json", action="store_true", help="svaret til et program")
    sub.set_defaults(command=run)


def demand_may_load(engine, name: str, what: str) -> None:
    """Raises StateFault where a person may not load or undo. The one place that decides it."""
    from sqlalchemy.orm import Session

    from settlement.ledger.register import MAY_LOAD, user_with_right

    with Session(engine) as session:
        user_with_right(session, name, MAY_LOAD, what)


def _load(options) -> int:
    from ingestion import archive
    from ingestion.effect import effect_of, table_effects
    from ingestion.packed import find_files
    from ingestion.receiving import receive, scratch_folder
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import book_opening, judge_unjudged
    from settlement.instance import open_instance
    from settlement.ledger.opening import changed_since
    from settlement.ledger.register import open_register

    instance = open_instance()
    engine = open_register(instance)
    if options.by:
        demand_may_load(engine, options.by, "indlæse filer")
    known = {file.sha256: load.load_id for load in archive.loads(instance) for file in load.files}
    today = date.today().isoformat()
    with scratch_folder() as scratch, open_warehouse(instance) as con:
        found = [(archive.LOADER, name, path) for given in options.paths for name, path in find_files(given, Path(scratch))]
        if options.preview:
            through = _through(options)
            effect = effect_of(con, instance, engine, through=through, dated=today, files=found)
            answer = _effect(effect, through)
        else:
            load_id, reports = receive(
                con, instance, found, dated=today, received_by=options.by or getpass.getuser(), progress=_say
            )
            judge_unjudged(con, instance, engine)
            book_opening(con, instance, engine)
            answer = _received(load_id, reports, table_effects(con, load_id) if load_id else ())
            opening_differs = changed_since(con, engine)
            for file in answer["files"]:
                if Path(file["name"]).stem == "aabningsposter":
                    file["remarks"] += opening_differs
    for file in answer["files"]:
        if not file["fault"] and (earlier := known.get(file["sha256"])):
            file["remarks"].append(
                f"{file['name']} er modtaget før, i indlæsning {earlier}; kun rækker, der er ændret siden, ændres tilbage."
            )
    _tell(options, answer)
    return 1 if any(file["fault"] for file in answer["files"]) else 0


def _undo(options) -> int:
    from ingestion.effect import effect_of, table_effects
    from ingestion.receiving import demand_standing, undo
    from ingestion.undoing import left
    from ingestion.warehouse import open_warehouse
    from orchestration.pipeline import book_opening, judge_unjudged
    from settlement.faults import UsageFault
    from settlement.instance import open_instance
    from settlement.ledger.register import open_register

    if not options.preview and not (options.by and options.reason):
        raise UsageFault("En fortrydelse kræver et navn og en begrundelse: --by NAVN og --reason TEKST.")
    instance = open_instance()
    engine = open_register(instance)
    if options.by:
        demand_may_load(engine, options.by, "fortryde indlæsninger")
    today = date.today().isoformat()
    with open_warehouse(instance) as con:
        demand_standing(instance, options.number)
        stays = left(con, options.number)
        if options.preview:
            through = _through(options)
            effect = effect_of(con, instance, engine, through=through, dated=today, undoes=options.number)
            answer = _effect(effect, through)
        else:
            load = undo(con, instance, options.number, dated=today, received_by=options.by, reason=options.reason)
            judge_unjudged(con, instance, engine)
            book_opening(con, instance, engine)
            answer = _received(load.load_id, [], table_effects(con, load.load_id))
    _tell(options, answer | {"undoes": options.number, "left": stays})
    return 0


def _through(options) -> date:
    from settlement.engine.calendar import add_months

    return options.through or add_months(date.today(), -1).replace(day=1)


def _effect(effect, through: date) -> Answer:
    """What would change, all of it counts, reasons and sums: no cell of a row."""
    return _received(None, effect.files, effect.tables) | {
        "through": f"{through:%Y-%m}",
        "refused": [asdict(refused) for refused in effect.refused],
        "processes": [asdict(process) for process in effect.processes],
    }


def _received(load_id: int | None, reports, tables) -> Answer:
    from ingestion.contract import contracts

    return {
        "load_id": load_id,
        "files": [asdict(report) | {"remarks": [*report.remarks, *_unused(report)]} for report in reports],
        "tables": [asdict(table) | {"file": contracts()[table.table].loader_file} for table in tables],
    }


def _unused(report) -> Iterator[str]:
    if report.unknown_columns:
        yield f"{report.name}: ukendte kolonner er gemt, men ikke brugt: {', '.join(report.unknown_columns)}"


def _tell(options, answer: Answer) -> None:
    if options.json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    for file in answer["files"]:
        if file["fault"]:
            print(f"afregning: {file['fault']}", file=sys.stderr)
    for sentence in _sentences(answer):
        print(sentence)


def _sentences(answer: Answer) -> Iterator[str]:
    for file in answer["files"]:
        if not file["fault"]:
            yield from _file_sentences(file, answer.get("refused", ()))
    if not answer["files"] and "undoes" not in answer:
        yield "Der var ingen filer at indlæse."
    is_preview = "through" in answer
    if answer["load_id"]:
        yield f"Indlæsning {answer['load_id']}" + (f" fortryder indlæsning {answer['undoes']}." if "undoes" in answer else ".")
    for table in answer["tables"]:
        yield f"{table['file']}, rækker: {table['new']} nye, {table['changed']} ændrede, {table['withdrawn']} trukket tilbage"
    if is_preview and not answer["tables"]:
        yield "Ingen rækker ændres."
    if answer.get("left"):
        yield f"{answer['left']} rækker er ændret af senere indlæsninger og bliver, som de er."
    if is_preview:
        yield from _money_sentences(answer)
        yield "Intet er gemt."


def _file_sentences(file: Answer, refused) -> Iterator[str]:
    if file["held"]:
        yield file["held"]
        return
    outdated = f", {file['rows_outdated']} forældede" if file["rows_outdated"] else ""
    yield (
        f"{file['name']}: {file['rows_read']} rækker læst, {file['rows_accepted']} modtaget, "
        f"{file['rows_quarantined']} i karantæne, {file['rows_warned']} med advarsel{outdated}"
    )
    for row in refused:
        if row["name"] == file["name"]:
            yield f"{file['name']}: {row['rows']} afvist, {row['reason']} i {row['column'] or 'rækken'}. {row['message']}"
    yield from file["remarks"]


def _money_sentences(answer: Answer) -> Iterator[str]:
    from settlement.ledger.lines_file import money_text

    for process in answer["processes"]:
        name, before, after = process["process"].capitalize(), process["before_oere"], process["after_oere"]
        yield (
            f"{name} til og med {answer['through']}: {money_text(before)} kr. → {money_text(after)} kr., forskel "
            f"{'+' if after > before else ''}{money_text(after - before)} kr. på {process['line_months']} ydelsesmåneder"
        )
    if not answer["processes"]:
        yield f"Ingen beløb ændres til og med {answer['through']}."


def _extract_list(options) -> int:
    from sqlalchemy.orm import Session

    from settlement.instance import open_instance
    from settlement.ledger import extracts
    from settlement.ledger.register import open_register

    with Session(open_register(open_instance())) as session:
        held = [extracts.told(*extract) for extract in extracts.waiting(session)]
    print("\n".join(held) or "Intet udtræk er holdt tilbage.")
    return 0


def _extract_release(options) -> int:
    from settlement.instance import open_instance
    from settlement.ledger import extracts
    from settlement.ledger.register import open_register, writing

    with writing(open_register(open_instance())) as session:
        held = extracts.release(session, user_name=options.by, prefix=options.hash.lower(), reason=options.reason)
    print(f"{held.name} af {held.dated:%d-%m-%Y} er frigivet af {options.by} og tages ind ved næste kørsel.")
    return 0


def _templates(options) -> int:
    from ingestion.templates import write_templates

    described = write_templates(options.out)
    if options.json:
        print(json.dumps(described, ensure_ascii=False))
    else:
        print(f"{len(described)} skabeloner er skrevet i {options.out}, hver som CSV og XLSX.")
    return 0


def _say(sentence: str) -> None:
    print(f"· {sentence}", file=sys.stderr, flush=True)
