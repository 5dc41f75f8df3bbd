"""Lists of allowed channels: some EMRs list the permitted channels, per patient or per kind of communication. Pure.

An example is Epic's list of approved media per communication concept (tables COMMUNICATION_PREFERENCES and COMM_PREFERENCES_APRV of the EHI
export, open.epic.com/EHITables).

``topic.appointments.*: {from: PATH, values: {Email: email, Text: sms, Phone: voice, Mail: other, "Do not contact": none}, others: denied}``
becomes one rule per channel. Channels in the list are granted. ``others`` decides about channels that are not in the list: ``denied``
denies them, ``clear`` clears them, and by default nothing is stated about them. A code that means ``none`` denies every channel,
whatever else is in the list. A code that means ``other`` is a channel that the service does not use (letters, fax), so the list has
a known code. An absent list states nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from adapters.mapping.aggregation import Aggregate
from store.preference import CONSENT, DENIED, GRANTED, TOPIC, Channel, Statement

ANY = ".*"
AGGREGATE = "allow_list"
NONE, OTHER, NO_STATEMENT = "none", "other", "no_statement"
OTHERS = (NO_STATEMENT, "clear", DENIED)
MEANINGS = (*(channel.value for channel in Channel), NONE, OTHER, NO_STATEMENT)


class ListRuleError(ValueError):
    """A list rule with an error. ``attribute`` is its name as written."""

    def __init__(self, attribute: str, message: str) -> None:
        self.attribute = attribute
        super().__init__(message)


def expanded(mapping: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The mapping with each list replaced by one rule per channel. A rule for a single channel overrides the list."""
    rules: dict[str, Mapping[str, Any]] = {}
    for attribute, rule in mapping.items():
        if attribute.endswith(ANY):
            _check(attribute, rule)
            own = {key: value for key, value in rule.items() if key != "written_as"} | {"written_as": attribute}
            rules |= {f"{attribute[:-1]}{channel.value}": own | {"allows": channel.value} for channel in Channel}
    return rules | {attribute: rule for attribute, rule in mapping.items() if not attribute.endswith(ANY)}


def _check(attribute: str, rule: Mapping[str, Any]) -> None:
    if attribute != CONSENT + "*" and not (attribute.startswith(TOPIC) and attribute.count(".") == 2):
        raise ListRuleError(attribute, "cannot be a list of channels: write consent.* or topic.<name>.*")
    values = rule.get("values")
    if not isinstance(values, Mapping) or not values:
        raise ListRuleError(attribute, "needs 'values': the meaning of each code in the list, one of " + ", ".join(MEANINGS))
    wrong = next((meaning for meaning in map(_meaning, values.values()) if meaning not in MEANINGS), None)
    if wrong is not None:
        raise ListRuleError(attribute, f"a code of the list cannot mean {wrong!r}: use one of {', '.join(MEANINGS)}")
    if (rule.get("others") or NO_STATEMENT) not in OTHERS:
        raise ListRuleError(attribute, f"others is {rule['others']!r}: use one of {', '.join(OTHERS)}")
    if rule.get("aggregate"):
        raise ListRuleError(attribute, "a list of channels has no aggregate: use 'others' for channels that are not listed")


def under(preset: Mapping[str, Mapping[str, Any]], site: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The preset's rules that the site's lists do not override. A list of the site overrides the preset's rule of each channel."""
    covered = {f"{attribute[:-1]}{channel.value}" for attribute in site if attribute.endswith(ANY) for channel in Channel}
    return {attribute: rule for attribute, rule in preset.items() if attribute not in covered}


def table(values: Mapping[Any, Any]) -> dict[str, str]:
    """Codes -> meanings. A code matches as written, otherwise without regard to case."""
    meanings = {str(code).lower() if isinstance(code, bool) else str(code): _meaning(meaning) for code, meaning in values.items()}
    return {code.casefold(): meaning for code, meaning in meanings.items()} | meanings


def _meaning(meaning: Any) -> str:
    """The meaning as text. YAML reads an unquoted ``no`` as false; it means ``none``."""
    text = str(meaning).lower() if isinstance(meaning, bool) else str(meaning)
    return NONE if text in ("no", "false") else text


def reduce_to(channel: str, others: str | None) -> Aggregate:
    """An aggregate that reduces a list to the statement about one channel."""
    return partial(_channel_statement, channel, others or NO_STATEMENT)


def _channel_statement(channel: str, others: str, listed: Sequence[Statement], worst: Any) -> Statement | None:
    refused = next((one for one in listed if one.value in (NONE, DENIED)), None)
    if refused is not None:
        return Statement(DENIED, refused.path)
    read = [one for one in listed if one.value is not None]
    named = next((one for one in read if one.value == channel), None)
    if not read or (named is not None and len(read) < len(listed)):
        return Statement(None, listed[0].path)  # deleted or partly unreadable: no permission can be derived from it
    if named is not None:
        return Statement(GRANTED, named.path)
    return None if others == NO_STATEMENT else Statement(DENIED if others == DENIED else None, listed[0].path)
