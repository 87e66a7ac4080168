"""`afregning up`: the Dagster UI with its daemon, the same for auditors, who can change nothing, and the dashboards; on this
machine only, until it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from orchestration.pipeline import DBT_PROJECT
from orchestration.runner import dagster_home
from settlement.faults import StateFault
from settlement.instance import Instance

ROOT = DBT_PROJECT.parent
HOST = "127.0.0.1"
SECONDS_TO_START, SECONDS_TO_STOP = 180, 15


def serve(instance: Instance, dagster_port: int, dashboard_port: int, auditor_port: int) -> int:
    """Starts them, prints their addresses when they answer, and waits; Ctrl-C or SIGTERM ends all that was started.

    Raises StateFault where a port is taken, or where one of them does not start or stops by itself.
    """
    from orchestration.dbt_build import prepare_manifest

    options = {"--dagster-port": dagster_port, "--auditor-port": auditor_port, "--dashboard-port": dashboard_port}
    for option, port in options.items():
        if _answers(port):
            raise StateFault(f"Port {port} er optaget. Vælg en anden med {option}.")
    prepare_manifest()
    logs = instance.home / "logs"
    logs.mkdir(exist_ok=True)
    services = {
        "Dagster": (dagster_port, "/server_info", [
            "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-h", HOST, "-p", str(dagster_port),
        ]),
        "Dagster for revisorer": (auditor_port, "/server_info", auditor_command(auditor_port)),
        "Dashboards": (dashboard_port, "/_stcore/health", [
            "streamlit", "run", str(ROOT / "dashboards" / "app.py"), "--server.port", str(dashboard_port),
            "--server.address", HOST, "--server.headless", "true",
        ]),
    }  # fmt: skip
    started: dict[str, subprocess.Popen] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        for name, (_, _, command) in services.items():
            started[name] = _start(command, instance, _log(logs, name))
        for name, (port, path, _) in services.items():
            _wait_for(name, started[name], f"http://{HOST}:{port}{path}", logs)
            print(f"{name}: http://{HOST}:{port}", flush=True)
        print("Stop med Ctrl-C.", flush=True)
        while True:
            for name, process in started.items():
                _demand_alive(name, process, logs)
            time.sleep(1)
    except _Stopped:
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end(list(started.values()))


def auditor_command(port: int) -> list[str]:
    """The webserver that refuses every change, beside the daemon that runs what the other webserver asks for."""
    workspace = str(ROOT / "workspace.yaml")
    return ["dagster_webserver", "--read-only", "-w", workspace, "-h", HOST, "-p", str(port)]


def _log(logs: Path, name: str) -> Path:
    return logs / f"{name.lower().replace(' ', '-')}.log"


class _Stopped(Exception):
    """Somebody asked for the end."""


def _stop(number, frame) -> None:
    raise _Stopped


def _start(command: list[str], instance: Instance, log: Path) -> subprocess.Popen:
    environment = os.environ | {"AFREGNING_HOME": str(instance.home), "DAGSTER_HOME": str(dagster_home(instance))}
    with log.open("w", encoding="utf-8") as out:
        # Streamlit finds its settings (.streamlit) where it is started; both import the platform from the root.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        where = ROOT / "dashboards" if command[0] == "streamlit" else ROOT
        return subprocess.Popen(
            [sys.executable, "-m", *command], cwd=where, env=environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def _wait_for(name: str, process: subprocess.Popen, address: str, logs: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        _demand_alive(name, process, logs)
        try:
            with urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.3)
    raise StateFault(f"{name} svarer ikke efter {SECONDS_TO_START} sekunder. Se {_log(logs, name)}.")


def _demand_alive(name: str, process: subprocess.Popen, logs: Path) -> None:
    if process.poll() is not None:
        raise StateFault(f"{name} er stoppet af sig selv. Se hvorfor i {_log(logs, name)}.")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _end(processes: list[subprocess.Popen]) -> None:
    """Ends the processes and all they started, kindly first; each leads its own process group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + SECONDS_TO_STOP
        while time.monotonic() < deadline:
            if not any(_group_lives(process) for process in processes):
                return
            time.sleep(0.1)


def _group_lives(process: subprocess.Popen) -> bool:
    process.poll()  # takes the leader's exit status, so that it is no longer a member
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
