"""A hold keeps a line, a citizen or a counterparty out of settlement, by two people, until two people release it."""

import pytest
from sqlalchemy import select

from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger.booking import approve, book
from settlement.ledger.models import Proposal
from settlement.ledger.register import open_register, writing

FILES = {
    "borgere": [{"cpr": "0101801233"}, {"cpr": "1503924567"}],
    "tilbud": [{"tilbud_id": "T1", "ejerforhold": "egen"}],
    "katalogydelser": [{"ydelseskode": "K", "enhed": "doegn"}],
    "takster": [{"ydelseskode": "K", "gyldig_fra": "2024-01-01", "pris": "1000,00"}],
    "ydelsespakker": [
        {"pakke_id": "P1", "cpr": "0101801233", "betalingskommune": "751"},
        {"pakke_id": "P2", "cpr": "1503924567", "betalingskommune": "561"},
    ],
    "ydelser": [
        {"ydelse_id": "Y1", "pakke_id": "P1", "ydelseskode": "K", "tilbud_id": "T1", "startdato": "2025-01-01"},
        {"ydelse_id": "Y2", "pakke_id": "P1", "ydelseskode": "K", "tilbud_id": "T1", "startdato": "2025-01-01"},
        {"ydelse_id": "Y3", "pakke_id": "P2", "ydelseskode": "K", "tilbud_id": "T1", "startdato": "2025-01-01"},
    ],
}
TARGETS = {
    "a line": (["--line", "Y1"], {"Y2", "Y3"}),
    "a citizen": (["--citizen", "0101801233"], {"Y3"}),
    "a counterparty": (["--payer", "561"], {"Y1", "Y2"}),
}


def with_files(platform):
    platform.load(FILES)


@pytest.fixture
def world(make_platform):
    return make_platform(with_files)


def settled(world, through="2025-01", book=False):
    return {row["ydelse_id"] for row in world.settle("mellemkommunal", through, "2025-03-05", book=book)}


@pytest.mark.parametrize("target", TARGETS)
def test_a_hold_takes_effect_when_another_confirms_it_and_ends_the_same_way(world, target):
    words, left = TARGETS[target]
    world.must("hold", "place", *words, "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    assert settled(world) == {"Y1", "Y2", "Y3"}
    assert world.run("hold", "confirm", "1", "--by", "anna")[0] == 1
    world.must("hold", "confirm", "1", "--by", "bo")
    assert settled(world) == left
    parked = {(e["ydelse_id"], e["aarsag"]) for e in world.exceptions() if e["type"] == "parkeret"}
    assert parked == {(line, "tilbageholdt") for line in {"Y1", "Y2", "Y3"} - left}
    world.must("hold", "release", "1", "--reason", "Afgjort", "--by", "bo")
    assert settled(world) == left
    world.must("hold", "confirm", "2", "--by", "anna")
    assert settled(world) == {"Y1", "Y2", "Y3"}
    screen = world.must("hold", "list")
    assert "0101801233" not in screen


def test_a_hold_counts_from_its_month_and_credits_nothing(world):
    assert settled(world, book=True) == {"Y1", "Y2", "Y3"}
    world.load({"ydelser": [{"ydelse_id": "Y1", "slet": "ja"}, {"ydelse_id": "Y3", "slet": "ja"}]})
    world.must("hold", "place", "--line", "Y1", "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    world.must("hold", "place", "--payer", "561", "--from", "2025-02", "--reason", "Klage", "--by", "anna")
    for number in ("1", "2"):
        world.must("hold", "confirm", number, "--by", "bo")
    # Y1 is withdrawn and would be credited, but rests; Y3's January lies before its payer's hold.
    assert settled(world) == {"Y3"}


def test_wrong_words_are_told(world):
    assert world.run("hold", "place", "--line", "Y1", "--from", "2025-01", "--reason", " ", "--by", "anna")[0] == 1
    assert world.run("hold", "place", "--from", "2025-01", "--reason", "x", "--by", "anna")[0] == 2
    assert world.run("hold", "release", "9", "--reason", "x", "--by", "anna")[0] == 1
    assert world.run("hold", "confirm", "9", "--by", "anna")[0] == 1


def test_what_still_waits_is_taken_back_by_one(world):
    """Nothing is in force, so nobody else need agree; what is taken back can no longer be confirmed."""
    world.must("hold", "place", "--line", "Y1", "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    world.must("hold", "release", 1, "--reason", "Forkert ydelse", "--by", "anna")
    assert "venter" not in world.must("hold", "list")
    code, said = world.run("hold", "confirm", 1, "--by", "bo")
    assert code == 1 and "er taget tilbage" in said
    for target in (("--line", "FINDES-IKKE"), ("--payer", "99999"), ("--citizen", "12")):
        code, said = world.run("hold", "place", *target, "--from", "2025-01", "--reason", "Klage", "--by", "anna")
        assert code == 1 and ("findes ikke" in said or "kendes ikke" in said)
    code, said = world.run("hold", "place", "--line", "Y1", "--from", "2025-01", "--reason", "Om 010101-1234", "--by", "anna")
    assert code == 1 and "CPR-nummer" in said


def test_a_proposal_of_before_a_hold_is_not_booked(world):
    world.must("settle", "mellemkommunal", "--through", "2025-01", "--date", "2025-02-05", "--by", "anna")
    world.must("hold", "place", "--line", "Y1", "--from", "2025-01", "--reason", "Klage", "--by", "anna")
    world.must("hold", "confirm", 1, "--by", "bo")
    instance = open_instance(world.home)
    engine = open_register(instance)
    with writing(engine) as session:
        proposal = session.scalars(select(Proposal)).one()
        approve(session, proposal.proposal_id, proposal.hash, "bo")
    with pytest.raises(StateFault, match="En tilbageholdelse eller en manuel linje er bekræftet, siden forslag 1"):
        book(instance, engine, proposal.proposal_id, "anna")
    engine.dispose()
    assert world.lines() == []


def test_an_urgent_run_books_one_counterparty_beside_the_normal_one(world):
    world.must(
        "settle", "mellemkommunal", "--through", "2025-01", "--date", "2025-02-05", "--only", "561", "--book", "--by", "anna",
        "--approved-by", "bo",
    )  # fmt: skip
    assert {row["modpart"] for row in world.lines()} == {"561"}
    assert settled(world, book=True) == {"Y1", "Y2"}
    assert settled(world) == set()
    world.must("verify")
    for run in ("1", "2"):
        assert "alle ens" in world.must("reproduce", run)
