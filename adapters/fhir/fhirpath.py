"""Compiles the subset of FHIRPath that mappings need to closures. Pure.

``compile_path`` returns a :data:`~adapters.mapping.rules.Find`: resource -> texts and their concrete paths (a computed value has the
expression as its path). Supported:
navigation over lists and choice elements, ``[n]``, ``first() last() where(…) repeat(…) exists(…) empty() not() ofType(T) extension('url')
startsWith('…') endsWith('…')``, ``| = != ~ !~ in as and or xor``, literals, ``$this``, ``%resource``. Anything else is a
``ValueError`` that names it. An expression may begin with a resource type (``Patient.``), which is a filter.
Source: FHIRPath N1, http://hl7.org/fhirpath/N1/ (grammar in its appendix B).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from adapters.fhir import absent
from adapters.fhir import fhirpath_evaluation as evaluation
from adapters.fhir import fhirpath_nodes as nodes
from adapters.fhir.extension_path import shortened
from adapters.fhir.fhirpath_evaluation import Eval
from adapters.fhir.fhirpath_nodes import Node, Nodes
from adapters.mapping.rules import Find, FoundValue

FUNCTIONS = ("first", "last", "where", "repeat", "exists", "empty", "not", "ofType", "as", "extension", "startsWith", "endsWith")
SUPPORTED = (
    "supported: element names, [n], "
    + ", ".join(f"{name}()" for name in FUNCTIONS)
    + ", the operators | = != ~ !~ in as and or xor, 'text', numbers, true, false, {}, $this and %resource"
)
LEVELS: tuple[tuple[str, ...], ...] = (("or", "xor"), ("and",), ("in",), ("=", "!=", "~", "!~"), ("|",), ("as",))
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>\d+(?:\.\d+)?)|(?P<quoted>`(?:[^`\\]|\\.)*`)|(?P<name>[%$]?[A-Za-z_]\w*)"
    r"|(?P<symbol>!=|!~|<=|>=|[.\[\](){},|=~<>+\-*/&@]))"
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


class _Token(NamedTuple):
    kind: str
    text: str


class Compiled(NamedTuple):
    """A compiled expression. ``types``: the resource types that it begins with; empty if it names none."""

    evaluate: Callable[[dict[str, Any]], Nodes]
    types: frozenset[str]


@lru_cache(maxsize=1024)
def compile_expression(expression: str) -> Compiled:
    """Compiles an expression. Raises ``ValueError`` for what is not supported or not FHIRPath."""
    parser = _Parser(_tokens(expression))
    tree = parser.whole()
    return Compiled(lambda resource: _start(tree, resource), frozenset(parser.types))


def compile_path(expression: str) -> Find:
    """Compiles an expression for a site rule: primitives as text, booleans as ``true`` and ``false``."""
    return shortened(expression, compile_whole(expression))


def compile_whole(expression: str) -> Find:
    """The same without a shorter way for the usual expressions."""
    evaluate = compile_expression(expression).evaluate
    return lambda resource: [_found(node, expression) for node in evaluate(resource) if node.value is not None]


def _found(node: Node, expression: str) -> FoundValue:
    if node.value is absent.WITHHELD:
        return FoundValue("", node.path or expression, absent.DETAIL, reason=absent.REASON)
    return FoundValue(nodes.text(node.value), node.path or expression)


def _start(tree: Eval, resource: dict[str, Any]) -> Nodes:
    root = Node(resource, str(resource.get("resourceType", "")))
    return tree([root], root)


def _tokens(expression: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"cannot read {expression[position : position + 12].strip()!r}: {SUPPORTED}")
        found.append(_Token(str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return found


class _Parser:
    """A recursive-descent parser. Each method returns the closure for what it parsed."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.position = tokens, 0
        self.types: set[str] = set()

    def whole(self) -> Eval:
        if not self.tokens:
            raise ValueError("the expression is empty")
        tree = self.operators(0)
        if self.position < len(self.tokens):
            raise _unsupported(self.tokens[self.position].text)
        return tree

    def operators(self, level: int) -> Eval:
        if level == len(LEVELS):
            return self.chain()
        left = self.operators(level + 1)
        while (operator := self.peek()).text in LEVELS[level] and operator.kind in ("name", "symbol"):
            self.position += 1
            if operator.text == "as":
                left = evaluation.compose(left, nodes.of_type(self.type_name()))
            else:
                left = evaluation.binary(evaluation.OPERATORS[operator.text], left, self.operators(level + 1))
        return left

    def chain(self) -> Eval:
        found = self.term()
        while self.peek().text in (".", "[") and self.peek().kind == "symbol":
            found = self.invocation(found) if self.take() == "." else self.index(found)
        return found

    def term(self) -> Eval:
        token = self.next("a path")
        if token.kind == "string":
            return evaluation.constant(_unescaped(token.text))
        if token.kind == "number":
            return evaluation.constant(float(token.text) if "." in token.text else int(token.text))
        if token.text == "(" and token.kind == "symbol":
            inner = self.operators(0)
            self.expect(")")
            return inner
        if token.text == "{" and token.kind == "symbol":
            self.expect("}")
            return lambda focus, root: []
        if token.kind in ("name", "quoted"):
            return self.named(token)
        raise _unsupported(token.text)

    def named(self, token: _Token) -> Eval:
        name = token.text
        if name in ("true", "false"):
            return evaluation.constant(name == "true")
        if name == "$this":
            return lambda focus, root: focus
        if name in ("%resource", "%context"):
            return lambda focus, root: [root]
        if name[0] in "%$":
            raise _unsupported(name)
        if token.kind == "name" and name[0].isupper() and self.peek().text != "(":
            self.types.add(name)
            return evaluation.compose(evaluation.itself, nodes.resource(name))
        self.position -= 1
        return self.invocation(evaluation.itself)

    def invocation(self, source: Eval) -> Eval:
        token = self.next("an element name")
        if token.kind not in ("name", "quoted") or token.text[0] in "%$":
            raise _unsupported(token.text)
        if self.peek().text != "(" or token.kind == "quoted":
            return evaluation.compose(source, nodes.child(token.text.strip("`")))
        if token.text not in FUNCTIONS:
            raise _unsupported(f"{token.text}()")
        self.expect("(")
        made = self.function(token.text, source)
        self.expect(")")
        return made

    def function(self, name: str, source: Eval) -> Eval:
        if name == "where" or (name == "exists" and self.peek().text != ")"):
            kept = evaluation.where(source, self.operators(0))
            return kept if name == "where" else evaluation.compose(kept, evaluation.exists)
        if name == "repeat":
            return evaluation.repeat(source, self.operators(0))
        if name in ("ofType", "as"):
            return evaluation.compose(source, nodes.of_type(self.type_name()))
        if name == "extension":
            return evaluation.compose(source, nodes.extension(self.string(name)))
        if name in ("startsWith", "endsWith"):
            return evaluation.compose(source, evaluation.affix(name, self.string(name)))
        return evaluation.compose(source, evaluation.STEPS[name])

    def index(self, source: Eval) -> Eval:
        token = self.next("a number")
        if token.kind != "number" or "." in token.text:
            raise _unsupported(f"[{token.text}]")
        self.expect("]")
        position = int(token.text)
        return evaluation.compose(source, lambda found: found[position : position + 1])

    def type_name(self) -> str:
        name = self.next("a type name").text
        if name in ("FHIR", "System") and self.peek().text == ".":
            self.position += 1
            name = self.next("a type name").text
        if not name.isidentifier():
            raise _unsupported(name)
        return name

    def string(self, function: str) -> str:
        token = self.next("a quoted string")
        if token.kind != "string":
            raise ValueError(f"{function}() needs a string in single quotes, not {token.text!r}")
        return _unescaped(token.text)

    def peek(self) -> _Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _Token("end", "")

    def take(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1].text

    def next(self, what: str) -> _Token:
        if self.position >= len(self.tokens):
            raise ValueError(f"the expression ends where {what} is expected")
        self.position += 1
        return self.tokens[self.position - 1]

    def expect(self, symbol: str) -> None:
        token = self.next(repr(symbol))
        if token != _Token("symbol", symbol):
            raise ValueError(f"found {token.text!r} where {symbol!r} is expected: {SUPPORTED}")


def _unsupported(construct: str) -> ValueError:
    return ValueError(f"{construct!r} is not supported here: {SUPPORTED}")


def _unescaped(quoted: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else _ESCAPED.get(found[1], found[1]), quoted[1:-1])
