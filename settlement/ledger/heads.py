"""The ledger's heads outside the database: one line per run in the archive, so that a rewritten or cut chain shows."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger.models import SettlementRun


def file_of(instance: Instance) -> Path:
    """Where they are kept: {"run_no", "hash"} per line, in the chain's order."""
    return instance.archive / "heads.jsonl"


def kept(instance: Instance) -> list[str]:
    """The hash of every run's head in order, as the archive has it. Raises StateFault where the file cannot be read."""
    path = file_of(instance)
    return _read(path.read_bytes(), path) if path.exists() else []


def complete(instance: Instance, session: Session, *, restored: bool = False) -> None:
    """Writes to the archive the heads it lacks: those of the newest transaction that booked, which may have been stopped
    before it came to it; of a `restored` instance all.

    Every booking begins with it, under the ledger's lock, and ends with it. Raises StateFault where the chain is not the
    one the archive knows: nothing is booked on it, and nothing written over what it knows.
    """
    path = file_of(instance)
    with path.open("a+b") as heads:
        # One process at a time, and what it reads of the register is then no older than what the file knows.
        fcntl.flock(heads, fcntl.LOCK_EX)
        heads.seek(0)
        content = heads.read()
        known, runs = _read(content, path), booked(session)
        if fault := parted(known, runs) or ("" if restored else lacking(known, runs, path)):
            raise StateFault(f"{fault} Der bogføres ikke på den. Kør «afregning verify».")
        if lacks := runs[len(known) :]:
            heads.truncate(content.rfind(b"\n") + 1)  # of a process stopped while writing
            heads.writelines(json.dumps({"run_no": run_no, "hash": run_hash}).encode() + b"\n" for run_no, run_hash in lacks)
            heads.flush()
            os.fsync(heads.fileno())


def booked(session: Session) -> list[tuple[int, str]]:
    """(run_no, hash) of every run in the chain's order."""
    run = SettlementRun
    return [tuple(row) for row in session.execute(select(run.run_no, run.hash).order_by(run.sequence))]


def parted(known: list[str], runs: list[tuple[int, str]]) -> str:
    """Where the register's chain is not the one the archive knows, in a sentence; '' where it is."""
    for archived, (run_no, run_hash) in zip(known, runs, strict=False):
        if archived != run_hash:
            return f"Kørsel {run_no}: registerets hash er ikke den, arkivet gemte ved bogføringen."
    if len(known) > len(runs):
        return f"Registeret har {len(runs)} kørsler, men arkivet kender {len(known)}: kæden er afkortet."
    return ""


def lacking(known: list[str], runs: list[tuple[int, str]], path: Path) -> str:
    """Why the archive has fewer heads than a stopped booking can leave it, in a sentence; '' where it has not."""
    unknown = [run_no for run_no, _ in runs[len(known) :]]
    # A booking that was stopped leaves its one run; opening entries are booked one run per process.
    if len(unknown) > 1 and max(unknown) > 0:
        return (
            f"Arkivet kender {len(known)} af registerets {len(runs)} kørsler: {path.name} er slettet eller afkortet. Hent den fra "
            "sikkerhedskopien, eller sammenhold kørslernes hoveder med udskrevne bilag."
        )
    return ""


def _read(content: bytes, path: Path) -> list[str]:
    # What follows the last line break is the beginning of a line that a stopped process did not finish.
    try:
        return [json.loads(line)["hash"] for line in content.decode().split("\n")[:-1]]
    except (ValueError, KeyError, TypeError) as broken:
        raise StateFault(f"{path} kan ikke læses: den er ændret. Hent den fra sikkerhedskopien.") from broken
