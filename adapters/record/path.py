"""Paths into a JSON record: ``patient_status.status``, ``phones.phone``, ``consents[application=sms].consented``. Pure.

Names are joined by dots. Lists are expanded, so ``phones.phone`` is every phone. ``[n]`` takes one entry (from 0), ``[name=text]`` those
whose member has that text. ``.exists()`` at the end gives ``true`` or ``false``. A missing member, ``null``, an empty text and MySQL's zero
date count as absent: they state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from adapters.mapping.legible import MARK
from adapters.mapping.rules import Find, FoundValue

EXAMPLES = "email, patient_status.status, phones[0].phone or consents[application=sms].consented"
EXISTS = ".exists()"
ZERO_DATE = re.compile(r"0000-00-00(?:[T ]00:00:00)?")
NAME = r"[A-Za-z_][\w-]*"
_STEP = re.compile(rf"(?:^|\.)({NAME})|\[(\d+)\]|\[({NAME})=([^\]]*)\]")


class JsonNode(NamedTuple):
    """A value in a record and its path."""

    value: Any
    path: str


Step = Callable[[list[JsonNode]], list[JsonNode]]


def compile_nodes(path: str, *, with_nulls: bool = False) -> Callable[[Any], list[JsonNode]]:
    """A function from a record to the nodes at the path, with lists expanded. Raises ``ValueError`` that says what is wrong."""
    steps = [_step(match, with_nulls=with_nulls) for match in _matches(path.strip())]

    def find(record: Any) -> list[JsonNode]:
        nodes = [JsonNode(record, "")]
        for step in steps:
            nodes = step(nodes)
        return _entries(nodes)

    return find


def compile_path(path: str, *, null_deletes: bool = False) -> Find:
    """A function from a record to the values at the path, for a mapping rule. Raises ``ValueError`` that says what is wrong.

    With ``null_deletes`` a ``null`` is a value that was deleted on purpose.
    """
    bare = path.strip()
    is_test = bare.endswith(EXISTS)
    nodes = compile_nodes(bare.removesuffix(EXISTS), with_nulls=null_deletes and not is_test)

    def find(record: Any) -> Sequence[FoundValue]:
        return [
            FoundValue(written or None, node.path)
            for node in nodes(record)
            if (written := text(node.value)) or (null_deletes and node.value is None)
        ]

    def exists(record: Any) -> Sequence[FoundValue]:
        found = find(record)
        return [FoundValue("true" if found else "false", found[0].path if found else bare.removesuffix(EXISTS))]

    return exists if is_test else find


def text(value: Any) -> str:
    """A primitive as text; empty if there is nothing to read."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    written = value.strip() if isinstance(value, str) else ""
    return "" if ZERO_DATE.fullmatch(written) else written


def names(path: str) -> list[tuple[str, bool]]:
    """The names of members in a path, in order, each with whether it is that of a condition (``[name=text]``)."""
    found = [
        (name or member or "", name is None)
        for name, _, member, _ in (match.groups() for match in _matches(path.strip().removesuffix(EXISTS)))
    ]
    return [(name, is_condition) for name, is_condition in found if name]


def is_name(text: str) -> bool:
    """Whether a text can be one name in a path."""
    return re.fullmatch(NAME, text) is not None


def _matches(path: str) -> list[re.Match[str]]:
    steps: list[re.Match[str]] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"cannot be read at {path[position : position + 12]!r}: write it like {EXAMPLES}")
        steps.append(match)
        position = match.end()
    if not steps:
        raise ValueError(f"is empty: write it like {EXAMPLES}")
    return steps


def _step(match: re.Match[str], *, with_nulls: bool) -> Step:
    name, index, member, wanted = match.groups()
    if name is not None:
        return lambda nodes: _members(nodes, name, with_nulls=with_nulls)
    if index is not None:
        return lambda nodes: [entry for node in nodes for entry in _entries([node])[int(index) : int(index) + 1]]
    return lambda nodes: [entry for node in _entries(nodes) if (entry := _if_equal(node, member, wanted)) is not None]


def _if_equal(node: JsonNode, member: str, wanted: str) -> JsonNode | None:
    """The node, if its member has the text. If that cannot be read, it may have it: then nothing in the node can be read."""
    found = [text(one.value) for one in _members([node], member)]
    if wanted in found:
        return node
    return JsonNode(MARK, node.path) if MARK in found else None


def _members(nodes: list[JsonNode], name: str, *, with_nulls: bool = False) -> list[JsonNode]:
    found: list[JsonNode] = []
    for node in _entries(nodes):
        path = f"{node.path}.{name}" if node.path else name
        if type(node.value) is dict and name in node.value and (with_nulls or node.value[name] is not None):
            found.append(JsonNode(node.value[name], path))
        elif node.value == MARK:
            found.append(JsonNode(MARK, path))
    return found


def _entries(nodes: list[JsonNode]) -> list[JsonNode]:
    """The nodes with lists expanded, also nested ones."""
    found: list[JsonNode] = []
    for node in nodes:
        if type(node.value) is list:
            found.extend(_entries([JsonNode(one, f"{node.path}[{index}]") for index, one in enumerate(node.value)]))
        else:
            found.append(node)
    return found
