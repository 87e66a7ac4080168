"""Dagster's log of one run in this process, without the price that Dagster's own takes for each event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock

import dagster as dg
import sqlalchemy
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy.engine import Connection, Engine


class KeptEventLog(SqliteEventLogStorage):
    """The same files as Dagster's own storage, which opens two or three connections for each of a run's thousand events and
    compiles its statements anew on each. This keeps one to every file, as long as the run lasts, and does not wait for the
    disk: the log is no truth, as the register is, which waits."""

    def __init__(self, base_dir: str, inst_data=None):
        self._kept: dict[str, Engine] = {}
        self._one_at_a_time = Lock()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data, config_value) -> KeptEventLog:
        return cls(inst_data=inst_data, **config_value)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        return self._connection(run_id)

    def index_connection(self) -> AbstractContextManager[Connection]:
        return self._connection(INDEX_SHARD_NAME)

    @contextmanager
    def _connection(self, shard: str) -> Iterator[Connection]:
        with self._one_at_a_time:
            if shard not in self._kept:
                with super().run_connection(shard):  # lays the file out
                    pass
                self._kept[shard] = sqlalchemy.create_engine(
                    self.conn_string_for_shard(shard), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
                )
                sqlalchemy.event.listen(self._kept[shard], "connect", _hurry)
            with self._kept[shard].begin() as connection:
                yield connection

    def dispose(self) -> None:
        super().dispose()
        for engine in self._kept.values():
            engine.dispose()


def _hurry(connection, _) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def run_instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance of a home, for one run in this process. A log that its dagster.yaml keeps elsewhere is used as it is."""
    written, _ = dagster_instance_config(str(home))
    kept = {
        "module": KeptEventLog.__module__, "class": KeptEventLog.__name__,
        "config": {"base_dir": str(home / "history" / "runs")},
    }  # fmt: skip
    overrides = None if {"storage", "event_log_storage"} & set(written) else {"event_log_storage": kept}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
