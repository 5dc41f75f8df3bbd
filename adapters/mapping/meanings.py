"""What a person may write in the table of a rule, and how the configuration names the rule of an attribute. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.mapping import allow_list
from adapters.mapping.rules import EACH, NO_STATEMENT, TARGETS
from store.preference import family


def meanings(attribute: str) -> tuple[str, ...]:
    """What a person may write as the meaning of a code in the attribute's rule; of several words for one value only the first."""
    if attribute.endswith(allow_list.ANY):
        return allow_list.MEANINGS
    words: dict[Any, str] = {}
    for word, value in TARGETS.get(family(attribute), {"a value": None}).items():
        words.setdefault(value, word)
    return (*words.values(), "unknown", NO_STATEMENT)


def written_as(attribute: str, mapping: Mapping[str, object]) -> str:
    """The attribute's rule as the configuration names it: it may be about each contact point, or a list of channels."""
    names = (attribute, attribute + EACH, attribute.rpartition(".")[0] + allow_list.ANY)
    return next((name for name in names if name in mapping), attribute)
