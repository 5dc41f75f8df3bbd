"""The mapping rules of a source: a path, a table of the site's codes, and the action for absent or unknown codes. Pure.

A rule is compiled once (:func:`compile_mapping`) and applied to any payload of its protocol. The protocol provides the function that
compiles paths. The outcome of a rule is a :class:`Statement`, ``None`` (no statement) or a :class:`RuleRejection` of the payload.
No default is granted: ``on_absent`` and ``on_unknown`` accept only no_statement, clear, reject and most_restrictive.

``aggregate`` combines several values of a rule (``adapters/mapping/aggregation.py``). A rule for an attribute that ends in ``.*`` reads a
list of allowed channels and becomes one rule per channel (``adapters/mapping/allow_list.py``). A rule for an attribute that ends in
``#*`` reads a consent at each contact point; the protocol determines the number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters.mapping import allow_list, unknown_codes
from adapters.mapping.aggregation import AGGREGATES, MOST_RESTRICTIVE, Aggregate
from adapters.mapping.texts import TEXTS
from store.preference import (
    ACTIVE,
    CONSENT,
    DECEASED,
    DENIED,
    DO_NOT_CONTACT,
    GRANTED,
    NO,
    PREFERRED_METHOD,
    PREFERRED_PHONE,
    RESTRICTED,
    TOPIC,
    YES,
    Codes,
    Method,
    Statement,
    base,
    family,
    opt_out,
)

FALLBACKS = ("no_statement", "clear", "reject", "most_restrictive")
NO_STATEMENT = "no_statement"
UNDECODABLE = "undecodable"
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
EACH = "#*"
"""The suffix of an attribute that is read at each contact point and stated for its number: ``consent.sms#*``."""
BY = ("field", "rank", "first")
"""How a source identifies the preferred phone: by a field, by a preference order, or by its position in the list."""


class MappingError(ValueError):
    """A rule that cannot be compiled. ``attribute`` names it; the message says how to fix it."""

    def __init__(self, attribute: str, message: str) -> None:
        self.attribute = attribute
        super().__init__(message)


class FoundValue(NamedTuple):
    """A value found by a path: its text (``None`` is an explicit delete, ``""`` in HL7 v2) and its concrete path.

    ``flaw`` explains why the value cannot be read as text; it is empty for a readable value. ``reason`` is the stable code of the flaw.
    """

    text: str | None
    path: str
    flaw: str = ""
    reason: str = UNDECODABLE


class RuleRejection(NamedTuple):
    """A rule rejects the payload. ``code`` is the site's code, for the ranking of unmapped codes. ``flaw`` as in :class:`FoundValue`."""

    reason: str
    path: str
    attribute: str
    code: str = ""
    flaw: str = ""

    @property
    def detail(self) -> str:
        """What to fix, without the code itself."""
        if self.flaw:
            return f"{self.attribute}: {self.flaw}"
        if self.reason == "code_unmapped":
            return f"{self.attribute}: the code is not in any 'values' table of the mapping: add it, or set 'on_unknown'"
        return f"{self.attribute}: the mapping requires a value here, but it is empty"


Find = Callable[[Any], Sequence[FoundValue]]
Read = dict[str, Codes]
"""The codes that rules with a table read from one payload, by attribute."""
CompilePath = Callable[[str], Find]


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule for one attribute. ``values`` is ``None`` if the text found is the value itself.

    ``finds`` are the compiled ``paths``. A rule with several paths reads the attribute in several places.
    ``keeps_codes``: the codes that it reads are stored; it has a table, and its outcome is the value of the attribute. ``settled``: the
    outcomes of codes in the table that were read before (``adapters.mapping.partial``).
    """

    attribute: str
    paths: tuple[str, ...]
    finds: tuple[Find, ...]
    values: Mapping[str, Any] | None
    on_absent: str = NO_STATEMENT
    on_unknown: str = "reject"
    aggregate: str = MOST_RESTRICTIVE
    reduce: Aggregate = AGGREGATES[MOST_RESTRICTIVE]
    keeps_codes: bool = False
    settled: dict[FoundValue, tuple[Statement | None, Codes]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def path(self) -> str:
        """The paths as one text, for display."""
        return " | ".join(self.paths)

    def knows(self, code: str) -> bool:
        """Whether the table contains the code. A rule without a table accepts any text."""
        return self.values is None or self._meaning(code) is not _UNMAPPED

    def missing(self, payload: Any) -> Iterator[tuple[str, str]]:
        """(path, code) of what it finds in a payload and its table does not contain."""
        return ((one.path, one.text) for one in self.find(payload) if one.text is not None and not self.knows(one.text))

    def reads(self, found: FoundValue) -> bool:
        """Whether the rule can interpret a value that was found. A delete has no text to interpret."""
        return found.text is not None and not found.flaw and self.knows(found.text)

    def find(self, payload: Any) -> Sequence[FoundValue]:
        """All values at the paths of the rule."""
        return self.finds[0](payload) if len(self.finds) == 1 else [one for find in self.finds for one in find(payload)]

    def apply(self, payload: Any) -> Statement | RuleRejection | None:
        """The outcome of the rule for a payload."""
        return self.judge(self.read(payload))

    def read(self, payload: Any) -> Sequence[FoundValue]:
        """The values for :meth:`judge`: all values found, or none if the rule needs a value in each path and one is missing."""
        found = self.find(payload)
        if len(self.finds) == 1 or self.aggregate != "all_denied":
            return found
        return found if all(find(payload) for find in self.finds) else ()

    def judge(self, found: Sequence[FoundValue]) -> Statement | RuleRejection | None:
        """The outcome for the values found. One value that must be rejected rejects the payload."""
        if not found:
            return self._fallback(self.on_absent, "value_absent", self.path, "")
        statements = []
        for one in found:
            outcome = self._translate(one)
            if isinstance(outcome, RuleRejection):
                return outcome
            if outcome is not None:
                statements.append(outcome)
        return self.reduce(statements, opt_out(self.attribute)) if statements else None

    def _translate(self, found: FoundValue) -> Statement | RuleRejection | None:
        if found.flaw:
            return RuleRejection(found.reason, found.path, self.attribute, flaw=found.flaw)
        if found.text is None:
            return Statement(None, found.path)
        target = _target(self.attribute, found.text) if self.values is None else self._meaning(found.text)
        if target is _UNMAPPED:
            return self._fallback(self.on_unknown, "code_unmapped", found.path, found.text)
        return None if target == NO_STATEMENT else Statement(target, found.path)

    def stored_form(self, code: str) -> str:
        """A code in the form in which it is stored with the value that it was mapped to."""
        return code if self.knows(code) else unknown_codes.stored_form(code)

    def _meaning(self, code: str) -> Any:
        table = self.values or {}
        text = unknown_codes.known_as(code, table) if code.startswith(unknown_codes.MARK) else code
        found = table.get(text, _UNMAPPED)
        return table.get(text.casefold(), _UNMAPPED) if found is _UNMAPPED else found

    def _fallback(self, action: str, reason: str, path: str, code: str) -> Statement | RuleRejection | None:
        if action == "reject":
            return RuleRejection(reason, path, self.attribute, code)
        if action == NO_STATEMENT:
            return None
        return Statement(opt_out(self.attribute) if action == "most_restrictive" else None, path)


def fingerprint(mapping: Mapping[str, Any], *more: Any) -> str:
    """The fingerprint of a mapping and of everything else (``more``) that affects how payloads are read. Equal text, equal fingerprint."""
    written = json.dumps([mapping, *more], sort_keys=True, default=str)
    return hashlib.blake2b(written.encode(), digest_size=6).hexdigest()


def compile_mapping(mapping: Mapping[str, Mapping[str, Any]], compile_path: CompilePath) -> tuple[Rule, ...]:
    """Compiles the rules in the order written, except :func:`standard` rules, which the protocol implements itself.

    Raises :class:`MappingError` for the first invalid rule.
    """
    rules = {attribute: rule for attribute, rule in expanded(mapping).items() if not standard(attribute, rule)}
    return tuple(compile_rule(attribute, rule, compile_path) for attribute, rule in rules.items())


def expanded(mapping: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The mapping with each list of channels replaced by one rule per channel. A rule for a single channel overrides the list."""
    try:
        return allow_list.expanded(mapping)
    except allow_list.ListRuleError as error:
        raise MappingError(error.attribute, str(error)) from error


def standard(attribute: str, rule: Mapping[str, Any]) -> bool:
    """Whether the rule only selects how the standard fields are read (``preferred_phone: {by: rank}``)."""
    return attribute == PREFERRED_PHONE and rule.get("by") in ("rank", "first")


def paths(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of a rule as written: ``from`` is one path or a list."""
    written = rule.get("from") or ()
    return tuple(str(one) for one in written) if isinstance(written, (list, tuple)) else (str(written),)


def compile_rule(attribute: str, rule: Mapping[str, Any], compile_path: CompilePath) -> Rule:
    """Compiles one rule of an :func:`expanded` mapping. Raises :class:`MappingError` if it is invalid."""
    named = str(rule.get("written_as") or attribute)
    if not paths(rule):
        raise MappingError(named, "has no 'from': set the field or FHIRPath to read")
    for key in ("on_absent", "on_unknown"):
        if (rule.get(key) or NO_STATEMENT) not in FALLBACKS:
            raise MappingError(named, f"{key} is {rule[key]!r}: use one of {', '.join(FALLBACKS)}")
    if (rule.get("by") or "field") != "field":
        raise MappingError(named, f"by is {rule['by']!r}: use one of {', '.join(BY)}, for preferred_phone only")
    aggregate = rule.get("aggregate") or (allow_list.AGGREGATE if "allows" in rule else MOST_RESTRICTIVE)
    reduce = allow_list.reduce_to(str(rule["allows"]), rule.get("others")) if "allows" in rule else AGGREGATES.get(aggregate)
    if reduce is None:
        raise MappingError(named, f"aggregate is {aggregate!r}: use one of {', '.join(AGGREGATES)}")
    values = rule.get("values")
    table = None if values is None else allow_list.table(values) if "allows" in rule else _table(attribute, values)
    absent, unknown = rule.get("on_absent") or NO_STATEMENT, rule.get("on_unknown") or "reject"
    finds = tuple(_found_by(named, path, compile_path) for path in paths(rule))
    keeps_codes = table is not None and base(attribute) not in TEXTS
    return Rule(attribute, paths(rule), finds, table, absent, unknown, aggregate, reduce, keeps_codes)


def _found_by(attribute: str, path: str, compile_path: CompilePath) -> Find:
    try:
        return compile_path(path)
    except ValueError as error:
        raise MappingError(attribute, f"path {path!r}: {error}") from error


def _table(attribute: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Codes -> values. A code matches as written, otherwise without regard to case unless another code has that spelling."""
    table = {_text(code): _checked(attribute, _text(target)) for code, target in values.items()}
    return {code.casefold(): target for code, target in table.items()} | table


def _checked(attribute: str, text: str) -> Any:
    target = _target(attribute, text)
    if target is _UNMAPPED:
        raise MappingError(attribute, f"cannot be {text!r}: use one of {', '.join(_targets(attribute) or ())}, unknown, {NO_STATEMENT}")
    return target


def _target(attribute: str, text: str) -> Any:
    """The value of a text for the attribute. Attributes without a closed list of values use the text itself."""
    if text in (NO_STATEMENT, "unknown", "clear"):
        return NO_STATEMENT if text == NO_STATEMENT else None
    allowed = _targets(attribute)
    return text if allowed is None else allowed.get(text.casefold(), _UNMAPPED)


def _targets(attribute: str) -> dict[str, Any] | None:
    return TARGETS.get(family(attribute))


def _text(value: Any) -> str:
    """A YAML boolean as the text ``true`` or ``false``; any other value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Unmapped:
    pass


_UNMAPPED = _Unmapped()
