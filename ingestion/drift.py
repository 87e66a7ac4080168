"""How a file differs from its layout: columns missing, new, renamed or retyped, and codes nobody has explained.

Found before a row is judged, on the file's columns and some or all of its rows. No sentence shows a cell but short codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache

import duckdb
import pyarrow as pa

from ingestion.archive import LOADER
from ingestion.contract import TYPES, Column, contract_for_file
from ingestion.expressions import DECIMALS, ColumnRule, NumberRule, expression, name
from ingestion.layouts import FileMapping, TargetMapping
from settlement.reference import municipality_codes

MISSING, NEW, RENAMED, RETYPED, CODE = "missing", "new", "renamed", "retyped", "code"
DATES = (
    "%Y-%m-%d", "%d-%m-%Y", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%d%m%Y", "%d-%m-%y", "%d.%m.%y", "%-d-%-m-%Y", "%-d.%-m.%Y",
    "%-d/%-m/%Y", "%Y/%m/%d", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
)  # fmt: skip
MONTHS = ("%Y-%m", "%Y%m", "%m-%Y", "%m/%Y", "%m.%Y", "%Y/%m", "%Y.%m", "%m%Y", *DATES)
NUMBERS = ((",", "."), (".", ","), (",", " "), (",", "'"), (".", " "), (".", "'"))
# What a declared column's cells are held against where no loader column says it.
DECLARED = {"number": "exact", "date": "date", "month": "month"}
RETYPED_SHARE = 0.5  # of the filled cells that cannot be read
FITTING_SHARE = 0.95  # of a column's filled cells that another reading, or another column's, must fit
LIKE_ENOUGH = 0.5
CODES_SHOWN = 5
# Capitals with digits, or small letters: no name of a person is written so, and no number of one is so short.
CODE_LIKE = re.compile("(?![0-9]{6})[A-ZÆØÅ0-9]{1,8}|[a-zæøå_]{1,16}")


@dataclass(frozen=True)
class Drift:
    """One difference: its kind, the layout's column (the file's, where it is new), and a Danish sentence.

    `became` is the file's column that a renamed one seems to be now; `reading` the rule that fits a retyped one.
    """

    kind: str
    column: str
    sentence: str
    became: str = ""
    reading: ColumnRule | None = None


@dataclass(frozen=True)
class Use:
    """A loader column that is filled from one extract column by a rule."""

    target: TargetMapping
    loader: str
    column: Column | None
    rule: ColumnRule

    @property
    def typed(self) -> bool:
        """Whether there are cells that the gate would refuse."""
        return self.column is not None and TYPES[self.column.type].read != "{x}"


def uses(mapping: FileMapping, column: str) -> list[Use]:
    """The loader columns that need an extract column."""
    return [
        Use(target, loader, {c.loader: c for c in contract_for_file(target.loader_file).columns}.get(loader), rule)
        for target in mapping.targets.values()
        for loader, rule in target.columns.items()
        if column in rule.needs
    ]


def drift(
    mapping: FileMapping, columns: Sequence[str], sample: Mapping[str, pa.ChunkedArray | Sequence[str | None]]
) -> list[Drift]:  # fmt: skip
    """How a file with these columns differs from its layout, by some of its rows: the texts of each column read."""
    con = _scratch().cursor()
    try:
        con.register("sample", pa.table({column: pa.chunked_array(_chunks(cells)) for column, cells in sample.items()}))
        con.execute("CREATE TEMP TABLE rows AS SELECT *, '' AS _file, row_number() OVER () AS _row FROM sample")
        return drift_of(con, "rows", mapping, columns)
    finally:
        con.close()


@cache
def _scratch() -> duckdb.DuckDBPyConnection:
    """A database in memory whose cursors each have tables of their own: to open one takes longer than to look at a file."""
    return duckdb.connect()


def _chunks(cells: pa.ChunkedArray | Sequence[str | None]) -> list[pa.Array]:
    return cells.cast(pa.string()).chunks if isinstance(cells, pa.ChunkedArray) else [pa.array(cells, pa.string())]


def drift_of(
    con: duckdb.DuckDBPyConnection, rows: str, mapping: FileMapping, columns: Sequence[str]
) -> list[Drift]:  # fmt: skip
    """As `drift`, over a table of VARCHAR columns with `_file` and `_row`."""
    there = {column for column, *_ in con.execute(f"DESCRIBE {rows}").fetchall()}
    missing = mapping.missing(columns)
    new = [column for column in columns if column and column not in mapping.columns]
    renamed = _renamed(con, rows, mapping, list(columns), missing, [column for column in new if column in there])
    found = []
    for column in missing:
        if column in renamed:
            reading = _other_form(con, rows, mapping, column, renamed[column])
            form = f" Cellerne læses nu med reglen {told_rule(reading)}." if reading else ""
            sentence = (
                f"Kolonnen «{column}» mangler, og «{renamed[column]}» er ny og ligner den.{form} "
                f"{_remedy(mapping, 'Er den omdøbt, så ret mapningen', 'Ret overskriften')} {_loss(mapping, column)}"
            )
            found.append(Drift(RENAMED, column, sentence, became=renamed[column], reading=reading))
        else:
            remedy = _remedy(mapping, "Bestil udtrækket med den, eller ret mapningen", "Tilføj den")
            sentence = f"Kolonnen «{column}» mangler. {remedy} {_loss(mapping, column)}"
            found.append(Drift(MISSING, column, sentence))
    for column in new:
        if column not in renamed.values():
            remedy = _remedy(mapping, "Beskriv den i mapningen, hvis den skal bruges", "Ret navnet, hvis den skal bruges")
            # Of XML and JSON only what the layout names is read; the file itself is in the archive.
            fate = "læses ikke" if mapping.format in ("xml", "json") else "gemmes, men bruges ikke"
            sentence = f"Kolonnen «{column}» er ny: den {fate}. {remedy}"
            found.append(Drift(NEW, column, sentence))
    checked = [column for column in mapping.columns if column in there and column in columns]
    retyped = _retyped(con, rows, mapping, checked)
    for column in checked:
        found += _codes(con, rows, mapping, column)
        if column in retyped:
            found.append(retyped[column])
    return found


def _remedy(mapping: FileMapping, of_extract: str, of_loader_file: str) -> str:
    return (of_loader_file if mapping.version == LOADER else of_extract) + "."


def _loss(mapping: FileMapping, column: str) -> str:
    """What happens where an extract column is missing."""
    for target in mapping.targets.values():
        if target.when and target.when.column == column:
            return f"Uden den kan ingen rækker af {target.loader_file} modtages."
    needed = [u for u in uses(mapping, column) if u.column and (u.column.required or _in_key(u))]
    if needed:
        return f"Uden den kan nye rækker ikke modtages ({_places(needed)})."
    kept = uses(mapping, column)
    return f"{_places(kept)} beholder det, der er gemt." if kept else "Den bruges ikke."


def _in_key(use: Use) -> bool:
    return use.column.name in contract_for_file(use.target.loader_file).key


def _places(found: Sequence[Use]) -> str:
    return ", ".join(f"{use.target.loader_file}.{use.loader}" for use in found)


def _renamed(con, rows, mapping: FileMapping, columns: list[str], missing: list[str], new: list[str]) -> dict[str, str]:
    """Missing columns and the new ones they seem to be: by name, by what the cells look like, and by place."""
    scored = [(_likeness(con, rows, mapping, columns, old, fresh), old, fresh) for old in missing for fresh in new]
    paired: dict[str, str] = {}
    for score, old, fresh in sorted(scored, key=lambda pair: -pair[0]):
        if score >= LIKE_ENOUGH and old not in paired and fresh not in paired.values():
            paired[old] = fresh
    return paired


def _likeness(con, rows, mapping: FileMapping, columns: list[str], old: str, fresh: str) -> float:
    """From 0 to 1; 0 where the cells cannot be what the missing column held."""
    used = uses(mapping, old)
    content = 0.5
    for use in used:
        if use.typed and use.rule.column == old:
            reading, share = best_reading(con, rows, replace(use.rule, column=fresh), use.column)
            if share is None:
                continue
            if share < FITTING_SHARE:
                return 0.0
            content = 1.0
    if mapping.columns[old].values:
        unknown, filled = _unknown_codes(con, rows, fresh, mapping.columns[old].values)
        if filled and sum(unknown.values()) > (1 - FITTING_SHARE) * filled:
            return 0.0
        content = 1.0 if filled else content
    names = max([alike(old, fresh), *(0.9 * alike(use.loader, fresh) for use in used)])
    declared = list(mapping.columns)
    same_place = declared.index(old) == columns.index(fresh) or _neighbours(declared, old) == _neighbours(columns, fresh)
    return 0.5 * names + 0.3 * content + 0.2 * same_place


def _neighbours(columns: list[str], column: str) -> tuple[str, str]:
    framed = ["", *columns, ""]
    place = columns.index(column)
    return framed[place], framed[place + 2]


def _other_form(con, rows, mapping: FileMapping, old: str, fresh: str) -> ColumnRule | None:
    """The rule that the cells of a renamed column need where the old one's does not read them."""
    for use in uses(mapping, old):
        if use.typed and use.rule.column == old:
            rule = replace(use.rule, column=fresh)
            reading, _ = best_reading(con, rows, rule, use.column)
            if reading != rule:
                return reading
    return None


def alike(one: str, other: str) -> float:
    """How alike two names are, from 0 to 1."""
    a, b = (re.sub("[^a-z0-9]", "", _folded(text.rpartition("/")[2])) for text in (one, other))
    if not a or not b:
        return 0.0
    ratio = SequenceMatcher(None, a, b).ratio()
    return max(ratio, 0.8) if min(len(a), len(b)) > 2 and (a in b or b in a) else ratio


def _folded(text: str) -> str:
    return text.lower().replace("æ", "ae").replace("ø", "oe").replace("å", "aa")


def best_reading(
    con: duckdb.DuckDBPyConnection, rows: str, rule: ColumnRule, column: Column
) -> tuple[ColumnRule, float | None]:  # fmt: skip
    """Of a rule and others for the same type, the one that reads most of the column's filled cells, and the share that it
    reads; None where all are empty."""
    candidates = [rule, *_other_readings(rule, column)]
    reads = [unread_sql(expression(candidate, column), column) for candidate in candidates]
    counted = con.execute(
        f"SELECT count(*), {', '.join(f'count(*) FILTER (NOT ({unread}))' for unread in reads)} "
        f"FROM {rows} WHERE {filled_sql(name(rule.column))}"
    ).fetchone()
    if not counted[0]:
        return rule, None
    best = max(range(len(candidates)), key=lambda i: (counted[1 + i], -i))
    return candidates[best], counted[1 + best] / counted[0]


def _other_readings(rule: ColumnRule, column: Column) -> Iterator[ColumnRule]:
    if rule.values or rule.part:
        return
    if column.type in DECIMALS:
        for decimal, thousands in NUMBERS:
            number = rule.number or NumberRule()
            yield ColumnRule(rule.column, number=replace(number, decimal=decimal, thousands=thousands))
    elif column.type == "date":
        yield from (ColumnRule(rule.column, date=layout) for layout in DATES)
    elif column.type in ("month", "month_in_year"):
        yield from (ColumnRule(rule.column, month=layout) for layout in MONTHS)


def unread_sql(told: str, column: Column) -> str:
    """SQL that holds where the gate could not read the text."""
    text = f"trim(replace({told}, chr(160), ' '))"
    return f"{text} <> '' AND ({column.read_sql(text, municipality_codes())}) IS NULL"


def filled_sql(column: str) -> str:
    return f"coalesce(trim(replace({column}, chr(160), ' ')), '') <> ''"


def _retyped(con, rows, mapping: FileMapping, columns: Sequence[str]) -> dict[str, Drift]:
    """By column: one drift where most of its cells cannot be what the layout says."""
    readings = [(column, *reading) for column in columns for reading in _readings(mapping, column)]
    if not readings:
        return {}
    # All are counted in one look at the rows: a file has many columns, and most of them are as they should be.
    counts = con.execute(f"SELECT {', '.join(_counted(*reading) for reading in readings)} FROM {rows}").fetchone()
    found: dict[str, Drift] = {}
    for (column, rule, target), filled, bad in zip(readings, counts[::2], counts[1::2], strict=True):
        if column in found or not filled or bad < RETYPED_SHARE * filled:
            continue
        reading, share = best_reading(con, rows, rule, target)
        fits = reading if reading != rule and share >= FITTING_SHARE else None
        guess = f" Cellerne kan læses med reglen {told_rule(fits)}." if fits and mapping.version != LOADER else ""
        found[column] = Drift(
            RETYPED, column,
            f"Kolonnen «{column}» har skiftet form: {bad} af {filled} udfyldte celler er ikke {target.expected}.{guess} "
            + _remedy(mapping, "Ret mapningen, eller bestil udtrækket som før", "Ret cellerne"),
            reading=fits,
        )  # fmt: skip
    return found


def _readings(mapping: FileMapping, column: str) -> list[tuple[ColumnRule, Column]]:
    """What a column's cells are held against: the loader columns it fills, else what the layout declares."""
    typed = [use for use in uses(mapping, column) if use.typed and use.rule.column == column and not use.rule.values]
    declared = mapping.columns[column].type
    if not typed and declared in DECLARED:
        return [(ColumnRule(column), Column(column, column, DECLARED[declared], ""))]
    return [(use.rule, use.column) for use in typed]


def _counted(column: str, rule: ColumnRule, target: Column) -> str:
    filled = filled_sql(name(column))
    return f"count(*) FILTER ({filled}), count(*) FILTER ({filled} AND {unread_sql(expression(rule, target), target)})"


def told_rule(rule: ColumnRule) -> str:
    """The reading of a column as a mapping file says it."""
    if rule.date or rule.month:
        return f'{"date" if rule.date else "month"}: "{rule.date or rule.month}"'
    return f'number: {{decimal: "{rule.number.decimal}", thousands: "{rule.number.thousands}"}}'


def _codes(con, rows, mapping: FileMapping, column: str) -> Iterator[Drift]:
    """Codes outside the declared list, or without a translation that the gate needs."""
    known = mapping.columns[column].values
    unknown = _unknown_codes(con, rows, column, known)[0] if known else {}
    for use in uses(mapping, column):
        if use.rule.values and use.rule.column == column:
            told = expression(use.rule, use.column)
            refused = unread_sql(told, use.column) if use.column else f"lower({told}) NOT IN ('', 'ja', 'nej')"
            counted = f"SELECT trim({name(column)}), count(*) FROM {rows} WHERE {refused} GROUP BY 1 ORDER BY 2 DESC, 1"
            unknown |= dict(con.execute(counted).fetchall())
    if unknown:
        count = sum(unknown.values())
        cells = f"{count} {'celle' if count == 1 else 'celler'}"
        remedy = _remedy(mapping, "Tilføj dem i mapningens 'values', eller ret udtrækket", "Ret cellerne")
        yield Drift(CODE, column, f"Kolonnen «{column}» har {cells} med koder, der ikke kendes{_shown(unknown)}. {remedy}")


def _unknown_codes(con, rows, column: str, known: Sequence[str]) -> tuple[dict[str, int], int]:
    """Filled cells by code outside the list, the most frequent first, and how many cells are filled."""
    cells = f"FROM {rows} WHERE {filled_sql(name(column))}"
    found = con.execute(
        f"SELECT trim({name(column)}), count(*) {cells} AND trim({name(column)}) NOT IN (SELECT unnest(?)) "
        "GROUP BY 1 ORDER BY 2 DESC, 1", [list(known)],
    ).fetchall()  # fmt: skip
    return dict(found), con.execute(f"SELECT count(*) {cells}").fetchone()[0]


def _shown(codes: dict[str, int]) -> str:
    """The codes with counts, where they are few and can be nothing but codes; else nothing, for they may be persons'."""
    if len(codes) > CODES_SHOWN or not all(map(CODE_LIKE.fullmatch, codes)):
        return ""
    return ": " + ", ".join(f"{code} ({count})" for code, count in codes.items())
