"""Commitments: projected through the year after next, and every change of them told with its cause, to the øre."""

import re
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from streamlit.testing.v1 import AppTest
from test_marts import dbt
from worlds import World

from ingestion import archive
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import derive
from orchestration.publish import publish
from settlement.instance import open_instance
from settlement.ledger.register import open_register

DASHBOARDS = Path(__file__).parent.parent / "dashboards"
# Known when January 2025 ended. Y1 is at our own home and paid by Aarhus; L is meals, invoiced by a private kitchen.
BASIS = {
    "katalogydelser": [
        {"ydelseskode": "K", "navn": "Ophold", "enhed": "doegn", "fravaer_andel_pct": "50"},
        {"ydelseskode": "MAD", "navn": "Mad", "enhed": "leveret", "fravaer_andel_pct": ""},
    ],
    "takster": [
        {"ydelseskode": "K", "tilbud_id": "", "gyldig_fra": "2024-01-01", "pris": "1000,00"},
        {"ydelseskode": "MAD", "tilbud_id": "", "gyldig_fra": "2024-01-01", "pris": "60,00"},
    ],
    "tilbud": [{"tilbud_id": "T", "ejerforhold": "egen"}, {"tilbud_id": "F", "ejerforhold": "privat"}],
    "borgere": [{"cpr": "0101801233", "navn": "Prøve Persson"}],
    "ydelsespakker": [
        {"pakke_id": "P", "cpr": "0101801233", "afdeling": "VO", "betalingskommune": "751"},
        {"pakke_id": "M", "cpr": "0101801233", "afdeling": "VO", "betalingskommune": "461"},
    ],
    "ydelser": [
        {"ydelse_id": "Y1", "pakke_id": "P", "ydelseskode": "K", "tilbud_id": "T", "startdato": "2025-01-01"},
        {"ydelse_id": "L", "pakke_id": "M", "ydelseskode": "MAD", "tilbud_id": "F", "startdato": "2024-09-10"},
    ],
    "registreringer": [
        {"registrering_id": f"R{n}", "ydelse_id": "L", "dato": day, "antal": quantity}
        for n, (day, quantity) in enumerate(
            (("2024-09-20", "9"), ("2024-10-05", "10"), ("2024-11-05", "12"), ("2024-11-30", "8"), ("2024-12-05", "30"))
        )
    ],
}  # fmt: skip


@pytest.fixture
def received(platform, monkeypatch):
    """A function that takes files in on a day."""

    def receive(day, files):
        with monkeypatch.context() as clock:
            clock.setattr(archive, "now", lambda: datetime.fromisoformat(f"{day}T11:00:00").replace(tzinfo=UTC))
            platform.load(files)

    return receive


def derived(platform, horizon, *queries):
    """The answers to queries on the warehouse, after deriving with that last month."""
    instance = open_instance(platform.home)
    with open_warehouse(instance) as con:
        derive(con, instance, open_register(instance), horizon=horizon)
        return [con.execute(query).fetchall() for query in queries]


def days(first):
    """From that day through the end of 2027."""
    return (date(2027, 12, 31) - date.fromisoformat(first)).days + 1


PIECES = "SELECT process, service_line_id, delivery_month, account, amount_oere, is_projected FROM settlement.{} ORDER BY ALL"
CHANGES = """
    SELECT service_line_id, process, account, cause, is_late, sum(change_oere)::BIGINT FROM settlement.commitment_change
    WHERE cause <> 'uaendret' GROUP BY ALL ORDER BY ALL"""


# --- Through the end of the year after next ----------------------------------------------------------------------------


def test_open_ends_and_delivered_units_are_projected(platform, received):
    received("2025-01-20", BASIS)
    by_month, projected, entitled = derived(
        platform, date(2024, 12, 1),
        "SELECT service_line_id, max(delivery_month), sum(amount_oere)::BIGINT FROM settlement.commitment GROUP BY 1 ORDER BY 1",
        "SELECT delivery_month, amount_oere, quantity_num, quantity_den FROM settlement.commitment WHERE is_projected ORDER BY ALL",
        "SELECT max(delivery_month), sum(amount_oere)::BIGINT FROM settlement.piece WHERE service_line_id = 'L'",
    )  # fmt: skip
    # Seen from December 2024, Y1 runs through December 2026; of meals 69 are delivered and (10 + 20 + 30) / 3 a month to come.
    months = [date(2025 + n // 12, n % 12 + 1, 1) for n in range(24)]
    assert projected == [(month, 120_000, 20, 1) for month in months]
    assert by_month == [("L", months[-1], 69 * 6000 + 24 * 120_000), ("Y1", months[-1], 730 * 100_000)]
    assert entitled == [(date(2024, 12, 1), 69 * 6000)]  # what is projected is owed nobody


@pytest.mark.heavy
@pytest.mark.parametrize(("cells", "registered", "expected"), [
    # 20 a month through December. What a month already begun has is part of it, and more than expected is what it is.
    ({}, {"2025-01-03": "2"}, (18_0000, 20_0000, 20_0000)),
    ({}, {"2025-01-03": "25,5"}, (0, 20_0000, 20_0000)),
    # 60,0001 / 3, 60,0002 / 3, and of two whole months 50,0001 / 2: a half is rounded away from zero.
    ({}, {"2024-12-06": "0,0001"}, (20_0000, 20_0000, 20_0000)),
    ({}, {"2024-12-06": "0,0002"}, (20_0001, 20_0001, 20_0001)),
    ({"startdato": "2024-11-01"}, {"2024-12-06": "0,0001"}, (25_0001, 25_0001, 25_0001)),
    # Whole months are November and December; of a line that began in December there is December itself.
    ({"startdato": "2024-10-02"}, {}, (25_0000, 25_0000, 25_0000)),
    ({"startdato": "2024-12-02"}, {}, (30_0000, 30_0000, 30_0000)),
    # Through the month of its end; and nothing where nothing is left of what was registered.
    ({"slutdato": "2025-02-03"}, {}, (20_0000, 20_0000, 0)),
    ({"slutdato": "2024-12-31"}, {}, (0, 0, 0)),
    ({}, {"2024-12-31": "-60"}, (0, 0, 0)),
])  # fmt: skip
def test_a_coming_month_is_as_the_last_three(platform, received, cells, registered, expected):
    stay, meals = BASIS["ydelser"]
    received("2025-01-20", BASIS | {"ydelser": [stay, meals | cells]})
    if registered:
        received("2025-01-21", {"registreringer": [
            {"registrering_id": f"S{day}", "ydelse_id": "L", "dato": day, "antal": quantity} for day, quantity in registered.items()
        ]})  # fmt: skip
    (found,) = derived(
        platform, date(2024, 12, 1),
        "SELECT delivery_month, (quantity_num * 10000) // quantity_den FROM settlement.commitment WHERE is_projected",
    )  # fmt: skip
    months = (date(2025, 1, 1), date(2025, 2, 1), date(2026, 12, 1))
    assert tuple(dict(found).get(month, 0) for month in months) == expected


# --- Every change with its cause ----------------------------------------------------------------------------------------


def line(**cells):
    return BASIS["ydelser"][0] | cells


NEW_CITIZEN = {
    "borgere": [{"cpr": "1503924567", "navn": "Anden Prøve"}],
    "ydelsespakker": [{"pakke_id": "P2", "cpr": "1503924567", "afdeling": "VO", "betalingskommune": "751"}],
}
TAKSTER = {"ydelseskode": "K", "tilbud_id": "", "pris": "1100,00"}
MK, IN, FA = "mellemkommunal", "intern", "faktura"


@pytest.mark.heavy
@pytest.mark.parametrize(("files", "expected"), [
    pytest.param(NEW_CITIZEN | {"ydelser": [line(ydelse_id="Y9", pakke_id="P2", startdato="2025-01-15")]}, [
        ("Y9", MK, "", "ny_borger", False, days("2025-02-01") * 100_000), ("Y9", MK, "", "ny_borger", True, 17 * 100_000),
    ], id="new citizen"),
    pytest.param({"ydelser": [line(ydelse_id="Y9", startdato="2025-02-01")]}, [
        ("Y9", MK, "", "ny_ydelse", False, days("2025-02-01") * 100_000),
    ], id="new service"),
    pytest.param({"ydelser": [line(slutdato="2025-06-15")]}, [
        ("Y1", MK, "", "ophoert", False, -days("2025-06-16") * 100_000),
    ], id="ended"),
    pytest.param({"ydelser": [{"ydelse_id": "Y1", "slet": "ja"}]}, [
        ("Y1", MK, "", "ophoert", False, -days("2025-02-01") * 100_000), ("Y1", MK, "", "ophoert", True, -31 * 100_000),
    ], id="withdrawn"),
    pytest.param({"takster": [TAKSTER | {"gyldig_fra": "2025-03-01"}]}, [
        ("Y1", MK, "", "takst", False, days("2025-03-01") * 10_000),
    ], id="rate"),
    pytest.param({"takster": [TAKSTER | {"gyldig_fra": "2025-01-01"}]}, [
        ("Y1", MK, "", "takst", False, days("2025-02-01") * 10_000), ("Y1", MK, "", "takst", True, 31 * 10_000),
    ], id="late rate"),
    pytest.param({"fravaer": [{"ydelse_id": "Y1", "fra": "2025-02-10", "til": "2025-02-19"}]}, [
        ("Y1", MK, "", "fravaer", False, -10 * 50_000),
    ], id="absence"),
    pytest.param({"betalere": [{"pakke_id": "P", "gyldig_fra": "2025-03-01", "betalingskommune": "461"}]}, [
        ("Y1", IN, "", "betaler", False, days("2025-03-01") * 100_000),
        ("Y1", MK, "", "betaler", False, -days("2025-03-01") * 100_000),
    ], id="payer"),
    pytest.param({"ydelser": [line(antal="2")]}, [
        ("Y1", MK, "", "antal", False, days("2025-02-01") * 100_000), ("Y1", MK, "", "antal", True, 31 * 100_000),
    ], id="quantity"),
    pytest.param({"ydelser": [line(startdato="2025-01-11")]}, [("Y1", MK, "", "periode", True, -10 * 100_000)], id="period"),
    pytest.param({"ydelser": [line(konto="5281230000004001")]}, [
        ("Y1", MK, "", "kontering", False, -days("2025-02-01") * 100_000),
        ("Y1", MK, "", "kontering", True, -31 * 100_000),
        ("Y1", MK, "5281230000004001", "kontering", False, days("2025-02-01") * 100_000),
        ("Y1", MK, "5281230000004001", "kontering", True, 31 * 100_000),
    ], id="account"),
    pytest.param({"katalogydelser": [{"ydelseskode": "K", "navn": "Ophold", "enhed": "uge"}]}, [
        # Of 31 days 31/7 weeks, rounded month by month: 442.857 øre, of 30 428.571, of 28 400.000.
        ("Y1", MK, "", "regler", False, (20 * 442_857 + 12 * 428_571 + 3 * 400_000) - days("2025-02-01") * 100_000),
        ("Y1", MK, "", "regler", True, 442_857 - 31 * 100_000),
    ], id="catalogue"),
    pytest.param({"takster": [TAKSTER | {"gyldig_fra": "2025-02-01"}],
                  "fravaer": [{"ydelse_id": "Y1", "fra": "2025-02-10", "til": "2025-02-19"}]}, [
        # At the old price the absence takes 5.000 kr.; the new price is upon what is left.
        ("Y1", MK, "", "fravaer", False, -10 * 50_000), ("Y1", MK, "", "takst", False, (days("2025-02-01") - 5) * 10_000),
    ], id="absence and rate"),
])  # fmt: skip
def test_a_change_has_its_cause(platform, received, files, expected):
    received("2025-01-20", BASIS)
    received("2025-02-05", files)
    changes, lines = derived(platform, date(2025, 1, 1), CHANGES, "SELECT count(*) FROM settlement.commitment_before")
    assert lines[0][0] > 0
    # What is delivered of meals, nothing in January, is known by then: a late fact, and less to expect.
    meals = [
        ("L", FA, "", "antal", False, 35 * (100_000 - 120_000)),  # (20 + 30 + 0) / 3 = 16,6667 at 60 kr. is 1.000,00 kr.
        ("L", FA, "", "antal", True, -120_000),
    ]
    assert changes == sorted(meals + expected)


@pytest.mark.heavy
def test_a_day_before_a_month_is_told_apart_from_the_day_after(platform, received):
    """A fact of the last second of January is in the opening, of the first of February a change."""
    received("2025-01-31", BASIS)
    opening = "SELECT count(*) FROM settlement.commitment_before"
    changed = "SELECT DISTINCT cause FROM settlement.commitment_change"
    assert derived(platform, date(2024, 12, 1), opening, changed) == [[(0,)], [("ny_borger",)]]
    known, causes = derived(platform, date(2025, 1, 1), opening, changed)
    assert known[0][0] and set(causes) == {("uaendret",), ("antal",)}


# --- The identities, on any world ---------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(6))
def test_opening_and_changes_give_closing_month_after_month(platform, received, seed):
    """What was the closing when February ended is the opening in March, whatever has arrived since."""
    first, *later = World(seed, events=4).loads
    received("2025-02-03", first)
    for load in later[:2]:
        received("2025-02-27", load)
    keys = "service_line_id, year(delivery_month), process, account"
    (then,) = derived(platform, date(2025, 1, 1), PIECES.format("commitment"))
    for load in later[2:]:
        received("2025-03-05", load)
    before, now, opening, closing, change, causes = derived(
        platform, date(2025, 2, 1), PIECES.format("commitment_before"), PIECES.format("commitment"),
        f"SELECT {keys}, sum(amount_oere)::BIGINT FROM settlement.commitment_before GROUP BY ALL",
        f"SELECT {keys}, sum(amount_oere)::BIGINT FROM settlement.commitment GROUP BY ALL",
        "SELECT service_line_id, delivery_year, process, account, opening_oere, change_oere FROM settlement.commitment_change",
        "SELECT DISTINCT cause FROM settlement.commitment_change",
    )  # fmt: skip
    assert before == then and now
    sums = defaultdict(lambda: [0, 0])
    for *key, opened, changed in change:
        sums[*key][0] += opened
        sums[*key][1] += opened + changed
    expected = defaultdict(lambda: [0, 0])
    for side, rows in enumerate((opening, closing)):
        for *key, amount in rows:
            expected[*key][side] += amount
    assert {k: v for k, v in sums.items() if any(v)} == {k: v for k, v in expected.items() if any(v)}
    assert ("andet",) not in causes


# --- The identities of the marts, made to fail once each ----------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tmp_path_factory.mktemp("dbt")


MODELS = "+commitment_month +commitment_line_month +commitment_change +commitment_change_line +commitment_blocked build"


def built(platform, received, target):
    received("2025-01-20", BASIS)
    received("2025-02-05", {"ydelser": [line(slutdato="2025-06-30")], "takster": [TAKSTER | {"gyldig_fra": "2025-03-01"}]})
    platform.settle(MK, "2025-01", "2025-02-10", book=True)
    made(platform, target)


def made(platform, target):
    """The marts of commitments, derived through January 2025 and made by dbt, each passing its tests."""
    derived(platform, date(2025, 1, 1))
    outcome = dbt(open_instance(platform.home).warehouse, target, "build", "--exclude-resource-type", "unit_test",
                  "--indirect-selection", "buildable", "--select", *MODELS.split(), variables=VARIABLES)  # fmt: skip
    assert outcome.success, [f"{r.node.name}: {r.message}" for r in outcome.result or () if r.status not in ("success", "pass")]


VARIABLES = {
    "own_municipality": "461", "build_id": "b1", "built_at": "2025-02-20T06:30:00+00:00", "horizon": "2025-01-01",
    "person_salt": "salt",
}  # fmt: skip


@pytest.mark.heavy
def test_the_marts_add_up_and_tell_when_they_do_not(platform, received, target):
    built(platform, received, target)
    warehouse = open_instance(platform.home).warehouse
    with duckdb.connect(str(warehouse)) as con:
        rows = con.execute("""
            SELECT month, process, expected_dkk, realised_dkk, remaining_dkk, projected_dkk, service_lines
            FROM marts.commitment_month WHERE month IN ('2025-01-01', '2025-04-01') ORDER BY ALL""").fetchall()
        assert [tuple(map(str, row)) for row in rows] == [
            ("2025-01-01", MK, "-31000.00", "-31000.00", "0.00", "0.00", "1"),
            ("2025-04-01", FA, "1000.00", "0.00", "1000.00", "1000.00", "1"),
            ("2025-04-01", MK, "-33000.00", "0.00", "-33000.00", "0.00", "1"),
        ]
        told = con.execute("""
            SELECT delivery_year, cause, is_late, opening_dkk, change_dkk, closing_dkk FROM marts.commitment_change_line
            WHERE service_line_id = 'Y1' ORDER BY ALL""").fetchall()
        # Income: what ends is less of it. 122 days cost 100 kr. more; the days that are gone are told at the price they had.
        assert [tuple(map(str, row)) for row in told] == [
            ("2025", "ophoert", "False", "-184000.00", "184000.00", "0.00"),
            ("2025", "takst", "False", "-122000.00", "-12200.00", "-134200.00"),
            ("2025", "uaendret", "False", "-59000.00", "0.00", "-59000.00"),
            ("2026", "ophoert", "False", "-365000.00", "365000.00", "0.00"),
            ("2027", "ophoert", "False", "-365000.00", "365000.00", "0.00"),
        ]
    for table, broken in (
        ("marts.commitment_month SET remaining_dkk = remaining_dkk + 0.01 WHERE month = '2025-01-01'", "commitments_add_up"),
        ("marts.commitment_line_month SET realised_dkk = 0, expected_dkk = remaining_dkk", "commitments_add_up"),
        ("settlement.piece SET amount_oere = amount_oere + 1 WHERE service_line_id = 'Y1'", "commitments_add_up"),
        ("marts.commitment_change SET change_dkk = change_dkk + 1, closing_dkk = closing_dkk + 1", "commitment_changes_close"),
        ("settlement.commitment_before SET amount_oere = amount_oere + 1 WHERE service_line_id = 'L'", "commitment_changes_close"),
        ("marts.commitment_change_line SET closing_dkk = closing_dkk + 1 WHERE cause = 'takst'", "commitment_changes_close"),
    ):  # fmt: skip
        with duckdb.connect(str(warehouse)) as con:
            name = table.partition(" ")[0]
            con.execute(f"CREATE TABLE main.kept AS FROM {name}")
            con.execute(f"UPDATE {table}")
        outcome = dbt(warehouse, target, "test", "--select", broken, variables=VARIABLES)
        assert [r.status for r in outcome.result] == ["fail"], (table, [r.message for r in outcome.result])
        with duckdb.connect(str(warehouse)) as con:
            con.execute(f"DELETE FROM {name}; INSERT INTO {name} FROM main.kept; DROP TABLE main.kept")
    assert dbt(warehouse, target, "test", "--select", "commitments_add_up", "commitment_changes_close", variables=VARIABLES).success


# --- What has no price or no payer --------------------------------------------------------------------------------------


def told_on_page(page):
    """The page's lead, and the cells of its table of lines without a rate or a payer."""
    assert not page.exception, [e.message for e in page.exception]
    html = "".join(element.proto.body for element in page.get("html"))
    rows = re.search(r'data-table="commitment-blocked-lines".*?<tbody>(.*?)</tbody>', html).group(1).split("<tr>")[1:]
    return re.search(r'<p class="afr-lead">(.*?)</p>', html).group(1), [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


@pytest.mark.heavy
def test_what_cannot_be_committed_is_told_with_what_it_lacks(platform, received, target, monkeypatch):
    """K has a rate until 15 March 2026 and is counted so far; MAD until the end of 2025, also of what nobody has delivered yet.
    A package without a payer is counted and told. What is nobody's to settle, and what is annulled, is not."""
    packages = [{"pakke_id": "U", "betalingskommune": ""}, {"pakke_id": "X", "status": "annulleret"}]
    lines = [{"ydelse_id": "Y2", "pakke_id": "U", "slutdato": "2025-02-10"}, {"ydelse_id": "Y3", "pakke_id": "X"},
             {"ydelse_id": "Y4", "tilbud_id": "", "pakke_id": "M"}]  # fmt: skip
    received("2025-01-20", BASIS | {
        "takster": [rate | {"gyldig_til": end} for rate, end in zip(BASIS["takster"], ("2026-03-15", "2025-12-31"), strict=True)],
        "ydelsespakker": BASIS["ydelsespakker"] + [BASIS["ydelsespakker"][0] | package for package in packages],
        "ydelser": BASIS["ydelser"] + [line(**cells) for cells in lines],
    })  # fmt: skip
    made(platform, target)
    warehouse = open_instance(platform.home).warehouse
    with duckdb.connect(str(warehouse)) as con:
        told = con.execute("""
            SELECT service_line_id, process, reason, is_projected, min(month), max(month), count(*), sum(expected_dkk)
            FROM marts.commitment_blocked GROUP BY ALL ORDER BY ALL""").fetchall()
    assert [tuple(map(str, row)) for row in told] == [
        ("L", FA, "mangler_takst", "True", "2026-01-01", "2027-12-01", "24", "0.00"),
        ("Y1", MK, "mangler_takst", "False", "2026-03-01", "2027-12-01", "22", "-15000.00"),
        ("Y2", MK, "mangler_betaler", "False", "2025-01-01", "2025-02-01", "2", "-41000.00"),
    ]

    instance = open_instance(platform.home)
    with open_warehouse(instance) as con:
        publish(instance, con, VARIABLES["build_id"])
    monkeypatch.setenv("AFREGNING_HOME", str(platform.home))
    page = AppTest.from_file(str(DASHBOARDS / "views" / "commitments.py"), default_timeout=60).run()
    lead, rows = told_on_page(page)
    assert lead.endswith(" 1 ydelse er uden betaler i 2 måneder.") and "Hertil" not in lead
    unpriced = [
        ["L", "Mad", "VO", "Faktura", "Mangler takst", "januar 2026", "december 2027", "24", "0,00"],
        ["Y1", "Ophold", "VO", "Mellemkommunal", "Mangler takst", "marts 2026", "december 2027", "22", "-15.000,00"],
    ]
    unpaid = ["Y2", "Ophold", "VO", "Mellemkommunal", "Mangler betaler", "januar 2025", "februar 2025", "2", "-41.000,00"]
    assert rows == [unpaid, *unpriced]
    lead, rows = told_on_page(page.selectbox(key="commitment-year").set_value(2026).run())
    assert lead.endswith(" Hertil kommer 2 ydelser uden takst i 22 måneder.") and "uden betaler" not in lead
    assert rows == unpriced

    for change in (
        "settlement.day_weight SET price_oere = NULL WHERE service_line_id = 'Y1' AND delivery_month = '2025-05-01'",
        "settlement.commitment_blocked SET reason = 'mangler_takst' WHERE service_line_id = 'Y2'",
        "marts.commitment_blocked SET month = '2028-01-01' WHERE service_line_id = 'L' AND month = '2027-12-01'",
        "marts.commitment_blocked SET expected_dkk = 0 WHERE service_line_id = 'Y1' AND month = '2026-03-01'",
    ):
        name = change.partition(" ")[0]
        with duckdb.connect(str(warehouse)) as con:
            con.execute(f"CREATE TABLE main.kept AS FROM {name}")
            con.execute(f"UPDATE {change}")
        outcome = dbt(warehouse, target, "test", "--select", "blocked_months_are_all_there", variables=VARIABLES)
        assert [r.status for r in outcome.result] == ["fail"], change
        with duckdb.connect(str(warehouse)) as con:
            con.execute(f"DELETE FROM {name}; INSERT INTO {name} FROM main.kept; DROP TABLE main.kept")
    assert dbt(warehouse, target, "test", "--select", "blocked_months_are_all_there", variables=VARIABLES).success
