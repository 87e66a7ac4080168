"""A backup holds all that cannot be derived, and its restore goes on where the instance was."""

import shutil
import tarfile

import pytest
from postgres import new_database
from worlds import World

from settlement.instance import open_instance
from settlement.ledger.backup import backup
from settlement.ledger.register import open_register

pytestmark = pytest.mark.heavy


@pytest.fixture
def booked(platform):
    for files in World(5, lines=60, events=1, faulty=False).loads:
        platform.load(files)
        platform.settle("mellemkommunal", "2024-06", "2024-07-05", book=True)
        platform.settle("intern", "2024-06", "2024-07-05")
    return platform


def restored(booked, make_platform, file):
    other = make_platform()
    shutil.rmtree(other.home)
    screen = other.must("restore", file)
    assert "rækker i registeret" in screen
    return other


def test_restore_goes_on_where_the_instance_was(booked, make_platform, tmp_path):
    file = tmp_path / "kopi.tar"
    booked.must("backup", file)
    assert file.stat().st_mode & 0o077 == 0
    other = restored(booked, make_platform, file)
    other.must("verify")
    assert other.lines() == booked.lines() and len(booked.lines()) > 30
    assert sorted(p.name for p in (other.home / "outbox" / "1").iterdir()) == sorted(
        p.name for p in (booked.home / "outbox" / "1").iterdir()
    )
    assert other.settle("mellemkommunal", "2024-06", "2024-08-05") == []
    assert other.exceptions() == booked.exceptions()
    other.must("reproduce", 1)
    other.settle("intern", "2024-06", "2024-08-05", book=True)
    other.must("verify")


def test_a_backup_taken_while_a_run_is_booked_is_whole(booked, make_platform, tmp_path, monkeypatch):
    """A run booked after the heads are read and before the archive is: the backup has either all of it or nothing."""
    from settlement.ledger import backup as module

    def booking_meanwhile():
        booked.settle("intern", "2024-06", "2024-07-05", book=True)
        return tables()

    tables = module._tables
    monkeypatch.setattr(module, "_tables", booking_meanwhile)
    instance = open_instance(booked.home)
    backup(instance, open_register(instance), tmp_path / "kopi.tar")
    monkeypatch.undo()
    other = restored(booked, make_platform, tmp_path / "kopi.tar")
    other.must("verify")
    assert other.lines() == booked.lines()


def test_a_restore_moves_the_register_to_postgresql(booked, make_platform, tmp_path, postgres_server):
    booked.must("backup", tmp_path / "kopi.tar")
    other = make_platform()
    shutil.rmtree(other.home)
    other.must("restore", tmp_path / "kopi.tar", "--register", new_database(postgres_server))
    other.must("verify")
    assert other.lines() == booked.lines()
    other.settle("intern", "2024-06", "2024-08-05", book=True)
    other.must("verify")
    assert len(other.lines()) > len(booked.lines())


def test_nothing_is_overwritten(booked, tmp_path):
    file = tmp_path / "kopi.tar"
    booked.must("backup", file)
    assert booked.run("backup", file)[0] == 1
    code, screen = booked.run("restore", file)
    assert code == 1 and "allerede en instans" in screen


def test_what_is_no_backup_is_told(make_platform, tmp_path):
    other = make_platform()
    shutil.rmtree(other.home)
    (tmp_path / "noget.tar").write_text("ingen kopi")
    code, screen = other.run("restore", tmp_path / "noget.tar")
    assert code == 1 and "kan ikke læses som sikkerhedskopi" in screen


def test_a_restore_that_fails_leaves_no_instance(booked, make_platform, tmp_path, postgres_server):
    """Into a register with rows, or from half a file: the folder has no settings, and the next try is free to go."""
    file = tmp_path / "kopi.tar"
    booked.must("backup", file)
    other = make_platform()
    shutil.rmtree(other.home)
    url = new_database(postgres_server)
    other.must("restore", file, "--register", url)
    third = make_platform()
    shutil.rmtree(third.home)
    half = tmp_path / "halv.tar"
    half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for arguments, sentence in (
        ((file, "--register", url), "Registeret er ikke tomt"), ((half,), str(half)),
        ((file, "--register", "postgres://x"), "register_url i settings.toml kan ikke bruges"),
    ):  # fmt: skip
        code, screen = third.run("restore", *arguments)
        assert code == 1 and sentence in screen and not (third.home / "settings.toml").exists(), screen
    third.must("restore", file)
    third.must("verify")
    other.must("verify")


def test_a_backup_of_an_earlier_version_is_migrated(booked, make_platform, tmp_path):
    """One from before the version was kept: the tables that came later are empty."""
    file, older = tmp_path / "kopi.tar", tmp_path / "ældre.tar"
    booked.must("backup", file)
    with tarfile.open(file) as tar, tarfile.open(older, "w") as kept:
        for entry in tar.getmembers():
            if entry.name not in ("register_version", "register/invoice_return.parquet"):
                kept.addfile(entry, tar.extractfile(entry))
    other = restored(booked, make_platform, older)
    other.must("verify")
    assert other.lines() == booked.lines()
