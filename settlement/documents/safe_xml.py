"""XML from outside: `parse(content, name)` reads one document, or says in a sentence why it is not read.

Nothing is fetched, no entity is resolved, and what could fill memory (size, depth, a document type's entities) is refused.
"""

from __future__ import annotations

import re

from lxml import etree

from settlement.faults import InputFault

LARGEST = 50 << 20  # bytes, attachments included
DEEPEST = 100  # elements within each other
# Those in which the bytes of mark-up are ASCII, so that a document type can be looked for before the parser meets it.
ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252")
_DECLARATION = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["']""")
_TOO_DEEP = "/" + "/".join(["*"] * (DEEPEST + 1))


def parse(content: bytes, name: str = "Dokumentet") -> etree._Element:
    """The root of the document; comments and processing instructions are left out. Raises InputFault."""
    if len(content) > LARGEST:
        raise InputFault(f"{name}: fylder mere end {LARGEST >> 20} MB og læses ikke. Bed afsenderen om mindre bilag.")
    text = content.removeprefix(b"\xef\xbb\xbf")
    declared = _DECLARATION.match(text)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if encoding not in ENCODINGS or b"\0" in text[:4]:
        raise InputFault(f"{name}: tegnsættet kendes ikke. Bed afsenderen om dokumentet i UTF-8.")
    if b"<!DOCTYPE" in text:
        raise InputFault(f"{name}: indeholder en dokumenttype (DTD) og læses ikke. Bed afsenderen om dokumentet uden.")
    # An attachment may be longer than the parser lets a text be otherwise; the size is bounded above.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
    except (etree.LxmlError, ValueError) as broken:
        line, column = getattr(broken, "position", (0, 0))
        place = f"linje {line}, tegn {column}"  # what stands there may be about a person
        raise InputFault(f"{name}: kan ikke læses som XML ({place}). Bed afsenderen om dokumentet igen.") from broken
    if root.xpath(_TOO_DEEP):
        raise InputFault(f"{name}: er mere end {DEEPEST} lag dyb og læses ikke. Bed afsenderen om dokumentet igen.")
    return root
