"""An instance: one municipality's running platform, a folder with everything it owns.

`AFREGNING_HOME` names the folder (default `data/instance`). Its settings are in `settings.toml`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
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

# Første leverancemåned, hver proces afregnes fra; hvad der ligger før, har et tidligere system afregnet
[afregnes_fra]
# mellemkommunal = "2025-01"
"""


@dataclass(frozen=True)
class Instance:
    """Paths and settings of one instance.

    `municipality` is the own code without leading zeros; `settles_from` the first delivery month by process.
    """

    home: Path
    municipality: str
    bank_registration: str
    bank_account: str
    payment_term_days: int
    register_url: str
    settles_from: dict[str, date]

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def archive(self) -> Path:
        return self.home / "archive"

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
    )


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
    return open_instance(home)


def settle_from(instance: Instance, month: date, processes: Iterable[str]) -> None:
    """Writes `afregnes_fra` for processes that have none yet."""
    path = instance.home / "settings.toml"
    added = "".join(f'{p} = "{month:%Y-%m}"\n' for p in processes if p not in instance.settles_from)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[afregnes_fra]\n", f"[afregnes_fra]\n{added}", 1), encoding="utf-8")
