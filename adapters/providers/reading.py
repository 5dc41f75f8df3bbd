"""Items of a provider's webhook -> replies and refusals, by the rules of a preset. Pure.

What cannot be used keeps its reason and its content, so that a person can see and replay it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from adapters.providers.format import ABSENT, PRESENT, EventRule, Hint, ProviderFormat
from adapters.providers.request import MOST_ITEMS, BodyUnreadable, json_value
from store.provider_event import REPLY, START, STOP, ProviderEvent

STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,4})\]")
LONGEST_TEXT = 10_000
ENCODED = re.compile(r"[A-Za-z0-9+/]{58,}={0,2}", re.ASCII)
"""A text that may be base64. Nobody writes so many letters without a space."""
UNKNOWN_EVENT = "event_unknown"
LATEST_SECONDS = 253_402_300_799  # the end of the year 9999
NOTIFICATION = "Notification"


class UnusableEvent(NamedTuple):
    """An item that cannot be used, why, and the item itself as JSON."""

    reason: str
    detail: str
    path: str
    payload: bytes


class IgnoredEvent(NamedTuple):
    """An item that is not about consent."""


Event = ProviderEvent | UnusableEvent | IgnoredEvent


def read_content(found: ProviderFormat, content: Any, raw: bytes) -> Iterator[Event]:
    """The events of a body, in order. ``raw`` is kept where the body as a whole cannot be used."""
    try:
        items = _items(found, content)
    except BodyUnreadable as error:
        yield UnusableEvent(error.reason, str(error), "", raw)
        return
    for item in items:
        yield read_item(found, item)


def read_item(found: ProviderFormat, item: Any) -> Event:
    """The event of one item."""
    payload = json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")
    if not isinstance(item, dict):
        return UnusableEvent("item_is_no_object", "an item of the body has no fields", found.items, payload)
    rule = next((rule for rule in found.events if _fits(item, rule)), None)
    if rule is not None:
        return _event(found, rule, item, payload)
    if any(value_at(item, path) in values for path, values in found.ignored.items()):
        return IgnoredEvent()
    return UnusableEvent(UNKNOWN_EVENT, "no rule of the preset reads this kind of event", "", payload)


def _items(found: ProviderFormat, content: Any) -> list[Any]:
    if found.envelope:
        content = _unwrapped(content)
    items = at_path(content, found.items) if found.items else content
    if items is None:
        raise BodyUnreadable("items_missing", f"the body has no {found.items}")
    listed = items if isinstance(items, list) else [items]
    if len(listed) > MOST_ITEMS:
        raise BodyUnreadable("too_many_items", f"the body has more than {MOST_ITEMS} items")
    return listed


def _unwrapped(content: Any) -> Any:
    """The message inside an SNS notification, with the notification's own time and id."""
    if not isinstance(content, dict) or content.get("Type") != NOTIFICATION:
        raise BodyUnreadable("not_a_notification", "the SNS message is not a notification")
    inner = json_value(str(content.get("Message", "")).encode("utf-8", "replace"))
    if not isinstance(inner, dict):
        raise BodyUnreadable("message_is_no_object", "the Message of the SNS notification has no fields")
    return {**inner, "sns": {name: content.get(name) for name in ("MessageId", "Timestamp")}}


def _fits(item: Mapping[str, Any], rule: EventRule) -> bool:
    return all(_has(value_at(item, path), values) for path, values in rule.when.items())


def _has(value: str, wanted: tuple[str, ...]) -> bool:
    return value in wanted or (PRESENT in wanted and value != ABSENT)


def _event(found: ProviderFormat, rule: EventRule, item: dict[str, Any], payload: bytes) -> Event:
    code = value_at(item, rule.code)
    if rule.kind != REPLY and code not in rule.refused:
        return IgnoredEvent()
    patient, line = _plain(value_at(item, rule.patient)), _plain(value_at(item, rule.line))
    if not patient:
        return UnusableEvent("number_missing", f"{rule.patient} is missing or empty", rule.patient, payload)
    if rule.text and isinstance(at_path(item, rule.text), list | dict):
        return UnusableEvent("text_unreadable", f"{rule.text} is a list or an object, not a text", rule.text, payload)
    text = _storable(_decoded(value_at(item, rule.text)))
    if len(text) > LONGEST_TEXT:
        return UnusableEvent("text_too_long", f"{rule.text} is longer than {LONGEST_TEXT} characters", rule.text, payload)
    at, at_unreadable = _time(rule, item)
    number = value_at(item, rule.id)
    identity = json.dumps([found.name, rule.kind, number, patient, line, text, code])
    key = hashlib.sha256(identity.encode()).hexdigest() if number else ""
    hint = _hint(rule.hint, item) if rule.hint else None
    return ProviderEvent(rule.kind, key, patient, rule.international, line, text, at, at_unreadable, hint, code, payload)


def _hint(hint: Hint, item: Mapping[str, Any]) -> str | None:
    word = value_at(item, hint.path).strip().upper()
    return STOP if word in hint.stop else START if word in hint.start else None


def _decoded(text: str) -> str:
    """The text, also if it came in base64, as a long one from Twilio may (nyaruka/courier ``DecodePossibleBase64``)."""
    found = re.sub(r"[\r\n]", "", text.strip())
    if ENCODED.fullmatch(found) is None:
        return text
    try:
        decoded = base64.b64decode(found, validate=True).decode()
    except ValueError:
        return text
    return decoded if decoded.replace("\r", "").replace("\n", "").isprintable() else text


def _plain(text: str) -> str:
    return _storable(text).strip()


def _storable(text: str) -> str:
    """The text without NUL and lone surrogates (half of an emoji): no database takes them, and an opt-out is not lost to them."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _time(rule: EventRule, item: Mapping[str, Any]) -> tuple[datetime | None, bool]:
    """The time of an event, and whether there is one that cannot be read: a list or an object is one, too."""
    text = value_at(item, rule.time)
    if not text:
        return None, bool(rule.time) and isinstance(at_path(item, rule.time), list | dict)
    try:
        at = TIMES[rule.time_format](text)
    except (ValueError, OverflowError):
        return None, True
    return (at, False) if at.tzinfo is not None else (None, True)


def value_at(item: Any, path: str) -> str:
    """The value at a path as text; empty if it is missing, or is no single value."""
    found = at_path(item, path) if path else None
    if isinstance(found, bool) or found is None:
        return "" if found is None else str(found).lower()
    return str(found) if isinstance(found, str | int | float) else ""


def at_path(item: Any, path: str) -> Any:
    """What is at a path; ``None`` if it is missing."""
    for name, place in STEP.findall(path):
        if place and isinstance(item, list) and int(place) < len(item):
            item = item[int(place)]
        elif name and isinstance(item, dict):
            item = item.get(name)
        else:
            return None
    return item


def _seconds(text: str, unit: int = 1) -> datetime:
    seconds = float(text) / unit
    if not 0 <= seconds <= LATEST_SECONDS:
        raise ValueError("outside the calendar")
    return datetime.fromtimestamp(seconds, UTC)


def _compact(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


TIMES: Mapping[str, Callable[[str], datetime]] = {
    "iso": datetime.fromisoformat,
    "unix": _seconds,
    "unix_ms": lambda text: _seconds(text, 1000),
    "utc": _utc,
    "compact_utc": _compact,
}
"""The forms of time: ISO 8601 with an offset, seconds or milliseconds since 1970, and UTC as digits with or without punctuation."""
