"""Lineage: every asset says its columns' origins; a row and a booked line are followed to the cells of the archived files; the
export is whole and closed; auditors read Dagster and change nothing."""

import csv
import hashlib
import json
import re
import time
from collections import defaultdict
from datetime import date
from html.parser import HTMLParser
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from driver import Platform
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_browser import CHROMIUM, browser  # noqa: F401
from test_run import free_port

from ingestion import archive
from ingestion.contract import contracts
from ingestion.mapping import load_mappings
from ingestion.receiving import receive
from ingestion.warehouse import open_warehouse
from orchestration.column_lineage import graph, uses
from orchestration.definitions import defs
from orchestration.serve import _end, _start, auditor_command
from settlement.instance import open_instance
from settlement.ledger.models import AccessLog, LedgerLine
from settlement.ledger.register import open_register

pytest_plugins = ["demo_instance"]

ASSETS = defs.resolve_asset_graph()
LINEAGE, SCHEMA = "dagster/column_lineage", "dagster/column_schema"
# Assets that are no table: files waiting or delivered, and a publication, whose tables are the marts themselves.
NO_COLUMNS = {("register", "outbox", "file"), ("published", "marts", "build")}
# Layers whose columns come from outside: files as delivered, the register that people book in, national registers.
DBT = ("staging", "intermediate", "marts", "marts_person")
ROOTS = ("raw", "register", "reference", "quarantine", "quality")


def deps_of(key, column):
    return {(dep.asset_key, dep.column_name) for dep in ASSETS.get(key).metadata[LINEAGE].deps_by_column[column]}


# --- Columns of every asset ---------------------------------------------------------------------------------------------


def test_every_asset_with_columns_says_where_they_come_from():
    for key in ASSETS.get_all_asset_keys():
        metadata = ASSETS.get(key).metadata
        if key.path[0] == "landing" or tuple(key.path) in NO_COLUMNS:
            assert LINEAGE not in metadata
            continue
        columns = metadata[SCHEMA].columns
        assert columns and all(column.description and column.type for column in columns), key
        assert list(metadata[LINEAGE].deps_by_column) == [column.name for column in columns], key


def test_every_origin_is_a_column_of_an_asset():
    names = {
        key: {column.name for column in ASSETS.get(key).metadata[SCHEMA].columns}
        for key in ASSETS.get_all_asset_keys() if SCHEMA in ASSETS.get(key).metadata
    }  # fmt: skip
    for key, columns in names.items():
        for column in columns:
            for dep, name in deps_of(key, column):
                assert name in names[dep], (key, column, dep, name)


def test_a_column_without_origin_is_given_by_what_makes_it():
    given = defaultdict(set)
    for table in graph().values():
        if table.layer not in ROOTS and table.name != "settlement.calendar_day":
            for column in table.columns.values():
                # In a model it is a constant or counts rows: what sqlglot cannot follow is an error when the SQL is read.
                if not column.origins and not column.notes and table.layer not in DBT:
                    given[column.name].add(table.name)
    assert given.pop("process") == {"settlement.proposal"}  # which one is asked for
    assert given.pop("is_whole") == {"settlement.day_weight"}  # said by which sentence found the month
    assert given.pop("source_file") == {"settlement.manual_line"}  # «manuel»: it is of no file
    assert all(table.startswith("canonical.") for table in given.pop("withdrawn"))  # no mapping fills `slet`
    for column in ("lines", "found_by", "is_held", "is_all"):  # of counting and choosing alone
        assert {table.partition(".")[0] for table in given.pop(column)} == {"invoice"}
    assert not given


def test_an_amount_is_followed_from_a_mart_to_the_extracts_and_back():
    marts = {key.path[-1]: key for key in ASSETS.get_all_asset_keys() if key.path[0] == "marts"}
    way, waiting = {}, [(marts["settlement_line"], "amount_dkk")]
    while waiting:
        at = waiting.pop()
        way[at] = deps_of(*at)
        waiting += way[at] - way.keys()
    reached = {("/".join(key.path), column) for key, column in way}
    assert {
        ("staging/shared/stg_ledger_line", "amount_oere"), ("ledger/register/ledger_line", "amount_oere"),
        ("settlement/mellemkommunal/proposal", "amount_oere"), ("canonical/catalogue/rate", "price_oere"),
        ("raw/tilbud/takster", "Pris"), ("raw/sensum/ydelser", "Antal"), ("raw/dubu/anbringelser", "units"),
        ("raw/cura/besoeg", "minutter"), ("raw/indlaesning/filer", "takster.pris"),
        ("register/ledger/settlement_run", "ledger_line.amount_oere"),
    } <= reached  # fmt: skip
    assert not any("navn" in column.lower() or "cpr" in column.lower() for _, column in reached)
    back = uses(graph())
    found, waiting = set(), [("raw.tilbud__takster", "Pris")]
    while waiting:
        for user in back.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                waiting.append(user)
    assert {
        ("marts.settlement_line", "amount_dkk"), ("marts.cost_month", "entitled_dkk"), ("marts.budget_follow_up", "commitment_dkk"),
    } <= found  # fmt: skip
    assert ("marts.file_quality", "rows_read") not in found


def test_personal_columns_are_told_apart_from_what_is_computed_of_them():
    of = graph()
    assert of["ledger.ledger_line"].columns["cpr"].personal == "ja"
    assert of["marts_person.citizen"].columns["name"].personal == "ja"
    assert of["raw.sensum__borgere"].columns["Navn"].personal == "ja"
    assert of["marts.cost_month"].columns["persons"].personal == "afledt"
    assert of["marts.settlement_line"].columns["person_key"].personal == "afledt"
    assert of["marts.cost_month"].columns["entitled_dkk"].personal == ""
    assert not [c.name for t in of.values() if t.layer == "marts" for c in t.columns.values() if c.personal == "ja"]


def test_the_columns_are_those_of_a_real_run(demo_home):
    rows = ask(
        demo_home,
        """SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns()
        WHERE NOT internal AND schema_name NOT IN ('history', 'known', 'main')
        ORDER BY column_index""",
    )
    real = defaultdict(dict)
    for table, column, kind in rows:
        real[table][column] = kind
    unknown = {name for (name,) in ask(demo_home, "SELECT DISTINCT unnest(unknown_columns) FROM raw.file")}
    of = graph(open_instance(demo_home))
    for table, columns in real.items():
        if table.startswith("quality.") and table not in of:
            continue  # steps and registers of the rules' own, which nothing else reads
        if table.startswith("raw.") and "__" in table:  # a file may have fewer columns than its layout, and unknown ones
            assert columns.keys() - unknown <= of[table].columns.keys(), table
        else:
            assert {c.name: c.type for c in of[table].columns.values()} == columns, table
    beside = {"register", "reference"}
    missing = {name for name, t in of.items() if t.layer not in beside and "__" not in name} - real.keys()
    assert missing == {"settlement.proposal"}


# --- From a row to its cells --------------------------------------------------------------------------------------------


def archived_row(home, sha256, number, encoding="windows-1252"):
    """The cells of a row of an archived CSV file, read by hand."""
    path = open_instance(home).archived(sha256)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    with path.open(encoding=encoding, newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    return dict(zip(rows[0], rows[number - 1], strict=True))


def told_file(screen):
    return re.search(r"SHA-256 ([0-9a-f]{64})", screen)[1], int(re.search(r"^  Række ([0-9]+)", screen, re.M)[1])


def ask(home, sql, *values):
    with open_warehouse(open_instance(home)) as con:
        return con.execute(sql, list(values)).fetchall()


OF_SENSUM = "SELECT service_line_id FROM canonical.service_line WHERE service_line_id LIKE 'SEN-%' ORDER BY 1"


@pytest.fixture
def traced(own_home, monkeypatch):
    return Platform(own_home, monkeypatch)


def test_a_row_leads_to_its_cells_and_rules(traced):
    ids = ask(traced.home, f"{OF_SENSUM} LIMIT 4")
    for (service_line_id,) in ids:
        screen = traced.must("trace", "ydelser", service_line_id)
        cells = archived_row(traced.home, *told_file(screen))
        assert f"SEN-{cells['Ydelse']}" == service_line_id
        for column in ("Ydelse", "Bevilling", "Ydelseskode", "Start", "Antal"):
            assert f"    {column} = {cells[column]}\n" in screen
        day = cells["Start"]
        assert f"    startdato = {day} ← «Start»\n" in screen
        assert f"    ydelse_id = {service_line_id} ← sammensat som «SEN-{{Ydelse}}»\n" in screen
        assert "    krav = takst ← «Krav», oversat T → takst, R → refusion_9c\n" in screen
        assert re.search(r"Mapning: sensum/1, fingeraftryk [0-9a-f]{16}\.", screen)
    assert traced.must("trace", "service_line", ids[0][0]) == traced.must("trace", "ydelser", ids[0][0])


def test_every_version_of_a_changed_row_is_told(traced):
    [(service_line_id, was, now)] = ask(
        traced.home, "SELECT h.service_line_id, h.end_date, s.end_date FROM history.service_line h "
        "JOIN canonical.service_line s USING (service_line_id) WHERE h.end_date IS DISTINCT FROM s.end_date ORDER BY 1 LIMIT 1",
    )  # fmt: skip
    screen = traced.must("trace", "ydelser", service_line_id)
    old, new = (f"{day:%d-%m-%Y}" if day else "tom" for day in (was, now))
    assert f"slutdato fra {old} til {new}" in screen
    assert "Værdier fra indlæsning 2, gælder nu." in screen and "Værdier fra indlæsning 1, erstattet af indlæsning 2." in screen
    assert screen.count("Rækken som leveret:") == 1
    assert traced.must("trace", "ydelser", service_line_id, "--all").count("Rækken som leveret:") == 2


def test_a_row_that_a_whole_extract_lacks_is_told_so(traced):
    instance = open_instance(traced.home)
    file = next(f for load in archive.loads(instance) for f in load.files if f.name.startswith("opus_kontoplan"))
    lines = instance.archived(file.sha256).read_bytes().splitlines(keepends=True)
    account = lines[-1].decode().split(";")[0].strip('"')
    shorter = traced.files / "opus_kontoplan_2099-01-31.csv"
    shorter.write_bytes(b"".join(lines[:-1]))
    with open_warehouse(instance) as con:
        _, [report] = receive(con, instance, [("opus", shorter.name, shorter)], dated="2099-01-31", received_by="bo")
    assert report.rows_withdrawn == 1
    screen = traced.must("trace", "kontoplan", account)
    assert "Rækken stod ikke i denne fil, som er et helt udtræk, og er derfor trukket tilbage." in screen
    assert "Fil: opus_kontoplan_2099-01-31.csv" in screen and f"Fil: {file.name}" in screen


def test_an_edited_mapping_does_not_hide_the_rule_that_was_used(traced):
    [(service_line_id,)] = ask(traced.home, f"{OF_SENSUM} LIMIT 1")
    before = traced.must("trace", "ydelser", service_line_id)
    shipped = load_mappings()["sensum"].files[0].path
    own = traced.home / "sources" / "sensum" / "1.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(shipped.read_text().replace("startdato: Start", "startdato: Slut"))
    assert traced.must("trace", "ydelser", service_line_id) == before
    [kept] = (traced.home / "archive" / "mappings").glob("*/sensum/1.yaml")
    assert kept.read_bytes() == shipped.read_bytes()
    kept.unlink()
    assert "Reglerne kendes ikke: mapningen er ændret siden" in traced.must("trace", "ydelser", service_line_id)


@pytest.mark.heavy
def test_another_systems_word_is_told_as_its_own(traced):
    settings = traced.home / "settings.toml"
    settings.write_text(settings.read_text().replace("[kilder]\n", '[kilder]\n"borgere.postnummer" = ["dubu"]\n'))
    [(cpr,)] = ask(traced.home, """SELECT cpr FROM canonical.citizen JOIN raw.file ON file_hash = source_file
        WHERE system = 'dubu' AND postal_code IS NOT NULL AND NOT withdrawn ORDER BY 1 LIMIT 1""")  # fmt: skip
    columns = load_mappings()["sensum"].datasets["borgere"].columns
    row = {"CPR-nr.": cpr, "Navn": "Et andet navn", "Postnr.": "9999", "Kommunenr.": "657", "Adressebeskyttelse": "N"}
    file = traced.files / "sensum_borgere_2099-01-31.csv"
    file.write_text(";".join(columns) + "\n" + ";".join(row.get(c, "") for c in columns) + "\n", encoding="windows-1252")
    instance = open_instance(traced.home)
    with open_warehouse(instance) as con:
        load_id, [report] = receive(con, instance, [("sensum", file.name, file)], dated="2099-01-31", received_by="bo")
    assert report.rows_accepted == 1
    screen = traced.must("trace", "borgere", cpr)
    assert f"Fil: {file.name}" in screen and "navn = (skjult) ← «Navn»\n" in screen
    assert re.search(r"postnummer = \(skjult\) ← sagt af dubu i indlæsning [12], som går forud for sensum\n", screen)
    assert cpr not in screen and "9999" not in screen


def test_a_translated_code_is_told_with_its_translation(platform):
    item = {"ydelseskode": "SEL107", "navn": "Midlertidigt botilbud", "enhed": "doegn"}
    platform.load({
        "katalogydelser": [item], "borgere": [{"cpr": "0101010004", "navn": "A"}],
        "ydelsespakker": [{"pakke_id": "P", "cpr": "0101010004", "afdeling": "VO", "betalingskommune": "461",
                           "handlekommune": "461", "status": "bevilget", "bevilget_dato": "2024-01-01"}],
        "ydelsesoversaettelser": [{"kilde": "indlaesning", "kildekode": "BO-1", "gyldig_fra": "2020-01-01", "ydelseskode": "SEL107",
                                   "besluttet_af": "bo", "begrundelse": "det samme"}],
        "ydelser": [{"ydelse_id": "Y", "pakke_id": "P", "ydelseskode": "BO-1", "startdato": "2024-01-01"}],
    })  # fmt: skip
    screen = platform.must("trace", "ydelser", "Y")
    assert "    ydelseskode = SEL107 ← koden BO-1 fra indlaesning, oversat efter ydelsesoversaettelser\n" in screen
    assert "    ydelseskode = BO-1\n" in screen and "    startdato = 01-01-2024 ← «startdato»\n" in screen


def test_loader_files_are_traced_by_their_contract(platform):
    row = {"afdeling": "VOKSEN", "navn": "Voksne", "ean": ""}
    platform.load({"afdelinger": [row]})
    platform.load({"afdelinger": [row | {"navn": "Voksne og ældre"}]})
    screen = platform.must("trace", "afdelinger", "VOKSEN")
    assert "afdelinger (department), afdeling VOKSEN: 2 versioner." in screen
    assert "Ændret: navn fra Voksne til Voksne og ældre." in screen
    assert "    navn = Voksne og ældre ← «navn»\n" in screen and "Række 2, efter indlæsningsfilens kontrakt." in screen


def test_what_cannot_be_traced_is_told_in_a_sentence(traced):
    for words, code, sentence in (
        (["ydelser", "findes-ikke"], 1, "ydelser har ingen række med den nøgle"),
        (["hemmelig", "x"], 1, "Tabellen «hemmelig» findes ikke. Brug en af: katalogydelser"),
        (["takster", "A"], 1, "Skriv: afregning trace takster YDELSESKODE TILBUD_ID GYLDIG_FRA"),
        (["takster", "A", "", "i går"], 1, "gyldig_fra skal være en dato"),
        (["--line", "987654321"], 1, "Linje 987654321 findes ikke"),
        ([], 2, "Angiv enten en tabel"),
        (["ydelser", "x", "--show-personal"], 2, "--by NAVN og --purpose TEKST"),
    ):
        found, screen = traced.run("trace", *words)
        assert found == code and sentence in screen, (words, screen)


def test_personal_cells_are_hidden_and_a_look_is_logged(traced):
    [(cpr, name, address)] = ask(
        traced.home,
        "SELECT cpr, name, address FROM canonical.citizen WHERE address IS NOT NULL AND NOT withdrawn ORDER BY 1 LIMIT 1",
    )
    screen = traced.must("trace", "borgere", cpr)
    assert not any(secret in screen for secret in (cpr, cpr[:6] + "-" + cpr[6:], name, address))
    assert "navn = (skjult) ← " in screen and "postnummer = (skjult)" in screen
    for table, sql in (("ydelser", "service_line"), ("ydelsespakker", "service_package")):
        [(key, person)] = ask(traced.home, f"""
            SELECT {contracts()[sql].key[0]}, p.cpr FROM canonical.{sql} JOIN canonical.service_package p USING (package_id)
            ORDER BY 1 LIMIT 1""")  # fmt: skip
        assert person not in traced.must("trace", table, key).replace("-", "")
    asking = ["--show-personal", "--purpose", "Stikprøve 7 af borgere", "--by"]
    assert "har ikke ret til at se borgere" in traced.run("trace", "borgere", cpr, *asking, "dan")[1]
    seen = traced.must("trace", "borgere", cpr, *asking, "rita")
    assert name in seen and address in seen
    with Session(open_register(open_instance(traced.home))) as session:
        looks = session.scalars(select(AccessLog)).all()
    assert [(look.user_name, look.cpr, look.purpose) for look in looks] == [("rita", cpr, "Stikprøve 7 af borgere")]


def test_a_booked_line_leads_to_every_file_it_was_made_of(traced):
    last = date.today().replace(day=1)
    through = f"{last.year - (last.month == 1)}-{(last.month - 2) % 12 + 1:02d}"
    traced.must("settle", "mellemkommunal", "--through", through, "--book", "--by", "anna", "--approved-by", "bo")
    instance = open_instance(traced.home)
    files = {f.sha256[:16]: f.name for load in archive.loads(instance) for f in load.files}
    with Session(open_register(instance)) as session:
        lines = session.scalars(select(LedgerLine).order_by(LedgerLine.line_number)).all()
        runs = {line.line_number: line for line in lines[:: max(1, len(lines) // 8)]}
        for number, line in runs.items():
            screen = traced.must("trace", "--line", number)
            for what, source in ((f"Ydelsen {line.service_line_id}", line.line_source), ("Taksten ", line.rate_source)):
                file, _, row = source.partition(":")
                place = rf"{re.escape(files[file])} \([a-z]+\), række {row}, "
                assert re.search(rf"  {re.escape(what)}.*: {place}", screen), (what, screen)
            assert f"Bilag {line.document_number} (" in screen and "Kørsel 1, bogført" in screen
            assert re.search(rf"  Betaleren {line.counterparty}, .*: \S+ \([a-z]+\), række [0-9]+, ", screen), screen
            assert not line.account or f"  Kontoen {line.account}, " in screen or "konteringsregel" in screen
            frozen = re.search(r"archive/inputs/([0-9a-f]{64})\.json", screen)[1]
            assert hashlib.sha256((traced.home / "archive" / "inputs" / f"{frozen}.json").read_bytes()).hexdigest() == frozen
            assert line.cpr not in screen and "OBS" not in screen
        assert "Rækken som leveret:" in traced.must("trace", "--line", number, "--all")


# --- The export ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.loads = [], [], []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told["href"]] if "href" in told else []
        self.loads += [told[name] for name in ("src", "action") if name in told]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lineage")
    with pytest.MonkeyPatch.context() as environment:  # there is no instance
        screen = Platform(folder / "instance", environment).must("lineage", "--out", folder / "out")
    return folder / "out", screen


def test_the_export_is_whole_and_asks_nobody_for_anything(exported):
    folder, screen = exported
    page = Page()
    page.feed((folder / "index.html").read_text(encoding="utf-8"))
    of = graph()
    assert len(page.ids) == len(set(page.ids))
    inside = [link for link in page.links if link.startswith("#")]
    assert {link[1:] for link in inside} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"kolonner.csv", "openlineage.json"}
    assert page.loads == [] and "@import" not in (folder / "index.html").read_text()
    assert {name for name in of} <= set(page.ids)
    with (folder / "kolonner.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert list(rows[0]) == ["from_table", "from_column", "to_table", "to_column", "by"]
    links = [(o.table, o.column, t.name, c.name) for t in of.values() for c in t.columns.values() for o in c.origins]
    assert [tuple(row.values())[:4] for row in rows] == links
    assert f"{len(of)} tabeller" in screen and f"{len(links)} forbindelser" in screen
    rate = next(row for row in rows if list(row.values())[:4] == ["raw.tilbud__takster", "Pris", "canonical.rate", "price_oere"])
    assert rate["by"] == "ingestion/sources/tilbud/1.yaml: tilbud/1, takster: «Pris»"
    told = json.loads((folder / "openlineage.json").read_text(encoding="utf-8"))
    events = {event["dataset"]["name"]: event["dataset"]["facets"] for event in told}
    assert events.keys() == of.keys()
    fields = events["marts.cost_month"]["columnLineage"]["fields"]["entitled_dkk"]["inputFields"]
    assert [(f["name"], f["field"]) for f in fields] == [("staging.stg_piece", "amount_oere")]


@pytest.mark.heavy
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}; CHROMIUM names another")
def test_the_export_is_searched_and_followed_in_a_browser(exported, browser):  # noqa: F811
    page = browser.new_page()
    faults, asked = [], []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{exported[0] / 'index.html'}")
    page.get_by_role("searchbox").fill("cost_month entitled")
    assert page.locator("#found").inner_text() == "1 kolonner passer"
    row = page.locator("tbody tr:visible")
    assert row.count() == 1
    row.get_by_role("link", name="staging.stg_piece.amount_oere").click()
    assert page.locator("[id='staging.stg_piece/amount_oere']").is_visible()  # the search gives way to the link
    assert not faults and all(url.startswith("file://") for url in asked)


# --- Dagster for auditors -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def auditors(demo_home, tmp_path_factory):
    """The address of the auditors' web server on the demo."""
    port, log = free_port(), tmp_path_factory.mktemp("auditor") / "log"
    server = _start(auditor_command(port), open_instance(demo_home), log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            assert server.poll() is None, log.read_text()
            try:
                urlopen(f"{address}/server_info")
                break
            except (URLError, OSError):
                time.sleep(0.1)
        yield address
    finally:
        _end([server])


JSON = {"Content-Type": "application/json"}


def graphql(address, query, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    with urlopen(Request(f"{address}/graphql", body, JSON), timeout=120) as answer:
        return json.load(answer)


RUNS = "{ runsOrError { ... on Runs { results { status } } } }"
PLACE = {"repositoryLocationName": "afregning", "repositoryName": "__repository__", "jobName": "pipeline"}


def test_auditors_read_assets_and_their_columns(auditors):
    answer = graphql(auditors, """{ assetNodes { assetKey { path } metadataEntries { __typename label
        ... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps { assetKey { path } columnName } } } } } }""")
    nodes = {tuple(node["assetKey"]["path"]): node["metadataEntries"] for node in answer["data"]["assetNodes"]}
    assert len(nodes) == len(ASSETS.get_all_asset_keys())
    [told] = [e for e in nodes["marts", "settlement", "cost_month"] if e["label"] == LINEAGE]
    entitled = next(line for line in told["lineage"] if line["columnName"] == "entitled_dkk")
    assert entitled["columnDeps"] == [{"assetKey": {"path": ["staging", "shared", "stg_piece"]}, "columnName": "amount_oere"}]
    assert graphql(auditors, RUNS)["data"]["runsOrError"]["results"] == [{"status": "SUCCESS"}]


def test_auditors_can_change_nothing(auditors, demo_home):
    refused = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    params = {"selector": PLACE, "mode": "default", "runConfigData": "{}"}
    assert graphql(auditors, refused, p=params)["data"]["launchRun"]["__typename"] == "UnauthorizedError"
    many = """mutation($p: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $p) {
        ... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename } } } }"""
    answer = graphql(auditors, many, p=[params])["data"]["launchMultipleRuns"]
    assert answer["launchMultipleRunsResult"] == [{"__typename": "UnauthorizedError"}]
    place = {k: v for k, v in PLACE.items() if k != "jobName"}
    schedule = "mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) { __typename } }"
    answer = graphql(auditors, schedule, s=place | {"scheduleName": "nightly"})
    assert answer["data"]["startSchedule"]["__typename"] == "UnauthorizedError"
    wipe = "mutation($r: [PartitionsByAssetSelector!]!) { wipeAssets(assetPartitionRanges: $r) { __typename } }"
    answer = graphql(auditors, wipe, r=[{"assetKey": {"path": ["marts", "settlement", "cost_month"]}}])
    assert answer["data"]["wipeAssets"]["__typename"] == "UnauthorizedError"
    report = Request(f"{auditors}/report_asset_materialization/marts/settlement/cost_month", b"{}", JSON)
    with pytest.raises(URLError, match="401"):
        urlopen(report)
    allowed = graphql(auditors, "{ permissions { permission value } }")["data"]["permissions"]
    assert allowed and not [p["permission"] for p in allowed if p["value"]]
    assert len(graphql(auditors, RUNS)["data"]["runsOrError"]["results"]) == 1


def test_auditors_see_no_person(auditors, demo_home):
    """Every event of every run, and every asset's metadata, as the page asks for them."""
    persons = ask(demo_home, "SELECT cpr, name, address FROM canonical.citizen")
    secrets = {value for person in persons for value in person if value} | {(demo_home / "person_salt").read_text()}
    runs = graphql(auditors, "{ runsOrError { ... on Runs { results { runId runConfigYaml } } } }")
    entries = """metadataEntries { label description ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr }
        ... on JsonMetadataEntry { jsonString } ... on PathMetadataEntry { path } }"""
    assets = "{ assetNodes { description ENTRIES assetMaterializations { ENTRIES } assetObservations { ENTRIES } } }"
    events = """query($id: ID!, $c: String) { logsForRun(runId: $id, afterCursor: $c) { ... on EventConnection { cursor hasMore
        events { ... on MessageEvent { message stepKey }
            ... on AssetCheckEvaluationEvent { evaluation { description ENTRIES } } } } } }"""
    told = [runs, graphql(auditors, assets.replace("ENTRIES", entries))]
    for run in runs["data"]["runsOrError"]["results"]:
        page = {"cursor": None, "hasMore": True}
        while page["hasMore"]:
            answer = graphql(auditors, events.replace("ENTRIES", entries), id=run["runId"], c=page["cursor"])
            page = answer["data"]["logsForRun"]
            told.append(answer)
    text = json.dumps(told, ensure_ascii=False)
    assert "some rows" in text and len(text) > 100_000 and len(secrets) > 100
    assert not [secret for secret in secrets if secret in text]
