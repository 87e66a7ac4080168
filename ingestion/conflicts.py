"""What several source systems say of the same citizen, offer or department, and which of them holds.

Every system's newest word on each field is kept (`quality.said`), once a second system speaks of the key. The canonical value
is that of the system the instance puts first for the field (`[kilder]` in settings.toml), else the newest; a field they
say differently is an open conflict until they agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from ingestion.contract import Contract, contracts
from settlement.faults import StateFault
from settlement.instance import Instance

# Tables that several systems deliver; each has a key of one column. A citizen is the same in all of them by CPR number.
CONTESTED = ("citizen", "offer", "department")
# The CPR register is the authority on citizens (CPR-loven); which case system knows best, only the municipality can say.
DEFAULT_ORDER = {"citizen": ("cpr",)}

# A word on the key's own column says that the system has the row; where its value is empty, that it has withdrawn it.
SCHEMA = """
CREATE TABLE quality.source_order (table_name VARCHAR, column_name VARCHAR, system VARCHAR, place BIGINT);
CREATE TABLE quality.said (
    table_name VARCHAR, key VARCHAR, column_name VARCHAR, system VARCHAR, value VARCHAR, dated DATE, load_id BIGINT,
    closed_by_load BIGINT);
CREATE VIEW quality.word AS
    SELECT said.* EXCLUDE (closed_by_load), row_number() OVER (
        PARTITION BY table_name, key, column_name
        ORDER BY value IS NULL, coalesce(place, 1000000), dated DESC, system) = 1 AS is_chosen
    FROM quality.said AS said LEFT JOIN quality.source_order USING (table_name, column_name, system)
    WHERE closed_by_load IS NULL;
CREATE VIEW quality.source_conflict AS
    SELECT * FROM quality.word WHERE value IS NOT NULL
    QUALIFY count(DISTINCT value) OVER (PARTITION BY table_name, key, column_name) > 1;
"""


def source_order(instance: Instance) -> Iterator[tuple[str, str, str, int]]:
    """Which system comes first: (table, column, system, place from 1). Raises StateFault for a field there is none of."""
    fields = {f"{c.loader_file}.{column.loader}": (c.table, column.name)
              for c in map(contracts().get, CONTESTED) for column in c.columns if column.name not in c.key}  # fmt: skip
    for field in instance.source_order:
        if field not in fields:
            raise StateFault(
                f"Feltet {field} under [kilder] i settings.toml findes ikke. Skriv et af: {', '.join(fields)}."
            )
    for field, (table, column) in fields.items():
        systems = instance.source_order.get(field, DEFAULT_ORDER.get(table, ()))
        yield from ((table, column, system, place) for place, system in enumerate(systems, 1))


def layout(instance: Instance) -> str:
    """The SQL that lays out what is said, with the order of the sources. Raises StateFault."""
    rows = ", ".join(
        f"('{table}', '{column}', '{_quoted(system)}', {place})" for table, column, system, place in source_order(instance)
    )
    return f"{SCHEMA}INSERT INTO quality.source_order VALUES {rows};"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def own_word(contract: Contract) -> tuple[str, str]:
    """SQL for the date of the row's own system's newest word on its key (NULL where it has not spoken), and the joins it needs
    (`r` is the row read, `s` the stored one)."""
    (key,) = contract.key
    return "coalesce(w.dated, CASE WHEN y.system = r._system THEN s.dated END)", f"""
        LEFT JOIN file_system y ON y.file_hash = s.source_file
        LEFT JOIN quality.said w ON w.table_name = '{contract.table}' AND w.column_name = '{key}' AND w.key = r.p_{key}
            AND w.system = r._system AND w.closed_by_load IS NULL"""


def settle(con: duckdb.DuckDBPyConnection, contract: Contract, load_id: int) -> None:
    """Hears the load's good rows of a table (`temp.read`, `temp.merged`) and gives each key that several systems speak of the
    values that hold. One row per key then counts; a row older than its own system's word is outdated."""
    if con.execute("SELECT count(DISTINCT system) FROM raw.file").fetchone()[0] < 2:
        return
    if not _hear(con, contract):
        return
    _remember_first(con, contract)
    _remember(con, contract, load_id)
    _choose(con, contract)


def _hear(con, contract: Contract) -> int:
    """`temp.heard`: a good row of a key of which several systems speak. Returns how many."""
    table, (key,) = contract.table, contract.key
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE heard AS
        WITH good AS (
            SELECT {key} AS key, _system AS system, _file, _row, _missing, _withdraw, _dated
            FROM merged WHERE _rule IS NULL AND NOT _outdated AND _key_read AND _counts
        ),
        several AS (
            SELECT key FROM good GROUP BY key HAVING count(DISTINCT system) > 1
            UNION
            SELECT key FROM good JOIN canonical.{table} s ON s.{key} = key JOIN file_system y ON y.file_hash = s.source_file
            WHERE y.system <> good.system AND NOT s.withdrawn
            UNION
            SELECT key FROM quality.said WHERE table_name = '{table}' AND column_name = '{key}' AND closed_by_load IS NULL
        )
        FROM good SEMI JOIN several USING (key)""")
    return con.execute("SELECT count(*) FROM heard").fetchone()[0]


def _remember_first(con, contract: Contract) -> None:
    """What the system that was alone to speak of a key has said: its row as it is stored."""
    table, (key,) = contract.table, contract.key
    con.execute(f"""
        INSERT INTO quality.said
        WITH alone AS (
            SELECT s.*, y.system FROM canonical.{table} s JOIN file_system y ON y.file_hash = s.source_file
            WHERE NOT s.withdrawn AND s.{key} IN (SELECT key FROM heard) AND s.{key} NOT IN (
                SELECT key FROM quality.said WHERE table_name = '{table}' AND column_name = '{key}' AND closed_by_load IS NULL)
        ),
        word AS (SELECT {key} AS key, system, dated, load_id, unnest([{_words(contract, "{}")}]) AS said FROM alone)
        SELECT '{table}', key, said.column_name, system, said.value, dated, load_id, NULL FROM word WHERE said.value IS NOT NULL""")


def _words(contract: Contract, value: str) -> str:
    return ", ".join(
        f"{{column_name: '{c.name}', value: {value.format(c.name)}::VARCHAR, told: {told}}}"
        for c in contract.columns for told in [f"k_{c.name} > 0" if value != "{}" else "true"]
    )  # fmt: skip


def _remember(con, contract: Contract, load_id: int) -> None:
    """Keeps what the rows heard say of each field; of a row that withdraws, that its system has no word on any."""
    table = contract.table
    empty = ", ".join(f"{{column_name: '{c.name}', value: NULL::VARCHAR, told: true}}" for c in contract.columns)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE spoken AS
        WITH word AS (
            SELECT h.key, h.system, h._dated AS dated,
                unnest(CASE WHEN h._withdraw THEN [{empty}] ELSE [{_words(contract, "r.p_{}")}] END) AS said
            FROM heard h LEFT JOIN read r ON r._file = h._file AND r._row = h._row AND NOT r._retry AND NOT h._missing
        )
        SELECT key, said.column_name, system, said.value, dated FROM word WHERE said.told""")
    same = f"""w.table_name = '{table}' AND w.key = s.key AND w.column_name = s.column_name AND w.system = s.system
        AND w.closed_by_load IS NULL"""
    con.execute(f"UPDATE quality.said w SET dated = s.dated FROM spoken s WHERE {same} AND w.value IS NOT DISTINCT FROM s.value")
    con.execute(
        f"UPDATE quality.said w SET closed_by_load = {load_id:d} FROM spoken s WHERE {same} AND w.value IS DISTINCT FROM s.value"
    )
    con.execute(f"""
        INSERT INTO quality.said SELECT '{table}', key, column_name, system, value, dated, {load_id:d}, NULL
        FROM spoken s WHERE NOT EXISTS (FROM quality.said w WHERE {same})""")


def _choose(con, contract: Contract) -> None:
    """Writes the values that hold into `temp.merged`, on one row per key heard: the newest. A key lives while any system has it."""
    table, (key,) = contract.table, contract.key
    others = [c for c in contract.columns if c.name != key]
    chosen = ", ".join(
        f"any_value(value) FILTER (is_chosen AND column_name = '{c.name}')::{c.duckdb_type} AS {c.name}" for c in others
    )
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE agreed AS
        SELECT key, {chosen}, max(dated) FILTER (column_name = '{key}') AS dated,
            count(*) FILTER (column_name = '{key}' AND value IS NOT NULL) > 0 AS is_living
        FROM quality.word WHERE table_name = '{table}' AND key IN (SELECT key FROM heard) GROUP BY key;
        CREATE OR REPLACE TEMP TABLE speaker AS
        SELECT key, _file, _row, row_number() OVER (PARTITION BY key ORDER BY _withdraw, _dated DESC, system) = 1 AS is_first
        FROM heard""")
    con.execute(f"""
        UPDATE merged m SET _counts = p.is_first FROM speaker p
        WHERE m.{key} = p.key AND m._file = p._file AND m._row IS NOT DISTINCT FROM p._row AND NOT m._outdated""")
    values = ", ".join(f"{c.name} = CASE WHEN a.is_living THEN a.{c.name} ELSE m.{c.name} END" for c in others)
    con.execute(f"""
        UPDATE merged m SET {values}, _withdraw = NOT a.is_living, _dated = greatest(m._dated, a.dated) FROM agreed a
        WHERE m.{key} = a.key AND m._counts AND m._rule IS NULL AND NOT m._outdated""")
    changed = " OR ".join(f"m.{c.name} IS DISTINCT FROM s.{c.name}" for c in others)
    con.execute(f"""
        UPDATE merged m SET _changes = s.withdrawn <> m._withdraw OR NOT m._withdraw AND ({changed}) FROM canonical.{table} s
        WHERE s.{key} = m.{key} AND m.{key} IN (SELECT key FROM agreed)""")


def take_back(con: duckdb.DuckDBPyConnection, load_id: int, undone: int) -> None:
    """What load `undone` heard is unsaid by load `load_id`, and what it replaced is said again, where nothing newer is."""
    con.execute(f"UPDATE quality.said SET closed_by_load = {load_id:d} WHERE load_id = {undone:d} AND closed_by_load IS NULL")
    con.execute(f"""
        INSERT INTO quality.said
        SELECT w.* REPLACE ({load_id:d} AS load_id, NULL AS closed_by_load) FROM quality.said w
        WHERE w.closed_by_load = {undone:d} AND w.load_id < {undone:d} AND NOT EXISTS (
            FROM quality.said n WHERE n.table_name = w.table_name AND n.key = w.key AND n.column_name = w.column_name
            AND n.system = w.system AND n.closed_by_load IS NULL)""")
