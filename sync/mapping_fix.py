"""The mapping rule that ends a cause of rejections, as YAML ready to copy. What only a person can know is left open: ``CHOOSE``. Pure.

``check-config`` rejects a rule in which something is left open, so nothing is ever guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.mapping.allow_list import ANY, MEANINGS
from adapters.mapping.site_rules import EACH, NO_STATEMENT, TARGETS
from store.preference import family

LEFT_OPEN, SOME_CODE = "CHOOSE", "CODE"
ABSENT = (NO_STATEMENT, "clear", "most_restrictive")
PLAIN = re.compile(r"[A-Za-z][\w.-]*")
INDENT = "  "


def fix(source: str, mapping: Mapping[str, Mapping[str, Any]], reason: str, attribute: str, codes: Sequence[str]) -> str:
    """The rule with the missing codes, or with what to do if the value is absent. Empty if no rule can end this cause."""
    name = _written_as(mapping, attribute)
    rule = mapping.get(name, {})
    if reason == "code_unmapped" and isinstance(rule.get("values"), Mapping):
        return "\n".join(_under(source, name, _with_codes(rule, codes or [SOME_CODE], _meanings(name))))
    if reason == "value_absent" and rule:
        lines = [*_lines({key: one for key, one in rule.items() if key != "on_absent"}), f"on_absent: {_choice(ABSENT)}"]
        return "\n".join(_under(source, name, lines))
    return ""


def _written_as(mapping: Mapping[str, Any], attribute: str) -> str:
    """The name of the attribute's rule, which may be about each contact point, or a list of channels."""
    names = (attribute, attribute + EACH, attribute.rpartition(".")[0] + ANY)
    return next((name for name in names if name in mapping), attribute)


def _meanings(name: str) -> Iterable[str]:
    if name.endswith(ANY):
        return MEANINGS
    one_each = {target: word for word, target in reversed(TARGETS.get(family(name), {}).items())}
    return [*reversed(one_each.values()), "unknown", NO_STATEMENT]


def _with_codes(rule: Mapping[str, Any], codes: Sequence[str], meanings: Iterable[str]) -> Iterator[str]:
    yield from _lines({key: one for key, one in rule.items() if key != "values"})
    yield "values:"
    yield from (f"{INDENT}{json.dumps(str(code), ensure_ascii=False)}: {_text(one)}" for code, one in rule["values"].items())
    yield from (f"{INDENT}{json.dumps(code, ensure_ascii=False)}: {_choice(meanings)}" for code in codes)


def _choice(meanings: Iterable[str]) -> str:
    return f"{LEFT_OPEN}  # {', '.join(meanings)}"


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name}: {_text(one)}" for name, one in settings.items())


def _text(value: Any) -> str:
    """A scalar or list as YAML; JSON is YAML."""
    return value if isinstance(value, str) and PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _under(source: str, name: str, lines: Iterable[str]) -> Iterator[str]:
    path = ("sources", source, "mapping", name)
    yield from (f"{INDENT * depth}{_text(part)}:" for depth, part in enumerate(path))
    yield from (INDENT * len(path) + line for line in lines)
