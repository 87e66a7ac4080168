"""Platform against oracle on random worlds, tolerance 0, and the properties of settlement.md §9."""

import random
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from driver import assert_same_exceptions, assert_same_lines, decimal, parked_of, write_files
from oracle import SETTLED, Oracle
from worlds import CPRS, ITEMS, World

BETWEEN_AUTHORITIES = [(process, timing) for process in ("mellemkommunal", "intern") for timing in ("bagud", "forud")]
WITH_CITIZENS = [(process, "bagud") for process in ("udbetaling", "personopkraevning", "beboerbetaling")]
RUNS = BETWEEN_AUTHORITIES + WITH_CITIZENS
HORIZONS = ("2024-03", "2024-07", "2024-06", "2024-12", "2024-12")
BOOKED_ON = (date(2024, 4, 5), date(2024, 8, 5), date(2024, 11, 30), date(2025, 1, 15), date(2025, 5, 1))
IN_TIME = date(2024, 11, 30)  # the last day for the first delivery month of any world


def replay(world, platform, runs=RUNS):
    """Loads and settles the world in platform and oracle, comparing after every load; gives the oracle."""
    oracle, dice = Oracle(), random.Random(1)
    for number, files in enumerate(world.loads):
        oracle.load(files)
        platform.load(files)
        assert_same_exceptions(platform.exceptions(), oracle, parked=False)
        for process, timing in runs:
            book = dice.randrange(8) > 0
            horizon, day = HORIZONS[number], BOOKED_ON[number]
            demanded = oracle.settle(process, horizon, day, timing, book)
            proposal = platform.settle(process, horizon, day, timing, book)
            assert_same_lines(proposal, demanded)
        assert_same_lines(platform.lines(), oracle.ledger, documents={})
        assert_same_exceptions(platform.exceptions(), oracle)
    return oracle


@pytest.mark.heavy
def test_platform_equals_oracle_between_authorities(platform):
    replay(World(0, events=3), platform, BETWEEN_AUTHORITIES)
    platform.must("verify")


@pytest.mark.heavy
def test_platform_equals_oracle_in_every_process(platform):
    replay(World(1, events=2), platform)
    platform.must("verify")


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 120))
def test_platform_equals_oracle_on_many_worlds(seed, platform):
    replay(World(seed, lines=60), platform)
    platform.must("verify")


def test_worlds_are_rich():
    """The oracle alone: the worlds book, correct, credit, park for every reason and refuse; else they prove little."""
    reasons, ledger = Counter(), []
    for seed in range(100, 106):
        oracle = Oracle()
        for number, files in enumerate(World(seed, lines=60).loads):
            oracle.load(files)
            for process, timing in RUNS:
                oracle.settle(process, HORIZONS[number], BOOKED_ON[number], timing, book=True)
            parked, quarantined = oracle.exceptions()
            reasons.update(reason for reason, _, _ in parked)
            reasons.update(row.reason for row in quarantined)
        ledger += oracle.ledger
    parked_for = {"mangler_takst", "mangler_betaler", "for_sent", "afventer_rettelse"}
    refused_for = {"ugyldig_vaerdi", "ukendt_noegle", "ugyldig_periode", "dublet", "overlappende_takst"}
    assert all(reasons[reason] >= 5 for reason in parked_for | refused_for), reasons
    adjustments = [line for line in ledger if line.adjusts]
    assert {line.process for line in ledger} == set(SETTLED) and 200 < len(adjustments) < len(ledger) - 200
    assert {"faktura", "kreditnota", "internbilag"} <= {line.document_type for line in ledger}


# --- § 9, through the whole platform; tests/test_properties.py has the same of the engine alone ---


def settle_all(settler, runs=BETWEEN_AUTHORITIES, horizon="2024-12", day=IN_TIME):
    return {(p, t): settler.settle(p, horizon, day, t, book=True) for p, t in runs}


@pytest.mark.heavy
def test_second_run_is_empty(platform):
    """§9.1: settle twice, also with a later booking date."""
    for files in World(7, events=2).loads:
        platform.load(files)
    assert any(settle_all(platform, RUNS).values())
    booked = platform.lines()
    assert not any(settle_all(platform, RUNS).values())
    assert not any(settle_all(platform, day=date(2026, 2, 1)).values())
    assert platform.lines() == booked


def net(rows, parked):
    """Amount and VAT per ledger key, without line-months parked now and keys that came to nothing."""
    sums = Counter()
    for row in rows:
        if (row["ydelse_id"], row["leverancemaaned"]) not in parked:
            key = tuple(row[c] for c in ("proces", "ydelse_id", "leverancemaaned", "pris", "modpart", "konto"))
            for column in ("beloeb", "moms"):
                sums[(*key, column)] += decimal(row[column])
    return {key: amount for key, amount in sums.items() if amount}


def parked_now(platform):
    return {(line_id, month) for _, line_id, month in parked_of(platform.exceptions())}


@pytest.mark.heavy
def test_event_by_event_nets_to_one_run(make_platform):
    """§9.2: a run after each event, and one run over the final facts."""
    stepwise, at_once = make_platform(), make_platform()
    world = World(19, lines=60, events=2, faulty=False)
    for number, files in enumerate(world.loads):
        stepwise.load(files)
        at_once.load(files)
        horizon = "2024-12" if files is world.loads[-1] else HORIZONS[number]
        settle_all(stepwise, horizon=horizon)
    settle_all(at_once)
    parked = parked_now(stepwise) | parked_now(at_once)
    assert net(stepwise.lines(), parked) == net(at_once.lines(), parked)
    assert len(net(at_once.lines(), parked)) > 50
    stepwise.must("verify")


@pytest.mark.heavy
def test_file_order_and_loading_twice(make_platform):
    """§9.3: the files of a load in another order, and every load twice, give the same lines and exceptions."""
    plain, shuffled = make_platform(), make_platform()
    for number, files in enumerate(World(13, events=1).loads):
        plain.load(files)
        folder = shuffled.files / f"shuffled{number}"
        folder.mkdir()
        write_files(folder, files, "csv")
        paths = sorted(folder.iterdir(), reverse=True)
        shuffled.must("load", *paths)
        shuffled.must("load", *paths)
        shuffled.must("load", folder)
        assert settle_all(plain, horizon=HORIZONS[number]) == settle_all(shuffled, horizon=HORIZONS[number])
    assert plain.lines() == shuffled.lines()
    assert plain.exceptions() == shuffled.exceptions()


def split_world():
    """A whole line W and its halves A and B for every unit but engang and hel, departure day paid; spells on both."""
    dice = random.Random(17)
    items = [i for i in ITEMS if i[0] not in ("engang", "leveret") and i[1] != "hel"]
    columns = "enhed prorata fravaer_fulde_dage fravaer_andel_pct".split()
    files = {
        "borgere": [{"cpr": CPRS[0]}],
        "tilbud": [{"tilbud_id": "T1", "ejerforhold": "egen"}],
        "ydelsespakker": [{"pakke_id": "P", "cpr": CPRS[0], "betalingskommune": "751"}],
        "katalogydelser": [
            {"ydelseskode": f"K{n}", **dict(zip(columns, item, strict=False))} for n, item in enumerate(items)
        ]
        + [{"ydelseskode": "KL", **dict.fromkeys(columns, ""), "enhed": "leveret"}],
        "takster": [],
        "ydelser": [],
        "fravaer": [],
        "registreringer": [],
    }
    for code in [row["ydelseskode"] for row in files["katalogydelser"]]:
        files["takster"].append({"ydelseskode": code, "gyldig_fra": "2023-01-01", "pris": "1234,57"})
        for n in range(3):
            days = sorted(dice.sample(range(1, 29), 3))
            start, cut, end = date(2024, 1, days[0]), date(2024, 2, days[1]), date(2024, 3, days[2])
            pieces = {"W": (start, end), "A": (start, cut), "B": (date.fromordinal(cut.toordinal() + 1), end)}
            for half, (first, last) in pieces.items():
                line_id = f"{code}-{n}-{half}"
                names = {"ydelse_id": line_id, "pakke_id": "P", "ydelseskode": code, "tilbud_id": "T1"}
                dates = {"startdato": first.isoformat(), "slutdato": last.isoformat(), "antal": "1,5"}
                files["ydelser"].append(names | dates)
                for spell in (("2024-01-27", "2024-02-04"), ("2024-02-13", "2024-02-20")):
                    files["fravaer"].append({"ydelse_id": line_id, "fra": spell[0], "til": spell[1]})
                for day in ("2024-01-30", "2024-02-15", "2024-03-01") if code == "KL" else ():
                    registration = {"registrering_id": f"{line_id}-{day}", "ydelse_id": line_id}
                    files["registreringer"].append(registration | {"dato": day, "antal": "2,5"})
    return files


def test_splitting_a_period_gives_the_same_quantity(platform):
    """§9.5, exact in the oracle; on the platform within what four decimals and øre can show."""
    files, oracle = split_world(), Oracle()
    oracle.load(files)
    platform.load(files)
    demanded = oracle.settle("mellemkommunal", "2024-03", date(2024, 4, 5))
    rows = platform.settle("mellemkommunal", "2024-03", date(2024, 4, 5))
    assert_same_lines(rows, demanded)
    exact = Counter()
    for line in demanded:
        code, number, half = line.line_id.split("-")
        exact[code, number, line.month] += line.worth.quantity * (1 if half == "W" else -1)
    assert len(exact) > 60 and not any(exact.values())
    quantity, amount = Counter(), Counter()
    for row in rows:
        code, number, half = row["ydelse_id"].split("-")
        sign = 1 if half == "W" else -1
        quantity[code, number, row["leverancemaaned"]] += sign * decimal(row["antal"])
        amount[code, number, row["leverancemaaned"]] += sign * decimal(row["beloeb"])
    assert max(abs(q) for q in quantity.values()) <= Decimal("0.00015")
    assert max(abs(a) for a in amount.values()) <= Decimal("0.015")
