"""The charts' shared look. Values become floats only here, for drawing; every tooltip is text formatted in Danish."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import altair as alt
import streamlit as st

from dashboards.published import Row

INK, GRID, MAIN, SECOND, QUIET = "#14232B", "#DDE5E8", "#0B5563", "#B4501E", "#9DB4BC"
# Colour is never alone: lines also differ in dash and point shape.
COLOURS = ["#0B5563", "#B4501E", "#5B4B9A", "#2F7D32", "#8A6A00", "#9B2C5E", "#2E66A8", "#5F6B73"]
DASHES = [[1, 0], [6, 3], [2, 2], [10, 4], [8, 3, 2, 3], [4, 4], [12, 2], [3, 6]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
NUMBERS = {"decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", " kr."]}


def plain(value: Decimal | int | None) -> float | None:
    """A value for drawing only."""
    return None if value is None else float(value)


def draw(chart: alt.Chart, alt_text: str, height: int) -> None:
    """Draws a chart with the shared look; `alt_text` says what it shows."""
    looks = (
        chart.properties(height=height)
        .configure(font="Source Sans, sans-serif", locale=alt.Locale(number=NUMBERS))
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            gridColor=GRID,
            domainColor="#7D929B",
            tickColor="#7D929B",
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            labelLimit=260,
        )
        .configure_legend(
            labelColor=INK, titleColor=INK, labelFontSize=12, orient="top", title=None, symbolSize=90, labelLimit=280
        )
    )
    st.altair_chart(looks, width="stretch", theme=None, alt=alt_text)


def lines(rows: Sequence[Row], *, x: Sequence[str], y_title: str, alt_text: str, height: int = 320) -> None:
    """One line per `series` over the months `x`; rows: month (short text), series, value, tip."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    wheel = [i % len(COLOURS) for i in range(len(names))]
    chart = (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_line(point=alt.OverlayMarkDef(size=55, filled=True), strokeWidth=2.5)
        .encode(
            x=alt.X("month:O", sort=list(x), title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("value:Q", title=y_title, axis=alt.Axis(format=",.1f", tickCount=5)),
            color=alt.Color("series:N", scale=alt.Scale(domain=names, range=[COLOURS[i] for i in wheel])),
            strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=[DASHES[i] for i in wheel])),
            shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=[SHAPES[i] for i in wheel])),
            tooltip=[alt.Tooltip("tip:N", title=" ")],
        )
    )
    draw(chart, alt_text, height)


def bars_with_line(
    rows: Sequence[Row], *, x: Sequence[str], bars: str, line: str, y_title: str, alt_text: str, height: int = 320
) -> None:
    """Bars by kind (`solid` filled, else only an outline) and a stepped line; rows: month, value, kind, target, tip."""
    months = alt.X("month:O", sort=list(x), title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    base = alt.Chart(alt.Data(values=list(rows)))
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    look = alt.Scale(
        domain=[bars, *(kind for kind in kinds if kind != bars), line],
        range=[MAIN, *([QUIET] if len(kinds) > 1 or kinds != [bars] else []), SECOND],
    )
    columns = base.mark_bar(size=22).encode(
        x=months,
        y=alt.Y("value:Q", title=y_title, axis=alt.Axis(format=",.1f", tickCount=5)),
        color=alt.Color("kind:N", scale=look),
        tooltip=[alt.Tooltip("tip:N", title=" ")],
    )
    target = (
        base.transform_calculate(kind=f"'{line}'")
        .mark_line(interpolate="step", strokeWidth=3, strokeDash=[6, 3])
        .encode(x=months, y="target:Q", color=alt.Color("kind:N", scale=look))
    )
    draw(columns + target, alt_text, height)


def horizontal(
    rows: Sequence[Row], *, value_title: str, alt_text: str, target: str = "", row_height: int = 26, number_format: str
) -> None:
    """A horizontal bar per row, in the order given, with name and figure as its label.

    Rows: name, value, text, tip and, where `target` names it, the target as a mark across the bar.
    """
    if not rows:
        return
    labelled, seen = [], set()
    for row in rows:
        label = f"{row['name']}: {row['text']}"
        while label in seen:  # two bars never share a line
            label += "\u2009"
        seen.add(label)
        labelled.append(row | {"label": label})
    base = alt.Chart(alt.Data(values=labelled)).encode(
        y=alt.Y("label:N", sort=[row["label"] for row in labelled], title=None),
        tooltip=[alt.Tooltip("tip:N", title=" ")],
    )
    scale = alt.X("value:Q", title=value_title, axis=alt.Axis(format=number_format, tickCount=5))
    chart = base.mark_bar(color=MAIN, size=15).encode(x=scale)
    if target:
        chart += base.mark_tick(color=SECOND, thickness=4, size=22).encode(x=f"{target}:Q")
    draw(chart, alt_text, max(120, row_height * len(rows) + 50))
