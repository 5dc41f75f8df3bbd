"""Reads the addresses of an enterprise that a message must not be sent to (``store.domain.suppression``), a page of patients at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.ids import shown
from store.domain.patient import PatientRef
from store.domain.sms_consent import OptOut
from store.domain.suppression import Suppression, by_address, of_opt_outs, of_patient
from store.patients.opt_out_report import Wanted, opted_out
from store.patients.preferences import Preferences

PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
PAGE = 1_000


def suppressions(store: Preferences, enterprise: str, request: DecisionRequest, now: datetime) -> dict[str, Suppression]:
    """Every address that must not be used for this message, by address. ``request`` has one channel.

    A change that is committed while this reads may be missing; the next list has it.
    """
    return by_address([*_of_patients(store, enterprise, request, now), *of_opt_outs(request, _opt_outs(store, enterprise, request))])


def _of_patients(store: Preferences, enterprise: str, request: DecisionRequest, now: datetime) -> Iterator[Suppression]:
    policy, after = store.settings.get(enterprise).policy, 0
    while True:
        with store.database.read() as connection:
            page = [row[0] for row in store.database.select(connection, PATIENTS, [enterprise, after, PAGE])]
        for known in store.known(enterprise, [PatientRef(id=shown(number)) for number in page], now):
            if isinstance(known, KnownPatient):
                yield from of_patient(request, known, policy, now)
        if len(page) < PAGE:
            return
        after = page[-1]


def _opt_outs(store: Preferences, enterprise: str, request: DecisionRequest) -> Iterator[OptOut]:
    (channel,) = request.channels
    for one in opted_out(store.database, enterprise, Wanted(channel=channel)):
        yield OptOut(one.line, one.number, one.scope, one.topic, one.authority, one.at, one.except_lines, channel, one.in_reply_to)
