"""What an earlier system has charged: booked once before run 1, balanced, never sent; and old registers that get it."""

import json

import pytest
from sqlalchemy import create_engine, event, func, inspect, select, text
from sqlalchemy.orm import Session
from test_ledger import WORLD

from settlement.instance import open_instance
from settlement.ledger import hashing, heads
from settlement.ledger.models import Base, Document, LedgerLine, OutboxItem, Posting, SettlementRun, View
from settlement.ledger.register import _sqlite_begin, _sqlite_connect, open_register, upgrade
from settlement.ledger.verify import verify


def entry(**cells):
    return {
        "proces": "mellemkommunal", "ydelse_id": "C", "leverancemaaned": "2025-02", "pris": "80000,00", "modpart": "101",
        "konto": "5281230000004001", "antal": "0,2500", "beloeb": "20000,00", "moms": "", "bilag": "G-1",
    } | cells  # fmt: skip


def test_batches_of_opening_entries_are_run_0_and_nothing_of_them_is_sent(either_platform):
    platform = either_platform
    platform.load(WORLD | {"aabningsposter": [
        entry(), entry(ydelse_id="A", modpart="751", bilag=""), entry(leverancemaaned="2025-03", bilag=""),
    ]})  # fmt: skip
    platform.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)
    # Another process is cut over later, and its first document has a number that is known; an old key is not booked again.
    platform.load({"aabningsposter": [
        entry(antal="9"), entry(proces="intern", modpart="SOC"), entry(proces="intern", modpart="SOC", pris="1,00", slet="ja"),
    ]})  # fmt: skip
    platform.settle("intern", "2025-02", "2025-03-05", book=True)
    rows = platform.lines()
    opened = [(row["proces"], row["ydelse_id"], row["bilag"], row["antal"], row["beloeb"]) for row in rows if row["koersel"] == "0"]
    assert sorted(opened) == [
        ("intern", "C", "G-1", "0,2500", "20000,00"), ("mellemkommunal", "A", "", "0,2500", "20000,00"),
        ("mellemkommunal", "C", "", "0,2500", "20000,00"), ("mellemkommunal", "C", "G-1", "0,2500", "20000,00"),
    ]  # fmt: skip
    assert {row["koersel"] for row in rows} == {"0", "1", "2"}
    instance = open_instance(platform.home)
    engine = open_register(instance)
    assert verify(instance, engine) == []
    with Session(engine) as session:
        runs = session.scalars(select(SettlementRun).order_by(SettlementRun.sequence)).all()
        assert [run.run_no for run in runs] == [0, 1, -1, 2]
        assert heads.kept(instance) == [run.hash for run in runs]
        assert session.scalar(select(func.count()).select_from(OutboxItem).where(OutboxItem.run_no <= 0)) == 0
        documents = session.execute(select(Document.run_no, Document.number).where(Document.run_no <= 0)).all()
        assert sorted(documents) == [(-1, "G-1"), (0, ""), (0, "G-1")]
        postings = session.scalars(select(Posting.amount_oere).where(Posting.run_no == 0, Posting.document_number == "")).all()
        assert sum(postings) == 2 * 4_000_000
        quarter = session.scalars(select(LedgerLine).where(LedgerLine.run_no <= 0)).all()
        assert {(line.quantity_num, line.quantity_den) for line in quarter} == {(1, 4)}
    engine.dispose()


def test_an_entry_changed_after_it_was_booked_is_told(platform):
    platform.load(WORLD | {"aabningsposter": [entry()]})
    said = platform.load({"aabningsposter": [entry(beloeb="21000,00")]})
    assert (
        "Åbningsposten for ydelse C, 2025-02, er nu 21.000,00 kr. med moms, men bogført med 20.000,00 kr. i kørsel 0; den bogføres "
        "ikke igen. Ret forskellen med en manuel linje."
    ) in said
    assert "Åbningsposten" not in platform.load({"aabningsposter": [entry()]})
    assert "er nu 0,00 kr." in platform.load({"aabningsposter": [entry(slet="ja")]})


def test_verify_finds_a_changed_opening_line(platform):
    platform.load(WORLD | {"aabningsposter": [entry()]})
    instance = open_instance(platform.home)
    engine = open_register(instance)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER booked_basis_no_update")
        connection.exec_driver_sql("UPDATE booked_basis SET counterparty = '751'")
    assert any("Linje 0 i bilag G-1" in sentence for sentence in verify(instance, engine))


@pytest.mark.parametrize(("version", "hashed_as"), [
    pytest.param("0001", 1, marks=pytest.mark.heavy), pytest.param("0007", 2, marks=pytest.mark.heavy),
    pytest.param("0011", 3, marks=pytest.mark.heavy), ("0013", 4),
])  # fmt: skip
def test_a_booked_register_of_an_earlier_version_is_migrated_and_verifies(either_platform, version, hashed_as):
    """Two runs booked now, laid in a register of that version with the hashes that version gave, then migrated."""
    platform = either_platform
    platform.load(WORLD)
    platform.settle("mellemkommunal", "2025-01", "2025-02-05", book=True)
    platform.load({"ydelser": [WORLD["ydelser"][0] | {"startdato": "2025-01-11"}]})
    platform.settle("mellemkommunal", "2025-02", "2025-03-05", book=True)
    booked = platform.lines()
    assert {line["regulering"] for line in booked} == {"ja", "nej"}
    instance = open_instance(platform.home)
    engine = open_register(instance)
    tables = {**Base.metadata.tables, **View.metadata.tables}
    with engine.connect() as connection:
        rows = {name: [dict(r._mapping) for r in connection.execute(select(t))] for name, t in tables.items()}
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            connection.commit()
    engine.dispose()
    _hash_as(hashed_as, rows)
    if engine.dialect.name == "sqlite":
        (platform.home / "register.sqlite").unlink()
    earlier = create_engine(instance.register_url)
    if earlier.dialect.name == "sqlite":
        event.listen(earlier, "connect", _sqlite_connect)
        event.listen(earlier, "begin", _sqlite_begin)
    upgrade(earlier, version)
    with earlier.begin() as connection:
        if version != "0001":
            connection.execute(text("INSERT INTO open_booking VALUES (0)"))
        # A table comes after those it points to.
        for table in [t.name for t in Base.metadata.sorted_tables] + ["ledger_line"]:
            if table not in inspect(connection).get_table_names():
                continue
            there = {column["name"] for column in inspect(connection).get_columns(table)}  # then
            for whole in rows[table]:
                row = {name: value for name, value in whole.items() if name in there}
                names = ", ".join(f'"{name}"' for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row)
        if earlier.dialect.name == "postgresql":
            for table, key in (("gate_verdict", "verdict_id"), ("proposal", "proposal_id")):
                connection.execute(text(f"SELECT setval('{table}_{key}_seq', (SELECT max({key}) FROM {table}))"))
        if version != "0001":
            connection.execute(text("DELETE FROM open_booking"))
    earlier.dispose()
    heads = [run["hash"] for run in sorted(rows["settlement_run"], key=lambda run: run["run_no"])]
    kept = [json.dumps({"run_no": number, "hash": head}) + "\n" for number, head in enumerate(heads, 1)]
    (instance.archive / "heads.jsonl").write_text("".join(kept))
    assert platform.must("verify").startswith("Regnskabet er helt")
    assert platform.lines() == booked
    platform.load({"aabningsposter": [entry(proces="intern", modpart="SOC")]})
    assert platform.settle("mellemkommunal", "2025-02", "2025-03-05") == []
    assert platform.settle("intern", "2025-02", "2025-03-05", book=True) != []
    platform.must("verify", "--head", heads[-1])
    engine = open_register(instance)
    with Session(engine) as session:
        runs = session.execute(select(SettlementRun.run_no, SettlementRun.hash_version).order_by(SettlementRun.sequence)).all()
        assert runs == [(1, hashed_as), (2, hashed_as), (0, 5), (3, 5)]
        on_table = " ON booked_basis" if engine.dialect.name == "postgresql" else ""
        session.execute(text(f"DROP TRIGGER booked_basis_no_update{on_table}"))
        session.execute(text("UPDATE booked_basis SET cpr = '0101010000' WHERE basis_no = 1"))
        assert any("Linje 1 i bilag F2025-" in sentence for sentence in verify(instance, session.connection()))
        session.rollback()
    engine.dispose()


def _hash_as(version, rows):
    """Gives the rows of lines, bases, documents and runs the hashes that version 1, 2, 3 or 4 gave."""
    previous = ""
    for run in sorted(rows["settlement_run"], key=lambda run: run["run_no"]):
        run["previous_hash"], run["hash_version"] = previous, version
        of_run = [d for d in rows["document"] if d["run_no"] == run["run_no"]]
        for document in of_run:
            lines = [line for line in rows["ledger_line"] if line["document_number"] == document["number"]]
            for line in lines:
                line["content_hash"] = hashing.digest(line[field] for field in hashing.LINE_FIELDS)
            under = [line["content_hash"] for line in sorted(lines, key=lambda line: line["line_number"])]
            if version == 3:
                under = _as_version_3(document, rows)
            if version == 4:  # a basis has been hashed alike since
                bases = [b for b in rows["booked_basis"] if b["document_number"] == document["number"]]
                under = [basis["hash"].hex() for basis in sorted(bases, key=lambda basis: basis["basis_no"])]
            content = [*(document[f] for f in hashing.DOCUMENT_FIELDS), *under]
            document["hash"] = hashing.digest(content, str(version) if version > 2 else "1")
        documents = [d["hash"] for d in sorted(of_run, key=lambda d: d["counterparty"])]
        previous = run["hash"] = hashing.digest([*(run[f] for f in hashing.RUN_FIELDS[version]), *documents], str(version))


def _as_version_3(document, rows):
    """Gives the document's bases and lines the hashes of version 3; returns them in the order of the document's text."""
    bases = sorted((b for b in rows["booked_basis"] if b["document_number"] == document["number"]), key=lambda b: b["basis_no"])
    numbers = {basis["basis_no"] for basis in bases}
    lines = sorted((x for x in rows["booked_line"] if x["basis_no"] in numbers), key=lambda line: line["line_number"])
    for some, fields in ((bases, hashing.BASIS_FIELDS), (lines, hashing.MONTH_FIELDS_3)):
        for row in some:
            row["hash"] = bytes.fromhex(hashing.digest([row[field] for field in fields], "3"))
    return [row["hash"].hex() for row in (*bases, *lines)]
