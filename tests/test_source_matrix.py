"""Every kind of file that a source system or a person delivers, in every state files arrive in: what becomes of it is what
docs/data_team.md says («Hvad der sker med en fil …»), no row vanishes, no half file is taken and the rest of the load goes on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from extract_files import UNDELIVERED, Row, Sheet, fresh_row, loader_sheet, read_sheet, typed, unlike

from ingestion import archive
from ingestion.contract import Column, contract_for_file, contracts
from ingestion.demo import FINANCE_SYSTEMS, write_demo
from ingestion.layouts import WHOLE, FileMapping, TargetMapping
from ingestion.mapping import load_mappings
from ingestion.receiving import FileReport, receive
from ingestion.warehouse import open_warehouse
from settlement.instance import Instance, create_folders

REFERENCE = Path(__file__).parent.parent / "data" / "reference"
MOST = 8  # rows of a file that is not a whole extract
BASE_DAY, FIRST_DAY, DAY, OLD_DAY = "2026-10-05", "2026-10-20", "2026-10-31", "2020-01-01"
# One kind of each format and of each way to extract; the others are looked at with -m heavy.
FAST = {
    "opus/kontoplan.csv", "loen/posteringer.csv", "sensum/ydelser.csv", "sensum/betalingsaftaler.csv", "tilbud/takster.xlsx",
    "dubu/anbringelser.xml", "cura/besoeg.json", "fakturaer/oioubl.xml", "indlaesning/takster.csv", "indlaesning/ydelser.xlsx",
}  # fmt: skip


@dataclass
class Outcome:
    """A file and what is documented of it. `fault`, `held` and `remark` are parts of its sentences, `first` a file of that
    kind that comes before it; `keeps` says that everything known before is known after."""

    content: bytes = b""
    first: bytes = b""
    accepted: int = 0
    refused: int = 0
    outdated: int = 0
    unmapped: int = 0
    fault: str = ""
    held: str = ""
    remark: str = ""
    unknown: str = ""
    withdrawn: int = 0
    missing: int = 0
    keeps: bool = True


# The base: a demo municipality, and a good file of every kind besides


class World:
    """An instance that holds a demo's deliveries and one good file of every kind (or of some kinds' systems), and their sheets."""

    def __init__(self, home: Path, finance: str, only: bool, kinds: Collection[str] | None) -> None:
        self.instance = create_folders(home / "instance", "661")
        landing = home / "demo"
        write_demo(landing, population=1_000, months=6, until="2026-09", finance=finance, reference=REFERENCE,
                   progress=lambda sentence: None)  # fmt: skip
        systems = [finance] if only else sorted(p.name for p in landing.iterdir() if p.is_dir())
        if kinds is not None:
            systems = [s for s in systems if any(kind.startswith(f"{s}/") for kind in kinds)]
        files = [(s, p.name, p) for s in systems for p in sorted((landing / s).glob("*_2*"))]
        with open_warehouse(self.instance) as con:
            for day in sorted({name.split("_20")[1][:8] for _, name, _ in files}):
                _taken(con, self.instance, [f for f in files if f"_20{day}" in f[1]], f"20{day}")
            refused = set(con.execute("SELECT DISTINCT file_name, row FROM quarantine.refused").fetchall())
            self.sheets = {}
            for system in systems:
                for layout in load_mappings()[system].datasets.values():
                    rows = [
                        row for of, name, path in files if of == system and fnmatchcase(name, layout.pattern)
                        for number, row in read_sheet(path, layout) if (name, number) not in refused and _living(layout, row)
                    ]  # fmt: skip
                    rows = rows or UNDELIVERED[Sheet(layout, []).kind]
                    sheet = unlike(Sheet(layout, rows), len(rows) if layout.extract == WHOLE else MOST)
                    assert sheet.rows, sheet.kind
                    self.sheets[sheet.kind] = sheet
            self._load(con, self.sheets.values())
            if not only:
                own = [loader_sheet(con, c, e, MOST) for c in contracts().values() if c.public for e in ("csv", "xlsx")]
                self.sheets |= {sheet.kind: sheet for sheet in own}
                self._load(con, [sheet for sheet in own if sheet.layout.format == "csv"])

    def _load(self, con, sheets) -> None:
        folder = self.instance.home.parent / "good"
        folder.mkdir(exist_ok=True)
        files = [(s.system, s.name(BASE_DAY), _written(folder, s, s.content(), BASE_DAY)) for s in sheets]
        reports = _taken(con, self.instance, files, BASE_DAY)
        wrong = [r for r in reports if r.rows_quarantined or r.rows_outdated]
        assert not wrong


def _living(layout: FileMapping, row: Row) -> bool:
    """Whether a row withdraws nothing."""
    marks = [t.columns["slet"] for t in layout.targets.values() if "slet" in t.columns]
    return not any(dict(rule.values).get(row.get(rule.column) or "", row.get(rule.column)) == "ja" for rule in marks)


def _taken(con, instance: Instance, files, day: str) -> list[FileReport]:
    _, reports = receive(con, instance, files, dated=day, received_by="test")
    assert not [r for r in reports if r.fault or r.held]
    return reports


def _written(folder: Path, sheet: Sheet, content: bytes, mark: str) -> Path:
    path = folder / sheet.kind.replace("/", "-") / sheet.name(mark)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def worlds(tmp_path_factory):
    made: dict[tuple[str, bool], World] = {}

    def world(finance: str, kinds: Collection[str] | None) -> World:
        which = (finance, kinds is None)
        if which not in made:
            made[which] = World(tmp_path_factory.mktemp(finance), finance, finance != "opus", kinds)
        return made[which]

    return world


# What comes of a kind of file in each state (None: a file of that kind cannot be in it)

CASES: dict[str, Callable[[Sheet], Outcome | None]] = {}


def case(build: Callable[[Sheet], Outcome | None]):
    CASES[build.__name__] = build
    return build


def _counted(sheet: Sheet, refused: Collection[int] = (), **told) -> Outcome:
    """The rows at those places refused, those that no target takes not mapped, the others accepted."""
    rows = range(len(sheet.rows))
    unmapped = {i for i in rows if not sheet.taken(sheet.rows[i])}
    bad = set(refused) - unmapped
    accepted = len(sheet.rows) - len(unmapped) - len(bad)
    told.setdefault("content", sheet.content())
    return Outcome(accepted=accepted, refused=len(bad), unmapped=len(unmapped), **told)


def _with_new(sheet: Sheet) -> Sheet:
    sheet = sheet.copy()
    if row := fresh_row(sheet):
        sheet.rows.append(row)
        sheet.new = 1
    return sheet


def _is_loader(sheet: Sheet) -> bool:
    return sheet.system == archive.LOADER


def _used(sheet: Sheet, column: str) -> list[tuple[TargetMapping, Column]]:
    """The loader columns that a column is needed for."""
    known = {t.loader_file: {c.loader: c for c in contract_for_file(t.loader_file).columns} for t in sheet.layout.targets.values()}
    return [
        (t, known[t.loader_file][loader]) for t in sheet.layout.targets.values() for loader, rule in t.columns.items()
        if column in rule.needs and loader in known[t.loader_file]
    ]  # fmt: skip


def _part_of(target: TargetMapping, column: Column) -> bool:
    return column.name in contract_for_file(target.loader_file).key


IGNORED, NEEDED, KEY, CHOOSING = range(4)


def _use(sheet: Sheet, column: str) -> int:
    """What a column is for: chooses rows, is part of a key, is needed by new rows, or none of these."""
    if any(t.when and t.when.column == column for t in sheet.layout.targets.values()):
        return CHOOSING
    used = _used(sheet, column)
    if any(_part_of(t, c) for t, c in used):
        return KEY
    return NEEDED if any(c.required for _, c in used) else IGNORED


def _column_of(sheet: Sheet, use: int) -> str | None:
    columns = [c for c, told in sheet.layout.columns.items()
               if c in sheet.columns and _use(sheet, c) == use and c not in ("slet", "/")
               and (_is_loader(sheet) or not told.optional)]  # fmt: skip
    return columns[0] if columns else None


def _without(sheet: Sheet, use: int, became: str = "") -> Outcome | None:
    """A file whose first column of that use is gone, or has another name."""
    sheet = _with_new(sheet)
    column = _column_of(sheet, use)
    if column is None:
        return None
    for row in sheet.rows:
        cell = row.pop(column)
        if became:
            row[became] = cell
    sheet.columns = [became if c == column else c for c in sheet.columns if became or c != column]
    if use == CHOOSING:
        return Outcome(sheet.content(), fault=f"Kolonnen '{column}' mangler")
    key = [(t, c) for t, c in _used(sheet, column) if _part_of(t, c)]
    if any(c.may_be_empty for _, c in key) and not _is_loader(sheet):
        return Outcome(sheet.content(), fault=f"Kolonnen '{column}' mangler")
    rows = range(len(sheet.rows))
    taking = [i for i in rows if {t.loader_file for t in sheet.taken(sheet.rows[i])} & {t.loader_file for t, _ in key}]
    new = len(rows) if sheet.layout.root else sheet.new  # other bytes are another document, and all its lines new
    refused = {IGNORED: [], NEEDED: rows[len(rows) - new :], KEY: taking}[use]
    remark = "" if _is_loader(sheet) else f"Kolonnen «{column}» mangler"
    unknown = became if sheet.layout.format in ("csv", "xlsx") else ""
    return _counted(sheet, refused, remark=remark, unknown=unknown)


@case
def good(sheet):
    return _counted(_with_new(sheet))


@case
def renamed_column(sheet):
    return _without(sheet, IGNORED, "nyt_navn")


@case
def missing_column(sheet):
    return _without(sheet, IGNORED)


@case
def missing_required_column(sheet):
    return _without(sheet, NEEDED)


@case
def missing_key_column(sheet):
    return _without(sheet, KEY)


@case
def missing_choosing_column(sheet):
    return _without(sheet, CHOOSING)


@case
def extra_column(sheet):
    sheet = _with_new(sheet)
    sheet.columns.append("ekstra")
    for row in sheet.rows:
        row["ekstra"] = "x"
    unread = sheet.layout.format in ("xml", "json")
    told = not _is_loader(sheet) and not sheet.layout.root  # a document of an open standard has more than we name
    remark = f"«ekstra» er ny: den {'læses ikke' if unread else 'gemmes'}" if told else ""
    return _counted(sheet, remark=remark, unknown="" if unread else "ekstra")


def _set(sheet: Sheet, target: TargetMapping, column: str, cell: str) -> list[int]:
    """Sets a cell in the first row that a target takes; what stands for the whole document, in all."""
    rows = [i for i, row in enumerate(sheet.rows) if target in sheet.taken(row)]
    rows = rows if column.startswith("/") else rows[:1]
    for i in rows:
        sheet.rows[i][column] = cell
    return rows


@case
def wrong_type(sheet):
    sheet = _with_new(sheet)
    found = []
    for target in reversed(sheet.layout.targets.values()):
        contract = contract_for_file(target.loader_file)
        columns = {c.loader: c for c in contract.columns}
        for loader, rule in target.columns.items():
            c = columns.get(loader)
            if c and rule.column and not rule.values and typed(c) and rule.column in sheet.columns and any(
                target in sheet.taken(row) for row in sheet.rows
            ):  # fmt: skip
                found.append((rule.column.startswith("/"), _part_of(target, c), len(found), target, rule.column))
    if not found:
        return None
    *_, target, column = min(found, key=lambda f: f[:3])
    return _counted(sheet, _set(sheet, target, column, "forkert"))


@case
def wrong_encoding(sheet):
    form, loader = sheet.layout.format, _is_loader(sheet)
    if form == "xlsx":
        return None
    sheet = sheet.copy()
    for target in sheet.layout.targets.values():
        columns = {c.loader: c for c in contract_for_file(target.loader_file).columns}
        plain = [r.column for k, r in target.columns.items() if r.column and r.column in sheet.columns and not r.values
                 and not r.part and k in columns and columns[k].type == "text" and not columns[k].parent
                 and _use(sheet, r.column) == IGNORED]  # fmt: skip
        if plain and any(target in sheet.taken(row) for row in sheet.rows):
            _set(sheet, target, plain[0], "Ærø")
            break
    was_utf8 = sheet.encoding.startswith("utf-8")
    content = sheet.content("cp1252" if was_utf8 else "utf-8")
    if content.isascii() or loader:
        return _counted(sheet, content=content, keeps=False)
    if was_utf8:
        return Outcome(content, fault="læses")
    return _counted(sheet, content=content, remark="tegnsættet er UTF-8", keeps=False)


@case
def empty(sheet):
    return Outcome(b"", fault="tom" if sheet.layout.format == "csv" else "læses")


@case
def header_only(sheet):
    sheet = sheet.copy()
    known, sheet.rows = len(sheet.rows), []
    if sheet.layout.root:
        return Outcome(sheet.content(), fault="har ingen linjer")
    if sheet.layout.extract == WHOLE:
        return Outcome(sheet.content(), held=f"mangler {known} af {known} rækker")
    return _counted(sheet)


@case
def cut_off_mid_row(sheet):
    sheet = _with_new(sheet)
    content = sheet.content()
    if sheet.layout.format != "csv":
        return Outcome(content[: content.rindex(b"<" if sheet.layout.format == "xml" else b"}") - 3], fault="læses")
    lines = content.splitlines(keepends=True)
    lines[-1] = lines[-1][: lines[-1].index(sheet.layout.delimiter.encode()) + 1]
    if len(sheet.columns) == 2:
        lines[-1] = lines[-1][:-1]
    return _counted(sheet, [len(sheet.rows) - 1], content=b"".join(lines))


@case
def cut_off_at_a_row_boundary(sheet):
    sheet = sheet.copy()
    content, known = sheet.content(), len(sheet.rows)
    if sheet.layout.format in ("xml", "json"):
        end = f"</{sheet.layout.record.split('|')[0]}>".encode() if sheet.layout.format == "xml" else b"}"
        return Outcome(content[: content.index(end) + len(end)], fault="læses")
    sheet.rows = sheet.rows[: (known + 1) // 2]
    if sheet.layout.extract == WHOLE:
        return Outcome(sheet.content(), held=f"mangler {known - len(sheet.rows)} af {known} rækker")
    return _counted(sheet)


@case
def duplicate(sheet):
    content = sheet.content()
    return _counted(sheet, first=content, content=content)


@case
def older_after_newer(sheet):
    counted = _counted(sheet)
    return Outcome(counted.content, outdated=counted.accepted, unmapped=counted.unmapped)


@case
def withdrawn_rows(sheet):
    """The new row comes, and is gone from the next file, or marked as withdrawn in it."""
    fresh = _with_new(sheet)
    if not fresh.new:
        return None
    if sheet.layout.extract == WHOLE:
        return _counted(sheet, first=fresh.content(), missing=1, withdrawn=1)
    marks = [(t, t.columns["slet"]) for t in sheet.taken(fresh.rows[-1]) if "slet" in t.columns]
    if not marks:
        return _counted(sheet, first=fresh.content())
    first = fresh.content()
    for _, rule in marks:
        fresh.rows[-1][rule.column] = next((code for code, told in rule.values if told == "ja"), "ja")
    fresh.columns += [] if marks[0][1].column in fresh.columns else [marks[0][1].column]
    return _counted(fresh, first=first, withdrawn=len(marks))


@case
def unknown_code(sheet):
    sheet = _with_new(sheet)
    loader = _is_loader(sheet)
    for target in reversed(sheet.layout.targets.values()):
        columns = {c.loader: c for c in contract_for_file(target.loader_file).columns}
        for name, rule in target.columns.items():
            c = columns.get(name)
            coded = rule.values or (loader and c and c.choices)
            is_code = coded and rule.column != "/" and c and c.type in ("choice", "yes_no")
            if is_code and any(target in sheet.taken(r) for r in sheet.rows):
                refused = _set(sheet, target, rule.column, "UKENDT")
                return _counted(sheet, refused, remark="" if loader else f"Kolonnen «{rule.column}» har")
    for target in sheet.layout.targets.values():
        if target.when and target.when.among:
            _set(sheet, target, target.when.column, "UKENDT")
            return _counted(sheet)
    return None


# The matrix

GROUPS = ("systems", "prisme", "oes", "loader.csv", "loader.xlsx")


def _facts(con) -> Counter:
    """Every living canonical row as told, without what is said of where it came from."""
    found: Counter = Counter()
    for table, contract in contracts().items():
        columns = ", ".join(contract.names)
        rows = con.execute(f"SELECT {columns} FROM canonical.{table} WHERE NOT withdrawn").fetchall()
        found.update((table, *row) for row in rows)
    return found


def _matrix(worlds, tmp_path, group: str, name: str, kinds: Collection[str] | None) -> int:
    world = worlds(group if group in FINANCE_SYSTEMS else "opus", kinds)
    loader = group.startswith("loader")
    sheets = [s for s in world.sheets.values() if _is_loader(s) == loader and s.kind.endswith(group[6:] if loader else "")]
    told = {s.kind: (s, CASES[name](s)) for s in sheets if kinds is None or s.kind in kinds}
    told = {kind: (sheet, outcome) for kind, (sheet, outcome) in told.items() if outcome}
    if not told:
        return 0
    shutil.copytree(world.instance.home, tmp_path / "instance", symlinks=True)
    instance = Instance(**{**vars(world.instance), "home": tmp_path / "instance"})
    with open_warehouse(instance) as con:
        firsts = [(s, o.first) for s, o in told.values() if o.first]
        if firsts:
            files = [(s.system, s.name(FIRST_DAY), _written(tmp_path, s, c, FIRST_DAY)) for s, c in firsts]
            _taken(con, instance, files, FIRST_DAY)
        before = _facts(con)
        day = OLD_DAY if name == "older_after_newer" else DAY
        files = [(s.system, s.name(day), _written(tmp_path, s, o.content, day)) for s, o in told.values()]
        load, reports = receive(con, instance, [*files, _neighbour(tmp_path, loader)], dated=day, received_by="test")
        after = _facts(con)
        withdrawn = dict(con.execute(
            "SELECT source_file, count(*) FROM (" + " UNION ALL ".join(
                f"SELECT source_file FROM canonical.{t} WHERE withdrawn AND load_id = {load}" for t in contracts()
            ) + ") GROUP BY 1"
        ).fetchall())  # fmt: skip
        refused = con.execute(f"SELECT DISTINCT file_name, row, message FROM quarantine.refused WHERE load_id = {load}").fetchall()
    by_name = {(r.system, r.name): r for r in reports}
    (neighbour,) = [r for r in reports if r.name in ("modparter.csv", "opus_budget_nabo.csv") and r.rows_accepted == 1]
    assert len(by_name) == len(told) + 1 and neighbour.rows_read == 1
    wrong = []
    for kind, (sheet, outcome) in told.items():
        report = by_name[sheet.system, sheet.name(day)]
        found = (report.rows_accepted, report.rows_quarantined, report.rows_outdated, report.rows_unmapped)
        said = " ".join(report.remarks)
        if not (
            found == (outcome.accepted, outcome.refused, outcome.outdated, outcome.unmapped)
            and (report.rows_read == sum(found) or report.held)
            and bool(report.fault) == bool(outcome.fault) and outcome.fault in report.fault
            and bool(report.held) == bool(outcome.held) and outcome.held in report.held
            and outcome.remark in said and (not outcome.unknown or outcome.unknown in report.unknown_columns)
            and withdrawn.get(report.sha256, 0) == outcome.withdrawn
            and (report.held or report.rows_withdrawn == outcome.missing)
        ):  # fmt: skip
            messages = [m for m in refused if m[0] == report.name]
            wrong.append((kind, replace(outcome, content=b"", first=b""), report, withdrawn, messages))
    assert not wrong, "\n".join(map(str, wrong))
    if all(outcome.keeps and not outcome.withdrawn for _, outcome in told.values()):
        assert not before - after
    if name in ("duplicate", "older_after_newer"):
        assert (after - before).total() == 1, "the neighbour's alone"
    return len(told)


def _neighbour(folder: Path, loader: bool) -> tuple[str, str, Path]:
    """A good file of one row that comes with the others."""
    if loader:
        path, system = folder / "opus_budget_nabo.csv", "opus"
        header, row = "Regnskabsår;Kontostreng;Profitcenter;Periode;Version;Beløb", "2030;5282311410000147;NABO;;0;1,00"
    else:
        path, system = folder / "modparter.csv", archive.LOADER
        header, row = "kode;gyldig_fra;navn", "12345674;01-01-2026;Nabo"
    path.write_text(f"{header}\n{row}\n", encoding="utf-8")
    return system, path.name, path


@pytest.mark.parametrize(("group", "name"), [
    pytest.param("systems", "good", marks=pytest.mark.heavy), *(("loader", name) for name in CASES),
])  # fmt: skip
def test_a_file_of_each_format_becomes_what_is_documented(worlds, tmp_path, group, name):
    _matrix(worlds, tmp_path, group, name, FAST)


@pytest.mark.heavy
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_of_file_becomes_what_is_documented(worlds, tmp_path, group, name):
    _matrix(worlds, tmp_path, group, name, None)
