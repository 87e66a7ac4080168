"""Every guard has a delivery that makes it fail, and nothing vanishes in any of them."""

import csv
import shutil
from datetime import date

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ingestion import archive, quality
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import judge_unjudged
from settlement.faults import StateFault
from settlement.instance import open_instance
from settlement.ledger import gates
from settlement.ledger.models import GateVerdict
from settlement.ledger.register import open_register

CHART = "Kontostreng;Betegnelse;Profitcenter\n"


@pytest.fixture
def opened(platform):
    instance = open_instance(platform.home)
    with open_warehouse(instance) as con:
        yield instance, con, open_register(instance), platform.files


def _deliver_chart(opened, rows: int, dated: str, unreadable_every: int = 0) -> int:
    instance, con, engine, folder = opened
    path = folder / f"opus_kontoplan_{dated}.csv"
    accounts = ("x" if unreadable_every and n % unreadable_every == 0 else f"52811114100{n:05d}" for n in range(rows))
    path.write_text(CHART + "".join(f"{account};Konto;B\n" for account in accounts), encoding="utf-8-sig")
    load_id, _ = receive(con, instance, [("opus", path.name, path)], dated=dated, received_by="test")
    judge_unjudged(con, instance, engine)
    return load_id


def test_a_delivery_with_too_much_in_quarantine_is_red(opened):
    instance, con, engine, _ = opened
    whole, spoilt = _deliver_chart(opened, 100, "2025-01-31"), _deliver_chart(opened, 100, "2025-02-28", unreadable_every=3)
    faults = quality.judge_profiles(con, instance, engine, [whole, spoilt])
    assert faults[whole] == ""
    assert "karantaene_pct er 34.0, og må være højst" in faults[spoilt]
    with Session(engine) as session:
        verdicts = {v.load_id: v.verdict for v in session.scalars(select(GateVerdict).where(GateVerdict.gate == "profil"))}
    assert verdicts == {whole: "grøn", spoilt: "rød"}
    assert (instance.home / "quality" / "gx" / "uncommitted" / "data_docs").exists()


def test_a_folder_a_person_hands_in_has_no_profile(opened):
    instance, con, engine, folder = opened
    path = folder / "afdelinger.csv"
    path.write_text("afdeling;navn\nSOC;Social\n", encoding="utf-8")
    load_id, _ = receive(con, instance, [(archive.LOADER, path.name, path)], dated="2025-01-31", received_by="test")
    assert quality.judge_profiles(con, instance, engine, [load_id]) == {}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("UPDATE canonical.account SET account = '12'", "account"),
        ("UPDATE canonical.account SET account = NULL", "account"),
        ("INSERT INTO canonical.account FROM canonical.account", "account"),
    ],
)
def test_pandera_finds_a_canonical_row_that_breaks_its_contract(opened, change, column):
    _, con, _, _ = opened
    load_id = _deliver_chart(opened, 3, "2025-01-31")
    assert list(quality.canonical_faults(con, load_id)) == []
    con.execute(change)
    assert any(f"account, kolonnen {column}" in fault for fault in quality.canonical_faults(con, load_id))


def test_the_row_gate_is_red_when_a_row_vanishes(opened):
    instance, con, engine, _ = opened
    load_id = _deliver_chart(opened, 3, "2025-01-31")
    con.execute("UPDATE quarantine.file_count SET rows_accepted = rows_accepted - 1")
    quality.judge_loads(con, instance, engine, [load_id])
    with Session(engine) as session:
        judged = session.scalars(select(GateVerdict).where(GateVerdict.gate == "rækker").order_by(GateVerdict.verdict_id))
        newest = judged.all()[-1]
    assert newest.verdict == "rød" and "opus_kontoplan" in newest.detail


def test_a_deleted_warehouse_comes_back_the_same(platform):
    """Everything derived is replayed from the archive: same rows, same sources, same quarantine."""
    platform.load({"afdelinger": [{"afdeling": "A", "navn": "En"}, {"afdeling": "", "navn": "Uden nøgle"}]})
    platform.load({"afdelinger": [{"afdeling": "A", "navn": "To"}]})
    instance = open_instance(platform.home)
    query = (
        "SELECT 'c', department, name, source_row, load_id FROM canonical.department "
        "UNION ALL SELECT 'q', reason, message, row, load_id FROM quarantine.refused"
    )
    with open_warehouse(instance) as con:
        before = con.execute(query).fetchall()
    instance.warehouse.unlink()
    with open_warehouse(instance) as con:
        assert con.execute(query).fetchall() == before
    assert len(before) == 2


def test_a_file_that_cannot_be_read_changes_nothing(platform):
    folder = platform.files / "blandet"
    folder.mkdir()
    (folder / "afdelinger.csv").write_text("afdeling;navn\nA;\"uafsluttet\n", encoding="utf-8")
    (folder / "tilbud.csv").write_text("tilbud_id;navn;ejerforhold\nT;Huset;egen\n", encoding="utf-8")
    code, screen = platform.run("load", folder)
    assert code == 1 and "afdelinger.csv: kan ikke læses" in screen
    instance = open_instance(platform.home)
    with open_warehouse(instance) as con:
        assert con.execute("SELECT count(*) FROM canonical.department").fetchone()[0] == 0
        assert con.execute("SELECT count(*) FROM canonical.offer").fetchone()[0] == 1
    assert [f.name for load in archive.loads(instance) for f in load.files] == ["tilbud.csv"]


def test_the_archive_keeps_the_very_bytes(platform):
    source = platform.files / "afdelinger.csv"
    source.write_bytes("afdeling;navn\nA;Børn\n".encode("cp1252"))
    platform.must("load", source)
    shutil.copy(source, source.with_suffix(".before"))
    source.unlink()
    instance = open_instance(platform.home)
    kept = archive.loads(instance)[0].files[0]
    assert instance.archived(kept.sha256).read_bytes() == source.with_suffix(".before").read_bytes()


def test_no_message_shows_a_cpr_number(platform):
    platform.load({
        "borgere": [{"cpr": "6101011234", "navn": "A"}, {"cpr": "610101-12", "navn": "Hemmelig"}],
        "ydelsespakker": [{"pakke_id": "P", "cpr": "6202021234"}],
    })  # fmt: skip
    out = platform.files / "u.csv"
    screen = platform.must("exceptions", "--out", out)
    with out.open(encoding="utf-8") as handle:
        messages = [row["besked"] for row in csv.DictReader(handle, delimiter=";")]
    assert len(messages) == 2
    assert not any("610101" in text or "620202" in text or "Hemmelig" in text for text in [*messages, screen])


def test_dates_of_a_delivery_come_from_the_file_name(platform):
    from ingestion.landing import look

    instance = open_instance(platform.home)
    for name in ("opus_kontoplan_2025-02-28.csv", "opus_kontoplan_2025-01-31.csv"):
        folder = instance.landing / "opus"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(CHART, encoding="utf-8")
    assert [date.fromisoformat(day) for day in look(instance).deliveries] == [date(2025, 1, 31), date(2025, 2, 28)]


def test_a_delivery_awaits_its_profile_and_a_corrected_one_lifts_a_red(opened):
    """Booking demands every verdict; a red delivery blocks until the same systems deliver again, and are green."""
    instance, con, engine, _ = opened
    first = _deliver_chart(opened, 100, "2025-01-31")
    with Session(engine) as session, pytest.raises(StateFault, match="ikke bedømt af gaten «profil»"):
        gates.demand_green(session, first)
    quality.judge_profiles(con, instance, engine, [first])
    spoilt = _deliver_chart(opened, 100, "2025-02-28", unreadable_every=3)
    quality.judge_profiles(con, instance, engine, [spoilt])
    with Session(engine) as session:
        gates.demand_green(session, first)
        with pytest.raises(StateFault, match="Gaten «profil» er rød"):
            gates.demand_green(session, spoilt)
    whole = _deliver_chart(opened, 101, "2025-03-01")
    quality.judge_profiles(con, instance, engine, [whole])
    with Session(engine) as session:
        gates.demand_green(session, whole)


def test_odd_headings_are_kept_as_provenance(platform):
    """Unknown columns are kept and reported, whatever they are called; none takes the place of the platform's own."""
    source = platform.files / "afdelinger.csv"
    source.write_text('afdeling;"Kl. ""A""";_file;\nSOC;x;y;z\n', encoding="utf-8")
    screen = platform.must("load", source)
    assert 'kl. "a", _file_, column_4' in screen
    with open_warehouse(open_instance(platform.home)) as con:
        row = con.execute('SELECT "kl. ""a""", _file_, column_4, _row FROM raw.indlaesning__afdelinger').fetchone()
    assert row == ("x", "y", "z", 2)
