"""Dagster's log of one run in this process, without the price that Dagster's own takes for each event."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import dagster as dg
import sqlalchemy
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy.engine import Connection, Engine


class KeptEventLog(SqliteEventLogStorage):
    """The same files as Dagster's own storage, which opens two or three connections for each of a run's thousand events and
    compiles its statements anew on each. This keeps one to every file, as long as the run lasts."""

    def __init__(self, base_dir: str, inst_data=None):
        self._kept: dict[str, Engine] = {}
        self._one_at_a_time = Lock()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data, config_value) -> KeptEventLog:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        with self._connection(run_id) as connection:
            yield connection

    @contextmanager
    def index_connection(self) -> Iterator[Connection]:
        with self._connection(INDEX_SHARD_NAME) as connection:
            yield connection

    @contextmanager
    def _connection(self, shard: str) -> Iterator[Connection]:
        if shard not in self._kept:
            with super().run_connection(shard):  # lays the file out
                pass
            self._kept[shard] = sqlalchemy.create_engine(
                self.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            )
        with self._one_at_a_time, self._kept[shard].begin() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()
        for engine in self._kept.values():
            engine.dispose()


@contextmanager
def run_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a home, for one run in this process. Its log does not wait for the disk: it is no truth, as
    the register is, which waits."""
    log = {
        "module": KeptEventLog.__module__, "class": KeptEventLog.__name__,
        "config": {"base_dir": str(home / "history" / "runs")},
    }  # fmt: skip
    held: dict[str, sqlite3.Connection] = {}

    def relax(connection, _) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        place = connection.execute("PRAGMA database_list").fetchone()[2]
        if Path(place).is_relative_to(home):
            connection.execute("PRAGMA synchronous = OFF")
            # SQLite folds its write-ahead log in whenever the last connection closes: one stays open.
            if place not in held:
                held[place] = sqlite3.connect(place, check_same_thread=False)
                held[place].execute("SELECT count(*) FROM sqlite_master").fetchone()

    sqlalchemy.event.listen(Engine, "connect", relax)
    try:
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"event_log_storage": log})) as instance:
            yield instance
    finally:
        sqlalchemy.event.remove(Engine, "connect", relax)
        for connection in held.values():
            connection.close()
