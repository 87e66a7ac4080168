"""A PostgreSQL server of the tests' own, from Debian's binaries, and instances whose register lies in it."""

import getpass
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from driver import Platform
from sqlalchemy import create_engine, text

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a running server, without a database's name; stopped and removed after the tests."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with server() as url:
        yield url


@contextmanager
def server():
    """Its databases order text as Danish does, so that an order the register leaves to the database shows."""
    folder = Path(tempfile.mkdtemp(prefix="afregning-pg-"))  # a socket's path is short, pytest's folders are long
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, user = folder / "data", "postgres"
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    _as_owner(
        "initdb", "-D", data, "-U", user, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8",
        "--locale-provider", "icu", "--icu-locale", "da-DK",
    )  # fmt: skip
    _as_owner("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", f"-p {port} -k {folder} -h ''", "start")
    try:
        yield f"postgresql+psycopg://{user}@/{{}}?host={folder}&port={port}"
    finally:
        _as_owner("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _as_owner(program, *arguments):
    """Runs one of the server's programs; the server refuses to run as root."""
    # Debian keeps it where not every PATH looks.
    as_postgres = [shutil.which("runuser") or "/usr/sbin/runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_postgres, BINARIES[-1] / program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, f"{program} as {getpass.getuser()}: {done.stderr}"


_numbers = itertools.count(1)


def new_database(server, template="template1"):
    """The URL of a new database, empty or a copy of another."""
    name = f"register{next(_numbers)}"
    administrator = create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        # A database is copied while nobody uses it; commands run in this process keep their connections a while.
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :template"), {"template": template}
        )
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    administrator.dispose()
    return server.format(name)


@pytest.fixture
def make_platform_on(make_platform, request):
    """A function that gives a fresh instance with its register on one of the two databases, or one after `prepare`."""

    def make(database, prepare=None) -> Platform:
        if database == SQLITE:
            return make_platform(prepare)
        platform = make_platform()
        use_register(platform.home, new_database(request.getfixturevalue("postgres_server")))
        for name in ("anna", "bo"):
            platform.must("user", "add", name, "--role", "controller")
        if prepare:
            prepare(platform)
        return platform

    return make


def use_register(home, url):
    """Points an instance at another register; the settings' only line about it is commented out until then."""
    (home / "register.sqlite").unlink(missing_ok=True)
    path = home / "settings.toml"
    path.write_text(f'register_url = "{url}"\n{path.read_text(encoding="utf-8")}', encoding="utf-8")


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.heavy)])
def either_database(request):
    """Each database; the second time belongs to the heavy part."""
    return request.param


@pytest.fixture
def either_platform(either_database, make_platform_on):
    """A fresh instance, once on each database."""
    return make_platform_on(either_database)
