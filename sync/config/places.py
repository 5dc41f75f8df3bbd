"""Where a misplaced setting belongs: most often its indentation is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from adapters.registry import SCHEMAS, schema
from store.domain.attributes import ATTRIBUTES
from sync.config.document import Document
from sync.config.model import ENTERPRISE, PolicyPart, SourcePart, Top

OF_ENTERPRISES = frozenset(ENTERPRISE.model_fields)


@cache
def of_sources() -> frozenset[str]:
    """The settings of a source, of any adapter. Loads the schemas of all adapters, so it is called only when something is misplaced."""
    return frozenset({*SourcePart.model_fields, *(name for adapter in SCHEMAS for name in schema(adapter).model_fields)})


@cache
def _homes() -> tuple[tuple[frozenset[str], str, str], ...]:
    """The settings of one level, one that only this level has, and how to get there."""
    return (
        (frozenset(Top.model_fields), "database", "at the top of the file (no indentation)"),
        (OF_ENTERPRISES, "sync_contact_preferences", "to an enterprise (indented like 'sync_contact_preferences')"),
        (of_sources(), "adapter", "to a source (indented like 'adapter')"),
        (frozenset(PolicyPart.model_fields), "when_stale", "in the 'policy' of an enterprise (indented below it)"),
        (frozenset(ATTRIBUTES), "", "in the 'mapping' of a source (indented below it)"),
    )


def home(name: str, known: Iterable[str]) -> str:
    """Where a setting of this name belongs, and how it gets there; empty where nothing else than the level of ``known`` has it."""
    here = frozenset(known)
    found = [place for names, mark, place in _homes() if name in names and mark not in here]
    return f"belongs {', or '.join(found)}" if found else ""


def placed(document: Document, group: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The members of ``sources`` or ``enterprises``, without misplaced settings (indented too little), which are errors."""
    own = {"adapter", "enterprise"} if group == "sources" else OF_ENTERPRISES
    found: dict[str, Any] = {}
    for name, member in data.items():
        is_member = isinstance(member, dict) and bool(own & member.keys())
        if is_member or name not in (of_sources() if group == "sources" else OF_ENTERPRISES):
            found[name] = member
        else:
            document.mistake((group, name), _slipped(group, next(reversed(found), None)))
    return found


def _slipped(group: str, above: str | None) -> str:
    if above is None:
        return f"must be inside one of the {group}; write 'name:' above it, and indent it below that"
    return f"not indented enough: it belongs to {group}.{above}; indent it, and everything below it, by two more spaces"
