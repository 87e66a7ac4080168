"""Texts that a spreadsheet would run as a formula when a person opens a CSV of this platform (CSV injection).

Every CSV written for people goes through `as_text`. Two do not: the ledger lines, whose cells are the keys that other programs
join on and are fixed by the public contract (loader.md), and a receiver's upload file, which has a rule of its own
(documents/opus.py).
"""

from __future__ import annotations

import re

# A cell is run from one of these signs on, full-width ones too; signed numbers, telephone numbers and a lone dash are not
# formulas. The same in Python and in DuckDB (RE2), which has no lookahead.
FORMULA = r"^(?:[=@＝＠\t\r\n]|[+\-＋－][0-9 .,]*[^0-9 .,])"
_FORMULA = re.compile(FORMULA)


def as_text(cell: str) -> str:
    """The cell as a spreadsheet shows it and does not run it: with an apostrophe before what looks like a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unrun(cell: str) -> str:
    """The cell without the signs that would make it a formula, for receivers that would keep an apostrophe as part of it."""
    while _FORMULA.match(cell):
        cell = cell[1:].lstrip()
    return cell
