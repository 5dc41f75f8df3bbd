"""Applies rules to a record that is partly unreadable: the unit of failure is the attribute, not the record. Pure.

Readable values are stated. Each unreadable value becomes a :class:`~store.preference.Problem` of its attribute. A refusal is stated even
if other values of its rule are unreadable, provided that the rule's ``aggregate`` lets one refusal decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from adapters.mapping.aggregation import MOST_RESTRICTIVE
from adapters.mapping.legible import marks
from adapters.mapping.rules import EACH, NO_STATEMENT, FoundValue, Read, Rule, RuleRejection
from store.preference import Codes, Problem, Statement, base, is_opt_out

MAX_REPORTED = 20  # illegible places reported per record
MAX_SETTLED = 1_000  # codes of a rule, and the places where they stood
MAX_PATH = 200  # characters; a longer path is not that of a single element

Stated = dict[str, Statement]


def apply_rule(rule: Rule, record: Any, problems: list[Problem], codes: Read) -> Statement | None:
    """The statement of a rule about a record. The codes that a rule with a table read are added to ``codes``."""
    found = rule.read(record)
    if not found and rule.on_absent == NO_STATEMENT:
        return None
    known = rule.settled.get(found[0]) if len(found) == 1 else None
    if known is not None:
        statement, codes[rule.attribute] = known
        return statement
    statement = _read(rule, rule.attribute, found, problems, codes)
    if len(found) == 1 and rule.keeps_codes and rule.reads(found[0]) and len(rule.settled) < MAX_SETTLED:
        rule.settled[found[0]] = statement, codes[rule.attribute]
    return statement


def judge(rule: Rule, found: Sequence[FoundValue], problems: list[Problem]) -> Statement | None:
    """The statement of a rule from values already found."""
    outcome = rule.judge(found)
    return _stated(rule, outcome, found, problems) if isinstance(outcome, RuleRejection) else outcome


def read_again(rules: Sequence[Rule], attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
    """Applies the rules to codes that were read earlier; ``None`` if no rule reads the attribute at that path."""
    each = f"{base(attribute)}{EACH}"
    rule = next((one for one in rules if one.attribute in (attribute, each) and one.path == codes.place and one.keeps_codes), None)
    if rule is None:
        return None
    problems: list[Problem] = []
    statement = judge(rule, [FoundValue(*one) for one in codes.found], problems)
    return statement, problems[0] if problems else None


def _read(rule: Rule, attribute: str, found: Sequence[FoundValue], problems: list[Problem], codes: Read) -> Statement | None:
    known = len(problems)
    statement = judge(rule, found, problems)
    has_result = found or statement is not None or len(problems) > known
    if has_result and rule.keeps_codes and not any(one.flaw for one in found):
        kept = tuple([(one.text if one.text is None else rule.stored_form(one.text), one.path) for one in found])
        codes[attribute] = Codes(rule.path, kept, silent=statement is None and len(problems) == known)
    return statement


def apply_per_number(rule: Rule, record: Any, number_of: Callable[[str], str | None], problems: list[Problem], codes: Read) -> Stated:
    """The statements of a rule that applies per number (``consent.sms#*``).

    ``number_of`` returns the number at a path, empty if it is unreadable, ``None`` if there is no phone. A refusal at an unreadable number
    is a problem of the consent for all numbers.
    """
    numbers: dict[str, list[FoundValue]] = {}
    for found in rule.find(record):
        number = number_of(found.path)
        if number:
            numbers.setdefault(number, []).append(found)
        elif number is not None and _may_refuse(rule, found):
            detail = "this value forbids contact at a number that cannot be read: correct the number in the EMR"
            problems.append(Problem("consent_number_unreadable", found.path, detail, base(rule.attribute)))
    names, known = {rule.attribute[:-1] + number: found for number, found in numbers.items()}, len(problems)
    outcomes = {name: _read(rule, name, found, problems, codes) for name, found in names.items()}
    if len(problems) > known:  # these concern the consent for all numbers: reading the codes of one number again cannot resolve them
        for name in names:
            if outcomes[name] is None and name in codes and not codes[name].silent:
                del codes[name]
    return {attribute: one for attribute, one in outcomes.items() if one is not None}


def leave_out_illegible(
    ruled: Stated, rules: Sequence[Rule], record: Mapping[str, Any], root: str, elements: Mapping[str, str], problems: list[Problem]
) -> None:
    """Reports each illegible place of a record with the attribute that is read there, and drops unreliable statements.

    If part of an attribute is illegible, only its refusals are kept. Statements that clear or permit are dropped. ``root`` is the first
    part of the record's paths. ``elements`` maps path prefixes to the attributes that are read without a rule.
    """
    for path in islice(marks(record, root), MAX_REPORTED):
        readers = [rule.attribute for rule in rules if any(one.path == path for one in rule.find(record))]
        known = {(one.path, one.attribute) for one in problems}
        for attribute in readers or [next((name for start, name in elements.items() if path.startswith(start)), "")]:
            if (path, base(attribute)) not in known:
                problems.append(Problem("text_unreadable", path, "it contains invalid bytes or characters", base(attribute)))
        for name in [name for name, one in ruled.items() if _belongs_to(name, readers) and not is_opt_out(name, one.value)]:
            del ruled[name]


def _belongs_to(attribute: str, readers: Sequence[str]) -> bool:
    return attribute in readers or any(one.endswith(EACH) and base(one) == base(attribute) for one in readers)


def _stated(rule: Rule, refusal: RuleRejection, found: Sequence[FoundValue], problems: list[Problem]) -> Statement | None:
    path = refusal.path if len(refusal.path) < MAX_PATH else refusal.path.partition(".")[0]
    problems.append(Problem(refusal.reason, path, refusal.detail, base(refusal.attribute)))
    known = [one for one in found if rule.reads(one)] if rule.aggregate == MOST_RESTRICTIVE else []
    outcome = rule.judge(known) if known else None
    return outcome if isinstance(outcome, Statement) and is_opt_out(rule.attribute, outcome.value) else None


def _may_refuse(rule: Rule, found: FoundValue) -> bool:
    outcome = rule.judge([found])
    return isinstance(outcome, RuleRejection) or (outcome is not None and is_opt_out(rule.attribute, outcome.value))
