"""The mapping rules of a source: a path, a table of the site's codes, and what to do when there is no table entry.

Pure. A rule is compiled once (:func:`compile_mapping`) and applied to any payload of its protocol; the protocol hands in
how a path is compiled. A rule's outcome is a :class:`Statement`, ``None`` (no statement) or a :class:`Refusal` of the payload.
Nothing may default to granted: ``on_absent`` and ``on_unknown`` know only no_statement, clear, reject and most_restrictive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store.preference import (
    ACTIVE,
    CONSENT,
    DECEASED,
    DENIED,
    DO_NOT_CONTACT,
    GRANTED,
    NO,
    PREFERRED_METHOD,
    RESTRICTED,
    TOPIC,
    YES,
    Method,
    Statement,
    base,
)

FALLBACKS = ("no_statement", "clear", "reject", "most_restrictive")
NO_STATEMENT = "no_statement"
TRUE_WORDS = {"true": True, "yes": True, "false": False, "no": False}
TARGETS: dict[str, dict[str, Any]] = {
    DO_NOT_CONTACT: {"yes": YES, "true": YES, "no": NO, "false": NO},
    PREFERRED_METHOD: {method.value: method.value for method in Method} | {"no": Method.NONE.value},
    CONSENT: {GRANTED: GRANTED, DENIED: DENIED},
    TOPIC: {GRANTED: GRANTED, DENIED: DENIED},
    DECEASED: TRUE_WORDS,
    RESTRICTED: TRUE_WORDS,
    ACTIVE: TRUE_WORDS,
}
MOST_RESTRICTIVE: dict[str, Any] = {
    DO_NOT_CONTACT: YES,
    PREFERRED_METHOD: Method.NONE.value,
    CONSENT: DENIED,
    TOPIC: DENIED,
}


class MappingError(ValueError):
    """A rule that cannot be compiled. ``attribute`` names it; the message says how to mend it."""

    def __init__(self, attribute: str, message: str) -> None:
        self.attribute = attribute
        super().__init__(message)


class Found(NamedTuple):
    """One value that a path found: its text (``None`` is an explicit delete, HL7's ``""``) and its concrete path."""

    text: str | None
    path: str


class Refusal(NamedTuple):
    """The payload must be rejected. ``code`` is the site's own code, for the ranking of unmapped codes."""

    reason: str
    path: str
    attribute: str
    code: str = ""


Find = Callable[[Any], Sequence[Found]]
CompilePath = Callable[[str], Find]


@dataclass(frozen=True, slots=True)
class Rule:
    """One attribute's rule. ``values`` is ``None`` when the text found is itself the value."""

    attribute: str
    path: str
    find: Find
    values: Mapping[str, Any] | None
    on_absent: str = "no_statement"
    on_unknown: str = "reject"

    def apply(self, payload: Any) -> Statement | Refusal | None:
        """What the payload states by this rule. Of several values the most restrictive counts, else the first.

        Where one of several permits and another takes back, nothing is permitted.
        """
        found = self.find(payload)
        if not found:
            return self._fallback(self.on_absent, "value_absent", self.path, "")
        outcomes = [self._translate(one) for one in found]
        refusal = next((one for one in outcomes if isinstance(one, Refusal)), None)
        if refusal is not None:
            return refusal
        statements = [one for one in outcomes if isinstance(one, Statement)]
        worst = _most_restrictive(self.attribute)
        if worst is not None:
            statements.sort(key=lambda one: (one.value != worst, one.value is not None))
        return statements[0] if statements else None

    def _translate(self, found: Found) -> Statement | Refusal | None:
        if found.text is None:
            return Statement(None, found.path)
        if self.values is None:
            target = _target(self.attribute, found.text)
        else:
            target = self.values.get(found.text, self.values.get(found.text.casefold(), _UNMAPPED))
        if target is _UNMAPPED:
            return self._fallback(self.on_unknown, "code_unmapped", found.path, found.text)
        return None if target == NO_STATEMENT else Statement(target, found.path)

    def _fallback(self, action: str, reason: str, path: str, code: str) -> Statement | Refusal | None:
        if action == "reject":
            return Refusal(reason, path, self.attribute, code)
        if action == NO_STATEMENT:
            return None
        return Statement(_most_restrictive(self.attribute) if action == "most_restrictive" else None, path)


def compile_mapping(mapping: Mapping[str, Mapping[str, Any]], compile_path: CompilePath) -> tuple[Rule, ...]:
    """Rules in the order written. Raises :class:`MappingError` for the first that is wrong."""
    return tuple(_compile(attribute, rule, compile_path) for attribute, rule in mapping.items())


def _compile(attribute: str, rule: Mapping[str, Any], compile_path: CompilePath) -> Rule:
    path = str(rule.get("from") or "")
    if not path:
        raise MappingError(attribute, "has no 'from': name the field or FHIRPath to read")
    for key in ("on_absent", "on_unknown"):
        if rule.get(key, "reject") not in FALLBACKS:
            raise MappingError(attribute, f"{key} is {rule[key]!r}: use one of {', '.join(FALLBACKS)}")
    try:
        find = compile_path(path)
    except ValueError as error:
        raise MappingError(attribute, f"path {path!r}: {error}") from error
    values = rule.get("values")
    table = None if values is None else _table(attribute, values)
    return Rule(attribute, path, find, table, rule.get("on_absent", NO_STATEMENT), rule.get("on_unknown", "reject"))


def _table(attribute: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Codes -> values. A code matches as written, else without regard to case where that is no other code."""
    table = {_text(code): _checked(attribute, _text(target)) for code, target in values.items()}
    return {code.casefold(): target for code, target in table.items()} | table


def _checked(attribute: str, text: str) -> Any:
    target = _target(attribute, text)
    if target is _UNMAPPED:
        raise MappingError(attribute, f"cannot be {text!r}: use one of {', '.join(_targets(attribute) or ())}, unknown, {NO_STATEMENT}")
    return target


def _target(attribute: str, text: str) -> Any:
    """The value that a text means for the attribute. Families without a closed list take the text itself."""
    if text in (NO_STATEMENT, "unknown", "clear"):
        return NO_STATEMENT if text == NO_STATEMENT else None
    allowed = _targets(attribute)
    return text if allowed is None else allowed.get(text.casefold(), _UNMAPPED)


def _targets(attribute: str) -> dict[str, Any] | None:
    return TARGETS.get(_family(attribute))


def _most_restrictive(attribute: str) -> Any:
    return MOST_RESTRICTIVE.get(_family(attribute))


def _family(attribute: str) -> str:
    if attribute.startswith(CONSENT):
        return CONSENT
    return TOPIC if attribute.startswith(TOPIC) else base(attribute)


def _text(value: Any) -> str:
    """YAML booleans as the words they look like; everything else as its text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Unmapped:
    pass


_UNMAPPED = _Unmapped()
