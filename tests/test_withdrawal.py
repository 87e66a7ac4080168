"""A booked document withdrawn by its counter-document: four eyes, a trace, and the next run heals what is still owed."""

import pytest
from driver import decimal
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_ledger import with_booked_world

from settlement.instance import open_instance
from settlement.ledger.models import Document, Proposal
from settlement.ledger.register import open_register
from settlement.ledger.reproduce import reproduce
from settlement.ledger.verify import verify

BOOK = ("--book", "--by", "anna", "--approved-by", "bo")


@pytest.fixture
def booked(make_platform):
    platform = make_platform(with_booked_world)
    instance = open_instance(platform.home)
    engine = open_register(instance)
    yield platform, instance, engine
    engine.dispose()


def refusal(platform, *arguments):
    code, screen = platform.run("withdraw", *arguments)
    assert code in (1, 2)
    return screen


def document_of(engine, counterparty, run_no):
    with Session(engine) as session:
        return session.scalars(
            select(Document).where(Document.counterparty == counterparty, Document.run_no == run_no)
        ).one()


def test_a_withdrawn_document_is_countered_line_by_line_and_proposed_again(booked):
    platform, instance, engine = booked
    charged = document_of(engine, "751", 1)
    platform.must("withdraw", charged.number, "--reason", "Forkert modtager", "--date", "2025-03-10", *BOOK)
    counter = document_of(engine, "751", 2)
    assert (counter.kind, counter.amount_oere, counter.vat_oere) == ("kreditnota", -charged.amount_oere, -charged.vat_oere)
    first = {(row["ydelse_id"], row["leverancemaaned"]): row for row in platform.lines() if row["koersel"] == "1"}
    second = [row for row in platform.lines() if row["koersel"] == "2"]
    assert len(second) == 3 and {row["retter"] for row in second} == {charged.number}
    for row in second:
        was = first[row["ydelse_id"], row["leverancemaaned"]]
        for column in ("antal", "beloeb", "moms"):
            assert decimal(row[column]) == -decimal(was[column])
    # The other document stands, and what the citizen's municipality still owes is proposed again.
    again = platform.settle("mellemkommunal", "2025-02", "2025-03-12", book=True)
    assert sorted(row["beloeb"] for row in again) == sorted(row["beloeb"] for row in first.values() if row["modpart"] == "751")
    assert {row["retter"] for row in again} == {counter.number}
    assert platform.settle("mellemkommunal", "2025-02", "2025-03-12") == []
    assert verify(instance, engine) == [] and [reproduce(instance, engine, n)[1] for n in (1, 2, 3)] == [[], [], []]
    with Session(engine) as session:
        trace = session.scalars(select(Proposal).where(Proposal.withdraws != "")).one()
        assert (trace.withdraws, trace.reason, trace.created_by) == (charged.number, "Forkert modtager", "anna")


def test_a_held_counterparty_is_not_charged_again(booked):
    platform, _, engine = booked
    platform.must("hold", "place", "--payer", "751", "--from", "2025-01", "--reason", "Uenighed", "--by", "anna")
    platform.must("hold", "confirm", "1", "--by", "bo")
    platform.must("withdraw", document_of(engine, "751", 1).number, "--reason", "Uenighed", "--date", "2025-03-10", *BOOK)
    assert platform.settle("mellemkommunal", "2025-02", "2025-03-12") == []


def test_what_is_no_document_of_ours_or_withdrawn_already_is_refused(booked):
    platform, _, engine = booked
    number = document_of(engine, "751", 1).number
    assert "er ikke bogført her" in refusal(platform, "F2025-999999", "--reason", "x")
    assert "begrundelse" in refusal(platform, number, "--reason", " ")
    platform.must("withdraw", number, "--reason", "Forkert modtager", "--date", "2025-03-10", *BOOK)
    assert "allerede trukket tilbage i kørsel 2" in refusal(platform, number, "--reason", "x")
