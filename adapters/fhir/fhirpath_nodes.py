"""FHIRPath navigation over a FHIR resource as plain data: nodes with their paths, and the steps between them. Pure.

A *node* is a JSON value, its concrete path (``Patient.telecom[1].value``), the sibling of a primitive in FHIR's JSON (``_value``, with its
extensions), and its type, if the name of a choice element tells it. Anything looked for in a withheld element (``adapters.fhir.absent``)
is a withheld node.
Sources: FHIRPath N1 (http://hl7.org/fhirpath/N1/), FHIR R4 section 2.1.9 (use of FHIRPath), 2.6.2 (JSON, ``_`` siblings).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from adapters.fhir.absent import WITHHELD, is_withheld


class Node(NamedTuple):
    """One item of a collection. ``value``: ``None`` for a primitive with only extensions, ``WITHHELD`` if these say so."""

    value: Any
    path: str
    extra: Any = None
    type: str = ""


Nodes = list[Node]
Step = Callable[[Nodes], Nodes]

PRIMITIVES = (
    "Boolean", "Integer", "Decimal", "String", "Code", "Uri", "Url", "Canonical", "Id", "Oid", "Uuid", "Markdown", "Base64Binary",
    "Instant", "Date", "DateTime", "Time", "PositiveInt", "UnsignedInt", "Integer64",
)  # fmt: skip
COMPLEX = (
    "Address", "Age", "Annotation", "Attachment", "CodeableConcept", "CodeableReference", "Coding", "ContactDetail", "ContactPoint",
    "Count", "Distance", "Duration", "Expression", "HumanName", "Identifier", "Meta", "Money", "Period", "Quantity", "Range", "Ratio",
    "Reference", "SampledData", "Signature", "Timing",
)  # fmt: skip
CHOICES = (*PRIMITIVES, *COMPLEX)
ANY_RESOURCE = ("Resource", "DomainResource")
NUMBERS = ("integer", "decimal", "positiveInt", "unsignedInt", "integer64")


def child(name: str) -> Step:
    """The step to an element, with lists flattened. A choice element (``deceased``) finds ``deceasedBoolean`` and the like."""
    shadow = "_" + name
    choices = {name + suffix: suffix for suffix in CHOICES}

    def step(nodes: Nodes) -> Nodes:
        found: Nodes = []
        for node in nodes:
            value = node.value
            if type(value) is not dict:
                if value is WITHHELD:
                    found.append(Node(WITHHELD, f"{node.path}.{name}"))
                continue
            one = value.get(name)
            if one is not None and type(one) is not list and shadow not in value:
                found.append(Node(one, f"{node.path}.{name}"))
            elif name in value or shadow in value:
                _collect(found, one, value.get(shadow), f"{node.path}.{name}", "")
            elif keys := _chosen(value, choices):
                for key in keys:
                    _collect(found, value.get(key), value.get("_" + key), f"{node.path}.{key}", choices[key])
            elif "extension" in value and "resourceType" not in value and is_withheld(value):
                found.append(Node(WITHHELD, f"{node.path}.{name}"))
        return found

    return step


def _chosen(value: dict[str, Any], choices: dict[str, str]) -> set[str]:
    """The names under which a choice element is present, even if only as the sibling of a primitive."""
    return (value.keys() & choices.keys()) | {key[1:] for key in value if key[0:1] == "_" and key[1:] in choices}


def _collect(found: Nodes, value: Any, extra: Any, path: str, kind: str) -> None:
    if type(value) is list:
        extras = extra if type(extra) is list else []
        found.extend(
            Node(_absent(extras[index]) if one is None else one, f"{path}[{index}]", extras[index] if index < len(extras) else None, kind)
            for index, one in enumerate(value)
            if one is not None or (index < len(extras) and extras[index] is not None)
        )
    elif type(extra) is list and value is None:
        found.extend(Node(_absent(one), f"{path}[{index}]", one, kind) for index, one in enumerate(extra) if one is not None)
    elif value is not None or extra is not None:
        found.append(Node(_absent(extra) if value is None else value, path, extra, kind))


def _absent(extra: Any) -> Any:
    return WITHHELD if is_withheld(extra) else None


def extension(url: str) -> Step:
    """The step to the extensions of that URL, on an element or on a primitive's ``_`` sibling."""

    def step(nodes: Nodes) -> Nodes:
        found: Nodes = []
        for node in nodes:
            holder = node.value if type(node.value) is dict else node.extra
            entries = holder.get("extension") if type(holder) is dict else None
            known = len(found)
            # A plain loop: most of a rule's time is spent here, on extensions with other URLs.
            for index, entry in enumerate(entries if type(entries) is list else ()):
                if type(entry) is dict and entry.get("url") == url:
                    found.append(Node(entry, f"{node.path}.extension[{index}]"))
            if len(found) == known and ((node.value is WITHHELD and node.extra is None) or _is_hidden_extension(holder)):
                found.append(Node(WITHHELD, f"{node.path}.extension"))
        return found

    return step


def _is_hidden_extension(holder: Any) -> bool:
    return type(holder) is dict and "url" in holder and is_withheld(holder)


def resource(name: str) -> Step:
    """The filter for a leading type name: ``Patient`` keeps Patients."""
    if name in ANY_RESOURCE:
        return lambda nodes: nodes
    return lambda nodes: [node for node in nodes if type(node.value) is dict and node.value.get("resourceType") == name]


def of_type(name: str) -> Step:
    """The filter ``ofType(boolean)``."""
    return lambda nodes: [node for node in nodes if _is(node, name)]


def _is(node: Node, name: str) -> bool:
    value = node.value
    if value is WITHHELD and not node.type:
        return True
    if node.type:
        return node.type == name[:1].upper() + name[1:]
    if type(value) is dict:
        return bool(value.get("resourceType") == name)
    if isinstance(value, bool):
        return name.lower() == "boolean"
    if isinstance(value, (int, float)):
        return name in NUMBERS
    # All other primitives are JSON strings: without a model they cannot be distinguished.
    return isinstance(value, str) and name.lower() != "boolean" and name not in NUMBERS and name not in COMPLEX


def text(value: Any) -> str:
    """A primitive as text, for a site's code table. A structure gives an empty text, which matches no code."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if isinstance(value, (dict, list)) else str(value)


def truth(nodes: Nodes) -> bool | None:
    """A collection as a Boolean (FHIRPath 4.5). An empty one, or one with several items, is ``None`` (unknown), never true."""
    if len(nodes) != 1:
        return None
    value = nodes[0].value
    return value if isinstance(value, bool) else None if value is WITHHELD else True


def withheld(nodes: Nodes) -> Nodes:
    """The first node, if all nodes found are withheld."""
    return nodes[:1] if nodes and all(node.value is WITHHELD for node in nodes) else []


def logical(value: bool | None) -> Nodes:
    return [] if value is None else [Node(value, "")]


def equal(left: Nodes, right: Nodes) -> bool | None:
    """``=``: an empty side gives unknown."""
    if not left or not right:
        return None
    return len(left) == len(right) and all(_same(a.value, b.value) for a, b in zip(left, right, strict=True))


def equivalent(left: Nodes, right: Nodes) -> bool:
    """``~``: compares text ignoring case and whitespace; empty is equivalent to empty."""
    return sorted(map(_plain, left)) == sorted(map(_plain, right))


def member(left: Nodes, right: Nodes) -> bool | None:
    """``in``: unknown unless the left side is exactly one item."""
    return any(_same(left[0].value, one.value) for one in right) if len(left) == 1 else None


def union(left: Nodes, right: Nodes) -> Nodes:
    """``|``: both sides without duplicates."""
    found: Nodes = []
    for node in (*left, *right):
        if not any(_same(node.value, one.value) for one in found):
            found.append(node)
    return found


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _plain(node: Node) -> str:
    value = node.value
    return " ".join(value.split()).casefold() if isinstance(value, str) else repr(value)
