"""Lists of allowed channels: an EMR that names those it may use, per patient or per kind of communication. Pure.

``topic.appointments.*: {from: PATH, values: {Email: email, Text: sms, Phone: voice, Mail: other, "Do not contact": none}, others: denied}``
is one rule for each channel. A channel that the list names is granted. What the list does not name is denied only where the mapping
says so (``others: denied``); it is taken back with ``others: clear``, and says nothing without either. A code that means ``none``
denies every channel, whatever else the list names; one that means ``other`` is a channel that is not ours (letters, fax), so that the
list is known and stated. An absent list is no statement.
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


class UnreadableList(ValueError):
    """A list that cannot be read. ``attribute`` names it as it was written."""

    def __init__(self, attribute: str, message: str) -> None:
        self.attribute = attribute
        super().__init__(message)


def expanded(mapping: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The mapping, in which each list became a rule per channel. What is written for one channel stands over its list."""
    made: dict[str, Mapping[str, Any]] = {}
    for attribute, rule in mapping.items():
        if attribute.endswith(ANY):
            _check(attribute, rule)
            own = {key: value for key, value in rule.items() if key != "written_as"} | {"written_as": attribute}
            made |= {f"{attribute[:-1]}{channel.value}": own | {"allows": channel.value} for channel in Channel}
    return made | {attribute: rule for attribute, rule in mapping.items() if not attribute.endswith(ANY)}


def _check(attribute: str, rule: Mapping[str, Any]) -> None:
    if attribute != CONSENT + "*" and not (attribute.startswith(TOPIC) and attribute.count(".") == 2):
        raise UnreadableList(attribute, "cannot be a list of channels: write consent.* or topic.<name>.*")
    values = rule.get("values")
    if not isinstance(values, Mapping) or not values:
        raise UnreadableList(attribute, "needs 'values': the meaning of each code in the list, one of " + ", ".join(MEANINGS))
    wrong = next((meaning for meaning in map(_word, values.values()) if meaning not in MEANINGS), None)
    if wrong is not None:
        raise UnreadableList(attribute, f"a code of the list cannot mean {wrong!r}: use one of {', '.join(MEANINGS)}")
    if (rule.get("others") or NO_STATEMENT) not in OTHERS:
        raise UnreadableList(attribute, f"others is {rule['others']!r}: use one of {', '.join(OTHERS)}")
    if rule.get("aggregate"):
        raise UnreadableList(attribute, "a list of channels has no aggregate: use 'others' for channels that are not listed")


def under(preset: Mapping[str, Mapping[str, Any]], site: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The preset's rules that the site's lists leave standing: a list of the site's stands over each channel of the preset's."""
    covered = {f"{attribute[:-1]}{channel.value}" for attribute in site if attribute.endswith(ANY) for channel in Channel}
    return {attribute: rule for attribute, rule in preset.items() if attribute not in covered}


def table(values: Mapping[Any, Any]) -> dict[str, str]:
    """Codes -> meanings; a code matches as written, else without regard to case."""
    made = {str(code).lower() if isinstance(code, bool) else str(code): _word(meaning) for code, meaning in values.items()}
    return {code.casefold(): meaning for code, meaning in made.items()} | made


def _word(meaning: Any) -> str:
    """YAML's unquoted ``no`` is a way to write ``none``."""
    text = str(meaning).lower() if isinstance(meaning, bool) else str(meaning)
    return NONE if text in ("no", "false") else text


def reduce_to(channel: str, others: str | None) -> Aggregate:
    """What a list states about one channel."""
    return partial(_said, channel, others or NO_STATEMENT)


def _said(channel: str, others: str, listed: Sequence[Statement], worst: Any) -> Statement | None:
    refused = next((one for one in listed if one.value in (NONE, DENIED)), None)
    if refused is not None:
        return Statement(DENIED, refused.path)
    read = [one for one in listed if one.value is not None]
    named = next((one for one in read if one.value == channel), None)
    if not read or (named is not None and len(read) < len(listed)):
        return Statement(None, listed[0].path)  # deleted, or a part of it could not be read: no permission to rely on
    if named is not None:
        return Statement(GRANTED, named.path)
    return None if others == NO_STATEMENT else Statement(DENIED if others == DENIED else None, listed[0].path)
