"""A text that a spreadsheet would run as a formula is only text in what people download."""

import csv
import io

import pytest

from dashboards.parts import Column, csv_bytes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("\t=1", "'\t=1"),
        ("+45 12 34 56 78", "+45 12 34 56 78"),
        ("-12,50", "-12,50"),
        ("-", "-"),
        ("Ydelse = god", "Ydelse = god"),
    ],
)
def test_a_formula_is_text_in_a_download(text, shown):
    content = csv_bytes([{"a": text}], [Column("a", "A")]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(content, newline=""), delimiter=";")) == [["A"], [shown]]
