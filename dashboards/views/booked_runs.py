"""The second half of Afregning: booked runs, their documents and the files in the outbox."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.orm import Session

from dashboards import explained, parts
from dashboards import format as fmt
from dashboards import register_reading as reg
from dashboards.published import Row
from settlement.instance import Instance
from settlement.ledger import handover
from settlement.ledger.models import SettlementRun
from settlement.processes import INVOICES

FORMATS = {
    "pdf": ("PDF", "application/pdf"),
    "oioubl": ("OIOUBL-XML", "application/xml"),
    "opus": ("OPUS-omposteringsbilag (CSV)", "text/csv"),
    "fakturabetaling_opus": ("Fakturabetalinger til OPUS (CSV)", "text/csv"),
    "fakturabetaling_prisme": ("Fakturabetalinger til Prisme (G69)", "text/plain"),
    "fakturabetaling_oes": ("Fakturabetalinger til ØS Indsigt (CSV)", "text/csv"),
    "afviste_fakturaer": ("Afviste fakturaer (CSV)", "text/csv"),
}


def show(instance: Instance, engine) -> None:
    """Draws the runs, the chosen run's documents and the chosen document's files."""
    runs = reg.runs(engine)
    if not runs:
        parts.empty_state(
            "Ingen bogførte kørsler", "Når et forslag er godkendt og bogført, står kørslen og dens bilag her."
        )
        return
    rows = [
        run
        | {
            "what": f"{fmt.label(run['process'])}, {run['timing']}",
            "amount": fmt.oere(run["amount_oere"]),
            "vat": fmt.oere(run["vat_oere"]),
        }
        for run in runs
    ]
    parts.section("Kørsler", "Nyeste øverst. Bogførte linjer ændres aldrig; rettelser kommer som nye linjer.")
    parts.table(
        rows,
        [
            parts.Column("run_no", "Kørsel", figure=True),
            parts.Column("what", "Afregningsform"),
            parts.month("through", "Til og med"),
            parts.day("booking_date", "Bogført dato"),
            parts.count("documents", "Bilag"),
            parts.money("amount", "Beløb"),
            parts.money("vat", "Moms"),
            parts.Column("approved_by", "Godkendt af"),
            parts.Column("booked_by", "Bogført af"),
            parts.Column("hash", "Hoved", lambda h: h[:16]),
        ],
        caption="Bogførte kørsler",
        name="runs",
        height=260,
    )
    by_no = {run["run_no"]: run for run in rows}
    run_no = st.selectbox(
        "Kørsel",
        list(by_no),
        key="run",
        format_func=lambda n: (
            f"Kørsel {n} · {by_no[n]['what']} · {fmt.month(by_no[n]['through'])} · {fmt.kroner(by_no[n]['amount'])}"
        ),
    )
    _documents(instance, engine, run_no)


def _documents(instance: Instance, engine, run_no: int) -> None:
    documents = reg.documents(engine, run_no)
    items = reg.outbox(engine, run_no)
    with Session(engine) as session:
        if session.get(SettlementRun, run_no).proposal_id is not None:  # opening entries were never proposed, nor sent
            st.caption(handover.counted(session, run_no))
    parts.section("Bilag")
    text = st.text_input("Søg i bilagsnummer eller modpart", key="document-text").strip().lower()
    shown = [d for d in documents if text in f"{d['number']} {d['name']} {d['counterparty']}".lower()]
    parts.table(
        shown,
        [
            parts.Column("number", "Bilag"),
            parts.coded("kind", "Art"),
            parts.Column("name", "Modpart"),
            parts.day("issue_date", "Dato"),
            parts.day("due_date", "Forfald"),
            parts.money("amount", "Beløb"),
            parts.money("vat", "Moms"),
            parts.Column("files", "Filer"),
        ],
        caption=f"Bilag i kørsel {run_no}",
        name="documents",
        height=360,
        total={"amount": sum(d["amount"] for d in shown), "vat": sum(d["vat"] for d in shown)},
    )
    parts.section("Hent filer", "Filerne er skrevet én gang og er de samme, hver gang de hentes.")
    if shown:
        by_number = {d["number"]: d for d in shown}
        number = st.selectbox(
            "Bilag",
            list(by_number),
            format_func=lambda n: f"{n} · {by_number[n]['name']} · {fmt.kroner(by_number[n]['amount'])}",
            key="document",
        )
        _files(instance, [item for item in items if item["document_number"] == number])
        _explain(instance, engine, run_no, number)
    _files(instance, [item for item in items if item["document_number"] is None])


def _explain(instance: Instance, engine, run_no: int, number: str) -> None:
    """A booked line is explained by the proposal it was: the same lines and the same frozen facts."""
    with Session(engine) as session:
        run = session.get(SettlementRun, run_no)
    # What an earlier system charged was not computed here, and what an invoice is paid for stands beside the invoice.
    if run.proposal_id is None or run.process == INVOICES.name:
        return
    proposal_id = run.proposal_id
    lines = reg.document_lines(engine, run_no, number, parts.ROWS_SHOWN)
    explained.choose(instance, engine, lines, "amount", key="explain-booked", proposal_id=proposal_id)


def _format(form: str) -> tuple[str, str]:
    """A file's title and type; of one of several parts (fakturabetaling_prisme_2) the title says which."""
    if form in FORMATS:
        return FORMATS[form]
    whole, _, part = form.rpartition("_")
    title, mime = FORMATS[whole]
    return f"{title}, del {part}", mime


def _files(instance: Instance, items: list[Row]) -> None:
    with st.container(horizontal=True):
        for item in items:
            title, mime = _format(item["format"])
            path = instance.outbox / item["path"] if item["path"] else None
            if path is None or not path.exists():
                why = item["last_error"] or (
                    "Modparten har hverken EAN eller CVR. Send det i modparter, træk bilaget tilbage, og bogfør igen."
                    if item["status"] == "mangler_adresse"
                    else "Filen er ikke skrevet endnu."
                )
                parts.empty_state(f"{title}: {item['status'].replace('_', ' ')}", why, small=True)
                continue
            st.download_button(
                f"Hent {title}",
                path.read_bytes(),
                path.name,
                mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"file-{item['outbox_id']}",
            )
