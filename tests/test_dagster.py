"""The code location: it loads without an instance, says what everything is, and its gates and automation work."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pytest

from ingestion.contract import contracts
from orchestration import dbt_build
from orchestration.assets.ingestion import landing_specs
from orchestration.assets.settlement import BOOKED
from orchestration.column_lineage import OF_EVERY_ROW
from orchestration.definitions import defs
from orchestration.platform import Platform, telling, warehouse_key
from orchestration.runner import dagster_home
from settlement.faults import StateFault
from settlement.instance import open_instance

ROOT = Path(__file__).resolve().parent.parent
GRAPH = defs.resolve_asset_graph()


def run(job, home, today=date(2024, 7, 10), **options):
    """A job on an instance as the Dagster daemon would run it, failures kept in the result."""
    home = Path(home)
    with dg.DagsterInstance.from_config(str(dagster_home(open_instance(home)))) as instance:
        config = {
            "loggers": {"sentences": {}},
            "resources": {"platform": {"config": {"home": str(home), "today": today.isoformat()}}},
        }
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, run_config=config, raise_on_error=False, **options
        )


def checks(result):
    return {(c.asset_key.path[-1], c.check_name): c for c in result.get_asset_check_evaluations()}


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """A demo of 1,000 citizens, its files still in landing; never written to by a test."""
    from orchestration.cli import main

    home = tmp_path_factory.mktemp("dagster") / "instance"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AFREGNING_HOME", str(home))
        assert main(["new"]) == 0
        assert main(["demo", "--population", "1000", "--months", "4", "--until", "2024-06"]) == 0
    for path in (home / "landing").rglob("*.*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return home


@pytest.fixture(scope="module")
def delivered(landed, tmp_path_factory):
    """The demo after the job `deliveries`, beside a file nobody can read, and that run's result."""
    home = Path(shutil.copytree(landed, tmp_path_factory.mktemp("delivered") / "instance"))
    (home / "landing" / "opus" / "opus_gaadefuld_2024-06-30.csv").write_text("a;b\n1;2\n")
    return home, run("deliveries", home)


@pytest.fixture
def home(delivered, tmp_path):
    return Path(shutil.copytree(delivered[0], tmp_path / "instance", symlinks=True))


def test_definitions_are_valid_without_an_instance(tmp_path):
    environment = os.environ | {"AFREGNING_HOME": str(tmp_path / "none"), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Validation successful for code location afregning" in done.stderr + done.stdout


def test_every_asset_says_what_it_is():
    for key in GRAPH.get_all_asset_keys():
        node = GRAPH.get(key)
        assert len(key.path) == 3, key
        assert node.owners and node.group_name != "default" and node.kinds, key
        if key.path[0] == "canonical":
            assert contracts()[key.path[-1]].grain.lower() in node.description.lower()
        else:
            assert node.description.startswith("One "), f"{key}: the grain comes first, not: {node.description}"


def test_canonical_tables_show_their_contract():
    for table, contract in contracts().items():
        schema = GRAPH.get(warehouse_key("canonical", table)).metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == [*(c.name for c in contract.stored), *OF_EVERY_ROW]
        assert all(column.description for column in schema.columns)


def test_marts_have_column_schema_and_checks():
    marts = [key for key in GRAPH.get_all_asset_keys() if key.path[0] in ("marts", "marts_person")]
    assert len(marts) >= 13
    for key in marts:
        schema = GRAPH.get(key).metadata["dagster/column_schema"]
        assert all(column.description and column.type != "?" for column in schema.columns), key
    on_marts = {check.name for check in GRAPH.asset_check_keys if check.asset_key in marts}
    singular = {path.stem for path in (ROOT / "dbt_project" / "tests").glob("*.sql")}
    assert singular and singular <= on_marts


def test_dbt_reads_nothing_that_no_asset_makes():
    made = {key for key in GRAPH.get_all_asset_keys() if GRAPH.get(key).is_materializable}
    for key in made:
        assert set(GRAPH.get(key).parent_keys) - made <= {BOOKED, *(spec.key for spec in landing_specs())}, key


def test_every_guard_is_a_check():
    names = {(check.asset_key.path[-1], check.name) for check in GRAPH.asset_check_keys}
    assert {(table, "keeps_its_contract") for table in contracts()} <= names
    assert {
        ("file_count", "no_row_vanishes"), ("refused", "nothing_quarantined"), ("warned", "nothing_warned_of"),
        ("file", "files_can_be_read"), ("file", "like_those_before"),
    } <= names  # fmt: skip


def test_column_lineage_of_the_engine():
    piece, day = (
        GRAPH.get(warehouse_key("settlement", table)).metadata["dagster/column_lineage"].deps_by_column
        for table in ("piece", "day_weight")
    )

    def origins(deps):
        return {(dep.asset_key.path[-1], dep.column_name) for dep in deps}

    assert ("day_weight", "price_oere") in origins(piece["amount_oere"])
    assert origins(day["price_oere"]) == {
        ("rate", "price_oere"), ("individual_rate", "price_oere"), ("manual_line", "amount_oere"),
    }  # fmt: skip
    assert origins(day["payer"]) == {
        ("package_payer", "paying_municipality"),
        ("service_package", "paying_municipality"),
    }
    assert ("registration", "quantity_e4") in origins(day["weight"])


def test_no_job_books():
    for job in ("pipeline", "deliveries", "monthly_proposal"):
        assert not any("book" in node.name for node in defs.resolve_job_def(job).graph.node_defs)
    proposals = {"settlement__mellemkommunal__proposal", "settlement__intern__proposal"}
    assert not proposals & {node.name for node in defs.resolve_job_def("deliveries").graph.node_defs}


@pytest.mark.heavy
def test_manifest_is_parsed_again_when_a_model_changes(tmp_path, monkeypatch):
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(dbt_build, "DBT_PROJECT", project)
    monkeypatch.setattr(dbt_build, "TARGET", project / "target")
    monkeypatch.setattr(dbt_build, "MANIFEST", project / "target" / "manifest.json")
    first = dbt_build.prepare_manifest().stat().st_mtime_ns
    assert dbt_build.prepare_manifest().stat().st_mtime_ns == first
    (project / "models" / "marts" / "one_more.sql").write_text(
        "{{ config(contract={'enforced': false}) }} SELECT 1 AS x"
    )
    manifest = json.loads(dbt_build.prepare_manifest().read_text())
    assert "model.afregning.one_more" in manifest["nodes"]
    (project / "models" / "marts" / "one_more.sql").write_text("{{ this is no jinja }}")
    with pytest.raises(StateFault, match="dbt-projektet kan ikke læses"):
        dbt_build.prepare_manifest()


@pytest.mark.heavy
def test_deliveries_job_judges_builds_and_publishes(delivered):
    home, result = delivered
    assert result.success
    assert all(check.passed for (_, name), check in checks(result).items() if name == "keeps_its_contract")
    refused = checks(result)["refused", "nothing_quarantined"]
    assert not refused.passed and refused.severity == dg.AssetCheckSeverity.WARN  # the demo plants dirty rows
    metadata = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in result.all_events if event.is_step_materialization
    }  # fmt: skip
    with Platform(home=str(home)).warehouse() as con:
        for table in ("canonical.service_line", "settlement.piece", "marts.movement"):
            rows = con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            assert metadata[table.split(".")[1]]["dagster/row_count"].value == rows > 0
    assert (home / "published" / "afregning.duckdb").exists()


@pytest.mark.heavy
def test_a_file_nobody_can_read_turns_its_check_red(delivered):
    check = checks(delivered[1])["file", "files_can_be_read"]
    assert not check.passed and "opus_gaadefuld_2024-06-30.csv" in check.description


@pytest.mark.heavy
def test_metadata_and_log_name_no_person(delivered):
    home, result = delivered
    with Platform(home=str(home)).warehouse() as con:
        persons = con.execute("SELECT cpr, name, address FROM canonical.citizen").fetchall()
    told = "\n".join(str(event.event_specific_data) + (event.message or "") for event in result.all_events)
    log = b"".join(path.read_bytes() for path in (home / "dagster").rglob("*.db*")).decode("utf-8", "replace")
    assert "row_count" in told and "row_count" in log
    salt = (home / "person_salt").read_text()
    for secret in [salt, *(value for person in persons for value in person if value)]:
        assert secret not in told and secret not in log


@pytest.mark.heavy
def test_a_broken_contract_stops_what_comes_after(home):
    platform = Platform(home=str(home))
    published = (home / "published" / "afregning.duckdb").stat().st_mtime_ns
    with platform.warehouse() as con:  # as if the row gate had let it through: an end before the start
        con.execute(
            "UPDATE canonical.service_line SET end_date = start_date - 1 WHERE load_id = 1 AND end_date IS NOT NULL"
        )
    # The first load is a delivery nobody has judged yet: verdicts are never taken back, so the register is made anew.
    (home / "register.sqlite").rename(home / "judged.sqlite")
    result = run("deliveries", home)
    assert not result.success
    check = checks(result)["service_line", "keeps_its_contract"]
    assert not check.passed and "service_line" in check.description
    assert checks(result)["citizen", "keeps_its_contract"].passed
    assert "dbt_build" not in {event.step_key for event in result.all_events if event.is_step_success}
    assert (home / "published" / "afregning.duckdb").stat().st_mtime_ns == published


@pytest.mark.heavy
def test_monthly_proposal_settles_through_its_month(home):
    result = run("monthly_proposal", home, today=date(2024, 6, 1), partition_key="2024-05")
    assert result.success
    [event] = [e for e in result.all_events if e.is_step_materialization]
    metadata = event.step_materialization_data.materialization.metadata
    assert event.partition == "2024-05"
    assert metadata["mellemkommunal: bagud: through"].value == "2024-05"
    assert metadata["mellemkommunal: forud: through"].value == "2024-06"
    assert metadata["mellemkommunal: bagud: lines"].value > 0


def test_schedules_run_on_danish_time():
    repository = defs.get_repository_def()
    night, month = repository.get_schedule_def("nightly"), repository.get_schedule_def("month_is_over")
    assert (night.cron_schedule, night.execution_timezone) == ("0 2 * * *", "Europe/Copenhagen")
    assert (month.cron_schedule, month.execution_timezone) == ("0 5 1 * *", "Europe/Copenhagen")
    with dg.DagsterInstance.ephemeral() as instance:
        when = datetime(2024, 6, 1, 5, tzinfo=ZoneInfo("Europe/Copenhagen"))
        context = dg.build_schedule_context(instance, scheduled_execution_time=when, repository_def=repository)
        [request] = month.evaluate_tick(context).run_requests
    assert request.partition_key == "2024-05"


def tick(cursor=None):
    """The sensor once: the keys of the runs it asks for, and where it got to."""
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, cursor=cursor, repository_def=repository)
        data = repository.get_sensor_def("new_files").evaluate_tick(context)
    return [request.run_key for request in data.run_requests], data.cursor


def test_sensor_asks_once_per_content(landed, tmp_path, monkeypatch):
    home = Path(shutil.copytree(landed, tmp_path / "instance"))
    monkeypatch.setenv("AFREGNING_HOME", str(home))
    asked, cursor = tick()
    assert asked == []  # may still be on their way: asked when nothing has changed by the next look
    [key], cursor = tick(cursor)
    assert tick(cursor) == ([], cursor)  # nothing has changed
    old = next((home / "landing" / "opus").glob("opus_posteringer_*"))
    os.utime(old, (1_700_000_001, 1_700_000_001))
    [again], cursor = tick(tick(cursor)[1])
    assert again == key  # touched, not changed: the same key, for which Dagster starts no second run
    new = old.with_name("opus_posteringer_2024-07-31.csv")
    new.write_bytes(old.read_bytes())
    asked, cursor = tick(cursor)
    assert asked == []
    with new.open("ab") as half:
        half.write(b"\n")
    asked, cursor = tick(cursor)
    assert asked == []  # it grew since the last look
    [other], cursor = tick(cursor)
    assert other != key


@pytest.mark.heavy
def test_sensor_asks_for_nothing_that_is_loaded(home, monkeypatch):
    monkeypatch.setenv("AFREGNING_HOME", str(home))
    (home / "landing" / "opus" / "opus_gaadefuld_2024-06-30.csv").unlink()
    assert tick(tick()[1])[0] == []


def test_sensor_waits_for_an_instance(tmp_path, monkeypatch):
    monkeypatch.setenv("AFREGNING_HOME", str(tmp_path / "none"))
    assert tick()[0] == []


def test_unexpected_errors_quote_no_value():
    with pytest.raises(dg.Failure) as caught, telling():
        duckdb.sql("SELECT CAST('010190-1234' AS INTEGER)").fetchall()
    assert "010190" not in caught.value.description and "ConversionException" in caught.value.description
    assert caught.value.__suppress_context__
