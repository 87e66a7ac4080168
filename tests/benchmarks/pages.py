"""How long every page takes to answer a controller in a real browser, first visit and second, for a demo of 58,000 inhabitants.
Prints seconds; asserts nothing but that the page has no error.

    python tests/benchmarks/pages.py [home of an instance that has been run]     (makes one unless told)
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
from driver import Platform
from playwright.sync_api import sync_playwright
from test_browser import CHROMIUM, open_page, served, signed_in

TITLES = [
    "Budgetopfølgning", "Disponering", "Belægning", "Afregning", "Fakturabetaling", "Borger", "Datakvalitet", "Indlæsning",
    "Ydelsesoversættelse", "Overblik",
]  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        home = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "instance"
        big = Platform(home, environment)
        if not home.exists():
            big.must("new", "--municipality", "657", "--with-demo-users")
            big.must("demo")
            big.must("run")
        with sync_playwright() as playwright, served(home, Path(folder) / "server.log") as address:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            page = signed_in(browser, address, "anna")
            for visit in ("first", "second"):
                for title in TITLES:
                    print(f"{title:<22} {visit:<7} {open_page(page, title):6.2f} s", flush=True)
            browser.close()


if __name__ == "__main__":
    main()
