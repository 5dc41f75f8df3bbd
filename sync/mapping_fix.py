"""The mapping rule that ends a cause of rejections, as YAML ready to copy. What only a person can know is left open: ``CHOOSE``. Pure.

``check-config`` rejects a rule in which something is left open, so nothing is ever guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.mapping.meanings import meanings, written_as
from adapters.mapping.rules import NO_STATEMENT
from sync.config.writing import inline, scalar

LEFT_OPEN, SOME_CODE = "CHOOSE", "CODE"
ABSENT = (NO_STATEMENT, "clear", "most_restrictive")
INDENT = "  "


def fix(source: str, mapping: Mapping[str, Mapping[str, Any]], reason: str, attribute: str, codes: Sequence[str]) -> str:
    """The rule with the missing codes, or with what to do if the value is absent. Empty if no rule can end this cause."""
    name = written_as(attribute, mapping)
    rule = mapping.get(name, {})
    if reason == "code_unmapped" and isinstance(rule.get("values"), Mapping):
        return "\n".join(_under(source, name, _with_codes(rule, codes or [SOME_CODE], meanings(name))))
    if reason == "value_absent" and rule:
        lines = [*_lines({key: one for key, one in rule.items() if key != "on_absent"}), f"on_absent: {_choice(ABSENT)}"]
        return "\n".join(_under(source, name, lines))
    return ""


def _with_codes(rule: Mapping[str, Any], codes: Sequence[str], words: Iterable[str]) -> Iterator[str]:
    yield from _lines({key: one for key, one in rule.items() if key != "values"})
    yield "values:"
    yield from (f"{INDENT}{scalar(str(code))}: {inline(one)}" for code, one in rule["values"].items())
    yield from (f"{INDENT}{scalar(code)}: {_choice(words)}" for code in codes)


def _choice(words: Iterable[str]) -> str:
    return f"{LEFT_OPEN}  # {', '.join(words)}"


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name}: {inline(one)}" for name, one in settings.items())


def _under(source: str, name: str, lines: Iterable[str]) -> Iterator[str]:
    path = ("sources", source, "mapping", name)
    yield from (f"{INDENT * depth}{scalar(part)}:" for depth, part in enumerate(path))
    yield from (INDENT * len(path) + line for line in lines)
