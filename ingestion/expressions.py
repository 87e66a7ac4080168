"""How one loader column is filled from an extract's columns, as DuckDB SQL over text.

A cell that does not fit its rule passes through unchanged, so that the gate refuses it with its own sentence. Where the
gate could read it all the same, as another number or date than was meant, it is set in «…», which the gate refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ingestion.contract import TYPES, Column

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
# How a directive of a date layout looks in a cell; those with a dash may have one digit.
DIRECTIVES = {
    "%Y": "[1-9][0-9]{3}", "%y": "[0-9]{2}", "%m": "[0-9]{2}", "%-m": "[0-9]{1,2}", "%d": "[0-9]{2}", "%-d": "[0-9]{1,2}",
    "%H": "[0-9]{2}", "%M": "[0-9]{2}", "%S": "[0-9]{2}",
}  # fmt: skip
DIRECTIVE = re.compile(r"%-?.?")
# Decimals of the types that hold numbers, and so of what is computed for them.
DECIMALS = {"money": 2, "signed_money": 2, "percent": 2, "quantity": 4, "signed_quantity": 4, "exact": 10, "integer": 0}
# What a raw row has beside its own cells: the SHA-256 of the file it came in.
FILE_HASH = "_file_hash"
# With so many digits before and after the decimal sign, and factors of so many, a product stays inside 128 bits.
WHOLE_DIGITS, DECIMAL_DIGITS, LARGEST_FACTOR = 15, 9, 10**9


@dataclass(frozen=True)
class RowChoice:
    """Rows whose `column` holds one of `among`, or is not empty where `among` is None."""

    column: str
    among: tuple[str, ...] | None


@dataclass(frozen=True)
class NumberRule:
    """A number as the extract writes it, times `factor`.

    Without `decimal` both comma and point are decimal signs. Where `negative` holds, the sign changes; a mark that is
    not among `marks` (where there are any) says nothing, and the cell does not fit.
    """

    decimal: str = ""
    thousands: str = ""
    factor: Fraction = Fraction(1)
    negative: RowChoice | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnRule:
    """How one loader column is filled: by one of `column`, `value`, `template`, `first_of`, `joined` and `file`.

    Of `values`, `date`, `month`, `number`, `part` (place from 1, length), `per` and `less` (another column: the number divided
    by it, or less it), one at most says how the column is read. `without_prefix` is cut off a column's or first_of's beginning.
    """

    column: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    date: str | None = None
    month: str | None = None
    number: NumberRule | None = None
    part: tuple[int, int] | None = None
    per: str | None = None
    less: str | None = None
    value: str | None = None
    template: str | None = None
    first_of: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    without_prefix: str = ""
    file: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The extract columns this rule reads."""
        if self.column is not None:
            mark = self.number.negative.column if self.number and self.number.negative else None
            return (self.column, *(beside for beside in (mark, self.per, self.less) if beside))
        return tuple(PLACEHOLDER.findall(self.template)) if self.template is not None else self.first_of or self.joined


def name(column: str) -> str:
    """A column's name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def condition(choice: RowChoice) -> str:
    """SQL that holds for the chosen rows."""
    if choice.among is None:
        return f"{_cell(choice.column)} <> ''"
    return f"{_cell(choice.column)} IN ({', '.join(map(_text, choice.among))})"


def expression(rule: ColumnRule, target: Column | None) -> str:
    """SQL text of the loader column `target` (None: the column slet) over a raw table of VARCHAR columns."""
    if rule.value is not None:
        return _text(rule.value)
    if rule.file:
        return FILE_HASH
    if rule.template is not None:
        parts = [_cell(part) if odd else _text(part) for odd, part in _split(rule.template) if part]
        some_empty = " OR ".join(f"{_cell(column)} = ''" for column in rule.needs)
        return f"CASE WHEN {some_empty} THEN '' ELSE {' || '.join(parts)} END"
    if rule.joined:
        return f"concat_ws('; ', {', '.join(map(_filled, rule.joined))})"
    cell = f"coalesce({', '.join(map(_filled, rule.first_of))}, '')" if rule.first_of else _cell(rule.column)
    if rule.without_prefix:
        begins, rest = f"starts_with({cell}, {_text(rule.without_prefix)})", f"substr({cell}, {len(rule.without_prefix) + 1})"
        return f"CASE WHEN {begins} THEN {rest} ELSE {cell} END"
    if rule.values:
        cases = " ".join(f"WHEN {_text(code)} THEN {_text(meaning)}" for code, meaning in rule.values)
        return f"CASE {cell} {cases} ELSE {cell} END"
    if rule.part:
        start, length = rule.part
        return _where_it_fits(f"length({cell}) >= {start + length - 1}", f"substr({cell}, {start}, {length})", cell, target)
    if layout := rule.date or rule.month:
        moment = f"try_strptime({cell}, {_text(layout)})"
        fits = f"regexp_full_match({cell}, {_text(date_pattern(layout))})"
        return _where_it_fits(fits, f"strftime({moment}, '{'%Y-%m-%d' if rule.date else '%Y-%m'}')", cell, target)
    if rule.per:
        return _per(cell, _cell(rule.per), target)
    if rule.less:
        return _less(cell, _cell(rule.less), target)
    return _number(rule.number, cell, target) if rule.number else cell


def date_pattern(layout: str) -> str:
    """The regular expression of the cells of a strftime layout."""
    texts, directives = DIRECTIVE.split(layout), DIRECTIVE.findall(layout)
    shapes = [DIRECTIVES[directive] for directive in directives] + [""]
    return "".join(re.escape(text) + shape for text, shape in zip(texts, shapes, strict=True))


def _number(rule: NumberRule, cell: str, target: Column) -> str:
    """SQL of a number in the loader's form. Where a factor applies, rounded half away from zero to the target's decimals."""
    cell = f"replace({cell}, chr(160), ' ')"
    grouped = f"[0-9]{{1,3}}({re.escape(rule.thousands)}[0-9]{{3}}){{1,4}}|" if rule.thousands else ""
    point = re.escape(rule.decimal) if rule.decimal else "[.,]"
    shape = f"({grouped}[0-9]{{1,{WHOLE_DIGITS}}})({point}[0-9]{{1,{DECIMAL_DIGITS}}})?"
    fits = f"regexp_full_match({cell}, {_text(f'[+-]?{shape}|{shape}-')})"
    if rule.marks:
        fits += f" AND {_cell(rule.negative.column)} IN ({', '.join(map(_text, rule.marks))})"
    size = f"trim({cell}, '+-')"
    if rule.thousands:
        size = f"replace({size}, {_text(rule.thousands)}, '')"
    negative = f"contains({cell}, '-')"
    if rule.negative:
        negative = f"({negative}) <> ({condition(rule.negative)})"
    if rule.factor == 1:
        return _where_it_fits(fits, f"CASE WHEN {negative} THEN '-' ELSE '' END || {size}", cell, target)
    places, scale = DECIMALS[target.type], 10**DECIMAL_DIGITS
    over, under = rule.factor.numerator * 10**places, rule.factor.denominator * scale
    doubled = f"2 * ({_exact(size)}) * {over}::HUGEINT"
    rounded = f"({doubled} + {under}::HUGEINT) // {2 * under}::HUGEINT * CASE WHEN {negative} THEN -1 ELSE 1 END"
    unit = f"0.{'1'.zfill(places)}" if places else "1"
    return _where_it_fits(fits, f"(({rounded})::DECIMAL(33, 0) * {unit})::VARCHAR", cell, target)


_PLAIN = f"[+-]?[0-9]{{1,{WHOLE_DIGITS}}}([.,][0-9]{{1,{DECIMAL_DIGITS}}})?"


def _exact(size: str) -> str:
    """SQL of the text of a number without a sign in 10^-9 (HUGEINT)."""
    # Whole and decimals apart, for DuckDB reads a wide decimal from text thirty times slower.
    whole, decimals = (f"split_part(replace({size}, ',', '.'), '.', {part})" for part in (1, 2))
    padded = f"TRY_CAST(rpad({decimals}, {DECIMAL_DIGITS}, '0') AS BIGINT)"
    return f"TRY_CAST({whole} AS BIGINT)::HUGEINT * {10**DECIMAL_DIGITS} + {padded}"


def _signed(cell: str) -> str:
    size = f"trim({cell}, '+-')"
    return f"(({_exact(size)}) * CASE WHEN {cell}[1] = '-' THEN -1 ELSE 1 END)"


def _quotient(over: str, under: str, places: int) -> str:
    """SQL text of a quotient of HUGEINTs (`under` > 0), rounded half away from zero to so many decimals."""
    unit = f"{10**places}::HUGEINT"
    size = f"((2 * abs({over}) * {unit} + {under}) // (2 * {under}))"
    decimals = f" || '.' || lpad(({size} % {unit})::VARCHAR, {places}, '0')" if places else ""
    return f"CASE WHEN {over} < 0 THEN '-' ELSE '' END || ({size} // {unit})::VARCHAR{decimals}"


def _per(cell: str, base: str, target: Column) -> str:
    """SQL of what one costs where the number is what `base` cost; no base is one."""
    fits = f"regexp_full_match({cell}, '{_PLAIN}') AND regexp_full_match({base}, '{_PLAIN}') AND {_signed(base)} > 0"
    each = _where_it_fits(fits, _quotient(_signed(cell), _signed(base), DECIMALS[target.type]), cell, target)
    return f"CASE WHEN {base} = '' OR regexp_full_match({base}, '1([.,]0*)?') THEN {cell} ELSE {each} END"


def _less(cell: str, other: str, target: Column) -> str:
    """SQL of the difference of two numbers, an empty one being 0; empty where both are."""
    one, two = (f"coalesce(nullif({text}, ''), '0')" for text in (cell, other))
    fits = f"regexp_full_match({one}, '{_PLAIN}') AND regexp_full_match({two}, '{_PLAIN}')"
    difference = _quotient(f"({_signed(one)} - {_signed(two)})", f"{10**DECIMAL_DIGITS}::HUGEINT", DECIMALS[target.type])
    return f"CASE WHEN {cell} = '' AND {other} = '' THEN '' ELSE {_where_it_fits(fits, difference, one, target)} END"


def _where_it_fits(fits: str, converted: str, cell: str, target: Column | None) -> str:
    """`converted` where the cell `fits` and can be converted (NULL: it cannot)."""
    if target is None or TYPES[target.type].read == "{x}":
        unfit = cell  # a text is never misread
    elif "{municipalities}" in TYPES[target.type].read:
        unfit = f"'«' || {cell} || '»'"  # which codes are municipalities is not known here
    else:
        unfit = f"CASE WHEN ({target.read_sql(cell, ())}) IS NULL THEN {cell} ELSE '«' || {cell} || '»' END"
    return f"CASE WHEN {cell} = '' THEN '' ELSE coalesce(CASE WHEN {fits} THEN {converted} END, {unfit}) END"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _cell(column: str) -> str:
    return f"coalesce(trim({name(column)}), '')"


def _filled(column: str) -> str:
    return f"nullif({_cell(column)}, '')"


def _split(template: str) -> Iterable[tuple[bool, str]]:
    """The template's pieces: (False, literal text) and (True, column) in turn."""
    return ((bool(i % 2), part) for i, part in enumerate(PLACEHOLDER.split(template)))
