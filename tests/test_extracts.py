"""What an extract's own date, its completeness and its undoing mean for what is known (docs/data_team.md)."""

from datetime import date

import pytest

from ingestion import archive
from ingestion.effect import effect_of
from ingestion.receiving import receive, undo
from ingestion.warehouse import open_warehouse
from settlement.faults import StateFault
from settlement.instance import create_folders
from settlement.ledger.register import open_register

CHART_HEADER = "Kontostreng;Betegnelse;Profitcenter\n"
BASIS = {
    "katalogydelser.csv": "ydelseskode;navn;enhed\nDAG;Dagtilbud;doegn\n",
    "tilbud.csv": "tilbud_id;navn;ejerforhold\nT1;Huset;egen\n",
    "borgere.csv": "cpr;navn\n0101010000;Bo\n",
    "ydelsespakker.csv": "pakke_id;cpr;betalingskommune\nP1;0101010000;751\n",
    "ydelser.csv": "ydelse_id;pakke_id;ydelseskode;tilbud_id;startdato\nY1;P1;DAG;T1;01-01-2025\n",
    "takster.csv": "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;100,00\n",
}


@pytest.fixture
def opened(tmp_path):
    instance = create_folders(tmp_path / "instance", "461")
    with open_warehouse(instance) as con:
        yield instance, con, tmp_path


def _chart(opened, accounts: list[str], day: str, **options):
    instance, con, folder = opened
    path = folder / f"opus_kontoplan_{day}.csv"
    path.write_text(CHART_HEADER + "".join(f"{a};Konto {a};SOC\n" for a in accounts), encoding="utf-8")
    return receive(con, instance, [("opus", path.name, path)], dated=day, received_by="test", **options)


def _loader(opened, files: dict[str, str], day: str = "2025-01-31"):
    instance, con, folder = opened
    given = []
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        given.append((archive.LOADER, name, folder / name))
    return receive(con, instance, given, dated=day, received_by="test")


def _accounts(first: int, last: int) -> list[str]:
    return [f"05{n:014d}" for n in range(first, last)]


def _living(con, table: str = "account", column: str = "account") -> set[str]:
    return {value for (value,) in con.execute(f"SELECT {column} FROM canonical.{table} WHERE NOT withdrawn").fetchall()}


def _every_canonical_row(con) -> dict[str, list]:
    from ingestion.contract import contracts

    tables = [f"{schema}.{table}" for schema in ("canonical", "history") for table in contracts()]
    tables += ["quarantine.refused", "quarantine.warned", "quarantine.file_count"]
    return {table: sorted(map(repr, con.execute(f"FROM {table}").fetchall())) for table in tables}


def test_a_key_missing_from_a_whole_extract_is_withdrawn(opened):
    _, con, _ = opened
    _chart(opened, _accounts(0, 100), "2025-01-31")
    load_id, (report,) = _chart(opened, _accounts(2, 101), "2025-02-28")
    assert (report.rows_accepted, report.rows_withdrawn, report.held) == (99, 2, "")
    assert _living(con) == set(_accounts(2, 101))
    gone = con.execute("SELECT load_id, source_row, dated FROM canonical.account WHERE withdrawn").fetchall()
    assert gone == [(load_id, None, date(2025, 2, 28))] * 2


def test_a_whole_extract_that_lost_too_much_is_held_until_released(opened):
    instance, con, _ = opened
    _chart(opened, _accounts(0, 100), "2025-01-31")
    before = _every_canonical_row(con)
    load_id, (report,) = _chart(opened, _accounts(3, 100), "2025-02-28")
    assert load_id is None and report.rows_withdrawn == 3 and "mangler 3 af 100 rækker" in report.held
    assert _every_canonical_row(con) == before and len(archive.loads(instance)) == 1
    load_id, (report,) = _chart(opened, _accounts(3, 100), "2025-02-28", released={report.sha256})
    assert load_id == 2 and not report.held and _living(con) == set(_accounts(3, 100))


def test_twenty_one_keys_are_held_however_many_there_are(opened):
    _chart(opened, _accounts(0, 2000), "2025-01-31")
    assert _chart(opened, _accounts(20, 2000), "2025-02-28")[0] == 2
    assert _chart(opened, _accounts(41, 2000), "2025-03-31")[1][0].held


def test_nothing_is_withdrawn_where_a_key_cannot_be_read(opened):
    _, con, _ = opened
    _chart(opened, _accounts(0, 100), "2025-01-31")
    _, (report,) = _chart(opened, [*_accounts(1, 100), "konto"], "2025-02-28")
    assert (report.rows_quarantined, report.rows_withdrawn) == (1, 0)
    assert _living(con) == set(_accounts(0, 100))


def test_what_another_source_brought_is_not_withdrawn(opened):
    _, con, _ = opened
    _chart(opened, _accounts(0, 100), "2025-01-31")
    con.execute("UPDATE canonical.account SET source_file = 'anden' WHERE account = ?", [_accounts(0, 1)[0]])
    _, (report,) = _chart(opened, _accounts(1, 100), "2025-02-28")
    assert report.rows_withdrawn == 0 and _living(con) == set(_accounts(0, 100))


def test_an_older_whole_extract_changes_nothing(opened):
    _, con, _ = opened
    _chart(opened, _accounts(0, 100), "2025-02-28")
    before = _every_canonical_row(con)["canonical.account"]
    _, (report,) = _chart(opened, _accounts(1, 105), "2025-01-31")
    assert (report.rows_read, report.rows_outdated, report.rows_accepted, report.rows_withdrawn) == (104, 104, 0, 0)
    assert _every_canonical_row(con)["canonical.account"] == before


def test_an_older_row_does_not_overwrite_a_newer(opened):
    _, con, _ = opened
    _loader(opened, BASIS, "2025-03-01")
    rate = "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;{}\n"
    _, (report,) = _loader(opened, {"takster.csv": rate.format("90,00")}, "2025-02-01")
    assert (report.rows_outdated, report.rows_accepted) == (1, 0)
    _loader(opened, {"takster.csv": rate.format("100,00")}, "2025-05-01")  # says the same again, later
    _loader(opened, {"takster.csv": rate.format("95,00")}, "2025-04-01")
    assert con.execute("SELECT price_oere, dated FROM canonical.rate").fetchall() == [(10000, date(2025, 5, 1))]
    _loader(opened, {"takster.csv": rate.format("96,00")}, "2025-06-01")
    assert con.execute("SELECT price_oere FROM canonical.rate").fetchall() == [(9600,)]


def test_an_older_row_does_not_close_a_newer_refused_one(opened):
    _, con, _ = opened
    _loader(opened, BASIS, "2025-01-31")
    line = "ydelse_id;pakke_id;ydelseskode;tilbud_id;startdato\nY1;P1;DAG;T1;{}\n"
    _loader(opened, {"ydelser.csv": line.format("31-02-2025")}, "2025-03-01")
    _loader(opened, {"ydelser.csv": line.format("01-02-2025")}, "2025-02-15")
    assert con.execute("SELECT count(*) FROM quarantine.refused WHERE closed_by_load IS NULL").fetchone() == (1,)
    _loader(opened, {"ydelser.csv": line.format("01-02-2025")}, "2025-03-02")
    assert con.execute("SELECT count(*) FROM quarantine.refused WHERE closed_by_load IS NULL").fetchone() == (0,)


def test_a_csv_whose_last_line_has_no_end_is_not_trusted_to_its_last_row(opened):
    instance, con, folder = opened
    path = folder / "opus_kontoplan_2025-01-31.csv"
    path.write_text(CHART_HEADER + "0512345678901234;Konto;SOC\n0512345678901235;Kon", encoding="utf-8")
    _, (report,) = receive(con, instance, [("opus", path.name, path)], dated="2025-01-31", received_by="test")
    assert (report.rows_accepted, report.rows_quarantined) == (1, 1)


def test_an_undone_load_leaves_what_was_before_it(opened):
    instance, con, _ = opened
    _loader(opened, BASIS, "2025-01-31")
    facts = "SELECT {} FROM canonical.{} ORDER BY ALL"
    rates = facts.format("price_oere, withdrawn", "rate")
    lines = facts.format("service_line_id, start_date, withdrawn", "service_line")
    before = con.execute(rates).fetchall(), con.execute(lines).fetchall()
    _loader(opened, {
        "takster.csv": "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;1000,00\n",
        "ydelser.csv": "ydelse_id;pakke_id;ydelseskode;startdato\nY2;P1;DAG;01-01-2025\nY3;P1;DAG;x\n",
    })  # fmt: skip
    load = undo(con, instance, 2, dated="2025-02-01", received_by="anna", reason="forkert takst")
    assert (load.load_id, load.undoes) == (3, 2)
    after = con.execute(rates).fetchall(), con.execute(lines).fetchall()
    assert after == (before[0], [*before[1], ("Y2", date(2025, 1, 1), True)])
    assert con.execute("SELECT count(*) FROM quarantine.refused WHERE closed_by_load IS NULL").fetchone() == (0,)
    with pytest.raises(StateFault, match="allerede fortrudt i indlæsning 3"):
        undo(con, instance, 2, dated="2025-02-01", received_by="anna", reason="igen")
    undo(con, instance, 3, dated="2025-02-02", received_by="anna", reason="den var rigtig")
    assert con.execute("SELECT price_oere FROM canonical.rate").fetchall() == [(100000,)]
    assert _living(con, "service_line", "service_line_id") == {"Y1", "Y2"}


def test_undoing_a_correction_opens_the_refused_row_again_and_leaves_later_changes(opened):
    instance, con, _ = opened
    _loader(opened, BASIS | {"fravaer.csv": "ydelse_id;fra;til\nY1;01-01-2025;x\n"})
    _loader(opened, {"fravaer.csv": "ydelse_id;fra;til\nY1;01-01-2025;05-01-2025\n", "borgere.csv": "cpr;navn\n0101010000;Bodil\n"})
    _loader(opened, {"borgere.csv": "cpr;navn\n0101010000;Bente\n"})
    undo(con, instance, 2, dated="2025-02-01", received_by="anna", reason="forkert fravær")
    assert con.execute("SELECT row, load_id FROM quarantine.refused WHERE closed_by_load IS NULL").fetchall() == [(2, 4)]
    assert _living(con, "absence", "service_line_id") == set()
    assert _living(con, "citizen", "name") == {"Bente"}


def test_a_catalogue_item_in_use_stays_when_its_load_is_undone(opened):
    instance, con, _ = opened
    _loader(opened, {name: BASIS[name] for name in ("katalogydelser.csv",)})
    _loader(opened, {name: content for name, content in BASIS.items() if name != "katalogydelser.csv"})
    undo(con, instance, 1, dated="2025-02-01", received_by="anna", reason="prøve")
    assert _living(con, "catalogue_item", "item_code") == {"DAG"}


def test_the_effect_is_told_in_rows_and_kroner_and_nothing_is_kept(opened):
    instance, con, folder = opened
    engine = open_register(instance)
    _loader(opened, BASIS)
    before = _every_canonical_row(con)
    (folder / "takster.csv").write_text("ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;110,00\n", encoding="utf-8")
    files = [(archive.LOADER, "takster.csv", folder / "takster.csv")]
    effect = effect_of(con, instance, engine, through=date(2025, 2, 1), dated="2025-03-01", files=files)
    (table,), (process,) = effect.tables, effect.processes
    assert (table.table, table.new, table.changed, table.withdrawn) == ("rate", 0, 1, 0)
    assert (process.process, process.before_oere, process.after_oere) == ("mellemkommunal", 59 * 100_00, 59 * 110_00)
    assert process.line_months == 2 and effect.moved_oere == 59 * 10_00
    assert _every_canonical_row(con) == before and len(archive.loads(instance)) == 1
    undone = effect_of(con, instance, engine, through=date(2025, 2, 1), dated="2025-03-01", undoes=1)
    assert undone.processes[0].after_oere == 0


@pytest.mark.heavy
def test_a_rebuilt_warehouse_is_the_same(opened):
    instance, con, _ = opened
    _loader(opened, BASIS)
    _chart(opened, _accounts(0, 100), "2025-01-31")
    _chart(opened, _accounts(1, 100), "2025-03-31")
    _chart(opened, _accounts(0, 100), "2025-02-28")
    _loader(opened, {"takster.csv": "ydelseskode;tilbud_id;gyldig_fra;pris\nDAG;;01-01-2025;x\n"}, "2025-04-01")
    undo(con, instance, 3, dated="2025-05-01", received_by="anna", reason="prøve")
    before = _every_canonical_row(con)
    con.close()
    instance.warehouse.unlink()
    with open_warehouse(instance) as again:
        assert _every_canonical_row(again) == before
