"""Once a wrong mapping is fixed, the store is as if the mapping had always been right. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from store import times
from store.domain import assertions, source_codes, unreadable
from store.domain.assertions import SourceAssertions
from store.domain.source_codes import Folded
from store.preference import Codes, Identifier, PatientStatements, Problem, Statement

BEGIN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
DNC, SMS = "do_not_contact", "consent.sms"
CODES = ("A", "B", "C")
VALUES: dict[str, list[Any]] = {DNC: ["yes", "no", None], SMS: ["denied", "granted", None]}
SILENT, UNREADABLE = "silent", "unreadable"
Table = dict[str, dict[str, Any]]


class Message(NamedTuple):
    """One message: its codes by attribute, its time, and the mapping that read it."""

    codes: dict[str, str]
    second: int
    width: int
    mapping: int


def table(values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({code: st.sampled_from([*values, SILENT, UNREADABLE]) for code in CODES})


tables = st.fixed_dictionaries({name: table(values) for name, values in VALUES.items()})
messages = st.builds(
    Message,
    st.fixed_dictionaries({}, optional=dict.fromkeys(VALUES, st.sampled_from(CODES))),
    st.integers(0, 20),
    st.sampled_from([0, 0, 0, 5]),
    st.integers(0, 1),
)


def read(table: Table, name: str, codes: Codes) -> source_codes.Read:
    value = table[name][codes.found[0][0] or ""]
    if value == UNREADABLE:
        return None, Problem("code_unmapped", "path", "", name)
    return (None, None) if value == SILENT else (Statement(value, "path"), None)


def item(message: Message, number: int, table: Table, mapping: str) -> PatientStatements:
    start = BEGIN + timedelta(seconds=message.second)
    stated, problems, codes = {}, [], {}
    for name, code in message.codes.items():
        found = Codes("place", ((code, "path"),))
        statement, problem = read(table, name, found)
        codes[name] = found._replace(silent=statement is None and problem is None)
        if statement is not None:
            stated[name] = statement
        if problem is not None:
            problems.append(problem)
    effective = times.Time(start, start + timedelta(seconds=message.width))
    who = (Identifier("X", "MR", "1"),)
    return PatientStatements(who, stated, effective, f"E{number}", problems=tuple(problems), codes=codes, mapping=mapping)


class Reader(NamedTuple):
    """A mapping with the interface that the store uses."""

    table: Table
    mapping: str

    def reread(self, attribute: str, codes: Codes) -> source_codes.Read:
        return read(self.table, attribute, codes)


class Store(NamedTuple):
    """The assertions of one authority, their codes, and the mapping that read them."""

    held: SourceAssertions | None = None
    codes: Folded | None = None
    mapping: str = ""

    def read_by(self, table: Table, mapping: str) -> Store:
        if self.held is None or self.mapping == mapping:
            return self._replace(mapping=mapping)
        held, codes = source_codes.fold(self.held, self.codes or {}, Reader(table, mapping), None)
        return Store(held, codes, mapping)

    def receive(self, one: PatientStatements, recorded: datetime) -> Store:
        merged = assertions.merge(self.held, one, recorded)
        before = self.held.current() if self.held is not None else {}
        marks = unreadable.after(self.held.unreadable if self.held is not None else {}, before, one, whole=True)
        codes = source_codes.after(self.codes or {}, one, recorded, self.held, marks)
        return Store(SourceAssertions(merged.assertions, merged.confirmed, merged.confirmed, "", recorded, marks), codes, one.mapping)


def in_force(store: Store) -> dict[str, Any]:
    assert store.held is not None
    found = {name: one.value for name, one in store.held.current().items() if one.value is not None}
    return {**found, "unreadable": sorted(store.held.unreadable)}


@given(st.tuples(tables, tables), st.lists(messages, min_size=1, max_size=6))
def test_a_temporarily_wrong_mapping_leaves_no_trace(mappings: tuple[Table, Table], messages: list[Message]) -> None:
    """The same values are in force, for precise and for overlapping times: receipt order is stored with the codes."""
    right, store, correct = mappings[0], Store(), Store()
    for number, one in enumerate(messages):
        recorded = BEGIN + timedelta(minutes=1, seconds=number)
        store = store.read_by(mappings[one.mapping], str(one.mapping)).receive(
            item(one, number, mappings[one.mapping], str(one.mapping)), recorded
        )
        correct = correct.receive(item(one, number, right, "0"), recorded)
    store = store.read_by(mappings[1], "1").read_by(right, "0")
    assert in_force(store) == in_force(correct._replace(mapping="0"))
