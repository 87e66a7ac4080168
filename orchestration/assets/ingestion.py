"""From the landing folders to the canonical tables: one load is one transaction, so one step makes it all."""

from collections.abc import Iterator

import dagster as dg
import duckdb
from sqlalchemy.orm import Session

from ingestion import archive
from ingestion.contract import Contract, contract_for_file, contracts
from ingestion.mapping import load_mappings
from orchestration.assets.lineage import LOADER_ROWS, column_metadata, loader_tables
from orchestration.column_lineage import QUALITY, raw_table
from orchestration.pipeline import ingest
from orchestration.platform import CANONICAL_DOMAINS, DATA, WRITER, Platform, table_metadata, telling, warehouse_key
from settlement.ledger import extracts

MAPPINGS = load_mappings()
LOAD, FILE = warehouse_key("raw", "load"), warehouse_key("raw", "file")
REFUSED, WARNED, FILE_COUNT = (warehouse_key("quarantine", t) for t in ("refused", "warned", "file_count"))
RULE, FINDING = warehouse_key("quality", "rule"), warehouse_key("quality", "finding")
READABLE = dg.AssetCheckSpec(
    "files_can_be_read", asset=FILE,
    description="Every landing place could be reached, and every waiting file opened by its source's mapping.",
)
NOTHING_HELD = dg.AssetCheckSpec(
    "nothing_held", asset=FILE,
    description="No whole extract waits for a person because it would withdraw too much. Only warns: the others go on.",
)  # fmt: skip
# Tables in which no row is about a person: only of these the UI shows some rows.
IMPERSONAL = ("catalogue_item", "rate", "department", "budget", "account")
ROWS_SHOWN = 10


def landing_specs() -> list[dg.AssetSpec]:
    """The folders that the source systems and people put files in."""
    titles = {system: mapping.title for system, mapping in MAPPINGS.items()}
    titles[archive.LOADER] = "Indlæsningsfiler"
    return [
        dg.AssetSpec(
            ["landing", system, "files"], group_name="landing", owners=[DATA], kinds={"file"},
            description=f"One file waiting in landing/{system}: {title}.",
        )
        for system, title in titles.items()
    ]  # fmt: skip


def _spec(key: dg.AssetKey, group: str, kinds: set[str], description: str, deps: list, metadata: dict) -> dg.AssetSpec:
    return dg.AssetSpec(
        key, group_name=group, owners=[DATA], kinds=kinds, description=description, deps=deps, metadata=metadata
    )


def _raw_specs() -> Iterator[dg.AssetSpec]:
    landing = [dg.AssetKey(["landing", system, "files"]) for system in (*MAPPINGS, archive.LOADER)]
    yield _spec(LOAD, "raw", {"duckdb"}, "One load: the files received and judged together.", landing, column_metadata("raw.load"))
    described = "One received file of one load, by the SHA-256 of its bytes."
    yield _spec(FILE, "raw", {"duckdb"}, described, [LOAD], column_metadata("raw.file"))
    for system, mapping in MAPPINGS.items():
        for file in mapping.datasets.values():
            yield _spec(
                dg.AssetKey(["raw", system, file.dataset]), "raw", {"duckdb", file.format},
                f"One row of a received {mapping.title} file, as text. {file.title}.", [LOAD],
                column_metadata(raw_table(system, file.dataset)),
            )  # fmt: skip
    described = "One row of a received loader file, as text; a column stands under its file's name."
    yield _spec(LOADER_ROWS, "raw", {"duckdb", "csv"}, described, [LOAD], column_metadata(*loader_tables()))


def _validation_specs() -> Iterator[dg.AssetSpec]:
    rows = [spec.key for spec in _raw_specs() if spec.key not in (LOAD, FILE)]
    for key, description in (
        (REFUSED, "One refused row of a file: where it stands, why it is refused, and what to do about it."),
        (WARNED, "One warning about an accepted row: where it stands and what looks odd."),
        (FILE_COUNT, "One file of one load: rows read, accepted, quarantined, not mapped and warned of."),
    ):
        metadata = column_metadata(f"quarantine.{key.path[-1]}")
        yield _spec(key, "validation", {"duckdb"}, description, rows, metadata)
    described = "One rule of data quality, with what the municipality asks of it."
    yield _spec(RULE, "validation", {"duckdb"}, described, [], column_metadata("quality.rule"))
    described = "One stretch of loads through which a standing rule of data quality found a row."
    yield _spec(FINDING, "validation", {"duckdb"}, described, [LOAD, FILE, RULE], column_metadata("quality.finding"))


def _quality_specs() -> Iterator[dg.AssetSpec]:
    """What the source systems disagree of, and what of theirs is no catalogue item yet."""
    for table, (description, made_of) in QUALITY.items():
        deps = [REFUSED, *(warehouse_key("canonical", t) for t in made_of)]
        yield _spec(
            warehouse_key("quality", table), "validation", {"duckdb"}, description, deps, column_metadata(f"quality.{table}")
        )


def _canonical_specs() -> Iterator[dg.AssetSpec]:
    feeding: dict[str, list[dg.AssetKey]] = {}
    for system, mapping in MAPPINGS.items():
        for file in mapping.datasets.values():
            for target in file.targets:
                feeding.setdefault(contract_for_file(target).table, []).append(
                    dg.AssetKey(["raw", system, file.dataset])
                )
    for table, contract in contracts().items():
        deps = feeding.get(table, []) + ([LOADER_ROWS] if contract.public else [])
        yield _spec(
            warehouse_key("canonical", table), "canonical", {"duckdb"},
            f"{contract.grain[0].upper()}{contract.grain[1:]}. Loader file: {contract.loader_file}.", deps,
            _canonical_metadata(contract),
        )  # fmt: skip


def _canonical_metadata(contract: Contract) -> dict:
    """What every table has, with the contract's constraints."""
    metadata = column_metadata(f"canonical.{contract.table}")
    of_every_row = metadata["dagster/column_schema"].columns[len(contract.stored) :]
    columns = [*(_declared(contract, column) for column in contract.stored), *of_every_row]
    return metadata | {"dagster/column_schema": dg.TableSchema(columns)}


def _declared(contract: Contract, column) -> dg.TableColumn:
    needed = column.required or (column.name in contract.key and not column.may_be_empty)
    return dg.TableColumn(
        column.name, column.duckdb_type, column.meaning,
        constraints=dg.TableColumnConstraints(nullable=not needed, unique=contract.key == (column.name,)),
        tags={"personal": ""} if column.personal else None,
    )  # fmt: skip


# Parents before children, as they are reported.
SPECS = [*_raw_specs(), *_validation_specs(), *_canonical_specs(), *_quality_specs()]


@dg.multi_asset(
    name="ingestion",
    specs=SPECS,
    check_specs=[READABLE, NOTHING_HELD],
    pool=WRITER,
    description="Takes every waiting file in: archives it, reads it, judges its rows and merges the good ones.",
)
def ingestion(context: dg.AssetExecutionContext, platform: Platform):
    with telling(), platform.warehouse() as con:
        engine = platform.register()
        received = ingest(con, platform.instance(), engine, context.log.info, through=platform.horizon)
        results = [dg.MaterializeResult(spec.key, metadata=_metadata(con, spec.key)) for spec in SPECS]
    with Session(engine) as session:
        held = [extracts.told(*extract) for extract in extracts.waiting(session)]
    faults = [report.fault for _, reports in received for report in reports if report.fault]
    yield from results
    yield dg.AssetCheckResult(
        asset_key=FILE, check_name=READABLE.name, passed=not faults,
        description=" ".join(faults) or "Alle filer kunne læses.",
    )  # fmt: skip
    yield dg.AssetCheckResult(
        asset_key=FILE, check_name=NOTHING_HELD.name, passed=not held, severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(held) or "Intet udtræk er holdt tilbage.",
    )  # fmt: skip


def _metadata(con: duckdb.DuckDBPyConnection, key: dg.AssetKey) -> dict:
    layer, domain, name = key.path
    if layer == "raw" and key not in (LOAD, FILE):
        chosen, values = (
            ("system = ?", [domain]) if key == LOADER_ROWS else ("system = ? AND dataset = ?", [domain, name])
        )
        files, rows, newest = con.execute(
            f"SELECT count(*), coalesce(sum(rows_read), 0)::BIGINT, max(load_id) FROM raw.file WHERE {chosen}", values
        ).fetchone()
        return {"files": files, "dagster/row_count": rows, "newest load": newest or 0}
    table = f"{layer}.{name}"
    metadata = table_metadata(con, table)
    if layer == "canonical":
        del metadata["dagster/column_schema"]  # the contract says it with meanings
        metadata["withdrawn rows"] = con.execute(f"SELECT count(*) FROM {table} WHERE withdrawn").fetchone()[0]
        if name in IMPERSONAL:
            metadata["some rows"] = preview(con, table, contracts()[name].names)
    elif key == REFUSED:
        metadata["open rows by reason"] = _counted(con, "reason", "quarantine.refused WHERE closed_by_load IS NULL")
    elif key == WARNED:
        metadata["warnings by kind"] = _counted(con, "warning", "quarantine.warned")
    elif key == FINDING:
        metadata["open findings by rule"] = _counted(con, "rule", "quality.finding WHERE closed_load IS NULL")
    elif key == FILE_COUNT:
        metadata["the newest load"] = preview(
            con, f"{table} WHERE load_id = (SELECT max(load_id) FROM {table}) ORDER BY name",
            ["name", "rows_read", "rows_accepted", "rows_quarantined", "rows_outdated", "rows_unmapped", "rows_warned"], rows=100,
        )  # fmt: skip
    return metadata


def _counted(con, column: str, rows: str) -> dg.MarkdownMetadataValue:
    return preview(
        con, f"(SELECT {column}, count(*) AS rows FROM {rows} GROUP BY ALL ORDER BY 2 DESC)", [column, "rows"]
    )


def preview(
    con: duckdb.DuckDBPyConnection, source: str, columns: list[str], rows: int = ROWS_SHOWN
) -> dg.MarkdownMetadataValue:
    """Some rows as a Markdown table; the caller answers for that no row is about a person."""
    shown = con.execute(f"SELECT {', '.join(columns)} FROM {source} LIMIT {rows}").fetchall()
    lines = [columns, ["---"] * len(columns), *shown]
    return dg.MetadataValue.md(
        "\n".join("| " + " | ".join("" if c is None else str(c) for c in line) + " |" for line in lines)
    )


def canonical_keys() -> list[dg.AssetKey]:
    """Every canonical table's asset key."""
    return [warehouse_key("canonical", table) for tables in CANONICAL_DOMAINS.values() for table in tables]
