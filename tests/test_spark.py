"""The engine's SQL on DuckDB and on a real Spark cluster, a master and two workers: the same rows, or the same refusal."""

import random
import re
import shutil
import subprocess
import time
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

import duckdb
import pytest
from engine_world import OWN, Engine, covering_worlds, horizon_of, inputs, loads_of
from oracle import Oracle
from worlds import World

from settlement.engine import settle
from settlement.faults import InputFault, StateFault

pytestmark = pytest.mark.spark
pyspark = pytest.importorskip("pyspark", reason="the extra «spark» is not installed: make spark")
# Little memory and few parts for little data, and no time spent on compiling what runs for a minute.
SITE = """
spark.executor.memory 512m
spark.sql.shuffle.partitions 2
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1
"""
MAY = date(2025, 5, 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address of a standalone cluster's master, the folder of its workers' own): two workers with a core each, as processes."""
    if not shutil.which("java"):
        pytest.skip("Java is not installed: apt-get install default-jre-headless")
    folder = tmp_path_factory.mktemp("spark")
    (folder / "spark-defaults.conf").write_text(SITE)
    started = []

    def start(name, role, *arguments, ready):
        program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        log = folder / f"{name}.log"
        command = [program, f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1", "--webui-port", "0", *arguments]
        with log.open("w") as screen:
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen))
        for _ in range(600):
            if found := re.search(ready, log.read_text()):
                return found[1]
            assert started[-1].poll() is None, log.read_text()
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_CONF_DIR", str(folder))  # the driver's too: a site's own settings
        environment.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        environment.setenv("SPARK_DAEMON_MEMORY", "256m")
        try:
            url = start("master", "master.Master", "--port", "0", ready=r"Starting Spark master at (spark://\S+)")
            for name in ("worker-1", "worker-2"):
                work = ("--cores", "1", "--memory", "512m", "--work-dir", str(folder / name))
                start(name, "worker.Worker", *work, url, ready=r"(Successfully registered) with master")
            yield url, folder
            pyspark.sql.SparkSession.active().stop()
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


@pytest.fixture
def master(cluster):
    return cluster[0]


class OnSpark(Engine):
    """The engine of the other tests, its steps computed by the cluster."""

    def __init__(self, master):
        super().__init__()
        self.master = master

    def bind(self, tables, through):
        super().bind(tables, through)
        settle.entitle(self.con, own_municipality=OWN, through=self.through, spark_master=self.master)


def assert_same_rows(one, other, tables):
    """Names, types and rows, in any order; gives how many rows there are of each."""
    for table in tables:
        assert other.con.execute(f"DESCRIBE {table}").fetchall() == one.con.execute(f"DESCRIBE {table}").fetchall(), table
        ours, theirs = (Counter(e.con.execute(f"FROM {table}").fetchall()) for e in (one, other))
        assert theirs == ours, (table, list((theirs - ours).items())[:3], list((ours - theirs).items())[:3])
        yield table, ours.total()


def settle_on_both(one, other, tally, *run, **chosen):
    """The proposed lines of a run, the same on both engines; rows by table and lines by kind go into `tally`."""
    lines, others = one.settle(*run, book=True, **chosen), other.settle(*run, book=True, **chosen)
    assert others == lines
    tally.update(dict(assert_same_rows(one, other, settle.STEPS[5:])))
    tally.update("adjustment" if line[10] else "first" for line in lines)
    tally.update("negative" for line in lines if line[8] < 0)
    tally.update(reason for of_run in one.parked.values() for reason, _, _ in of_run)
    return lines


def test_worlds_of_every_kind(cluster):
    """Every unit, absence, price level and late change of three years, after a system that booked some of it before."""
    worlds = [w for year in (2023, 2024, 2025) for w in covering_worlds(6, 8, year, Counter(), seed=year)]
    (master, folder), duck, tally = cluster, Engine(), Counter()
    spark = OnSpark(master)
    oracles = [Oracle(OWN) for _ in worlds]
    runs = [[("mellemkommunal", "bagud")], [("mellemkommunal", "bagud")], [("intern", "bagud"), ("mellemkommunal", "forud")]]
    for loads, runs_then in zip(zip(*(loads_of(w, n) for n, w in enumerate(worlds)), strict=True), runs, strict=True):
        for oracle, files in zip(oracles, loads, strict=True):
            oracle.load(files)
        facts = inputs(*(oracle.store for oracle in oracles))
        facts["hold"] = [("W3Y1", None, date(2023, 2, 1)), (None, "1084", date(2025, 3, 1))]
        facts["refused_line"] = [("W4Y0",), ("W9Y2",)]
        facts["allowed_late"] = [(f"W1Y{n}", date(2023, 2, 1), "751") for n in range(8)]
        for engine in (duck, spark):
            engine.bind(facts, horizon_of(worlds))
        tally.update(dict(assert_same_rows(duck, spark, settle.STEPS[:5])))
        if not duck.ledger:
            pieces = duck.con.execute("""
                SELECT process, service_line_id, delivery_month, price_oere, counterparty, account, quantity_num, quantity_den,
                    amount_oere + 100, vat_oere FROM piece WHERE process = 'mellemkommunal' ORDER BY ALL LIMIT 20""").fetchall()
            for engine in (duck, spark):
                engine.ledger = [(n, *piece, f"0:{piece[4]}") for n, piece in enumerate(pieces, 1)]
                engine.give("ledger_line", engine.ledger)
        for run in runs_then:
            settle_on_both(duck, spark, tally, *run)
    assert min(tally[table] for table in settle.STEPS) > 20
    assert min(tally[kind] for kind in ("adjustment", "first", "negative")) > 20
    assert {"mangler_takst", "mangler_betaler", "for_sent", "tilbageholdt", "afventer_rettelse"} <= set(tally)
    assert {path.parts[-3] for path in folder.glob("worker-*/app-*/*")} == {"worker-1", "worker-2"}  # both had a part in it


# --- Values near 64 bits ---------------------------------------------------------------------------------------------


def row(table, **cells):
    return tuple(cells.get(column, False if column == "withdrawn" else None) for column in settle.INPUTS[table])


def delivered(lines):
    """Facts of lines of delivered units: line → (price in øre, VAT in hundredths of per cent, ten-thousandths registered)."""
    facts = {table: [] for table in settle.INPUTS}
    facts["service_package"] = [row("service_package", package_id="P", cpr="1", paying_municipality="751", status="bevilget")]
    for line, (price, vat, registered) in lines.items():
        facts["catalogue_item"].append(row("catalogue_item", item_code=line, unit="leveret", vat_pct_e2=vat))
        facts["service_line"].append(row(
            "service_line", service_line_id=line, package_id="P", item_code=line, process="mellemkommunal", start_date=MAY,
            timing="bagud", account="1", claim_kind="takst", quantity_e4=10_000, source_file="f", source_row=1))  # fmt: skip
        facts["individual_rate"].append(row(
            "individual_rate", service_line_id=line, valid_from=MAY, price_oere=price, source_file="f", source_row=2))  # fmt: skip
        facts["registration"] += [
            row("registration", registration_id=f"{line}-{n}", service_line_id=line, date=MAY, quantity_e4=quantity)
            for n, quantity in enumerate(registered)
        ]
    return facts


def rounded(amount):
    size = (2 * abs(amount.numerator) + amount.denominator) // (2 * amount.denominator)
    return size if amount >= 0 else -size


def test_large_and_negative_values(master):
    """Amounts up to ± 2^62, whose doubles are the last that fit, through two runs, and exactly what fractions give."""
    dice, duck, spark, tally = random.Random(1), Engine(), OnSpark(master), Counter()

    def quantities(sign):
        whole = dice.choice((1, 10_000))
        return [sign * whole * dice.randint(1, 10 ** dice.randint(1, 6)) for _ in range(dice.randint(1, 3))]

    lines = {}
    for number in range(300):
        sign, vat = dice.choice((1, -1)), dice.choice((0, 0, 1250, 2500))
        line, registered = f"L{number}", quantities(sign)
        quantity = Fraction(abs(sum(registered)), 10_000)
        top = (2**62 - 1 - quantity.denominator) // quantity.numerator
        if vat:
            top = min(top, int((2**62 - 20_000) // (vat * quantity)))
        lines[line] = (max(0, top - dice.choice((0, 1, 7, dice.randint(0, 10**9)))), vat, registered)
    booked = {line: (0, 0) for line in lines}
    for _ in range(2):
        for engine in (duck, spark):
            engine.bind(delivered(lines), "2025-05")
        proposed = {line[1]: line[8:10] for line in settle_on_both(duck, spark, tally)}
        for line, (price, vat, registered) in lines.items():
            amount = rounded(Fraction(sum(registered), 10_000) * price)
            entitled = (amount, rounded(Fraction(amount * vat, 10_000)))
            assert proposed.get(line, (0, 0)) == tuple(e - b for e, b in zip(entitled, booked[line], strict=True)), line
            tally["near"] += abs(amount) > 2**61
            booked[line] = entitled
        for line, (price, vat, registered) in lines.items():
            quantity = Fraction(sum(registered), 10_000)  # the next is of the same sign and no larger: the price is made for it
            less = dice.randint(1, abs(quantity.numerator)) * (10_000 // quantity.denominator)
            lines[line] = (price, vat, [less if quantity > 0 else -less])
    assert tally["near"] > 50 and tally["negative"] > 100 and tally["adjustment"] > 250


@pytest.mark.parametrize("kind", ("price × quantity", "weight", "booked sum", "booked quantity", "difference"))
def test_what_does_not_fit_is_refused_by_both(kind, master):
    """64 bits are enough for every real amount; one beyond is a fault with one sentence, on DuckDB as on Spark."""
    price, registered, booked = {
        "price × quantity": (2**62, 10_000, []),
        "weight": (1, 10**12, []),
        "booked sum": (1, 10_000, [(1, 2**62), (1, 2**62)]),
        "booked quantity": (1, 10_000, [(10**8, 1)]),
        "difference": (2**62 - 1, 10_000, [(1, -(2**62) - 10)]),
    }[kind]
    told = []
    for engine in (Engine(), OnSpark(master)):
        engine.ledger = [
            (n, "mellemkommunal", "L", MAY, price, "751", "1", quantity, 1, amount, 0, "D")
            for n, (quantity, amount) in enumerate(booked)
        ]
        engine.bind(delivered({"L": (price, 0, [registered])}), "2025-05")
        with pytest.raises(InputFault) as refused:
            engine.settle()
        told.append(str(refused.value))
    assert told[0] == told[1] and "ydelse L i 2025-05" in told[0]


# --- The words -------------------------------------------------------------------------------------------------------


def test_words_that_mean_something_else_in_spark(master):
    """Integer division, sums beyond 64 bits on the way, whole numbers of 128 bits, numbers as text, empty series."""
    from settlement.engine import spark

    rules = {"x": """
        SELECT n, d, n // d AS quotient, gcd(n, d) AS divisor, n // gcd(n, d) AS reduced, concat(d, ':', NULL, n) AS told,
            date_diff('day', DATE '1970-01-01', day) AS day, (SELECT CAST(sum(n) AS BIGINT) FROM number) AS beyond_on_the_way,
            (SELECT CAST(sum(huge) - max(huge) AS BIGINT) FROM number) AS of_128_bits
        FROM number WHERE n IN (SELECT n FROM read)""",
        "read": "SELECT n, unnest(generate_series(1, 2)) AS twice FROM number",
    }  # fmt: skip
    con = duckdb.connect()
    con.execute("""CREATE TEMP TABLE number AS SELECT *, n::HUGEINT AS huge FROM (VALUES
        (9223372036854775807, -4, DATE '0001-01-01'), (6, 4, DATE '1969-12-31'), (-9223372036854775807, 12, DATE '9999-12-31'),
        (-7, 2, NULL), (0, -5, DATE '2024-03-31'), (3, NULL, DATE '2024-02-29')) AS v(n, d, day)""")
    con.execute(f"CREATE TEMP VIEW read AS {rules['read']}")
    spark.compute(con, master, "x", rules=rules, kept={"x"}, inputs={})
    assert con.execute("FROM x ORDER BY ALL").fetchall() == con.execute(f"{rules['x']} ORDER BY ALL").fetchall()
    assert con.execute("SELECT quotient, divisor FROM x WHERE d = 2").fetchall() == [(-3, 1)]


def test_a_cluster_that_cannot_compute_says_so(master):
    from settlement.engine import spark

    con = duckdb.connect()
    con.execute("CREATE TEMP TABLE number AS SELECT 0 AS n, '0101801233' AS cpr, 9223372036854775807 AS most")
    for sql in ("SELECT most + 1 AS q FROM number", "SELECT (SELECT max(most * 2) FROM number) AS q FROM number"):
        with pytest.raises(OverflowError):
            spark.compute(con, master, "x", rules={"x": sql}, kept={"x"}, inputs={})
    for sql in ("SELECT 1 // n AS q, cpr FROM number", "SELECT no_such(n) AS q FROM number"):
        with pytest.raises(StateFault, match="Spark-klyngen spark://.* kunne ikke beregne trinnet x .*spark_master") as fault:
            spark.compute(con, master, "x", rules={"x": sql}, kept={"x"}, inputs={})
        assert "0101801233" not in str(fault.value)


# --- The whole platform ----------------------------------------------------------------------------------------------


def test_one_setting_moves_an_instance_to_the_cluster(master, make_platform):
    """Proposals, parked lines and ledger are those of DuckDB, and DuckDB reproduces what Spark computed byte for byte."""
    by_duckdb, by_spark = make_platform(), make_platform()
    settings = by_spark.home / "settings.toml"
    text = re.sub("# spark_master = .*", f'spark_master = "{master}"', settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")
    for files, (through, day) in zip(
        World(31, lines=30, events=1).loads, (("2024-06", "2024-07-05"), ("2024-07", "2024-08-05")), strict=True
    ):
        for platform in (by_duckdb, by_spark):
            platform.load(files)
        before = last_job()
        rows = by_spark.settle("mellemkommunal", through, day, book=True)
        assert last_job() > before
        assert rows and rows == by_duckdb.settle("mellemkommunal", through, day, book=True)
    assert by_spark.exceptions() == by_duckdb.exceptions()
    lines = by_spark.lines()
    assert lines == by_duckdb.lines() and any(line["regulering"] == "ja" for line in lines)
    by_spark.must("verify")
    for run in {line["koersel"] for line in lines} - {"0"}:
        by_spark.must("reproduce", run)


def last_job():
    session = pyspark.sql.SparkSession.getActiveSession()
    if session is None:  # this test by itself
        return -1
    return max(session.sparkContext.statusTracker().getJobIdsForGroup(), default=-1)
