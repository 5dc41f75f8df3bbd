"""Modifier extensions and implicit rules: a part that is not understood may turn the meaning of the whole round. Pure.

FHIR forbids to process what carries one that is not understood (FHIR R4 2.4.2; implicitRules: 2.27.3). What such a record might refuse is
then unreadable. A site names those that do not matter to it (``understood``); one that a rule of its mapping reads is understood too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters.mapping.site_rules import Rule

REASON, DETAIL = "modifier_not_understood", "it may change the meaning of the record: add it to 'understood' if it does not matter"

Understood = frozenset[str]


def understood(named: Iterable[str], rules: Iterable[Rule]) -> Understood:
    """The URLs that the site names, and those in quotes in its rules."""
    quoted = {part for rule in rules for path in rule.paths for part in path.split("'")[1::2]}
    return frozenset(named) | quoted


def not_understood(element: dict[str, Any], path: str, known: Understood) -> list[str]:
    """The paths of what is not understood, in an element or a resource."""
    entries = element.get("modifierExtension")
    listed = entries if type(entries) is list else [] if entries is None else [entries]
    found = [f"{path}.modifierExtension[{index}]" for index, entry in enumerate(listed) if not _is_known(entry, known)]
    rules = element.get("implicitRules")
    return found if rules is None or rules in known else [*found, f"{path}.implicitRules"]


def _is_known(entry: Any, known: Understood) -> bool:
    return type(entry) is dict and isinstance(entry.get("url"), str) and entry["url"] in known
