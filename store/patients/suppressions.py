"""Reads the addresses of an enterprise that a message must not be sent to (``store.domain.suppression``), a page of patients at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.ids import shown
from store.domain.patient import PatientRef
from store.domain.sms_consent import OptOut
from store.domain.suppression import Suppression, by_address, of_opt_outs, of_patient
from store.patients.opt_out_report import Wanted, opted_out
from store.patients.preferences import Preferences

PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
LAST_CHANGE = "SELECT COALESCE(MAX(seq), 0) FROM changes WHERE enterprise = ?"
PAGE = 1_000


def suppressions(store: Preferences, enterprise: str, request: DecisionRequest, now: datetime) -> dict[str, Suppression]:
    """Every address that must not be used for this message, by address. ``request`` has one channel.

    Patients who change while this reads are read again: a refused number may have gone from one who was still to be read to one who was
    read before. A change that is committed later is in the next list.
    """
    with store.database.read() as connection:
        ((seq,),) = store.database.select(connection, LAST_CHANGE, [enterprise])
    pages = chain(_all_patients(store, enterprise), _changed(store, enterprise, seq))
    patients = (one for page in pages for one in _suppressed(store, enterprise, request, now, page))
    return by_address([*patients, *of_opt_outs(request, _opt_outs(store, enterprise, request))])


def _all_patients(store: Preferences, enterprise: str) -> Iterator[list[str]]:
    after = 0
    while True:
        with store.database.read() as connection:
            page = [row[0] for row in store.database.select(connection, PATIENTS, [enterprise, after, PAGE])]
        yield [shown(number) for number in page]
        if len(page) < PAGE:
            return
        after = page[-1]


def _changed(store: Preferences, enterprise: str, after: int) -> Iterator[list[str]]:
    while page := store.changes(enterprise, after, PAGE):
        yield sorted({one.patient_id for one in page})
        after = page[-1].seq


def _suppressed(store: Preferences, enterprise: str, request: DecisionRequest, now: datetime, patients: list[str]) -> Iterator[Suppression]:
    policy = store.settings.get(enterprise).policy
    for known in store.known(enterprise, [PatientRef(id=one) for one in patients], now):
        if isinstance(known, KnownPatient):
            yield from of_patient(request, known, policy, now)


def _opt_outs(store: Preferences, enterprise: str, request: DecisionRequest) -> Iterator[OptOut]:
    (channel,) = request.channels
    for one in opted_out(store.database, enterprise, Wanted(channel=channel)):
        yield OptOut(one.line, one.number, one.scope, one.topic, one.authority, one.at, one.except_lines, channel, one.in_reply_to)
