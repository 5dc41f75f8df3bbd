"""config.example.yaml shows every setting.

A setting has a line, perhaps behind ``#``. One inside a group has a line too, or its name is in the comment above the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from adapters.registry import SCHEMAS, schema
from adapters.schema import SettingsGroup
from sync.config.model import ENTERPRISE, SourcePart, Top
from sync.config.provider_format import FormatPart
from sync.config.providers import ProviderPart
from sync.config.webhooks import WebhookPart

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text("utf-8")
Group = type[SettingsGroup]


class Place(NamedTuple):
    """A part of the example, the group of settings that it shows, and by how much these are indented."""

    text: str
    group: Group
    indent: int

    def setting(self, name: str) -> str:
        """The lines of one setting, with the comment above them; empty if there are none."""
        left, deeper = " " * self.indent, " " * (self.indent + 2)
        lines = rf"(?:^{left}#.*\n)*^{left}(?:# )?{name}:.*\n?(?:^{deeper}.*\n?)*"
        found = re.search(lines, self.text, re.MULTILINE)
        return found[0] if found else ""


def blocks(name: str) -> list[str]:
    """The entries of ``sources:`` and the like."""
    (found,) = re.findall(rf"^{name}:\n((?:^ .*\n|^\n|^ *#.*\n)+)", EXAMPLE, re.MULTILINE)
    return re.split(r"^  [\w-]+:\n", found, flags=re.MULTILINE)[1:]


def places() -> Iterator[Place]:
    yield Place(EXAMPLE, Top, 0)
    for name, group in (("enterprises", ENTERPRISE), ("webhooks", WebhookPart), ("providers", ProviderPart), ("sources", SourcePart)):
        yield from (Place(text, group, 4) for text in blocks(name))
    for text in blocks("sources"):
        (adapter,) = re.findall(r"^    adapter: (\S+)$", text, re.MULTILINE)
        yield Place(text, schema(adapter), 4)


def inside(annotation: Any) -> Iterator[Group]:
    """The groups of settings in the type of a field: the type itself, or inside an option, a list or a table."""
    if isinstance(annotation, type) and issubclass(annotation, SettingsGroup):
        yield annotation
    for one in get_args(annotation):
        yield from inside(one)


def declaring(group: Group) -> list[Group]:
    """The group and those that it inherits settings from."""
    return [one for one in group.__mro__ if issubclass(one, SettingsGroup) and one.model_fields]


Shown = dict[Group, set[str]]


def note_inside(shown: Shown, group: Group, text: str) -> None:
    """Notes the settings of a group inside another: those whose name is in its text, which has its comment and all that it contains."""
    named = [name for name, field in group.model_fields.items() if re.search(rf"\b{field.alias or name}\b", text)]
    for one in declaring(group):
        shown.setdefault(one, set()).update(named)
    for name in named:
        for inner in inside(group.model_fields[name].annotation):
            note_inside(shown, inner, text)


def everything() -> Shown:
    shown: Shown = {}
    for place in places():
        settings = {name: place.setting(name) for name in place.group.model_fields}
        for one in declaring(place.group):
            shown.setdefault(one, set()).update(name for name, text in settings.items() if text)
        for name, text in settings.items():
            for inner in inside(place.group.model_fields[name].annotation):
                note_inside(shown, inner, text)
    return shown


SHOWN = everything()
SETTINGS = [
    (group, name)
    for group in SHOWN
    if group.__module__ != FormatPart.__module__  # the words of a provider's format are those of its presets (docs/providers.md)
    for name in group.__annotations__
    if name in group.model_fields
]


@pytest.mark.parametrize(("group", "name"), SETTINGS, ids=lambda one: getattr(one, "__name__", one))
def test_the_example_shows_the_setting(group: Group, name: str) -> None:
    assert name in SHOWN[group], f"write {name} ({group.__name__}) in config.example.yaml"


def test_the_settings_of_every_adapter_are_looked_for() -> None:
    for adapter in SCHEMAS:
        own = {one for one in declaring(schema(adapter)) if one.model_fields.keys() & one.__annotations__.keys()}
        assert own <= SHOWN.keys(), f"config.example.yaml has no source of {adapter}"
