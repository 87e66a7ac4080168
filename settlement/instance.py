"""An instance: one municipality's running platform, a folder with everything it owns.

`AFREGNING_HOME` names the folder (default `data/instance`). Its settings are in `settings.toml`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from settlement.faults import StateFault

REFERENCE = Path(__file__).resolve().parent.parent / "data" / "reference"

SETTINGS = """\
# Indstillinger for denne instans af Afregning
municipality = "{municipality}"   # egen kommunekode, uden foranstillede nuller

# Kontoen der modtager betaling for udsendte fakturaer
bank_registration = ""          # tom: betales til kommunens NemKonto
bank_account = ""

# Dage fra fakturadato til betalingsfrist (mellem offentlige parter højst 30)
payment_term_days = 30

# register_url = "postgresql+psycopg://…"   # registeret ligger ellers i register.sqlite

# spark_master = "spark://vært:7077"   # forslag beregnes på denne Spark-klynge; ellers her, af DuckDB

# Første leverancemåned, hver proces afregnes fra; hvad der ligger før, har et tidligere system afregnet
[afregnes_fra]
# mellemkommunal = "2025-01"

# Hvor kildesystemerne lægger deres filer; et system uden linje har mappen landing/<system> (docs/data_team.md, Landing)
[landing]
# sensum = "sftp://bruger@vært/udtraek/sensum"     # med nøgle m.m. i et afsnit for sig: [landing.sensum]
# opus = "s3://bucket/sti"

# Hvilket kildesystem der vinder, når flere siger noget forskelligt om det samme felt; de øvrige følger, det nyeste først
[kilder]
# "borgere.adresse" = ["cpr", "sensum", "dubu"]
# "tilbud.pladser" = ["tilbud"]

# Hvad en person skal se, før et forslag godkendes, og hvad der standser en bogføring; tallene er dem, der gælder uden linjen
[graenser]
# linje_kr = 250000             # en linje over dette beløb vises
# linje_pct = 50                # en ydelse, der ændrer sig mere end dette mod måneden før, vises …
# modpart_pct = 50              # … og en modpart, …
# mindst_kr = 10000             # … når ændringen er over dette beløb
# faerre_ydelser_pct = 10       # et fald i antallet af ydelser over dette vises
# masse_ydelser = 20            # en takst, regel eller kontering, der ændrer så mange bogførte ydelser, er en masseændring …
# masse_kr = 1000000            # … og fra dette beløb det, der mere end fordobler færre ydelser
# frigives_pct = 20             # en masseændring over dette af det bogførte skal frigives af en anden
# stoppes_pct = 100             # en masseændring over dette kan ikke bogføres
# udtraek_pct = 2               # et fuldt udtræk, der vil trække flere rækker tilbage end denne del af sine egne …
# udtraek_noegler = 20          # … eller end dette antal, skal frigives af en person

# Indkomne fakturaer; tallene er dem, der gælder uden linjen. Vilkår pr. leverandør og ydelse: reference/faktura_vilkaar.csv
[fakturabetaling]
# oekonomisystem = "opus"       # hvortil betalinger afleveres: opus, prisme eller oes
# maskinnr = "00482"            # det nummer, Prisme har givet denne platform; kun prisme, og dér skal det stå
# z300 = false                  # true: Prismes linjer lægges mellem Z300 og SLUTD
# schematron = ""               # mappe med Erhvervsstyrelsens kompilerede Schematron (XSLT); tom: kun de indbyggede regler
# tolerance_kr = 1              # en linje, der afviger højst så meget fra det aftalte, er i orden …
# automatisk_kr = 5000000       # … og en faktura over dette beløb godkendes altid af en person
# to_personer_kr = 50000        # en persons beslutning om mere end dette skal bekræftes af en anden
"""


@dataclass(frozen=True)
class Bounds:
    """Limits of `[graenser]`: amounts in øre, shares in per cent of what is compared with."""

    line_oere: int = 250_000_00
    line_pct: int = 50
    counterparty_pct: int = 50
    least_oere: int = 10_000_00
    fewer_lines_pct: int = 10
    mass_lines: int = 20
    mass_oere: int = 1_000_000_00
    release_pct: int = 20
    stop_pct: int = 100
    withdrawn_pct: int = 2
    withdrawn_keys: int = 20


# Key in the settings → field, and how many of the field's units one of the settings' is.
BOUNDS = {
    "linje_kr": ("line_oere", 100), "linje_pct": ("line_pct", 1), "modpart_pct": ("counterparty_pct", 1),
    "mindst_kr": ("least_oere", 100), "faerre_ydelser_pct": ("fewer_lines_pct", 1), "masse_ydelser": ("mass_lines", 1),
    "masse_kr": ("mass_oere", 100), "frigives_pct": ("release_pct", 1), "stoppes_pct": ("stop_pct", 1),
    "udtraek_pct": ("withdrawn_pct", 1), "udtraek_noegler": ("withdrawn_keys", 1),
}  # fmt: skip


@dataclass(frozen=True)
class InvoiceSettings:
    """Settings of `[fakturabetaling]`: amounts in øre; `schematron` is a folder, empty where none is used; `machine_no` (1–5
    digits) and `enveloped` are of Prisme's file alone."""

    finance_system: str = "opus"
    machine_no: str = ""
    enveloped: bool = False
    schematron: str = ""
    tolerance_oere: int = 1_00
    automatic_oere: int = 5_000_000_00
    two_persons_oere: int = 50_000_00


FINANCE_SYSTEMS = ("opus", "prisme", "oes")
INVOICE_KRONER = {"tolerance_kr": "tolerance_oere", "automatisk_kr": "automatic_oere", "to_personer_kr": "two_persons_oere"}
INVOICE_TEXTS = {"oekonomisystem": "finance_system", "schematron": "schematron", "maskinnr": "machine_no"}


@dataclass(frozen=True)
class Instance:
    """Paths and settings of one instance.

    `municipality` is the own code without leading zeros; `settles_from` the first delivery month by process;
    `spark_master` the address of the cluster that computes proposals, None where DuckDB does; `bounds` what is listed
    before approval, what stops a booking and what holds an extract back; `landing_places` where
    systems put their files, as `[landing]` says it; `source_order` the systems by field, as `[kilder]` says it, the one that
    wins first.
    """

    home: Path
    municipality: str
    bank_registration: str
    bank_account: str
    payment_term_days: int
    register_url: str
    settles_from: dict[str, date]
    spark_master: str | None = None
    bounds: Bounds = Bounds()
    landing_places: Mapping[str, str | Mapping[str, object]] = field(default_factory=dict)
    source_order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    invoices: InvoiceSettings = InvoiceSettings()

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    def archived(self, sha256: str) -> Path:
        """Where the received file with that hash lies."""
        return self.archive / "files" / sha256[:2] / sha256

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.home / "published"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    @property
    def invoice_terms(self) -> Path:
        """The municipality's dated terms of incoming invoices, per supplier and kind of service."""
        return self.home / "reference" / "faktura_vilkaar.csv"

    @property
    def account_rules(self) -> Path:
        """The municipality's own posting rules: (funktion, gruppering, art) → konto, dated."""
        return self.home / "reference" / "account_rules.csv"


def home_folder() -> Path:
    """The folder `AFREGNING_HOME` names, or `data/instance` where the command is run."""
    return Path(os.environ.get("AFREGNING_HOME", "data/instance")).resolve()


def open_instance(home: Path | None = None) -> Instance:
    """Reads an instance's settings.

    Raises StateFault where the folder is no instance.
    """
    home = home or home_folder()
    settings_file = home / "settings.toml"
    if not settings_file.exists():
        raise StateFault(
            f"Der er ingen instans i {home}: settings.toml mangler. Kør «afregning new», "
            "eller peg AFREGNING_HOME på en instans."
        )
    settings = tomllib.loads(settings_file.read_text(encoding="utf-8"))
    return Instance(
        home=home,
        municipality=str(settings["municipality"]),
        bank_registration=settings["bank_registration"],
        bank_account=settings["bank_account"],
        payment_term_days=int(settings["payment_term_days"]),
        register_url=settings.get("register_url", f"sqlite:///{home / 'register.sqlite'}"),
        settles_from={p: date.fromisoformat(f"{month}-01") for p, month in settings.get("afregnes_fra", {}).items()},
        spark_master=settings.get("spark_master"),
        bounds=_bounds(settings.get("graenser", {})),
        landing_places=settings.get("landing", {}),
        source_order=_source_order(settings.get("kilder", {})),
        invoices=_invoice_settings(settings.get("fakturabetaling", {})),
    )


def _bounds(written: dict) -> Bounds:
    for key, value in written.items():
        if key not in BOUNDS or type(value) is not int or value < 0:
            raise StateFault(
                f"Grænsen {key} = {value} i settings.toml kan ikke bruges. Skriv et helt tal ved en af: {', '.join(BOUNDS)}."
            )
    return Bounds(**{BOUNDS[key][0]: value * BOUNDS[key][1] for key, value in written.items()})


def _invoice_settings(written: dict) -> InvoiceSettings:
    for key, value in written.items():
        is_amount = key in INVOICE_KRONER and type(value) is int and value >= 0
        is_text, is_switch = key in INVOICE_TEXTS and type(value) is str, key == "z300" and type(value) is bool
        if not (is_amount or is_text or is_switch):
            raise StateFault(
                f"{key} = {value} under [fakturabetaling] i settings.toml kan ikke bruges. Skriv hele kroner ved "
                f"{', '.join(INVOICE_KRONER)}, tekst ved {', '.join(INVOICE_TEXTS)} og true eller false ved z300."
            )
    if (chosen := written.get("oekonomisystem", "opus")) not in FINANCE_SYSTEMS:
        raise StateFault(
            f"oekonomisystem = «{chosen}» i settings.toml kendes ikke. Skriv en af: {', '.join(FINANCE_SYSTEMS)}."
        )
    machine_no = written.get("maskinnr", "")
    if (machine_no or chosen == "prisme") and not re.fullmatch("[0-9]{1,5}", machine_no):
        raise StateFault(
            f"maskinnr = «{machine_no}» i settings.toml kan ikke bruges. Skriv det nummer på højst 5 cifre, som Prisme har givet "
            "platformen."
        )
    return InvoiceSettings(
        enveloped=written.get("z300", False),
        **{INVOICE_KRONER[key]: written[key] * 100 for key in written if key in INVOICE_KRONER},
        **{INVOICE_TEXTS[key]: written[key] for key in written if key in INVOICE_TEXTS},
    )


def _source_order(written: dict) -> dict[str, tuple[str, ...]]:
    for field_name, systems in written.items():
        if type(systems) is not list or not all(type(system) is str for system in systems):
            raise StateFault(
                f"[kilder] i settings.toml: {field_name} skal være en liste af systemer, f.eks. "
                f'"borgere.adresse" = ["cpr", "sensum"]. Ret linjen.'
            )
    return {field_name: tuple(systems) for field_name, systems in written.items()}


def create_folders(home: Path, municipality: str) -> Instance:
    """Makes the folders and settings of an empty instance.

    Raises StateFault where there is one already; nothing is ever overwritten.
    """
    if (home / "settings.toml").exists():
        raise StateFault(f"Der er allerede en instans i {home}. Vælg en anden mappe med AFREGNING_HOME.")
    for folder in ("landing", "archive", "published", "outbox", "reference"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(SETTINGS.format(municipality=municipality), encoding="utf-8")
    rules = home / "reference" / "account_rules.csv"
    if not rules.exists():
        rules.write_text("gyldig_fra;gyldig_til;funktion;gruppering;art;konto\n", encoding="utf-8")
    terms = home / "reference" / "faktura_vilkaar.csv"
    if not terms.exists():
        terms.write_text(
            "cvr;ydelseskode;gyldig_fra;gyldig_til;tolerance_kr;tolerance_pct;tolerance_antal;ved_prisafvigelse;automatisk_kr\n",
            encoding="utf-8",
        )
    return open_instance(home)


def settle_from(instance: Instance, month: date, processes: Iterable[str]) -> None:
    """Writes `afregnes_fra` for processes that have none yet."""
    path = instance.home / "settings.toml"
    added = "".join(f'{p} = "{month:%Y-%m}"\n' for p in processes if p not in instance.settles_from)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[afregnes_fra]\n", f"[afregnes_fra]\n{added}", 1), encoding="utf-8")
