"""Recorded time: what the platform knew at the end of a day, in the facts, the quarantine and the reports."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from importlib import import_module
from pkgutil import iter_modules

import duckdb
import pytest
from driver import write_files
from worlds import World

from ingestion import archive
from ingestion.contract import contracts
from ingestion.known import bind_known, end_of_day, known_load
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration import dbt_build
from orchestration.known_reports import reports_known_on
from orchestration.pipeline import dbt_variables, derive
from orchestration.publish import FILES, publish
from settlement import ledger
from settlement.faults import InputFault
from settlement.instance import create_folders, open_instance
from settlement.ledger.register import open_register

LINE = {"pakke_id": "P", "ydelseskode": "K", "tilbud_id": "T", "startdato": "2025-01-01"}
# The second load comes in the last second of 31 January in Denmark, the third in the first of February.
HISTORY = (
    ("2025-01-10T12:00:00", {
        "katalogydelser": [{"ydelseskode": c, "navn": c, "enhed": "doegn"} for c in ("K", "UBRUGT")],
        "takster": [{"ydelseskode": "K", "tilbud_id": "", "gyldig_fra": "2025-01-01", "pris": "1000,00"}],
        "tilbud": [{"tilbud_id": "T", "navn": "Hjemmet", "ejerforhold": "egen"}],
        "borgere": [{"cpr": "0101801233", "navn": "Prøve Persson"}],
        "ydelsespakker": [{"pakke_id": "P", "cpr": "0101801233", "betalingskommune": "751"}],
        "ydelser": [{"ydelse_id": "Y1"} | LINE, {"ydelse_id": "Y2"} | LINE],
        "fravaer": [{"ydelse_id": "Y1", "fra": "2025-01-05", "til": "snart"}],
    }),
    ("2025-01-31T22:59:59", {
        "takster": [{"ydelseskode": "K", "tilbud_id": "", "gyldig_fra": "2025-01-01", "pris": "1100,00"}],
        "ydelser": [{"ydelse_id": "Y2", "slet": "ja"}],
        "katalogydelser": [{"ydelseskode": "UBRUGT", "slet": "ja"}, {"ydelseskode": "UBRUGT", "slet": "ja"}],
    }),
    ("2025-01-31T23:00:00", {
        "ydelser": [{"ydelse_id": "Y2"}],
        "fravaer": [{"ydelse_id": "Y1", "fra": "2025-01-05", "til": "2025-01-08"}],
    }),
)  # fmt: skip


@pytest.fixture
def take_in(tmp_path, monkeypatch):
    """A function that takes one load into an instance at a moment (UTC)."""

    def take(con, instance, moment, files):
        folder = tmp_path / f"load{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write_files(folder, files, "csv")
        with monkeypatch.context() as clock:
            clock.setattr(archive, "now", lambda: datetime.fromisoformat(moment).replace(tzinfo=UTC))
            receive(con, instance, [(archive.LOADER, p.name, p) for p in sorted(folder.iterdir())],
                    dated=moment[:10], received_by="anna")  # fmt: skip

    return take


@pytest.fixture
def instance(tmp_path):
    return create_folders(tmp_path / "instance", "461")


@pytest.fixture
def known(instance, take_in):
    """The connection to a warehouse that has received HISTORY."""
    with open_warehouse(instance) as con:
        for moment, files in HISTORY:
            take_in(con, instance, moment, files)
        yield con


def facts(con, schema):
    """Every row of every table, and the open quarantine, in an order of their own."""
    columns = "*" if schema == "known" else "* EXCLUDE (dated)"
    held = {table: con.execute(f"SELECT {columns} FROM {schema}.{table}").fetchall() for table in contracts()}
    quarantine = "known" if schema == "known" else "quarantine"
    held["refused"] = con.execute(f"FROM {quarantine}.refused WHERE closed_by_load IS NULL").fetchall()
    return {table: sorted(rows, key=repr) for table, rows in held.items()}


def versions(con):
    return {table: sorted(con.execute(f"FROM history.{table}").fetchall(), key=repr) for table in contracts()}


def fresh(instance, home, day):
    """The facts of an instance of its own that received only what came by the end of the day."""
    alone = create_folders(home, "461")
    alone.archive.rmdir()
    archive.copy_through(instance, alone, archive.newest_before(instance, end_of_day(day)))
    with open_warehouse(alone) as con:
        return facts(con, "canonical")


@pytest.mark.parametrize(
    ("day", "load", "price", "second_line", "refused", "absences", "unused_item"),
    [
        ("2025-01-09", 0, [], [], 0, 0, []),
        ("2025-01-10", 1, [1000_00], [False], 1, 0, [False]),
        ("2025-01-30", 1, [1000_00], [False], 1, 0, [False]),
        ("2025-01-31", 2, [1100_00], [True], 1, 0, [True]),
        ("2025-02-01", 3, [1100_00], [False], 0, 1, [True]),
    ],
)
def test_what_was_known_on_a_day(known, day, load, price, second_line, refused, absences, unused_item):
    assert known_load(known, date.fromisoformat(day)) == load
    bind_known(known, load)

    def column(sql):
        return [value for (value,) in known.execute(sql).fetchall()]

    assert column("SELECT price_oere FROM known.rate") == price
    assert column("SELECT withdrawn FROM known.service_line WHERE service_line_id = 'Y2'") == second_line
    assert column("SELECT withdrawn FROM known.catalogue_item WHERE item_code = 'UBRUGT'") == unused_item
    assert column("SELECT count(*) FROM known.absence") == [absences]
    assert column("SELECT count(*) FROM known.refused WHERE closed_by_load IS NULL") == [refused]


def test_a_day_ends_at_midnight_in_denmark():
    assert end_of_day(date(2025, 1, 31)) == datetime(2025, 1, 31, 23)
    assert end_of_day(date(2025, 7, 31)) == datetime(2025, 7, 31, 22)
    assert end_of_day(date(2025, 3, 30)) == datetime(2025, 3, 30, 22)  # the clock goes forward that night


def test_no_day_chosen_is_an_error_and_no_empty_answer(known):
    with pytest.raises(Exception, match="known_load is not set"):
        known.execute("FROM known.rate").fetchall()


def test_a_replaced_row_is_kept_once_with_the_load_that_replaced_it(known):
    history = known.execute(
        "SELECT service_line_id, withdrawn, load_id, closed_by_load FROM history.service_line ORDER BY load_id"
    )
    assert history.fetchall() == [("Y2", False, 1, 2), ("Y2", True, 2, 3)]
    assert known.execute("SELECT item_code, load_id, closed_by_load FROM history.catalogue_item").fetchall() == [("UBRUGT", 1, 2)]
    assert known.execute("SELECT count(*) FROM history.citizen").fetchone() == (0,)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [3, 11])
def test_as_known_then_is_as_it_was_then(seed, instance, take_in, tmp_path):
    """After every load of a random world, and as an instance that never received the later ones."""
    world, then = World(seed, events=4), []
    with open_warehouse(instance) as con:
        for number, files in enumerate(world.loads, 1):
            take_in(con, instance, f"2025-02-{number:02}T08:00:00", files)
            then.append(facts(con, "canonical"))
        before = versions(con)
        assert sum(map(bool, before.values())) >= 4 and all(held != then[-1] for held in then[:-1])
        for number, held in enumerate(then, 1):
            assert known_load(con, date(2025, 2, number)) == number
            bind_known(con, number)
            assert facts(con, "known") == held
    assert fresh(instance, tmp_path / "alone", date(2025, 2, 3)) == then[2]
    instance.warehouse.unlink()
    with open_warehouse(instance) as con:
        assert versions(con) == before and facts(con, "canonical") == then[-1]


def test_a_warehouse_of_an_earlier_layout_is_filled_again_from_the_archive(instance, take_in):
    with open_warehouse(instance) as con:
        for moment, files in HISTORY:
            take_in(con, instance, moment, files)
        then, before = facts(con, "canonical"), versions(con)
        # As the version before recorded time left it: canonical rows, marts, and nothing known of the past.
        con.execute("DROP SCHEMA known CASCADE; DROP SCHEMA history CASCADE; COMMENT ON TABLE raw.load IS NULL")
        con.execute("CREATE SCHEMA staging; CREATE VIEW staging.stg_rate AS FROM canonical.rate")
        con.execute("UPDATE canonical.rate SET price_oere = 1")  # not kept: the archive is the truth
    with open_warehouse(instance) as con:
        assert facts(con, "canonical") == then and versions(con) == before
        assert con.execute("SELECT count(*) FROM raw.load").fetchone() == (3,)
        assert not con.execute("SELECT * FROM duckdb_schemas() WHERE schema_name = 'staging'").fetchall()
        con.execute("CREATE SCHEMA staging")
    with open_warehouse(instance) as con:  # of this layout: left as it is
        assert con.execute("SELECT * FROM duckdb_schemas() WHERE schema_name = 'staging'").fetchall()


def test_recorded_time_never_goes_back(instance, take_in):
    with open_warehouse(instance) as con:
        for moment in ("2025-03-02T10:00:00", "2025-03-01T10:00:00"):
            take_in(con, instance, moment, {"afdelinger": [{"afdeling": "A", "navn": moment}]})
    received = [json.loads(line)["received_at"] for line in (instance.archive / "manifest.jsonl").open(encoding="utf-8")]
    assert received == ["2025-03-02T10:00:00+00:00"] * 2


def test_one_line_as_known_is_looked_up_by_its_key(known):
    """The key is asked of both tables before they are laid together: no window over a whole history."""
    bind_known(known, 2)
    plan = known.execute("EXPLAIN SELECT * FROM known.service_line WHERE service_line_id = 'Y2'").fetchone()[1]
    assert plan.count("service_line_id='Y2'") == 2


# --- Reports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def on(platform, monkeypatch):
    """A function that runs what it is given with every clock of archive and register at noon of a day."""
    modules = [import_module(f"settlement.ledger.{m.name}") for m in iter_modules(ledger.__path__) if not m.ispkg]

    def at(day, *commands):
        moment = datetime.fromisoformat(f"{day}T11:00:00")
        with monkeypatch.context() as clock:
            clock.setattr(archive, "now", lambda: moment.replace(tzinfo=UTC))
            for module in modules:
                if hasattr(module, "now"):
                    clock.setattr(module, "now", lambda: moment)
            return [command() for command in commands]

    return at


def marts(folder):
    """Every row of every published table, without the build's name and moment."""
    held = {}
    for schema, name in FILES.items():
        with duckdb.connect(str(folder / name), read_only=True) as con:
            for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                rows = con.execute(f"SELECT COLUMNS(c -> c NOT IN ('build_id', 'built_at')) FROM {schema}.{table}").fetchall()
                held[f"{schema}.{table}"] = sorted(rows, key=repr)
                parquet = folder / "parquet" / "current" / schema / f"{table}.parquet"
                assert con.execute(f"SELECT count(*) FROM '{parquet}'").fetchone() == (len(rows),)
    return held


@pytest.mark.heavy
def test_reports_as_known_on_a_day_are_those_made_that_day(platform, on, tmp_path):
    """January settled on 5 February, and published then; corrected and settled again on 6 February."""

    def settle(day):
        return lambda: platform.settle("mellemkommunal", "2025-01", day, book=True)

    def publish_now():
        instance, register = open_instance(platform.home), open_register(open_instance(platform.home))
        variables = dbt_variables(instance, date(2025, 1, 1))
        with open_warehouse(instance) as con:
            derive(con, instance, register, horizon=date(2025, 1, 1))
        assert dbt_build.build(variables, instance.warehouse)[0] == ""
        with open_warehouse(instance) as con:
            publish(instance, con, variables["build_id"])

    first, *later = [files for _, files in HISTORY]
    on("2025-02-05", lambda: platform.load(first), settle("2025-02-05"), publish_now)
    on("2025-02-06", *(lambda files=files: platform.load(files) for files in later), settle("2025-02-06"))
    booked = Counter(row["koersel"] for row in platform.lines())
    assert booked == {"1": 1, "2": 3}  # Y2; then its credit, its new price, and Y1, which waited for its absence
    instance = open_instance(platform.home)
    then, register, out = marts(instance.published), open_register(instance), tmp_path / "dengang"
    for path in platform.home.glob("warehouse.duckdb*"):
        path.unlink()  # not needed, and not made again
    untouched = contents(platform.home)
    reports_known_on(instance, register, date(2025, 2, 5), out, lambda sentence: None)
    assert contents(platform.home) == untouched
    assert marts(out) == then
    assert len(then["marts.settlement_line"]) == 1 and then["marts.quality_finding"] and then["marts_person.citizen"]
    assert sorted(path.name for path in out.iterdir()) == ["afregning.duckdb", "afregning_person.duckdb", "parquet"]
    for day, folder, said in (
        (date(2025, 2, 4), tmp_path / "tom", "intet modtaget den 04-02-2025"),
        (date(9998, 1, 1), tmp_path / "tom", "ikke kommet endnu"),
        (date(2025, 2, 5), out, "ikke en tom mappe"),
    ):
        with pytest.raises(InputFault, match=said):
            reports_known_on(instance, register, day, folder, lambda sentence: None)
    assert not (tmp_path / "tom").exists()


def contents(home):
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and "register.sqlite" not in path.name}
