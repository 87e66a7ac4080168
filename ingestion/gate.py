"""The row gate: one load's rows judged together, table by table, and merged into the canonical tables.

Refused rows go to the quarantine with file, row, column, value and a sentence; good rows of the same file go on.
The rules are those of the public loader contract; each is declared once, in `contracts/` or in the steps below.

What an extract says holds from its own date, whenever it arrives: a row older than what is stored changes nothing and is
counted as outdated. A key missing from a whole extract is withdrawn, where an earlier extract of that kind brought it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

import duckdb

from ingestion import conflicts, translating
from ingestion.contract import Contract, contracts

RULES_VERSION = "2"
WAITS_FOR_PARENT = "ukendt_noegle"

# Withdrawn only when nothing uses them: table → column of a service line that names it.
USED_BY_LINES = {"catalogue_item": "item_code", "offer": "offer_id"}
# How a cell stands: the column is missing, the cell is empty, it was read, or it cannot be read.
ABSENT, EMPTY, READ, BAD = range(4)


@dataclass(frozen=True)
class Stage:
    """Where one load's rows for one canonical table come from: SELECTs of loader columns as text, with `_file` (a number of
    `temp.load_file`), `_row` and `_fault`. `whole` lists kinds of whole extracts by the numbers of their files."""

    contract: Contract
    selects: list[str] = field(default_factory=list)
    whole: dict[tuple[str, str], list[int]] = field(default_factory=dict)


def judge(
    con: duckdb.DuckDBPyConnection, load_id: int, dated: date, stages: dict[str, Stage], municipalities: Sequence[str],
    refusing: Mapping[str, Sequence[Rule]] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Judges every row of a load and applies the good ones; the caller holds the transaction and has filled `temp.load_file`
    (number, file_hash, dated, superseded: a newer whole extract of its kind is stored). `refusing`: rules by table, over the
    merged row `r`, that the instance has raised to refusals.

    Leaves `temp.judged`, one row per judged row (table_name, _file, _row, _retry, refused, outdated), and `temp.missing`, one
    row per kind of whole extract and table (_file, table_name, missing, living: rows withdrawn, and rows before).
    """
    con.execute("""
        CREATE OR REPLACE TEMP TABLE judged
        (table_name VARCHAR, _file BIGINT, _row BIGINT, _retry BOOLEAN, refused BOOLEAN, outdated BOOLEAN);
        CREATE OR REPLACE TEMP TABLE missing (_file BIGINT, table_name VARCHAR, missing BIGINT, living BIGINT)""")
    for table, contract in contracts().items():
        waiting = con.execute(
            "SELECT count(*) FROM quarantine.refused WHERE table_name = ? AND reason = ? AND closed_by_load IS NULL",
            [table, WAITS_FOR_PARENT],
        ).fetchone()[0]  # fmt: skip
        if table in stages or waiting:
            _judge_table(con, load_id, dated, stages.get(table, Stage(contract)), municipalities, refusing.get(table, ()))
        if table == translating.TRANSLATED:
            translating.translate_again(con, load_id)
    for table in USED_BY_LINES:
        if table in stages:
            _withdraw_unused(con, load_id, contracts()[table])


def _judge_table(con, load_id, dated, stage: Stage, municipalities, refusing: Sequence[Rule]) -> None:
    contract = stage.contract
    _stage(con, contract, stage)
    _read(con, contract, municipalities)
    rules = _rules(contract, refusing)
    _merge(con, contract, rules)
    for kind, numbers in stage.whole.items():
        _withdraw_missing(con, contract, dated, kind, numbers)
    if contract.table in conflicts.CONTESTED:
        conflicts.settle(con, contract, load_id)
    if contract.level:
        while _refuse_overlaps(con, contract, rules):
            pass
    _quarantine(con, load_id, contract, rules)
    _apply(con, load_id, contract)
    con.execute("DROP TABLE read; DROP TABLE merged")


def _stage(con, contract: Contract, stage: Stage) -> None:
    """`temp.staged`, a view: the load's rows as trimmed text by canonical name (NULL: the column is missing), and the
    rows that wait in quarantine for a parent."""
    cells = ", ".join(f"json_extract_string(cells, '$.{c.name}') AS {c.name}" for c in contract.stored)
    waiting = f"table_name = '{contract.table}' AND reason = '{WAITS_FOR_PARENT}' AND closed_by_load IS NULL"
    con.execute(f"""
        INSERT INTO load_file
        SELECT (SELECT coalesce(max(number), 0) FROM load_file) + row_number() OVER (ORDER BY file_hash), file_hash, dated, false
        FROM (SELECT file_hash, max(dated) AS dated FROM quarantine.refused JOIN raw.load USING (load_id)
            WHERE {waiting} GROUP BY file_hash) ANTI JOIN load_file USING (file_hash);
        CREATE OR REPLACE TEMP TABLE retried AS
        SELECT {cells}, json_extract_string(cells, '$._slet') AS _slet, number AS _file, row AS _row,
            NULL::VARCHAR AS _fault, true AS _retry
        FROM quarantine.refused JOIN (SELECT file_hash, max(number) AS number FROM load_file GROUP BY ALL) USING (file_hash)
        WHERE {waiting}""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE file_system AS
        SELECT file_hash, arg_min(system, (load_id, system)) AS system FROM raw.file GROUP BY file_hash;
        CREATE OR REPLACE TEMP TABLE load_system AS
        SELECT number, arg_max(system, (load_id, system)) AS system FROM load_file JOIN raw.file USING (file_hash)
        GROUP BY number""")
    parts = ["FROM retried"]
    for select in stage.selects:
        present = {name for name, *_ in con.execute(f"DESCRIBE {select}").fetchall()}
        columns = [f"{_trimmed(c.loader)} AS {c.name}" for c in contract.stored if c.loader in present]
        if "slet" in present:
            columns.append(f"{_trimmed('slet')} AS _slet")
        parts.append(f"SELECT {', '.join([*columns, '_file', '_row', '_fault'])}, false AS _retry FROM ({select})")
    con.execute(f"CREATE OR REPLACE TEMP VIEW staged AS {' UNION ALL BY NAME '.join(parts)}")


def _trimmed(column: str) -> str:
    return f"trim(replace(\"{column}\", chr(160), ' '))"


def _read(con, contract: Contract, municipalities) -> None:
    """`temp.read`: each cell read by its type (NULL where it is empty or bad), how it stands (`k_…`), and whether key and
    row could be read. Of a row that withdraws, only the key is read."""
    typed = ", ".join(f"{c.read_sql(f's.{c.name}', municipalities)} AS p_{c.name}" for c in contract.stored)
    values = ", ".join(f"CASE WHEN {c.name} <> '' THEN p_{c.name} END AS p_{c.name}" for c in contract.stored)
    standing = ", ".join(
        f"(CASE WHEN {c.name} IS NULL THEN {ABSENT} WHEN {c.name} = '' THEN {EMPTY} WHEN p_{c.name} IS NULL THEN {BAD} "
        f"ELSE {READ} END)::TINYINT AS k_{c.name}"
        for c in contract.stored
    )
    by_system = contract.table in (*conflicts.CONTESTED, translating.TRANSLATED)
    system = "(SELECT system FROM load_system y WHERE y.number = _file)" if by_system else "''"
    key_read = " AND ".join(f"k_{c.name} {f'<> {BAD}' if c.may_be_empty else f'= {READ}'}" for c in contract.key_columns)
    any_bad, key_bad = (" OR ".join(f"k_{name} = {BAD}" for name in names) for names in (contract.names, contract.key))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE read AS
        WITH parsed AS (SELECT s.*, {typed} FROM staged s),
        marked AS (
            SELECT {values}, {standing}, _file, _row, _fault, _retry, lower(coalesce(_slet, '')) = 'ja' AS _withdraw,
                lower(coalesce(_slet, '')) NOT IN ('', 'ja', 'nej') AS _slet_bad, {system} AS _system
            FROM parsed
        )
        SELECT *, ({key_read}) AND _fault IS NULL AS _key_read,
            _fault IS NOT NULL OR _slet_bad OR CASE WHEN _withdraw THEN {key_bad} ELSE {any_bad} END AS _unreadable
        FROM marked""")


def _same(contract: Contract, left: str, right: str, prefix: str = "") -> str:
    return " AND ".join(f"{left}.{prefix}{k} IS NOT DISTINCT FROM {right}.{k}" for k in contract.key)


def _merge(con, contract: Contract, rules: list[Rule]) -> None:
    """`temp.merged`: one row per judged row with the values the canonical row would get, and the first rule that refuses it.

    A missing column keeps the stored value (the default, for a new key); an empty cell sets the default.
    A row waiting in quarantine gives way to a row with its key in this load. Of rows that are identical after
    reading, one counts; different ones, or one that cannot be read, are all doubles (`_double`).
    """
    key = ", ".join(f"p_{k}" for k in contract.key)
    signature = ", ".join(
        f"CASE WHEN {'true' if c.name in contract.key else 'NOT _withdraw'} "
        f"THEN [(k_{c.name} = {ABSENT})::VARCHAR, p_{c.name}::VARCHAR] END"
        for c in contract.stored
    )
    values, changed = [], []
    for c in contract.stored:
        read = c.read_sql(f"'{c.default}'", ()) if c.default is not None else "NULL"
        default = f"CAST({read} AS {c.duckdb_type})"
        if c.name in contract.key:  # has no default
            values.append(f"r.p_{c.name} AS {c.name}")
            continue
        values.append(
            f"CASE WHEN r._withdraw THEN s.{c.name} WHEN r.k_{c.name} = {ABSENT} "
            f"THEN CASE WHEN s.withdrawn IS NULL THEN {default} ELSE s.{c.name} END "
            f"WHEN r.k_{c.name} = {EMPTY} THEN {default} ELSE r.p_{c.name} END AS {c.name}"
        )
        changed.append(f"{c.name} IS DISTINCT FROM _stored_{c.name}")
    stored = "".join(f", s.{c.name} AS _stored_{c.name}" for c in contract.stored if c.name not in contract.key)
    # Joins on the key alone, so that they hash: a row whose key could not be read is refused whatever it meets.
    same_key = " AND ".join(f"r.p_{k} IS NOT DISTINCT FROM d.p_{k}" for k in contract.key)
    # What several systems say of one key is no double: they are heard apart, and only one's own newer word outdates a row.
    contested = contract.table in conflicts.CONTESTED
    said_by, same_voice = (f"{key}, _system", f"{same_key} AND r._system = d._system") if contested else (key, same_key)
    own_date, own_word = conflicts.own_word(contract) if contested else ("s.dated", "")
    translated = translating.ITEM if contract.table == translating.TRANSLATED else "FROM beside"
    refusing = " ".join(f"WHEN {rule.when} THEN {number}" for number, rule in enumerate(rules))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE merged AS
        WITH waiting AS (SELECT * FROM read WHERE _retry),
        standing AS (
            SELECT * FROM read WHERE NOT _retry
            UNION ALL
            SELECT r.* FROM waiting r ANTI JOIN (
                SELECT {key} FROM read d SEMI JOIN waiting r ON {same_key} WHERE d._key_read AND NOT d._retry
            ) d ON {same_key}
        ),
        many AS (SELECT {said_by} FROM standing WHERE _key_read GROUP BY {said_by} HAVING count(*) > 1),
        repeated AS (
            SELECT {said_by}, bool_or(_unreadable) OR count(DISTINCT to_json([{signature}, [_withdraw::VARCHAR]])) > 1 AS differ,
                min((_row, _file)) AS first
            FROM standing r SEMI JOIN many d ON {same_voice} WHERE _key_read GROUP BY {said_by}
        ),
        beside AS (
            SELECT {", ".join(values)}{stored}, {", ".join(f"r.k_{c.name}" for c in contract.stored)}, r._file, r._row, r._fault,
                r._system, r._retry, r._withdraw, r._slet_bad, r._key_read, r._key_read AND coalesce(d.differ, false) AS _double,
                d.first IS NULL OR d.first = (r._row, r._file) AS _counts, s.withdrawn IS NOT NULL AS _stored,
                s.withdrawn AS _stored_withdrawn,
                f.superseded OR (r._key_read AND coalesce({own_date} > f.dated, false)) AS _outdated, f.dated AS _dated
            FROM standing r
            JOIN load_file f ON f.number = r._file
            LEFT JOIN repeated d ON {same_voice}
            LEFT JOIN canonical.{contract.table} s ON {_same(contract, "r", "s", "p_")}
            {own_word}
        ),
        told AS ({translated})
        SELECT {", ".join(c.name for c in contract.stored)}, _system, _file, _row, _retry, _withdraw, _key_read, _counts, _stored,
            _outdated, _dated,
            false AS _missing,
            _stored_withdrawn IS NULL OR _stored_withdrawn <> _withdraw OR {" OR ".join(changed) or "false"} AS _changes,
            CASE WHEN NOT _outdated THEN CASE {refusing} END END AS _rule, _fault
        FROM told r""")


def _withdraw_missing(con, contract: Contract, dated: date, kind: tuple[str, str], numbers: list[int]) -> None:
    """Adds a withdrawing row for every living row that an extract of that kind brought and this whole one has not.

    None where a row's key cannot be read: it may be any of them.
    """
    table = contract.table
    of_kind = "source_file IN (SELECT file_hash FROM raw.file WHERE system = $system AND dataset = $dataset)"
    brought = f"FROM canonical.{table} s WHERE NOT s.withdrawn AND s.dated <= $dated AND {of_kind}"
    these = f"_file IN ({', '.join(map(str, numbers))}) AND NOT _retry"
    parameters = {"system": kind[0], "dataset": kind[1], "dated": dated}
    unreadable = con.execute(f"SELECT count(*) FROM read WHERE {these} AND NOT _key_read").fetchone()[0]
    living = con.execute(f"SELECT count(*) {brought}", parameters).fetchone()[0]
    added = 0 if unreadable else con.execute(
        f"""INSERT INTO merged BY NAME
        SELECT {", ".join(f"s.{c.name}" for c in contract.stored)}, $system AS _system, {numbers[-1]} AS _file,
            false AS _retry, true AS _withdraw,
            true AS _key_read, true AS _counts, true AS _stored, false AS _outdated, $dated AS _dated, true AS _missing,
            true AS _changes
        {brought} AND NOT EXISTS (FROM read r WHERE {these} AND {_same(contract, "r", "s", "p_")})""",
        parameters,
    ).fetchone()[0]  # fmt: skip
    con.execute("INSERT INTO missing VALUES (?, ?, ?, ?)", [numbers[-1], table, added, living])


def _text(sentence: str) -> str:
    return "'" + sentence.replace("'", "''") + "'"


@dataclass(frozen=True)
class Rule:
    """One refusal: SQL for when it holds, and for column and value at fault (`t_…` is the cell as delivered), and what the
    person is told."""

    when: str
    reason: str
    column: str
    value: str
    message: str


def _rules(contract: Contract, refusing: Sequence[Rule]) -> list[Rule]:
    """The refusals of a table in order of precedence: the first that holds is the reason given. Overlaps come last."""
    key = ", ".join(c.loader for c in contract.key_columns)
    key_text = " || ' / ' || ".join(f"coalesce(t_{k}, '')" for k in contract.key)
    twice = f"Nøglen ({key}) står flere gange i indlæsningen med forskelligt indhold. Send den én gang."
    double = Rule("_double", "dublet", _text(key), key_text, _text(twice))
    rules = [
        Rule("_fault IS NOT NULL", "ugyldig_vaerdi", "''", "''", "_fault"),
        *([double] if contract.public else []),
        Rule("_slet_bad", "ugyldig_vaerdi", "'slet'", "_slet", _text("Kolonnen slet skal være ja eller tom. Ret cellen.")),
    ]
    # Of a row that withdraws only the key is read.
    for c in contract.columns:
        living = "" if c.name in contract.key else " AND NOT _withdraw"
        unread = f"Kolonnen {c.loader} skal være {c.expected}. Ret cellen, og send rækken igen."
        rules.append(Rule(f"k_{c.name} = {BAD}{living}", "ugyldig_vaerdi", _text(c.loader), f"t_{c.name}", _text(unread)))
    if not contract.public:  # a document says its head with every line: what is wrong with a cell of it is told, not the repetition
        rules.append(double)
    for c in contract.columns:
        if c.name in contract.key and not c.may_be_empty:
            missing = f"k_{c.name} <> {READ}"
        elif c.required:
            missing = f"{c.name} IS NULL AND NOT _withdraw"
        else:
            continue
        empty = f"Kolonnen {c.loader} skal være udfyldt. Udfyld cellen, og send rækken igen."
        rules.append(Rule(missing, "ugyldig_vaerdi", _text(c.loader), "''", _text(empty)))
    for c in contract.columns:
        if c.parent:
            parent = contracts()[c.parent]
            orphan = f"NOT _withdraw AND {c.name} NOT IN (SELECT {parent.key[0]} FROM canonical.{c.parent})"
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
    rules += refusing
    if contract.level:
        overlap = (
            "Perioden overlapper en anden på samme niveau, hvor slutdatoen er angivet. "
            "Ret perioderne, så de ikke overlapper."
        )
        rules.append(Rule("false", "overlappende_takst", _text(end.loader), value, _text(overlap)))
    return rules


def _refuse_overlaps(con, contract: Contract, rules: list[Rule]) -> bool:
    """Refuses the load's rows whose period overlaps another with a given end at the same level.

    Returns whether any was refused: its stored version is then back in force and may overlap in turn.
    """
    start, end = contract.period
    same_level = " AND ".join(f"a.{k} IS NOT DISTINCT FROM b.{k}" for k in contract.level)
    columns = ", ".join(dict.fromkeys([*contract.key, start, end]))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE periods AS
        SELECT {columns}, true AS delivered FROM merged WHERE _rule IS NULL AND NOT _outdated AND NOT _withdraw AND _counts
        UNION ALL
        SELECT {columns}, false FROM canonical.{contract.table} s WHERE NOT withdrawn
        AND NOT EXISTS (FROM merged m WHERE m._rule IS NULL AND NOT m._outdated AND {_same(contract, "m", "s")})""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE overlapping AS
        SELECT {", ".join(f"x.{k}" for k in contract.key)} FROM (
            SELECT unnest([a, b]) AS x FROM periods a JOIN periods b
            ON {same_level} AND a.{start} < b.{start} AND a.{end} >= b.{start}
        ) WHERE x.delivered""")
    refused = con.execute(
        f"UPDATE merged SET _rule = {len(rules) - 1} WHERE _rule IS NULL AND NOT _outdated AND NOT _withdraw "
        f"AND EXISTS (FROM overlapping o WHERE {_same(contract, 'o', 'merged')})"
    )
    return refused.fetchone()[0] > 0


def _quarantine(con, load_id: int, contract: Contract, rules: list[Rule]) -> None:
    """Keeps refused rows, and closes those that a row of this load replaces. What is older than a refused row does not."""
    table = contract.table
    still_waits = f"_rule IN ({', '.join(str(n) for n, r in enumerate(rules) if r.reason == WAITS_FOR_PARENT) or '-1'})"
    con.execute(f"""
        INSERT INTO judged SELECT '{table}', _file, _row, _retry, _rule IS NOT NULL, _outdated FROM merged WHERE NOT _missing""")
    parts = range(1, len(contract.key) + 1)
    same_text = [f"q.key[{i}] = coalesce(m.{k}::VARCHAR, '')" for i, k in zip(parts, contract.key, strict=True)]
    whole_key = " AND ".join(f"q.key[{i}] IS NOT NULL" for i in parts)
    partly = " AND ".join(f"(q.key[{i}] IS NULL OR {same})" for i, same in zip(parts, same_text, strict=True))
    some_key = " OR ".join(f"q.key[{i}] IS NOT NULL" for i in parts)
    delivered = "NOT m._retry AND NOT m._missing AND NOT m._outdated AND m._key_read"
    # The same row again; a row with its key; a good row with the part of its key that could be read.
    replaced = (
        f"q.file_hash = f.file_hash AND q.row = m._row AND NOT m._outdated AND NOT (m._retry AND coalesce({still_waits}, false))",
        f"{delivered} AND {' AND '.join(same_text)} AND {whole_key}",
        f"{delivered} AND m._rule IS NULL AND NOT ({whole_key}) AND ({some_key}) AND {partly}",
    )
    for how in replaced:
        open_rows = con.execute(
            "SELECT count(*) FROM quarantine.refused WHERE table_name = ? AND closed_by_load IS NULL", [table]
        ).fetchone()[0]
        if not open_rows:
            break
        con.execute(f"""
            UPDATE quarantine.refused q SET closed_by_load = {load_id}
            FROM merged m JOIN load_file f ON f.number = m._file
            WHERE q.table_name = '{table}' AND q.closed_by_load IS NULL AND {how}
            AND q.load_id IN (SELECT l.load_id FROM raw.load l WHERE l.dated <= m._dated)""")
    if not con.execute("SELECT count(*) FROM merged WHERE _rule IS NOT NULL").fetchone()[0]:
        return
    # An unreadable part of the key is NULL; a part that may be empty, and is, is ''.
    key = ", ".join(
        f"CASE WHEN t_{c.name} = '' OR t_{c.name} IS NULL OR {c.name} IS NOT NULL "
        f"THEN coalesce({c.name}::VARCHAR, {chr(39) * 2 if c.may_be_empty else 'NULL'}) END"
        for c in contract.key_columns
    )
    cells = ", ".join(f"{c.name} := t_{c.name}" for c in contract.stored)
    texts = ", ".join(f"s.{c.name} AS t_{c.name}" for c in contract.stored)
    line = "t_service_line_id" if "service_line_id" in contract.names else "NULL"

    def told(part: str) -> str:
        return "CASE _rule " + " ".join(f"WHEN {n} THEN {getattr(rule, part)}" for n, rule in enumerate(rules)) + " END"

    reason = "CASE _rule " + " ".join(f"WHEN {n} THEN '{rule.reason}'" for n, rule in enumerate(rules)) + " END"
    con.execute(f"""
        INSERT INTO quarantine.refused BY NAME
        WITH refused AS (
            SELECT m.*, {texts}, s._slet, f.file_hash
            FROM merged m JOIN staged s USING (_file, _row, _retry) JOIN load_file f ON f.number = _file
            WHERE m._rule IS NOT NULL AND NOT (_retry AND {still_waits})
        )
        SELECT {load_id} AS load_id, '{table}' AS table_name, '{contract.loader_file}' AS loader_file, file_hash,
            (SELECT any_value(name) FROM raw.file f WHERE f.file_hash = m.file_hash) AS file_name,
            _row AS row, {reason} AS reason, {told("column")} AS column_name, coalesce({told("value")}, '') AS value,
            {told("message")} AS message, [{key}] AS key, {line} AS service_line_id,
            to_json(struct_pack({cells}, _slet := _slet)) AS cells
        FROM refused m""")


def _apply(con, load_id: int, contract: Contract) -> None:
    """Writes accepted rows that say something new; what is delivered again unchanged keeps its first source."""
    table, names = contract.table, [c.name for c in contract.stored]
    keep_back = "AND NOT _withdraw" if table in USED_BY_LINES else ""
    good = "_rule IS NULL AND NOT _outdated AND _counts"
    accepted = f"{good} AND (_stored OR NOT _withdraw) {keep_back} AND _changes"
    if con.execute(f"SELECT count(*) FROM merged WHERE {accepted} AND _stored").fetchone()[0]:
        changing = f"(SELECT {', '.join(contract.key)} FROM merged WHERE {accepted} AND _stored)"
        con.execute(
            f"INSERT INTO history.{table} BY NAME SELECT s.*, {load_id}::BIGINT AS closed_by_load "
            f"FROM canonical.{table} s SEMI JOIN {changing} a ON {_same(contract, 'a', 's')}"
        )
        con.execute(f"DELETE FROM canonical.{table} s USING {changing} a WHERE {_same(contract, 'a', 's')}")
    # What an extract of a later date says again is from then on known of that date.
    con.execute(
        f"UPDATE canonical.{table} s SET dated = m._dated FROM merged m WHERE {_same(contract, 'm', 's')} "
        f"AND {good} AND NOT _changes AND s.dated < m._dated"
    )
    con.execute(f"""
        INSERT INTO canonical.{table} BY NAME
        SELECT {", ".join(names)}, _withdraw AS withdrawn, f.file_hash AS source_file, _row AS source_row,
            {load_id}::BIGINT AS load_id, _dated AS dated
        FROM merged JOIN load_file f ON f.number = _file WHERE {accepted}""")
    con.execute(f"""
        INSERT INTO quarantine.warned BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, f.file_hash, _row AS row, 'ukendt_tilbagekaldt' AS warning,
            '{contract.key_columns[0].loader}' AS column_name,
            'Rækken tilbagekalder en nøgle, som ikke kendes. Den ændrer intet.' AS message
        FROM merged JOIN load_file f ON f.number = _file
        WHERE _rule IS NULL AND NOT _outdated AND _withdraw AND NOT _stored AND NOT _retry""")
    if table in USED_BY_LINES:
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE withdrawing_{table} AS
            SELECT m.*, f.file_hash FROM merged m JOIN load_file f ON f.number = m._file
            WHERE _rule IS NULL AND NOT _outdated AND _withdraw AND _stored""")


def _withdraw_unused(con, load_id: int, contract: Contract) -> None:
    """Withdraws catalogue items and offers, last of all, where no living service line uses them.

    One in use that is missing from a whole extract stays, and the extract's first row is warned of.
    """
    table, key = contract.table, contract.key[0]
    column = contract.key_columns[0].loader
    in_use = f"EXISTS (FROM canonical.service_line l WHERE NOT l.withdrawn AND l.{USED_BY_LINES[table]} = w.{key})"
    con.execute(f"""
        INSERT INTO quarantine.refused BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, '{contract.loader_file}' AS loader_file, file_hash,
            (SELECT any_value(name) FROM raw.file f WHERE f.file_hash = w.file_hash) AS file_name,
            _row AS row, 'ugyldig_vaerdi' AS reason, 'slet' AS column_name, 'ja' AS value,
            'Rækken kan ikke tilbagekaldes, fordi ydelser bruger den ({column}). Tilbagekald eller ret ydelserne først.' AS message,
            [{key}] AS key, to_json(struct_pack({key} := {key}, _slet := 'ja')) AS cells
        FROM withdrawing_{table} w WHERE NOT _missing AND {in_use}""")
    con.execute(f"""
        INSERT INTO quarantine.warned BY NAME
        SELECT {load_id} AS load_id, '{table}' AS table_name, file_hash, 0 AS row, 'mangler_i_brug' AS warning,
            '{column}' AS column_name,
            'Udtrækket mangler ' || {key} || ', som ydelser bruger. Den er beholdt. Ret udtrækket eller ydelserne.' AS message
        FROM withdrawing_{table} w WHERE _missing AND {in_use}""")
    con.execute(f"""
        UPDATE judged j SET refused = true FROM withdrawing_{table} w
        WHERE j.table_name = '{table}' AND j._file = w._file AND j._row = w._row AND NOT w._missing AND {in_use}""")
    withdrawn = f"FROM withdrawing_{table} w WHERE s.{key} = w.{key} AND w._counts AND NOT s.withdrawn AND NOT {in_use}"
    con.execute(
        f"INSERT INTO history.{table} BY NAME SELECT s.*, {load_id}::BIGINT AS closed_by_load "
        f"FROM canonical.{table} s WHERE EXISTS ({withdrawn})"
    )
    con.execute(
        f"UPDATE canonical.{table} s SET withdrawn = true, source_file = w.file_hash, source_row = w._row, "
        f"load_id = {load_id}, dated = w._dated {withdrawn}"
    )
