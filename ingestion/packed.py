"""Files found in folders and zips; a zip that reaches outside its folder or swells without measure is refused whole."""

from __future__ import annotations

import itertools
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from settlement.faults import InputFault

# Text packs ten to fifty times; beyond these a zip is made to fill a disk.
LARGEST_UNPACKED = 20 << 30
LARGEST_RATIO = 300
RATIO_MATTERS_FROM = 100 << 20


def find_files(path: Path, scratch: Path) -> list[tuple[str, Path]]:
    """(name, place) of every file in a file, folder or zip; zips are unpacked into `scratch`.

    Raises InputFault where the path does not exist, or a zip is broken or cannot be trusted.
    """
    if not path.exists():
        raise InputFault(f"{path}: findes ikke. Angiv en fil, en mappe eller en zip med indlæsningsfiler.")
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        return list(itertools.chain.from_iterable(find_files(p, scratch) for p in inside))
    return _unpacked(path, scratch) if path.suffix.lower() == ".zip" else [(path.name, path)]


def demand_reasonable(path: Path, name: str) -> None:
    """Raises InputFault where a zip (a workbook is one) is broken, names places outside itself or swells."""
    try:
        with zipfile.ZipFile(path) as packed:
            entries = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as broken:
        raise InputFault(f"{name}: kan ikke læses ({type(broken).__name__}). Gem eller pak den igen.") from broken
    for entry in entries:
        place = PurePosixPath(entry.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in "".join(place.parts[:1]):
            raise InputFault(f"{name}: zip-filen vil skrive uden for sin egen mappe. Den er ikke åbnet. Spørg afsenderen.")
    size = sum(entry.file_size for entry in entries)
    packed_size = max(1, path.stat().st_size)
    if size > LARGEST_UNPACKED or (size > RATIO_MATTERS_FROM and size > LARGEST_RATIO * packed_size):
        raise InputFault(
            f"{name}: fylder {size >> 20} MiB pakket ud af {packed_size >> 10} KiB, og det er for meget. Del den op."
        )


def _unpacked(path: Path, scratch: Path) -> list[tuple[str, Path]]:
    demand_reasonable(path, path.name)
    found = []
    try:
        with zipfile.ZipFile(path) as packed:
            for number, entry in enumerate(packed.infolist()):
                name = PurePosixPath(entry.filename.replace("\\", "/")).name
                if entry.is_dir() or name.startswith("."):
                    continue
                if name.lower().endswith(".zip"):
                    raise InputFault(f"{path.name}: indeholder en zip-fil. Pak den indre ud, og send filerne.")
                target = scratch / f"{path.stem}-{number}"
                with packed.open(entry) as content, target.open("wb") as file:
                    shutil.copyfileobj(_Counted(content, entry.file_size, path.name), file, 1 << 20)
                found.append((name, target))
    except InputFault:
        raise
    except Exception as broken:  # zipfile and its decompressors raise many kinds
        raise InputFault(f"{path.name}: zip-filen kan ikke læses ({type(broken).__name__}). Pak den igen.") from broken
    return sorted(found)


class _Counted:
    """A reader that stops where an entry gives more than it said, for a zip may lie of its sizes."""

    def __init__(self, content, size: int, name: str) -> None:
        self._content, self._left, self._name = content, size, name

    def read(self, size: int) -> bytes:
        chunk = self._content.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise InputFault(f"{self._name}: zip-filen fylder mere, end den siger. Den er ikke åbnet. Pak den igen.")
        return chunk
