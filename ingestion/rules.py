"""The rules of data quality (rules.yaml): rows of a load warned of or refused, and standing findings opened and closed by load.

What a rule does beside warning is the instance's choice, in `quality.yaml` of its folder: rule → severity (park or refuse)
and `from`. Before that day, by the load's own date, it only reports what it would have done. `warn` needs no line.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
import yaml

from ingestion.contract import ORDER, Contract, contracts
from ingestion.gate import Rule
from settlement.faults import StateFault
from settlement.instance import REFERENCE, Instance
from settlement.spreadsheet import FORMULA

RULES = Path(__file__).parent / "rules.yaml"
VIEWS = Path(__file__).parent / "rules.sql"
LAW = REFERENCE / "law_paragraphs.csv"
SETTINGS = "quality.yaml"
WARN, PARK, REFUSE = "warn", "park", "refuse"
FORMULA_LIKE = "formel"  # the one warning that is not of a table, but of every text of all

# Grain of quality.finding: one stretch of loads through which a standing rule found a row.
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS quality;
CREATE TABLE quality.rule (
    rule VARCHAR PRIMARY KEY, table_name VARCHAR, column_name VARCHAR, title VARCHAR, message VARCHAR, owner VARCHAR,
    each_load BOOLEAN, severity VARCHAR, bites_from DATE);
CREATE TABLE quality.finding (
    rule VARCHAR, table_name VARCHAR, key VARCHAR, service_line_id VARCHAR, file_hash VARCHAR, row BIGINT,
    opened_load BIGINT, closed_load BIGINT, message VARCHAR);
CREATE VIEW known.finding AS
    SELECT * REPLACE (CAST(NULL AS BIGINT) AS closed_load) FROM quality.finding
    WHERE opened_load <= known_load() AND (closed_load IS NULL OR closed_load > known_load());
CREATE TABLE quality.law_paragraph (law VARCHAR, paragraph VARCHAR, valid_from DATE, valid_to DATE);
"""


@dataclass(frozen=True)
class QualityRule:
    """One rule: SQL over a row `r` of its canonical table, and what a person is told.

    `each_load`: only the rows of a load, warned of once; else all living rows after every load. `owner`: afdeling or system.
    """

    id: str
    table: str
    column: str
    severity: str
    owner: str
    title: str
    when: str
    message: str
    each_load: bool = False

    @property
    def sql(self) -> str:
        """The condition with the views and macros it goes through, so that it shows all it depends on."""
        return _with_views(self.when)

    @property
    def reads(self) -> set[str]:
        """The canonical tables that the rule depends on beside the row."""
        account = {"account"} if re.search(r"\b(chart_is_known|in_chart)\(", self.sql) else set()
        return set(re.findall(r"\bcanonical\.(\w+)", self.sql)) | account

    @property
    def can_refuse(self) -> bool:
        """Whether a row can be judged by it at the gate: all it depends on is judged before the row's table."""
        return all(ORDER.index(table) < ORDER.index(self.table) for table in self.reads)

    @property
    def can_park(self) -> bool:
        """Whether its findings are about a service line, and stand."""
        return not self.each_load and self.table == "service_line"


@dataclass(frozen=True)
class Severity:
    """What an instance asks of a rule, from a day on."""

    severity: str
    bites_from: date


@cache
def rules() -> dict[str, QualityRule]:
    """Every rule by its id."""
    return {one["id"]: QualityRule(**one) for one in yaml.safe_load(RULES.read_text(encoding="utf-8"))}


@cache
def _views() -> dict[str, str]:
    parts = re.split(r"CREATE VIEW quality\.(\w+) AS", VIEWS.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _with_views(sql: str) -> str:
    seen: dict[str, str] = {}
    waiting = [sql]
    while waiting:
        for name in re.findall(r"\bquality\.(\w+)", waiting.pop()):
            if name in _views() and name not in seen:
                seen[name] = _views()[name]
                waiting.append(seen[name])
    return "\n".join([sql, *seen.values()])


def severities(instance: Instance) -> dict[str, Severity]:
    """What the instance's quality.yaml asks of rules, by rule. Raises StateFault where it asks for what cannot be."""
    path = instance.home / SETTINGS
    if not path.exists():
        return {}
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as broken:
        raise StateFault(f"{SETTINGS} kan ikke læses. Skriv «regel: {{severity: park, from: 2025-03-01}}».") from broken
    if not isinstance(written, dict):
        raise StateFault(f"{SETTINGS} skal have en linje pr. regel: «regel: {{severity: park, from: 2025-03-01}}».")
    return {str(rule): _severity(str(rule), asked) for rule, asked in written.items()}


def _severity(name: str, asked: object) -> Severity:
    rule = rules().get(name)
    if rule is None:
        raise StateFault(f"{SETTINGS}: reglen «{name}» findes ikke. Brug en af: {', '.join(rules())}.")
    if (
        not isinstance(asked, dict) or set(asked) != {"severity", "from"} or asked["severity"] not in (PARK, REFUSE)
        or type(asked["from"]) is not date
    ):  # fmt: skip
        raise StateFault(f"{SETTINGS}: reglen {name} skal stå som «{name}: {{severity: park eller refuse, from: 2025-03-01}}».")
    if asked["severity"] == REFUSE and not rule.can_refuse:
        late = ", ".join(sorted(contracts()[t].loader_file for t in rule.reads if ORDER.index(t) >= ORDER.index(rule.table)))
        raise StateFault(
            f"{SETTINGS}: reglen {name} kan ikke afvise en række, for den afhænger også af {late}, som først kendes bagefter. "
            f"{'Brug park.' if rule.can_park else 'Slet linjen; reglen advarer.'}"
        )
    if asked["severity"] == PARK and not rule.can_park:
        raise StateFault(
            f"{SETTINGS}: reglen {name} kan ikke parkere, for den finder ikke ydelser, der står åbne. "
            f"{'Brug refuse.' if rule.can_refuse else 'Slet linjen; reglen advarer.'}"
        )
    return Severity(asked["severity"], asked["from"])


def layout(instance: Instance) -> str:
    """SQL that lays the rules' tables and views out in a warehouse with its canonical tables. What it holds, with the remark
    at its end, decides what a replay of the archive gives."""
    with LAW.open(encoding="utf-8", newline="") as handle:
        rows = [(r["law"], r["paragraph"], r["valid_from"], r["valid_to"] or "9999-12-31") for r in csv.DictReader(handle)]
    law = ", ".join(f"({', '.join(map(_text, row))})" for row in rows)
    refusing = sorted(f"{name} {s.bites_from}" for name, s in severities(instance).items() if s.severity == REFUSE)
    return (
        f"{SCHEMA}INSERT INTO quality.law_paragraph VALUES {law};\n{VIEWS.read_text(encoding='utf-8')}\n"
        f"-- {instance.municipality} {_settles_from(instance)} {refusing} {FORMULA}\n"
        + "".join(f"-- {line}\n" for line in RULES.read_text(encoding="utf-8").splitlines())
    )


def write_rules(con: duckdb.DuckDBPyConnection, instance: Instance) -> None:
    """Writes `quality.rule`: every rule with what the instance asks of it now."""
    asked = severities(instance)
    rows = [
        (r.id, r.table, r.column, r.title, r.message, r.owner, r.each_load, asked[r.id].severity if r.id in asked else r.severity,
         asked[r.id].bites_from if r.id in asked else None)
        for r in rules().values()
    ]  # fmt: skip
    if con.execute("FROM quality.rule").fetchall() != rows:
        con.execute("DELETE FROM quality.rule")
        con.executemany(f"INSERT INTO quality.rule VALUES ({', '.join('?' * 9)})", rows)


def set_facts(con: duckdb.DuckDBPyConnection, instance: Instance) -> None:
    """What the rules' SQL asks for by name: the newest extract's date, and what the instance's settings say."""
    con.execute("SET VARIABLE as_of = (SELECT max(dated) FROM raw.load)")
    con.execute(f"SET VARIABLE settles_from = DATE '{_settles_from(instance)}'")
    con.execute(f"SET VARIABLE own_municipality = {_text(instance.municipality)}")


def _settles_from(instance: Instance) -> date:
    return min(instance.settles_from.values(), default=date.min)


def refusing(instance: Instance, dated: date) -> dict[str, list[Rule]]:
    """By table the rules that refuse rows of a load of that date."""
    found: dict[str, list[Rule]] = {}
    for name, asked in severities(instance).items():
        if asked.severity == REFUSE and asked.bites_from <= dated:
            rule = rules()[name]
            column = next(c for c in contracts()[rule.table].columns if c.loader == rule.column)
            when, value = f"NOT _withdraw AND ({rule.when})", f"t_{column.name}"
            gate_rule = Rule(when, "ugyldig_vaerdi", _text(rule.column), value, _text(rule.message))
            found.setdefault(rule.table, []).append(gate_rule)
    return found


def parking(con: duckdb.DuckDBPyConnection, instance: Instance, through_load: int | None = None) -> list[str]:
    """The rules whose findings park their lines by the date of the newest extract, of all loads or those up to one."""
    asked = {name: s.bites_from for name, s in severities(instance).items() if s.severity == PARK}
    as_of = asked and con.execute(
        "SELECT max(dated) FROM raw.load WHERE $load IS NULL OR load_id <= $load", {"load": through_load}
    ).fetchone()[0]
    return [name for name, bites_from in asked.items() if as_of and bites_from <= as_of]


def judge(con: duckdb.DuckDBPyConnection, load_id: int, *, all_changed: bool) -> None:
    """Warns of the load's rows and brings the standing findings up to date with it; the caller holds the transaction, has
    called `set_facts`, and the gate has judged. `all_changed`: the load may have changed any table (it undoes another)."""
    changed = {
        table
        for (table,) in con.execute("SELECT table_name FROM judged UNION SELECT table_name FROM missing").fetchall()
    }
    later = con.execute(
        "SELECT as_of() > coalesce(max(dated), DATE '0001-01-01') FROM raw.load WHERE load_id < ?", [load_id]
    ).fetchone()[0]
    for table in changed:
        _warn_of_formulas(con, contracts()[table], load_id)
    for rule in rules().values():
        if rule.each_load:
            if rule.table in changed:
                _warn(con, rule, load_id)
        elif all_changed or changed & {rule.table, *rule.reads} or (later and "as_of()" in rule.sql):
            _find(con, rule, contracts()[rule.table], load_id)


def _warn(con, rule: QualityRule, load_id: int) -> None:
    con.execute(
        f"""INSERT INTO quarantine.warned BY NAME
        SELECT {load_id} AS load_id, '{rule.table}' AS table_name, r.source_file AS file_hash, r.source_row AS row,
            ? AS warning, ? AS column_name, ? AS message
        FROM canonical.{rule.table} r WHERE r.load_id = {load_id} AND NOT r.withdrawn AND ({rule.when})""",
        [rule.id, rule.column, rule.message],
    )


def _warn_of_formulas(con, contract: Contract, load_id: int) -> None:
    """Warns of texts that a spreadsheet would run; they are data, and what this platform writes for people is safe from them.
    A parent's key is warned of where the parent stands."""
    told = []
    for column in contract.stored:
        if column.type in ("text", "any_counterparty") and column.loader and not column.parent:
            sign = (
                f"CASE left(r.{column.name}, 1) WHEN chr(9) THEN 'en tabulator' WHEN chr(10) THEN 'et linjeskift' "
                f"WHEN chr(13) THEN 'et linjeskift' ELSE '«' || left(r.{column.name}, 1) || '»' END"
            )
            told.append(
                f"SELECT r.source_file AS file_hash, r.source_row AS row, '{column.loader}' AS column_name, "
                f"'Kolonnen {column.loader} begynder med ' || {sign} || ' og vil blive regnet som en formel i et regneark. "
                f"Rækken er taget med, som den er; ret teksten i kilden.' AS message FROM loaded r "
                f"WHERE regexp_matches(r.{column.name}, {_text(FORMULA)})"
            )
    if told:
        con.execute(f"""
            INSERT INTO quarantine.warned BY NAME
            WITH loaded AS NOT MATERIALIZED (FROM canonical.{contract.table} WHERE load_id = {load_id} AND NOT withdrawn)
            SELECT *, {load_id} AS load_id, '{contract.table}' AS table_name, '{FORMULA_LIKE}' AS warning
            FROM ({" UNION ALL ".join(told)})""")


def _find(con, rule: QualityRule, contract: Contract, load_id: int) -> None:
    """Opens what is found now and was not open, closes what is open and not found any more."""
    # No CPR number in a key: such a row is named by file and row.
    key = (
        "coalesce(left(r.source_file, 12), '') || ':' || coalesce(r.source_row::VARCHAR, '')"
        if any(c.personal for c in contract.key_columns)
        else " || ' / ' || ".join(f"coalesce(r.{k}::VARCHAR, '')" for k in contract.key)
    )
    line = "r.service_line_id" if "service_line_id" in contract.names else "CAST(NULL AS VARCHAR)"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE found AS
        SELECT {key} AS key, {line} AS service_line_id, r.source_file AS file_hash, r.source_row AS row
        FROM canonical.{rule.table} r WHERE NOT r.withdrawn AND ({rule.when})""")
    open_ones = f"f.rule = {_text(rule.id)} AND f.closed_load IS NULL"
    con.execute(
        f"UPDATE quality.finding f SET closed_load = {load_id} WHERE {open_ones} AND f.key NOT IN (SELECT key FROM found)"
    )
    con.execute(f"""
        INSERT INTO quality.finding BY NAME
        SELECT {_text(rule.id)} AS rule, {_text(rule.table)} AS table_name, key, service_line_id, file_hash, row,
            {load_id} AS opened_load, {_text(rule.message)} AS message
        FROM found WHERE key NOT IN (SELECT f.key FROM quality.finding f WHERE {open_ones})""")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
