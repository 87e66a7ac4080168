"""`afregning contract check`: does a file fit its layout?"""

from __future__ import annotations

from pathlib import Path


def add_commands(commands) -> None:
    """Adds the group `contract` to the program."""
    help = "kontrollerer en fil mod sin kildes layout, før den leveres"
    group = commands.add_parser("contract", help="filers layout").add_subparsers(required=True, metavar="handling")
    check = group.add_parser("check", help=help, description=help)
    check.add_argument("file", type=Path, metavar="FIL")
    check.add_argument("--system", metavar="KILDE", help="kilden; ellers findes den af filens navn og kolonner")
    check.set_defaults(command=_check)


def _check(options) -> int:
    """0 where the file fits, 1 where it does not. Works without an instance, by the mappings that come along."""
    from ingestion.contract_check import check_file
    from settlement.instance import home_folder, open_instance

    home = home_folder()
    instance = open_instance(home) if (home / "settings.toml").exists() else None
    findings = check_file(options.file, instance, options.system)
    print("\n".join(findings.sentences))
    if findings.proposal:
        print(f"\n{findings.proposal}", end="")
    return 0 if findings.fits else 1
