"""`afregning lineage`: where every column comes from and goes to, as one page an auditor opens in any browser, with the same as
CSV and as OpenLineage. The page asks no network for anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from pathlib import Path

from orchestration.column_lineage import PERSONAL, ColumnNode, Graph, TableNode, ancestors, uses
from settlement.spreadsheet import as_text

# The layers in the order of the way through, with what they are.
LAYERS = {
    "raw": ("Modtaget", "rækkerne, som de blev leveret, som tekst"),
    "quarantine": ("Karantæne", "rækker, der er afvist eller advaret om"),
    "quality": ("Datakvalitet", "regler, og hvad de har fundet"),
    "canonical": ("Kanonisk", "det, der er kendt nu, efter kontrol"),
    "reference": ("Reference", "daterede registre og regler"),
    "settlement": ("Beregning", "hvad ydelserne er værd, og hvad en kørsel ville bogføre"),
    "invoice": ("Fakturaer", "hvad indkomne fakturaer er matchet med"),
    "register": ("Register", "forslag, bogførte linjer og bilag; ændres aldrig"),
    "ledger": ("Register til rapporter", "registerets tabeller, som dbt læser dem"),
    "staging": ("Forberedelse", "dbt: én visning pr. kilde"),
    "intermediate": ("Mellemregning", "dbt"),
    "marts": ("Rapporter", "dbt: det, der udgives, uden personer"),
    "marts_person": ("Rapporter med personer", "dbt: det, der udgives til dem, der må se borgere"),
}
FEW = 6  # what stands in a cell; more is folded
OPENLINEAGE = "https://openlineage.io/spec"
PRODUCER = "urn:afregning:lineage"


def export(of: Graph, folder: Path) -> tuple[int, int, int]:
    """Writes `index.html`, `kolonner.csv` (a row per column and origin) and `openlineage.json` (a DatasetEvent per table) in
    the folder. Returns how many tables, columns and links."""
    folder.mkdir(parents=True, exist_ok=True)
    links = list(_links(of))
    with (folder / "kolonner.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(["from_table", "from_column", "to_table", "to_column", "by"])
        writer.writerows([as_text(name) for name in link] for link in links)  # raw columns are named by the files received
    events = _openlineage(of, datetime.now(UTC).isoformat(timespec="seconds"))
    (folder / "openlineage.json").write_text(json.dumps(events, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / "index.html").write_text(_page(of), encoding="utf-8")
    return len(of), sum(len(table.columns) for table in of.values()), len(links)


def _links(of: Graph) -> Iterator[tuple[str, str, str, str, str]]:
    for table in of.values():
        for column in table.columns.values():
            for origin in column.origins:
                yield origin.table, origin.column, table.name, column.name, origin.by


def _openlineage(of: Graph, moment: str) -> list[dict]:
    """OpenLineage DatasetEvents, each with the facets `schema` and `columnLineage`."""

    def facet(name: str, version: str, **content) -> dict:
        return {"_producer": PRODUCER, "_schemaURL": f"{OPENLINEAGE}/facets/{version}/{name}.json", **content}

    events = []
    for table in of.values():
        fields = [{"name": c.name, "type": c.type, "description": c.meaning} for c in table.columns.values()]
        came_from = {
            c.name: {"inputFields": [
                {"namespace": "afregning", "name": o.table, "field": o.column, "transformations": [
                    {"type": "DIRECT", "subtype": "IDENTITY" if o.is_copy else "TRANSFORMATION", "description": o.by}]}
                for o in c.origins
            ]} for c in table.columns.values() if c.origins
        }  # fmt: skip
        facets = {
            "documentation": facet("DocumentationDatasetFacet", "1-1-0", description=table.meaning),
            "schema": facet("SchemaDatasetFacet", "1-1-1", fields=fields),
        }
        if came_from:
            facets["columnLineage"] = facet("ColumnLineageDatasetFacet", "1-2-0", fields=came_from)
        events.append({
            "eventTime": moment, "producer": PRODUCER, "schemaURL": f"{OPENLINEAGE}/2-0-2/OpenLineage.json#/$defs/DatasetEvent",
            "dataset": {"namespace": "afregning", "name": table.name, "facets": facets},
        })  # fmt: skip
    return events


# --- The page -----------------------------------------------------------------------------------------------------------


def _page(of: Graph) -> str:
    used = uses(of)
    ordered = sorted(of.values(), key=lambda table: (list(LAYERS).index(table.layer), table.name))
    menu, body = [], []
    for layer, tables in groupby(ordered, key=lambda table: table.layer):
        title, told = LAYERS[layer]
        tables = list(tables)
        links = "".join(f'<li><a href="#{_id(t.name)}">{_e(t.name.partition(".")[2])}</a></li>' for t in tables)
        menu.append(f"<details><summary>{_e(title)} <small>{len(tables)}</small></summary><ul>{links}</ul></details>")
        body.append(f'<h2 id="lag-{layer}">{_e(title)}</h2><p class="told">{_e(told[0].upper() + told[1:])}.</p>')
        body += [_table(of, used, table) for table in tables]
    count = sum(len(table.columns) for table in of.values())
    return (
        PAGE.replace("{{menu}}", "".join(menu)).replace("{{body}}", "".join(body))
        .replace("{{tables}}", str(len(of))).replace("{{columns}}", str(count))
    )  # fmt: skip


def _table(of: Graph, used: dict, table: TableNode) -> str:
    rows = "".join(_row(of, used, table, column) for column in table.columns.values())
    return (
        f'<section id="{_id(table.name)}"><h3>{_e(table.name)}</h3><p>{_e(table.meaning)}</p><table><thead><tr><th>Kolonne</th>'
        f"<th>Type</th><th>Betydning</th><th>Person</th><th>Kommer fra</th><th>Går til</th></tr></thead><tbody>{rows}"
        "</tbody></table></section>"
    )


def _row(of: Graph, used: dict, table: TableNode, column: ColumnNode) -> str:
    personal = f'<span class="{"personal" if column.personal == PERSONAL else "derived"}">{_e(column.personal)}</span>'
    ways = {o.by for o in column.origins}
    origins = [_link(o.table, o.column) + (f"<small>{_e(o.by)}</small>" if len(ways) > 1 else "") for o in column.origins]
    origins += [f"<em>{_e(note)}</em>" for note in column.notes]
    by = f"<small>{_e(ways.pop())}</small>" if len(ways) == 1 else ""
    goes_to = [_link(*to) for to in used.get((table.name, column.name), ())]
    return (
        f'<tr id="{_id(table.name, column.name)}"><th scope="row">{_e(column.name)}</th><td class="type">{_e(column.type)}</td>'
        f"<td>{_e(column.meaning)}</td><td>{personal if column.personal else ''}</td>"
        f"<td>{_listed(origins)}{by}{_whole_way(of, table, column)}</td><td>{_listed(goes_to)}</td></tr>"
    )


def _whole_way(of: Graph, table: TableNode, column: ColumnNode) -> str:
    """The columns of extracts and loader files at the far end, where they are not the next."""
    if table.layer in ("raw", "canonical", "quarantine"):
        return ""
    far = sorted(at for at in ancestors(of, table.name, column.name) if at[0].startswith("raw.") and "__" in at[0])
    if not far:
        return ""
    per_table = [
        f'<a href="#{_id(name)}">{_e(name)}</a>: ' + ", ".join(f'<a href="#{_id(*at)}">{_e(at[1])}</a>' for at in found)
        for name, found in groupby(far, key=lambda at: at[0])
    ]
    return _folded(f"helt tilbage til {len(far)} {'leveret kolonne' if len(far) == 1 else 'leverede kolonner'}", per_table)


def _link(table: str, column: str) -> str:
    # Long names break where people read them as broken.
    where, name = (_e(text).replace("_", "_<wbr>") for text in (table, column))
    return f'<a href="#{_id(table, column)}">{where}.<wbr><b>{name}</b></a>'


def _listed(items: list[str]) -> str:
    if len(items) <= FEW:
        return _list(items)
    return _list(items[: FEW - 1]) + _folded(f"og {len(items) - FEW + 1} til", items[FEW - 1 :])


def _list(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>" if items else ""


def _folded(title: str, items: list[str]) -> str:
    return f"<details><summary>{title}</summary>{_list(items)}</details>"


def _id(table: str, column: str = "") -> str:
    """An anchor: names as they are, but for the characters that an address must not have."""
    return _e(f"{table}/{column}" if column else table).replace(" ", "_").replace("%", "_")


def _e(text: str) -> str:
    return escape(text, quote=True)


PAGE = """<!doctype html>
<html lang="da"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hvor tallene kommer fra</title>
<style>
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --shade: #f4f6f9; --link: #0b5394; }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: #fff; display: flex; }
nav { width: 270px; flex: none; height: 100vh; position: sticky; top: 0; overflow: auto; padding: 16px;
  background: var(--shade); border-right: 1px solid var(--line); }
nav ul { list-style: none; margin: 4px 0 8px; padding-left: 12px; }
nav li { margin: 1px 0; overflow-wrap: anywhere; }
nav summary { cursor: pointer; font-weight: 600; padding: 3px 0; }
main { padding: 16px 28px 60vh; min-width: 0; flex: 1; }
input { width: 100%; padding: 7px 9px; margin: 4px 0 10px; border: 1px solid var(--soft); border-radius: 4px; font: inherit; }
h1 { font-size: 22px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 0; }
h3 { font-size: 16px; margin: 26px 0 2px; }
h3, th[scope] { font-family: ui-monospace, monospace; }
th[scope] { font-size: 13px; }
p { margin: 2px 0 6px; max-width: 90ch; }
.told, small, td summary, thead th { color: var(--soft); }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
thead th { font-size: 12px; }
th, td { border-top: 1px solid var(--line); padding: 4px 8px; vertical-align: top; text-align: left; overflow-wrap: anywhere; }
th:nth-child(1) { width: 17%; }
th:nth-child(2) { width: 9%; }
th:nth-child(3), th:nth-child(6) { width: 20%; }
th:nth-child(4) { width: 7%; }
td ul { list-style: none; margin: 0; padding: 0; }
td li { margin-bottom: 2px; }
td small { display: block; font-size: 11.5px; }
td summary { cursor: pointer; }
.type { font-family: ui-monospace, monospace; font-size: 12px; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
.personal, .derived { padding: 0 5px; border-radius: 3px; }
.personal { background: #fbdcd9; }
.derived { background: #fdf0cf; }
:target { background: #fff7cc; scroll-margin-top: 20px; }
section:target { background: none; }
section:target h3 { background: #fff7cc; }
[hidden] { display: none; }
@media print { nav { display: none; } }
</style></head><body>
<nav><label for="q"><b>Søg i tabeller og kolonner</b></label>
<input id="q" type="search" placeholder="f.eks. pris eller cost_month"><div id="found" class="told" aria-live="polite"></div>
{{menu}}</nav>
<main><h1>Hvor tallene kommer fra</h1>
<p>{{tables}} tabeller og {{columns}} kolonner, fra de leverede filer til rapporterne. Hver kolonne står med det, dens
værdi beregnes af, og det, der beregnes af den; følg et link for at gå ét skridt. Kolonner, der kun udvælger eller forbinder
rækker, er ikke med.</p>
<p>Person: <span class="personal">ja</span> er personoplysninger eller en kopi af dem, <span class="derived">afledt</span>
er beregnet af dem, f.eks. et antal eller en nøgle uden navn. Det samme står i <a href="kolonner.csv">kolonner.csv</a> og,
efter OpenLineage, i <a href="openlineage.json">openlineage.json</a>.</p>
{{body}}</main>
<script>
const q = document.getElementById("q"), found = document.getElementById("found");
const said = r => (r.cells[0].textContent + " " + r.cells[2].textContent).toLowerCase();
const sections = [...document.querySelectorAll("section")].map(s => ({ s, name: s.id.toLowerCase(),
  rows: [...s.querySelectorAll("tbody tr")].map(r => ({ r, text: said(r) })) }));
q.addEventListener("input", () => {
  const words = q.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let rows = 0;
  for (const { s, name, rows: all } of sections) {
    let shown = 0;
    for (const { r, text } of all) {
      r.hidden = !words.every(w => text.includes(w) || name.includes(w));
      shown += !r.hidden;
    }
    s.hidden = !shown; rows += shown;
  }
  for (const h of document.querySelectorAll("main h2, .told")) if (h.closest("main")) h.hidden = words.length > 0;
  scrollTo(0, 0);
  found.textContent = words.length ? rows + " kolonner passer" : "";
});
// A link to what the search has hidden shows everything again.
addEventListener("hashchange", () => {
  const to = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (to && to.offsetParent === null) { q.value = ""; q.dispatchEvent(new Event("input")); to.scrollIntoView(); }
});
</script></body></html>
"""
