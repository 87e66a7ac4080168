"""Landing places: a folder, a folder on an SFTP server or a prefix of an S3-compatible object store, per source system.

`[landing]` of settings.toml names them by URL; a system without a line has the instance's own folder landing/<system>.
fsspec's file systems read them: sshfs (asyncssh) and s3fs. Nothing is ever written, moved or deleted at a place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from settlement.faults import Fault, InputFault, StateFault
from settlement.instance import Instance

# Seconds a file must lie still before it is whole, where the settings do not say. An object appears when it is whole.
QUIET = {"folder": 2, "sftp": 5, "s3": 0}
MOST_QUIET = 60  # a run waits that long; who needs longer should have the sender put a marker
CONNECT_SECONDS, SILENCE_SECONDS = 10, 60
BLOCK_BYTES = 1 << 22
OPTIONS = {
    "folder": set(), "sftp": {"key_file", "password_env", "known_hosts"},
    "s3": {"endpoint_url", "access_key_env", "secret_key_env"},
}  # fmt: skip


class PlaceFault(StateFault):
    """A landing place that is set wrong or cannot be reached; the sentence names system, place and what to do."""


@dataclass(frozen=True)
class Entry:
    """One file of a place. `version` changes whenever the file is written; `touched` is when that last happened."""

    name: str
    path: str
    size: int
    version: str
    modified: datetime
    touched: datetime


@dataclass(frozen=True)
class Place:
    """Where one system's files lie. `shown` is its URL without the user; `kind` is folder, sftp or s3.

    With `marker` a file is whole when its marker is there, else when it has lain still for `quiet_seconds`.
    """

    system: str
    shown: str
    kind: str
    files: AbstractFileSystem
    root: str
    must_exist: bool
    marker: bool
    quiet_seconds: int

    def entries(self) -> list[Entry]:
        """The files there now, by name; folders below it are not looked into. Raises PlaceFault."""
        with _told(self.system, self.shown, self.kind):
            try:
                listed = self.files.ls(self.root, detail=True)
            except FileNotFoundError:
                if self.must_exist:
                    self._demand_bucket()
                return []
            found = []
            for info in listed:
                if info["type"] == "link" or info.get("islink"):  # listings do not follow links
                    info = self._info(info["name"])
                # A name that ends in a stroke is how object stores show an empty folder.
                if info and info["type"] == "file" and not info["name"].endswith("/"):
                    found.append(self._entry(info))
            return sorted((entry for entry in found if entry), key=lambda entry: entry.name)

    def fetch(self, entry: Entry, target: Path) -> str:
        """Copies a file's bytes to a new local file, a block at a time, and returns their SHA-256; empty where the file has
        changed or gone since it was listed.

        Raises PlaceFault where the place is lost on the way, InputFault where this one file must not be read.
        """
        digest, left = hashlib.sha256(), entry.size
        with _told(self.system, self.shown, self.kind):
            try:
                # Not fsspec's own copying to a file: sshfs would make a link here where the server says there is one.
                with self.files.open(entry.path, "rb", block_size=BLOCK_BYTES) as source, target.open("xb") as copy:
                    while left >= 0 and (block := source.read(BLOCK_BYTES)):
                        copy.write(block)
                        digest.update(block)
                        left -= len(block)
            except _refusals(self.kind) as refused:
                raise InputFault(
                    f"{self.system}: filen {entry.name} i {self.shown} må ikke læses. Giv platformens bruger ret til det."
                ) from refused
            except Exception:
                if self._same(entry):
                    raise
                return ""
            return digest.hexdigest() if left == 0 and self._same(entry) else ""

    def text(self, entry: Entry) -> str:
        """The text of a marker, empty where it is longer than one is. Raises PlaceFault."""
        with _told(self.system, self.shown, self.kind):
            return self.files.cat_file(entry.path).decode("utf-8", "replace") if entry.size <= 4096 else ""

    def _same(self, entry: Entry) -> bool:
        info = self._info(entry.path)
        now = info and self._entry(info)
        return bool(now) and (now.size, now.version) == (entry.size, entry.version)

    def _info(self, path: str) -> dict[str, Any] | None:
        try:
            return self.files.info(path)
        except FileNotFoundError:
            return None

    def _entry(self, info: dict[str, Any]) -> Entry | None:
        path, size = info["name"], info["size"]
        name = path.rpartition("/")[2]
        if self.kind == "s3":
            modified = info["LastModified"].astimezone(UTC)
            return Entry(name, path, size, info["ETag"].strip('"'), modified, modified)
        if self.kind == "sftp":
            if not (modified := info["mtime"]):
                raise PlaceFault(f"{self.system}: {self.shown} oplyser ikke, hvornår filerne er ændret. Brug en anden SFTP-server.")
            return Entry(name, path, size, f"{modified.timestamp():.0f}", modified, modified)
        try:
            stat = os.stat(path)  # to the nanosecond
        except FileNotFoundError:
            return None
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        # A file moved or copied into the folder may keep its time, but its inode is written now.
        touched = max(modified, datetime.fromtimestamp(stat.st_ctime, UTC))
        version = f"{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
        return Entry(name, path, stat.st_size, version, modified, touched)

    def _demand_bucket(self) -> None:
        """A prefix without objects is an empty place; a bucket or folder that is not there is a fault."""
        if self.kind != "s3":
            raise FileNotFoundError(self.root)
        bucket, _, prefix = self.root.partition("/")
        self.files.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/", MaxKeys=1)


def places(instance: Instance, systems: list[str], kinds: tuple[str, ...] = tuple(QUIET)) -> list[Place | PlaceFault]:
    """The landing places of those kinds, a system each, or the fault that keeps one from being read; the others go on."""
    unknown = sorted(set(instance.landing_places) - set(systems))
    opened: list[Place | PlaceFault | None] = [
        PlaceFault(f"[landing] i settings.toml nævner {name}, som ikke er et kildesystem. Brug et af: {', '.join(systems)}.")
        for name in unknown
    ]
    for system in systems:
        try:
            opened.append(_open(instance, system, kinds))
        except PlaceFault as fault:
            opened.append(fault)
    return [place for place in opened if place]


def _open(instance: Instance, system: str, kinds: tuple[str, ...]) -> Place | None:
    written = instance.landing_places.get(system)
    if written is None:
        folder = instance.landing / system
        return Place(system, f"landing/{system}", "folder", LocalFileSystem(), str(folder), False, False, QUIET["folder"])
    options = {"url": written} if isinstance(written, str) else dict(written)
    url = options.pop("url", "")
    parts = urlsplit(url) if isinstance(url, str) else SplitResult("", "", "", "", "")
    kind = {"": "folder", "file": "folder", "sftp": "sftp", "s3": "s3"}.get(parts.scheme)
    if not url or kind is None:
        raise PlaceFault(f"{system}: [landing] i settings.toml skal nævne en mappe, sftp://bruger@vært/mappe eller s3://bucket/sti.")
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    if parts.password:
        raise PlaceFault(
            f"{system}: adressen {shown} i settings.toml har en adgangskode i sig. Slet den, og skriv i password_env, "
            "hvilken miljøvariabel den står i."
        )
    complete, quiet = options.pop("complete", "settled"), options.pop("quiet_seconds", QUIET[kind])
    wrong = [key for key in options if key not in OPTIONS[kind] or not isinstance(options[key], str)]
    if complete not in ("settled", "marker"):
        wrong.append("complete")
    if type(quiet) is not int or not 0 <= quiet <= MOST_QUIET:
        wrong.append("quiet_seconds")
    if wrong:
        raise PlaceFault(
            f"{system}: {', '.join(wrong)} ved {shown} i settings.toml kan ikke bruges. Her kan stå complete = \"settled\" "
            f"eller \"marker\", quiet_seconds = 0–{MOST_QUIET} og {', '.join(sorted(OPTIONS[kind])) or 'ikke mere'}."
        )
    if kind not in kinds:
        return None
    with _told(system, shown, kind):
        if kind == "folder":
            files: AbstractFileSystem = LocalFileSystem()
            root = str(instance.home / Path(parts.path if parts.scheme else url).expanduser())
        elif kind == "sftp":
            files, root = _sftp(instance, system, shown, parts, options), parts.path.rstrip("/") or "/"
        else:
            files, root = _object_store(system, shown, options), f"{parts.netloc}{parts.path}".rstrip("/")
    return Place(system, shown, kind, files, root, True, complete == "marker", quiet)


def _sftp(instance: Instance, system: str, shown: str, parts: SplitResult, options: dict[str, str]) -> AbstractFileSystem:
    """A server whose key is in known_hosts; ssh's own settings, agent and default keys are left out of it."""
    import asyncssh
    from sshfs import SSHFileSystem

    known_hosts = instance.home / Path(options.get("known_hosts", "~/.ssh/known_hosts")).expanduser()
    if not known_hosts.is_file():
        raise PlaceFault(
            f"{system}: {known_hosts} mangler, så serveren bag {shown} kan ikke kendes. Skriv serverens nøgle dér, som "
            "leverandøren oplyser den, eller ret known_hosts under [landing] i settings.toml."
        )
    secret: dict[str, Any] = {"client_keys": None}
    if "key_file" in options:
        key_file = instance.home / Path(options["key_file"]).expanduser()
        try:
            secret["client_keys"] = [asyncssh.read_private_key(key_file)]
        except (OSError, asyncssh.KeyImportError) as broken:
            raise PlaceFault(
                f"{system}: nøglen {key_file} til {shown} kan ikke læses. Læg en privat SSH-nøgle uden kodeord dér, "
                "læsbar for platformen, eller ret key_file i settings.toml."
            ) from broken
    elif "password_env" in options:
        secret["password"] = _from_environment(system, shown, options["password_env"])
    else:
        raise PlaceFault(f"{system}: {shown} mangler key_file eller password_env under [landing.{system}] i settings.toml.")
    return SSHFileSystem(
        parts.hostname, port=parts.port or 22, username=parts.username or "", known_hosts=str(known_hosts), config=None,
        agent_path=None, connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS * 2,
        keepalive_interval=SILENCE_SECONDS // 4, skip_instance_cache=True, **secret,
    )  # fmt: skip


def _object_store(system: str, shown: str, options: dict[str, str]) -> AbstractFileSystem:
    from s3fs import S3FileSystem

    endpoint = options.get("endpoint_url")
    if endpoint and urlsplit(endpoint).scheme != "https" and urlsplit(endpoint).hostname not in ("localhost", "127.0.0.1"):
        raise PlaceFault(f"{system}: endpoint_url for {shown} skal begynde med https://, for filerne har personoplysninger.")
    return S3FileSystem(
        key=_from_environment(system, shown, options.get("access_key_env", "AWS_ACCESS_KEY_ID")),
        secret=_from_environment(system, shown, options.get("secret_key_env", "AWS_SECRET_ACCESS_KEY")),
        endpoint_url=endpoint, use_listings_cache=False, skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS, "read_timeout": SILENCE_SECONDS, "retries": {"max_attempts": 2},
        },
    )  # fmt: skip


def _from_environment(system: str, shown: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise PlaceFault(
            f"{system}: miljøvariablen {variable}, som {shown} skal bruge, er ikke sat. Sæt den, hvor platformen startes."
        )
    return value


@contextmanager
def _told(system: str, shown: str, kind: str) -> Iterator[None]:
    """Turns what the libraries raise about a place into a sentence. Their own texts are not quoted: they may hold more."""
    kinds: tuple[type[Exception], ...] = (OSError, asyncio.TimeoutError)
    strange: tuple[type[Exception], ...] = ()
    if kind == "sftp":
        import asyncssh

        kinds, strange = (*kinds, asyncssh.Error), (asyncssh.HostKeyNotVerifiable,)
    elif kind == "s3":
        from botocore.exceptions import BotoCoreError, ClientError

        kinds = (*kinds, BotoCoreError, ClientError)
    try:
        yield
    except Fault:
        raise
    except strange as broken:
        raise PlaceFault(
            f"{system}: serveren bag {shown} viser en anden nøgle end den, der står i known_hosts. Intet er hentet dér. "
            "Spørg leverandøren, og ret først known_hosts, når den nye nøgle er bekræftet."
        ) from broken
    except _refusals(kind) as broken:
        raise PlaceFault(
            f"{system}: {shown} giver ikke adgang. Kontrollér bruger, nøgle eller adgangskode og retten til at læse dér."
        ) from broken
    except FileNotFoundError as broken:
        raise PlaceFault(
            f"{system}: {shown} findes ikke. Bed leverandøren oprette stedet, eller ret [landing] i settings.toml."
        ) from broken
    except kinds as broken:
        reason = os.strerror(broken.errno) if isinstance(broken, OSError) and broken.errno else type(broken).__name__
        raise PlaceFault(
            f"{system}: {shown} kan ikke nås ({reason}). Filerne dér tages, når der er forbindelse igen; kontrollér adresse "
            "og netværk, hvis det bliver ved."
        ) from broken


def _refusals(kind: str) -> tuple[type[Exception], ...]:
    if kind != "sftp":
        return (PermissionError,)
    import asyncssh

    return PermissionError, asyncssh.PermissionDenied, asyncssh.SFTPPermissionDenied
