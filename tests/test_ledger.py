"""Four eyes, gates, the chain and the triggers: what a ledger must refuse, and that `verify` names what is broken."""

import sqlite3
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from lxml import etree
from sqlalchemy import select
from sqlalchemy.orm import Session

from settlement.documents.oioubl_rules import check
from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import mirror, periods
from settlement.ledger.booking import approve, book
from settlement.ledger.delivery import deliver
from settlement.ledger.gates import record_verdict
from settlement.ledger.models import Document, LedgerLine, OutboxItem, Posting, Proposal
from settlement.ledger.register import add_user, open_register
from settlement.ledger.verify import verify

# 80.000 kr. a month from the 19th of a month of 31 days: 13/31, the case that a rounded quantity gets wrong.
WORLD = {
    "katalogydelser": [
        {"ydelseskode": "OPH", "navn": "Ophold", "enhed": "maaned", "moms_pct": "0"},
        {"ydelseskode": "KUR", "navn": "Kursus", "enhed": "engang", "moms_pct": "25"},
    ],
    "takster": [
        {"ydelseskode": "OPH", "tilbud_id": "", "gyldig_fra": "2025-01-01", "gyldig_til": "", "pris": "80000,00"},
        {"ydelseskode": "KUR", "tilbud_id": "", "gyldig_fra": "2025-01-01", "gyldig_til": "", "pris": "999,99"},
    ],
    "tilbud": [{"tilbud_id": "T", "navn": "Huset", "ejerforhold": "egen"}],
    "borgere": [{"cpr": "6101011234", "navn": "Prøve Borger"}],
    "ydelsespakker": [
        {"pakke_id": "P", "cpr": "6101011234", "betalingskommune": "751", "afdeling": "SOC"},
        {"pakke_id": "Q", "cpr": "6101011234", "betalingskommune": "101", "afdeling": "SOC"},
    ],
    "ydelser": [
        {"ydelse_id": "A", "pakke_id": "P", "ydelseskode": "OPH", "tilbud_id": "T", "startdato": "2025-01-19"},
        {"ydelse_id": "B", "pakke_id": "P", "ydelseskode": "KUR", "tilbud_id": "T", "startdato": "2025-02-03"},
        {"ydelse_id": "C", "pakke_id": "Q", "ydelseskode": "OPH", "tilbud_id": "T", "startdato": "2025-02-01"},
    ],
    "modparter": [
        {"kode": "751", "gyldig_fra": "2020-01-01", "navn": "Aarhus Kommune", "cvr": "55133018",
         "ean": "5790000123456", "adresse": "Rådhuspladsen 2, 8000 Aarhus C", "kontakt": "Ann"},
        {"kode": "461", "gyldig_fra": "2020-01-01", "navn": "Odense Kommune", "cvr": "35209115",
         "ean": "5790000123456", "adresse": "Flakhaven 2, 5000 Odense C", "kontakt": "Bo"},
    ],
}  # fmt: skip
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"


def with_world(platform):
    platform.load(WORLD)


def with_booked_world(platform):
    with_world(platform)
    platform.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)


@pytest.fixture
def world(make_platform):
    return make_platform(with_world)


@pytest.fixture
def proposed(world):
    """(platform, instance, engine, proposal): proposed by anna, not approved."""
    world.must("settle", "mellemkommunal", "--through", "2025-02", "--date", "2025-03-05", "--by", "anna")
    instance = open_instance(world.home)
    engine = open_register(instance)
    with Session(engine, expire_on_commit=False) as session:
        return world, instance, engine, session.scalars(select(Proposal)).one()


def test_the_proposer_cannot_approve(proposed):
    _, _, engine, proposal = proposed
    with Session(engine) as session, pytest.raises(StateFault, match="En anden skal godkende"):
        approve(session, proposal.proposal_id, proposal.hash, "anna")


def test_another_proposals_hash_is_not_approved(proposed):
    _, _, engine, proposal = proposed
    with Session(engine) as session, pytest.raises(StateFault, match="ikke det, der blev vist"):
        approve(session, proposal.proposal_id, "0" * 64, "bo")


def test_a_role_without_the_right_cannot_approve(proposed):
    _, _, engine, proposal = proposed
    with Session(engine) as session:
        add_user(session, "carl", "revisor")
        session.flush()
        with pytest.raises(StateFault, match="har ikke ret"):
            approve(session, proposal.proposal_id, proposal.hash, "carl")


def test_nothing_is_booked_without_approval(proposed):
    _, instance, engine, proposal = proposed
    with pytest.raises(StateFault, match="ikke godkendt"):
        book(instance, engine, proposal.proposal_id, "anna")


def _approve(engine, proposal):
    with Session(engine) as session, session.begin():
        approve(session, proposal.proposal_id, proposal.hash, "bo")


def test_the_approver_cannot_book(proposed):
    _, instance, engine, proposal = proposed
    _approve(engine, proposal)
    with pytest.raises(StateFault, match="En anden skal bogføre"):
        book(instance, engine, proposal.proposal_id, "bo")


def test_a_red_gate_stops_the_booking(proposed):
    _, instance, engine, proposal = proposed
    _approve(engine, proposal)
    with Session(engine) as session, session.begin():
        record_verdict(
            session, load_id=1, scope="opus", gate="profil", input_version="x", rules_version="1", verdict="rød",
            detail="For få rækker.",
        )  # fmt: skip
    with pytest.raises(StateFault, match="Gaten «profil» er rød"):
        book(instance, engine, proposal.proposal_id, "anna")


def test_a_missing_verdict_stops_the_booking(proposed):
    _, instance, engine, proposal = proposed
    later = {c.name: getattr(proposal, c.name) for c in Proposal.__table__.c}
    later |= {"proposal_id": proposal.proposal_id + 1, "last_load_id": proposal.last_load_id + 1}
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.add(unjudged := Proposal(**later))  # as if made of a load whose gates have not been run
    _approve(engine, unjudged)
    with pytest.raises(StateFault, match="Indlæsning 2 er ikke bedømt af gaten «rækker»"):
        book(instance, engine, unjudged.proposal_id, "anna")


def test_a_closed_period_takes_no_booking(proposed):
    _, instance, engine, proposal = proposed
    _approve(engine, proposal)
    with Session(engine) as session, session.begin():
        periods.close(session, user_name="anna", year=2025, period=3, reason="Årsafslutning")
    with pytest.raises(StateFault, match="2025-03 er lukket"):
        book(instance, engine, proposal.proposal_id, "anna")


def test_a_moved_head_stops_the_booking(proposed):
    platform, instance, engine, proposal = proposed
    _approve(engine, proposal)
    platform.settle("mellemkommunal", "2025-01", "2025-02-05", book=True)
    with pytest.raises(StateFault, match="Lav et nyt forslag"):
        book(instance, engine, proposal.proposal_id, "anna")


def test_booking_twice_gives_the_same_run(proposed):
    _, instance, engine, proposal = proposed
    _approve(engine, proposal)
    first = book(instance, engine, proposal.proposal_id, "anna")
    assert book(instance, engine, proposal.proposal_id, "anna").run_no == first.run_no == 1


def test_a_run_repeated_books_nothing(world):
    world.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)
    assert world.settle("mellemkommunal", "2025-02", "2025-03-05", book=True) == []
    assert {row["koersel"] for row in world.lines()} == {"1"}


@pytest.fixture
def booked(make_platform):
    world = make_platform(with_booked_world)
    instance = open_instance(world.home)
    return world, instance, open_register(instance)


def test_invoices_ledger_and_postings_are_equal_to_the_oere(booked):
    platform, instance, engine = booked
    with Session(engine) as session:
        documents = session.scalars(select(Document).order_by(Document.number)).all()
        assert [d.kind for d in documents] == ["faktura", "faktura"]
        by_counterparty = {d.counterparty: d for d in documents}
        aarhus = by_counterparty["751"]
        lines = session.scalars(select(LedgerLine).where(LedgerLine.document_number == aarhus.number)).all()
        # 80.000 × 13/31 = 33.548,39 in January, 80.000 in February, 999,99 once with 25 % VAT: 250,00
        assert sorted(line.amount_oere for line in lines) == [99_999, 3_354_839, 8_000_000]
        assert (aarhus.amount_oere, aarhus.vat_oere) == (11_454_838, 25_000)
        postings = session.scalars(select(Posting).where(Posting.document_number == aarhus.number)).all()
        assert {side: sum(p.amount_oere for p in postings if p.side == side) for side in ("debet", "kredit")} == {
            "debet": 11_479_838, "kredit": 11_479_838,
        }  # fmt: skip
    xml = (instance.outbox / "1" / f"{aarhus.number}.xml").read_bytes()
    assert check(xml) == []
    payable = etree.fromstring(xml).findtext(f".//{CBC}PayableAmount")
    assert Decimal(payable) * 100 == 11_479_838
    assert b"610101" not in xml and "Prøve Borger".encode() not in xml
    assert platform.must("verify").startswith("Regnskabet er helt")


def test_a_document_without_delivery_address_is_booked_and_waits(booked):
    _, _, engine = booked
    with Session(engine) as session:
        waiting = session.scalars(select(OutboxItem).where(OutboxItem.status == "mangler_adresse")).all()
        assert [session.get(Document, (item.run_no, item.document_number)).counterparty for item in waiting] == ["101"]


def test_a_delivered_file_is_the_same_when_written_again(booked):
    _, instance, engine = booked
    before = {p.name: p.read_bytes() for p in (instance.outbox / "1").iterdir()}
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET status = 'venter' WHERE status = 'leveret'")
    deliver(instance, engine)
    assert {p.name: p.read_bytes() for p in (instance.outbox / "1").iterdir()} == before


BOOKED_TABLES = ("booked_basis", "booked_line", "document", "posting", "settlement_run", "proposal", "approval")


@pytest.mark.parametrize("table", BOOKED_TABLES)
@pytest.mark.parametrize("attack", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"])
def test_triggers_refuse_changes(booked, table, attack):
    _, instance, _ = booked
    with sqlite3.connect(instance.home / "register.sqlite") as connection, pytest.raises(sqlite3.IntegrityError, match="never"):
        column = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        connection.execute(attack.format(table, column))


# With the triggers dropped, `verify` still finds the row.
TAMPERED = {
    "a changed amount": ("UPDATE booked_line SET amount_oere = amount_oere + 1 WHERE line_number = 2", "Linje 1, 2 i bilag"),
    "a changed line": ("UPDATE booked_line SET amount_oere = amount_oere + 1 WHERE line_number = 2", "en anden, er linje 2."),
    "a changed payer": ("UPDATE document SET counterparty = '461' WHERE counterparty = '751'", "Bilag F2025-"),
    "a removed line": ("DELETE FROM booked_line WHERE line_number = 3", "i bilag F2025-"),
    "a changed posting": ("UPDATE posting SET amount_oere = amount_oere - 1 WHERE posting_id = 1", "er ikke ens"),
    "a changed run": ("UPDATE settlement_run SET booked_by = 'bo'", "Kørsel 1 eller dens bilag"),
    "a number skipped": ("UPDATE number_series SET last = last + 1", "har huller"),
    "a cut chain": (
        "DELETE FROM outbox; DELETE FROM posting; DELETE FROM booked_line; DELETE FROM booked_basis; DELETE FROM document; "
        "DELETE FROM settlement_run; DELETE FROM number_series",
        "kæden er afkortet",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_verify_names_the_broken_row(booked, what):
    attack, sentence = TAMPERED[what]
    _, instance, engine = booked
    connection = sqlite3.connect(instance.home / "register.sqlite")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.executescript(attack)
    connection.close()
    broken = verify(instance, engine)
    assert any(sentence in found for found in broken), broken


def test_a_changed_mirror_is_found_and_a_lost_one_written_again(booked):
    platform, instance, engine = booked
    (mirrored,) = mirror.files(instance, engine)
    whole = mirrored.read_bytes()
    lines = pq.read_table(mirrored)
    pq.write_table(lines.slice(1), mirrored)
    assert any("er ikke registerets linjer" in sentence for sentence in verify(instance, engine))
    mirrored.write_bytes(whole[:-1])
    assert any("kan ikke læses" in sentence for sentence in verify(instance, engine))
    mirrored.unlink()
    assert mirror.files(instance, engine) == [mirrored] and verify(instance, engine) == []
    assert pq.read_table(mirrored).equals(lines)


def test_a_changed_file_in_the_outbox_is_found(booked):
    _, instance, engine = booked
    path = next((instance.outbox / "1").glob("*.xml"))
    path.write_bytes(path.read_bytes().replace(b"DKK", b"EUR"))
    assert any(path.name in found for found in verify(instance, engine))


def test_a_head_that_was_never_in_the_chain_is_told(booked):
    platform, _, _ = booked
    assert platform.run("verify", "--head", "f" * 64)[0] == 1
