"""Publishing: whole builds under names that never move, on hand-made marts."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.publish import publish
from settlement.faults import StateFault
from settlement.instance import create_folders

READER = """
import sys, duckdb
seen = set()
while True:
    con = duckdb.connect(":memory:")
    con.execute(f"ATTACH '{sys.argv[1]}' AS published (READ_ONLY)")
    builds = con.execute("SELECT build_id FROM published.marts.build UNION ALL FROM published.marts.figure").fetchall()
    con.close()
    assert len(builds) == 1001 and len(set(builds)) == 1, set(builds)
    seen.add(builds[0][0])
    print(builds[0][0], flush=True)
    if builds[0][0] == "last":
        print(len(seen), flush=True)
        break
"""


@pytest.fixture
def instance(tmp_path):
    return create_folders(tmp_path / "instance", "461")


@pytest.fixture
def warehouse(instance):
    with duckdb.connect(str(instance.warehouse)) as con:
        con.execute("CREATE SCHEMA marts; CREATE SCHEMA marts_person")
        yield con


def build(con, build_id, rows=3):
    con.execute(f"CREATE OR REPLACE TABLE marts.build AS SELECT '{build_id}' AS build_id, DATE '2026-10-01' AS horizon")
    con.execute(f"CREATE OR REPLACE TABLE marts.figure AS SELECT '{build_id}' AS build_id FROM range({rows})")
    con.execute(
        f"CREATE OR REPLACE TABLE marts_person.citizen AS SELECT '{build_id}' AS build_id, 12.30::DECIMAL(18, 2) AS dkk"
    )


def read(path, sql):
    with duckdb.connect(":memory:") as con:
        con.execute(f"ATTACH '{path}' AS published (READ_ONLY)")
        con.execute("USE published")
        return con.execute(sql).fetchall()


def content(folder):
    return {
        str(p.relative_to(folder)): p.readlink() if p.is_symlink() else p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_symlink() or p.is_file()
    }


def test_a_build_is_published_as_two_files_and_as_parquet(instance, warehouse):
    build(warehouse, "b1")
    assert publish(instance, warehouse, "b1") == instance.published / "afregning.duckdb"
    assert set(content(instance.published)) == {
        "afregning.duckdb", "afregning_person.duckdb", "parquet/current", "parquet/b1/marts/build.parquet",
        "parquet/b1/marts/figure.parquet", "parquet/b1/marts_person/citizen.parquet",
    }  # fmt: skip
    assert read(instance.published / "afregning.duckdb", "SELECT count(*) FROM marts.figure") == [(3,)]
    schemas = "SELECT schema_name FROM duckdb_tables() WHERE database_name = 'published' GROUP BY 1"
    assert read(instance.published / "afregning.duckdb", schemas) == [("marts",)]
    assert read(instance.published / "afregning_person.duckdb", schemas) == [("marts_person",)]
    parquet = instance.published / "parquet" / "current" / "marts_person" / "citizen.parquet"
    assert duckdb.sql(f"SELECT dkk::VARCHAR, typeof(dkk) FROM '{parquet}'").fetchall() == [("12.30", "DECIMAL(18,2)")]


def test_a_reader_keeps_what_it_opened_and_the_next_one_sees_the_new_build(instance, warehouse):
    build(warehouse, "b1")
    path = publish(instance, warehouse, "b1")
    with duckdb.connect(":memory:") as reader:
        reader.execute(f"ATTACH '{path}' AS published (READ_ONLY)")
        build(warehouse, "b2", rows=5)
        publish(instance, warehouse, "b2")
        assert reader.execute("SELECT count(*) FROM published.marts.figure").fetchall() == [(3,)]
    assert read(path, "SELECT count(*) FROM marts.figure") == [(5,)]


def test_the_newest_three_parquet_builds_are_kept(instance, warehouse):
    parquet = instance.published / "parquet"
    for build_id in ("z1", "y2", "x3", "w4"):
        build(warehouse, build_id)
        publish(instance, warehouse, build_id)
        assert (parquet / "current").readlink() == Path(build_id)
    assert sorted(p.name for p in parquet.iterdir()) == ["current", "w4", "x3", "y2"]


def test_the_same_build_can_be_published_again(instance, warehouse):
    build(warehouse, "b1")
    publish(instance, warehouse, "b1")
    build(warehouse, "b1", rows=7)
    path = publish(instance, warehouse, "b1")
    assert read(path, "SELECT count(*) FROM marts.figure") == [(7,)]
    assert sorted(p.name for p in (instance.published / "parquet").iterdir()) == ["b1", "current"]


@pytest.mark.parametrize("build_id", ["b2", "b1x"])
def test_marts_of_another_build_are_refused(instance, warehouse, build_id):
    build(warehouse, "b1")
    publish(instance, warehouse, "b1")
    before = content(instance.published)
    with pytest.raises(StateFault, match="b1"):
        publish(instance, warehouse, build_id)
    assert content(instance.published) == before


def test_a_warehouse_without_marts_is_refused_in_words(instance, warehouse):
    with pytest.raises(StateFault, match="afregning run"):
        publish(instance, warehouse, "b1")
    assert content(instance.published) == {}


def test_a_build_id_cannot_lead_out_of_the_folder(instance, warehouse):
    build(warehouse, "../b1")
    with pytest.raises(ValueError, match="folder name"):
        publish(instance, warehouse, "../b1")


def test_a_publication_that_fails_changes_nothing(instance, warehouse):
    build(warehouse, "b1")
    publish(instance, warehouse, "b1")
    before = content(instance.published)
    build(warehouse, "b2")
    # The last table of the last schema has a name that no Parquet file can have.
    warehouse.execute('CREATE TABLE marts_person."zz/zz" AS SELECT 1 AS n')
    with pytest.raises(duckdb.IOException):
        publish(instance, warehouse, "b2")
    assert content(instance.published) == before
    warehouse.execute('DROP TABLE marts_person."zz/zz"')
    publish(instance, warehouse, "b2")
    assert read(instance.published / "afregning.duckdb", "SELECT build_id FROM marts.build") == [("b2",)]


def test_what_a_killed_publication_left_is_cleared(instance, warehouse):
    (instance.published / ".fresh" / "parquet" / "marts").mkdir(parents=True)
    (instance.published / ".fresh" / "afregning.duckdb").write_bytes(b"half a file")
    build(warehouse, "b1")
    publish(instance, warehouse, "b1")
    assert not (instance.published / ".fresh").exists()


def test_another_process_reads_one_build_at_a_time_while_builds_are_swapped(instance, warehouse):
    build(warehouse, "first", rows=1000)
    path = publish(instance, warehouse, "first")
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout.readline() == "first\n"
        for build_id in [f"b{n}" for n in range(20)] + ["last"]:
            build(warehouse, build_id, rows=1000)
            publish(instance, warehouse, build_id)
        output, errors = reader.communicate(timeout=60)
    finally:
        reader.kill()
    assert reader.returncode == 0, errors
    assert int(output.splitlines()[-1]) > 2
