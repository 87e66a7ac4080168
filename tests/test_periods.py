"""Accounting periods: the month of the booking date, the old year's supplementary period, closed and opened by people."""

import pytest
from postgres import POSTGRESQL, SQLITE
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from test_ledger import with_world

from settlement.instance import open_instance
from settlement.ledger.models import Document, SettlementRun
from settlement.ledger.periods import is_closed
from settlement.ledger.register import open_register


@pytest.fixture
def world(make_platform):
    return make_platform(with_world)


def book(world, day, period=None, through="2025-01"):
    """(exit code, screen) of one booking."""
    words = ["--period", period] if period else []
    return world.run(
        "settle", "mellemkommunal", "--through", through, "--date", day, "--book", "--by", "anna", "--approved-by", "bo", *words
    )


def change(world, action, period, by="anna"):
    return world.run("period", action, period, "--by", by, "--reason", "Årsafslutning")


def booked_in(world):
    """[(year, period, booking date, year of the document's number)] of every run."""
    with Session(open_register(open_instance(world.home))) as session:
        return [
            (run.accounting_year, run.accounting_period, run.booking_date.isoformat(), number.split("-")[0])
            for run, number in session.query(SettlementRun, Document.number)
            .join(Document, Document.run_no == SettlementRun.run_no).order_by(SettlementRun.run_no).distinct()
        ]  # fmt: skip


def test_the_old_year_is_booked_in_its_supplementary_period_until_that_is_closed(world):
    code, said = book(world, "2026-01-15", "2025-13")
    assert code == 0 and "Kørsel 1 er bogført i 2025-13." in said
    assert booked_in(world) == [(2025, 13, "2026-01-15", "F2026")]
    assert change(world, "close", "2025-13")[0] == 0
    code, said = book(world, "2026-01-16", "2025-13", through="2025-02")
    assert code == 1 and "Regnskabsperioden 2025-13 er lukket. Vælg en bogføringsdato i en åben periode." in said
    assert book(world, "2026-01-16", through="2025-02")[0] == 0
    assert (2026, 1, "2026-01-16", "F2026") in booked_in(world)
    world.must("verify")
    for run in ("1", "2"):
        assert "alle ens" in world.must("reproduce", run)


def test_the_period_is_sealed_by_the_runs_hash(world):
    assert book(world, "2026-01-15", "2025-13")[0] == 0
    engine = open_register(open_instance(world.home))
    with engine.begin() as connection:
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("UPDATE settlement_run SET accounting_year = 2026, accounting_period = 1"))
    code, said = world.run("verify")
    assert code == 1 and "Kørsel 1" in said


@pytest.mark.parametrize("period", ["2024-13", "2026-13", "2025-12", "2026-02"])
def test_a_booking_belongs_to_its_month_or_last_years_supplement(world, period):
    code, said = book(world, "2026-01-15", period)
    assert code == 1 and f"kan ikke høre til {period}. Vælg 2026-01 eller supplementsperioden 2025-13." in said
    assert world.lines() == []


def test_a_closed_month_is_opened_by_two_people(world):
    assert change(world, "open", "2025-02")[0] == 1  # it is open
    assert change(world, "close", "2025-02")[0] == 0
    assert change(world, "close", "2025-02")[0] == 1  # it is closed
    code, said = book(world, "2025-02-05")
    assert code == 1
    assert "2025-02 er lukket. Vælg en bogføringsdato i en åben periode, eller 2024-13 med --period." in said
    assert change(world, "open", "2025-02")[0] == 0
    assert book(world, "2025-02-05")[0] == 1
    assert world.run("period", "confirm", "2", "--by", "anna")[0] == 1
    assert world.run("period", "confirm", "1", "--by", "bo")[0] == 1  # a closing needs no second person
    assert "2025-02 åbning venter: anna" in world.must("period", "list")
    world.must("period", "confirm", "2", "--by", "bo")
    listed = world.must("period", "list").splitlines()
    assert [line.split(":")[0] for line in listed] == ["1 2025-02 lukket", "2 2025-02 åbnet"]
    assert book(world, "2025-02-05")[0] == 0


def test_an_opening_is_not_confirmed_once_another_decision_has_come(world):
    change(world, "close", "2025-02")
    change(world, "open", "2025-02")
    change(world, "open", "2025-02")
    code, said = world.run("period", "confirm", "2", "--by", "bo")
    assert code == 1 and "afløst af en senere beslutning" in said
    world.must("period", "confirm", "3", "--by", "bo")
    assert change(world, "close", "2025-02", by="bo")[0] == 0
    with Session(open_register(open_instance(world.home))) as session:
        assert is_closed(session, 2025, 2) and not is_closed(session, 2025, 3)


def test_wrong_words_are_told(world):
    assert "ingen regnskabsperiode" in change(world, "close", "2025-14")[1]
    assert world.run("period", "close", "2025-01", "--by", "anna", "--reason", " ")[0] == 1
    assert world.run("period", "close", "2025-01", "--by", "ukendt", "--reason", "x")[0] == 1
    assert world.run("period", "confirm", "7", "--by", "anna")[0] == 1
    code, said = world.run("settle", "mellemkommunal", "--through", "2025-01", "--period", "2025-13")
    assert code == 2 and "--book" in said
    assert world.must("period", "list") == ""


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_no_change_is_rewritten(make_platform_on, database):
    platform = make_platform_on(database)
    assert change(platform, "close", "2025-02")[0] == 0
    assert change(platform, "open", "2025-02")[0] == 0
    platform.must("period", "confirm", "2", "--by", "bo")
    engine = open_register(open_instance(platform.home))
    for statement in ("UPDATE period_change SET opens = false", "DELETE FROM period_change", "DELETE FROM period_confirmation"):
        with pytest.raises(DBAPIError, match="never"), engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()
