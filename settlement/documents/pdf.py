"""The paper: `document_pdf(document)` draws one booked document as a Danish PDF, page by page.

A4 with an embedded font that has æøå; no clock and no random id (reportlab's invariant mode), so the same document
gives the same bytes. A credit note turns every sign, as the e-invoice does. Names and CPR numbers of citizens are not
in the model, and `Party.code` is not printed.
"""
from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

import reportlab
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)  # fmt: skip

from settlement.documents.model import (
    CITIZEN_CHARGE,
    CREDIT_NOTE,
    INTERNAL_VOUCHER,
    INVOICE,
    PAYOUT_ORDER,
    Document,
    DocumentLine,
    Party,
)
from settlement.documents.oioubl import quantity_text

_HEADINGS = {
    INVOICE: "Faktura", CREDIT_NOTE: "Kreditnota", INTERNAL_VOUCHER: "Internt bilag",
    PAYOUT_ORDER: "Udbetalingsbilag", CITIZEN_CHARGE: "Opkrævning",
}  # fmt: skip
_TOTALS = {
    INVOICE: "I alt at betale", CREDIT_NOTE: "I alt til gode", INTERNAL_VOUCHER: "I alt",
    PAYOUT_ORDER: "I alt til udbetaling", CITIZEN_CHARGE: "I alt at betale",
}  # fmt: skip
_PROCESSES = {
    "mellemkommunal": "Mellemkommunal afregning", "intern": "Intern afregning", "udbetaling": "Udbetaling",
    "personopkraevning": "Personopkrævning", "beboerbetaling": "Beboerbetaling",
}  # fmt: skip
_UNITS = {
    "doegn": "døgn", "hverdag": "hverdag", "uge": "uge", "maaned": "måned", "aar": "år", "time": "time",
    "leveret": "stk.", "engang": "engang",
}  # fmt: skip
_QUANTITY_DECIMALS = 4  # settlement.md § 5: what a person sees

_INK, _SOFT, _RULE, _BAND = HexColor("#1c2b39"), HexColor("#5b6b7a"), HexColor("#c9d2da"), HexColor("#eef2f5")
_ACCENT = HexColor("#0b4f6c")
_REGULAR, _BOLD = "Afregning", "Afregning-Bold"
_MARGIN, _FOOTER = 18 * mm, 24 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_TITLES = ("Ydelse", "Måned", "Antal", "Enhed", "Pris", "Beløb", "Regulering af")
_NUMERIC = ("Antal", "Pris", "Beløb")
_COLUMNS = (0.33, 0.09, 0.11, 0.08, 0.13, 0.13, 0.13)
_TITLES_HEIGHT = 16


def document_pdf(document: Document) -> bytes:
    """One booked document as PDF 1.4; same document, same bytes. Amounts are kroner as 1.234,56, dates dd-mm-åååå."""
    _register_fonts()
    out = io.BytesIO()
    heading = f"{_HEADINGS[document.kind]} {document.number}"
    template = BaseDocTemplate(out, pagesize=A4, invariant=1, title=heading, author=document.supplier.name, lang="da-DK")
    first = _frame(A4[1] - _MARGIN)
    later = _frame(A4[1] - _MARGIN - _TITLES_HEIGHT)
    template.addPageTemplates(
        [
            PageTemplate(id="first", frames=[first], autoNextPageTemplate="later"),
            PageTemplate(id="later", frames=[later], onPage=_titles_on_top),
        ]
    )
    story = [
        _head(document), Spacer(0, 9 * mm), _ColumnTitles(), *(_Row(line, _sign(document)) for line in document.lines),
        Spacer(0, 5 * mm),
        KeepTogether([_total_table(document), Spacer(0, 7 * mm), Paragraph(_payment_text(document), _style("body"))]),
    ]  # fmt: skip
    template.build(story, canvasmaker=lambda *args, **options: _NumberedCanvas(document, *args, **options))
    return out.getvalue()


def _frame(top: float) -> Frame:
    return Frame(_MARGIN, _FOOTER, _WIDTH, top - _FOOTER, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)


def _titles_on_top(canvas: Canvas, _template: BaseDocTemplate) -> None:
    canvas.saveState()
    canvas.translate(_MARGIN, A4[1] - _MARGIN - _TITLES_HEIGHT)
    _draw_titles(canvas)
    canvas.restoreState()


def kroner(oere: int) -> str:
    """Øre as Danish kroner: -123456789 is '-1.234.567,89'."""
    return f"{'-' if oere < 0 else ''}{abs(oere) // 100:,}".replace(",", ".") + f",{abs(oere) % 100:02d}"


def danish_date(day: date) -> str:
    return f"{day:%d-%m-%Y}"


def danish_quantity(numerator: int, denominator: int) -> str:
    """An exact quantity with up to 4 decimals, half away from zero, without trailing zeros: '0,4194', '31'."""
    whole, part = quantity_text(numerator, denominator, _QUANTITY_DECIMALS).split(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    part = part.rstrip("0")
    return f"{sign}{int(digits):,}".replace(",", ".") + (f",{part}" if part else "")


class _NumberedCanvas(Canvas):
    """Holds every page back until the last is known, then draws the footer with 'Side 1 af N' on each."""

    def __init__(self, document: Document, *args, **options) -> None:
        super().__init__(*args, **options | {"initialFontName": _REGULAR})
        self._document, self._pages = document, []

    def showPage(self) -> None:  # noqa: N802, the name is reportlab's
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(pages := self._pages, start=1):
            self.__dict__.update(page)
            self._draw_footer(number, len(pages))
            super().showPage()
        super().save()

    def _draw_footer(self, number: int, count: int) -> None:
        document = self._document
        self.setStrokeColor(_RULE)
        self.setLineWidth(0.5)
        self.line(_MARGIN, 17 * mm, A4[0] - _MARGIN, 17 * mm)
        self.setFillColor(_SOFT)
        self.setFont(_REGULAR, 7)
        self.drawString(_MARGIN, 13 * mm, f"Bilag {document.number}   Afregningskørsel {document.run_no}")
        self.drawRightString(A4[0] - _MARGIN, 13 * mm, f"Side {number} af {count}")
        self.setFont(_REGULAR, 5.5)
        self.drawString(_MARGIN, 9.5 * mm, f"Kørslens kontrolsum {document.run_head}")
        self.drawString(_MARGIN, 7 * mm, f"Bilagets kontrolsum {document.document_hash}")


def _register_fonts() -> None:
    """Bitstream Vera from reportlab's own folder: free to embed, and it has the Danish letters."""
    fonts = Path(reportlab.__file__).parent / "fonts"
    if _BOLD not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(_REGULAR, str(fonts / "Vera.ttf")))
        pdfmetrics.registerFont(TTFont(_BOLD, str(fonts / "VeraBd.ttf")))
        pdfmetrics.registerFontFamily(_REGULAR, normal=_REGULAR, bold=_BOLD, italic=_REGULAR, boldItalic=_BOLD)


def _style(name: str) -> ParagraphStyle:
    size, leading, color, alignment = {
        "heading": (20, 24, _ACCENT, TA_RIGHT),
        "body": (9, 13, _INK, 0),
        "label": (7.5, 11, _SOFT, 0),
        "meta": (8.5, 12, _INK, TA_RIGHT),
        "cell": (8, 10, _INK, 0),
        "number": (8, 10, _INK, TA_RIGHT),
    }[name]
    return ParagraphStyle(name, fontName=_REGULAR, fontSize=size, leading=leading, textColor=color, alignment=alignment)


def _head(document: Document) -> Table:
    """Supplier and receiver to the left, what the document is to the right."""
    due = {
        INVOICE: "Forfaldsdato", CITIZEN_CHARGE: "Forfaldsdato", PAYOUT_ORDER: "Udbetalingsdato",
    }.get(document.kind)  # fmt: skip
    facts = [
        ("Bilagsnummer", document.number),
        ("Dato", danish_date(document.issue_date)),
        (due, danish_date(document.due_date)),
        ("Afregning", _PROCESSES.get(document.process, document.process)),
        ("Rekvisition", document.requisition),
    ]
    right = [Paragraph(f"<b>{_HEADINGS[document.kind]}</b>", _style("heading")), Spacer(0, 4 * mm)]
    right.append(
        Table(
            [
                [Paragraph(label, _style("label")), Paragraph(escape(value), _style("meta"))]
                for label, value in facts
                if label and value
            ],
            colWidths=(0.16 * _WIDTH, 0.26 * _WIDTH),
            style=TableStyle(_tight(1)),
        )
    )
    left = [
        *_party(document.supplier, "Fra"), Spacer(0, 6 * mm), *_party(document.customer, "Til"),
    ]  # fmt: skip
    return Table([[left, right]], colWidths=(0.58 * _WIDTH, 0.42 * _WIDTH), style=TableStyle(_tight(0)))


def _party(party: Party, label: str) -> list[Paragraph]:
    contact = " ".join(part for part in (party.contact_name, party.contact_id) if part)
    lines = [
        party.street,
        f"{party.postal_code} {party.city}".strip(),
        f"CVR {party.cvr}" if party.cvr else "",
        f"EAN {party.ean}" if party.ean else "",
        f"Kontakt: {contact}" if contact else "",
    ]
    text = "<br/>".join([f"<b>{escape(party.name)}</b>", *(escape(line) for line in lines if line)])
    return [Paragraph(label, _style("label")), Paragraph(text, _style("body"))]


class _Row(Flowable):
    """One document line. Drawn straight on the canvas: a paragraph per cell takes minutes on a department's month."""

    def __init__(self, line: DocumentLine, sign: int) -> None:
        super().__init__()
        self._cells = (
            "", f"{line.delivery_month[5:]}-{line.delivery_month[:4]}",
            danish_quantity(sign * line.quantity_num, line.quantity_den), _UNITS.get(line.unit, line.unit),
            kroner(line.price_oere), kroner(sign * line.amount_oere),
            line.corrects or ("ja" if line.is_adjustment else ""),
        )  # fmt: skip
        room = _COLUMNS[0] * _WIDTH - 4 * mm
        self._names = simpleSplit(line.item_name, _REGULAR, 8, room)
        self._details = simpleSplit(_details(line), _REGULAR, 6.5, room)
        self.height = 6 + 10 * len(self._names) + 8.5 * len(self._details)

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return _WIDTH, self.height

    def draw(self) -> None:
        canvas, y = self.canv, self.height - 11
        canvas.setFillColor(_INK)
        canvas.setFont(_REGULAR, 8)
        for name in self._names:
            canvas.drawString(2 * mm, y, name)
            y -= 10
        _draw_cells(canvas, self._cells, self.height - 11)
        canvas.setFillColor(_SOFT)
        canvas.setFont(_REGULAR, 6.5)
        for detail in self._details:
            canvas.drawString(2 * mm, y, detail)
            y -= 8.5
        canvas.setStrokeColor(_RULE)
        canvas.setLineWidth(0.4)
        canvas.line(0, 0, _WIDTH, 0)


class _ColumnTitles(Flowable):
    """The heading of the lines, on the first page after the head and on top of every later one."""

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return _WIDTH, _TITLES_HEIGHT

    def draw(self) -> None:
        _draw_titles(self.canv)


def _draw_titles(canvas: Canvas) -> None:
    canvas.setFillColor(_BAND)
    canvas.rect(0, 0, _WIDTH, _TITLES_HEIGHT, stroke=0, fill=1)
    canvas.setFillColor(_SOFT)
    canvas.setFont(_REGULAR, 7.5)
    canvas.drawString(2 * mm, 5, _TITLES[0])
    _draw_cells(canvas, ("", *_TITLES[1:]), 5)


def _draw_cells(canvas: Canvas, cells: tuple[str, ...], y: float) -> None:
    """Every column but the first: numbers to the right, words to the left."""
    left = 0.0
    for title, share, text in zip(_TITLES, _COLUMNS, cells, strict=True):
        if title in _NUMERIC:
            canvas.drawRightString(left + share * _WIDTH - 3 * mm, y, text)
        elif text:
            canvas.drawString(left, y, text)
        left += share * _WIDTH


def _details(line: DocumentLine) -> str:
    details = [f"pakke {line.package_id}" if line.package_id else "", f"konto {line.account}" if line.account else ""]
    if line.requisition:
        details.append(f"rekv. {line.requisition}")
    return ", ".join([f"ydelse {line.service_line_id}", *(detail for detail in details if detail)])


def _total_table(document: Document) -> Table:
    """Net, VAT per rate, and the total, right under the amounts."""
    sign = _sign(document)
    rows = [("I alt uden moms", kroner(sign * document.total_oere))]
    for rate in sorted({line.vat_pct_e2 for line in document.lines}):
        rated = [line for line in document.lines if line.vat_pct_e2 == rate]
        net, vat = sum(line.amount_oere for line in rated), sum(line.vat_oere for line in rated)
        rows.append((f"Moms {danish_quantity(rate, 100)} % af {kroner(sign * net)}", kroner(sign * vat)))
    rows.append((f"<b>{_TOTALS[document.kind]} (DKK)</b>", f"<b>{kroner(sign * document.payable_oere)}</b>"))
    style = TableStyle([*_tight(2), ("LINEABOVE", (0, -1), (-1, -1), 1, _ACCENT)])
    widths = (0.34 * _WIDTH, 0.2 * _WIDTH - 3 * mm)
    cells = [[Paragraph(label, _style("cell")), Paragraph(amount, _style("number"))] for label, amount in rows]
    # the right edge meets that of the amount column
    return Table([["", Table(cells, colWidths=widths, style=style), ""]], style=TableStyle(_tight(0)),
                 colWidths=(0.33 * _WIDTH, 0.54 * _WIDTH - 3 * mm, 0.13 * _WIDTH + 3 * mm))  # fmt: skip


def _payment_text(document: Document) -> str:
    due = danish_date(document.due_date)
    if document.kind in (INVOICE, CITIZEN_CHARGE):
        if document.bank_registration and document.bank_account:
            account = f"reg.nr. {document.bank_registration} konto {document.bank_account}"
            return f"Betales senest {due} til {escape(account)} med teksten {escape(document.number)}."
        return f"Betales senest {due} til leverandørens NemKonto med teksten {escape(document.number)}."
    if document.kind == CREDIT_NOTE:
        return "Beløbet er krediteret og skal ikke betales."
    if document.kind == PAYOUT_ORDER:
        return f"Udbetales {due}."
    return "Internt bilag. Der skal ikke betales."


def _sign(document: Document) -> int:
    return -1 if document.kind == CREDIT_NOTE else 1


def _tight(vertical: float) -> list[tuple]:
    whole = ((0, 0), (-1, -1))
    return [
        ("VALIGN", *whole, "TOP"),
        ("LEFTPADDING", *whole, 0),
        ("RIGHTPADDING", *whole, 0),
        ("TOPPADDING", *whole, vertical),
        ("BOTTOMPADDING", *whole, vertical),
    ]
