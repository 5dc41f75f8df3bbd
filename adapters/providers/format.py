"""How a provider's webhooks are signed and read: what a preset says. Frozen values, without behaviour.

A *path* leads from an item to a field: names separated by dots, with ``[0]`` for the first of a list (``data.payload.to[0]``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

FORM, JSON, EITHER = "form", "json", "either"
PRESENT, ABSENT = "*", ""
"""Values of ``when``: a field that has any value, and one that has none."""

LINE, LINE_GROUP = "line", "line_group"


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a provider says that it took a text for an opt-out or an opt-in, and its words for them (any case)."""

    path: str
    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventRule:
    """One kind of event: a ``reply`` of a patient, or a ``refusal`` to send to one who opted out.

    ``when``: path -> the values it must have, all of them. ``patient`` and ``line`` are the paths of the two numbers. ``refused``: the
    codes at ``code`` that mean an opt-out; other codes are ignored. ``international``: the
    patient's number has its country code, also without a plus.
    """

    kind: str
    when: Mapping[str, tuple[str, ...]]
    id: str
    patient: str
    line: str
    text: str = ""
    time: str = ""
    time_format: str = "iso"
    hint: Hint | None = None
    code: str = ""
    refused: tuple[str, ...] = ()
    international: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """How requests are signed. ``scheme`` is one of ``adapters.providers.signatures.SCHEMES``; the other fields depend on it.

    ``header``: where a signature is, in one or several places. ``signed``: the parts of the signed text, ``joined`` by this.
    ``separator``: between several signatures in a header. ``tolerance``: how old a signed time may be.
    """

    scheme: str
    algorithm: str = "sha256"
    header: tuple[str, ...] = ()
    encoding: str = "base64"
    signed: tuple[str, ...] = ()
    joined: str = ""
    separator: str = ""
    prefix: str = ""
    timestamp: str = ""
    nonce: str = ""
    key_header: str = ""
    body_hash_parameter: str = ""
    issuer: str = ""
    url_hash: str = ""
    body_hash: str = ""
    tolerance: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What the provider wants to hear after its event was committed."""

    status: int = 200
    media: str = "text/plain"
    body: str = ""


@dataclass(frozen=True, slots=True)
class ProviderFormat:
    """A preset. ``items``: the path of the list of items; empty if the body is one item, or a list itself.

    ``ignored``: path -> values of events that are not about consent, such as receipts of delivery. ``envelope`` ``sns``: the item is JSON
    inside the ``Message`` of Amazon SNS.
    """

    name: str
    title: str
    body: str
    events: tuple[EventRule, ...]
    verify: Recipe
    items: str = ""
    envelope: str = ""
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answer: ProviderAnswer = ProviderAnswer()
    scope: str = LINE
