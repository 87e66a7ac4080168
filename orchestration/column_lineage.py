"""Which columns every column of the platform is made of, read from what makes it: the mappings, the contracts, and the SQL of
the engine and of dbt by sqlglot. Nothing of it is about rows, so it is known without an instance.

A column stands under what its value is computed of. What only chooses or joins rows is not listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ingestion.archive import LOADER
from ingestion.contract import Contract, contracts
from ingestion.expressions import ColumnRule
from ingestion.layouts import SourceMapping
from ingestion.mapping import load_mappings
from ingestion.translating import TRANSLATED
from orchestration import dbt_build
from orchestration.column_meanings import MEANINGS
from orchestration.pipeline import FOR_MARTS
from orchestration.sql_lineage import from_code
from settlement.instance import Instance
from settlement.ledger.hashing import LINE_FIELDS
from settlement.ledger.models import Base

BOOKING = "settlement/ledger/booking.py"
ENGINE = "settlement/engine/sql"
# What the engine's SQL makes, with the step that makes it.
ENGINE_MADE = {
    "settlement.day_weight": (
        "One stretch of days in a month on which a line's price, payer, account and absence stand still.", "day_weight",
    ),
    "settlement.piece": (
        "One piece of entitlement: process × service line × month × unit price × counterparty × account.", "piece",
    ),
    "settlement.proposal": (
        "One line of a proposal, what a run would book; with what it leaves out (parked_line) and its counterparties (party).",
        "difference",
    ),
}  # fmt: skip
OF_EVERY_ROW = {
    "withdrawn": "whether the source has withdrawn the row",
    "source_file": "SHA-256 of the file the row came in",
    "source_row": "row number in that file; empty where a whole extract lacked the row",
    "load_id": "load that last said something new about the row",
    "dated": "newest extract date that said so",
}
# Views over what is known of the sources: what a row is, and the canonical tables it is made of.
QUALITY = {
    "service_worklist": (
        "One service code of a source system that is no catalogue item and is not translated.",
        ("service_line", "service_package", "service_translation", "catalogue_item"),
    ),
    "service_suggestion": (
        "One catalogue item that such a code may be, with its reasons.",
        ("service_line", "service_translation", "catalogue_item", "offer"),
    ),
    "source_conflict": (
        "One system's word on a field that several systems say differently.", ("citizen", "offer", "department"),
    ),
}  # fmt: skip
OF_EVERY_CELL = {
    "_file": ("VARCHAR", "SHA-256 of the file"),
    "_row": ("BIGINT", "row number in the file"),
    "_fault": ("VARCHAR", "why the row cannot be read, where it cannot"),
}
# What a person reads of a column of personal data: declared or copied from such a column, or computed of one.
PERSONAL, DERIVED = "ja", "afledt"


@dataclass(frozen=True)
class Origin:
    """One column that another is made of; `by` names what says so, `is_copy` that the value is the same."""

    table: str
    column: str
    by: str
    is_copy: bool = False


@dataclass(frozen=True)
class ColumnNode:
    """One column: `personal` is '', PERSONAL or DERIVED; `notes` say what it is filled with beside columns."""

    name: str
    type: str
    meaning: str = ""
    personal: str = ""
    origins: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableNode:
    """One table, by its name in the warehouse or register (`schema.table`), with its columns in order."""

    name: str
    meaning: str
    columns: dict[str, ColumnNode] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        """The schema."""
        return self.name.partition(".")[0]


Graph = Mapping[str, TableNode]


def graph(instance: Instance | None = None) -> Graph:
    """Every table by name, from the extracts to the marts; with an instance by its own mappings too."""
    mappings = load_mappings(instance)
    fillings = {table: list(_fillings(mappings, declared)) for table, declared in contracts().items()}
    made = (*_raw(mappings, fillings), *_canonical(fillings), *_beside(fillings), *_from_sql())
    tables = {table.name: table for table in made}
    for table in tables.values():
        for column in table.columns.values():
            for origin in column.origins:
                if origin.table not in tables or origin.column not in tables[origin.table].columns:
                    raise LookupError(
                        f"{table.name}.{column.name} comes from {origin.table}.{origin.column}, which the lineage does not know: "
                        "describe the table in dbt_project/models/staging/platform.yml"
                    )
    return _with_personal(_with_meanings(tables))


def ancestors(of: Graph, table: str, column: str) -> set[tuple[str, str]]:
    """Every column that this one is made of, through all tables, itself left out."""
    found: set[tuple[str, str]] = set()
    waiting = [(table, column)]
    while waiting:
        at = waiting.pop()
        for origin in of[at[0]].columns[at[1]].origins:
            if (origin.table, origin.column) not in found:
                found.add((origin.table, origin.column))
                waiting.append((origin.table, origin.column))
    return found - {(table, column)}


def uses(of: Graph) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """By column, the columns that are made of it."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for table in of.values():
        for column in table.columns.values():
            for origin in column.origins:
                found.setdefault((origin.table, origin.column), []).append((table.name, column.name))
    return {at: sorted(set(used)) for at, used in found.items()}


def raw_table(system: str, dataset: str) -> str:
    """The name of the table a source's rows lie in as delivered."""
    return f"raw.{system}__{dataset}"


# --- From extracts to canonical tables: the mappings --------------------------------------------------------------------


def rule_text(rule: ColumnRule) -> str:
    """How a mapping's rule fills a column, in Danish: «Start», dato %Y%m%d."""
    if rule.value is not None:
        return f"fast værdi «{rule.value}»"
    if rule.template is not None:
        return f"sammensat som «{rule.template}»"
    if rule.file:
        return "filens SHA-256"
    if rule.joined:
        return "samlet af " + ", ".join(f"«{column}»" for column in rule.joined)
    text = f"«{rule.column}»"
    if rule.first_of:
        text = "den første udfyldte af " + ", ".join(f"«{column}»" for column in rule.first_of)
    if rule.without_prefix:
        return f"{text}, uden «{rule.without_prefix}» forrest"
    if rule.first_of:
        return text
    if rule.per or rule.less:
        return f"{text}, delt med «{rule.per}»" if rule.per else f"{text}, minus «{rule.less}»"
    if rule.values:
        return f"{text}, oversat " + ", ".join(f"{code} → {meaning}" for code, meaning in rule.values)
    if rule.date:
        return f"{text}, dato {rule.date}"
    if rule.month:
        return f"{text}, måned {rule.month}"
    if rule.part:
        return f"{text}, tegn {rule.part[0]}–{rule.part[0] + rule.part[1] - 1}"
    return text + _number_text(rule) if rule.number else text


def _number_text(rule: ColumnRule) -> str:
    number = rule.number
    text = f", tal med decimaltegn {number.decimal}" if number.decimal else ", tal"
    text += f" og tusindtegn «{number.thousands}»" if number.thousands else ""
    text += f", ganget med {number.factor.numerator}" if number.factor.numerator != 1 else ""
    text += f", delt med {number.factor.denominator}" if number.factor.denominator != 1 else ""
    if number.negative:
        text += f", negativt hvor «{number.negative.column}» er {' eller '.join(number.negative.among)}"
    return text


@dataclass(frozen=True)
class _Filling:
    """One way a canonical column (its loader name) is filled from a raw table."""

    raw: str
    column: str
    needs: tuple[str, ...]
    by: str
    text: str
    is_copy: bool


Fillings = Mapping[str, list[_Filling]]  # by canonical table


def _fillings(mappings: Mapping[str, SourceMapping], declared: Contract) -> Iterator[_Filling]:
    for system, source in mappings.items():
        for file in source.files:
            for target in file.targets.values():
                if target.loader_file == declared.loader_file:
                    for column, rule in target.columns.items():
                        is_copy = rule == ColumnRule(column=rule.column)
                        told = f"{file.version}, {file.dataset}: {rule_text(rule)}"
                        raw = raw_table(system, file.dataset)
                        yield _Filling(raw, column, rule.needs, f"ingestion/sources/{file.version}.yaml", told, is_copy)
    if declared.public:
        for column in (*(c.loader for c in declared.columns), "slet"):
            raw, by = raw_table(LOADER, declared.loader_file), f"ingestion/contracts/{declared.table}.yaml"
            yield _Filling(raw, column, (column,), by, f"indlæsningsfil: «{column}»", True)


def _raw(mappings: Mapping[str, SourceMapping], fillings: Fillings) -> Iterator[TableNode]:
    personal = {
        (filling.raw, need)
        for declared in contracts().values()
        for filling in fillings[declared.table]
        for column in declared.columns if column.loader == filling.column and column.personal
        for need in filling.needs
    }  # fmt: skip
    tables: dict[str, dict[str, str]] = {}
    titles: dict[str, str] = {}
    for system, source in mappings.items():
        for file in source.files:  # the highest version first
            name = raw_table(system, file.dataset)
            titles.setdefault(name, f"One row of a {source.title} file, as text. {file.title}.")
            tables[name] = {c: declared.meaning for c, declared in file.columns.items()} | tables.get(name, {})
    for declared in contracts().values():
        if declared.public:
            name = raw_table(LOADER, declared.loader_file)
            titles[name] = f"One row of a loader file {declared.loader_file}, as text."
            tables[name] = {c.loader: c.meaning for c in declared.columns} | {"slet": "ja withdraws the row"}
    for name, columns in tables.items():
        cells = {
            column: ColumnNode(column, "VARCHAR", meaning, PERSONAL if (name, column) in personal else "")
            for column, meaning in columns.items()
        }
        yield TableNode(name, titles[name], cells | {c: ColumnNode(c, *told) for c, told in OF_EVERY_CELL.items()})


def _canonical(fillings: Fillings) -> Iterator[TableNode]:
    for table, declared in contracts().items():
        ways = fillings[table]
        by = f"ingestion/contracts/{table}.yaml"
        columns = {}
        for column in declared.stored:
            filled = [f for f in ways if f.column == column.loader]
            notes = [f.text for f in filled if not f.needs]
            notes += [f"standardværdi «{column.default}»"] if column.default is not None else []
            columns[column.name] = ColumnNode(
                column.name, column.duckdb_type, column.meaning, PERSONAL if column.personal else "",
                tuple(Origin(f.raw, need, f"{f.by}: {f.text}", f.is_copy) for f in filled for need in f.needs), tuple(notes),
            )  # fmt: skip
        if "source_system" in columns and table == TRANSLATED:
            columns["source_system"] = replace(columns["source_system"], origins=(Origin("raw.file", "system", by, True),))
        raws = sorted({f.raw for f in ways})
        rows = {
            "withdrawn": [Origin(f.raw, need, f"{f.by}: {f.text}") for f in ways if f.column == "slet" for need in f.needs],
            "source_file": [Origin(raw, "_file", by, True) for raw in raws],
            "source_row": [Origin(raw, "_row", by, True) for raw in raws],
            "load_id": [Origin("raw.load", "load_id", by, True)], "dated": [Origin("raw.load", "dated", by, True)],
        }  # fmt: skip
        types = from_code()["types"][f"canonical.{table}"]
        columns |= {c: ColumnNode(c, types[c], OF_EVERY_ROW[c], "", tuple(origins)) for c, origins in rows.items()}
        yield TableNode(f"canonical.{table}", f"{declared.grain[0].upper()}{declared.grain[1:]}.", columns)


# --- What no SELECT makes: receipt, quarantine, proposals and the register ----------------------------------------------


def _beside(fillings: Fillings) -> Iterator[TableNode]:
    types = from_code()["types"]
    origins_of = _of_booking() | _of_payment() | _of_commitment() | _of_receipt(fillings)
    described = {f"{s['source_name']}.{s['name']}": s["description"] for s in dbt_build.manifest()["sources"].values()}
    described["reference.account_rules"] = "One dated posting rule of the municipality's own reference/account_rules.csv."
    elsewhere = ("canonical.", "ledger.", "invoice.", *ENGINE_MADE)
    said = {
        name: (meaning, types[name], origins_of.get(name, {}))
        for name, meaning in described.items() if not name.startswith(elsewhere)
    }  # fmt: skip
    for name in (*FOR_MARTS, "manual_line"):
        said[f"register.{name}"] = (_grain(name), types[f"register.{name}"], origins_of.get(f"register.{name}", {}))
    for name in FOR_MARTS:
        copied = _copied(f"register.{name}", types[f"ledger.{name}"], "orchestration/pipeline.py")
        said[f"ledger.{name}"] = ("As it is now, for the marts: " + _grain(name), types[f"ledger.{name}"], copied)
    for name, (meaning, columns, origins) in said.items():
        yield TableNode(name, meaning, {
            c: ColumnNode(c, kind, origins=tuple(origins.get(c, ()))) for c, kind in columns.items()
        })  # fmt: skip


def _grain(register_table: str) -> str:
    mapper = next(m for m in Base.registry.mappers if m.local_table.name == register_table)
    return mapper.class_.__doc__.strip().splitlines()[0]


# By table and column; a column not named is given by the code or a person itself.
def _of_booking() -> dict[str, dict[str, list[Origin]]]:
    proposing, manual = "settlement/ledger/proposals.py", "ingestion/engine_input.py"
    lines = _copied("settlement.proposal", LINE_FIELDS, BOOKING)
    for column, origins in from_code()["origins"]["opening"].items():
        lines.setdefault(column, []).extend(Origin(*at, "settlement/ledger/opening.py", same) for *at, same in origins)
    lines["content_hash"] = [Origin("settlement.proposal", c, "settlement/ledger/hashing.py") for c in LINE_FIELDS]
    sums = {c: [Origin("settlement.proposal", c, BOOKING)] for c in ("amount_oere", "vat_oere")}
    of_run = _copied("register.settlement_run", ("run_no", "booking_date"), BOOKING)
    of_proposal = ("proposal_id", "timing", "through", "booking_date", "engine_version", "input_hash", "lines_hash")
    process = _copied("settlement.proposal", ("process",), BOOKING)
    return {
        "register.ledger_line": lines | of_run | {
            "document_number": [Origin("register.document", "number", BOOKING, True), *lines["document_number"]]},
        "register.document": {"run_no": of_run["run_no"], "counterparty": lines["counterparty"]} | sums | process | {
            c: [Origin("settlement.proposal", f"party.{c}", BOOKING, True)] for c in ("name", "cvr", "ean", "address", "contact")},
        "register.settlement_run": sums | process | _copied("register.proposal", of_proposal, BOOKING),
        "register.proposal": sums | process | {
            "last_load_id": [Origin("raw.load", "load_id", proposing, True)]},
        "register.parked_line": _copied("register.proposal", ("proposal_id",), proposing) | {
            c: [Origin("settlement.proposal", f"parked_line.{c}", proposing, True)]
            for c in ("service_line_id", "delivery_month", "counterparty", "reason")},
        "register.gate_verdict": _copied("raw.load", ("load_id",), "ingestion/quality.py"),
        "settlement.manual_line": _copied(
            "register.manual_line", ("package_id", "process", "delivery_month", "amount_oere", "item_name", "account"), manual
        ) | {
            "service_line_id": [Origin("register.manual_line", "manual_id", manual)],
            "source_row": [Origin("register.manual_line", "manual_id", manual, True)],
            "withdrawn": [Origin("register.manual_line", "withdraws", manual)],
        },
    }  # fmt: skip


def _of_payment() -> dict[str, dict[str, list[Origin]]]:
    """What an invoice is paid for is what matching claimed; a posting is the sum of its document's lines."""
    by = "settlement/invoices/payment.py"
    claimed = ("service_line_id", "delivery_month", "price_oere", "account", "amount_oere", "found_by")
    of_line = _copied("invoice.line_outcome", ("document_id", "line_number"), by)
    lines = [Origin("register.ledger_line", c, BOOKING) for c in ("amount_oere", "vat_oere")]
    return {
        "register.invoice_payment": _copied("invoice.claim", claimed, by) | of_line | {
            "invoiced_oere": [Origin("invoice.line_outcome", "amount_oere", by, True)],
            "agreed_oere": [Origin("invoice.claim", "expected_oere", by, True)],
            "vat_oere": [Origin("invoice.claim", c, by) for c in ("amount_oere", "vat_pct_e2")],
            **{c: [Origin("canonical.account", "alias", by, True)] for c in ("account_alias", "vat_alias", "creditor_alias")},
            "run_no": [Origin("register.settlement_run", "run_no", by, True)],
            "document_number": [Origin("register.document", "number", by, True)]},
        "register.posting": {
            "run_no": [Origin("register.settlement_run", "run_no", BOOKING, True)],
            "document_number": [Origin("register.document", "number", BOOKING, True)],
            "account": [Origin("register.ledger_line", "account", BOOKING)], "amount_oere": lines},
    }  # fmt: skip


def _of_commitment() -> dict[str, dict[str, list[Origin]]]:
    """Commitments are the engine's pieces, of more months; what changed is told of both sides and of the facts between."""
    by, types = "settlement/commitment.py", from_code()["types"]
    projected = {"is_projected": [Origin("canonical.registration", "date", "ingestion/engine_input.py")]}
    kept = [c for c in types["settlement.commitment"] if c not in projected]
    blocked = ("process", "service_line_id", "delivery_month", "account")
    now, before = "settlement.commitment", "settlement.commitment_before"
    amounts = [Origin(table, "amount_oere", by) for table in (now, before)]
    month = [Origin(table, "delivery_month", by) for table in (now, before)]
    told = ("process", "counterparty", "account", "price_oere", "quantity_num", "delivery_month")
    return {
        **{table: _copied("settlement.piece", kept, by) | projected for table in (now, before)},
        "settlement.commitment_blocked": projected | _copied("settlement.day_weight", blocked, by) | {
            "reason": [Origin("settlement.day_weight", c, "settlement/engine/sql/blocked.sql")
                       for c in ("price_oere", "payer", "department")]},
        "settlement.commitment_change": {
            **{c: [Origin(table, c, by, True) for table in (now, before)] for c in ("service_line_id", "process", "account")},
            "delivery_year": month, "is_late": month, "opening_oere": [Origin(before, "amount_oere", by)], "change_oere": amounts,
            "cause": [*amounts, *(Origin(table, c, by) for table in (now, before) for c in told)],
        },
    }  # fmt: skip


def _copied(table: str, columns: Iterable[str], by: str) -> dict[str, list[Origin]]:
    return {c: [Origin(table, c, by, True)] for c in columns}


def _of_receipt(fillings: Fillings) -> dict[str, dict[str, list[Origin]]]:
    gate, counting, judging = "ingestion/gate.py", "ingestion/applying.py", "ingestion/rules.py"
    cells, keys, rows, lines = [], [], [], []
    for declared in contracts().values():
        for filling in fillings[declared.table]:
            needed = [Origin(filling.raw, need, gate) for need in filling.needs]
            cells += needed
            keys += needed if filling.column in {c.loader for c in declared.key_columns} else []
            lines += needed if filling.column == "ydelse_id" else []
            rows.append(Origin(filling.raw, "_row", gate, True))
    rows = _once(rows)
    of_file = _copied("raw.load", ("load_id",), counting) | _copied("raw.file", ("file_hash",), counting)
    return {
        "raw.file": _copied("raw.load", ("load_id",), counting),
        "quarantine.refused": of_file | {
            "file_name": [Origin("raw.file", "name", gate, True)], "row": rows, "value": _once(cells), "cells": _once(cells),
            "key": _once(keys), "service_line_id": _once(lines), "closed_by_load": [Origin("raw.load", "load_id", gate, True)],
        },
        "quarantine.warned": of_file | {"row": rows},
        **_of_quality(),
        "quarantine.file_count": of_file | _copied("raw.file", ("name", "rows_read"), counting) | {
            "rows_quarantined": [Origin("quarantine.refused", "row", counting)],
            "rows_unmapped": [Origin("raw.file", "rows_read", counting)],
            "rows_warned": [Origin("quarantine.warned", "row", counting)],
        },
        "quality.finding": _copied("quality.rule", ("rule", "table_name", "message"), judging) | {
            "key": _once(keys), "service_line_id": _once(lines), "row": rows,
            "file_hash": [Origin("raw.file", "file_hash", judging, True)],
            **{c: [Origin("raw.load", "load_id", judging, True)] for c in ("opened_load", "closed_load")},
        },
    }  # fmt: skip


def _of_quality() -> dict[str, dict[str, list[Origin]]]:
    """Of the views over the lines and the refused rows: each column by what it is read of."""
    translating, conflicts = "ingestion/translating.py", "ingestion/conflicts.py"
    code = {
        "source_system": [
            Origin("raw.file", "system", translating, True), Origin("canonical.service_line", "source_system", translating, True)],
        "source_code": [
            Origin("quarantine.refused", "cells", translating),
            Origin("canonical.service_line", "source_item_code", translating, True)],
    }
    named = [Origin("quarantine.refused", "cells", translating), Origin("canonical.service_line", "source_item_name", translating)]
    dates = [Origin("quarantine.refused", "cells", translating), Origin("canonical.service_line", "start_date", translating)]
    words = {
        "key": [Origin(f"canonical.{t}", contracts()[t].key[0], conflicts, True) for t in QUALITY["source_conflict"][1]],
        "value": [Origin(f"canonical.{t}", c, conflicts) for t in QUALITY["source_conflict"][1] for c in contracts()[t].names],
        "system": [Origin("raw.file", "system", conflicts, True)],
    } | _copied("raw.load", ("dated", "load_id"), conflicts)
    return {
        "quality.service_worklist": code | {
            "source_name": named, "first_start": dates, "last_start": dates,
            "waiting_rows": [Origin("quarantine.refused", "row", translating)],
            "service_lines": [Origin("canonical.service_line", "service_line_id", translating)],
            "citizens": [Origin("canonical.service_package", "cpr", translating)],
            "first_load": [Origin("raw.load", "load_id", translating)],
            "first_seen": [Origin("raw.load", "received_at", translating)],
        },
        "quality.service_suggestion": code | {
            "item_code": [Origin("canonical.catalogue_item", "item_code", translating, True)],
            "item_name": [Origin("canonical.catalogue_item", "name", translating, True)],
            "points": named, "place": named, "reason": named,
        },
        "quality.source_conflict": words,
    }  # fmt: skip


def _once(origins: Iterable[Origin]) -> list[Origin]:
    return list(dict.fromkeys(origins))


# --- What SELECTs make: the engine, a proposal and dbt's models ---------------------------------------------------------


def _from_sql() -> Iterator[TableNode]:
    types, origins = from_code()["types"], from_code()["origins"]
    made = {name: (meaning, f"{ENGINE}/{step}.sql", {}) for name, (meaning, step) in ENGINE_MADE.items()}
    for source in dbt_build.manifest()["sources"].values():
        if source["source_name"] == "invoice":
            made[f"invoice.{source['name']}"] = (source["description"], f"settlement/invoices/sql/{source['name']}.sql", {})
    for node in dbt_build.manifest()["nodes"].values():
        if node["resource_type"] == "model":
            path = f"{dbt_build.DBT_PROJECT.name}/{node['original_file_path']}"
            made[f"{node['schema']}.{node['name']}"] = (node["description"], path, node["columns"])
    for name, (meaning, by, said) in made.items():
        columns = {}
        for column, kind in types[name].items():
            known = said.get(column, {})
            personal = PERSONAL if known.get("config", {}).get("meta", {}).get("personal") else ""
            found = tuple(Origin(table, c, by, is_copy) for table, c, is_copy in origins[name].get(column, ()))
            columns[column] = ColumnNode(column, kind, known.get("description", ""), personal, found)
        yield TableNode(name, " ".join(meaning.split()), columns)


# --- What follows from where a column comes from ------------------------------------------------------------------------


def _with_meanings(tables: dict[str, TableNode]) -> dict[str, TableNode]:
    """Each column without a declared meaning has that of a column it is a copy of, or that is a copy of it."""
    beside: dict[tuple[str, str], list[tuple[str, str]]] = {}
    meanings = {
        (t.name, c.name): c.meaning or MEANINGS.get(f"{t.name}.{c.name}", "") for t in tables.values() for c in t.columns.values()
    }
    for table in tables.values():
        for column in table.columns.values():
            for origin in column.origins:
                if origin.is_copy:
                    beside.setdefault((table.name, column.name), []).append((origin.table, origin.column))
                    beside.setdefault((origin.table, origin.column), []).append((table.name, column.name))
    nearest = [at for at, meaning in meanings.items() if meaning]
    for at in nearest:  # grows as it goes: breadth first, the nearest meaning wins
        for near in beside.get(at, ()):
            if not meanings[near]:
                meanings[near] = meanings[at]
                nearest.append(near)
    return _replaced(tables, lambda at, column: replace(column, meaning=meanings[at] or MEANINGS.get(at[1], "")))


def _with_personal(tables: dict[str, TableNode]) -> dict[str, TableNode]:
    """A copy of a personal column is personal; what is computed of one is derived of it."""
    flags = {(t.name, c.name): c.personal for t in tables.values() for c in t.columns.values()}
    changed = True
    while changed:
        changed = False
        for table in tables.values():
            for column in table.columns.values():
                at = (table.name, column.name)
                for origin in column.origins:
                    above = flags[origin.table, origin.column]
                    flag = PERSONAL if above == PERSONAL and origin.is_copy else DERIVED if above else ""
                    if flag and flags[at] != PERSONAL and flags[at] != flag:
                        flags[at], changed = flag, True
    return _replaced(tables, lambda at, column: replace(column, personal=flags[at]))


def _replaced(tables: dict[str, TableNode], change) -> dict[str, TableNode]:
    return {
        table.name: replace(table, columns={c.name: change((table.name, c.name), c) for c in table.columns.values()})
        for table in tables.values()
    }
