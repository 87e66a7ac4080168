"""XML and JSON extracts as rows of text: one flat row per record, in bounded memory. Records are numbered from 1.

A column is a path below the record, such as `place/place_name`; one that begins with `/` is read below the document's
root, from what stands before the record (an invoice's own number above its lines). In XML it may end in an attribute
(`quantity/@unit`), `/` alone is the name of the root, and `path*` holds the texts of every such element with a blank between,
not of the first alone; namespaces are ignored. An element that a record has not is null, an empty one ''.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import ijson
from lxml import etree

from ingestion.reading import NumberedRow, ShortNumbers, Table, arrow_batches
from settlement.documents import safe_xml
from settlement.faults import InputFault

DEEPEST, DEEPEST_XML = 64, 100
LONGEST_NUMBER = 40  # digits; beyond, a number is given as it is written and refused as no number
RECORDS_BEGIN, RECORD = object(), object()


def read_xml(path: Path, record: str, columns: Sequence[str], name: str = "", root: str = "") -> Table:
    """A row per `record` element (`A|B`: either). Entities are not resolved, nothing is fetched, a DTD is refused.

    With `root` the file is one document, whose root must be so named (`A|B`) and have records as children.
    Raises InputFault, while the batches are read, where it is not so or the file is not well-formed.
    """
    name = name or path.name
    rows = _document_rows(path, record, columns, name, root) if root else _xml_rows(path, record, columns, name)
    return Table(list(columns), arrow_batches(rows, len(columns)))


def read_json(path: Path, record: str, columns: Sequence[str], name: str = "") -> Table:
    """A row per object of the array at `record`, such as `data/visits`; '' is a document that is an array itself.

    Numbers keep their digits, true and false are ja and nej. Raises InputFault, while the batches are read, where the file
    is no JSON or has no such array.
    """
    return Table(list(columns), arrow_batches(_json_rows(path, record, columns, name or path.name), len(columns)))


def _xml_rows(path: Path, record: str, columns: Sequence[str], name: str) -> Iterator[NumberedRow]:
    names, row_of = set(record.split("|")), _row_reader(columns)
    outside = any(c.startswith("/") for c in columns)
    number, depth, root, record_open = 0, 0, None, None
    try:
        events = etree.iterparse(
            str(path), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False,
            huge_tree=False, remove_comments=True, remove_pis=True,
        )  # fmt: skip
        for event, element in events:
            if event == "start":
                depth += 1
                if depth > DEEPEST_XML:
                    raise InputFault(f"{name}: er mere end {DEEPEST_XML} lag dyb og læses ikke. Bestil udtrækket igen.")
                if root is None:
                    root = element
                    if root.getroottree().docinfo.doctype:
                        raise InputFault(f"{name}: indeholder en dokumenttype (DTD) og læses ikke. Bestil udtrækket uden.")
                if record_open is None and _local(element) in names:
                    record_open = element
                continue
            depth -= 1
            if element is record_open:
                record_open, number = None, number + 1
                yield number, row_of(root, element), None
            elif record_open is not None or outside:
                continue
            # What has been read is let go, or the whole document would gather in memory.
            element.clear()
            if (parent := element.getparent()) is not None:
                parent.remove(element)
    except etree.LxmlError as broken:
        raise InputFault(f"{name}: kan ikke læses som XML ({_place(broken)}). Bestil udtrækket igen.") from broken
    except OSError as broken:  # lxml's way of saying that the file is empty or its character set unknown
        raise InputFault(f"{name}: kan ikke læses som XML. Bestil udtrækket igen.") from broken


def _document_rows(path: Path, record: str, columns: Sequence[str], name: str, root_named: str) -> Iterator[NumberedRow]:
    root, wanted = safe_xml.parse(path.read_bytes(), name), root_named.split("|")
    if _local(root) not in wanted:
        raise InputFault(f"{name}: er en {_local(root)}, ikke en {' eller '.join(wanted)}, og læses ikke. Tag den ud.")
    names, row_of = [f"{{*}}{step}" for step in record.split("|")], _row_reader(columns)
    number = 0
    for number, element in enumerate(root.iterchildren(*names), start=1):
        yield number, row_of(root, element), None
    if not number:
        wanted = " eller ".join(record.split("|"))
        raise InputFault(f"{name}: har ingen linjer ({wanted}) og læses ikke. Bed afsenderen om et helt dokument.")


def _row_reader(columns: Sequence[str]) -> Callable[[etree._Element, etree._Element], list[str | None]]:
    """What reads the columns of a record and its document's root."""
    below, above = _steps(tuple(columns))
    row: list[str | None] = [None] * len(columns)

    def row_of(root, element) -> list[str | None]:
        if "/" in columns:
            row[columns.index("/")] = _local(root)
        for i, step in above:
            if row[i] is None:  # read once, for it stands before the first record
                row[i] = _xml_text(root, step)
        for i, step in below:
            row[i] = _xml_text(element, step)
        return list(row)

    return row_of


def _local(element: etree._Element) -> str:
    return element.tag.rpartition("}")[2]


@lru_cache(maxsize=64)
def _steps(columns: tuple[str, ...]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The places of the columns below the record and above it, each with its path."""
    below = [(i, _step(c)) for i, c in enumerate(columns) if not c.startswith("/")]
    return below, [(i, _step(c[1:])) for i, c in enumerate(columns) if len(c) > 1 and c.startswith("/")]


def _step(column: str) -> str:
    """The path of a column as lxml searches it, its attribute or star behind."""
    path, attribute, last = column.partition("/@")
    return "/".join(f"{{*}}{step}" for step in path.split("/")) + attribute + last


def _xml_text(element, step: str) -> str | None:
    if step.endswith("*"):
        texts = [(found.text or "").strip() for found in element.iterfind(step[:-1])]
        return " ".join(filter(None, texts)) if texts else None
    step, _, attribute = step.partition("/@")
    found = element.find(step)
    return None if found is None else ((found.get(attribute) if attribute else found.text) or "").strip()


def _place(broken: etree.LxmlError) -> str:
    """Where it broke; what stands there may be about a person."""
    line, column = getattr(broken, "position", (0, 0))
    return f"linje {line}, tegn {column}"


def _json_rows(path: Path, record: str, columns: Sequence[str], name: str) -> Iterator[NumberedRow]:
    wanted = record.split("/") if record else []
    number, found, outside = 0, False, {}
    try:
        with path.open("rb") as handle:
            if handle.read(3) != b"\xef\xbb\xbf":
                handle.seek(0)
            for place, value in values_of_json(ijson.basic_parse(ShortNumbers(handle, name)), wanted, name):
                if place == RECORDS_BEGIN:
                    found = True
                elif place == RECORD:
                    number += 1
                    yield number, [(outside if c.startswith("/") else value).get(c) for c in columns], None
                else:
                    outside["/" + place] = value
    except (ijson.JSONError, UnicodeError, ValueError, OverflowError) as broken:
        raise InputFault(f"{name}: kan ikke læses som JSON efter post {number}. Bestil udtrækket igen.") from broken
    if not found:
        raise InputFault(
            f"{name}: listen «{record or 'øverst'}» findes ikke i filen. Ret 'record' i mapningen, eller bestil udtrækket igen."
        )


def values_of_json(events: Iterable[tuple[str, Any]], wanted: list[str], name: str) -> Iterator[tuple[Any, Any]]:
    """(RECORDS_BEGIN, None) where the wanted array begins, (RECORD, its texts by path) for each object in it, and
    (path, text) for every value outside. The texts of an array within a record are joined by a space.
    """
    keys: list[str] = []  # of the open maps, outermost first
    open_containers: list[tuple[bool, bool]] = []  # is an array, stands under a key
    key: str | None = None
    record, record_level = None, 0
    for event, value in events:
        if event == "map_key":
            key = value
        elif event in ("start_map", "start_array"):
            if len(open_containers) == DEEPEST:
                raise InputFault(f"{name}: er mere end {DEEPEST} lag dyb og læses ikke. Bestil udtrækket igen.")
            in_wanted_array = record is None and keys == wanted and [a for a, _ in open_containers].count(True) == 1
            if in_wanted_array and open_containers[-1][0] and event == "start_map":
                record, record_level = {}, len(open_containers)
            if key is not None:
                keys.append(key)
            if event == "start_array" and record is None and keys == wanted and not any(a for a, _ in open_containers):
                yield RECORDS_BEGIN, None
            open_containers.append((event == "start_array", key is not None))
            key = None
        elif event in ("end_map", "end_array"):
            _, keyed = open_containers.pop()
            if keyed:
                keys.pop()
            if record is not None and len(open_containers) == record_level:
                yield RECORD, record
                record = None
            key = None
        else:
            path, key = [*keys, key] if key is not None else keys, None
            if record is None:
                yield "/".join(path), _json_text(value)
            else:
                step = "/".join(path[len(wanted) :])
                record[step] = f"{record[step]} {_json_text(value)}" if step in record else _json_text(value)


def _json_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "ja" if value else "nej"
    if isinstance(value, Decimal) and abs(value.adjusted()) <= LONGEST_NUMBER:
        return format(value, "f")
    return str(value).strip()
