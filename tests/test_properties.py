"""The eight statements of settlement.md § 9 as properties, on generated worlds, tolerance 0."""

import random
from collections import Counter
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from engine_world import (
    DIMENSIONS,
    OTHERS,
    OWN,
    RUNS,
    Engine,
    LineFacts,
    Spec,
    covering_worlds,
    horizon_of,
    inputs,
    loads_of,
    replay,
    values,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import Oracle
from worlds import World

LATE = date(2027, 6, 1)  # every claim of these worlds is too late
IN_TIME = date(2023, 2, 1)  # and here none
SPECS = st.builds(Spec, **{name: st.sampled_from(v) for name, v in (DIMENSIONS | OTHERS).items()})
WORLDS = st.lists(st.lists(SPECS, min_size=1, max_size=4), min_size=1, max_size=4)


def examples(count):
    return settings(max_examples=count, deadline=None, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck))  # fmt: skip


# --- Every pair ------------------------------------------------------------------------------------------------------


def cover(worlds, lines):
    """Engine against oracle on worlds of every year; the count of worlds by pair."""
    seen, booked, adjusted, reasons = Counter(), 0, 0, set()
    for year in (2023, 2024, 2025):
        made = list(covering_worlds(worlds, lines, year, seen, seed=year))
        tally = Counter()
        engine = replay(made, after_run=lambda _, rows, tally=tally: tally.update(row[10] for row in rows))
        booked, adjusted = booked + len(engine.ledger), adjusted + tally[True]
        reasons |= {reason for parked in engine.parked.values() for reason, _, _ in parked}
    assert adjusted > booked / 5 and reasons == {"mangler_takst", "mangler_betaler", "for_sent"}
    return seen


def assert_covered(seen, least, capsys):
    names = list(DIMENSIONS)
    pairs = [((a, x), (b, y)) for i, a in enumerate(names) for b in names[i + 1 :] for x in DIMENSIONS[a] for y in DIMENSIONS[b]]
    with capsys.disabled():
        print(f"\n{len(pairs)} pairs; the rarest of each two dimensions, by worlds:")
        for a, b in dict.fromkeys((p[0][0], p[1][0]) for p in pairs):
            count, rarest = min((seen[p], p) for p in pairs if (p[0][0], p[1][0]) == (a, b))
            print(f"  {a:12} × {b:12} {count:4}  {rarest[0][1]} × {rarest[1][1]}")
    assert min(seen[pair] for pair in pairs) >= least


@pytest.mark.heavy
def test_every_pair_in_twenty_worlds(capsys):
    """Unit × absence × price level × late change: each pair in at least 20 worlds, engine equal to oracle in all."""
    assert_covered(cover(110, 8), 20, capsys)


# --- § 9.1, 9.2, 9.3, 9.4, 9.5, 9.6 on the engine ----------------------------------------------------------------------


@examples(3)
@given(WORLDS)
def test_1_second_run_is_empty(worlds):
    """§ 9.1: after the last run of every process and timing, none has anything left, also at a later booking date."""
    engine = replay(worlds)
    for process, timing in RUNS:
        assert engine.settle(process, timing) == []
        assert engine.settle(process, timing, booking_date=LATE) == []


def net(ledger, parked):
    """Quantity, amount and VAT by key of the line-months not parked, without keys that came to nothing."""
    sums = {}
    for row in ledger:
        key = row[1:7]
        if (key[1], f"{key[2]:%Y-%m}") not in parked:
            before = sums.get(key, (0, 0, 0))
            sums[key] = (before[0] + Fraction(row[7], row[8]), before[1] + row[9], before[2] + row[10])
    return {key: worth for key, worth in sums.items() if any(worth)}


@pytest.mark.heavy
@examples(3)
@given(WORLDS)
def test_2_event_by_event_nets_to_one_run(worlds):
    """§ 9.2, in time for every claim: a deadline is judged at the run, so what is late is decided by when it ran."""
    stepwise, at_once = replay(worlds, IN_TIME), Engine()
    oracles = [Oracle(OWN) for _ in worlds]
    for number, specs in enumerate(worlds):
        for files in loads_of(specs, number):
            oracles[number].load(files)
    at_once.bind(inputs(*(oracle.store for oracle in oracles)), horizon_of(worlds))
    for process, timing in RUNS:
        at_once.settle(process, timing, IN_TIME, book=True)
    parked = {key[1:] for engine in (stepwise, at_once) for of_run in engine.parked.values() for key in of_run}
    assert net(stepwise.ledger, parked) == net(at_once.ledger, parked)


@pytest.mark.heavy
@examples(3)
@given(WORLDS, st.integers(0, 999))
def test_3_order_of_rows_does_not_matter(worlds, seed):
    """§ 9.3: the same tables in another order of rows, the ledger too: the same lines (the loader: test_worlds)."""
    plain, shuffled = [], []
    replay(worlds, after_run=lambda _, lines: plain.append(lines))
    replay(worlds, shuffled_by=random.Random(seed), after_run=lambda _, lines: shuffled.append(lines))
    assert plain == shuffled


@examples(3)
@given(WORLDS)
def test_4_what_is_booked_is_what_is_entitled(worlds):
    """§ 9.4, the engine's part: by counterparty the ledger sums to the pieces, of the line-months not parked now."""
    engine = replay(worlds, IN_TIME)
    parked = {key[1:] for of_run in engine.parked.values() for key in of_run}
    entitled, booked = Counter(), Counter()
    for key, (_, amount, vat) in engine.pieces().items():
        if key[0] in ("mellemkommunal", "intern") and (key[1], f"{key[2]:%Y-%m}") not in parked:
            entitled[key[0], key[4]] += amount
            entitled[key[0], key[4], "vat"] += vat
    for key, (_, amount, vat) in net(engine.ledger, parked).items():
        booked[key[0], key[4]] += amount
        booked[key[0], key[4], "vat"] += vat
    assert +entitled == +booked


@examples(6)
@given(st.lists(SPECS, min_size=4, max_size=24), st.integers(0, 44))
def test_5_splitting_a_period_gives_the_same_quantity(specs, cut):
    """§ 9.5: exact for every unit but engang and hel, where the departure day is paid; registrations follow their day."""
    store = Oracle(OWN)
    whole = [replace(s, departure_paid="ja", length=s.length or 75) for s in specs if s.unit not in ("engang", "maaned hel")]
    store.load(loads_of([])[0])
    for number, spec in enumerate(whole):
        facts = LineFacts(spec, number, 0)
        files = facts.founding()
        store.load(files)
        first = date.fromordinal(spec.start.toordinal() + min(cut, spec.length - 1))
        halves = {"A": (spec.start, first), "B": (date.fromordinal(first.toordinal() + 1), facts.end)}
        for half, (start, end) in halves.items():
            if start <= end:
                name = {"ydelse_id": facts.line + half}
                store.load({
                    "ydelser": [files["ydelser"][0] | name | {"startdato": start.isoformat(), "slutdato": end.isoformat()}],
                    "fravaer": [row | name for row in files["fravaer"]],
                    "individuelle_takster": [row | name for row in files["individuelle_takster"]],
                    "registreringer": [
                        row | name | {"registrering_id": row["registrering_id"] + half} for row in files["registreringer"]
                    ],
                })  # fmt: skip
    if not whole:
        return
    engine = Engine()
    engine.bind(inputs(store.store), horizon_of([whole]))
    quantities, amounts, counts = Counter(), Counter(), Counter()
    for (process, line, month, price, who, account), (quantity, amount, _) in engine.pieces().items():
        key = (process, line.rstrip("AB"), month, price, who, account)
        sign = -1 if line[-1] in "AB" else 1
        quantities[key] += sign * quantity
        amounts[key] += sign * amount
        counts[key] += 1
    assert not any(quantities.values())
    assert all(abs(difference) <= Fraction(counts[key], 2) for key, difference in amounts.items())


@pytest.mark.heavy
@examples(4)
@given(WORLDS)
def test_6_a_correction_never_exceeds_what_it_corrects(worlds):
    """§ 9.6: where no quantity is negative, no key of the ledger is ever below nothing, after any run."""
    worlds = [[replace(s, registered=s.registered.lstrip("-")) for s in specs] for specs in worlds]
    corrected = Counter()

    def no_key_below_zero(engine, lines):
        if any(values(line)[1][1] < 0 for line in lines):
            corrected["runs"] += 1
            for key, worth in net(engine.ledger, set()).items():
                assert min(worth) >= 0, (key, worth)

    replay(worlds, after_run=no_key_below_zero)


# --- § 9.4, 9.7, 9.8 on the ledger, through the commands -----------------------------------------------------------------


@pytest.mark.parametrize("seed", (31, 33, 34))
def test_4_7_8_the_ledger_verifies_and_every_run_is_reproduced(seed, platform):
    """§ 9.4 and 9.7 are what `verify` checks, after runs and corrections; no booked row changes; § 9.8: `reproduce`."""
    after = []
    for number, files in enumerate(World(seed, lines=30, events=1).loads):
        before = {tuple(row.items()) for row in after}
        platform.load(files)
        platform.settle("mellemkommunal", ("2024-06", "2024-07")[number], ("2024-07-05", "2024-08-05")[number], book=True)
        after = platform.lines()
        assert before <= {tuple(row.items()) for row in after}
        platform.must("verify")
    runs = {row["koersel"] for row in after} - {"0"}  # run 0 is an earlier system's, not computed here
    assert len(runs) == 2 and any(row["regulering"] == "ja" for row in after)
    for run in runs:
        platform.must("reproduce", run)
