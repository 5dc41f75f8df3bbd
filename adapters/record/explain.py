"""Explains a JSON record to the person who writes the mapping: what it states, and what in it is not read. Pure.

Values are shown, on the engineer's own screen only, so nothing here may go to a log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from adapters.base import Explanation, Item, UnknownCode
from adapters.mapping.rules import Rule
from store.preference import PatientStatements

SHOWN = 120  # characters of a value


def explain(record: dict[str, Any], items: Sequence[Item], rules: Sequence[Rule], read: frozenset[str]) -> Explanation:
    """The explanation of one record. ``read``: the members from which the standard parts are read."""
    stated = [
        (attribute, statement.value, statement.path)
        for item in items
        if isinstance(item, PatientStatements)
        for attribute, statement in item.statements.items()
    ]
    by_rules = {found.path for rule in rules for found in rule.find(record)}
    unused = [(path, _shape(value)) for path, value in _unused(record, read, by_rules)]
    unmapped = dict.fromkeys(pair for rule in rules for pair in rule.missing(record))
    # Only what rules read: which other members of a record hold codes, nobody can tell.
    unknown = dict.fromkeys(
        UnknownCode("mapping", rule.path, code, rule.attribute) for rule in rules for _, code in rule.missing(record) if code
    )
    return Explanation(items, stated, unused, list(unmapped), list(unknown))


def _unused(record: dict[str, Any], read: frozenset[str], by_rules: set[str]) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if value in (None, "", [], {}) or name in read:
            continue
        if not any(path == name or path.startswith((f"{name}.", f"{name}[")) for path in by_rules):
            yield name, value


def _shape(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
