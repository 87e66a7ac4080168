"""What all pages are built of: header, key figures, tables, downloads, empty states; all read by screen readers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards import format as fmt
from dashboards.published import Build, Row
from settlement.spreadsheet import as_text

STYLE = Path(__file__).parent / "static" / "style.css"
ROWS_SHOWN = 200
SHORT = 18  # texts up to this length are kept on one line


@dataclass(frozen=True)
class Column:
    """One column of a table: the row's key, its title, how a value is written, and whether it is a figure."""

    key: str
    title: str
    text: Callable[[Any], str] = lambda value: fmt.NONE if value in (None, "") else str(value)
    figure: bool = False
    unit: str = ""


def money(key: str, title: str, *, signed: bool = False) -> Column:
    """A column of kroner with øre."""
    return Column(key, title, lambda value: fmt.kroner_figure(value, signed=signed), True, "kr.")


def whole_money(key: str, title: str, *, signed: bool = False) -> Column:
    """A column of whole kroner."""
    return Column(key, title, lambda value: fmt.number(value, signed=signed), True, "hele kr.")


def count(key: str, title: str) -> Column:
    return Column(key, title, fmt.number, True)


def percent(key: str, title: str, *, signed: bool = False) -> Column:
    return Column(key, title, lambda value: fmt.percent(value, signed=signed), True)


def month(key: str, title: str) -> Column:
    return Column(key, title, fmt.month)


def day(key: str, title: str) -> Column:
    return Column(key, title, fmt.day)


def coded(key: str, title: str) -> Column:
    return Column(key, title, fmt.label)


def style() -> None:
    """The house's look, and the page's language for screen readers."""
    st.html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
    st.html("<script>document.documentElement.lang = 'da';</script>", unsafe_allow_javascript=True)


def header(title: str, conclusion: str, *, period: str, build: Build | None, source: str, definition: str) -> None:
    """A page's head: what it shows in one sentence, for which period, from when, from where, and how it is computed."""
    updated = fmt.moment(build.built_at) if build else "nu, direkte fra registeret"
    version = f"<div><dt>Opbygning</dt><dd>{escape(build.build_id)}</dd></div>" if build else ""
    st.html(
        f"""<header class="afr-head"><h1>{escape(title)}</h1><p class="afr-lead">{escape(conclusion)}</p>
        <dl><div><dt>Periode</dt><dd>{escape(period)}</dd></div><div><dt>Opdateret</dt><dd>{escape(updated)}</dd></div>
        <div><dt>Kilde</dt><dd>{escape(source)}</dd></div>{version}</dl>
        <details><summary>Sådan er tallene opgjort</summary><p>{escape(definition)}</p></details></header>"""
    )


def title(text: str, sentence: str) -> None:
    """The head of a page that shows no figures."""
    st.html(f'<header class="afr-head"><h1>{escape(text)}</h1><p class="afr-lead">{escape(sentence)}</p></header>')


def section(title: str, sentence: str = "") -> None:
    """A heading inside a page, with the one sentence that says what to see."""
    st.html(
        f'<div class="afr-section"><h2>{escape(title)}</h2>'
        + (f"<p>{escape(sentence)}</p>" if sentence else "")
        + "</div>"
    )


@dataclass(frozen=True)
class Figure:
    """A key figure with its comparisons in words; `name` is how tests find it."""

    name: str
    title: str
    value: str
    comparisons: tuple[str, ...] = ()


def figures(cards: Iterable[Figure]) -> None:
    """Rows of key figures, evenly filled on a wide screen."""
    cards = list(cards)
    per_row = len(cards) if len(cards) <= 5 else (len(cards) + 1) // 2
    st.html(
        f'<div class="afr-figures" style="--per-row:{per_row}">'
        + "".join(
            f'<section class="afr-figure" data-figure="{escape(card.name)}"><h3>{escape(card.title)}</h3>'
            f"<p class='afr-value'>{escape(card.value)}</p>"
            + "".join(f"<p class='afr-compare'>{escape(line)}</p>" for line in card.comparisons)
            + "</section>"
            for card in cards
        )
        + "</div>"
    )


def change(now: Decimal, before: Decimal, what: str, text: Callable[..., str] = fmt.millions) -> str:
    """«▲ +1,2 mio. kr. (+3,4 %) mod september 2026»: the arrow says it too, never colour alone."""
    difference = now - before
    if not difference:
        return f"= uændret mod {what}"
    part = fmt.share(difference, abs(before))
    return f"{'▲' if difference > 0 else '▼'} {text(difference, signed=True)}" + (
        f" ({fmt.percent(part, signed=True)}) mod {what}" if part is not None else f" mod {what}"
    )


def table(
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    caption: str,
    name: str,
    total: Row | None = None,
    limit: int = ROWS_SHOWN,
    height: int = 460,
) -> None:
    """A table with a caption, scrolling where it is long; only the first `limit` rows are drawn, and it says so."""
    if not rows:
        empty_state(caption, "Ingen rækker passer til valget.", small=True)
        return
    shown = rows[:limit]
    head = "".join(f'<th scope="col"{_figure(c)}>{escape(c.title)}</th>' for c in columns)
    body = "".join("<tr>" + "".join(_cell(row, c) for c in columns) + "</tr>" for row in shown)
    foot = ""
    if total is not None:
        sums = "".join(_cell(total, c) if c.key in total else "<td></td>" for c in columns[1:])
        foot = f'<tfoot><tr><th scope="row">I alt</th>{sums}</tr></tfoot>'
    units = {c.unit for c in columns} - {""}
    caption += f"; beløb i {units.pop()}" if units else ""
    note = f" (viser {fmt.number(len(shown))} af {fmt.number(len(rows))} rækker)" if len(rows) > len(shown) else ""
    st.html(
        f'<div class="afr-table" role="region" tabindex="0" aria-label="{escape(caption)}" data-table="{escape(name)}" '
        f'style="max-height:{height}px"><table><caption>{escape(caption)}{note}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _figure(column: Column) -> str:
    return ' class="afr-number"' if column.figure else ""


def _cell(row: Row, column: Column) -> str:
    text = column.text(row.get(column.key))
    kind = _figure(column) or (' class="afr-short"' if len(text) <= SHORT else "")
    return f"<td{kind}>{escape(text)}</td>"


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Terms and their values, for the head of one thing."""
    st.html(
        '<dl class="afr-facts">'
        + "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in pairs)
        + "</dl>"
    )


def sentences(texts: Iterable[str], *, name: str) -> None:
    """Sentences, one to a line; `name` is how tests find them."""
    st.html(
        f'<div class="afr-sentences" data-sentences="{escape(name)}">'
        + "".join(f"<p>{escape(text)}</p>" for text in texts)
        + "</div>"
    )


def empty_state(title: str, sentence: str, *, small: bool = False) -> None:
    """What is shown where there is nothing to show, and what to do about it."""
    st.html(
        f'<div class="afr-empty{" afr-small" if small else ""}" role="status"><p><strong>{escape(title)}</strong></p>'
        f"<p>{escape(sentence)}</p></div>"
    )


def csv_bytes(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    """The rows as Danish CSV: BOM, `;`, decimal comma without thousands separator, dates dd-mm-yyyy."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow([as_text(column.title) for column in columns])
    writer.writerows([_csv_value(row.get(column.key)) for column in columns] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return fmt.yes_no(value)
    if isinstance(value, Decimal):
        return f"{value:f}".replace(".", ",")
    if isinstance(value, datetime):
        return fmt.moment(value)
    if isinstance(value, date):
        return fmt.day(value)
    return as_text(str(value))


def download_csv(rows: Sequence[Row], columns: Sequence[Column], file_name: str, **button) -> None:
    """A button that gives all rows, also those a table leaves out."""
    st.download_button(
        f"Hent {fmt.count_of(len(rows), 'række', 'rækker')} som CSV",
        csv_bytes(rows, columns),
        file_name,
        "text/csv",
        icon=":material/download:",
        key=f"csv-{file_name}",
        disabled=not rows,
        **({"on_click": "ignore"} | button),
    )
