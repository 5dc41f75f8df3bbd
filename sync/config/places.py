"""Where a setting belongs that is written at another place: most often its indentation is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from store.preference import ATTRIBUTES
from sync.config.document import Document
from sync.config.model import EnterprisePart, PolicyPart, SourcePart, Top
from sync.config.options import OPTIONS

OF_SOURCES = frozenset({*SourcePart.model_fields, *(name for options in OPTIONS.values() for name in options.model_fields)})
OF_ENTERPRISES = frozenset(EnterprisePart.model_fields)
HOMES = (
    (frozenset(Top.model_fields), "database", "at the top of the file: write it without indentation"),
    (OF_ENTERPRISES, "sync_contact_preferences", "to an enterprise: indent it as far as 'sync_contact_preferences'"),
    (OF_SOURCES, "adapter", "to a source: indent it as far as 'adapter'"),
    (frozenset(PolicyPart.model_fields), "when_stale", "to the 'policy' of an enterprise: indent it below that"),
    (frozenset(ATTRIBUTES), "", "to the 'mapping' of a source: indent it below that"),
)
"""The settings of one level, one that only this level has, and how to get there."""


def home(name: str, known: Iterable[str]) -> str:
    """Where a setting of this name belongs, and how it gets there; empty where nothing else than the level of ``known`` has it."""
    here = frozenset(known)
    found = [place for names, mark, place in HOMES if name in names and mark not in here]
    return f"belongs {', or '.join(found)}" if found else ""


def placed(document: Document, group: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The members of ``sources`` or ``enterprises``, without settings of one that are written too far to the left: those are mistakes."""
    names, own = (OF_SOURCES, {"adapter", "enterprise"}) if group == "sources" else (OF_ENTERPRISES, OF_ENTERPRISES)
    found: dict[str, Any] = {}
    for name, member in data.items():
        if name not in names or (isinstance(member, dict) and own & member.keys()):
            found[name] = member
        else:
            document.mistake((group, name), _slipped(group, next(reversed(found), None)))
    return found


def _slipped(group: str, above: str | None) -> str:
    if above is None:
        return f"is a setting of one of the {group}: write 'name:' above it, and indent this below"
    return f"is indented too little: it belongs to {group}.{above}. Indent it, and what is below it, two spaces further"
