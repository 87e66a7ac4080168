"""`afregning contract check`: what of a file fits its layout and what does not, in sentences, before it is delivered.

Nothing is stored, and no sentence shows a cell but short codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from ingestion import archive
from ingestion.contract import Contract, contract_for_file, contracts
from ingestion.drift import CODE, NEW, RENAMED, RETYPED, Drift, Use, alike, drift_of, filled_sql, unread_sql
from ingestion.expressions import FILE_HASH, ColumnRule, name
from ingestion.extracts import columns_seen, read_extract
from ingestion.layouts import DELTA, FileMapping, SourceColumn, SourceMapping, TargetMapping, target_select
from ingestion.mapping import load_mappings
from ingestion.proposal import next_version, pattern_of
from ingestion.reading import Table, read_csv
from settlement.faults import InputFault, UsageFault
from settlement.instance import Instance

DELIMITERS = (";", ",", "\t", "|")
NEW_SHOWN = 8
ALIKE = 0.75  # names that count as the same when the layout is guessed


@dataclass(frozen=True)
class Findings:
    """What the check says: whether the file fits, the sentences, and a mapping that would fit ('' where none is needed)."""

    fits: bool
    sentences: tuple[str, ...]
    proposal: str = ""


def check_file(path: Path, instance: Instance | None = None, system: str | None = None) -> Findings:
    """Checks a file against the layout it is taken for, by its name or else by its columns.

    Raises UsageFault where the system is not known, InputFault where there is no file.
    """
    if not path.is_file():
        raise InputFault(f"{path}: er ingen fil. Angiv en fil med et udtræk eller en indlæsningsfil.")
    mappings = load_mappings(instance)
    if system and system not in (*mappings, archive.LOADER):
        raise UsageFault(f"Kilden {system} kendes ikke. Brug en af: {', '.join((*mappings, archive.LOADER))}.")
    sources = [mapping for key, mapping in mappings.items() if system in (None, key)]
    loader = system in (None, archive.LOADER)
    try:
        taken = _by_name(path, sources, loader) or _by_columns(path, sources, loader)
        if not taken:
            known = "; ".join(f"{file.version}: {file.pattern}" for source in sources for file in source.files)
            return Findings(False, (f"{path.name}: ligner ingen kendt fil. Kendte navne er {known or 'kontraktens'}.",))
        mapping, sentences, changed = taken
        return _checked(path, mapping, sentences, changed, mappings.get(mapping.version.partition("/")[0]))
    except InputFault as fault:
        return Findings(False, (str(fault),))


Taken = tuple[FileMapping, list[str], dict[str, str]]  # the layout, why, and the keys of the file that must change


def _by_name(path: Path, sources: Sequence[SourceMapping], loader: bool) -> Taken | None:
    stem, _, ending = path.name.lower().rpartition(".")
    contract = contract_for_file(stem)
    if loader and contract and contract.public and ending in ("csv", "xlsx"):
        return loader_layout(contract, ending), [f"Taget for indlæsningsfilen {stem}: det siger navnet."], {}
    for source in sources:
        chosen = source.choose(path.name, lambda layout: columns_seen(path, path.name, layout))
        if chosen:
            why = [f"Taget for {_told(chosen)}: navnet passer til {chosen.pattern}."]
            for other in source.candidates(path.name):
                if other is not chosen:
                    why.append(f"Layout {other.number} passer også til navnet, men ikke bedre til kolonnerne.")
            return _delimited(path, chosen, why)
    return None


def _by_columns(path: Path, sources: Sequence[SourceMapping], loader: bool) -> Taken | None:
    """The layout whose columns are most like the file's."""
    ending = path.suffix.lower().removeprefix(".")
    layouts = [file for source in sources for file in source.files if file.format == ending]
    if loader and ending in ("csv", "xlsx"):
        layouts += [loader_layout(contract, ending) for contract in contracts().values() if contract.public]
    scored = []
    for layout in layouts:
        try:
            taken = _delimited(path, layout, [])
            columns = columns_seen(path, path.name, taken[0]) or []
        except InputFault:
            continue
        scored.append((_columns_alike(layout, columns), taken))
    score, taken = max(scored, key=lambda one: one[0], default=(0.0, None))
    if score < 0.3:
        return None
    mapping, why, changed = taken
    told = f"indlæsningsfilen {mapping.dataset}" if _is_loader(mapping) else _told(mapping)
    sentence = f"Intet kendt navn passer til {path.name}. Efter kolonnerne ligner den mest {told}."
    return mapping, [sentence, *why], changed | {"pattern": pattern_of(path.name)}


def _columns_alike(layout: FileMapping, columns: Sequence[str]) -> float:
    """The share of the layout's columns that the file has, or has something like, less what it has beside them."""
    found = sum(max((alike(one, other) for other in columns), default=0) >= ALIKE for one in layout.columns)
    exact = len(layout.columns.keys() & set(columns))
    return (found + exact) / (len(layout.columns) + max(len(layout.columns), len(columns)))


def _told(mapping: FileMapping) -> str:
    return f"kilden {mapping.version.partition('/')[0]}, {mapping.dataset} ({mapping.title}), layout {mapping.number}"


def _is_loader(mapping: FileMapping) -> bool:
    return mapping.version == archive.LOADER


def loader_layout(contract: Contract, ending: str) -> FileMapping:
    """The public contract of a loader file as a layout: every column fills the loader column of its name."""
    columns = {
        c.loader: SourceColumn(c.meaning, optional=not (c.required or c.name in contract.key)) for c in contract.columns
    } | {"slet": SourceColumn("ja where the row is withdrawn", optional=True)}  # fmt: skip
    target = TargetMapping(contract.loader_file, {column: ColumnRule(column) for column in columns}, None)
    return FileMapping(
        f"{contract.loader_file}.{ending}", contract.loader_file, contract.grain, ending, DELTA, "", ";", "", columns,
        {contract.loader_file: target}, archive.LOADER, hashlib.sha256(b"").hexdigest()[:16], Path(),
    )  # fmt: skip


def _delimited(path: Path, layout: FileMapping, why: list[str]) -> Taken:
    """The layout, with another delimiter where the file's header has none of the layout's."""
    if layout.format == "csv":
        widths = {delimiter: len(read_csv(path, delimiter, layout.encoding or None).columns) for delimiter in DELIMITERS}
        widest = max(widths, key=lambda delimiter: widths[delimiter])
        if widths[layout.delimiter] == 1 < widths[widest]:
            sign = "tabulator" if widest == "\t" else widest
            sentence = f"Felterne er delt af «{sign}» og ikke af «{layout.delimiter}»."
            return replace(layout, delimiter=widest), [*why, sentence], {"delimiter": widest}
    return layout, why, {}


def _checked(
    path: Path, mapping: FileMapping, sentences: list[str], changed: dict[str, str], source: SourceMapping | None
) -> Findings:  # fmt: skip
    with _rows(path, mapping) as (con, columns, remark):
        read, faulty, first_faulty = con.execute(
            "SELECT count(*), count(_fault), min(_row) FILTER (_fault IS NOT NULL) FROM rows"
        ).fetchone()
        digest = archive.sha256_of(path)
        con.execute(f"CREATE VIEW sound AS SELECT *, '{digest}' AS {FILE_HASH} FROM rows WHERE _fault IS NULL")
        found = drift_of(con, "sound", mapping, columns)
        refused = list(_refused(con, mapping, [c for c in mapping.columns if c in columns], found))
    said = [*sentences, *([remark] if remark else []), f"{read} {'række' if read == 1 else 'rækker'} læst."]
    if not read:
        said.append("Filen har ingen rækker, så indholdet er ikke prøvet.")
    if faulty:
        said.append(f"{_rows_told(faulty, first_faulty)} har ikke samme felter som overskriften og afvises.")
    said += _few([drift.sentence for drift in found if drift.kind == NEW])
    said += [drift.sentence for drift in found if drift.kind != NEW]
    said += [sentence for _, sentence in refused]
    unfit = changed or faulty or refused or not read or any(drift.kind != NEW for drift in found)
    proposal = ""
    if source and (changed or any(drift.kind == RENAMED or drift.reading for drift in found)):
        number = max(file.number for file in source.files) + 1
        proposal = next_version(mapping, found, **changed)
        said.append(
            f"Forslag til layout {number} af {source.system}, som kan gemmes som sources/{source.system}/{number}.yaml i "
            f"instansens mappe. Læg også de andre layout af {source.system} dér, for instansens egne træder i stedet for alle."
        )
    said.append("Filen passer ikke." if unfit else "Filen passer.")
    return Findings(not unfit, tuple(said), proposal)


def _few(new: list[str]) -> list[str]:
    more = len(new) - NEW_SHOWN
    return new if more <= 0 else [*new[:NEW_SHOWN], f"Og {more} {'ny kolonne' if more == 1 else 'nye kolonner'} mere."]


def _rows_told(count: int, first: int) -> str:
    return f"1 række (række {first})" if count == 1 else f"{count} rækker (den første er række {first})"


@contextmanager
def _rows(path: Path, mapping: FileMapping) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[str], str]]:
    """The file's rows in a table of texts, the columns it has, and what the reader remarked."""
    table, columns = _opened(path, mapping)
    ours = ("_file", "_row", "_fault", FILE_HASH)
    names = [f"{c}_" if c.lower() in ours else c or f"kolonne {i}" for i, c in enumerate(table.columns, 1)]
    con = duckdb.connect()
    try:
        texts = ", ".join(f"{name(column)} VARCHAR" for column in names)
        con.execute(f"CREATE TABLE rows ({texts}, _file VARCHAR, _row BIGINT, _fault VARCHAR)")
        for batch in table.batches:
            con.register("batch", batch.rename_columns([*names, "_row", "_fault"]))
            con.execute("INSERT INTO rows BY NAME SELECT *, '' AS _file FROM batch")
            con.unregister("batch")
        yield con, columns, table.remark
    finally:
        con.close()


def _opened(path: Path, mapping: FileMapping) -> tuple[Table, list[str]]:
    if mapping.format in ("xml", "json"):
        seen = columns_seen(path, path.name, mapping)
        if seen is None:
            return read_extract(path, path.name, mapping), list(mapping.columns)
        # The document's own values around the records are the layout's only where it asks for them.
        seen = [column for column in seen if column in mapping.columns or not column.startswith("/")]
        wide = replace(mapping, columns=mapping.columns | {c: SourceColumn("") for c in seen if c not in mapping.columns})
        return read_extract(path, path.name, wide), seen
    table = read_extract(path, path.name, mapping)
    if _is_loader(mapping):
        table.columns = [column.lower() for column in table.columns]
    return table, table.columns


def _refused(con, mapping: FileMapping, present: Sequence[str], found: Iterable[Drift]) -> Iterator[tuple[Use, str]]:
    """Rows that the gate would refuse by type or because a cell must be filled, in a sentence per loader column."""
    told_already = {drift.column for drift in found if drift.kind in (RETYPED, CODE)}
    for target in mapping.targets.values():
        if target.when and target.when.column not in present:
            continue
        contract = contract_for_file(target.loader_file)
        loader_columns = {column.loader: column for column in contract.columns}
        filled_by = {loader: rule for loader, rule in target.columns.items() if set(present).issuperset(rule.needs)}
        withdraws = f"lower(trim({name('slet')})) = 'ja'" if "slet" in filled_by else "false"
        questions: list[tuple[Use, str, str]] = []
        for loader, rule in filled_by.items():
            column = loader_columns.get(loader)
            use = Use(target, loader, column, rule)
            if column is None:
                questions.append((use, f"lower({name(loader)}) NOT IN ('', 'ja', 'nej')", "ja eller nej"))
                continue
            in_key = column.name in contract.key
            living = "" if in_key else f"NOT ({withdraws}) AND "  # of a row that withdraws only the key is read
            questions.append((use, f"{living}{unread_sql(name(loader), column)}", column.expected))
            if column.required or (in_key and not column.may_be_empty):
                questions.append((use, f"{living}NOT {filled_sql(name(loader))}", "udfyldt"))
        counts = ", ".join(f"count(*) FILTER ({bad}), min(_row) FILTER ({bad})" for _, bad, _ in questions)
        answers = con.execute(f"SELECT {counts} FROM ({target_select(target, 'sound', present)})").fetchone()
        for (use, _, expected), count, first in zip(questions, answers[::2], answers[1::2], strict=True):
            if count and not told_already & set(use.rule.needs):
                source = f", der fyldes af «{'», «'.join(use.rule.needs)}»," if use.rule.needs and not _is_loader(mapping) else ""
                yield use, (
                    f"{_rows_told(count, first)} afvises: {target.loader_file}.{use.loader}{source} skal være {expected}."
                )
