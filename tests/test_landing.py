"""Landing places over real transports: what is taken, what is left and why, with an SFTP server and an object store."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import asyncssh
import pytest
from servers import ACCESS_KEY, SECRET_KEY, make_key, object_store, sftp_server

from ingestion import landing, places
from ingestion.archive import loads
from ingestion.contract import contracts
from ingestion.warehouse import open_warehouse
from orchestration.pipeline import ingest
from settlement.instance import open_instance
from settlement.ledger.register import open_register

POSTINGS = (
    "Bilagsnummer;Position;Kontostreng;Profitcenter;Bogføringsdato;Periode;Beløb;Betegnelse\n"
    "1;1;5538521004047000;VO-BO;31-01-2026;2026-01;100,00;Botilbud\n"
)
MORE = POSTINGS + "2;1;5538521004047000;VO-BO;31-01-2026;2026-01;200,00;Botilbud\n"


@pytest.fixture(scope="session")
def sftp():
    with sftp_server() as server:
        yield server


@pytest.fixture(scope="session")
def store():
    with object_store() as running:
        yield running


@pytest.fixture
def secrets(monkeypatch):
    monkeypatch.setenv("AFREGNING_S3_KEY", ACCESS_KEY)
    monkeypatch.setenv("AFREGNING_S3_SECRET", SECRET_KEY)


def set_landing(home, **by_system):
    """Writes `[landing]`: a URL, or a table of options."""
    path = home / "settings.toml"
    kept = path.read_text(encoding="utf-8").split("[landing]")[0]
    tables = "".join(
        f"[landing.{system}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
        for system, options in by_system.items()
    )
    path.write_text(f"{kept}[landing]\n{tables}", encoding="utf-8")
    return open_instance(home)


def over_sftp(sftp, folder, **options):
    return {"url": sftp.url(folder), "key_file": str(sftp.key_file), "known_hosts": str(sftp.known_hosts)} | options


def over_s3(store, prefix, **options):
    return {
        "url": f"s3://{prefix}", "endpoint_url": store.endpoint_url, "access_key_env": "AFREGNING_S3_KEY",
        "secret_key_env": "AFREGNING_S3_SECRET",
    } | options  # fmt: skip


def take(instance):
    """Everything that waits, taken in: (names per load, sentences, faults)."""
    told = []
    with open_warehouse(instance) as con:
        before = len(loads(instance))
        received = ingest(con, instance, open_register(instance), told.append, through=date(2026, 10, 1))
    names = [[file.name for file in load.files] for load in loads(instance)[before:]]
    kept = [sentence for sentence in told if not sentence.startswith(("Levering", "Læser", "Kontrollerer"))]
    return names, kept, [report.fault for _, reports in received for report in reports if report.fault]


def canonical(instance):
    with open_warehouse(instance) as con:
        return {
            table: sorted(con.execute(f"SELECT * EXCLUDE (load_id) FROM canonical.{table}").fetchall(), key=repr)
            for table in contracts()
        }


@pytest.fixture
def folder(tmp_path):
    """A folder outside the instance, for one system's files."""
    made = tmp_path / "udtraek"
    made.mkdir()
    return made


def put(folder, name, text=POSTINGS, age=100):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def opus(platform, sftp, folder):
    """An instance whose opus lies on the SFTP server in `folder`."""
    return set_landing(platform.home, opus=over_sftp(sftp, folder, quiet_seconds=1))


@pytest.mark.heavy
def test_a_delivery_is_the_same_over_every_transport(make_platform, sftp, store, secrets, tmp_path):
    from_folder = make_platform()
    from_folder.must("demo", "--population", "1000", "--months", "3", "--until", "2026-09")
    here = open_instance(from_folder.home)
    systems = [path.name for path in sorted(here.landing.iterdir())]
    for path in here.landing.glob("*/*"):
        os.utime(path, (0, 0))  # long finished
    names, told, faults = take(here)
    assert len(names) == 2 and not told and not faults and len(systems) > 3
    expected = canonical(here)
    assert sum(map(len, expected.values())) > 500

    files = store.files()
    files.mkdir("udtraek")
    for system in systems:
        for path in (here.landing / system).iterdir():
            files.put_file(str(path), f"udtraek/{system}/{path.name}")
    # Every system over either transport, both side by side.
    for first, second in ((over_sftp_of(sftp, here), over_s3_of(store)), (over_s3_of(store), over_sftp_of(sftp, here))):
        place = {system: (first, second)[number % 2](system) for number, system in enumerate(systems)}
        remote = set_landing(make_platform().home, **place)
        assert take(remote) == (names, [], [])
        assert canonical(remote) == expected
        assert take(remote) == ([], [], [])
        assert not (remote.home / landing.INCOMING).exists()


def over_sftp_of(sftp, instance):
    return lambda system: over_sftp(sftp, instance.landing / system, quiet_seconds=1)


def over_s3_of(store):
    return lambda system: over_s3(store, f"udtraek/{system}", quiet_seconds=1)


@pytest.mark.heavy
def test_a_strange_host_key_is_refused(opus, sftp, folder, tmp_path):
    put(folder, "opus_posteringer_2026-01-31.csv")
    make_key(tmp_path / "another")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sftp.port} {(tmp_path / 'another.pub').read_text()}")
    for text in (known.read_text(), ""):  # another key than the known one, and none known at all
        known.write_text(text)
        names, _, [fault] = take(set_landing(opus.home, opus=over_sftp(sftp, folder, known_hosts=str(known))))
        assert names == [] and "viser en anden nøgle" in fault and "root@" not in fault
    [fault] = take(set_landing(opus.home, opus=over_sftp(sftp, folder, known_hosts="findes-ikke")))[2]
    assert "findes-ikke mangler" in fault
    assert take(set_landing(opus.home, opus=over_sftp(sftp, folder)))[0] == [["opus_posteringer_2026-01-31.csv"]]


@pytest.mark.heavy
def test_wrong_keys_and_passwords_are_told_without_secrets(platform, sftp, store, secrets, folder, tmp_path, monkeypatch):
    make_key(tmp_path / "another")
    (tmp_path / "broken").write_text("ingen nøgle")
    monkeypatch.setenv("FORKERT", "hemmeligt-og-forkert")
    wrong = {
        "giver ikke adgang": over_sftp(sftp, folder, key_file=str(tmp_path / "another")),
        "kan ikke læses": over_sftp(sftp, folder, key_file=str(tmp_path / "broken")),
        "FINDES_IKKE, som sftp": {"url": sftp.url(folder), "known_hosts": str(sftp.known_hosts), "password_env": "FINDES_IKKE"},
        "mangler key_file eller password_env": {"url": sftp.url(folder), "known_hosts": str(sftp.known_hosts)},
        "har en adgangskode i sig": over_sftp(sftp, folder, url="sftp://kommune:hemmeligt@127.0.0.1/udtraek"),
        "s3://klar giver ikke adgang": over_s3(store, "klar", secret_key_env="FORKERT"),
        "s3://klar/sti giver ikke adgang": over_s3(store, "klar/sti", access_key_env="FORKERT"),
        "s3://findes-ikke/sti findes ikke": over_s3(store, "findes-ikke/sti"),
        "https://": over_s3(store, "klar", endpoint_url="http://s3.example.dk"),
        "skal nævne en mappe": {"url": "ftp://server/sti"},
        "complete, quiet_seconds": over_sftp(sftp, folder, complete="gæt", quiet_seconds=-1),
        "key_file ved": over_s3(store, "klar", key_file="x"),
        "/findes-ikke findes ikke": over_sftp(sftp, "/findes-ikke"),
        "/heller-ikke findes ikke": {"url": "/heller-ikke"},
    }
    for expected, place in wrong.items():
        names, told, faults = take(set_landing(platform.home, opus=place))
        assert (names, told) == ([], [])
        assert len(faults) == 1 and expected in faults[0] and faults[0].startswith("opus: "), (expected, faults)
        assert "hemmelig" not in faults[0] and SECRET_KEY not in faults[0]
    [fault] = take(set_landing(platform.home, kmd={"url": "/et/sted"}))[2]
    assert "kmd, som ikke er et kildesystem" in fault
    assert take(set_landing(platform.home, opus=over_s3(store, "klar/tom"))) == ([], [], [])  # an empty prefix is none


@pytest.mark.heavy
def test_a_password_from_the_environment_opens_a_server(platform, folder, tmp_path, monkeypatch):
    """By asyncssh's own server, for sshd takes passwords of the machine's users only."""
    put(folder, "opus_posteringer_2026-01-31.csv")
    key = asyncssh.generate_private_key("ssh-ed25519")
    monkeypatch.setenv("OPUS_KODE", "rigtig")

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username):
            return True

        def password_auth_supported(self):
            return True

        def validate_password(self, username, password):
            return (username, password) == ("kommune", "rigtig")

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def listen():
        return await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key], sftp_factory=True)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        port = server.get_port()
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
        place = {"url": f"sftp://kommune@127.0.0.1:{port}{folder}", "known_hosts": str(known), "password_env": "OPUS_KODE"}
        monkeypatch.setenv("OPUS_KODE", "forkert")
        assert "giver ikke adgang" in take(set_landing(platform.home, opus=place))[2][0]
        monkeypatch.setenv("OPUS_KODE", "rigtig")
        assert take(set_landing(platform.home, opus=place)) == ([["opus_posteringer_2026-01-31.csv"]], [], [])
    finally:
        loop.call_soon_threadsafe(server.close)


@pytest.fixture
def down(make_platform, sftp, folder):
    """An instance with a file of opus, whose sensum lies on a server that is down; and what is said of it."""
    platform = make_platform()
    mine = platform.home / "landing" / "opus"
    mine.mkdir()
    put(mine, "opus_posteringer_2026-01-31.csv")
    set_landing(platform.home, sensum=over_sftp(sftp, folder))
    sftp.stop()
    yield platform, f"sensum: sftp://127.0.0.1:{sftp.port}{folder} kan ikke nås"
    sftp.start()


def test_a_server_that_is_down_stops_nobody_else(down):
    platform, sentence = down
    names, _, [fault] = take(open_instance(platform.home))
    assert names == [["opus_posteringer_2026-01-31.csv"]] and fault.startswith(sentence)


@pytest.mark.heavy
def test_a_run_goes_on_to_its_end_where_a_server_is_down(down):
    platform, sentence = down
    code, screen = platform.run("run")
    assert code == 1 and sentence in screen
    assert "Levering 31-01-2026: 1 filer, 1 rækker læst" in screen
    assert [file.name for load in loads(open_instance(platform.home)) for file in load.files] == ["opus_posteringer_2026-01-31.csv"]


def test_files_on_their_way_are_left(opus, folder):
    for name in ("{}.part", "{}.FILEPART", ".{}"):
        put(folder, name.format("opus_posteringer_2026-01-31.csv"))
    names, told, faults = take(opus)
    assert (names, faults) == ([], []) and len(told) == 2
    assert all("er ikke færdigskrevet" in sentence for sentence in told)


@pytest.mark.parametrize("transport", ["folder", pytest.param("sftp", marks=pytest.mark.heavy)])
def test_a_file_being_written_is_left_until_it_lies_still(platform, sftp, folder, transport):
    place = {"url": str(folder), "quiet_seconds": 1} if transport == "folder" else over_sftp(sftp, folder, quiet_seconds=1)
    instance = set_landing(platform.home, opus=place)
    put(folder, "opus_posteringer_2026-01-31.csv")
    growing = folder / "opus_posteringer_2026-02-28.csv"
    done = threading.Event()

    def write():
        with growing.open("w", buffering=1) as handle:
            handle.write(POSTINGS)
            number = 0
            while not done.wait(0.05):
                number += 1
                handle.write(MORE.splitlines()[-1].replace("2", str(number + 1), 1) + "\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not growing.exists():
            time.sleep(0.01)
        names, told, faults = take(instance)
    finally:
        done.set()
        writer.join()
    assert names == [["opus_posteringer_2026-01-31.csv"]] and not faults
    [sentence] = told
    assert sentence.startswith("opus: opus_posteringer_2026-02-28.csv venter: den bliver skrevet lige nu.")
    assert take(instance)[0] == [["opus_posteringer_2026-02-28.csv"]]
    assert instance.archived(loads(instance)[-1].files[0].sha256).read_bytes() == growing.read_bytes()


def test_a_marker_says_that_a_file_is_whole(platform, sftp, folder):
    instance = set_landing(platform.home, opus=over_sftp(sftp, folder, complete="marker"))
    for month, age in (("01-31", 100), ("02-28", 100), ("03-31", 50), ("04-30", 100)):
        put(folder, f"opus_posteringer_2026-{month}.csv", MORE.replace("\n2;", f"\n{month[:2]};"), age)
    put(folder, "opus_posteringer_2026-02-28.csv.done", "", 90)
    put(folder, "opus_posteringer_2026-03-31.csv.ok", "", 90)  # from before the file was written again
    digest = hashlib.sha256((folder / "opus_posteringer_2026-04-30.csv").read_bytes()).hexdigest()
    put(folder, "opus_posteringer_2026-04-30.csv.sha256", f"{'0' * 64}  opus_posteringer_2026-04-30.csv\n", 90)
    names, told, faults = take(instance)
    assert names == [["opus_posteringer_2026-02-28.csv"]] and not faults
    assert [sentence.partition(" venter: ")[0][-9:] for sentence in told] == ["01-31.csv", "03-31.csv", "04-30.csv"]
    assert "er ikke kommet" in told[0] and "ændret efter" in told[1] and "passer ikke med" in told[2]
    put(folder, "opus_posteringer_2026-04-30.csv.sha256", f"{digest.upper()}  opus_posteringer_2026-04-30.csv\n", 80)
    put(folder, "opus_posteringer_2026-01-31.csv.ok", "", 80)
    assert sorted(take(instance)[0]) == [["opus_posteringer_2026-01-31.csv"], ["opus_posteringer_2026-04-30.csv"]]


def test_a_file_is_taken_once_by_content(opus, folder):
    put(folder, "opus_posteringer_2026-01-31.csv")
    put(folder, "opus_posteringer_2026-01-31 (1).csv")
    names, told, _ = take(opus)
    assert names == [["opus_posteringer_2026-01-31 (1).csv"]]
    assert told == ["opus: opus_posteringer_2026-01-31.csv er magen til opus_posteringer_2026-01-31 (1).csv og tages ikke for sig."]
    put(folder, "kopi af opus_posteringer_2026-01-31.csv")
    put(folder, "opus_posteringer_2026-01-31.csv", age=-5)  # sent again
    before = canonical(opus)
    names, told, faults = take(opus)
    assert (names, faults) == ([], []) and len(told) == 2
    assert told[0].endswith("er modtaget før som opus_posteringer_2026-01-31 (1).csv, i indlæsning 1, og tages ikke igen.")
    assert canonical(opus) == before
    assert take(opus)[0] == []
    # Changed under the same name is another file, and what a later extract says is said anew even if it is said as before.
    put(folder, "opus_posteringer_2026-01-31.csv", MORE)
    put(folder, "opus_posteringer_2026-02-28.csv")
    assert take(opus)[0] == [["opus_posteringer_2026-01-31.csv"], ["opus_posteringer_2026-02-28.csv"]]


def test_without_a_date_in_its_name_a_file_is_of_its_day_and_content_counts_once(opus, folder):
    put(folder, "opus_posteringer_ny.csv")
    os.utime(folder / "opus_posteringer_ny.csv", (1_767_222_000,) * 2)  # 31-12-2025 23:00 UTC is past midnight in Denmark
    assert take(opus)[0] == [["opus_posteringer_ny.csv"]]
    assert loads(opus)[0].dated == "2026-01-01"
    put(folder, "opus_posteringer_ny.csv", age=-5)
    names, [told], _ = take(opus)
    assert names == [] and "er modtaget før, i indlæsning 1" in told


@pytest.mark.parametrize("cache", [
    "intact", "wrong", pytest.param("missing", marks=pytest.mark.heavy), pytest.param("broken", marks=pytest.mark.heavy),
])  # fmt: skip
def test_the_cache_only_saves_work(opus, folder, cache, monkeypatch):
    put(folder, "opus_posteringer_2026-01-31.csv")
    assert len(take(opus)[0]) == 1
    put(folder, "opus_posteringer_2026-02-28.csv", MORE)
    seen = opus.home / landing.SEEN
    known = json.loads(seen.read_text())
    [(key, [size, version, digest])] = known.items()
    if cache == "missing":
        seen.unlink()
    elif cache == "broken":
        seen.write_text('{"opus": [1')
    elif cache == "wrong":  # the new file is said to be the old one, and the old one something that never came
        new = (folder / "opus_posteringer_2026-02-28.csv").stat()
        seen.write_text(json.dumps({
            key: [size, version, "0" * 64],
            key.replace("01-31", "02-28"): [new.st_size, f"{new.st_mtime:.0f}", digest],
        }))  # fmt: skip
    fetched = []
    fetch = places.Place.fetch
    monkeypatch.setattr(places.Place, "fetch", lambda self, entry, target: fetched.append(entry.name) or fetch(self, entry, target))
    assert take(opus) == ([["opus_posteringer_2026-02-28.csv"]], [], [])
    assert len(fetched) == (1 if cache == "intact" else 2)
    del fetched[:]
    assert take(opus) == ([], [], []) and fetched == []  # nothing is downloaded again


def test_an_object_is_known_by_its_tag(platform, store, secrets, monkeypatch):
    instance = set_landing(platform.home, opus=over_s3(store, "klar/tag"))
    files = store.files()
    files.pipe("klar/tag/opus_posteringer_2026-01-31.csv", POSTINGS.encode())
    files.pipe("klar/tag/undermappe/opus_posteringer_2026-02-28.csv", POSTINGS.encode())
    assert take(instance)[0] == [["opus_posteringer_2026-01-31.csv"]]
    monkeypatch.setattr(places.Place, "fetch", None)
    files.pipe("klar/tag/opus_posteringer_2026-01-31.csv", POSTINGS.encode())  # the same bytes again: the same tag
    assert take(instance) == ([], [], [])
    monkeypatch.undo()
    monkeypatch.setenv("AFREGNING_S3_KEY", ACCESS_KEY)
    monkeypatch.setenv("AFREGNING_S3_SECRET", SECRET_KEY)
    changed = POSTINGS.replace("VO-BO", "VO-AK").encode()
    files.pipe("klar/tag/opus_posteringer_2026-01-31.csv", changed)
    assert take(instance)[0] == [["opus_posteringer_2026-01-31.csv"]]
    assert instance.archived(hashlib.sha256(changed).hexdigest()).read_bytes() == changed


@pytest.mark.parametrize("change", ["grown", "shrunk", "gone", "rewritten"])
def test_a_file_that_changes_while_it_is_fetched_is_left(opus, folder, change, monkeypatch):
    path = put(folder, "opus_posteringer_2026-01-31.csv")
    put(folder, "opus_posteringer_2026-01-30.csv", MORE)
    look = landing.look

    def look_and_change(instance):
        seen = look(instance)
        if change == "gone":
            path.unlink()
        else:
            path.write_text({"grown": POSTINGS * 2, "shrunk": "x", "rewritten": POSTINGS.replace("100,00", "300,00")}[change])
        return seen

    monkeypatch.setattr(landing, "look", look_and_change)
    names, told, faults = take(opus)
    assert names == [["opus_posteringer_2026-01-30.csv"]] and not faults
    assert told == ["opus: opus_posteringer_2026-01-31.csv blev ændret, mens den blev hentet, og tages næste gang."]


def test_links_odd_names_and_unreadable_files(opus, folder, tmp_path):
    put(tmp_path, "elsewhere.csv")
    (folder / "opus_posteringer_2026-01-31.csv").symlink_to(tmp_path / "elsewhere.csv")
    (folder / "opus_posteringer_2026-01-30.csv").symlink_to(tmp_path / "nothing.csv")
    (folder / "opus_posteringer_2026-01-29.csv").mkdir()
    put(folder, "opus_posteringer_2026-02-28 æ#1?%20;x.csv")
    assert take(opus)[0] == [["opus_posteringer_2026-01-31.csv"], ["opus_posteringer_2026-02-28 æ#1?%20;x.csv"]]
    here = set_landing(opus.home, opus={"url": str(folder)})
    assert take(here) == ([], [], [])  # known by content, wherever it lies


def test_what_a_killed_run_left_is_removed(opus, folder):
    left = opus.home / landing.INCOMING / "opus"
    left.mkdir(parents=True)
    put(left, "opus_posteringer_2025-01-31.csv")
    put(folder, "opus_posteringer_2026-01-31.csv")
    assert take(opus)[0] == [["opus_posteringer_2026-01-31.csv"]]
    assert not left.exists()


def test_the_source_is_left_as_it_was(opus, folder):
    put(folder, "opus_posteringer_2026-01-31.csv")
    before = [(p.name, p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    take(opus)
    assert [(p.name, p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.iterdir())] == before


FETCH = """
import sys
from pathlib import Path
from ingestion import landing
from settlement.instance import open_instance
instance = open_instance(Path(sys.argv[1]))
seen = landing.look(instance)
small, big = seen.deliveries.values()
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
with landing.fetched(instance, small):
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = peak()
with landing.fetched(instance, big) as delivery:
    [(_, _, path)] = delivery.files
    print(before, peak(), path.stat().st_size)
"""


@pytest.mark.heavy
@pytest.mark.parametrize("transport", ["folder", "sftp", "s3"])
def test_a_large_file_is_streamed(platform, sftp, store, secrets, folder, transport):
    put(folder, "opus_posteringer_2026-01-30.csv", "x" * 1000)
    with (folder / "opus_posteringer_2026-01-31.csv").open("wb") as handle:
        for _ in range(200):
            handle.write(os.urandom(1 << 20))
    if transport == "s3":
        for path in folder.iterdir():
            store.files().put_file(str(path), f"klar/stor/{path.name}")
    place = {
        "folder": lambda: {"url": str(folder)}, "sftp": lambda: over_sftp(sftp, folder),
        "s3": lambda: over_s3(store, "klar/stor"),
    }[transport]()  # fmt: skip
    instance = set_landing(platform.home, opus=place)
    done = subprocess.run(
        [sys.executable, "-c", FETCH, instance.home], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    before, peak, size = map(int, done.stdout.split())
    assert size == 200 << 20
    assert peak - before < 64 * 1024, f"{(peak - before) / 1024:.0f} MB more for a file of 200 MB"
