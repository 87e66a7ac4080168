"""Column rules as SQL against Python's own exact numbers and dates, on generated cells.

Whatever the cell, the gate reads from the rule's text what the rule means, or nothing.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contract import Column
from ingestion.expressions import DECIMALS, ColumnRule, NumberRule, RowChoice, expression

CON = duckdb.connect()
SHAPES = [("", ""), (",", "."), (",", ""), (",", " "), (".", ","), (".", ""), (".", "'")]
FACTORS = [Fraction(1), Fraction(1, 60), Fraction(1, 100), Fraction(7), Fraction(37, 30), Fraction(1, 999_999_999), Fraction(5, 2)]


def told_and_read(rule: ColumnRule, kind: str, cells: list[str], marks: list[str] | None = None) -> list[tuple]:
    """What the rule makes of each cell, and what the gate reads from that."""
    column = Column("x", "x", kind, "")
    rows = [(i, cell, mark) for i, (cell, mark) in enumerate(zip(cells, marks or [""] * len(cells), strict=True))]
    CON.execute("CREATE OR REPLACE TEMP TABLE cells (i BIGINT, c VARCHAR, m VARCHAR)")
    CON.executemany("INSERT INTO cells VALUES (?, ?, ?)", rows)
    return CON.execute(
        f"SELECT told, {column.read_sql('told', ())} FROM (SELECT i, {expression(rule, column)} AS told FROM cells) ORDER BY i"
    ).fetchall()


def half_away(value: Fraction, places: int) -> int:
    """The value in units of 10^-places, rounded half away from zero."""
    scaled = abs(value) * 10**places
    whole = int(scaled) + (scaled - int(scaled) >= Fraction(1, 2))
    return whole if value >= 0 else -whole


@st.composite
def written_numbers(draw):
    decimal, thousands = draw(st.sampled_from(SHAPES))
    whole = draw(st.one_of(st.integers(0, 99_999), st.integers(0, 10**15 - 1)))
    decimals = draw(st.text("0123456789", max_size=9))
    text = str(whole)
    if thousands and len(text) < 14 and draw(st.booleans()):
        text = f"{whole:,}".replace(",", thousands)
    if decimals:
        text += (decimal or draw(st.sampled_from(",."))) + decimals
    negative = draw(st.booleans())
    sign = draw(st.sampled_from(("-{}", "{}-"))) if negative else draw(st.sampled_from(("{}", "+{}")))
    value = Fraction(Decimal(f"{whole}.{decimals or '0'}")) * (-1 if negative else 1)
    return (decimal, thousands), f" {sign.format(text)} ", value, len(decimals)


@settings(max_examples=150, deadline=None)
@given(written_numbers(), st.sampled_from(FACTORS), st.sampled_from(["signed_money", "signed_quantity"]), st.sampled_from("DK"))
def test_numbers_are_exact(written, factor, kind, mark):
    (decimal, thousands), cell, value, decimals = written
    rule = NumberRule(decimal, thousands, factor, RowChoice("m", ("K",)), ("D", "K"))
    ((told, read),) = told_and_read(ColumnRule("c", number=rule), kind, [cell], [mark])
    if mark == "K":
        value = -value
    if factor == 1 and decimals > DECIMALS[kind]:
        assert read is None, told  # more decimals than the target holds: refused, not rounded
        return
    expected = half_away(value * factor, DECIMALS[kind])
    if abs(expected) < 2**63:
        assert read == expected, (cell, told)
    assert re.fullmatch(r"-?[0-9]+([.,][0-9]+)?", told)
    assert Fraction(told.replace(",", ".")) == Fraction(expected, 10 ** DECIMALS[kind])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SHAPES), st.sampled_from(FACTORS[:4]), st.text("0123456789.,-+ '\u00a0x", max_size=12))
def test_what_is_no_number_of_the_shape_is_never_read(shape, factor, cell):
    decimal, thousands = shape
    rule = ColumnRule("c", number=NumberRule(decimal, thousands, factor))
    ((told, read),) = told_and_read(rule, "signed_money", [cell])
    clean = cell.replace("\u00a0", " ").strip(" ")
    groups = f"[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|" if thousands else ""
    fits = re.fullmatch(rf"([+-]?)({groups}[0-9]+)(?:{re.escape(decimal) if decimal else '[.,]'}([0-9]+))?(-?)", clean)
    if fits and not (fits[1] and fits[4]) and len(fits[3] or "") < 10:
        value = Fraction((fits[2].replace(thousands, "") if thousands else fits[2]) + "." + (fits[3] or "0"))
        value = -value if "-" in (fits[1], fits[4]) else value
        if factor != 1 or len(fits[3] or "") <= 2:
            assert read == half_away(value * factor, 2), (cell, told)
        else:
            assert read is None
    else:
        assert read is None and told.strip("«»") == clean, (cell, told)  # what a person looks for is still there


LAYOUTS = ["%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d-%m-%y", "%Y-%m-%dT%H:%M:%S", "%d%m%Y", "Dato: %d-%m-%Y", "%y%m%d"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(LAYOUTS), st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))
def test_dates_in_a_layout(layout, moment):
    if "%y" in layout:
        moment = moment.replace(year=1970 + moment.year % 99, day=min(moment.day, 28))
    cell = moment.strftime(layout)
    ((told, read),) = told_and_read(ColumnRule("c", date=layout), "date", [cell])
    assert (told, read) == (moment.date().isoformat(), moment.date())
    ((told, read),) = told_and_read(ColumnRule("c", month=layout), "month", [cell])
    assert (told, read) == (moment.date().isoformat()[:7], moment.date().replace(day=1))


def _strictly(cell: str, layout: str) -> date | None:
    try:
        moment = datetime.strptime(cell, layout)
    except ValueError:
        return None
    return moment.date() if moment.strftime(layout) == cell and moment.year >= 1000 else None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LAYOUTS), st.one_of(
    st.text("0123456789-./ ", max_size=12),
    st.dates().map(date.isoformat),
    st.dates().map(lambda day: f"{day:%d-%m-%Y}"),
    st.dates().map(lambda day: f"{day:%m/%d/%Y}"),
    st.integers(0, 10**8 - 1).map("{:08d}".format),
))  # fmt: skip
def test_what_is_no_date_of_the_layout_is_never_read(layout, cell):
    ((told, read),) = told_and_read(ColumnRule("c", date=layout), "date", [cell])
    assert read == _strictly(cell.strip(" "), layout), (cell, told)
    if read is None:
        assert told.strip("«»") == cell.strip(" ")  # what a person looks for is still there


@pytest.mark.parametrize(("cell", "told"), [
    ("1-2-2026", "2026-02-01"), ("01-02-2026", "2026-02-01"), ("31-1-2026", "2026-01-31"), ("31-2-2026", "31-2-2026"),
    ("1-2-26", "1-2-26"), ("", ""), ("2026-02-01", "«2026-02-01»"),
])  # fmt: skip
def test_days_and_months_of_one_digit(cell, told):
    assert told_and_read(ColumnRule("c", date="%-d-%-m-%Y"), "date", [cell])[0][0] == told


def test_an_amount_of_another_shape_is_not_taken_for_a_hundred_times_itself():
    oere = ColumnRule("c", number=NumberRule(decimal=".", factor=Fraction(1, 100)))
    assert told_and_read(oere, "money", ["123450", "1234,50", "", "x"]) == [
        ("1234.50", 123450), ("«1234,50»", None), ("", None), ("x", None),
    ]  # fmt: skip


def test_a_mark_that_says_nothing_refuses_the_amount():
    rule = NumberRule(",", ".", Fraction(1), RowChoice("m", ("K",)), ("D", "K"))
    told = told_and_read(ColumnRule("c", number=rule), "signed_money", ["1.234,50"] * 4, ["D", "K", "", "X"])
    assert told == [("1234,50", 123450), ("-1234,50", -123450), ("1.234,50", None), ("1.234,50", None)]


def test_a_piece_of_a_composed_code():
    account = told_and_read(ColumnRule("c", part=(3, 5)), "account", ["AB12345XYZ", "AB12345", "AB1234", "123456", ""])
    assert account == [("12345", "12345"), ("12345", "12345"), ("AB1234", None), ("«123456»", None), ("", None)]
    assert told_and_read(ColumnRule("c", part=(1, 2)), "text", ["æøå", "æ"]) == [("æø", "æø"), ("æ", "æ")]


def test_the_first_that_is_not_empty():
    rule = ColumnRule(first_of=("c", "m"))
    assert told_and_read(rule, "text", ["a", " ", "", ""], ["b", "b", "b ", ""]) == [(t, t) for t in ("a", "b", "b", "")]


def test_hours_from_minutes_and_kroner_from_oere():
    hours = ColumnRule("c", number=NumberRule(factor=Fraction(1, 60)))
    assert [told for told, _ in told_and_read(hours, "quantity", ["90", "20", "50", "-20", "0"])] == [
        "1.5000", "0.3333", "0.8333", "-0.3333", "0.0000",
    ]  # fmt: skip
    half = ColumnRule("c", number=NumberRule(factor=Fraction(1, 200)))
    assert [told for told, _ in told_and_read(half, "signed_money", ["1", "-1", "3"])] == ["0.01", "-0.01", "0.02"]
    whole = ColumnRule("c", number=NumberRule(factor=Fraction(1, 2)))
    assert told_and_read(whole, "integer", ["5", "4"]) == [("3", 3), ("2", 2)]


PLAIN = st.one_of(
    st.decimals(min_value=-(10**14), max_value=10**14, places=9, allow_nan=False).map(str),
    st.decimals(min_value=-9999, max_value=9999, places=2, allow_nan=False).map(lambda d: str(d).replace(".", ",")),
    st.integers(-(10**12), 10**12).map(str), st.sampled_from(["", "0", "-0", "1", "1.000", "+7", "x", "1e3", "1.", ".5", " 2 "]),
)  # fmt: skip


def exact(cell: str) -> Fraction | None:
    """A plain number, None where it is none."""
    cell = cell.strip().replace(",", ".")
    return Fraction(cell) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,9})?", cell) else None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=60))
def test_a_number_per_one_and_less_another(pairs):
    numbers, others = ([pair[i] for pair in pairs] for i in (0, 1))
    for number, other, (told, read) in zip(
        numbers, others, told_and_read(ColumnRule("c", per="m"), "exact", numbers, others), strict=True
    ):  # fmt: skip
        value, base = exact(number), exact(other)
        if not number.strip() or not other.strip() or re.fullmatch("1([.,]0*)?", other.strip()):
            assert told == number.strip()
        elif value is None or base is None or base <= 0:
            assert read is None, (number, other, told)
        elif abs(half := half_away(value / base, 10)) < 2**63:
            assert read == half, (number, other, told)
    for number, other, (told, read) in zip(
        numbers, others, told_and_read(ColumnRule("c", less="m"), "signed_money", numbers, others), strict=True
    ):  # fmt: skip
        if not number.strip() and not other.strip():
            assert told == ""
            continue
        values = [exact(cell if cell.strip() else "0") for cell in (number, other)]
        if None in values:
            assert read is None, (number, other, told)
        else:
            assert read == half_away(values[0] - values[1], 2), (number, other, told)


def test_texts_joined_cut_and_chosen():
    CON.execute("CREATE OR REPLACE TEMP TABLE texts (a VARCHAR, b VARCHAR, _file_hash VARCHAR)")
    CON.executemany("INSERT INTO texts VALUES (?, ?, 'f0')", [(" DK1 ", "b"), ("", "DKDK2"), (None, None), ("dk3", "b")])
    told = [
        ColumnRule(joined=("a", "b")), ColumnRule("b", without_prefix="DK"), ColumnRule(first_of=("a", "b"), without_prefix="DK"),
        ColumnRule(file="sha256"),
    ]  # fmt: skip
    found = CON.execute(f"SELECT {', '.join(expression(rule, None) for rule in told)} FROM texts").fetchall()
    assert found == [("DK1; b", "b", "1", "f0"), ("DKDK2", "DK2", "DK2", "f0"), ("", "", "", "f0"), ("dk3; b", "b", "dk3", "f0")]
