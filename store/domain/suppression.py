"""Which addresses a message must not be sent to, for a list that a sender loads. Pure.

Every row comes from :func:`store.domain.decision.decide`, asked about one address at a time, so a list cannot differ from the decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from store.domain import reasons as why
from store.domain.channels import CLOSED_BY_CONSENT, EMAIL
from store.domain.contact import ContactPreferences
from store.domain.decision import decide
from store.domain.decision_request import SEND, Decision, DecisionRequest, KnownPatient, no_evidence
from store.domain.phone_numbers import mailbox
from store.domain.policies import Policy
from store.domain.sms_consent import OptOut, blocks
from store.preference import DENIED


class Suppression(NamedTuple):
    """An address that must not be used, with the reason code of the decision. ``since``: of an opt-out; an EMR's denial has none."""

    address: str
    reason: str
    since: datetime | None = None


def of_patient(request: DecisionRequest, known: KnownPatient, policy: Policy, now: datetime) -> Iterator[Suppression]:
    """The addresses of one patient to which the message would not be sent. ``request`` has one channel."""
    (channel,) = request.channels
    known = replace(known if known.at_later is None else known.at_later(now), at_later=None, evidence=no_evidence)
    for address, contact in _one_by_one(channel, known.contact):
        decision = decide(request, replace(known, contact=contact), policy, now)
        reason = _reason(channel, decision)
        if reason in why.UNREACHABLE and known.contact.consents.get(f"{channel}#{address}") == DENIED:
            reason = CLOSED_BY_CONSENT[channel]  # who has only the list may take a landline for a cell phone
        if decision.decision != SEND and reason not in why.UNREACHABLE:
            yield Suppression(address, reason, min((one.effective for one in decision.evidence if one.effective), default=None))


def of_opt_outs(request: DecisionRequest, opt_outs: Iterable[OptOut]) -> Iterator[Suppression]:
    """The addresses that opted out, also those that no patient has."""
    (channel,) = request.channels
    for one in opt_outs:
        if one.number and blocks(one, request.line, request.topic, channel, request.category):
            yield Suppression(one.number, CLOSED_BY_CONSENT[channel], one.at)


def by_address(found: Iterable[Suppression]) -> dict[str, Suppression]:
    """One row for each address, in order: of several, the one that is known longest."""
    kept: dict[str, Suppression] = {}
    for one in found:
        if one.address not in kept or _order(one) < _order(kept[one.address]):
            kept[one.address] = one
    return dict(sorted(kept.items()))


def _order(one: Suppression) -> tuple[bool, str, str]:
    return one.since is None, one.since.isoformat() if one.since else "", one.reason


def _reason(channel: str, decision: Decision) -> str:
    return next((one.reason for one in decision.skipped if one.channel == channel), next(iter(decision.reasons), ""))


def _one_by_one(channel: str, contact: ContactPreferences) -> Iterator[tuple[str, ContactPreferences]]:
    """Each address, and the preferences as if the patient had no other."""
    if channel == EMAIL:
        yield from ((mailbox(one), replace(contact, emails=(one,))) for one in contact.emails)
        return
    for phone in contact.phones:
        yield phone.number, replace(contact, phones=(phone,), preferred_phone=None)
