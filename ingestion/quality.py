"""The gates' verdicts on a load: its rows, the canonical tables it changed, and the profile of its files.

The row gate has already judged in SQL; pandera checks the canonical rows as the code receives them, in chunks;
Great Expectations judges a profile of each received file and writes the data docs an auditor opens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date

import duckdb
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ingestion import archive
from ingestion.contract import Contract, contracts
from ingestion.gate import RULES_VERSION
from settlement.faults import StateFault
from settlement.instance import Instance
from settlement.ledger import gates
from settlement.ledger.register import writing
from settlement.reference import parameter

VECTORS_PER_CHUNK = 50  # of 2,048 rows each: bounded memory whatever the table's size


def judge_loads(con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, load_ids: list[int]) -> None:
    """Keeps the verdicts of the row gate and the canonical gate on each load."""
    received = {load.load_id: load for load in archive.loads(instance)}
    for load_id in load_ids:
        judged = [(gates.ROWS, _rows_fault(con, load_id)), (gates.CANONICAL, next(canonical_faults(con, load_id), ""))]
        with writing(engine) as session:
            for gate, fault in judged:
                _record(session, received[load_id], gate, fault)
            # The delivery of a source system also awaits the judgement of its files' profile.
            if _from_systems(received[load_id]) and (load_id, gates.PROFILE) not in gates.newest_verdicts(session):
                _record(session, received[load_id], gates.PROFILE, "Filernes profil er ikke bedømt endnu.", gates.PENDING)


def _from_systems(load: archive.Load) -> bool:
    return any(system != archive.LOADER for system in load.systems)


def _record(session: Session, load: archive.Load, gate: str, fault: str, verdict: str = "") -> None:
    gates.record_verdict(
        session, load_id=load.load_id, scope=", ".join(load.systems), gate=gate, input_version=input_version(load),
        rules_version=RULES_VERSION, verdict=verdict or (gates.RED if fault else gates.GREEN),
        detail=fault or "Alt er, som det skal være.",
    )  # fmt: skip


def input_version(load: archive.Load) -> str:
    """The version of a load's content: a hash over its files' hashes."""
    return hashlib.sha256("".join(sorted(f.sha256 for f in load.files)).encode()).hexdigest()


def _rows_fault(con, load_id: int) -> str:
    """Every row read is accepted, quarantined or not mapped: nothing vanishes."""
    lost = con.execute(
        "SELECT name FROM quarantine.file_count WHERE load_id = ? "
        "AND (rows_read <> rows_accepted + rows_quarantined + rows_outdated + rows_unmapped OR rows_unmapped < 0)", [load_id],
    ).fetchone()  # fmt: skip
    return f"{lost[0]}: læste rækker er ikke modtagne plus rækker i karantæne." if lost else ""


def canonical_faults(con: duckdb.DuckDBPyConnection, load_id: int) -> Iterator[str]:
    """A sentence per canonical table whose rows of this load break its contract; no values are shown."""
    from pandera.errors import SchemaErrors

    changed = set(con.execute(" UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (FROM canonical.{table} WHERE load_id = {load_id})" for table in contracts()
    )).fetchall())  # fmt: skip
    for contract in contracts().values():
        if (contract.table,) not in changed:
            continue
        columns = ", ".join(contract.names)
        schema = canonical_schema(contract)
        cursor = con.cursor()
        cursor.execute(f"SELECT {columns} FROM canonical.{contract.table} WHERE load_id = {load_id} AND NOT withdrawn")
        while len(chunk := cursor.fetch_df_chunk(VECTORS_PER_CHUNK)):
            try:
                schema.validate(chunk, lazy=True)
            except SchemaErrors as broken:
                first = broken.failure_cases.iloc[0]
                yield f"Tabellen {contract.table}, kolonnen {first['column']}: bryder kontrakten ({first['check']})."
                break


def canonical_schema(contract: Contract):
    """The pandera schema of a canonical table, from its contract."""
    import pandera.pandas as pa

    def checks(column):
        if column.choices:
            yield pa.Check.isin(column.choices)
        if column.type in ("money", "quantity", "percent", "integer"):
            yield pa.Check.ge(0)
        if column.type == "account":
            yield pa.Check.str_matches(r"^\d{5,16}$")
        if column.type == "cpr":
            yield pa.Check.str_matches(r"^\d{10}$")

    columns = {
        c.name: pa.Column(
            checks=list(checks(c)),
            nullable=not (c.required or (c.name in contract.key and not c.may_be_empty)),
            coerce=False,
        )
        for c in contract.columns
    }
    period = []
    if contract.period:
        start, end = contract.period
        period.append(
            pa.Check(
                lambda rows: rows[end].isna() | (rows[end] >= rows[start]), name="slut_ikke_før_start", ignore_na=False
            )
        )
    return pa.DataFrameSchema(columns, checks=period, unique=list(contract.key), strict=True)


def profile(con: duckdb.DuckDBPyConnection, instance: Instance, load_id: int, fewest: int):
    """One row per file of a load, as a DataFrame: counts, and shares in per cent.

    `karantaene_pct` is empty for a file of few rows, where a share says nothing. A whole extract that lost rows is held
    before it is taken in (`receiving.receive`).
    """
    frame = con.execute(
        """
        WITH file AS (
            SELECT f.load_id, f.name, f.system, f.dataset, c.rows_read, c.rows_accepted, c.rows_quarantined, c.rows_outdated,
                c.rows_unmapped, len(f.unknown_columns) AS unknown_columns
            FROM raw.file f JOIN quarantine.file_count c USING (load_id, file_hash, name)
        )
        SELECT name AS fil, rows_read AS raekker, rows_accepted AS modtaget, rows_quarantined AS karantaene,
            rows_read - rows_accepted - rows_quarantined - rows_outdated - rows_unmapped AS forsvundet,
            round(100.0 * rows_quarantined / greatest(rows_read, 1), 2) AS karantaene_pct,
            unknown_columns AS ukendte_kolonner
        FROM file WHERE load_id = ? AND system <> ? ORDER BY name""",
        [load_id, archive.LOADER],
    ).df()
    frame["karantaene_pct"] = frame["karantaene_pct"].where(frame["raekker"] >= fewest)
    return frame


def judge_profiles(
    con: duckdb.DuckDBPyConnection, instance: Instance, engine: Engine, load_ids: list[int]
) -> dict[int, str]:
    """Judges the file profiles of loads with Great Expectations, keeps the verdicts and writes the data docs.

    Returns the fault by load ('' where green). Only deliveries of source systems are judged: a folder that a person
    hands in has no earlier delivery to be like. Raises StateFault where Great Expectations itself fails.
    """
    received = {load.load_id: load for load in archive.loads(instance)}
    judged = [n for n in load_ids if _from_systems(received[n])]
    if not judged:
        return {}
    dated = {n: date.fromisoformat(received[n].dated) for n in judged}
    profiles = {n: profile(con, instance, n, parameter("gate_rows_fewest", dated[n])) for n in judged}
    faults = _expect(instance, profiles, dated)
    with writing(engine) as session:
        for load_id, fault in faults.items():
            _record(session, received[load_id], gates.PROFILE, fault)
    return faults


def _expect(instance: Instance, profiles: dict, dated: dict[int, date]) -> dict[int, str]:
    import great_expectations as gx
    from great_expectations import expectations as gxe

    context = gx.get_context(mode="file", project_root_dir=instance.home / "quality")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_or_update_pandas("leveringer")
    asset = source.add_dataframe_asset("filprofiler")
    batch = asset.add_batch_definition_whole_dataframe("levering")
    faults = {}
    for load_id, frame in profiles.items():
        suite = gx.ExpectationSuite(name=f"levering-{load_id}")
        for column, highest in (
            ("forsvundet", 0),
            ("karantaene_pct", parameter("gate_rows_quarantined_pct", dated[load_id])),
        ):
            suite.add_expectation(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=highest))
        suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column="fil"))
        suite.add_expectation(gxe.ExpectColumnValuesToBeBetween(column="raekker", min_value=0))
        suite = context.suites.add_or_update(suite)
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=f"levering-{load_id}", data=batch, suite=suite)
        )
        outcome = definition.run(batch_parameters={"dataframe": frame})
        faults[load_id] = _profile_fault(frame, outcome)
    context.build_data_docs()
    return faults


def _profile_fault(frame, outcome) -> str:
    for result in outcome.results:
        raised = json.dumps(result.exception_info, default=str)
        if '"raised_exception": true' in raised:
            raise StateFault(f"Great Expectations kunne ikke bedømme profilen: {result.expectation_config.type}.")
        if not result.success:
            column = result.expectation_config.kwargs["column"]
            limit = result.expectation_config.kwargs.get("max_value")
            worst = frame.loc[
                frame[column].fillna(-1).astype(float).idxmax() if limit is not None else frame[column].idxmin()
            ]
            bound = f"højst {limit}" if limit is not None else "mindst 1"
            return f"{worst['fil']}: {column} er {worst[column]}, og må være {bound}."
    return ""
