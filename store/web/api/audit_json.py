"""Audit data as JSON, for HTTP and the command line: a patient at an earlier time, an entry of a chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from store.audit.hash_chain import Link
from store.domain.attributes import in_order
from store.domain.sms_consent import display
from store.patients.as_of import AsOf
from store.web.api.facesheet import ChannelOptOutOut, OptOutOut, PreferenceOut, channel_opt_outs, opt_outs_out, preference_out


class AsOfOut(Struct, frozen=True):
    """A patient as known at the time ``as_of``, each value with its evidence."""

    id: str
    as_of: datetime
    version: int
    preferences: dict[str, PreferenceOut]
    sms_consent: str
    opted_out: tuple[OptOutOut, ...]
    other_channels: tuple[ChannelOptOutOut, ...] = ()


class AuditOut(Struct, frozen=True):
    """One entry of the audit log. ``hash`` covers the entry and all entries before it."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Any
    hash: str


def as_of_out(found: AsOf) -> AsOfOut:
    """A patient at an earlier time, as JSON."""
    values = {name: preference_out(name, found.preferences.get(name)) for name in in_order(found.preferences)}
    opted_out = opt_outs_out(found.contact, found.opt_outs)
    others = channel_opt_outs(found.contact, found.opt_outs)
    return AsOfOut(found.id, found.at, found.version, values, display(found.contact, found.opt_outs), opted_out, others)


def audit_out(one: Link) -> AuditOut:
    """An entry of a chain, as JSON."""
    line = one.line
    return AuditOut(one.number, line.at, line.actor, line.action, line.subject, msgspec.json.decode(line.detail), one.hash)
