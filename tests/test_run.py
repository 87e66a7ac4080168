"""`afregning run` as a person meets it: what it prints, its exit codes, and that readers never notice it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.request import urlopen

import duckdb
import pytest
from sqlalchemy import text

from settlement.instance import open_instance
from settlement.ledger.register import open_register

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A demo of 1,000 citizens after its first run, with what that run printed."""
    home = tmp_path_factory.mktemp("run") / "instance"
    afregning(home, "new", "--with-demo-users")
    afregning(home, "demo", "--population", "1000", "--months", "4", "--until", "2024-06")
    return home, afregning(home, "run")


@pytest.fixture
def home(run_once, tmp_path):
    return Path(shutil.copytree(run_once[0], tmp_path / "instance", symlinks=True))


def afregning(home, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT, env=os.environ | {"AFREGNING_HOME": str(home)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_first_run_tells_deliveries_proposals_and_publication(run_once):
    home, done = run_once
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        loads = con.execute(
            "SELECT dated, count(*), sum(rows_read), sum(rows_accepted), sum(rows_quarantined) FROM raw.load "
            "JOIN quarantine.file_count USING (load_id) GROUP BY load_id, dated ORDER BY load_id"
        ).fetchall()
    assert len(loads) == 2
    for dated, files, read, accepted, quarantined in loads:
        counts = f"{files} filer, {read} rækker læst = {accepted} modtaget + {quarantined} i karantæne"
        assert f"Levering {dated:%d-%m-%Y}: {counts}" in done.stdout
    assert "Mellemkommunal afregning, bagud" in done.stdout and " linjer, " in done.stdout
    assert f"Marts er udgivet i {home / 'published'}" in done.stdout
    assert "Intet nyt at afregne." not in done.stdout
    assert "Traceback" not in done.stderr and "dagster" not in done.stderr.replace("Starter Dagster", "")


def test_run_shows_in_dagster(run_once):
    import dagster as dg

    with dg.DagsterInstance.from_config(str(run_once[0] / "dagster")) as instance:
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS and run.job_name == "pipeline"
        assert instance.get_latest_materialization_event(dg.AssetKey(["published", "marts", "build"]))


def test_an_unreadable_file_and_an_odd_profile_are_told_and_the_rest_goes_on(home):
    (home / "landing" / "opus" / "opus_gaadefuld_2024-07-31.csv").write_text("a;b\n1;2\n")
    with open_register(open_instance(home)).begin() as register:
        # The newest verdict counts; earlier ones are never taken back.
        register.execute(text(
            "INSERT INTO gate_verdict (verdict_id, load_id, scope, gate, input_version, rules_version, verdict, detail, judged_at) "
            "SELECT (SELECT max(verdict_id) + 1 FROM gate_verdict), load_id, scope, gate, input_version, rules_version, 'rød', "
            "'Skrumpet.', judged_at FROM gate_verdict WHERE gate = 'profil' AND load_id = 2 ORDER BY verdict_id DESC LIMIT 1"
        ))  # fmt: skip
    before = build_id(home)
    done = afregning(home, "run")
    assert done.returncode == 1
    assert "FEJL: opus_gaadefuld_2024-07-31.csv: " in done.stderr
    assert "FEJL: Indlæsning 2: Skrumpet." in done.stderr
    assert build_id(home) != before  # the rest went on


def test_a_busy_warehouse_is_told_in_one_sentence(home):
    with duckdb.connect(str(home / "warehouse.duckdb")):
        done = afregning(home, "run")
    assert done.returncode == 1
    assert done.stderr.count("FEJL: ") == 1
    assert "FEJL: Datalageret bruges af en anden kørsel netop nu." in done.stderr


def test_a_lost_row_stops_the_run(home):
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute(
            "UPDATE quarantine.file_count SET rows_accepted = rows_accepted - 1 WHERE load_id = 1 AND rows_read > 1"
        )
    before = build_id(home)
    done = afregning(home, "run")
    assert done.returncode == 1
    assert "filer har rækker, der ikke er gjort rede for." in done.stderr
    assert build_id(home) == before  # what broke a gate is not published


def test_a_failed_test_of_a_mart_stops_its_publication(home):
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("UPDATE quarantine.refused SET message = 'Cpr 010190-1234 er ukendt.'")
    before = build_id(home)
    done = afregning(home, "run")
    assert done.returncode == 1
    assert "FEJL: Kontrollen marts_name_no_person" in done.stderr
    assert "010190" not in done.stderr + done.stdout
    assert build_id(home) == before


def build_id(home):
    with duckdb.connect(str(home / "published" / "afregning.duckdb"), read_only=True) as con:
        return con.execute("SELECT build_id FROM marts.build").fetchone()[0]


READER = """
    import sys, time, duckdb
    from pathlib import Path
    published, stop = Path(sys.argv[1]), Path(sys.argv[2])
    builds, reads, tables = set(), 0, None
    while not stop.exists() or reads == 0:
        con = duckdb.connect(":memory:")
        con.execute(f"ATTACH '{published / 'afregning.duckdb'}' AS m (READ_ONLY)")
        found = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'm'").fetchall()
        tables = [table for (table,) in found]
        ids = {i for t in tables for (i,) in con.execute(f"SELECT DISTINCT build_id FROM m.marts.{t}").fetchall()}
        assert len(ids) == 1, ids
        build = (published / "parquet" / "current").resolve()
        ids_of_files = {
            i for path in sorted((build / "marts").glob("*.parquet"))
            for (i,) in con.execute(f"SELECT DISTINCT build_id FROM read_parquet('{path}')").fetchall()
        }
        assert ids_of_files == {build.name}, (ids_of_files, build.name)
        con.close()
        builds |= ids
        reads += 1
        print(reads, len(tables), *sorted(builds), flush=True)
        time.sleep(0.02)
"""


def test_second_run_finds_nothing_new_and_no_reader_notices_it(home, tmp_path):
    before, stop = build_id(home), tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READER), str(home / "published"), str(stop)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        done = afregning(home, "run")
    finally:
        time.sleep(1)
        stop.touch()
        out, err = reader.communicate(timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ingen nye filer." in done.stdout
    assert "Uændret siden sidste kørsel" in done.stdout
    assert done.stdout.splitlines()[-2] == "Intet nyt at afregne."
    assert reader.returncode == 0, err
    reads, tables, *builds = out.splitlines()[-1].split()
    assert int(reads) > 20 and int(tables) >= 11
    assert set(builds) == {before, build_id(home)} and len(builds) == 2  # it read on both sides of the swap


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_up_serves_both_and_ends_all_it_started(home):
    ports = free_port(), free_port(), free_port()
    up = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "up", "--dagster-port", str(ports[0]),
         "--dashboard-port", str(ports[1]), "--auditor-port", str(ports[2])],
        cwd=ROOT, env=os.environ | {"AFREGNING_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        told = [up.stdout.readline() for _ in range(4)]
        assert told[0] == f"Dagster: http://127.0.0.1:{ports[0]}\n", up.stderr.read() if up.poll() is not None else told
        assert told[1] == f"Dagster for revisorer: http://127.0.0.1:{ports[2]}\n"
        assert told[2] == f"Dashboards: http://127.0.0.1:{ports[1]}\n"
        assert b"dagster_version" in urlopen(f"http://127.0.0.1:{ports[0]}/server_info").read()
        assert b"dagster_version" in urlopen(f"http://127.0.0.1:{ports[2]}/server_info").read()
        assert urlopen(f"http://127.0.0.1:{ports[1]}/").status == 200
        second = afregning(home, "up", "--dagster-port", str(ports[0]), "--dashboard-port", str(ports[1]))
        assert second.returncode == 1 and f"Port {ports[0]} er optaget" in second.stderr
        started = of_instance(home)
        assert len(started) >= 6  # web server, daemon, the auditors' web server, code location of each, dashboards
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(timeout=90)
    assert up.returncode == 0
    assert of_instance(home) == []


def of_instance(home):
    """Processes whose environment names the instance."""
    wanted, found = f"AFREGNING_HOME={home}\0".encode(), []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and wanted in (process / "environ").read_bytes() + b"\0":
                found.append(process.name)
        except (OSError, PermissionError):
            continue
    return found
