"""Ten processes at once, each with an engine of its own, on both databases: one books, the others say so."""

import multiprocessing
from datetime import date

import pytest
from postgres import POSTGRESQL, SQLITE, new_database, use_register
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session
from test_ledger import WORLD

from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import heads, holds
from settlement.ledger.booking import approve, book
from settlement.ledger.models import Document, Hold, LedgerLine, NumberSeries, Proposal, SettlementRun, User
from settlement.ledger.register import add_user, open_register, writing
from settlement.ledger.verify import verify

pytestmark = pytest.mark.heavy

TEN = 10
FORK = multiprocessing.get_context("fork")


def at_once(instance, jobs):
    """What each job answers of (instance, its engine), or the sentence of its StateFault; all start together."""
    ready = FORK.Barrier(len(jobs))

    def work(job, answers):
        ready.wait()
        try:
            answers.send(("answer", job(instance, open_register(instance))))
        except StateFault as fault:
            answers.send(("fault", str(fault)))
        except BaseException as fault:
            answers.send(("crash", repr(fault)))

    pipes = [FORK.Pipe(duplex=False) for _ in jobs]
    children = [FORK.Process(target=work, args=(job, pipe[1])) for job, pipe in zip(jobs, pipes, strict=True)]
    for child in children:
        child.start()
    said = [pipe[0].recv() if pipe[0].poll(120) else ("crash", "no answer") for pipe in pipes]
    for child in children:
        child.join()
    return said


def _proposals(platform, dates):
    """Approved proposals of one head, one per booking date."""
    for day in dates:
        platform.must("settle", "mellemkommunal", "--through", "2025-02", "--date", day, "--by", "anna")
    instance = open_instance(platform.home)
    engine = open_register(instance)
    with Session(engine) as session, session.begin():
        proposals = session.scalars(select(Proposal).order_by(Proposal.proposal_id)).all()
        for proposal in proposals:
            approve(session, proposal.proposal_id, proposal.hash, "bo")
        ids = [p.proposal_id for p in proposals]
    engine.dispose()
    return instance, ids


def _booking(proposal_id):
    return lambda instance, engine: book(instance, engine, proposal_id, "anna").run_no


def _assert_one_run(instance, lines):
    engine = open_register(instance)
    assert verify(instance, engine) == []
    assert len(heads.kept(instance)) == 1
    with Session(engine) as session:
        assert session.scalars(select(SettlementRun.run_no)).all() == [1]
        assert session.scalar(select(func.count()).select_from(LedgerLine)) == lines
        sequences = session.scalars(select(Document.sequence).order_by(Document.sequence)).all()
        assert sequences == list(range(1, len(sequences) + 1))
        assert session.scalars(select(NumberSeries.last)).all() == [len(sequences)]
    engine.dispose()


def test_ten_book_the_same_proposal(either_platform):
    either_platform.load(WORLD)
    instance, (proposal_id,) = _proposals(either_platform, ["2025-03-05"])
    assert at_once(instance, [_booking(proposal_id)] * TEN) == [("answer", 1)] * TEN
    _assert_one_run(instance, lines=4)


def test_ten_book_proposals_of_one_head(either_platform):
    either_platform.load(WORLD)
    instance, ids = _proposals(either_platform, [f"2025-03-{day:02d}" for day in range(1, TEN + 1)])
    assert len(ids) == TEN
    said = at_once(instance, [_booking(proposal_id) for proposal_id in ids])
    winners = [i for i, (kind, _) in enumerate(said) if kind == "answer"]
    assert len(winners) == 1, said
    for i, (kind, sentence) in enumerate(said):
        if i not in winners:
            assert kind == "fault" and sentence.startswith("Der er bogført i mellemkommunal, siden"), said
    _assert_one_run(instance, lines=4)


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_ten_open_an_empty_register(database, make_platform, request):
    home = make_platform().home
    (home / "register.sqlite").unlink()
    if database == POSTGRESQL:
        use_register(home, new_database(request.getfixturevalue("postgres_server")))

    def add(name):
        def job(_, engine):
            with writing(engine) as session:
                add_user(session, name, "revisor")
            return name

        return job

    names = [f"bruger{i}" for i in range(TEN)]
    instance = open_instance(home)
    assert at_once(instance, [add(name) for name in names]) == [("answer", name) for name in names]
    with Session(open_register(instance)) as session:
        assert sorted(session.scalars(select(User.name))) == names


def test_ten_who_decide_at_once_are_all_heard(either_platform):
    """Each reads who may decide before it writes: none is overtaken in between and refused."""

    def place(line):
        def job(_, engine):
            for month in range(1, 6):
                with writing(engine) as session:
                    holds.place(
                        session, user_name="anna", from_month=date(2025, month, 1), reason="Klage", service_line_id=line
                    )
            return line

        return job

    instance = open_instance(either_platform.home)
    lines = [f"Y{i}" for i in range(TEN)]
    assert at_once(instance, [place(line) for line in lines]) == [("answer", line) for line in lines]
    with Session(open_register(instance)) as session:
        assert session.scalar(select(func.count()).select_from(Hold)) == 5 * TEN


def test_ten_confirm_the_same_hold(either_platform):
    """One confirmation is kept; whoever was a moment later is told, or finds it done."""
    instance = open_instance(either_platform.home)
    engine = open_register(instance)
    with writing(engine) as session:
        holds.place(session, user_name="anna", from_month=date(2025, 1, 1), reason="Klage", service_line_id="A")
    engine.dispose()

    def confirm(_, engine):
        with writing(engine) as session:
            holds.confirm(session, user_name="bo", hold_id=1)
        return "bekræftet"

    said = at_once(instance, [confirm] * TEN)
    assert ("answer", "bekræftet") in said
    assert {sentence.partition(".")[0] for kind, sentence in said if kind != "answer"} <= {"En anden har netop besluttet det samme"}
    with Session(open_register(instance)) as session:
        assert [hold.hold_id for hold in holds.in_force(session)] == [1]


def test_a_register_that_stays_busy_is_told(platform):
    platform.load(WORLD)
    instance, (proposal_id,) = _proposals(platform, ["2025-03-05"])
    engine = open_register(instance)
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
    with open_register(instance).connect().execution_options(immediate=True) as other:
        other.begin()
        with pytest.raises(StateFault, match="Registeret er optaget af en anden kørsel"):
            book(instance, engine, proposal_id, "anna")
    assert book(instance, engine, proposal_id, "anna").run_no == 1
