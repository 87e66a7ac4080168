"""The command `asked`: another command whose words stand in a file; its sentences are the answer to a program."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path


def add_commands(commands) -> None:
    """Adds `asked` to the program's commands."""
    asked = commands.add_parser("asked", help="en kommando, hvis ord står i en fil (JSON); svaret til et program")
    asked.add_argument("file", type=Path, metavar="FIL")
    asked.add_argument("--json", action="store_true", help="svaret som JSON; det er det altid")
    asked.set_defaults(command=_asked)


def _asked(options) -> int:
    """Every user of the machine can read a command line, and what a page asks may name a citizen: the words come in a file
    that only the page's own user can read. Raises StateFault with the sentence of a command that is refused."""
    from orchestration import cli
    from settlement.faults import StateFault

    words = json.loads(options.file.read_text(encoding="utf-8"))
    screen, beside = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(beside):
        code = cli.main(words)
    if code:
        raise StateFault(_refusal(beside.getvalue()))
    print(json.dumps({"told": screen.getvalue().splitlines()}, ensure_ascii=False))
    return 0


def _refusal(said: str) -> str:
    """The program's own sentence, or that of the word that could not be read; what else it printed may quote a row."""
    found = re.findall(r"^afregning(?: [a-z]+)*: (?:error: (?:argument [^:]+: )?)?(.+)$", said, re.MULTILINE)
    return " ".join(found) or "Kommandoen blev afvist uden en forklaring. Spørg datateamet, før du prøver igen."
