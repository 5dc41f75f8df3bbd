"""A record of which a part cannot be read: the unit of failure is the attribute, not the record. Pure.

What can be read is stated, refusals above all; the rest is a :class:`~store.preference.Problem` of its attribute. A refusal is stated also
where other values of its rule cannot be read, if one refusal among several refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from adapters.mapping.aggregation import MOST_RESTRICTIVE
from adapters.mapping.legible import marks
from adapters.mapping.refusals import is_opt_out
from adapters.mapping.site_rules import EACH, FoundValue, Read, Rule, RuleRejection
from store.preference import EMAIL, LANGUAGE, PHONES, PREFERRED_PHONE, Codes, Problem, Statement, base

MOST = 20  # illegible places reported of one record
LONG = 200  # characters: no path of one element

Stated = dict[str, Statement]


def apply_rule(rule: Rule, record: Any, problems: list[Problem], codes: Read) -> Statement | None:
    """What the rule states of the record. ``codes`` takes what a rule with a table read."""
    return _read(rule, rule.attribute, rule.read(record), problems, codes)


def judge(rule: Rule, found: Sequence[FoundValue], problems: list[Problem]) -> Statement | None:
    """What the rule states by what it found in one place."""
    outcome = rule.judge(found)
    return _stated(rule, outcome, found, problems) if isinstance(outcome, RuleRejection) else outcome


def read_again(rules: Sequence[Rule], attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
    """What the rules make of codes that were read before; ``None`` where none reads the attribute in that place."""
    each = f"{base(attribute)}{EACH}"
    rule = next((one for one in rules if one.attribute in (attribute, each) and one.path == codes.place and _keeps(one)), None)
    if rule is None:
        return None
    problems: list[Problem] = []
    statement = judge(rule, [FoundValue(*one) for one in codes.found], problems)
    return statement, problems[0] if problems else None


def _read(rule: Rule, attribute: str, found: Sequence[FoundValue], problems: list[Problem], codes: Read) -> Statement | None:
    known = len(problems)
    statement = judge(rule, found, problems)
    is_said = found or statement is not None or len(problems) > known
    if _keeps(rule) and is_said and not any(one.flaw for one in found):
        kept = tuple((one.text if one.text is None else rule.kept(one.text), one.path) for one in found)
        codes[attribute] = Codes(rule.path, kept, silent=statement is None and len(problems) == known)
    return statement


def _keeps(rule: Rule) -> bool:
    """Whether the codes of a rule are kept: it has a table of them, and its outcome is the value itself."""
    return rule.values is not None and base(rule.attribute) not in (PHONES, EMAIL, LANGUAGE, PREFERRED_PHONE)


def at_each(rule: Rule, record: Any, number_of: Callable[[str], str | None], problems: list[Problem], codes: Read) -> Stated:
    """What a rule for each number states; ``number_of`` gives the number at a path, empty for none that can be read, ``None`` for no phone.

    What refuses at a number that cannot be read is a problem of the consent for all numbers.
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
    made = {name: _read(rule, name, found, problems, codes) for name, found in names.items()}
    if len(problems) > known:  # they are of the consent for all numbers: no reading of one number settles them
        for name in names:
            if made[name] is None and name in codes and not codes[name].silent:
                del codes[name]
    return {attribute: one for attribute, one in made.items() if one is not None}


def leave_out_illegible(
    ruled: Stated, rules: Sequence[Rule], record: Mapping[str, Any], root: str, elements: Mapping[str, str], problems: list[Problem]
) -> None:
    """Of a record that is illegible in part: reports each place, with the attribute that is read there.

    What such an attribute takes back or permits is not known to be so. ``root`` begins the record's paths; ``elements`` are the
    attributes that are read without a rule, by the beginning of their paths.
    """
    for path in islice(marks(record, root), MOST):
        readers = [rule.attribute for rule in rules if any(one.path == path for one in rule.find(record))]
        known = {(one.path, one.attribute) for one in problems}
        for attribute in readers or [next((name for start, name in elements.items() if path.startswith(start)), "")]:
            if (path, base(attribute)) not in known:
                problems.append(Problem("text_unreadable", path, "it contains invalid bytes or characters", base(attribute)))
        for name in [name for name, one in ruled.items() if _is_of(name, readers) and not is_opt_out(name, one.value)]:
            del ruled[name]


def _is_of(attribute: str, readers: Sequence[str]) -> bool:
    return attribute in readers or any(one.endswith(EACH) and base(one) == base(attribute) for one in readers)


def _stated(rule: Rule, refusal: RuleRejection, found: Sequence[FoundValue], problems: list[Problem]) -> Statement | None:
    path = refusal.path if len(refusal.path) < LONG else refusal.path.partition(".")[0]
    problems.append(Problem(refusal.reason, path, refusal.detail, base(refusal.attribute)))
    known = [one for one in found if rule.reads(one)] if rule.aggregate == MOST_RESTRICTIVE else []
    outcome = rule.judge(known) if known else None
    return outcome if isinstance(outcome, Statement) and is_opt_out(rule.attribute, outcome.value) else None


def _may_refuse(rule: Rule, found: FoundValue) -> bool:
    outcome = rule.judge([found])
    return isinstance(outcome, RuleRejection) or (outcome is not None and is_opt_out(rule.attribute, outcome.value))
