"""The row gate: one load's rows judged together, table by table, and merged into the canonical tables.

Refused rows go to the quarantine with file, row, column, value and a sentence; good rows of the same file go on.
The rules are those of the public loader contract; each is declared once, in `contracts/` or in the steps below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from ingestion.contract import Contract, contracts

RULES_VERSION = "1"
WAITS_FOR_PARENT = "ukendt_noegle"

# Withdrawn only when nothing uses them: table → column of a service line that names it.
USED_BY_LINES = {"catalogue_item": "item_code", "offer": "offer_id"}


@dataclass(frozen=True)
class Stage:
    """Where one load's rows for one canonical table come from: SELECTs of loader columns as text, with
    `_file`, `_row` and `_fault`."""

    contract: Contract
    selects: Sequence[str]


def judge(
    con: duckdb.DuckDBPyConnection, load_id: int, stages: dict[str, Stage], municipalities: Sequence[str]
) -> None:
    """Judges every row of a load and applies the good ones; the caller holds the transaction.

    Leaves `temp.judged` (one row per judged row: table_name, _file, _row, reason) for the counting.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE judged "
        "(table_name VARCHAR, _file VARCHAR, _row BIGINT, _retry BOOLEAN, reason VARCHAR)"
    )
    for table, contract in contracts().items():
        waiting = con.execute(
            "SELECT count(*) FROM quarantine.refused WHERE table_name = ? AND reason = ? AND closed_by_load IS NULL",
            [table, WAITS_FOR_PARENT],
        ).fetchone()[0]  # fmt: skip
        if table in stages or waiting:
            _judge_table(con, load_id, contract, stages.get(table, Stage(contract, ())), municipalities)
    for table in USED_BY_LINES:
        if table in stages:
            _withdraw_unused(con, load_id, contracts()[table])


def _judge_table(con, load_id, contract, stage, municipalities) -> None:
    _stage(con, contract, stage)
    _read(con, contract, municipalities)
    _merge(con, contract)
    rules = _rules(contract)
    _refuse_rows(con, rules)
    if contract.level:
        while _refuse_overlaps(con, contract, rules):
            pass
    _quarantine(con, load_id, contract, rules)
    _apply(con, load_id, contract)


def _stage(con, contract: Contract, stage: Stage) -> None:
    """`temp.staged`: the load's rows as trimmed text by canonical name (NULL: the column is missing), and the
    rows that wait in quarantine for a parent."""
    text = {c.name: f"CAST(NULL AS VARCHAR) AS {c.name}" for c in contract.columns}
    empty = ", ".join([*text.values(), "CAST(NULL AS VARCHAR) AS _slet"])
    typed = f"SELECT {empty}, '' AS _file, 0::BIGINT AS _row, NULL::VARCHAR AS _fault, false AS _retry WHERE false"
    parts = [typed]
    for select in stage.selects:
        present = {name for name, *_ in con.execute(f"DESCRIBE {select}").fetchall()}
        columns = [f"{_trimmed(c.loader)} AS {c.name}" for c in contract.columns if c.loader in present]
        if "slet" in present:
            columns.append(f"{_trimmed('slet')} AS _slet")
        parts.append(f"SELECT {', '.join([*columns, '_file', '_row', '_fault'])}, false AS _retry FROM ({select})")
    cells = ", ".join(f"json_extract_string(cells, '$.{c.name}') AS {c.name}" for c in contract.columns)
    parts.append(
        f"SELECT {cells}, json_extract_string(cells, '$._slet') AS _slet, file_hash AS _file, row AS _row, "
        f"NULL AS _fault, true AS _retry FROM quarantine.refused WHERE table_name = '{contract.table}' "
        f"AND reason = '{WAITS_FOR_PARENT}' AND closed_by_load IS NULL"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {' UNION ALL BY NAME '.join(parts)}")


def _trimmed(column: str) -> str:
    return f"trim(replace(\"{column}\", chr(160), ' '))"


def _read(con, contract: Contract, municipalities) -> None:
    """`temp.read`: each cell read by its type (`p_…`), whether it is bad (`b_…`), and the row's key group."""
    columns = []
    for c in contract.columns:
        columns.append(f"{c.read_sql(f's.{c.name}', municipalities)} AS p_{c.name}")
    columns.append("lower(coalesce(s._slet, '')) = 'ja' AS _withdraw")
    bad = [f"(coalesce({c.name}, '') <> '' AND p_{c.name} IS NULL) AS b_{c.name}" for c in contract.columns]
    bad.append("lower(coalesce(_slet, '')) NOT IN ('', 'ja', 'nej') AS b__slet")
    key_read = " AND ".join(
        f"NOT b_{c.name}" if c.may_be_empty else f"p_{c.name} IS NOT NULL AND p_{c.name}::VARCHAR <> ''"
        for c in contract.key_columns
    )
    any_bad = " OR ".join(f"b_{name}" for name in [*contract.names, "_slet"])
    # For a row that withdraws, only the key is read.
    key_bad = " OR ".join(f"b_{name}" for name in contract.key)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE read AS
        WITH parsed AS (SELECT s.*, {", ".join(columns)} FROM staged s),
        marked AS (SELECT *, {", ".join(bad)} FROM parsed)
        SELECT * EXCLUDE ({", ".join("p_" + n for n in contract.names)}),
            {", ".join(f"CASE WHEN {_empty_as_null(c)} THEN NULL ELSE p_{c.name} END AS p_{c.name}" for c in contract.columns)},
            ({key_read}) AND _fault IS NULL AS _key_read,
            _fault IS NOT NULL OR b__slet OR CASE WHEN _withdraw THEN {key_bad} ELSE {any_bad} END AS _unreadable
        FROM marked""")


def _empty_as_null(column) -> str:
    return f"p_{column.name}::VARCHAR = ''"


def _same(contract: Contract, left: str, right: str, prefix: str = "") -> str:
    return " AND ".join(f"{left}.{prefix}{k} IS NOT DISTINCT FROM {right}.{k}" for k in contract.key)


def _merge(con, contract: Contract) -> None:
    """`temp.merged`: one row per judged row with the values the canonical row would get.

    A missing column keeps the stored value (the default, for a new key); an empty cell sets the default.
    A row waiting in quarantine gives way to a row with its key in this load. Of rows that are identical after
    reading, one counts; different ones, or one that cannot be read, are all doubles (`_double`).
    """
    key = ", ".join(f"p_{k}" for k in contract.key)
    signature = ", ".join(
        f"CASE WHEN {'true' if c.name in contract.key else 'NOT _withdraw'} "
        f"THEN [({c.name} IS NULL)::VARCHAR, p_{c.name}::VARCHAR] END"
        for c in contract.columns
    )
    defaults = {}
    for c in contract.columns:
        read = c.read_sql(f"'{c.default}'", ()) if c.default is not None else "NULL"
        defaults[c.name] = f"CAST({read} AS {c.duckdb_type})"
    values = ", ".join(
        f"CASE WHEN r._withdraw THEN {'r.p_' + c.name if c.name in contract.key else 's.' + c.name} "
        f"WHEN r.{c.name} IS NULL THEN CASE WHEN s.withdrawn IS NULL THEN {defaults[c.name]} ELSE s.{c.name} END "
        f"WHEN r.{c.name} = '' THEN {defaults[c.name]} ELSE r.p_{c.name} END AS f_{c.name}"
        for c in contract.columns
    )
    # Joins on the key alone, so that they hash: a row whose key could not be read is refused whatever it meets.
    same_key = " AND ".join(f"r.p_{k} IS NOT DISTINCT FROM d.p_{k}" for k in contract.key)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE merged AS
        WITH delivered_key AS (SELECT DISTINCT {key}, true AS sent_again FROM read WHERE _key_read AND NOT _retry),
        standing AS (
            SELECT * FROM read WHERE NOT _retry
            UNION ALL
            SELECT r.* FROM read r LEFT JOIN delivered_key d ON {same_key} WHERE r._retry AND d.sent_again IS NULL
        ),
        repeated AS (
            SELECT {key}, bool_or(_unreadable) OR count(DISTINCT to_json([{signature}, [_withdraw::VARCHAR]])) > 1 AS differ,
                min((_row, _file)) AS first
            FROM standing WHERE _key_read GROUP BY {key} HAVING count(*) > 1
        )
        SELECT r.*, r._key_read AND coalesce(d.differ, false) AS _double, d.first IS NULL OR d.first = (r._row, r._file) AS _counts,
            s.withdrawn IS NOT NULL AS _stored, {values},
            CAST(NULL AS BIGINT) AS _rule
        FROM standing r
        LEFT JOIN repeated d ON {same_key}
        LEFT JOIN canonical.{contract.table} s ON {_same(contract, "r", "s", "p_")}""")
    # The canonical names now hold the values that would be stored; the text as delivered keeps the prefix t_.
    for c in contract.columns:
        con.execute(f"ALTER TABLE merged RENAME {c.name} TO t_{c.name}")
        con.execute(f"ALTER TABLE merged RENAME f_{c.name} TO {c.name}")


def _text(sentence: str) -> str:
    return "'" + sentence.replace("'", "''") + "'"


@dataclass(frozen=True)
class Rule:
    """One refusal: SQL for when it holds and for column and value at fault, and what the person is told."""

    when: str
    reason: str
    column: str
    value: str
    message: str


def _rules(contract: Contract) -> list[Rule]:
    """The refusals of a table in order of precedence: the first that holds is the reason given. Overlaps come last."""
    key = ", ".join(c.loader for c in contract.key_columns)
    key_text = " || ' / ' || ".join(f"coalesce(t_{k}, '')" for k in contract.key)
    twice = f"Nøglen ({key}) står flere gange i indlæsningen med forskelligt indhold. Send den én gang."
    rules = [
        Rule("_fault IS NOT NULL", "ugyldig_vaerdi", "''", "''", "_fault"),
        Rule("_double", "dublet", _text(key), key_text, _text(twice)),
        Rule("b__slet", "ugyldig_vaerdi", "'slet'", "_slet", _text("Kolonnen slet skal være ja eller tom. Ret cellen.")),
    ]
    # Of a row that withdraws only the key is read.
    for c in contract.columns:
        living = "" if c.name in contract.key else " AND NOT _withdraw"
        unread = f"Kolonnen {c.loader} skal være {c.expected}. Ret cellen, og send rækken igen."
        rules.append(Rule(f"b_{c.name}{living}", "ugyldig_vaerdi", _text(c.loader), f"t_{c.name}", _text(unread)))
    for c in contract.columns:
        if c.name in contract.key and not c.may_be_empty:
            missing = f"p_{c.name} IS NULL"
        elif c.required:
            missing = f"{c.name} IS NULL AND NOT _withdraw"
        else:
            continue
        empty = f"Kolonnen {c.loader} skal være udfyldt. Udfyld cellen, og send rækken igen."
        rules.append(Rule(missing, "ugyldig_vaerdi", _text(c.loader), "''", _text(empty)))
    for c in contract.columns:
        if c.parent:
            parent = contracts()[c.parent]
            orphan = f"NOT _withdraw AND NOT EXISTS (FROM canonical.{c.parent} p WHERE p.{parent.key[0]} = merged.{c.name})"
            unknown = (
                f"Kolonnen {c.loader} peger på en nøgle, som {parent.loader_file} ikke har. Send den dér; "
                "rækken prøves igen ved hver indlæsning."
            )
            value = f"coalesce(t_{c.name}, {c.name})"
            rules.append(Rule(orphan, WAITS_FOR_PARENT, _text(c.loader), value, _text(unknown)))
    if contract.period:
        start, end = (contract.column(name) for name in contract.period)
        backwards = f"Perioden slutter ({end.loader}), før den begynder ({start.loader}). Ret en af datoerne."
        value = f"coalesce(t_{end.name}, {end.name}::VARCHAR, '')"
        ends_first = f"NOT _withdraw AND {end.name} < {start.name}"
        rules.append(Rule(ends_first, "ugyldig_periode", _text(end.loader), value, _text(backwards)))
    if contract.level:
        overlap = (
            "Perioden overlapper en anden på samme niveau, hvor slutdatoen er angivet. "
            "Ret perioderne, så de ikke overlapper."
        )
        rules.append(Rule("false", "overlappende_takst", _text(end.loader), value, _text(overlap)))
    return rules


def _refuse_rows(con, rules: list[Rule]) -> None:
    """Sets `_rule`, the number of the first rule that refuses the row; NULL is a good row."""
    cases = " ".join(f"WHEN {rule.when} THEN {number}" for number, rule in enumerate(rules))
    con.execute(f"UPDATE merged SET _rule = CASE {cases} END")


def _refuse_overlaps(con, contract: Contract, rules: list[Rule]) -> bool:
    """Refuses the load's rows whose period overlaps another with a given end at the same level.

    Returns whether any was refused: its stored version is then back in force and may overlap in turn.
    """
    start, end = contract.period
    same_level = " AND ".join(f"a.{k} IS NOT DISTINCT FROM b.{k}" for k in contract.level)
    columns = ", ".join(dict.fromkeys([*contract.key, start, end]))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE periods AS
        SELECT {columns}, true AS delivered FROM merged WHERE _rule IS NULL AND NOT _withdraw AND _counts
        UNION ALL
        SELECT {columns}, false FROM canonical.{contract.table} s WHERE NOT withdrawn
        AND NOT EXISTS (FROM merged m WHERE m._rule IS NULL AND {_same(contract, "m", "s")})""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE overlapping AS
        SELECT {", ".join(f"x.{k}" for k in contract.key)} FROM (
            SELECT unnest([a, b]) AS x FROM periods a JOIN periods b
            ON {same_level} AND a.{start} < b.{start} AND a.{end} >= b.{start}
        ) WHERE x.delivered""")
    refused = con.execute(
        f"UPDATE merged SET _rule = {len(rules) - 1} WHERE _rule IS NULL AND NOT _withdraw "
        f"AND EXISTS (FROM overlapping o WHERE {_same(contract, 'o', 'merged')})"
    )
    return refused.fetchone()[0] > 0


def _quarantine(con, load_id: int, contract: Contract, rules: list[Rule]) -> None:
    """Keeps refused rows, and closes those that a row of this load replaces."""
    table = contract.table
    # An unreadable part of the key is NULL; a part that may be empty, and is, is ''.
    key = ", ".join(
        f"CASE WHEN NOT b_{c.name} THEN coalesce(p_{c.name}::VARCHAR, {chr(39) * 2 if c.may_be_empty else 'NULL'}) END"
        for c in contract.key_columns
    )
    cells = ", ".join(f"{c.name} := t_{c.name}" for c in contract.columns)
    line = "t_service_line_id" if "service_line_id" in contract.names else "NULL"
    # Matched on the key as far as it could be read: an unreadable part may be any value.
    matches = " AND ".join(
        f"(q.key[{i}] IS NULL OR q.key[{i}] = coalesce(p_{k}::VARCHAR, ''))" for i, k in enumerate(contract.key, 1)
    )
    readable = "len(list_filter(q.key, lambda part: part IS NOT NULL))"

    def told(part: str) -> str:
        return "CASE _rule " + " ".join(f"WHEN {n} THEN {getattr(rule, part)}" for n, rule in enumerate(rules)) + " END"

    reason = "CASE _rule " + " ".join(f"WHEN {n} THEN '{rule.reason}'" for n, rule in enumerate(rules)) + " END"
    con.execute(f"ALTER TABLE merged ADD COLUMN _reason VARCHAR; UPDATE merged SET _reason = {reason}")
    con.execute(f"""
        UPDATE quarantine.refused q SET closed_by_load = {load_id}
        FROM merged m WHERE q.table_name = '{table}' AND q.closed_by_load IS NULL AND (
            (q.file_hash = m._file AND q.row = m._row
             AND NOT (m._retry AND m._reason IS NOT DISTINCT FROM '{WAITS_FOR_PARENT}'))
            OR (NOT m._retry AND m._key_read AND {matches} AND {readable} > 0
                AND (m._reason IS NULL OR {readable} = {len(contract.key)})))""")
    con.execute(f"""
        INSERT INTO quarantine.refused BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, '{contract.loader_file}' AS loader_file,
            _file AS file_hash, (SELECT any_value(name) FROM raw.file f WHERE f.file_hash = m._file) AS file_name,
            _row AS row, _reason AS reason, {told("column")} AS column_name, coalesce({told("value")}, '') AS value,
            {told("message")} AS message, [{key}] AS key, {line} AS service_line_id,
            to_json(struct_pack({cells}, _slet := _slet)) AS cells
        FROM merged m WHERE _reason IS NOT NULL AND NOT (_retry AND _reason = '{WAITS_FOR_PARENT}')""")
    con.execute(f"INSERT INTO judged SELECT '{table}', _file, _row, _retry, _reason FROM merged")


def _apply(con, load_id: int, contract: Contract) -> None:
    """Writes accepted rows that say something new; what is delivered again unchanged keeps its first source."""
    table, names = contract.table, contract.names
    keep_back = "AND NOT _withdraw" if table in USED_BY_LINES else ""
    changed = " OR ".join(f"m.{name} IS DISTINCT FROM s.{name}" for name in names)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE accepted AS
        SELECT {", ".join(f"m.{n}" for n in names)}, m._withdraw AS withdrawn, m._file AS source_file,
            m._row AS source_row, {load_id}::BIGINT AS load_id
        FROM merged m LEFT JOIN canonical.{table} s ON {_same(contract, "m", "s")}
        WHERE m._reason IS NULL AND m._counts AND (m._stored OR NOT m._withdraw) {keep_back}
        AND (s.withdrawn IS NULL OR s.withdrawn IS DISTINCT FROM m._withdraw OR {changed})""")
    con.execute(
        f"INSERT INTO history.{table} BY NAME SELECT s.*, {load_id}::BIGINT AS closed_by_load "
        f"FROM canonical.{table} s SEMI JOIN accepted a ON {_same(contract, 'a', 's')}"
    )
    con.execute(f"DELETE FROM canonical.{table} s USING accepted a WHERE {_same(contract, 'a', 's')}")
    con.execute(f"INSERT INTO canonical.{table} BY NAME FROM accepted")
    con.execute(f"""
        INSERT INTO quarantine.warned BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, _file AS file_hash, _row AS row, 'ukendt_tilbagekaldt' AS warning,
            '{contract.key_columns[0].loader}' AS column_name,
            'Rækken tilbagekalder en nøgle, som ikke kendes. Den ændrer intet.' AS message
        FROM merged WHERE _reason IS NULL AND _withdraw AND NOT _stored AND NOT _retry""")
    if table in USED_BY_LINES:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE withdrawing_{table} AS FROM merged WHERE _reason IS NULL AND _withdraw AND _stored"
        )


def _withdraw_unused(con, load_id: int, contract: Contract) -> None:
    """Withdraws catalogue items and offers, last of all, where no living service line uses them."""
    table, key = contract.table, contract.key[0]
    column = contract.key_columns[0].loader
    in_use = f"EXISTS (FROM canonical.service_line l WHERE NOT l.withdrawn AND l.{USED_BY_LINES[table]} = w.{key})"
    con.execute(f"""
        INSERT INTO quarantine.refused BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, '{contract.loader_file}' AS loader_file,
            _file AS file_hash, (SELECT any_value(name) FROM raw.file f WHERE f.file_hash = w._file) AS file_name,
            _row AS row, 'ugyldig_vaerdi' AS reason, 'slet' AS column_name, 'ja' AS value,
            'Rækken kan ikke tilbagekaldes, fordi ydelser bruger den ({column}). Tilbagekald eller ret ydelserne først.' AS message,
            [{key}] AS key, to_json(struct_pack({key} := {key}, _slet := _slet)) AS cells
        FROM withdrawing_{table} w WHERE {in_use}""")
    con.execute(f"""
        UPDATE judged j SET reason = 'ugyldig_vaerdi' FROM withdrawing_{table} w
        WHERE j.table_name = '{table}' AND j._file = w._file AND j._row = w._row AND {in_use}""")
    withdrawn = f"FROM withdrawing_{table} w WHERE s.{key} = w.{key} AND w._counts AND NOT s.withdrawn AND NOT {in_use}"
    con.execute(
        f"INSERT INTO history.{table} BY NAME SELECT s.*, {load_id}::BIGINT AS closed_by_load "
        f"FROM canonical.{table} s WHERE EXISTS ({withdrawn})"
    )
    con.execute(
        f"UPDATE canonical.{table} s "
        f"SET withdrawn = true, source_file = w._file, source_row = w._row, load_id = {load_id} {withdrawn}"
    )
