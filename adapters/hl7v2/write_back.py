"""Writes a patient's opt-out to an EMR as an ADT^A31 (update person information) over MLLP.

The message has the patient's own identifier and the one field that denies. Every other field is unvalued, which means no change; ``""``
would delete (HL7 v2.5 2.5.3.3). An EMR acknowledges what it took; a message that is sent again has the same control id and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from adapters.address import address
from adapters.base import AdapterError, Refusal, SourceSettings, Unanswered, all_written
from adapters.hl7v2 import tls
from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.framing import FrameError
from adapters.hl7v2.schema import FIELD
from store.preference import Identifier

ESCAPES = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "&": "\\T\\"})
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ACCEPTED, REJECTED, ERRORS = ("AA", "CA"), ("AR", "CR"), ("AE", "CE")
TIMEOUT = 30.0
UNKNOWN = "the source does not know the patient by its own identifier"


@dataclass(frozen=True, slots=True)
class DenyingField:
    """The field that denies, and its code: ``PD1-11.1`` and ``01``."""

    field: str
    code: str


class A31Sink:
    """Sends opt-outs to one listener of the EMR. ``options``: ``connect``, ``tls``, ``application`` and ``facility`` of the receiver."""

    def __init__(self, settings: SourceSettings, attributes: Mapping[str, DenyingField], options: Mapping[str, Any]) -> None:
        self.settings, self.attributes, self.options = settings, attributes, options
        trust = options.get("tls") or {}
        self.timeout = TIMEOUT
        self.tls, self.server_name = tls.connecting(trust), str(trust.get("server_name") or "")

    def write(self, refusal: Refusal) -> bool:
        """Returns ``True`` when the EMR acknowledged the opt-out. Raises :class:`~adapters.base.AdapterError`."""
        known = [one for one in refusal.identifiers if self._is_own(one.authority, one.type)]
        if not known:
            raise AdapterError(UNKNOWN, permanent=True)
        return all_written(partial(self._deny, refusal, number, one) for number, one in enumerate(known))

    def _deny(self, refusal: Refusal, number: int, one: Identifier) -> bool:
        control = f"ES{refusal.key[:16]}{number:02d}"
        cx = "^".join((_escaped(one.value), "", "", _escaped(self.settings.authority), _escaped(one.type)))
        self._send(message(cx, self.attributes[refusal.attribute], control, datetime.now(UTC), self.options), control)
        return True

    def _is_own(self, authority: str, kind: str) -> bool:
        types = [one.casefold() for one in self.settings.identifier_types]
        return authority.casefold() == self.settings.own_authority.casefold() and (not types or kind.casefold() in types)

    def _send(self, body: bytes, control: str) -> None:
        where = address(self.options["connect"])
        try:  # the texts of these errors may name the peer
            client = MllpClient(where.host, where.port, self.timeout, self.tls, self.server_name)
        except OSError as error:
            raise AdapterError(f"the EMR's listener cannot be reached ({type(error).__name__})") from None
        try:
            with client:
                code, answered = acknowledgement(client.send(body))
        except (OSError, FrameError) as error:
            raise Unanswered(f"the EMR's listener did not acknowledge ({type(error).__name__})") from None
        if answered != control or not code:
            raise Unanswered("the EMR's listener acknowledged another message")
        if code in REJECTED:
            raise AdapterError(f"the EMR's listener answered {code}")
        if code not in ACCEPTED:
            known = code if code in ERRORS else "an unknown code"  # anything else may be about a patient
            raise AdapterError(f"the EMR's listener answered {known}", permanent=True)


def message(cx: str, denial: DenyingField, control: str, at: datetime, options: Mapping[str, Any]) -> bytes:
    """The A31. ``cx``: PID-3, escaped."""
    time = at.strftime("%Y%m%d%H%M%S+0000")
    receiver = "|".join(_escaped(str(options.get(name) or "")) for name in ("application", "facility"))
    segments = [rf"MSH|^~\&|EMR-SYNC||{receiver}|{time}||ADT^A31^ADT_A05|{control}|P|2.5||||||UNICODE UTF-8", f"EVN|A31|{time}"]
    own, visit = _segment(denial), "PV1|1|N"  # ADT_A05 requires PV1; class N: there is no visit
    rest = [visit, own] if own.startswith("Z") else [own, visit]
    return ("\r".join([*segments, f"PID|1||{cx}", *rest]) + "\r").encode()


def acknowledgement(body: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2; both empty if there is no MSA."""
    for segment in body.decode("latin-1").split("\r"):
        fields = segment.split("|")
        if fields[0] == "MSA" and len(fields) > 2:
            return fields[1].strip(), fields[2].strip()
    return "", ""


def _segment(denial: DenyingField) -> str:
    match = FIELD.fullmatch(denial.field)
    if match is None:
        raise ValueError("field must be written like PD1-11.1")
    name, field, component = match[1], int(match[2]), int(match[3] or 1)
    return f"{name}{'|' * field}{'^' * (component - 1)}{denial.code}"


def _escaped(text: str) -> str:
    return CONTROL.sub("", text).translate(ESCAPES)
