"""The program `afregning`, run from the pages: whatever needs the warehouse, which has one writer and is no page's to open."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from settlement.faults import StateFault
from settlement.instance import Instance

ROOT = Path(__file__).resolve().parent.parent
TOLD = "afregning: "


def ask(instance: Instance, *command: str | Path) -> dict[str, Any] | list:
    """The answer of a command that knows `--json`. Raises StateFault with the program's own sentence where it has none.

    What the program prints beside its sentence is passed over: it may quote a row.
    """
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *map(str, command), "--json"],
        cwd=ROOT, env=os.environ | {"AFREGNING_HOME": str(instance.home), "PYTHONUTF8": "1"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    if done.stdout:
        return json.loads(done.stdout)
    told = [line.removeprefix(TOLD) for line in done.stderr.splitlines() if line.startswith(TOLD)]
    raise StateFault(
        " ".join(told)
        or f"Programmet standsede uventet (kode {done.returncode}). Spørg datateamet, før du prøver igen."
    )


@contextmanager
def written(files: Sequence[tuple[str, bytes]]) -> Iterator[list[Path]]:
    """Files that were sent, as (name, content), in a folder of their own that only this user can read and that goes away."""
    with tempfile.TemporaryDirectory(prefix="afregning-") as scratch:
        paths = []
        for number, (name, content) in enumerate(files):
            paths.append(Path(scratch, str(number), safe_name(name)))
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(content)
        yield paths


def safe_name(name: str) -> str:
    """The last part of a name that was sent, without what a file system or a screen would take for something else."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return re.sub(r"[^\w .()-]", "_", last).lstrip(" .")[-120:] or "fil"
