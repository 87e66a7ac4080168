"""A received extract file opened by its layout: its rows as text, and the columns it really has."""

from __future__ import annotations

from pathlib import Path

import ijson
from lxml import etree

from ingestion.layouts import FileMapping
from ingestion.reading import ShortNumbers, Table, read_csv, read_xlsx
from ingestion.records import RECORD, RECORDS_BEGIN, read_json, read_xml, values_of_json
from settlement.faults import InputFault

RECORDS_LOOKED_AT = 200


def read_extract(path: Path, name: str, mapping: FileMapping) -> Table:
    """The file's rows. Raises InputFault, also while the batches are read."""
    if mapping.format == "xml":
        return read_xml(path, mapping.record, list(mapping.columns), name, mapping.root)
    if mapping.format == "json":
        return read_json(path, mapping.record, list(mapping.columns), name)
    return read_xlsx(path, name) if mapping.format == "xlsx" else read_csv(path, mapping.delimiter, mapping.encoding, name)


def columns_seen(path: Path, name: str, mapping: FileMapping) -> list[str] | None:
    """The file's header; in XML and JSON the paths in its first records and in the document before them.

    None where there is no record to tell. Of a document of an open standard, which has more than any layout names, those of the
    layout that it has. Raises InputFault.
    """
    if mapping.root:
        filled = dict.fromkeys(mapping.columns, 0)
        for batch in read_extract(path, name, mapping).batches:
            for column, cells in zip(mapping.columns, batch.columns, strict=False):
                filled[column] += len(cells) - cells.null_count
        return [column for column, cells in filled.items() if cells]
    if mapping.format not in ("xml", "json"):
        return read_extract(path, name, mapping).columns
    find = _xml_paths if mapping.format == "xml" else _json_paths
    try:
        records, paths = find(path, mapping.record, name)
    except (etree.LxmlError, OSError, ijson.JSONError, ValueError, OverflowError) as broken:
        raise InputFault(f"{name}: kan ikke læses som {mapping.format.upper()}. Bestil udtrækket igen.") from broken
    # An empty container looks like a leaf; what is below it elsewhere tells that it is none.
    known = [*paths, *mapping.columns]
    return [p for p in paths if not any(other.startswith(f"{p}/") for other in known)] if records else None


def _xml_paths(path: Path, record: str, name: str) -> tuple[int, list[str]]:
    """Records looked at, and the paths of their leaves and of those outside them."""
    names, paths, steps, record_depth, records = set(record.split("|")), {}, [], 0, 0
    events = etree.iterparse(
        str(path), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    for event, element in events:
        if event == "start":
            steps.append(element.tag.rpartition("}")[2])
            if not record_depth and steps[-1] in names:
                record_depth = len(steps)
            continue
        if record_depth == len(steps):
            records, record_depth = records + 1, 0
            element.clear()
            if records == RECORDS_LOOKED_AT:
                break
        elif not len(element):
            paths["/".join(steps[record_depth:]) if record_depth else "/" + "/".join(steps[1:])] = True
        steps.pop()
    return records, list(paths)


def _json_paths(path: Path, record: str, name: str) -> tuple[int, list[str]]:
    paths, records = {}, 0
    with path.open("rb") as handle:
        if handle.read(3) != b"\xef\xbb\xbf":
            handle.seek(0)
        events = ijson.basic_parse(ShortNumbers(handle, name))
        for place, value in values_of_json(events, record.split("/") if record else [], name):
            if place == RECORD:
                records += 1
                paths |= dict.fromkeys(value, True)
                if records == RECORDS_LOOKED_AT:
                    break
            elif place != RECORDS_BEGIN:
                paths["/" + place] = True
    return records, list(paths)
