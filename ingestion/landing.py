"""What waits in the landing places, and the fetching of it: a file is taken only when it is whole, and once, by content.

What was looked at is remembered in `landing_seen.json`, only so that the same bytes are not read or downloaded at every
look: what it says counts where the archive knows the content too, and without it the outcome is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from ingestion import archive
from ingestion.known import DENMARK
from ingestion.mapping import load_mappings
from ingestion.places import QUIET, Entry, Place, PlaceFault, places
from settlement.faults import InputFault
from settlement.instance import Instance

EXTRACT_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload")
CHECKSUM, MARKERS = ".sha256", (".sha256", ".done", ".ok")
CHECKSUM_TEXT = re.compile(r"\s*([0-9a-fA-F]{64})\b")
SEEN, INCOMING = "landing_seen.json", "incoming"
TICK_SECONDS = 2  # a file written so lately may be written again without its time showing it


@dataclass(frozen=True)
class Waiting:
    """One whole file that no load has, as far as can be told without fetching it. `sha256` is empty where it lies remotely.

    `checksum` is the marker that says what its SHA-256 should be.
    """

    place: Place
    entry: Entry
    checksum: Entry | None
    sha256: str = ""

    @property
    def system(self) -> str:
        return self.place.system

    @property
    def named_date(self) -> str:
        """The yyyy-mm-dd in the file's name, empty where there is none."""
        found = EXTRACT_DATE.search(self.entry.name)
        return found.group() if found else ""

    @property
    def dated(self) -> str:
        """The extract's date: the name's, else the Danish day the file was written."""
        return self.named_date or self.entry.modified.astimezone(DENMARK).date().isoformat()


@dataclass
class Look:
    """One look at all places: the files to take, sentences on those that are left, and faults of places."""

    files: list[Waiting] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def deliveries(self) -> dict[str, list[Waiting]]:
        """The files by extract date, oldest first: one load each."""
        found: dict[str, list[Waiting]] = {}
        for file in self.files:
            found.setdefault(file.dated, []).append(file)
        return dict(sorted(found.items()))


@dataclass
class Fetched:
    """A delivery's files, as (system, name, path) on this machine, and what is told of those that were not taken."""

    files: list[tuple[str, str, Path]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def look(instance: Instance, *, settle: bool = True) -> Look:
    """Looks at every place once, and where files may still be on their way a second time, some seconds later.

    Without `settle` it does not wait: files that may be on their way are among those that are found.
    """
    seen, received, result = _Seen(instance), _Received(instance), Look()
    found: list[tuple[Place, list[Waiting]]] = []
    for place in _places(instance, result):
        try:
            entries = place.entries()
        except PlaceFault as fault:
            result.faults.append(str(fault))
            continue
        seen.forget_all_but(place, {entry.name for entry in entries})
        whole = _whole(place, entries, result.told)
        found.append((place, [file for file in whole if not received.has(file, seen.digest(place, file.entry))]))
    if settle:
        _settle(found, result)
    for _, files in found:
        for file in files:
            if file.place.kind == "folder":
                file = _digested(file)
                seen.remember(file, file.sha256)
            if earlier := received.has(file, file.sha256):
                result.told += received.sentence(file, earlier)
            else:
                result.files.append(file)
    seen.save()
    return result


def listing(instance: Instance, *, remote: bool) -> dict[str, str]:
    """Names, sizes and versions of each place's files as one hash: what a sensor asks often. Without `remote` only folders
    are looked into; a place that cannot be reached has the hash of its sentence."""
    hashes, result = {}, Look()
    for place in _places(instance, result, kinds=tuple(QUIET) if remote else ("folder",)):
        try:
            text = json.dumps([(e.name, e.size, e.version) for e in place.entries()])
        except PlaceFault as fault:
            text = str(fault)
        hashes[place.system] = hashlib.sha256(text.encode()).hexdigest()
    return hashes


@contextmanager
def fetched(instance: Instance, files: list[Waiting]) -> Iterator[Fetched]:
    """Copies of a delivery's files that nobody changes while they are read; they are gone afterwards.

    Only the process that has the warehouse open for writing may call it. A file that changes on the way, does not fit its
    checksum, or has been received before under another name is left out and told of.
    """
    seen, received, result = _Seen(instance), _Received(instance), Fetched()
    folder = instance.home / INCOMING
    shutil.rmtree(folder, ignore_errors=True)  # a run that was cut off
    folder.mkdir(mode=0o700)
    lost: set[str] = set()
    taken: dict[tuple[str, str], str] = {}
    try:
        for file in files:
            if file.system in lost:
                continue
            target = folder / file.system / file.entry.name
            target.parent.mkdir(exist_ok=True)
            try:
                digest, left = _fetch(file, target)
            except (PlaceFault, InputFault) as fault:
                result.faults.append(str(fault))
                if isinstance(fault, PlaceFault):
                    lost.add(file.system)
                continue
            if left:
                result.told.append(left)
                continue
            seen.remember(file, digest)
            if earlier := received.has(file, digest):
                result.told += received.sentence(file, earlier)
            elif (twin := taken.setdefault((file.system, digest), file.entry.name)) != file.entry.name:
                result.told.append(f"{file.system}: {file.entry.name} er magen til {twin} og tages ikke for sig.")
            else:
                result.files.append((file.system, file.entry.name, target))
        seen.save()
        yield result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _places(instance: Instance, result: Look, kinds: tuple[str, ...] = tuple(QUIET)) -> Iterator[Place]:
    for place in places(instance, [*load_mappings(instance), archive.LOADER], kinds):
        if isinstance(place, PlaceFault):
            result.faults.append(str(place))
        else:
            yield place


def _whole(place: Place, entries: list[Entry], told: list[str]) -> list[Waiting]:
    """The files that are data and not known to be unfinished."""
    by_name = {entry.name: entry for entry in entries}
    found = []
    for entry in entries:
        name = entry.name.lower()
        if name.startswith(".") or name.endswith(MARKERS):
            continue
        checksum = by_name.get(entry.name + CHECKSUM)
        markers = [by_name[entry.name + ending] for ending in MARKERS if entry.name + ending in by_name]
        if name.endswith(UNFINISHED):
            why = "navnet siger, at den er undervejs"
        elif place.marker and not markers:
            why = f"{entry.name}.done, .ok eller .sha256 er ikke kommet"
        elif place.marker and not checksum and max(m.modified for m in markers) < entry.modified:
            why = f"den er ændret efter {markers[0].name}"
        else:
            found.append(Waiting(place, entry, checksum))
            continue
        told.append(f"{place.system}: {entry.name} venter: {why}. Den er ikke færdigskrevet og tages, når den er.")
    return found


def _settle(found: list[tuple[Place, list[Waiting]]], result: Look) -> None:
    """Looks again at places with files that may still be written to, and leaves those out that changed meanwhile."""
    now = datetime.now(UTC)
    moving = [(place, files) for place, files in found if any(not _still(file, now) for file in files)]
    if not moving:
        return
    time.sleep(max(place.quiet_seconds for place, _ in moving))
    for place, files in moving:
        try:
            after = {entry.name: entry for entry in place.entries()}
        except PlaceFault as fault:
            result.faults.append(str(fault))
            files.clear()
            continue
        for file in list(files):
            if after.get(file.entry.name) != file.entry:
                files.remove(file)
                result.told.append(
                    f"{file.system}: {file.entry.name} venter: den bliver skrevet lige nu. Den tages, når den er færdigskrevet."
                )


def _still(file: Waiting, now: datetime) -> bool:
    """A folder's clock is ours, so age will do; a server's is not, so only a second look tells."""
    place = file.place
    if place.marker or not place.quiet_seconds or file.checksum:
        return True
    return place.kind == "folder" and abs((now - file.entry.touched).total_seconds()) >= place.quiet_seconds


def _fetch(file: Waiting, target: Path) -> tuple[str, str]:
    """Copies a file; returns the SHA-256 of the copy and why it is left, if it is."""
    name = f"{file.system}: {file.entry.name}"
    digest = file.place.fetch(file.entry, target)
    if not digest:
        return "", f"{name} blev ændret, mens den blev hentet, og tages næste gang."
    if file.checksum:
        told = CHECKSUM_TEXT.match(file.place.text(file.checksum))
        if not told or told.group(1).lower() != digest:
            return "", f"{name} venter: indholdet passer ikke med {file.checksum.name}. Er den færdigskrevet, så bestil den igen."
    return digest, ""


def _digested(file: Waiting) -> Waiting:
    """With its hash, where the file lies here. One that cannot be read is told of when it is fetched."""
    try:
        return Waiting(file.place, file.entry, file.checksum, archive.sha256_of(Path(file.entry.path)))
    except OSError:
        return file


class _Received:
    """Which contents which load has received from which system."""

    def __init__(self, instance: Instance):
        self.loads = archive.loads(instance)

    @cached_property
    def receipts(self) -> Mapping[tuple[str, str], list[tuple[archive.Load, archive.ReceivedFile]]]:
        found: dict[tuple[str, str], list[tuple[archive.Load, archive.ReceivedFile]]] = {}
        for load in self.loads:
            for file in (*load.files, *load.packed):
                found.setdefault((file.system, file.sha256), []).append((load, file))
        return found

    def has(self, file: Waiting, digest: str) -> tuple[archive.Load, archive.ReceivedFile] | None:
        """The receipt that makes a file one received before: the same content from the same system, under the same name
        or date. The same content under a later date is another extract: it says that nothing, or everything back, has
        changed since the one between.
        """
        for load, received in self.receipts.get((file.system, digest), ()):
            if received.size == file.entry.size and (
                received.name == file.entry.name or not file.named_date or load.dated == file.named_date
            ):
                return load, received
        return None

    def sentence(self, file: Waiting, earlier: tuple[archive.Load, archive.ReceivedFile]) -> list[str]:
        """What is told of a file received before; nothing of one that merely lies where it was taken."""
        load, received = earlier
        if received.name == file.entry.name and file.entry.modified.isoformat() <= load.received_at:
            return []
        as_name = f" som {received.name}" if received.name != file.entry.name else ""
        return [f"{file.system}: {file.entry.name} er modtaget før{as_name}, i indlæsning {load.load_id}, og tages ikke igen."]


class _Seen:
    """What was read at earlier looks: place and name → size, version and SHA-256. A file that cannot be read is none."""

    def __init__(self, instance: Instance):
        self.path = instance.home / SEEN
        try:
            self.known = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = self.known if isinstance(self.known, dict) else {}
        except (OSError, ValueError):
            self.known = {}
        self.before = json.dumps(self.known)

    def digest(self, place: Place, entry: Entry) -> str:
        match self.known.get(self._key(place, entry.name)):
            case [entry.size, entry.version, str(digest)]:
                return digest
        return ""

    def remember(self, file: Waiting, digest: str) -> None:
        written_lately = abs(datetime.now(UTC) - file.entry.touched).total_seconds() < TICK_SECONDS
        if digest and (file.place.kind == "s3" or not written_lately):
            self.known[self._key(file.place, file.entry.name)] = [file.entry.size, file.entry.version, digest]

    def forget_all_but(self, place: Place, names: set[str]) -> None:
        keys = {self._key(place, name) for name in names}
        self.known = {k: v for k, v in self.known.items() if k in keys or k.rpartition("/")[0] != place.shown}

    def save(self) -> None:
        if json.dumps(self.known) != self.before:
            unfinished = self.path.with_suffix(f".{os.getpid()}.part")
            unfinished.write_text(json.dumps(self.known, indent=0), encoding="utf-8")
            os.replace(unfinished, self.path)

    @staticmethod
    def _key(place: Place, name: str) -> str:
        return f"{place.shown}/{name}"
