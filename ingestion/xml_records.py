"""Streaming reader of XML extracts: one flat row per record element, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree


def read_xml(path: Path, record: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """One list of texts per `record` element, in the order of `columns`.

    A column is the path of an element below the record, such as `place/place_name`; namespaces are ignored, a missing
    element gives ''. Entities are not resolved and nothing is fetched. Raises lxml.etree.XMLSyntaxError with line
    and column where the file is not well-formed; rows before that place have then already been given out.
    """
    paths = ["/".join(f"{{*}}{step}" for step in column.split("/")) for column in columns]
    events = etree.iterparse(
        str(path),
        events=("end",),
        tag=f"{{*}}{record}",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    for _, element in events:
        yield [(element.findtext(step) or "").strip() for step in paths]
        # What has been read is let go, or the whole document would gather in memory.
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
