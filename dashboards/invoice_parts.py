"""The two halves of Fakturabetaling: the invoice as a person reads it, and what was granted beside it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import streamlit as st

from dashboards import format as fmt
from dashboards import parts
from dashboards.published import Row
from settlement.documents.incoming import Invoice, read_invoice
from settlement.documents.incoming_verdict import UNKNOWN, verdict
from settlement.faults import Fault, InputFault
from settlement.instance import Instance
from settlement.invoices.decisions import ACTIONS
from settlement.invoices.reasons import FOUND_BY, REASONS


def paper(instance: Instance, document: Row) -> str:
    """The document itself, from the archive; returns what its sender is told if it breaks its standard, '' where it does not."""
    try:
        content = instance.archived(document["document_id"]).read_bytes()
        invoice = read_invoice(content)
        judged = verdict(content, Path(instance.invoices.schematron) if instance.invoices.schematron else None)
    except (Fault, OSError) as fault:
        st.error(str(fault) if isinstance(fault, Fault) else "Fakturaens fil mangler i arkivet.", icon=":material/block:")
        return f"Fakturaen er {UNKNOWN}. Send den igen i en af dem." if isinstance(fault, InputFault) else ""
    is_credit = invoice.kind == "kreditnota"
    parts.section(f"{'Kreditnota' if is_credit else 'Faktura'} {invoice.number}", " ".join(filter(None, [invoice.supplier.name])))
    parts.facts(
        [
            ("Fra", ", ".join([invoice.supplier.name, *invoice.supplier.address])),
            ("CVR", invoice.supplier.company_id or fmt.NONE),
            ("Til", f"{invoice.customer.name} ({invoice.customer.endpoint})"),
            ("Dato", fmt.day(invoice.issue_date)),
            ("Forfald", fmt.day(invoice.due_date)),
            *([("Periode", f"{fmt.day(invoice.period_from)} – {fmt.day(invoice.period_to)}")] if invoice.period_from else []),
            *([("Rekvisition", invoice.order_reference)] if invoice.order_reference else []),
            *([("Krediterer", ", ".join(invoice.corrects))] if invoice.corrects else []),
            *([("Tekst", invoice.note)] if invoice.note else []),
        ]
    )
    parts.sentences(
        [f"✔ Gyldig efter {judged.rule_set}."] if judged.is_valid
        else [f"✖ Ugyldig efter {judged.rule_set}:", *(f"{v.rule}: {v.message}" for v in judged.findings[:5])],
        name="invoice-verdict",
    )  # fmt: skip
    rows = [
        {
            "number": line.number, "what": _what(line), "quantity": line.quantity, "price": line.price,
            "amount": fmt.oere(line.amount_oere),
        }
        for line in invoice.lines
    ]  # fmt: skip
    parts.table(
        rows,
        [
            parts.Column("number", "Linje"),
            parts.Column("what", "Hvad"),
            parts.Column("quantity", "Antal", fmt.decimals_4, True),
            parts.Column("price", "Pris", lambda price: fmt.number(price, 2), True),
            parts.money("amount", "Beløb"),
        ],
        caption="Fakturaens linjer",
        name="paper",
        height=420,
    )
    parts.facts([(title, fmt.kroner(fmt.oere(amount))) for title, amount in _totals(invoice) if amount is not None])
    for attachment in invoice.attachments:
        if attachment.content is None:
            st.caption(f"Bilaget {attachment.name} kan ikke vises: {attachment.fault}")
        else:
            st.download_button(
                f"Hent bilag: {attachment.name}", attachment.content, attachment.name, attachment.mime, on_click="ignore",
                icon=":material/attach_file:", key=f"attachment-{document['document_id'][:8]}-{attachment.name}",
            )  # fmt: skip
    if judged.is_valid:
        return ""
    return f"Fakturaen overholder ikke {judged.rule_set}: {', '.join(judged.fatal_rules)}. Ret den, og send den igen."


def _what(line) -> str:
    period = f"{fmt.day(line.period_from)} – {fmt.day(line.period_to)}" if line.period_from else ""
    said = [line.item_name, line.note, *(f"{name}: {value}" for name, value in line.properties), period, line.order_reference]
    return " · ".join(dict.fromkeys(text for text in said if text))


def _totals(invoice: Invoice) -> list[tuple[str, int | None]]:
    return [("Uden moms", invoice.net_oere), ("Moms", invoice.vat_oere), ("Til betaling", invoice.payable_oere)]


def granted(document: Row, lines: list[Row], services: list[Row]) -> None:
    """Line by line what was granted, and why the line does not agree with it, where it does not."""
    parts.section("Det bevilgede", "Linje for linje, med det aftalte i de dage, fakturaen dækker.")
    if document["reason"] in REASONS and document["reason"]:
        title, todo = REASONS[document["reason"]]
        parts.sentences([f"{title}. {todo}"], name="invoice-reason")
    rows = []
    # What a person must look at stands first.
    for line in sorted(lines, key=lambda line: line["reason"] in ("", "betalt")):
        found = [s for s in services if s["line_number"] == line["line_number"]]
        why = REASONS[line["reason"]][0] if line["reason"] else f"✔ {FOUND_BY.get(line['found_by'], '')}"
        difference = None if line["expected_dkk"] is None else line["amount_dkk"] - line["expected_dkk"]
        rows.append({"line": line["line_number"], "what": why, "amount": line["amount_dkk"], "agreed": line["expected_dkk"],
                     "difference": difference})  # fmt: skip
        rows += [
            {
                "line": "", "what": _service(s),
                "agreed": s["agreed_dkk"], "remaining": s["remaining_dkk"], "amount": s["amount_dkk"] or None, "difference": None,
            }
            for s in found[:20]
        ]  # fmt: skip
    parts.table(
        rows,
        [
            parts.Column("line", "Linje"),
            parts.Column("what", "Hvad"),
            parts.money("amount", "Faktureret / betales"),
            parts.money("agreed", "Aftalt"),
            parts.money("difference", "Forskel", signed=True),
            parts.money("remaining", "Tilbage i måneden"),
        ],
        caption="Linjer og bevilgede ydelser",
        name="granted",
        total={"amount": sum((line["amount_dkk"] for line in lines), Decimal())},
        height=420,
    )


def _service(row: Row) -> str:
    said = (row["item_name"], row["name"], row["service_line_id"], fmt.month(row["delivery_month"]), row["account"])
    return " · ".join(text for text in said if text)


def decided(made: list) -> None:
    """The decisions that hold for the invoice."""
    if made:
        parts.sentences(
            [
                f"{d.decided_by}, {fmt.moment(d.decided_at)}: {'linje ' + d.line_number if d.line_number else 'fakturaen'} "
                f"{ACTIONS[d.action]}{' ' + d.service_line_id if d.service_line_id else ''}, fordi «{d.reason}»."
                for d in made
            ],
            name="invoice-decisions",
        )
