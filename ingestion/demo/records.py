"""The demo's cases in the words of DUBU and Sensum One: one function per kind of record, one row per delivery."""

from __future__ import annotations

from datetime import date

from ingestion.demo.case import Case, Line
from ingestion.demo.extracts import Extracts, Row
from ingestion.demo.finance_systems import kroner

SENSUM_STATUS = {"DRAFT": "Ansøgt", "GRANTED": "Visiteret", "CLOSED": "Ophørt", "CANCELLED": "Annulleret"}
SENSUM_PROCESS = {"": "", "udbetaling": "UDB", "personopkraevning": "EGEN", "beboerbetaling": "BEBO"}
TARGET_GROUPS = {"Udsatte voksne": "Psykisk vanskelighed", "Handicap": "Udviklingshæmning"}


def write_case(extracts: Extracts, case: Case) -> None:
    """Citizen, decision, dated payers and service lines, as known at each delivery."""
    if case.care.system == "dubu":
        _write_dubu(extracts, case)
    else:
        _write_sensum(extracts, case)


def number(units_e4: int, comma: str) -> str:
    """Ten-thousandths as a decimal number without superfluous zeros."""
    whole, rest = divmod(abs(units_e4), 10_000)
    decimals = f"{rest:04d}".rstrip("0")
    return ("-" if units_e4 < 0 else "") + str(whole) + (comma + decimals if decimals else "")


def _versions(extracts: Extracts, known: date, make) -> tuple[Row | None, Row | None]:
    """(row at the first delivery, row at the second), None where the record was not yet known."""
    return tuple(make(d, day) if known <= day else None for d, day in enumerate(extracts.dates))


def _write_dubu(extracts: Extracts, case: Case) -> None:
    care, known = case.care, case.main.known

    def citizen(delivery: int, day: date) -> Row:
        return {
            "cpr_number": case.cpr, "name": case.citizen_name,
            "address/street": delivery and case.moved_to or case.street,
            "address/postal_code": case.postal_code, "residence_municipality": case.lives_in.zfill(4),
            "address_protected": "true" if case.protected else "false", "guardian_cpr": case.guardian_cpr,
        }  # fmt: skip

    def decision(delivery: int, day: date) -> Row:
        return {
            "appropriation_id": case.number, "cpr_number": case.cpr,
            "section": f"{case.main.item.law} § {case.main.item.paragraph}",
            "target_group": "Handicapafdelingen" if care.department == "BU-HAN" else "Familieafdelingen",
            "team": care.department, "case_worker": case.worker, "acting_municipality": case.payer.zfill(4),
            "paying_municipality": case.payer.zfill(4), "granted_date": case.granted,
            "status": case.status_at(delivery, day),
            "requisition": case.requisition, "deleted": "false",
        }  # fmt: skip

    extracts.deliver("dubu", "borgere", *_versions(extracts, known, citizen))
    extracts.deliver("dubu", "bevillinger", *_versions(extracts, known, decision))
    for valid_from, valid_to, payer, delivery in case.payers:
        row = {"appropriation_id": case.number, "valid_from": valid_from, "valid_to": valid_to or ""}
        extracts.write("dubu", "betalere", delivery, row | {"paying_municipality": payer.zfill(4)})
    for line in case.lines:
        extracts.deliver(
            "dubu",
            care.dataset,
            *_versions(extracts, line.known, lambda d, day, line=line: dubu_line(case, line, d, day)),
        )


def dubu_line(case: Case, line: Line, delivery: int, day: date) -> Row:
    """A service in DUBU as known on a day."""
    private = line.offer is not None and line.offer.owner == "privat"
    row = {
        "activity_id": line.number, "appropriation_id": case.number, "details_id": line.item.code,
        "details_name": line.item.name, "place/place_id": line.offer.id if line.offer else "",
        "place/place_name": line.offer.name if line.offer else "", "activity_start_date": line.start,
        "activity_end_date": line.end_at(day) or "", "units": number(line.units_e4, "."),
        "payment_type": "ADVANCE" if line.advance else "ARREARS",
        "recipient_type": "PERSON" if line.process else "COMPANY" if private else "INTERNAL",
        "price_per_unit": "" if line.own_price_oere is None else kroner(line.own_price_oere).replace(",", "."),
        "claim": "REFUND_9C" if line.refund_9c else "PRICE", "account_string": line.account,
        "deleted": "true" if line.withdrawn and delivery else "false",
    }  # fmt: skip
    if line.process:
        weekly = line.item.unit == "uge"
        row |= {
            "recipient_id": line.payee_cpr,
            "payment_frequency": "WEEKLY" if weekly else "MONTHLY",
            "payment_day": 1,
        }
    return row


def _write_sensum(extracts: Extracts, case: Case) -> None:
    care, known, item = case.care, case.main.known, case.main.item

    def citizen(delivery: int, day: date) -> Row:
        return {
            "CPR-nr.": f"{case.cpr[:6]}-{case.cpr[6:]}", "Navn": case.citizen_name, "Postnr.": case.postal_code,
            "Adresse": delivery and case.moved_to or case.street, "Kommunenr.": case.lives_in,
            "Adressebeskyttelse": "J" if case.protected else "N", "Værges CPR-nr.": case.guardian_cpr,
        }  # fmt: skip

    def decision(delivery: int, day: date) -> Row:
        return {
            "Bevilling": case.number, "CPR-nr.": f"{case.cpr[:6]}-{case.cpr[6:]}",
            "Paragraf": f"{item.law} § {item.paragraph}",
            "Målgruppe": TARGET_GROUPS[item.area], "Afdeling": care.department, "Sagsbehandler": case.worker,
            "Handlekommune": case.payer, "Betalingskommune": case.payer, "Bevillingsdato": case.granted,
            "Tilstand": SENSUM_STATUS[case.status_at(delivery, day)], "Rekvisition": case.requisition, "Slettet": "0",
        }  # fmt: skip

    extracts.deliver("sensum", "borgere", *_versions(extracts, known, citizen))
    extracts.deliver("sensum", "bevillinger", *_versions(extracts, known, decision))
    for valid_from, valid_to, payer, delivery in case.payers:
        row = {"Bevilling": case.number, "Fra": valid_from, "Til": valid_to or "", "Betalingskommune": payer}
        extracts.write("sensum", "betalere", delivery, row)
    for line in case.lines:
        before, now = _versions(extracts, line.known, lambda d, day, line=line: sensum_line(case, line, d, day))
        extracts.deliver("sensum", "ydelser", before, now)
        if now is not None:
            _write_terms(extracts, case, line, 0 if before else 1)


def sensum_line(case: Case, line: Line, delivery: int, day: date) -> Row:
    """A service in Sensum One as known on a day."""
    return {
        "Ydelse": line.number, "Bevilling": case.number, "Ydelseskode": line.item.code,
        "Tilbud": line.offer.id if line.offer else "", "Afregning": SENSUM_PROCESS[line.process], "Start": line.start,
        "Slut": line.end_at(day) or "", "Antal": number(line.units_e4, ","), "Betales": "F" if line.advance else "B",
        "Konto": line.account, "Krav": "R" if line.refund_9c else "T",
        "Slettet": "1" if line.withdrawn and delivery else "0",
    }  # fmt: skip


def _write_terms(extracts: Extracts, case: Case, line: Line, delivery: int) -> None:
    if line.own_price_oere is not None:
        row = {"Ydelse": line.number, "Fra": line.start, "Pris": kroner(line.own_price_oere)}
        extracts.write("sensum", "priser", delivery, row)
    if line.process == "udbetaling":
        row = {
            "Ydelse": line.number, "Aftale": "U", "Frekvens": "maanedlig", "Dag": 1, "Modtagertype": "B",
            "Modtager": line.payee_cpr,
            "Tekst": line.item.name,
        }  # fmt: skip
        extracts.write("sensum", "betalingsaftaler", delivery, row)
    elif line.process:
        row = {
            "Ydelse": line.number, "Aftale": "O", "Betalers CPR-nr.": case.cpr, "BS-aftale": f"{case.number:09d}",
            "Tekst": line.item.name,
        }  # fmt: skip
        extracts.write("sensum", "betalingsaftaler", delivery, row)


def write_dated_account(extracts: Extracts, line: Line, valid_from: date, account: str) -> None:
    """An account from a date on."""
    delivery = int(line.known > extracts.dates[0])
    extracts.write("sensum", "konteringer", delivery, {"Ydelse": line.number, "Fra": valid_from, "Konto": account})


def write_absence(extracts: Extracts, line: Line, first: date, last: date, known: date, reason: str) -> None:
    """An absence spell; its last day is known once it has passed."""

    def spell(delivery: int, day: date) -> Row:
        return {"Ydelse": line.number, "Fra": first, "Til": last if last <= day else "", "Årsag": reason}

    extracts.deliver("sensum", "fravaer", *_versions(extracts, max(known, line.known), spell))


def write_registration(
    extracts: Extracts, case: Case, line: Line, registration: int, day: date, units_e4: int, delivery: int
) -> None:
    """Delivered units on a day."""
    if case.care.system == "dubu":
        row = {"delivery_id": registration, "activity_id": line.number, "date": day, "units": number(units_e4, ".")}
    else:
        row = {"Registrering": registration, "Ydelse": line.number, "Dato": day, "Antal": number(units_e4, ",")}
    extracts.write(case.care.system, "registreringer", delivery, row)
