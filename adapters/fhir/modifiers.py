"""Modifier extensions and implicit rules: one that is not understood may reverse the meaning of the element it is in. Pure.

FHIR allows them in some elements only, and forbids processing an element with one that is not understood (FHIR R4 2.4.2; implicitRules:
2.27.3). Here one counts in any element, even where FHIR allows none: that element is unreadable and permits nothing, but a refusal in it
is applied. A site lists those that do not matter to it (``understood``). One that a rule of its mapping reads is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from adapters.mapping.rules import Rule

REASON, DETAIL = "modifier_not_understood", "it may change the meaning of the record: add it to 'understood' if it does not matter"
MODIFIER, RULES = "modifierExtension", "implicitRules"
_QUOTED, _WORD = re.compile(r"'(?:[^'\\]|\\.)*'"), re.compile(r"[A-Za-z]\w*")

Understood = frozenset[str]


def understood(named: Iterable[str], rules: Iterable[Rule]) -> Understood:
    """The URLs that the site lists, and those in quotes in its rules."""
    quoted = {part for rule in rules for path in rule.paths for part in path.split("'")[1::2]}
    return frozenset(named) | quoted


def not_understood(element: Any, path: str, known: Understood) -> list[str]:
    """The paths of the modifiers that are not understood in an element or a resource, at any depth."""
    return list(_unknown(element, path, known)) if _carries_any(element) else []


def may_be_in(body: bytes) -> bool:
    """Whether the bytes of a resource may contain a modifier: by its name, or by a name of which a letter is written as an escape."""
    return b"modifierE" in body or b"implicitR" in body or (b"\\" in body and b"\\u00" in body)


def reads(rule: Rule, element: str) -> bool:
    """Whether a rule's expression names this element, or the choice element that it is one form of (``deceased``)."""
    words = {word for path in rule.paths for word in _WORD.findall(_QUOTED.sub("", path))}
    return any(element == word or (element.startswith(word) and element[len(word)].isupper()) for word in words)


def _carries_any(element: Any) -> bool:
    """Whether there is any modifier. Nearly every resource has none, so this check builds no paths."""
    unseen = [element]
    while unseen:
        one = unseen.pop()
        if type(one) is dict:
            if MODIFIER in one or RULES in one:
                return True
            unseen += [value for value in one.values() if type(value) is dict or type(value) is list]
        elif type(one) is list:
            unseen += one
    return False


def _unknown(element: Any, path: str, known: Understood) -> Iterator[str]:
    if type(element) is list:
        for index, one in enumerate(element):
            yield from _unknown(one, f"{path}[{index}]", known)
    elif type(element) is dict:
        entries = element.get(MODIFIER)
        listed = entries if type(entries) is list else [] if entries is None else [entries]
        yield from (f"{path}.{MODIFIER}[{index}]" for index, entry in enumerate(listed) if not _is_known(entry, known))
        if element.get(RULES) is not None and element[RULES] not in known:
            yield f"{path}.{RULES}"
        for name, value in element.items():
            yield from _unknown(value, f"{path}.{name}", known)


def _is_known(entry: Any, known: Understood) -> bool:
    return type(entry) is dict and isinstance(entry.get("url"), str) and entry["url"] in known
