"""The outbox: what fails is tried again after a growing wait, whatever stopped it, and nothing half is left."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from test_ledger import WORLD, with_world

from settlement.instance import open_instance
from settlement.ledger.delivery import deliver
from settlement.ledger.models import OutboxItem
from settlement.ledger.register import now, open_register

BOOK = (
    "settle", "mellemkommunal", "--through", "2025-02", "--date", "2025-03-05", "--book", "--by", "anna", "--approved-by", "bo",
)  # fmt: skip


def items(engine):
    with Session(engine) as session:
        return session.query(OutboxItem).order_by(OutboxItem.outbox_id).all()


def be_due(engine):
    """Lets the wait of every failed file be over."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET next_attempt_at = '2025-01-01 00:00:00.000000' WHERE status = 'fejlet'"))


@pytest.fixture
def hindered(make_platform):
    """(platform, instance, engine) after a booking whose folder in the outbox could not be made."""
    platform = make_platform(with_world)
    instance = open_instance(platform.home)
    (instance.outbox / "1").write_text("no folder")
    platform.must(*BOOK)
    return platform, instance, open_register(instance)


def test_a_full_disk_or_lost_folder_is_told_and_tried_again_when_due(hindered):
    platform, instance, engine = hindered
    failed = [item for item in items(engine) if item.status == "fejlet"]
    assert {item.format for item in failed} == {"pdf", "oioubl", "opus"}
    for item in failed:
        assert item.attempts == 1 and "kunne ikke skrives i udbakken" in item.last_error
        assert str(platform.home) not in item.last_error
        assert timedelta(seconds=0) < item.next_attempt_at - now() <= timedelta(minutes=1)
    code, said = platform.run("deliver")
    assert code == 1 and f"{failed[0].outbox_id} er forsøgt 1 gang, prøves igen " in said
    assert all(item.attempts == 1 for item in items(engine) if item.status == "fejlet")  # none was due
    (instance.outbox / "1").unlink()
    be_due(engine)
    assert "fejlet" not in platform.must("deliver")
    assert {item.attempts for item in items(engine) if item.status == "leveret"} == {2}
    assert all(item.next_attempt_at is None and item.last_error == "" for item in items(engine))
    platform.must("verify")


def test_the_wait_doubles_up_to_a_day(hindered):
    _, instance, engine = hindered
    waits = []
    for attempt in range(2, 15):
        be_due(engine)
        deliver(instance, engine)
        item = next(item for item in items(engine) if item.status == "fejlet")
        assert item.attempts == attempt
        waits.append(round((item.next_attempt_at - now()).total_seconds() / 60))
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]


def test_now_means_regardless_of_the_wait(hindered):
    platform, instance, engine = hindered
    assert platform.run("deliver", "--now")[0] == 1
    assert {item.attempts for item in items(engine) if item.status == "fejlet"} == {2}
    (instance.outbox / "1").unlink()
    assert "fejlet" not in platform.must("deliver", "--now")
    assert platform.must("deliver", "--now") == platform.must("deliver")  # what is delivered is left alone
    assert max(item.attempts for item in items(engine)) == 3


def test_an_invoice_that_breaks_a_rule_fails_alone(platform):
    parties = [WORLD["modparter"][0], WORLD["modparter"][1] | {"cvr": ""}]  # an issuer without CVR number
    platform.load(WORLD | {"modparter": parties})
    platform.must(*BOOK)
    engine = open_register(open_instance(platform.home))
    by_format = {item.format: item.status for item in items(engine) if item.status != "mangler_adresse"}
    assert by_format == {"oioubl": "fejlet", "pdf": "leveret", "opus": "leveret"}
    code, said = platform.run("deliver", "--now")
    assert code == 1 and ".xml er forsøgt 2 gange, prøves igen " in said


def test_what_a_stopped_process_left_half_is_written_whole(hindered):
    platform, instance, engine = hindered
    (instance.outbox / "1").unlink()
    (instance.outbox / "1").mkdir()
    item = next(item for item in items(engine) if item.format == "pdf")
    (instance.outbox / item.outbox_id).with_suffix(".part").write_bytes(b"%PDF-1.4 half")
    platform.must("deliver", "--now")
    assert (instance.outbox / item.outbox_id).read_bytes().endswith(b"%%EOF\n")
    assert not list(instance.outbox.rglob("*.part"))
    platform.must("verify")


def test_two_that_deliver_at_once_write_each_file_once(hindered):
    platform, instance, engine = hindered
    (instance.outbox / "1").unlink()
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: deliver(instance, engine, at_once=True), range(4)))
    assert all(count["fejlet"] == 0 for count in counts)
    assert {item.attempts for item in items(engine) if item.status == "leveret"} == {2}
    platform.must("verify")
