"""Reading the published marts. One `Published` is one attached copy: all its tables come from one build."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from settlement.instance import Instance

MARTS = "afregning.duckdb"
PERSONS = "afregning_person.duckdb"

Row = dict[str, Any]


@dataclass(frozen=True)
class Build:
    """Which build the figures come from, when it was made and through which delivery month it settles."""

    build_id: str
    built_at: str
    horizon: date


class Published:
    """The marts without persons, as published when this object was made.

    A later publication replaces the file under its name; this copy stays what it was. Rows come as dicts with
    Decimal kroner, and are cached per build.
    """

    def __init__(self, path: Path):
        self._path = path
        self._con = _attach(path)

    @cached_property
    def build(self) -> Build:
        build_id, built_at, horizon = self._con.execute(
            "SELECT build_id, built_at, horizon FROM marts.build"
        ).fetchone()
        return Build(str(build_id), str(built_at), horizon)

    def rows(self, sql: str, **parameters) -> list[Row]:
        """The answer to one SELECT over schema `marts`; parameters are named `$name`."""
        return _cached(self._con, str(self._path), self.build.build_id, self.build.built_at, sql, parameters)

    def row(self, sql: str, **parameters) -> Row:
        """The one row of an aggregate."""
        return self.rows(sql, **parameters)[0]

    @cached_property
    def closed_through(self) -> date | None:
        """The last delivery month whose postings are complete, so that its expected cost is what was spent."""
        return self.row(
            """SELECT max(month) AS month FROM (
                SELECT month FROM marts.budget_follow_up GROUP BY month
                HAVING sum(actual_dkk) <> 0 AND bool_and(expected_dkk = actual_dkk))"""
        )["month"]

    def values(self, sql: str, **parameters) -> list:
        """The first column of the answer."""
        return [next(iter(row.values())) for row in self.rows(sql, **parameters)]


class PublishedPersons:
    """The marts with persons. Nothing read here is ever cached."""

    def __init__(self, path: Path):
        self._con = _attach(path)

    def rows(self, sql: str, **parameters) -> list[Row]:
        """The answer to one SELECT over schema `marts_person`; parameters are named `$name`."""
        return _fetch(self._con, sql, parameters)


def open_published(instance: Instance) -> Published | None:
    """The newest publication, None where nothing is published yet."""
    path = instance.published / MARTS
    return Published(path) if path.exists() else None


def open_persons(instance: Instance) -> PublishedPersons | None:
    """The newest publication with persons, None where nothing is published yet."""
    path = instance.published / PERSONS
    return PublishedPersons(path) if path.exists() else None


def _attach(path: Path) -> duckdb.DuckDBPyConnection:
    # A plain connect() to a file that is open elsewhere in the process gives its old content; an ATTACH does not.
    con = duckdb.connect(":memory:")
    quoted = str(path).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS published (READ_ONLY)")
    con.execute("USE published")
    return con


def _fetch(con: duckdb.DuckDBPyConnection, sql: str, parameters: dict) -> list[Row]:
    cursor = con.execute(sql, parameters or None)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@st.cache_data(max_entries=500, show_spinner=False)
def _cached(_con, path: str, build_id: str, built_at: str, sql: str, parameters: dict) -> list[Row]:
    return _fetch(_con, sql, parameters)
