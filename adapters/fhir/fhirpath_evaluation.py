"""The closures that a FHIRPath expression is compiled to, and the operators with their three-valued logic. Pure.

Source: FHIRPath N1, http://hl7.org/fhirpath/N1/ (boolean logic in its chapter 6.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.fhir import fhirpath_nodes as nodes
from adapters.fhir.absent import WITHHELD
from adapters.fhir.fhirpath_nodes import Node, Nodes, Step

Eval = Callable[[Nodes, Node], Nodes]


def itself(focus: Nodes, root: Node) -> Nodes:
    """The focus itself: the start of an expression."""
    return focus


def compose(source: Eval, step: Step) -> Eval:
    """The step applied to the result of ``source``."""
    return lambda focus, root: step(source(focus, root))


def constant(value: Any) -> Eval:
    """A literal."""
    literal = [Node(value, "")]
    return lambda focus, root: literal


def where(source: Eval, criteria: Eval) -> Eval:
    """The nodes for which the criteria are true."""
    return lambda focus, root: [node for node in source(focus, root) if nodes.truth(criteria([node], root))]


def repeat(source: Eval, projection: Eval) -> Eval:
    """What the projection finds, at any depth. JSON has no cycles, so it ends. Withheld nodes are not searched further."""

    def evaluate(focus: Nodes, root: Node) -> Nodes:
        found: Nodes = []
        level = source(focus, root)
        while level := [inner for node in level for inner in projection([node], root) if inner.path != node.path]:
            found += level
            level = [node for node in level if node.value is not WITHHELD]
        return found

    return evaluate


def binary(operate: Callable[[Nodes, Nodes], Nodes], left: Eval, right: Eval) -> Eval:
    """An operator between two expressions. With a withheld operand the result is withheld, unless the other side decides alone."""

    def evaluate(focus: Nodes, root: Node) -> Nodes:
        one, other = left(focus, root), right(focus, root)
        hidden = nodes.withheld(one) or nodes.withheld(other)
        if not hidden:
            return operate(one, other)
        return operate(one, other) if operate is nodes.union else _of_hidden(operate, one, other) or hidden

    return evaluate


def _of_hidden(operate: Callable[[Nodes, Nodes], Nodes], left: Nodes, right: Nodes) -> Nodes:
    """The result of ``and`` and ``or``, which one side may decide alone."""
    return operate(left, right) if operate in (_and, _or) else []


def exists(found: Nodes) -> Nodes:
    """Whether anything was found."""
    return nodes.withheld(found) or nodes.logical(bool(found))


def empty(found: Nodes) -> Nodes:
    """Whether nothing was found."""
    return nodes.withheld(found) or nodes.logical(not found)


def affix(name: str, text: str) -> Step:
    """``startsWith`` or ``endsWith``; empty unless there is exactly one text."""
    method = str.startswith if name == "startsWith" else str.endswith

    def step(found: Nodes) -> Nodes:
        if hidden := nodes.withheld(found):
            return hidden
        return nodes.logical(method(found[0].value, text)) if len(found) == 1 and isinstance(found[0].value, str) else []

    return step


def _not(found: Nodes) -> Nodes:
    return nodes.withheld(found) or nodes.logical(_negated(nodes.truth(found)))


def _and(left: Nodes, right: Nodes) -> Nodes:
    a, b = nodes.truth(left), nodes.truth(right)
    return nodes.logical(False if a is False or b is False else None if a is None or b is None else True)


def _or(left: Nodes, right: Nodes) -> Nodes:
    a, b = nodes.truth(left), nodes.truth(right)
    return nodes.logical(True if a or b else None if a is None or b is None else False)


def _xor(left: Nodes, right: Nodes) -> Nodes:
    a, b = nodes.truth(left), nodes.truth(right)
    return nodes.logical(None if a is None or b is None else a != b)


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value


STEPS: dict[str, Step] = {
    "first": lambda found: found[:1],
    "last": lambda found: found[-1:],
    "exists": exists,
    "empty": empty,
    "not": _not,
}
OPERATORS: dict[str, Callable[[Nodes, Nodes], Nodes]] = {
    "or": _or,
    "xor": _xor,
    "and": _and,
    "in": lambda left, right: nodes.logical(nodes.member(left, right)),
    "=": lambda left, right: nodes.logical(nodes.equal(left, right)),
    "!=": lambda left, right: nodes.logical(_negated(nodes.equal(left, right))),
    "~": lambda left, right: nodes.logical(nodes.equivalent(left, right)),
    "!~": lambda left, right: nodes.logical(not nodes.equivalent(left, right)),
    "|": nodes.union,
}
