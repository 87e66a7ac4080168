"""The archive: every file received, unchanged, by content hash, and the manifest of the loads they came in.

The manifest (`archive/manifest.jsonl`) is the only source of recorded time. Its lines are only ever added to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from settlement.instance import Instance

LOADER = "indlaesning"
MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class ReceivedFile:
    """One file of a load: the system it came from, its name as received, the SHA-256 of its bytes, and the mapping it was
    read by (`sensum/1@fingerprint`; a loader file has none)."""

    system: str
    name: str
    sha256: str
    size: int
    mapping: str = ""


@dataclass(frozen=True)
class Load:
    """One load: files judged together. `dated` is the extract date, or the receipt's for loader folders.

    A load without files undoes the one that `undoes` names, for a reason. `packed` are the zips that files of it came out of,
    those of which it has everything that no earlier load had.
    """

    load_id: int
    received_at: str
    received_by: str
    dated: str
    files: tuple[ReceivedFile, ...]
    undoes: int = 0
    reason: str = ""
    packed: tuple[ReceivedFile, ...] = ()

    @property
    def systems(self) -> list[str]:
        """The systems the files came from."""
        return sorted({file.system for file in self.files})


def loads(instance: Instance) -> list[Load]:
    """Every load of the instance in the order received."""
    manifest = instance.archive / MANIFEST
    if not manifest.exists():
        return []
    entries = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    listed = [{**e, **{part: tuple(ReceivedFile(**f) for f in e.get(part, ())) for part in ("files", "packed")}} for e in entries]
    return [Load(**entry) for entry in listed]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def keep(instance: Instance, system: str, name: str, path: Path) -> ReceivedFile:
    """Copies a file into the archive under its hash; the same bytes are kept once."""
    received = ReceivedFile(system, name, sha256_of(path), path.stat().st_size)
    target = instance.archived(received.sha256)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        shutil.copyfile(path, unfinished)
        os.replace(unfinished, target)
    return received


def forget(instance: Instance, files: Sequence[ReceivedFile]) -> None:
    """Removes the bytes of files that no load has: of what was only looked at nothing is kept."""
    received = {file.sha256 for load in loads(instance) for file in (*load.files, *load.packed)}
    for file in files:
        if file.sha256 not in received:
            instance.archived(file.sha256).unlink(missing_ok=True)


def mapping_copy(instance: Instance, version: str, fingerprint: str) -> Path:
    """Where the mapping file of that version lies as it was when it read a file."""
    return instance.archive / "mappings" / fingerprint / f"{version}.yaml"


def keep_mapping(instance: Instance, version: str, fingerprint: str, path: Path) -> None:
    """Copies a mapping file into the archive under its fingerprint: what it read is read so again when it is edited."""
    target = mapping_copy(instance, version, fingerprint)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(path, unfinished)
        os.replace(unfinished, target)


def newest_before(instance: Instance, moment: datetime) -> int:
    """The id of the newest load received before a moment (UTC without zone), 0 where there is none."""
    return max((load.load_id for load in loads(instance) if load.received_at < moment.isoformat()), default=0)


def copy_through(instance: Instance, copy: Instance, load_id: int) -> None:
    """Gives an empty instance the loads through that one, as if none had come since; the files stay where they lie."""
    copy.archive.mkdir(parents=True)
    for folder in ("files", "mappings"):
        (copy.archive / folder).symlink_to(instance.archive / folder, target_is_directory=True)
    lines = (instance.archive / MANIFEST).read_text(encoding="utf-8").splitlines(keepends=True)
    (copy.archive / MANIFEST).write_text("".join(lines[:load_id]), encoding="utf-8")


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def next_load(
    instance: Instance, received_by: str, dated: str, files: Sequence[ReceivedFile], undoes: int = 0, reason: str = "",
    packed: Sequence[ReceivedFile] = (),
) -> Load:  # fmt: skip
    """The load that these files would be, not in the manifest yet. Recorded time never goes back, whatever the clock does."""
    before = loads(instance)
    return Load(
        load_id=len(before) + 1,
        received_at=max([now().isoformat(timespec="seconds"), *(earlier.received_at for earlier in before[-1:])]),
        received_by=received_by,
        dated=dated,
        files=tuple(files),
        undoes=undoes,
        reason=reason,
        packed=tuple(packed),
    )


def record(instance: Instance, load: Load) -> None:
    """Adds the next load to the manifest."""
    with (instance.archive / MANIFEST).open("a", encoding="utf-8") as manifest:
        manifest.write(json.dumps(asdict(load), ensure_ascii=False) + "\n")
        manifest.flush()
        os.fsync(manifest.fileno())
