"""The guards as asset checks: SQL row rules, pandera's contracts and Great Expectations' file profiles.

Each judges by the functions that keep their verdicts in the register; booking demands those. dbt's tests are checks of
their own models. Nothing is computed on rows that broke a contract: those checks block what comes after.
"""

from collections.abc import Iterator

import dagster as dg
import duckdb
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ingestion import archive
from ingestion.contract import contracts
from ingestion.quality import canonical_faults, judge_profiles
from orchestration.assets.ingestion import FILE, FILE_COUNT, REFUSED, WARNED
from orchestration.pipeline import judge_unjudged
from orchestration.platform import WRITER, Platform, telling, warehouse_key
from settlement.instance import Instance
from settlement.ledger import gates
from settlement.ledger.models import GateVerdict

WARN = dg.AssetCheckSeverity.WARN


NO_ROW_VANISHES = dg.AssetCheckSpec(
    "no_row_vanishes", asset=FILE_COUNT, blocking=True,
    description="Rows read = accepted + quarantined + not mapped, for every file.",
)  # fmt: skip
NOTHING_QUARANTINED = dg.AssetCheckSpec(
    "nothing_quarantined", asset=REFUSED,
    description="No refused row waits for a corrected one. Only warns: good rows go on without it.",
)  # fmt: skip
NOTHING_WARNED_OF = dg.AssetCheckSpec(
    "nothing_warned_of", asset=WARNED, description="The newest load gave no warnings. Only warns: the rows are used.",
)  # fmt: skip
LIKE_THOSE_BEFORE = dg.AssetCheckSpec(
    "like_those_before", asset=FILE,
    description="Great Expectations: each file's profile is like its earlier deliveries. Stops booking, not the marts.",
)  # fmt: skip
KEEPS_ITS_CONTRACT = {
    table: dg.AssetCheckSpec(
        "keeps_its_contract", asset=warehouse_key("canonical", table), blocking=True,
        description="pandera: types, keys, required columns, choices and periods are as the table's contract says.",
    )
    for table in contracts()
}  # fmt: skip


# One step, so that all verdicts stand in the register before anything after it copies them for the marts.
@dg.multi_asset_check(
    name="gates", pool=WRITER,
    specs=[NO_ROW_VANISHES, NOTHING_QUARANTINED, NOTHING_WARNED_OF, LIKE_THOSE_BEFORE, *KEEPS_ITS_CONTRACT.values()],
)  # fmt: skip
def gates_of_loads(platform: Platform):
    with telling(), platform.warehouse() as con:
        engine = platform.register()
        results = [
            *_row_rules(con),
            *_contracts(con, platform.instance(), engine),
            _profiles(con, platform.instance(), engine),
        ]
    yield from results


def _row_rules(con: duckdb.DuckDBPyConnection) -> Iterator[dg.AssetCheckResult]:
    files, lost = con.execute("""
        SELECT count(*),
            count(*) FILTER (rows_read <> rows_accepted + rows_quarantined + rows_outdated + rows_unmapped OR rows_unmapped < 0)
        FROM quarantine.file_count""").fetchone()
    yield _result(
        NO_ROW_VANISHES, f"{lost} filer har rækker, der ikke er gjort rede for." if lost else "", files=files, lost=lost
    )
    refused = dict(con.execute(
        "SELECT reason, count(*) FROM quarantine.refused WHERE closed_by_load IS NULL GROUP BY ALL ORDER BY 1"
    ).fetchall())  # fmt: skip
    waiting = f"{sum(refused.values())} rækker venter i karantæne på at blive rettet i kilden." if refused else ""
    yield _result(NOTHING_QUARANTINED, waiting, WARN, rows=sum(refused.values()), by_reason=refused)
    warned = dict(con.execute("""
        SELECT warning, count(*) FROM quarantine.warned WHERE load_id = (SELECT max(load_id) FROM raw.load)
        GROUP BY ALL ORDER BY 1""").fetchall())  # fmt: skip
    looked_at = f"Den seneste indlæsning gav {sum(warned.values())} advarsler." if warned else ""
    yield _result(NOTHING_WARNED_OF, looked_at, WARN, rows=sum(warned.values()), by_warning=warned)


def _contracts(con, instance: Instance, engine: Engine) -> Iterator[dg.AssetCheckResult]:
    judged = judge_unjudged(con, instance, engine)
    red = _red_loads(engine, gates.CANONICAL)
    faults = [sentence for load_id in red for sentence in canonical_faults(con, load_id)]
    for table, spec in KEEPS_ITS_CONTRACT.items():
        # Each of the gate's sentences begins with the table it is about.
        own = [sentence for sentence in faults if sentence.startswith(f"Tabellen {table},")]
        yield _result(spec, " ".join(own), loads_judged_now=len(judged))


def _profiles(con, instance: Instance, engine: Engine) -> dg.AssetCheckResult:
    with Session(engine) as session:
        verdict = GateVerdict.verdict
        judged = set(session.scalars(
            select(GateVerdict.load_id).where(GateVerdict.gate == gates.PROFILE, verdict != gates.PENDING)
        ))  # fmt: skip
    received = {load.load_id for load in archive.loads(instance) if load.systems != [archive.LOADER]}
    # Where Great Expectations itself fails it raises, so that the step fails and no file is called bad.
    judge_profiles(con, instance, engine, sorted(received - judged))
    faults = [f"Indlæsning {load_id}: {detail}" for load_id, detail in _red_loads(engine, gates.PROFILE).items()]
    return _result(LIKE_THOSE_BEFORE, " ".join(faults), loads_judged_now=len(received - judged), loads=len(received))


def _red_loads(engine: Engine, gate: str) -> dict[int, str]:
    """The newest verdict's detail of each load that the gate is red for."""
    with Session(engine) as session:
        verdicts = session.scalars(select(GateVerdict).where(GateVerdict.gate == gate).order_by(GateVerdict.verdict_id))
        newest = {verdict.load_id: verdict for verdict in verdicts}
        return {load_id: v.detail for load_id, v in newest.items() if v.verdict != gates.GREEN}


def _result(
    spec: dg.AssetCheckSpec, fault: str, severity=dg.AssetCheckSeverity.ERROR, **metadata
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=spec.asset_key, check_name=spec.name, passed=not fault, severity=severity, metadata=metadata,
        description=fault or "Alt er, som det skal være.",
    )  # fmt: skip
